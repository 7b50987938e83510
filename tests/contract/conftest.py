from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from support.programs import require_module
from support.redis_servers import RedisCluster, RedisServer, redis_cluster, redis_server
from support.stores import Backend, FakeRedisBackend, MemoryBackend, RedisBackend


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests that leave it as it was."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """One cluster of three masters for all tests that leave it as it was."""
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(params=["memory", "fakeredis", "redis", "redis-uvloop", "cluster"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each kind of store in turn."""
    kind: str = request.param
    if kind == "memory":
        return MemoryBackend()
    if kind == "fakeredis":
        return FakeRedisBackend()
    if kind == "cluster":
        cluster: RedisCluster = request.getfixturevalue("shared_cluster")
        return RedisBackend(kind, cluster.address)
    server: RedisServer = request.getfixturevalue("shared_redis")
    runner = require_module("uvloop").run if kind == "redis-uvloop" else asyncio.run
    return RedisBackend(kind, server.address, runner)
