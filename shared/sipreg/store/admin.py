"""A general Redis client for all that is not hot: topology, pub/sub, credentials, checks."""

from __future__ import annotations

from typing import Any, Final, Union

import redis.asyncio
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from sipreg.errors import SettingWrong
from sipreg.store.address import StoreAddress

AdminClient = Union["redis.asyncio.Redis", RedisCluster]
"""It answers in bytes, and opens its connections when it is first used; whoever has it calls ``aclose``."""

SOCKET_TIMEOUT_S: Final = 2.0
"""How long one command, or one attempt to connect, may take before redis-py raises its TimeoutError."""


def admin_client(address: StoreAddress, timeout_s: float = SOCKET_TIMEOUT_S) -> AdminClient:
    """Make a client for a store that has a server.

    With sentinels, each new connection asks them for the master. Errors of the client are those of redis-py; who calls it translates
    them. On pub/sub poll with ``get_message(timeout=...)`` below ``timeout_s``: ``listen`` would give up after a silence of that length.

    Args:
        address: any but ``memory`` and ``embedded``; the latter tells the address of its server once it runs.
        timeout_s: limit of one command and of one attempt to connect, in seconds.

    Raises:
        SettingWrong: the address has no server.
    """
    options = connection_options(address, timeout_s)
    if address.kind == "unix":
        return redis.asyncio.Redis(unix_socket_path=address.path, db=address.db, **options)
    if address.kind == "single":
        host, port = address.hosts[0]
        return redis.asyncio.Redis(host=host, port=port, db=address.db, ssl=address.tls, **options)
    if address.kind == "sentinel":
        client: redis.asyncio.Redis = sentinel_client(address, timeout_s).master_for(
            address.service, db=address.db, ssl=address.tls, **options
        )
        return client
    if address.kind == "cluster":
        return RedisCluster(startup_nodes=[ClusterNode(host, port) for host, port in address.hosts], ssl=address.tls, **options)
    raise SettingWrong(f"store: {str(address)!r} has no server to connect to; start it first, or name one")


def sentinel_client(address: StoreAddress, timeout_s: float = SOCKET_TIMEOUT_S) -> Sentinel:
    """Make a client that asks the sentinels of ``address`` for the master."""
    kwargs: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "ssl": address.tls,
        "password": address.sentinel_password or None,
        "retry": Retry(NoBackoff(), 1),
    }
    return Sentinel(list(address.hosts), sentinel_kwargs=kwargs)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped


def connection_options(address: StoreAddress, timeout_s: float) -> dict[str, Any]:
    """Return the options that every kind of client shares."""
    options: dict[str, Any] = {
        "username": address.user or None,
        "password": address.password or None,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
    }
    if address.kind != "cluster":
        # One more attempt, at once, for a pooled connection that went stale; redis-py would go on for many seconds.
        options["retry"] = Retry(NoBackoff(), 1)
    return options
