"""A link to one server: given, or whichever the sentinels call the master."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

from redis.exceptions import RedisError

from sipreg.errors import StoreUnavailable
from sipreg.store.address import StoreAddress
from sipreg.store.admin import sentinel_client
from sipreg.store.connection import Connection, Target, connect
from sipreg.store.link import Done, LinkLimits, Reply

logger = logging.getLogger("sipreg.store")

Locate = Callable[[], Awaitable[Target]]
"""Says where to connect, each time anew; raises StoreUnavailable."""

Diverted = Callable[["SingleLink", str, Done, bytes], bool]
"""Gets an error reply first (see `SingleLink`); True means that it sees to ``done``."""

ASKING = b"*1\r\n$6\r\nASKING\r\n"


class SingleLink:
    """One connection, made anew whenever it is lost. While there is none, commands fail at once."""

    def __init__(
        self,
        locate: Locate,
        limits: LinkLimits,
        chance: Callable[[], float] = random.random,
        *,
        diverted: Diverted | None = None,
        changed: Callable[[], None] | None = None,
    ) -> None:
        """Prepare a link.

        Args:
            locate: where to connect.
            limits: how long, how many, how often.
            chance: numbers from 0 to 1, for the spread of attempts to connect.
            diverted: for a cluster's nodes: asked first about error replies, because some only name another node.
            changed: called after a connection was made or lost.
        """
        self._locate = locate
        self._limits = limits
        self._chance = chance
        self._diverted = diverted
        self._changed = changed
        self._connection: Connection | None = None
        self._reason = "The store is not connected yet"
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        self._waiting: list[tuple[bytes, Done, bool]] = []
        self._up = asyncio.Event()
        self._down = asyncio.Event()

    @property
    def available(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def start(self) -> None:
        """Begin to connect, without waiting for it."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="store connection")

    async def open(self) -> None:
        """Connect (see `Link.open`)."""
        self.start()
        await self.wait_until_up()

    async def wait_until_up(self) -> None:
        """Wait for a connection, at most twice as long as one attempt may take.

        Raises:
            StoreUnavailable: there is none yet.
        """
        try:
            async with asyncio.timeout(2 * self._limits.timeout_s):
                await self._up.wait()
        except TimeoutError as error:
            raise StoreUnavailable(self._reason) from error

    async def close(self) -> None:
        """End it; what is under way fails."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._reason = "The store is closed"
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.end(self._reason)
        self._fail_waiting(StoreUnavailable(self._reason))

    def call(self, slot: int, command: bytes, done: Done) -> None:
        """Send a packed command (see `Link.call`)."""
        connection = self._connection
        if connection is None:
            done(StoreUnavailable(self._reason))
        else:
            connection.call(command, done)

    def call_when_up(self, command: bytes, done: Done, *, asking: bool) -> None:
        """Send a command that another node sent here, as soon as there is a connection.

        Args:
            command: packed.
            done: gets the reply, or the error if the next attempt to connect fails.
            asking: tell the node to serve it although the slot is not yet its own.
        """
        connection = self._connection
        if connection is not None:
            if asking:
                connection.send(ASKING, _ignore)
            connection.send(command, done)
        elif self._closed:
            done(StoreUnavailable(self._reason))
        elif len(self._waiting) < self._limits.max_in_flight:
            self._waiting.append((command, done, asking))
        else:
            done(StoreUnavailable("Too many commands wait for the store"))

    async def ask(self, command: bytes) -> Reply:
        """Send a command and wait for its reply.

        Raises:
            StoreUnavailable: no connection, an error reply, or no reply in time.
        """
        if self._connection is None:
            raise StoreUnavailable(self._reason)
        return await self._connection.ask(command)

    async def _keep(self) -> None:
        """Connect again and again, until closed."""
        # Cancelling alone would not end it: redis-py, asked for the master, may make an error of its own of a cancellation.
        backoff_s = self._limits.first_backoff_s
        while not self._closed:
            self._down.clear()
            try:
                target = await self._locate()
                connection = await connect(target, self._limits, self._refused, self._lost)
            except StoreUnavailable as error:
                if str(error) != self._reason:
                    logger.warning("%s; trying again", error)
                self._reason = str(error)
                self._fail_waiting(error)
            except Exception as error:
                # Without this task the link would stay down for good, whatever the reason.
                logger.exception("connecting to the store failed")
                self._reason = f"Connecting to the store failed: {error}"
                self._fail_waiting(StoreUnavailable(self._reason))
            else:
                logger.info("store connected at %s", target)
                backoff_s = self._limits.first_backoff_s
                await self._serve(connection)
            if not self._closed:
                await asyncio.sleep(backoff_s * (0.5 + self._chance()))
                backoff_s = min(backoff_s * 2, self._limits.max_backoff_s)

    async def _serve(self, connection: Connection) -> None:
        """Offer a connection until it is lost."""
        if self._closed:
            connection.end("The store is closed")
        if self._down.is_set():
            return
        self._connection = connection
        self._up.set()
        waiting, self._waiting = self._waiting, []
        for command, done, asking in waiting:
            self.call_when_up(command, done, asking=asking)
        self._tell_change()
        await self._down.wait()

    def _lost(self, reason: str) -> None:
        self._down.set()
        if self._connection is None:
            return  # it never came to be offered; who made it knows
        logger.warning("%s; connecting again", reason)
        self._connection = None
        self._reason = reason
        self._up.clear()
        self._tell_change()

    def _tell_change(self) -> None:
        if self._changed is not None:
            self._changed()

    def _refused(self, text: str, done: Done, command: bytes) -> None:
        """Answer an error reply of the server."""
        if self._diverted is not None and self._diverted(self, text, done, command):
            return
        connection = self._connection
        if connection is not None and ("READONLY" in text or "MASTERDOWN" in text):
            # The master became a replica: find out who is the master now.
            connection.end(f"The store refused: {text[:100]}")
        done(StoreUnavailable(f"The store refused: {text[:100]}"))

    def _fail_waiting(self, error: StoreUnavailable) -> None:
        waiting, self._waiting = self._waiting, []
        for _, done, _ in waiting:
            try:
                done(error)
            except Exception:
                logger.exception("a callback of the store failed")


def _ignore(reply: Reply) -> None:
    """For the reply to ASKING: if it failed, the command after it fails as well, and says so."""


def target_of(address: StoreAddress) -> Target:
    """Return what all connections of an address share; without the host where it has several."""
    return Target(path=address.path, user=address.user, password=address.password, db=address.db, tls=address.tls)


def locate_fixed(address: StoreAddress) -> Locate:
    """Always connect to the one server of the address."""
    host, port = address.hosts[0] if address.hosts else ("", 0)
    target = replace(target_of(address), host=host, port=port)

    async def locate() -> Target:
        return target

    return locate


def locate_master(address: StoreAddress, timeout_s: float) -> Locate:
    """Ask the sentinels of the address for the master each time."""
    target = replace(target_of(address), must_be_master=True)

    async def locate() -> Target:
        sentinels = sentinel_client(address, timeout_s)
        try:
            host, port = await sentinels.discover_master(address.service)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"No sentinel of {address} names a master: {error}") from error
        finally:
            for client in sentinels.sentinels:
                await client.aclose()
        return replace(target, host=host if isinstance(host, str) else host.decode(), port=int(port))

    return locate
