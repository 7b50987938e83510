"""A store server of our own: found on this machine, started on a private socket, watched over, and ended with its parent.

A directory holds the data, the server's log and two locks. The first lock is held by the process that owns the directory; the second is
inherited by the server, so that it tells for certain whether one still runs, even if its owner was killed and left it behind.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import os
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import platformdirs

from sipreg.errors import SettingWrong
from sipreg.store.address import StoreAddress
from sipreg.store.server_program import NoServer, ServerProgram, find_server, last_words, spawn

_READY_LIMIT_S: Final = 60.0
"""A server that loads some millions of commands from its file takes a good part of this; it tells so, and is waited for."""
_STOP_LIMIT_S: Final = 10.0
_LOCK_LIMIT_S: Final = 2.0
"""A command that adds a subscriber may own the directory for a moment; a start waits this long for it."""
_PING_LIMIT_S: Final = 1.0
_POLL_S: Final = 0.02
_WATCH_S: Final = 0.1
_BACKOFF_S: Final = (0.1, 5.0)
"""First and longest pause before a server that died is started again."""
_STEADY_S: Final = 30.0
"""A server that ran this long is not failing over and over: its restart begins with the first pause again."""

_SOCKET_LIMIT: Final = 100
"""Bytes of a socket's path; the system's own limit is 104 on macOS and 108 on Linux, with the final zero."""
_OWNER, _SERVER = "owner.lock", "server.lock"

logger = logging.getLogger(__name__)


class DirectoryTaken(SettingWrong):
    """Another process owns the directory, or its server does."""


def default_directory() -> Path:
    """Return where the data is kept if no directory is named."""
    return Path(platformdirs.user_data_dir("sipreg"))


def socket_path(directory: Path) -> Path:
    """Return where the server of a directory listens; the same in every process of this user, and short enough for a socket."""
    digest = hashlib.blake2s(os.fsencode(os.path.realpath(directory)), digest_size=10).hexdigest()
    for base in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir()):
        path = Path(base, f"sipreg-{digest}", "store.sock")
        if os.path.isabs(base) and os.access(base, os.W_OK | os.X_OK) and len(os.fsencode(path)) < _SOCKET_LIMIT:
            return path
    return Path("/tmp", f"sipreg-{digest}", "store.sock")


class EmbeddedServer:
    """A server on a private socket that keeps its data in a directory, from `start` to `stop`; started again whenever it dies.

    It ends with this process, even if that is killed: on Linux the kernel sees to it, so `start` belongs into the main thread;
    elsewhere the next start ends what was left behind.
    """

    def __init__(self, directory: Path, *, program: ServerProgram | None = None, on_down: Callable[[str], None] | None = None) -> None:
        """Take what shall be run.

        Args:
            directory: made if need be; it must be empty, or one of these servers' before.
            program: what to run; found if it is None.
            on_down: told why, whenever the server died or could not be started again; it is logged in any case.
        """
        self.directory = Path(os.path.realpath(directory))
        self.socket = socket_path(self.directory)
        self._program = program
        self._on_down = on_down
        self._owner_lock: int | None = None
        self._server_lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def address(self) -> StoreAddress:
        """Where clients reach it."""
        return StoreAddress(kind="unix", path=str(self.socket))

    @property
    def pid(self) -> int | None:
        """Process id of the server; None while there is none."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            DirectoryTaken: another process owns the directory.
            SettingWrong: there is no server to run, the directory cannot be used, or the server does not start.
        """
        program = self._program or find_server()
        if isinstance(program, NoServer):
            raise SettingWrong(f"store: no embedded server: {program.reason}")
        self._program = program
        _make_private(self.directory)
        try:
            await self._own()
            _check_format(self.directory, program)
            await self._launch(program)
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._supervise(program), name="embedded store")

    async def stop(self) -> None:
        """End the server, which writes out what it holds, and give the directory free."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
            self._watch = None
        try:
            await self._end_process()
        finally:
            if self._server_lock is not None and _is_private(self.socket.parent):
                with suppress(OSError):
                    self.socket.unlink(missing_ok=True)
                    self.socket.parent.rmdir()
            for lock in (self._server_lock, self._owner_lock):
                if lock is not None:
                    os.close(lock)
            self._server_lock = self._owner_lock = None

    async def _own(self) -> None:
        """Take both locks; a server that its owner left behind is asked to end, and waited for."""
        self._owner_lock = await _lock_within(self.directory / _OWNER, _LOCK_LIMIT_S)
        pid, orphan = _read_owner(self.directory)
        if self._owner_lock is None:
            raise DirectoryTaken(f"store: embedded:{self.directory} is in use by process {pid}; stop that, or name another directory")
        self._server_lock = await _lock_within(self.directory / _SERVER, 0)
        if self._server_lock is None:
            logger.warning("ending the store server that a killed process left behind on %s", orphan)
            await _ask(orphan, b"SHUTDOWN")
            self._server_lock = await _lock_within(self.directory / _SERVER, _STOP_LIMIT_S)
        if self._server_lock is None:
            raise DirectoryTaken(
                f"store: embedded:{self.directory} still has a server of an earlier run; end it, or name another directory"
            )
        os.truncate(self._owner_lock, 0)
        os.pwrite(self._owner_lock, f"{os.getpid()}\n{self.socket}\n".encode("utf-8", "surrogateescape"), 0)

    async def _launch(self, program: ServerProgram) -> None:
        """Start the server once and wait until it answers."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + _READY_LIMIT_S
        _make_socket_folder(self.socket.parent)
        self._process = spawn(program, self.directory, self.socket, self._server_lock)
        while not (await _ask(self.socket, b"PING")).startswith(b"+PONG"):
            status = self._process.poll()
            if status is not None:
                raise SettingWrong(f"store: {program} ended with status {status} in {self.directory}: {last_words(self.directory)}")
            if loop.time() > limit:
                await self._end_process()
                raise SettingWrong(f"store: {program} was not ready within {_READY_LIMIT_S:.0f} s: {last_words(self.directory)}")
            await asyncio.sleep(_POLL_S)

    async def _supervise(self, program: ServerProgram) -> None:
        """Start the server again whenever it has ended, until cancelled."""
        loop = asyncio.get_running_loop()
        first, longest = _BACKOFF_S
        pause, reason = 0.0, ""
        while True:
            began = loop.time()
            await _within(math.inf, lambda: self.pid is None, _WATCH_S)
            reason = reason or f"store: {program} ended by itself{self._status()}: {last_words(self.directory)}"
            self._tell(reason)
            pause = first if loop.time() - began > _STEADY_S else min(max(first, 2 * pause), longest)
            await asyncio.sleep(pause)
            try:
                await self._launch(program)
                reason = ""
                logger.info("store: %s runs again", program)
            except (SettingWrong, OSError) as error:
                reason = str(error)

    def _status(self) -> str:
        return "" if self._process is None else f" with status {self._process.returncode}"

    def _tell(self, reason: str) -> None:
        logger.error("%s; it is started again", reason)
        if self._on_down is not None:
            try:
                self._on_down(reason)
            except Exception:
                logger.exception("store: the callback for a server that is down failed")

    async def _end_process(self) -> None:
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            await _within(_STOP_LIMIT_S, lambda: process.poll() is not None)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            self._process = None


@asynccontextmanager
async def attach_or_start(directory: Path) -> AsyncIterator[StoreAddress]:
    """Give the address of the directory's server: the one that runs, else one that is started for the time being.

    Raises:
        SettingWrong: none runs and none can be started.
    """
    if (running := await _running(directory)) is not None:
        yield running
        return
    server = EmbeddedServer(directory)
    try:
        await server.start()
    except DirectoryTaken:
        # Whoever took it may be just about to start its server.
        if (running := await _running(directory, _READY_LIMIT_S)) is None:
            raise
        yield running
        return
    try:
        yield server.address
    finally:
        await server.stop()


async def _running(directory: Path, limit_s: float = 0) -> StoreAddress | None:
    """Return the address of the directory's server if it answers, at the latest within ``limit_s`` seconds."""
    limit = asyncio.get_running_loop().time() + limit_s
    while True:
        _, socket = _read_owner(directory)
        if _is_private(socket.parent) and (await _ask(socket, b"PING")).startswith(b"+PONG"):
            return StoreAddress(kind="unix", path=str(socket))
        if asyncio.get_running_loop().time() >= limit:
            return None
        await asyncio.sleep(_POLL_S)


