"""Child processes of the bench: pinned, awaited, and ended with it, whatever happens.

They belong to context managers, and on Linux the kernel ends them if the bench itself is killed. They run in sessions of their own, so
that a Ctrl-C reaches the bench alone, which then takes them down in order.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Final

from sipreg.errors import SipregError

START_LIMIT_S: Final = 20.0
"""A store or an edge that is not ready by then will not be."""

_STOP_LIMIT_S: Final = 5.0
_POLL_S: Final = 0.05
_PR_SET_PDEATHSIG: Final = 1
_TAIL: Final = 2000
"""Bytes shown of what a child that failed wrote last."""


class BenchFailed(SipregError):
    """The bench cannot go on; the text says what was tried and what was seen."""


@contextmanager
def child(argv: Sequence[str], *, cpus: Sequence[int], log: IO[bytes], talk: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process for a while: pinned to ``cpus``, ended at the end by SIGTERM, then by SIGKILL.

    Args:
        argv: the program and its arguments.
        cpus: where it may run; anywhere if empty.
        log: takes what it writes to standard error, and to standard output.
        talk: connect its standard input and output to us instead.
    """
    process = subprocess.Popen(
        argv,
        stderr=log,
        start_new_session=True,
        env=_environment(),
        preexec_fn=_prepare(cpus),  # noqa: PLW1509  # the bench has one thread, and nothing else binds a child's life to ours
        stdin=subprocess.PIPE if talk else subprocess.DEVNULL,
        stdout=subprocess.PIPE if talk else log,
    )
    try:
        yield process
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment() -> Mapping[str, str]:
    """Return our environment, with our own way of finding modules: the children run from the same sources."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry), "PYTHONUNBUFFERED": "1"}


def _prepare(cpus: Sequence[int]) -> Callable[[], None]:
    """Return what a child does before it becomes its program; all that can fail or lock is done here, in the parent."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    pin = list(cpus) if cpus and hasattr(os, "sched_setaffinity") else None

    def prepare() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if pin is not None:
            os.sched_setaffinity(0, pin)

    return prepare


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody has, neither over UDP nor over TCP."""
    for _ in range(100):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue
            port: int = tcp.getsockname()[1]
            return port
    raise BenchFailed("no free port on 127.0.0.1")


def read_line(process: subprocess.Popen[bytes], log: IO[bytes], limit_s: float, what: str) -> bytes:
    """Read one line that a child writes; raises BenchFailed if none comes within ``limit_s`` seconds."""
    if process.stdout is None:
        raise BenchFailed(f"{what} was started without a pipe")
    ready, _, _ = select.select([process.stdout], [], [], limit_s)
    line = process.stdout.readline() if ready else b""
    if not line:
        raise BenchFailed(f"{what} {'ended' if ready else f'said nothing for {limit_s:.0f} s'}: {tail(log)}")
    return line


def await_ready(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: IO[bytes], what: str) -> None:
    """Poll until ``ready`` says so; raises BenchFailed, with what the child wrote last, if it ends or takes longer than `START_LIMIT_S`."""
    limit = time.monotonic() + START_LIMIT_S
    while not ready():
        if process.poll() is not None:
            raise BenchFailed(f"{what} ended with status {process.returncode}: {tail(log)}")
        if time.monotonic() > limit:
            raise BenchFailed(f"{what} was not ready within {START_LIMIT_S:.0f} s: {tail(log)}")
        time.sleep(_POLL_S)


def tail(log: IO[bytes]) -> str:
    """Return the end of what a child wrote."""
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _TAIL))
    return log.read().decode("utf-8", "replace").strip() or "it left no message"
