from __future__ import annotations

import pytest
import redis.asyncio
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool

from sipreg.errors import SettingWrong
from sipreg.store.address import parse_store_address
from sipreg.store.admin import admin_client


class TestAdminClient:
    def test_a_server_is_addressed_with_its_database_and_credentials_and_a_limit_of_time(self) -> None:
        client = admin_client(parse_store_address("redis://me:pw@host:7/3"), timeout_s=0.5)
        assert isinstance(client, redis.asyncio.Redis)
        options = client.connection_pool.connection_kwargs
        assert (options["host"], options["port"], options["db"], options["username"], options["password"]) == ("host", 7, 3, "me", "pw")
        assert options["socket_timeout"] == options["socket_connect_timeout"] == 0.5

    def test_a_unix_socket_is_addressed_by_its_path(self) -> None:
        client = admin_client(parse_store_address("unix:///run/s?db=2"))
        assert isinstance(client, redis.asyncio.Redis)
        assert client.connection_pool.connection_kwargs["path"] == "/run/s"
        assert client.connection_pool.connection_kwargs["db"] == 2

    def test_sentinels_are_asked_for_the_master(self) -> None:
        client = admin_client(parse_store_address("redis+sentinel://:pw@a:1,b:2/main"))
        assert isinstance(client, redis.asyncio.Redis)
        pool = client.connection_pool
        assert isinstance(pool, SentinelConnectionPool)
        assert (pool.service_name, pool.is_master, pool.connection_kwargs["password"]) == ("main", True, "pw")

    def test_a_cluster_has_a_client_of_its_kind(self) -> None:
        assert isinstance(admin_client(parse_store_address("redis+cluster://a:1")), RedisCluster)

    @pytest.mark.parametrize("text", ["memory", "embedded:/tmp/x"])
    def test_what_has_no_server_is_refused(self, text: str) -> None:
        with pytest.raises(SettingWrong, match=text):
            admin_client(parse_store_address(text))
