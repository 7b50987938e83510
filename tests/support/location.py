"""What a running store really holds, read by a plain client, and subscribers written into it by the thousand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import redis

from sipreg.registrar.model import Aor
from sipreg.store.keys import Keys
from sipreg.store.subscribers import ha1_for
from support.edges import DOMAIN
from support.redis_servers import RedisCluster, RedisServer

Store = RedisServer | RedisCluster

_BATCH: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One binding as it stands in a record."""

    contact: str
    call_id: str
    cseq: int
    modified_at_ms: int
    expires_at_ms: int

    @property
    def granted_s(self) -> float:
        """Seconds that the REGISTER which wrote it was granted."""
        return (self.expires_at_ms - self.modified_at_ms) / 1000


def nodes_of(store: Store) -> list[RedisServer]:
    """Return the servers that hold the keys."""
    return store.nodes if isinstance(store, RedisCluster) else [store]


def write_subscribers(store: Store, passwords: Mapping[str, str], domain: str = DOMAIN) -> None:
    """Write subscribers as those who have very many load them: their hashes, and no word to the edges, which must not have asked yet."""
    keys = Keys()
    if isinstance(store, RedisCluster):
        client: Any = redis.RedisCluster(host="127.0.0.1", port=store.nodes[0].port)
    else:
        client = store.client()
    users = list(passwords)
    try:
        for start in range(0, len(users), _BATCH):
            with client.pipeline(transaction=False) as pipeline:
                for user in users[start : start + _BATCH]:
                    pipeline.hset(keys.credential(domain, user), mapping=ha1_for(user, domain, passwords[user]))
                pipeline.execute()
    finally:
        client.close()


def decoded(record: bytes) -> tuple[Stored, ...]:
    """Return the bindings of a record, which is an etag of 16 bytes and JSON."""
    return tuple(Stored(**{name: binding[name] for name in Stored.__slots__}) for binding in json.loads(record[16:])["bindings"])


def stored_records(store: Store) -> dict[str, bytes]:
    """Return every record in the store, by its AoR."""
    found: dict[str, bytes] = {}
    for node in nodes_of(store):
        with node.client() as client:
            names: list[bytes] = list(client.scan_iter(match="sr:{*}:aor:*", count=_BATCH))
            for start in range(0, len(names), _BATCH):
                with client.pipeline(transaction=False) as pipeline:
                    for name in names[start : start + _BATCH]:
                        pipeline.get(name)
                    values = pipeline.execute()
                for name, value in zip(names[start:], values, strict=False):
                    aor = name.decode().partition(":aor:location:")[2]
                    if value is not None:
                        assert aor not in found, f"two records of {aor}"
                        found[aor] = value
    return found


def stored_bindings(store: Store) -> dict[str, tuple[Stored, ...]]:
    """Return the bindings of every AoR in the store."""
    return {aor: decoded(record) for aor, record in stored_records(store).items()}


def stored_record(store: RedisServer, user: str, domain: str = DOMAIN) -> bytes:
    """Return the record of one AoR, b"" if there is none."""
    with store.client() as client:
        value = client.get(Keys().record(Aor("location", f"{user}@{domain}")))
    return value if isinstance(value, bytes) else b""
