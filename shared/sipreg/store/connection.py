"""One connection to a Redis server that pipelines all commands of a turn of the event loop."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast

import hiredis

from sipreg.errors import StoreUnavailable
from sipreg.store.link import Done, LinkLimits, Reply
from sipreg.store.resp import pack
from sipreg.store.scripts import SCRIPTS, with_source

logger = logging.getLogger("sipreg.store")

RECEIVE_BYTES: Final = 65536

PING: Final = pack("PING")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server to connect to, and who connects."""

    host: str = ""
    port: int = 0
    path: str = ""
    """A Unix socket, in place of host and port."""
    user: str = ""
    password: str = field(default="", repr=False)
    db: int = 0
    tls: bool = False
    must_be_master: bool = False
    """Refuse a server that says it is a replica, as one may between its demotion and the sentinels' word of it."""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


Refused = Callable[[str, Done, bytes], None]
"""Called with an error reply, what waits for it and the command; it must see to it that ``done`` is called."""


class Connection(asyncio.BufferedProtocol):
    """Commands out in order, replies back in order.

    It never comes back once it is lost: whatever was under way fails, and its owner makes another.
    """

    __slots__ = (
        "_buffer",
        "_check_timer",
        "_ended",
        "_limits",
        "_loop",
        "_marks",
        "_on_lost",
        "_on_refused",
        "_out",
        "_pending",
        "_reader",
        "_sent",
        "_transport",
        "_view",
    )

    def __init__(self, limits: LinkLimits, on_refused: Refused, on_lost: Callable[[str], None]) -> None:
        """Wait for a transport.

        Args:
            limits: how long and how many.
            on_refused: gets error replies; those that only want the script's source are dealt with here.
            on_lost: called once with the reason, before what is under way fails.
        """
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._on_refused = on_refused
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._buffer = bytearray(RECEIVE_BYTES)
        self._view = memoryview(self._buffer)
        self._out: list[bytes] = []
        self._pending: deque[tuple[Done, bytes]] = deque()
        # How many commands had been written after each write, and when: the oldest without its replies tells what is late,
        # at the price of one entry per batch and not one timer per command.
        self._marks: deque[tuple[int, float]] = deque()
        self._sent = 0
        self._check_timer: asyncio.TimerHandle | None = None
        self._ended = ""

    # -- commands ---------------------------------------------------------------------------------------------------

    def call(self, command: bytes, done: Done) -> None:
        """Send a command with the others of this turn; beyond the limit of commands in flight it fails at once."""
        pending = self._pending
        if len(pending) >= self._limits.max_in_flight:
            done(StoreUnavailable("Too many commands wait for the store"))
            return
        pending.append((done, command))
        out = self._out
        if not out:
            self._loop.call_soon(self._flush)
        out.append(command)

    def send(self, command: bytes, done: Done) -> None:
        """Send a command regardless of the limit: one that goes on a second way was counted before."""
        if self._ended:
            done(StoreUnavailable(self._ended))
            return
        self._pending.append((done, command))
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(command)

    async def ask(self, command: bytes) -> Reply:
        """Send a command and wait for its reply.

        Raises:
            StoreUnavailable: an error reply, or none in time.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        self.send(command, lambda reply: None if future.done() else future.set_result(reply))
        reply = await future
        if isinstance(reply, StoreUnavailable):
            raise reply
        return reply

    def end(self, reason: str) -> None:
        """Give the connection up; everything under way fails with ``reason``."""
        if self._ended:
            return
        self._ended = reason
        if self._check_timer is not None:
            self._check_timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._out.clear()
        self._marks.clear()
        self._on_lost(reason)
        while self._pending:
            done, _ = self._pending.popleft()
            self._deliver(done, StoreUnavailable(reason))

    def _flush(self) -> None:
        out = self._out
        if not out or self._transport is None:
            return
        self._sent += len(out)
        self._marks.append((self._sent, self._loop.time()))
        self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()

    # -- replies ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, as asyncio asks for."""
        self._transport = cast("asyncio.Transport", transport)
        self._check_timer = self._loop.call_later(self._limits.timeout_s, self._check)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where received bytes go, as asyncio asks for."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Hand each whole reply to whoever waits for it, as asyncio asks for."""
        reader = self._reader
        pending = self._pending
        try:
            reader.feed(self._buffer, 0, nbytes)  # type: ignore[arg-type]  # it takes any buffer, whatever its stub says
            while (reply := reader.gets()) is not False:
                done, command = pending.popleft()
                if reply.__class__ is hiredis.ReplyError:
                    self._refuse(str(reply), done, command)
                    continue
                try:
                    done(reply)
                except Exception:
                    logger.exception("a callback of the store failed")
        except (hiredis.ProtocolError, IndexError) as error:
            # After `end`, replies that were already read find nobody waiting; else the server talks out of turn.
            self.end(f"The store sent what is no reply: {error}")
            return
        received = self._sent - len(pending) + len(self._out)
        marks = self._marks
        while marks and marks[0][0] <= received:
            marks.popleft()

    def eof_received(self) -> bool:
        """Let the transport close, as asyncio asks for."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is under way, as asyncio asks for."""
        self.end(f"Connection to the store lost: {exc or 'closed by the server'}")

    def _refuse(self, text: str, done: Done, command: bytes) -> None:
        if text.startswith("NOSCRIPT"):
            whole = with_source(command)
            if whole is not None:
                self.send(whole, done)
                return
        try:
            self._on_refused(text, done, command)
        except Exception:
            logger.exception("a callback of the store failed")

    def _deliver(self, done: Done, reply: Reply) -> None:
        try:
            done(reply)
        except Exception:
            logger.exception("a callback of the store failed")

    def _check(self) -> None:
        """Give up if the oldest reply is late; if nothing is under way, ask whether the server is still there."""
        now = self._loop.time()
        timeout_s = self._limits.timeout_s
        due = now + timeout_s
        if self._marks:
            due = self._marks[0][1] + timeout_s
            if due <= now:
                self.end(f"The store did not answer within {timeout_s:g} s")
                return
        elif not self._pending:
            self.send(PING, _ignore)
        self._check_timer = self._loop.call_at(due, self._check)


