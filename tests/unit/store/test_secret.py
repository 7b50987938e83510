from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from sipreg.errors import SettingWrong, StoreUnavailable
from sipreg.store.admin import AdminClient, admin_client
from sipreg.store.keys import Keys
from sipreg.store.secret import cluster_secret, demo_password, derive, fresh_secret
from support.redis_servers import RedisServer, redis_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(autouse=True)
def _empty(server: RedisServer) -> None:
    with server.client() as client:
        client.flushall()


def with_client(server: RedisServer, course: Callable[[AdminClient], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        client = admin_client(server.address)
        try:
            await course(client)
        finally:
            await client.aclose()

    asyncio.run(run())


class TestClusterSecret:
    def test_all_nodes_have_the_same_even_if_they_start_at_once(self, server: RedisServer) -> None:
        async def course(client: AdminClient) -> None:
            found = await asyncio.gather(*(cluster_secret(client, Keys()) for _ in range(20)))
            assert len(set(found)) == 1
            assert len(found[0]) == 32
            assert await client.get("sr:secret") == found[0].hex().encode()

        with_client(server, course)

    def test_it_stays_and_does_not_lapse(self, server: RedisServer) -> None:
        async def course(client: AdminClient) -> None:
            first = await cluster_secret(client, Keys())
            assert await cluster_secret(client, Keys()) == first
            assert await client.ttl("sr:secret") == -1

        with_client(server, course)

    def test_clusters_with_other_prefixes_have_others(self, server: RedisServer) -> None:
        async def course(client: AdminClient) -> None:
            assert await cluster_secret(client, Keys("one")) != await cluster_secret(client, Keys("two"))

        with_client(server, course)

    @pytest.mark.parametrize("found", ["", "ab" * 31, "AB" * 32, "zz" * 32, "é" * 64])
    def test_what_is_none_of_ours_is_refused_and_left(self, server: RedisServer, found: str) -> None:
        async def course(client: AdminClient) -> None:
            await client.set("sr:secret", found)
            with pytest.raises(SettingWrong, match="sr:secret does not hold a secret of ours"):
                await cluster_secret(client, Keys())
            assert await client.get("sr:secret") == found.encode()

        with_client(server, course)

    def test_a_store_that_is_down_is_unavailable(self, tmp_path: Path) -> None:
        async def course(client: AdminClient) -> None:
            gone.kill()
            with pytest.raises(StoreUnavailable, match="The store does not tell the cluster's secret: "):
                await cluster_secret(client, Keys())

        with redis_server(tmp_path) as gone:
            with_client(gone, course)


class TestDerived:
    def test_each_purpose_has_a_key_of_its_own_that_is_always_the_same(self) -> None:
        secret = bytes(32)
        assert derive(secret, "nonce") == derive(secret, "nonce")
        assert derive(secret, "nonce") != derive(secret, "flow token")
        assert len(derive(secret, "nonce")) == 32

    def test_another_secret_makes_another_key(self) -> None:
        assert derive(bytes(32), "nonce") != derive(bytes(31) + b"\1", "nonce")

    def test_it_never_changes_from_one_release_to_the_next(self) -> None:
        """Nodes of both releases run side by side during an upgrade, so this is blake2s as it stands in RFC 7693, keyed."""
        assert derive(bytes(range(32)), "nonce").hex() == "31b7706b8975b7af275016009331cef38faeaf4c920ac9608a5a4142954b696f"


class TestFreshSecret:
    def test_no_two_are_the_same(self) -> None:
        assert len({fresh_secret() for _ in range(100)}) == 100
        assert len(fresh_secret()) == 32


class TestDemoPassword:
    def test_it_is_short_and_easily_typed(self) -> None:
        assert re.fullmatch("[a-z2-7]{12}", demo_password(fresh_secret(), "alice", "example.com"))

    def test_it_is_the_same_at_every_start(self) -> None:
        assert demo_password(bytes(32), "alice", "EXAMPLE.com") == demo_password(bytes(32), "alice", "example.com")

    def test_each_subscriber_of_each_cluster_has_another(self) -> None:
        passwords = {
            demo_password(secret, user, realm)
            for secret in (bytes(32), bytes(31) + b"\1")
            for user in ("alice", "bob", "alice\0x")
            for realm in ("example.com", "example.net")
        }
        assert len(passwords) == 12
