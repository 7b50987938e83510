"""The whole Redis key schema: every name that the store uses is made here.

The number of the bucket stands in braces, which makes it the hash tag of Redis Cluster: all keys of an AoR share one slot, so that
one script may touch them.
"""

from __future__ import annotations

import binascii
import re
import zlib
from typing import Final

from sipreg.errors import SettingWrong
from sipreg.registrar.model import Aor
from sipreg.store.resp import to_bytes

SLOTS: Final = 16384
"""Hash slots of a Redis Cluster, by its specification."""

DEFAULT_BUCKETS: Final = 256

_PREFIX: Final = re.compile(r"[A-Za-z0-9_.:-]{1,32}")


def slot_of_tag(tag: str) -> int:
    """Return the cluster slot of all keys with this hash tag, or of the key that is this text: CRC16 (XMODEM) modulo 16384."""
    return binascii.crc_hqx(to_bytes(tag), 0) & (SLOTS - 1)


def member_of(aor: Aor) -> str:
    """Return ``table:aor``: how an AoR is named within its bucket."""
    return f"{aor.table}:{aor.text}"


def crc_of(member: str) -> int:
    """Return what the bucket of a `member_of` is computed from; every node must agree on it, so it never changes."""
    return zlib.crc32(member.encode("utf-8", "surrogateescape"))


class Keys:
    """Names of keys under one prefix, with a fixed number of buckets.

    They are text; bytes of peers that are not UTF-8 stand in it as surrogate escapes, and `to_bytes` makes them bytes again.
    """

    __slots__ = ("buckets", "prefix", "slots")

    def __init__(self, prefix: str = "sr", buckets: int = DEFAULT_BUCKETS) -> None:
        """Begin every name with ``prefix``.

        Raises:
            SettingWrong: the prefix is not 1 to 32 of ``A-Z a-z 0-9 _ . : -`` (braces would move the hash tag), or there are not
                1 to 16384 buckets.
        """
        if not _PREFIX.fullmatch(prefix):
            raise SettingWrong(f"store.prefix: {prefix!r} is wrong; allowed: 1 to 32 of A-Z a-z 0-9 _ . : -")
        if not 1 <= buckets <= SLOTS:
            raise SettingWrong(f"store.buckets: {buckets} is wrong; allowed: 1 to {SLOTS}")
        self.prefix = prefix
        self.buckets = buckets
        self.slots = tuple(slot_of_tag(str(bucket)) for bucket in range(buckets))
        """The cluster slot of each bucket."""

    def bucket_of(self, aor: Aor) -> int:
        """Return the bucket of an AoR: CRC-32 of its member name modulo the number of buckets."""
        return crc_of(member_of(aor)) % self.buckets

    def store(self) -> str:
        """Return the hash of what is fixed when the store is first used: ``buckets`` and ``record`` (the record's version)."""
        return f"{self.prefix}:store"

    def bucket(self, bucket: int) -> str:
        """Return how every key of a bucket begins."""
        return f"{self.prefix}:{{{bucket}}}:"

    def record(self, aor: Aor) -> str:
        """Return the string of one AoR: its etag and its bindings; it expires with the last of them."""
        return f"{self.bucket(self.bucket_of(aor))}aor:{member_of(aor)}"

    def due(self, bucket: int) -> str:
        """Return the sorted set of member names by the next instant (Unix ms) at which the AoR needs attention."""
        return f"{self.bucket(bucket)}due"

    def log(self, bucket: int) -> str:
        """Return the capped stream of events that must not be lost."""
        return f"{self.bucket(bucket)}log"

    def nonce(self, bucket: int, nonce: str) -> str:
        """Return the string that holds the highest count seen of a nonce, until the nonce lapses."""
        return f"{self.bucket(bucket)}nonce:{nonce}"

    def wait(self, aor: Aor) -> str:
        """Return the set of edges that wait for the AoR to register again."""
        return f"{self.bucket(self.bucket_of(aor))}wait:{member_of(aor)}"

    def owner(self, bucket: int) -> str:
        """Return the lease of the node that keeps the bucket's house."""
        return f"{self.bucket(bucket)}owner"

    def edge(self, edge: str) -> str:
        """Return the hash of a live edge: epoch, address, version, state."""
        return f"{self.prefix}:edge:{edge}"

    def tag(self, name: str) -> str:
        """Return the hash of an ownership tag: its owner and fencing number."""
        return f"{self.prefix}:tag:{name}"

    def credential(self, realm: str, user: str) -> str:
        """Return the hash of one subscriber's HA1 by algorithm."""
        return f"{self.prefix}:cred:{realm}:{user}"

    def meta(self, aor: Aor) -> str:
        """Return the sorted set of home addresses by lease end; it is kept in the federation's store."""
        return f"{self.prefix}:meta:{member_of(aor)}"
