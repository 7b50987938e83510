"""What every source of credentials does, whatever keeps them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import fakeredis
import pytest

from sipreg.clock import WallClock
from sipreg.errors import StoreUnavailable
from sipreg.registrar.ports import Credential, CredentialOutcome, Known
from sipreg.store.admin import admin_client
from sipreg.store.credential_copy import CredentialLimits
from sipreg.store.credentials import MemoryCredentials, RedisCredentials
from sipreg.store.keys import Keys
from sipreg.store.subscribers import Subscriber, SubscriberError, ha1_for
from support.redis_servers import RedisServer, redis_server

REALM: Final = "example.com"

_numbers: Final = itertools.count()

#: What is seen elsewhere at once was told, for no copy grows old within a test.
OLD: Final = CredentialLimits(max_age_s=3600, negative_age_s=3600)

Source = MemoryCredentials | RedisCredentials


class Memory:
    """One source in this process: it is its own other instance."""

    def __init__(self) -> None:
        self._source = MemoryCredentials()

    @asynccontextmanager
    async def source(self, limits: CredentialLimits = OLD) -> AsyncIterator[Source]:
        """Give the source, open."""
        del limits
        await self._source.open()
        yield self._source
        await self._source.close()


class OnRedis:
    """Sources of their own, on the same data."""

    def __init__(self, client: Callable[[], Any], down: Callable[[], None] | None = None, up: Callable[[], None] | None = None) -> None:
        self.client = client
        self.down = down or (lambda: None)
        self.up = up or (lambda: None)
        self.keys = Keys(prefix=f"test{next(_numbers)}")

    @asynccontextmanager
    async def source(self, limits: CredentialLimits = OLD) -> AsyncIterator[RedisCredentials]:
        """Give one more source, open."""
        client = self.client()
        source = RedisCredentials(client, self.keys, WallClock(), limits)
        await source.open()
        try:
            yield source
        finally:
            await source.close()
            await client.aclose()


Site = Memory | OnRedis


def on_fakeredis() -> OnRedis:
    server = fakeredis.FakeServer()
    return OnRedis(
        lambda: fakeredis.FakeAsyncRedis(server=server),
        lambda: setattr(server, "connected", False),
        lambda: setattr(server, "connected", True),
    )


@pytest.fixture(params=["memory", "fakeredis", "redis", "cluster"])
def site(request: pytest.FixtureRequest) -> Site:
    if request.param == "memory":
        return Memory()
    if request.param == "fakeredis":
        return on_fakeredis()
    address = request.getfixturevalue("shared_redis" if request.param == "redis" else "shared_cluster").address
    return OnRedis(lambda: admin_client(address))


@pytest.fixture(params=["fakeredis", "redis"])
def fragile(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OnRedis]:
    """A site that can be taken down without losing what it holds."""
    if request.param == "fakeredis":
        yield on_fakeredis()
        return
    with redis_server(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        yield OnRedis(lambda: admin_client(server.address), server.kill, server.start)


async def look_up(source: Source, user: str, realm: str = REALM) -> CredentialOutcome:
    """Look up, and check that the callback is called once."""
    outcomes: list[CredentialOutcome] = []
    answered = asyncio.Event()

    def done(outcome: CredentialOutcome) -> None:
        outcomes.append(outcome)
        answered.set()

    source.credential(realm, user, done)
    async with asyncio.timeout(10):
        await answered.wait()
    await asyncio.sleep(0)
    assert len(outcomes) == 1
    return outcomes[0]


async def until(
    question: Callable[[], Awaitable[CredentialOutcome]], expected: Callable[[CredentialOutcome], bool], limit_s: float
) -> None:
    limit = time.monotonic() + limit_s
    while not expected(outcome := await question()):
        assert time.monotonic() < limit, f"still {outcome} after {limit_s} s"
        await asyncio.sleep(0.01)


def at_once(source: Source, user: str) -> list[CredentialOutcome]:
    """Return what is answered before the call returns."""
    outcomes: list[CredentialOutcome] = []
    source.credential(REALM, user, outcomes.append)
    return outcomes


class TestLookup:
    def test_who_was_looked_up_is_recalled_without_asking(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as source:
                await source.add(REALM, "alice", "secret")
                # The word of its own addition may still come, and makes it forget what it was just told.
                async with asyncio.timeout(5):
                    while isinstance(source.recall(REALM, "alice"), Known):
                        await look_up(source, "alice")
                        await asyncio.sleep(0)
                found = await look_up(source, "alice")
                assert isinstance(found, Credential)
                assert source.recall(REALM.upper(), "alice") == found
                assert await look_up(source, "nobody") is None
                assert source.recall(REALM, "nobody") is None

        asyncio.run(course())

    def test_a_name_that_nobody_can_have_is_known_to_be_nobodys(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as source:
                assert source.recall(REALM, "a:b") is None

        asyncio.run(course())

    def test_who_was_never_added_is_unknown(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as source:
                assert await look_up(source, "nobody") is None

        asyncio.run(course())

    def test_who_was_added_is_found_with_all_that_was_said(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as source:
                await source.add(REALM, "alice", "secret", ["Sales@EXAMPLE.com", "ärzte@example.net"])
                expected = Credential(ha1_for("alice", REALM, "secret"), ("Sales@example.com", "ärzte@example.net"))
                assert await look_up(source, "alice") == expected
                # From the copy, if there is one.
                assert await look_up(source, "alice") == expected

        asyncio.run(course())

    def test_realms_are_one_whatever_their_case(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as source:
                await source.add("EXAMPLE.com", "alice", "secret")
                assert await look_up(source, "alice", "Example.Com") == Credential(ha1_for("alice", "example.com", "secret"))

        asyncio.run(course())

    def test_users_and_realms_do_not_mix(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as source:
                await source.add("[2001:db8::1]", "alice", "secret")
                assert await look_up(source, "alice", "[2001:db8::1]") is not None
                assert await look_up(source, "Alice", "[2001:db8::1]") is None
                assert await look_up(source, "alice", "[2001:db8::2]") is None

        asyncio.run(course())

    @pytest.mark.parametrize("user", ["", "a:b", "a\0b", "line\nbreak", "x" * 256, "\udcff"])
    def test_a_name_that_nobody_can_have_is_unknown_at_once(self, site: Site, user: str) -> None:
        async def course() -> None:
            async with site.source() as source:
                assert at_once(source, user) == [None]

        asyncio.run(course())


class TestManagement:
    def test_who_exists_is_not_added_again(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as source:
                await source.add(REALM, "alice", "first", ["sales@example.com"])
                with pytest.raises(SubscriberError, match=r"^Subscriber alice@example\.com exists already$"):
                    await source.add(REALM, "alice", "second")
                assert await look_up(source, "alice") == Credential(ha1_for("alice", REALM, "first"), ("sales@example.com",))

        asyncio.run(course())

    def test_a_new_password_replaces_the_old_one_and_nothing_else(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as source:
                await source.add(REALM, "alice", "old", ["sales@example.com"])
                assert await look_up(source, "alice") is not None
                await source.set_password(REALM, "alice", "new")
                assert await look_up(source, "alice") == Credential(ha1_for("alice", REALM, "new"), ("sales@example.com",))

        asyncio.run(course())

    def test_who_was_removed_is_unknown_and_may_be_added_anew(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as source:
                await source.add(REALM, "alice", "old", ["sales@example.com"])
                assert await look_up(source, "alice") is not None
                await source.remove(REALM, "alice")
                assert await look_up(source, "alice") is None
                await source.add(REALM, "alice", "new")
                assert await look_up(source, "alice") == Credential(ha1_for("alice", REALM, "new"))

        asyncio.run(course())

    def test_who_does_not_exist_is_neither_changed_nor_removed(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as source:
                with pytest.raises(SubscriberError, match=r"^There is no subscriber bob@example\.com$"):
                    await source.set_password(REALM, "bob", "secret")
                with pytest.raises(SubscriberError, match=r"^There is no subscriber bob@example\.com$"):
                    await source.remove(REALM, "bob")
                assert await look_up(source, "bob") is None
                assert await source.list_subscribers() == []

        asyncio.run(course())

    def test_subscribers_are_listed_in_order_all_or_of_one_realm(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as source:
                for realm, user in (
                    ("b.example", "zoe"),
                    ("a.example", "zoe"),
                    ("a.example:x", "zoe"),
                    ("B.example", "al*[x]"),
                    ("[::1]", "al"),
                ):
                    await source.add(realm, user, "secret")
                everybody = [("[::1]", "al"), ("a.example", "zoe"), ("a.example:x", "zoe"), ("b.example", "al*[x]"), ("b.example", "zoe")]
                assert await source.list_subscribers() == everybody
                assert await source.list_subscribers("b.EXAMPLE") == [Subscriber("b.example", "al*[x]"), Subscriber("b.example", "zoe")]
                assert await source.list_subscribers("a.example") == [("a.example", "zoe")]
                assert await source.list_subscribers("[::1]") == [("[::1]", "al")]
                assert await source.list_subscribers("*") == []

        asyncio.run(course())

    def test_many_are_listed_completely(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as source:
                for number in range(300):
                    await source.add(REALM, f"user{number:03}", "secret")
                assert [each.user for each in await source.list_subscribers(REALM)] == [f"user{number:03}" for number in range(300)]

        asyncio.run(course())

    @pytest.mark.parametrize(
        ("realm", "user", "password", "aors"),
        [
            (REALM, "a:b", "secret", ()),
            (REALM, "", "secret", ()),
            ("", "alice", "secret", ()),
            ("two\nlines", "alice", "secret", ()),
            (REALM, "alice", "", ()),
            (REALM, "alice", "x" * 1025, ()),
            (REALM, "alice", "secret", ["no host"]),
            (REALM, "alice", "secret", ["two\nlines@example.com"]),
        ],
    )
    def test_what_cannot_be_is_not_stored(self, site: Site, realm: str, user: str, password: str, aors: tuple[str, ...]) -> None:
        async def course() -> None:
            async with site.source() as source:
                with pytest.raises(SubscriberError):
                    await source.add(realm, user, password, aors)
                assert await source.list_subscribers() == []

        asyncio.run(course())


class TestOtherInstances:
    def test_a_new_password_counts_there_at_once(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as here, site.source() as there:
                await here.add(REALM, "alice", "old")
                await until(lambda: look_up(there, "alice"), lambda outcome: outcome == Credential(ha1_for("alice", REALM, "old")), 2)
                await here.set_password(REALM, "alice", "new")
                await until(lambda: look_up(there, "alice"), lambda outcome: outcome == Credential(ha1_for("alice", REALM, "new")), 2)
                assert at_once(there, "alice") != [Credential(ha1_for("alice", REALM, "old"))]

        asyncio.run(course())

    def test_who_was_asked_for_in_vain_is_found_once_added(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as here, site.source() as there:
                # Asked until the answer is kept: what came before the channel was subscribed to is dropped.
                await until(lambda: look_up(there, "alice"), lambda outcome: outcome is None and at_once(there, "alice") == [None], 2)
                await here.add(REALM, "alice", "secret")
                await until(lambda: look_up(there, "alice"), lambda outcome: isinstance(outcome, Credential), 2)
                assert await look_up(there, "alice") == Credential(ha1_for("alice", REALM, "secret"))

        asyncio.run(course())

    def test_who_was_removed_is_unknown_there_at_once(self, site: Site) -> None:
        async def course() -> None:
            async with site.source() as here, site.source() as there:
                await here.add(REALM, "alice", "secret")
                await until(lambda: look_up(there, "alice"), lambda outcome: isinstance(outcome, Credential), 2)
                await here.remove(REALM, "alice")
                await until(lambda: look_up(there, "alice"), lambda outcome: outcome is None, 2)
                assert await look_up(there, "alice") is None

        asyncio.run(course())


class TestStoreDown:
    def test_it_is_unavailable_never_unknown_and_found_again_afterwards(self, fragile: OnRedis) -> None:
        async def course() -> None:
            async with fragile.source() as source:
                await source.add(REALM, "alice", "secret")
                fragile.down()
                for user in ("alice", "nobody"):
                    assert isinstance(await look_up(source, user), StoreUnavailable)
                fragile.up()
                await until(lambda: look_up(source, "alice"), lambda outcome: isinstance(outcome, Credential), 2)
                assert await look_up(source, "nobody") is None

        asyncio.run(course())

    def test_what_was_asked_before_is_answered_at_once(self, fragile: OnRedis) -> None:
        async def course() -> None:
            async with fragile.source() as source:
                await source.add(REALM, "alice", "secret")
                known = Credential(ha1_for("alice", REALM, "secret"))
                await until(lambda: look_up(source, "alice"), lambda outcome: at_once(source, "alice") == [outcome] == [known], 2)
                fragile.down()
                assert isinstance(await look_up(source, "bob"), StoreUnavailable)
                assert at_once(source, "alice") == [known]
                fragile.up()

        asyncio.run(course())

    def test_a_copy_that_grew_old_is_not_used(self, fragile: OnRedis) -> None:
        async def course() -> None:
            async with fragile.source(CredentialLimits(max_age_s=0.2)) as source:
                await source.add(REALM, "alice", "secret")
                assert isinstance(await look_up(source, "alice"), Credential)
                fragile.down()
                await until(lambda: look_up(source, "alice"), lambda outcome: isinstance(outcome, StoreUnavailable), 2)
                fragile.up()

        asyncio.run(course())

    def test_changes_and_lists_are_refused_as_unavailable(self, fragile: OnRedis) -> None:
        async def course() -> None:
            async with fragile.source() as source:
                fragile.down()
                for change in (
                    source.add(REALM, "alice", "secret"),
                    source.set_password(REALM, "alice", "secret"),
                    source.remove(REALM, "alice"),
                    source.list_subscribers(),
                ):
                    with pytest.raises(StoreUnavailable):
                        await change
                fragile.up()

        asyncio.run(course())

    def test_changes_are_followed_again_afterwards(self, fragile: OnRedis) -> None:
        async def course() -> None:
            async with fragile.source() as here, fragile.source() as there:
                await here.add(REALM, "alice", "old")
                await until(lambda: look_up(there, "alice"), lambda outcome: isinstance(outcome, Credential), 2)
                fragile.down()
                assert isinstance(await look_up(there, "bob"), StoreUnavailable)
                fragile.up()
                await here.set_password(REALM, "alice", "new")
                expected = Credential(ha1_for("alice", REALM, "new"))
                await until(lambda: look_up(there, "alice"), lambda outcome: outcome == expected, 15)

        asyncio.run(course())


class TestFrozenStore:
    def test_who_waits_is_told_within_the_limit(self, tmp_path: Path) -> None:
        async def course(server: RedisServer) -> None:
            site = OnRedis(lambda: admin_client(server.address))
            async with site.source(CredentialLimits(timeout_s=0.3)) as source:
                assert await look_up(source, "alice") is None
                server.freeze()
                began = time.monotonic()
                outcomes = await asyncio.gather(*(look_up(source, f"user{number}") for number in range(200)))
                assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
                assert time.monotonic() - began < 1.0
                server.thaw()
                await until(lambda: look_up(source, "bob"), lambda outcome: outcome is None, 2)

        with redis_server(tmp_path) as server:
            asyncio.run(course(server))
