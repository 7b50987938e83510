"""Child processes, ports and patience for tests that run real programs."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

T = TypeVar("T")

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout."""

SOURCE_ROOTS: Final = (ROOT / "shared", ROOT / "services")
"""Where the packages are imported from, in tests and in the children that they start."""

_POLL_S: Final = 0.02
_TAIL: Final = 4000
_PORT_TRIES: Final = 100


def source_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return our environment for a Python child that runs from the checkout's sources, with ``extra`` on top."""
    found = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*map(str, SOURCE_ROOTS), *([found] if found else [])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(extra or {})}


def wait_until(condition: Callable[[], T], limit_s: float, what: str) -> T:
    """Ask ``condition`` again and again and return its first true value.

    Args:
        condition: returns something true once what is awaited has come.
        limit_s: seconds to wait at most.
        what: what is awaited, for the message.

    Raises:
        AssertionError: it did not come in time.
    """
    deadline = time.monotonic() + limit_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {limit_s} s in vain for {what}")
        time.sleep(_POLL_S)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port of ``host``, an IPv4 or IPv6 address, that nothing uses now, neither over UDP nor over TCP."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(_PORT_TRIES):
        with socket.socket(family, socket.SOCK_STREAM) as stream, socket.socket(family, socket.SOCK_DGRAM) as datagram:
            stream.bind((host, 0))
            port: int = stream.getsockname()[1]
            try:
                datagram.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port of {host} is free both for UDP and for TCP")


class Process:
    """A child whose whole output goes to a file; as a context manager it is stopped at the end, whatever happened.

    Only the child itself is signalled, never a group: that its own children end with it is part of what we test.
    """

    def __init__(self, argv: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> None:
        """Start it.

        Args:
            argv: program and arguments.
            log: file for standard output and standard error together.
            env: its environment; ours, with our sources on the path of Python, if None.
        """
        self.log = log
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                [str(argument) for argument in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=source_environment() if env is None else env,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, the negated signal if one ended it, None while it runs."""
        return self._child.poll()

    def output(self) -> str:
        """Return all that it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for_line(self, pattern: str, limit_s: float = 20.0) -> re.Match[str]:
        """Return the first match of ``pattern`` in a whole line that it wrote, be it before this call.

        Raises:
            AssertionError: it ended, or ``limit_s`` passed, without such a line; the message shows what it wrote last.
        """
        regexp = re.compile(pattern)
        deadline = time.monotonic() + limit_s
        while True:
            ended = self.returncode is not None
            for line in self.output().splitlines(keepends=True):
                match = regexp.search(line.rstrip("\r\n"))
                if match is not None and (ended or line.endswith("\n")):
                    return match
            if ended or time.monotonic() >= deadline:
                state = f"it ended with {self.returncode}" if ended else f"{limit_s} s passed"
                raise AssertionError(f"no line of {self._child.args!r} has {pattern!r}: {state}; last it wrote:\n{self.output()[-_TAIL:]}")
            time.sleep(_POLL_S)

    def wait(self, limit_s: float) -> int:
        """Return its exit status once it has ended by itself.

        Raises:
            AssertionError: it still runs after ``limit_s``.
        """
        try:
            return self._child.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self._child.args!r} still runs after {limit_s} s; last it wrote:\n{self.output()[-_TAIL:]}") from None

    def stop(self, limit_s: float = 10.0) -> int:
        """End it by SIGTERM, by SIGKILL if that takes longer than ``limit_s``, and return its exit status."""
        if self._child.poll() is None:
            self._child.terminate()
        try:
            return self._child.wait(limit_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it by SIGKILL, as a crash would, and return its exit status."""
        self._child.kill()
        return self._child.wait()
