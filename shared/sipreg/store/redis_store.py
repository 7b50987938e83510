"""Bindings in Redis: one AoR, one key, changed by compare-and-swap in a script."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from sipreg.errors import SettingWrong, StoreUnavailable
from sipreg.registrar.model import ABSENT, Aor, Snapshot
from sipreg.registrar.ports import Change, CommitOutcome, NonceUse, ReadOutcome, Verdict
from sipreg.store.address import StoreAddress
from sipreg.store.cluster_link import ClusterLink
from sipreg.store.codec import RECORD_VERSION, decode_record, encode_record
from sipreg.store.commands import EventCommands, bucket_commands
from sipreg.store.keys import Keys, crc_of, slot_of_tag
from sipreg.store.link import DEFAULT_LIMITS, Link, LinkLimits, Reply
from sipreg.store.resp import pack
from sipreg.store.single_link import SingleLink, locate_fixed, locate_master
from sipreg.store.snapshot_cache import DEFAULT_CACHE_BYTES, SnapshotCache
from sipreg.tokens import TokenSource

logger = logging.getLogger("sipreg.store")

_COMMITTED: Final = Verdict.COMMITTED
"""Named once, as the class of an enumeration takes its time on Python 3.11."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisStoreOptions:
    """What an operator may choose."""

    cache_bytes: int = DEFAULT_CACHE_BYTES
    """How much a node remembers of what it saw last; 0 for nothing, at the price of a second round trip per refresh."""

    quiet_events: frozenset[str] = frozenset()
    """Names of events that nobody wants to hear of: they are neither published nor logged."""


