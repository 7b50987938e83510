"""The commands of the hot path as bytes.

A nonce count is written with ten digits, which hold 32 bits: at one width, text compares as the numbers do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sipreg.registrar.model import Event
from sipreg.registrar.ports import Change, NonceUse
from sipreg.store.codec import event_json
from sipreg.store.keys import Keys
from sipreg.store.resp import bulk, pack, to_bytes
from sipreg.store.scripts import COMMIT_RECORD, READ_RECORD, TIDY_DUE

LOGGED_EVENTS: Final = frozenset({"E_UL_AOR_INSERT", "E_UL_AOR_DELETE", "E_UL_CONTACT_INSERT", "E_UL_CONTACT_DELETE"})
"""Events that are kept in the bucket's log as well; a refresh of a contact is told once and not kept."""

_SIZED: Final = 4096
SIZES: Final = [f"${size}\r\n" for size in range(_SIZED)]
"""How the length of a part stands before it; looking it up takes a fifth of writing it."""

_LARGE: Final = _SIZED - 64
"""Bytes of names and record from which on the lengths may be beyond the table; a key's own words are never as long as the difference."""

_NEVER: Final = 1
"""An instant in the distant past, for a command that does not use it: Redis refuses none that is greater than 0."""

MOST_TIDIED: Final = 200
"""AoRs that one step of tidying looks at, so that the server is never held up for long."""


class BucketCommands:
    """Makes the commands that concern AoRs of one bucket."""

    __slots__ = ("_call", "_due", "_due_and_log", "_log", "_nonce", "_nonce_size", "_record", "_record_size", "slot")

    def __init__(self, keys: Keys, bucket: int) -> None:
        self.slot = keys.slots[bucket]
        self._record = keys.bucket(bucket) + "aor:"
        self._nonce = keys.nonce(bucket, "")
        self._due = keys.due(bucket)
        self._log = keys.log(bucket)
        # What is the same in every commit_record of this bucket, as it goes over the wire.
        self._call = (COMMIT_RECORD.by_sha + bulk("4")).decode()
        self._due_and_log = (bulk(self._due) + bulk(self._log)).decode()
        self._record_size = len(self._record)
        self._nonce_size = len(self._nonce)

    def commit(self, change: Change, member: str, value: bytes, events: PackedEvents) -> bytes:
        """Return the call of the script commit_record.

        Args:
            change: what is to be done.
            member: `member_of` its AoR.
            value: etag and record to write, b"" to remove.
            events: what `EventCommands` made of its events.
        """
        bindings = change.bindings
        if len(bindings) == 1:  # nearly always, and looking for extremes costs as much as the rest of this
            by = at = str(bindings[0].expires_at_ms)
        else:
            instants = [binding.expires_at_ms for binding in bindings]
            by, at = str(max(instants, default=_NEVER)), str(min(instants, default=_NEVER))
        use = change.nonce_use
        nonce, count, until = (
            ("", "", str(_NEVER)) if use is None else (use.nonce, str(use.count).zfill(10), str(max(use.lapses_at_ms, _NEVER)))
        )
        if not member.isascii() or not nonce.isascii() or len(member) + len(nonce) + len(value) >= _LARGE:
            return self._commit_awkward(change, member, value, events, (by, at, nonce, count, until))
        # Written by hand: the general writer takes three times as long, and this is done for every REGISTER.
        size = SIZES
        length = size[len(member)]
        head = (
            f"{events[0]}{self._call}{size[self._record_size + len(member)]}{self._record}{member}\r\n{self._due_and_log}"
            f"{size[self._nonce_size + len(nonce)]}{self._nonce}{nonce}\r\n{size[len(change.etag)]}{change.etag}\r\n"
            f"{size[len(by)]}{by}\r\n{length}{member}\r\n{size[len(at)]}{at}\r\n{size[len(count)]}{count}\r\n"
            f"{size[len(until)]}{until}\r\n{size[len(value)]}"
        )
        return b"".join((head.encode(), value, events[1]))

    def _commit_awkward(
        self, change: Change, member: str, value: bytes, events: PackedEvents, texts: tuple[str, str, str, str, str]
    ) -> bytes:
        """Return the same for names that are not ASCII, whose length in bytes is not that of the text, and for what is large."""
        by, at, nonce, count, until = texts
        keys = (self._record + member, self._due, self._log, self._nonce + nonce)
        parts = [*keys, change.etag, by, member, at, count, until]
        head = (events[0] + self._call).encode() + b"".join(map(bulk, parts))
        return b"".join((head, b"$%d\r\n" % len(value), value, events[1]))

    def read(self, member: str, use: NonceUse | None) -> bytes:
        """Return the command that reads an AoR's record, and uses up the count of a nonce if there is one."""
        record_key = self._record + member
        if use is None:
            return pack("GET", record_key)
        count = f"{use.count:010d}"
        return pack("EVALSHA", READ_RECORD.sha, 2, record_key, self._nonce + use.nonce, count, max(use.lapses_at_ms, 1))

    def due(self, now_ms: int) -> bytes:
        """Return the command that names the AoRs that are due, a limited number of them."""
        return pack("ZRANGEBYSCORE", self._due, "-inf", now_ms, "LIMIT", 0, MOST_TIDIED)

    def tidy(self, now_ms: int, members: list[bytes]) -> bytes:
        """Return the call of the script tidy_due."""
        prefix = to_bytes(self._record)
        return pack("EVALSHA", TIDY_DUE.sha, 1 + len(members), self._due, *(prefix + member for member in members), now_ms, *members)


PackedEvents = tuple[str, bytes]
"""Arguments of commit_record that tell of events: the beginning of the command, which says how many parts it has, and what stands behind
the record, from its line end on."""

_COMMIT_PARTS: Final = 14
"""Parts of a call of commit_record without events."""

_COUNTS: Final = [f"*{count}\r\n" for count in range(512)]
"""How a command of so many parts begins; usual limits allow a REGISTER 66 events (32 removed, 32 inserted, two of the AoR)."""


class EventCommands:
    """Makes the arguments of commit_record that tell of events."""

    __slots__ = ("_heads", "_quiet")

    def __init__(self, quiet: frozenset[str]) -> None:
        """Leave out the events that are named in ``quiet``."""
        self._quiet = quiet
        self._heads: dict[str, bytes] = {}

    def arguments(self, events: Iterable[Event]) -> PackedEvents:
        """Return three arguments per event: channel, whether it is logged, payload."""
        count = _COMMIT_PARTS
        data = [b"\r\n"]
        for event in events:
            name = event.name
            if name not in self._quiet:
                payload = event_json(event)
                size = len(payload)
                data += (
                    self._heads.get(name) or self._head(name),
                    SIZES[size].encode() if size < _SIZED else b"$%d\r\n" % size,
                    payload,
                    b"\r\n",
                )
                count += 3
        return _COUNTS[count] if count < len(_COUNTS) else f"*{count}\r\n", b"".join(data)

    def _head(self, name: str) -> bytes:
        head = self._heads[name] = bulk(name) + bulk("1" if name in LOGGED_EVENTS else "0")
        return head


def bucket_commands(keys: Keys) -> tuple[BucketCommands, ...]:
    """Return the commands of every bucket; an AoR's is at `crc_of` its member modulo their number."""
    return tuple(BucketCommands(keys, bucket) for bucket in range(keys.buckets))
