"""What only credentials in Redis do; what all sources do is in the contract suite."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

import pytest
from redis.asyncio import Redis

from sipreg.clock import WallClock
from sipreg.errors import StoreUnavailable
from sipreg.registrar.ports import Credential, CredentialOutcome
from sipreg.store.admin import admin_client
from sipreg.store.credential_copy import CredentialLimits
from sipreg.store.credentials import RedisCredentials
from sipreg.store.keys import Keys
from sipreg.store.subscribers import ha1_for
from support.redis_servers import RedisServer, redis_server

T = TypeVar("T")

REALM: Final = "example.com"
OLD: Final = CredentialLimits(max_age_s=3600, negative_age_s=3600)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


Course = Callable[[RedisCredentials, Redis], Awaitable[None]]


def with_credentials(server: RedisServer, course: Course, limits: CredentialLimits = OLD) -> None:
    """Run a course with a source on an empty server, and a client beside it."""

    async def run() -> None:
        clients = admin_client(server.address), admin_client(server.address)
        plain = clients[1]
        assert isinstance(plain, Redis)
        await plain.flushall()
        source = RedisCredentials(clients[0], Keys(), WallClock(), limits)
        await source.open()
        try:
            await until(lambda: subscribers(plain), lambda count: count == 1, "the channel to be followed")
            await course(source, plain)
        finally:
            await source.close()
            for client in clients:
                await client.aclose()

    asyncio.run(run())


async def until(question: Callable[[], Awaitable[T]], expected: Callable[[T], bool], what: str) -> None:
    limit = time.monotonic() + 5
    while not expected(answer := await question()):
        assert time.monotonic() < limit, f"waited in vain for {what}: {answer}"
        await asyncio.sleep(0.01)


async def subscribers(client: Redis) -> int:
    ((_, count),) = await client.pubsub_numsub("sr:cred")
    return int(count)


async def look_up(source: RedisCredentials, user: str) -> CredentialOutcome:
    future: asyncio.Future[CredentialOutcome] = asyncio.get_running_loop().create_future()
    source.credential(REALM, user, future.set_result)
    async with asyncio.timeout(10):
        return await future


async def questions(client: Redis) -> int:
    stats = await client.info("commandstats")
    return int(stats.get("cmdstat_hgetall", {"calls": 0})["calls"])


class TestRecord:
    def test_it_is_a_hash_without_the_password(self, server: RedisServer) -> None:
        async def course(source: RedisCredentials, client: Redis) -> None:
            await source.add("EXAMPLE.com", "alice", "secret", ["sales@example.com", "info@example.com"])
            ha1 = ha1_for("alice", REALM, "secret")
            assert await client.hgetall("sr:cred:example.com:alice") == {
                b"MD5": ha1["MD5"].encode(),
                b"SHA-256": ha1["SHA-256"].encode(),
                b"aors": b"sales@example.com\ninfo@example.com",
            }

        with_credentials(server, course)

    def test_what_others_stored_is_found(self, server: RedisServer) -> None:
        async def course(source: RedisCredentials, client: Redis) -> None:
            await client.hset("sr:cred:example.com:alice", "SHA-256", "AB12")
            assert await look_up(source, "alice") == Credential({"SHA-256": "ab12"})

        with_credentials(server, course)

    def test_a_key_that_is_no_hash_harms_only_whom_it_is_named_after(self, server: RedisServer) -> None:
        async def course(source: RedisCredentials, client: Redis) -> None:
            await client.set("sr:cred:example.com:alice", "text")
            await source.add(REALM, "bob", "secret")
            outcomes = await asyncio.gather(look_up(source, "alice"), look_up(source, "bob"))
            assert isinstance(outcomes[0], StoreUnavailable)
            assert isinstance(outcomes[1], Credential)

        with_credentials(server, course)


class TestCopy:
    def test_the_store_is_asked_once_for_one_subscriber(self, server: RedisServer) -> None:
        async def course(source: RedisCredentials, client: Redis) -> None:
            await source.add(REALM, "alice", "secret")
            await client.config_resetstat()
            await asyncio.gather(*(look_up(source, "alice") for _ in range(20)))
            await look_up(source, "alice")
            assert await questions(client) == 1

        with_credentials(server, course)

    def test_no_more_than_the_limit_are_remembered(self, server: RedisServer) -> None:
        async def course(source: RedisCredentials, client: Redis) -> None:
            for user in ("a", "b", "c"):
                assert await look_up(source, user) is None
            await client.config_resetstat()
            for user in ("c", "b"):
                assert await look_up(source, user) is None
            assert await questions(client) == 0
            assert await look_up(source, "a") is None
            assert await questions(client) == 1

        with_credentials(server, course, CredentialLimits(max_age_s=3600, negative_age_s=3600, max_entries=2))

    def test_a_lost_subscription_costs_all_copies_for_changes_may_be_missed(self, server: RedisServer) -> None:
        async def course(source: RedisCredentials, client: Redis) -> None:
            await client.hset("sr:cred:example.com:alice", "MD5", "aa")
            assert await look_up(source, "alice") == Credential({"MD5": "aa"})
            await client.hset("sr:cred:example.com:alice", "MD5", "bb")
            assert await look_up(source, "alice") == Credential({"MD5": "aa"})
            await client.client_kill_filter(_type="pubsub")
            await until(lambda: look_up(source, "alice"), lambda outcome: outcome == Credential({"MD5": "bb"}), "the new password")

        with_credentials(server, course)

    def test_an_empty_message_makes_all_nodes_ask_anew(self, server: RedisServer) -> None:
        async def course(source: RedisCredentials, client: Redis) -> None:
            assert await look_up(source, "alice") is None
            await client.hset("sr:cred:example.com:alice", "MD5", "aa")
            await client.publish("sr:cred", "")
            await until(lambda: look_up(source, "alice"), lambda outcome: outcome == Credential({"MD5": "aa"}), "the new subscriber")

        with_credentials(server, course)

    def test_a_silent_connection_is_kept(self, server: RedisServer) -> None:
        async def course(source: RedisCredentials, client: Redis) -> None:
            await client.hset("sr:cred:example.com:alice", "MD5", "aa")
            assert await look_up(source, "alice") == Credential({"MD5": "aa"})
            await client.config_resetstat()
            await until(pings, lambda count: count >= 2, "two pings")
            await client.config_resetstat()
            assert await look_up(source, "alice") == Credential({"MD5": "aa"})
            assert await questions(client) == 0
            assert await subscribers(client) == 1

        async def pings() -> int:
            async with Redis(port=server.port) as client:
                stats = await client.info("commandstats")
            return int(stats.get("cmdstat_ping", {"calls": 0})["calls"])

        with_credentials(server, course)


class TestClose:
    def test_it_leaves_nothing_running_and_the_client_open(self, server: RedisServer) -> None:
        async def course(source: RedisCredentials, client: Redis) -> None:
            outcomes: list[CredentialOutcome] = []
            source.credential(REALM, "alice", outcomes.append)
            await source.close()
            assert len(outcomes) == 1
            assert isinstance(outcomes[0], StoreUnavailable)
            assert len(asyncio.all_tasks()) == 1
            await until(lambda: subscribers(client), lambda count: count == 0, "the end of the subscription")

        with_credentials(server, course)