def _ignore(reply: Reply) -> None:
    """For a reply that says nothing new: it came, and that was the question."""


async def connect(target: Target, limits: LinkLimits, on_refused: Refused, on_lost: Callable[[str], None]) -> Connection:
    """Connect, log in, load the scripts, and have a PING answered, all within the limit of time.

    Raises:
        StoreUnavailable: it did not come to that. ``on_lost`` may have been called.
    """
    connection: Connection | None = None
    try:
        async with asyncio.timeout(limits.timeout_s):
            connection = await _transport(target, lambda: Connection(limits, on_refused, on_lost))
            await _prepare(connection, target)
        return connection
    except TimeoutError as error:
        reason = f"The store at {target} did not answer within {limits.timeout_s:g} s"
        _end(connection, reason)
        raise StoreUnavailable(reason) from error
    except (OSError, UnicodeError, StoreUnavailable) as error:
        reason = f"The store at {target} cannot be asked: {error}"
        _end(connection, reason)
        raise StoreUnavailable(reason) from error
    except asyncio.CancelledError:
        _end(connection, "The store is being closed")
        raise


def _end(connection: Connection | None, reason: str) -> None:
    if connection is not None:
        connection.end(reason)


async def _transport(target: Target, make: Callable[[], Connection]) -> Connection:
    loop = asyncio.get_running_loop()
    if target.path:
        _, connection = await loop.create_unix_connection(make, target.path)
        return connection
    context = ssl.create_default_context() if target.tls else None
    _, connection = await loop.create_connection(make, target.host, target.port, ssl=context)
    return connection


async def _prepare(connection: Connection, target: Target) -> None:
    """Do what a new connection needs, in one write."""
    commands: list[bytes] = []
    if target.password:
        commands.append(pack("AUTH", *([target.user] if target.user else []), target.password))
    if target.db:
        commands.append(pack("SELECT", target.db))
    commands += [script.load() for script in SCRIPTS]
    commands += [pack("ROLE")] if target.must_be_master else []
    commands.append(PING)
    replies: list[Any] = await asyncio.gather(*map(connection.ask, commands))
    if target.must_be_master and replies[-2][0] != b"master":
        raise StoreUnavailable("it is a replica")