async def _within(limit_s: float, condition: Callable[[], bool], step_s: float = _POLL_S) -> bool:
    """Wait until a condition holds that nobody signals, such as the end of a process; False if it does not within the limit."""
    limit = asyncio.get_running_loop().time() + limit_s
    while not condition():
        if asyncio.get_running_loop().time() >= limit:
            return False
        await asyncio.sleep(step_s)
    return True


async def _ask(socket: Path, command: bytes) -> bytes:
    """Return the first line of the server's answer, b"" if there is none in time."""
    try:
        async with asyncio.timeout(_PING_LIMIT_S):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(command + b"\r\n")
                return await reader.readline()
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, TimeoutError, ValueError):
        return b""


async def _lock_within(path: Path, limit_s: float) -> int | None:
    """Lock a file and return its descriptor, None if another process holds the lock for longer than ``limit_s`` seconds."""
    locked: list[int] = []

    def try_it() -> bool:
        descriptor = _lock(path)
        if descriptor is not None:
            locked.append(descriptor)
        return bool(locked)

    return locked[0] if await _within(limit_s, try_it) else None


def _lock(path: Path) -> int | None:
    import fcntl  # noqa: PLC0415 (Windows has no such module, and shall still be able to import this one)

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingWrong(f"store: cannot open {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise SettingWrong(f"store: {path.parent} is on a file system without locks: {error.strerror}") from error
    return descriptor


def _read_owner(directory: Path) -> tuple[str, Path]:
    """Return who owns or owned the directory last, and its socket: it may have had another environment than we have."""
    with suppress(OSError, ValueError):
        pid, socket = (directory / _OWNER).read_text("utf-8", "surrogateescape").splitlines()
        return pid, Path(socket)
    return "?", socket_path(directory)


def _make_private(directory: Path) -> None:
    """Make the directory, or check that it is ours to use, and close it to other users."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        others = sorted(entry.name for entry in directory.iterdir() if entry.name != "lost+found")
        if others and _OWNER not in others:
            # It will be closed to others and filled with our files: a mistyped /tmp must not be.
            raise SettingWrong(f"store: embedded:{directory} holds other files, such as {others[0]!r}; name an empty or a new directory")
        # A mounted volume may belong to root and be open to our group: that is its operator's choice.
        if directory.stat().st_uid == os.geteuid():
            directory.chmod(0o700)
    except OSError as error:
        raise SettingWrong(f"store: cannot use embedded:{directory}: {error.strerror}") from error


def _check_format(directory: Path, program: ServerProgram) -> None:
    """Refuse an older server that would not see the data, and start with none."""
    if program.version < (7, 0) and (directory / "appendonlydir").exists():
        raise SettingWrong(
            f"store: the data in embedded:{directory} was written by a newer server than {program}; install version 7 or newer"
        )


def _make_socket_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise SettingWrong(f"store: cannot make {folder} for the store's socket: {error.strerror}") from error
    if not _is_private(folder):
        raise SettingWrong(f"store: {folder} is open to others; remove it, or set XDG_RUNTIME_DIR to a directory of your own")


def _is_private(folder: Path) -> bool:
    """Whether nobody but us can have put a socket there."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