class RedisStore:
    """A `BindingStore` on a single server, under Sentinel or on a cluster, which the link knows."""

    __slots__ = ("_buckets", "_cache", "_events", "_keys", "_link", "_token64")

    def __init__(self, link: Link, keys: Keys, tokens: TokenSource, options: RedisStoreOptions = RedisStoreOptions()) -> None:
        self._link = link
        self._keys = keys
        self._token64 = tokens.token64
        self._cache = SnapshotCache(options.cache_bytes)
        self._events = EventCommands(options.quiet_events)
        self._buckets: Final = bucket_commands(keys)

    # -- life -------------------------------------------------------------------------------------------------------

    @property
    def available(self) -> bool:
        """Whether the store can be asked at present, as far as is known: for readiness."""
        return self._link.available

    async def open(self) -> None:
        """Connect, and check that this store is divided and written as we divide and write.

        Raises:
            StoreUnavailable: it cannot be asked now. It is closed again; make another store to try again.
            SettingWrong: it was first used with another number of buckets, or is written in a version that we cannot share.
        """
        try:
            await self._link.open()
            await self._check_store()
        except BaseException:
            await self._link.close()
            raise

    async def close(self) -> None:
        """End it; what is under way fails."""
        await self._link.close()

    async def _check_store(self) -> None:
        key = self._keys.store()
        slot = slot_of_tag(key)
        await self._ask(slot, pack("HSETNX", key, "buckets", self._keys.buckets))
        await self._ask(slot, pack("HSETNX", key, "record", RECORD_VERSION))
        reply = await self._ask(slot, pack("HMGET", key, "buckets", "record"))
        buckets, version = (_number(value) for value in reply) if isinstance(reply, list) else (0, 0)
        if buckets != self._keys.buckets:
            raise SettingWrong(f"store.buckets: {self._keys.buckets} is wrong; allowed: {buckets}, which this store was begun with")
        # Others may still write the version before ours (a rolling upgrade); of a later one we know nothing.
        if not RECORD_VERSION - 1 <= version <= RECORD_VERSION:
            raise SettingWrong(f"store: its records are of version {version}; allowed: {RECORD_VERSION - 1} or {RECORD_VERSION}")

    # -- the port ---------------------------------------------------------------------------------------------------

    def recall(self, aor: Aor) -> Snapshot:
        """Return what this node saw of the AoR last (see `BindingStore.recall`)."""
        member = f"{aor.table}:{aor.text}"
        value = self._cache.get(member)
        if not value:
            return ABSENT
        try:
            return decode_record(value)
        except StoreUnavailable:
            self._cache.drop(member)
            return ABSENT

    def read(self, aor: Aor, done: Callable[[ReadOutcome], None], nonce_use: NonceUse | None = None) -> None:
        """Ask for the present state of the AoR (see `BindingStore.read`)."""
        member = f"{aor.table}:{aor.text}"
        bucket = self._buckets[crc_of(member) % len(self._buckets)]
        self._link.call(bucket.slot, bucket.read(member, nonce_use), partial(self._answer, member, done))

    def commit(self, change: Change, done: Callable[[CommitOutcome], None]) -> None:
        """Replace the bindings of an AoR if nobody else has (see `BindingStore.commit`)."""
        aor = change.aor
        member = f"{aor.table}:{aor.text}"
        bucket = self._buckets[crc_of(member) % len(self._buckets)]
        value = encode_record(self._token64(), change.bindings) if change.bindings else b""
        command = bucket.commit(change, member, value, self._events.arguments(change.events))
        self._link.call(bucket.slot, command, partial(self._committed, member, value, done))

    def _committed(self, member: str, value: bytes, done: Callable[[CommitOutcome], None], reply: Reply) -> None:
        if reply is None:
            self._cache.put(member, value)
            done(_COMMITTED)
        else:
            self._answer(member, done, reply)

    def _answer(self, member: str, done: Callable[[Snapshot | Verdict | StoreUnavailable], None], reply: Reply) -> None:
        """Make an outcome of the reply to a read, or of one that shows a commit the present state."""
        if isinstance(reply, StoreUnavailable):
            # Whether a commit was carried out is unknown now, so that what we saw last is worth less than nothing.
            self._cache.drop(member)
            done(reply)
        elif reply == 0:
            done(Verdict.REPLAYED)
        elif reply is None or isinstance(reply, bytes):
            value = reply or b""
            try:
                snapshot = decode_record(value)
            except StoreUnavailable as error:
                logger.error("record of %s: %s", member.encode("ascii", "backslashreplace").decode(), error)
                self._cache.drop(member)
                done(error)
                return
            self._cache.put(member, value)
            done(snapshot)
        else:
            done(StoreUnavailable("The store gave an answer that nobody understands"))

    # -- the due index ----------------------------------------------------------------------------------------------

    async def tidy(self, bucket: int, now_ms: int) -> int:
        """Look through the AoRs of a bucket that are due: those that are gone leave the index, the others are filed again.

        Args:
            bucket: which.
            now_ms: present Unix time in milliseconds; it should be the same as the server's, give or take some seconds.

        Returns:
            How many were looked at, a limited number at a time: call again until it is 0.

        Raises:
            StoreUnavailable: it could not be asked.
        """
        commands = self._buckets[bucket]
        due = await self._ask(commands.slot, commands.due(now_ms))
        if not isinstance(due, list) or not due:
            return 0
        await self._ask(commands.slot, commands.tidy(now_ms, due))
        return len(due)

    async def _ask(self, slot: int, command: bytes) -> Reply:
        """Send a command and wait for its reply.

        Raises:
            StoreUnavailable: an error reply, or none in time.
        """
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._link.call(slot, command, lambda reply: None if future.done() else future.set_result(reply))
        reply = await future
        if isinstance(reply, StoreUnavailable):
            raise reply
        return reply


def _number(value: bytes | None) -> int:
    """Return the number that a field holds, -1 if it is none."""
    return int(value) if value is not None and value.isdigit() else -1


def link_to(address: StoreAddress, limits: LinkLimits = DEFAULT_LIMITS) -> Link:
    """Make the link that an address asks for, not yet opened.

    Raises:
        SettingWrong: the address has no server.
    """
    if address.kind == "cluster":
        return ClusterLink(address, limits)
    if address.kind == "sentinel":
        return SingleLink(locate_master(address, limits.timeout_s), limits)
    if address.kind in ("single", "unix"):
        return SingleLink(locate_fixed(address), limits)
    raise SettingWrong(f"store: {str(address)!r} has no server to connect to; start it first, or name one")
