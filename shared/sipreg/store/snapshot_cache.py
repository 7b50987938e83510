"""What a node saw of each AoR last, within a bound of bytes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

DEFAULT_CACHE_BYTES: Final = 64 * 1024 * 1024

ENTRY_OVERHEAD: Final = 280
"""Bytes of an entry beside its text and value: the two objects' heads, the slot in the table and in the order (CPython, 64 bits)."""


class SnapshotCache:
    """The least recently used go first.

    Keys are text and values bytes: nothing that the garbage collector would walk through, however many there are.
    """

    __slots__ = ("_bytes", "_entries", "_limit")

    def __init__(self, limit_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        """Keep at most ``limit_bytes``, overhead included; 0 remembers nothing."""
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._limit = limit_bytes

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """What the entries take, by our estimate."""
        return self._bytes

    def get(self, member: str) -> bytes:
        """Return the record of an AoR, b"" if none is remembered."""
        value = self._entries.get(member)
        if value is None:
            return b""
        self._entries.move_to_end(member)
        return value

    def put(self, member: str, value: bytes) -> None:
        """Remember a record; b"" forgets it."""
        if not value:
            self.drop(member)
            return
        entries = self._entries
        old = entries.get(member)
        if old is not None:
            self._bytes += len(value) - len(old)
            entries[member] = value
            entries.move_to_end(member)
        else:
            self._bytes += len(member) + len(value) + ENTRY_OVERHEAD
            entries[member] = value
        while self._bytes > self._limit:
            oldest, record = entries.popitem(last=False)
            self._bytes -= len(oldest) + len(record) + ENTRY_OVERHEAD

    def drop(self, member: str) -> None:
        """Forget a record, if it is remembered."""
        value = self._entries.pop(member, None)
        if value is not None:
            self._bytes -= len(member) + len(value) + ENTRY_OVERHEAD
