"""A real server that dies, hangs, fills up, forgets and changes its role: nothing is half-done, and service comes back by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sipreg.errors import SettingWrong, StoreUnavailable
from sipreg.registrar.model import ABSENT, Aor, Event, Snapshot
from sipreg.registrar.ports import Change, Verdict
from sipreg.store.address import StoreAddress, parse_store_address
from sipreg.store.keys import Keys, member_of
from sipreg.store.link import LinkLimits
from sipreg.store.redis_store import RedisStore, RedisStoreOptions, link_to
from sipreg.tokens import RandomTokens
from support.redis_servers import RedisServer, redis_server
from support.stores import Bench, a_binding, a_nonce, an_aor, now_ms, until

KEYS = Keys()

RECOVERY_S = 2.0


@asynccontextmanager
async def a_bench(address: StoreAddress, keys: Keys = KEYS, **limits: float | int) -> AsyncIterator[Bench]:
    store = RedisStore(link_to(address, LinkLimits(**limits)), keys, RandomTokens())  # type: ignore[arg-type]  # the fields are of two types
    await store.open()
    try:
        yield Bench(store)
    finally:
        await store.close()


async def answered(bench: Bench, aor: Aor) -> Snapshot | None:
    outcome = await bench.read(aor)
    return outcome if isinstance(outcome, Snapshot) else None


class TestServerThatDies:
    def test_calls_fail_at_once_while_it_is_away_and_go_on_with_all_that_was_committed_when_it_is_back(self, tmp_path: Path) -> None:
        async def scenario(server: RedisServer) -> None:
            aor = an_aor()
            async with a_bench(server.address) as bench:
                await bench.put(aor, a_binding("sip:before@192.0.2.1"))
                before = await bench.snapshot(aor)
                server.kill()
                begun = time.monotonic()
                assert bench.store.recall(aor) == before
                assert isinstance(await bench.put(aor, a_binding(), on=before), StoreUnavailable)
                assert bench.store.recall(aor) == ABSENT
                assert isinstance(await bench.read(aor), StoreUnavailable)
                assert time.monotonic() - begun < 0.5
                assert not bench.store.available
                await asyncio.to_thread(server.restart)
                assert await until(lambda: answered(bench, aor), RECOVERY_S, "the store to recover") == before
                assert await bench.put(aor, a_binding(), on=before) is Verdict.COMMITTED

        with redis_server(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
            asyncio.run(scenario(server))

    def test_calls_that_are_under_way_when_it_dies_are_each_answered(self, tmp_path: Path) -> None:
        async def scenario(server: RedisServer) -> None:
            async with a_bench(server.address) as bench:
                server.freeze()
                calls = [asyncio.create_task(bench.put(an_aor(), a_binding())) for _ in range(100)]
                await asyncio.sleep(0)
                server.kill()
                assert all(isinstance(outcome, StoreUnavailable) for outcome in await asyncio.gather(*calls))

        with redis_server(tmp_path) as server:
            asyncio.run(scenario(server))

    def test_a_store_that_is_not_there_is_told_when_it_is_opened(self, tmp_path: Path) -> None:
        async def scenario(server: RedisServer) -> None:
            server.kill()
            with pytest.raises(StoreUnavailable, match=str(server.port)):
                async with a_bench(server.address, timeout_s=0.3):
                    pass

        with redis_server(tmp_path) as server:
            asyncio.run(scenario(server))


class TestServerThatHangs:
    def test_calls_fail_within_the_timeout_then_at_once_and_succeed_when_it_runs_on(self, tmp_path: Path) -> None:
        async def scenario(server: RedisServer) -> None:
            aor = an_aor()
            async with a_bench(server.address, timeout_s=0.4) as bench:
                await bench.put(aor, a_binding())
                server.freeze()
                begun = time.monotonic()
                outcomes = await asyncio.gather(*(bench.read(aor) for _ in range(50)))
                assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
                assert 0.3 < time.monotonic() - begun < 0.9
                begun = time.monotonic()
                assert isinstance(await bench.read(aor), StoreUnavailable)
                assert time.monotonic() - begun < 0.1
                server.thaw()
                snapshot = await until(lambda: answered(bench, aor), RECOVERY_S, "the store to recover")
                assert snapshot is not None
                assert snapshot.bindings

        with redis_server(tmp_path) as server:
            asyncio.run(scenario(server))

    def test_an_idle_link_finds_out_by_itself(self, tmp_path: Path) -> None:
        async def scenario(server: RedisServer) -> None:
            async with a_bench(server.address, timeout_s=0.2) as bench:

                async def is_down() -> bool:
                    return not bench.store.available

                assert not await is_down()
                server.freeze()
                await until(is_down, 1.5, "the link to notice")

        with redis_server(tmp_path) as server:
            asyncio.run(scenario(server))

    def test_more_calls_than_may_be_under_way_fail_at_once(self, tmp_path: Path) -> None:
        async def scenario(server: RedisServer) -> None:
            async with a_bench(server.address, max_in_flight=10) as bench:
                server.freeze()
                calls = [asyncio.create_task(bench.read(an_aor())) for _ in range(15)]
                done, waiting = await asyncio.wait(calls, timeout=0.1)
                assert len(done) == 5
                assert all("Too many" in str(call.result()) for call in done)
                server.thaw()
                assert await asyncio.gather(*waiting) == [ABSENT] * 10

        with redis_server(tmp_path) as server:
            asyncio.run(scenario(server))


class TestServerThatIsFull:
    def test_a_commit_fails_whole_and_a_removal_still_succeeds(self, tmp_path: Path) -> None:
        async def scenario(server: RedisServer) -> None:
            stored, refused, use = an_aor(), an_aor(), a_nonce()
            async with a_bench(server.address) as bench:
                await bench.put(stored, a_binding())
                with server.client() as client:
                    client.config_set("maxmemory-policy", "noeviction")
                    client.config_set("maxmemory", 1)
                    outcome = await bench.put(refused, a_binding(), nonce_use=use)
                    assert isinstance(outcome, StoreUnavailable)
                    assert "memory" in str(outcome)
                    bucket = KEYS.bucket_of(refused)
                    assert not client.exists(KEYS.record(refused), KEYS.nonce(bucket, use.nonce))
                    assert client.zscore(KEYS.due(bucket), member_of(refused)) is None
                    assert await bench.put(stored, on=await bench.snapshot(stored), nonce_use=a_nonce()) is Verdict.COMMITTED
                    assert client.zscore(KEYS.due(KEYS.bucket_of(stored)), member_of(stored)) is None
                    client.config_set("maxmemory", 0)
                assert await bench.put(refused, a_binding(), nonce_use=use) is Verdict.COMMITTED

        with redis_server(tmp_path) as server:
            asyncio.run(scenario(server))


class TestServerThatForgetsOrChanges:
    def test_scripts_that_were_flushed_are_sent_again(self, shared_redis: RedisServer) -> None:
        async def scenario() -> None:
            aor, use = an_aor(), a_nonce()
            async with a_bench(shared_redis.address) as bench:
                with shared_redis.client() as client:
                    client.script_flush()
                    assert await bench.put(aor, a_binding(), nonce_use=use) is Verdict.COMMITTED
                    client.script_flush()
                    assert await bench.read(aor, use) is Verdict.REPLAYED
                    client.script_flush()
                    outcomes = await asyncio.gather(*(bench.put(an_aor(), a_binding()) for _ in range(20)))
                    assert outcomes == [Verdict.COMMITTED] * 20

        asyncio.run(scenario())

    def test_a_master_that_became_a_replica_is_left_and_looked_for_again(self, tmp_path: Path) -> None:
        async def scenario(server: RedisServer) -> None:
            aor = an_aor()
            async with a_bench(server.address) as bench:
                await bench.put(aor, a_binding())
                before = await bench.snapshot(aor)
                with server.client() as client:
                    client.execute_command("REPLICAOF", "127.0.0.1", "1")
                    outcome = await bench.put(aor, a_binding(), on=before)
                    assert isinstance(outcome, StoreUnavailable)
                    assert "READONLY" in str(outcome)
                    assert not bench.store.available
                    client.execute_command("REPLICAOF", "NO", "ONE")
                assert await until(lambda: answered(bench, aor), RECOVERY_S, "the store to recover") == before
                assert await bench.put(aor, a_binding(), on=before) is Verdict.COMMITTED

        with redis_server(tmp_path) as server:
            asyncio.run(scenario(server))

    def test_a_server_that_lost_its_data_is_a_conflict_and_no_error(self, tmp_path: Path) -> None:
        async def scenario(server: RedisServer) -> None:
            aor = an_aor()
            async with a_bench(server.address) as bench:
                await bench.put(aor, a_binding())
                with server.client() as client:
                    client.flushall()
                assert await bench.put(aor, a_binding(), on=bench.store.recall(aor)) == ABSENT
                assert await bench.put(aor, a_binding(), on=bench.store.recall(aor)) is Verdict.COMMITTED

        with redis_server(tmp_path) as server:
            asyncio.run(scenario(server))


class TestSettingsOfTheConnection:
    def test_password_database_and_unix_socket(self, tmp_path: Path) -> None:
        async def scenario(server: RedisServer) -> None:
            aor = an_aor()
            tcp = parse_store_address(f"redis://default:s%40crt@127.0.0.1:{server.port}/3")
            async with a_bench(tcp) as bench, a_bench(parse_store_address(f"unix://:s%40crt@{tmp_path}/s?db=3")) as other:
                assert await bench.put(aor, a_binding()) is Verdict.COMMITTED
                assert await other.snapshot(aor) == await bench.snapshot(aor)
            async with a_bench(parse_store_address(f"redis://:s%40crt@127.0.0.1:{server.port}")) as bench:
                assert await bench.snapshot(aor) == ABSENT
            for wrong in ("redis://:no@", "redis://"):
                with pytest.raises(StoreUnavailable, match=r"WRONGPASS|NOAUTH"):
                    async with a_bench(parse_store_address(f"{wrong}127.0.0.1:{server.port}"), timeout_s=0.3):
                        pass

        with redis_server(tmp_path, "--unixsocket", str(tmp_path / "s")) as server:
            with server.client() as client:
                client.config_set("requirepass", "s@crt")
            asyncio.run(scenario(server))

    def test_another_number_of_buckets_is_refused_with_the_number_that_is_right(self, shared_redis: RedisServer) -> None:
        async def scenario() -> None:
            async with a_bench(shared_redis.address, Keys("fixed", 4)):
                pass
            async with a_bench(shared_redis.address, Keys("fixed", 4)):
                pass
            with pytest.raises(SettingWrong, match="allowed: 4"):
                async with a_bench(shared_redis.address, Keys("fixed", 8)):
                    pass

        asyncio.run(scenario())

    def test_a_store_that_is_written_in_a_newer_version_is_refused(self, shared_redis: RedisServer) -> None:
        async def scenario() -> None:
            with shared_redis.client() as client:
                client.hset(Keys("newer").store(), mapping={"buckets": 256, "record": 2})
            with pytest.raises(SettingWrong, match="version 2"):
                async with a_bench(shared_redis.address, Keys("newer")):
                    pass

        asyncio.run(scenario())


class TestKeys:
    """What stands in Redis beside the record."""

    def test_a_record_of_a_newer_version_is_unavailable_and_stays_as_it_is(self, shared_redis: RedisServer) -> None:
        async def scenario() -> None:
            aor = an_aor()
            value = b"0" * 16 + b'{"v":9,"contacts":{}}'
            async with a_bench(shared_redis.address) as bench:
                with shared_redis.client() as client:
                    client.set(KEYS.record(aor), value, ex=60)
                    assert isinstance(await bench.read(aor), StoreUnavailable)
                    assert isinstance(await bench.put(aor, a_binding()), StoreUnavailable)
                    assert bench.store.recall(aor) == ABSENT
                    assert client.get(KEYS.record(aor)) == value

        asyncio.run(scenario())

    def test_inserts_and_deletes_are_logged_and_updates_are_not(self, shared_redis: RedisServer) -> None:
        async def scenario() -> None:
            aor, binding = an_aor(), a_binding()
            names = ("E_UL_AOR_INSERT", "E_UL_CONTACT_INSERT", "E_UL_CONTACT_UPDATE", "E_UL_CONTACT_DELETE", "E_UL_AOR_DELETE")
            events = tuple(Event(name, aor, None if "AOR" in name else binding) for name in names)
            async with a_bench(shared_redis.address) as bench:
                await bench.commit(Change(aor, "", (binding,), events))
            with shared_redis.client() as client:
                entries = client.execute_command("XRANGE", KEYS.log(KEYS.bucket_of(aor)), "-", "+")
            payloads = [fields[b"event"].decode() for _, fields in entries]
            mine = [payload for payload in payloads if f'"{aor.text}"' in payload]
            assert [name for name in names if name != "E_UL_CONTACT_UPDATE"] == [payload.split('"')[3] for payload in mine]

        asyncio.run(scenario())

    def test_quiet_events_are_neither_published_nor_logged(self, shared_redis: RedisServer) -> None:
        async def scenario() -> None:
            aor, binding = an_aor(), a_binding()
            options = RedisStoreOptions(quiet_events=frozenset({"E_UL_CONTACT_INSERT"}))
            store = RedisStore(link_to(shared_redis.address), KEYS, RandomTokens(), options)
            await store.open()
            with shared_redis.client() as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
                pubsub.subscribe("E_UL_AOR_INSERT", "E_UL_CONTACT_INSERT")
                pubsub.get_message(timeout=1)
                events = (Event("E_UL_CONTACT_INSERT", aor, binding), Event("E_UL_AOR_INSERT", aor))
                assert await Bench(store).commit(Change(aor, "", (binding,), events)) is Verdict.COMMITTED
                heard = [message for _ in range(3) if (message := pubsub.get_message(timeout=0.1))]
                assert [message["channel"] for message in heard] == [b"E_UL_AOR_INSERT"]
                assert aor.text.encode() not in b"".join(
                    fields[b"event"]
                    for _, fields in client.execute_command("XRANGE", KEYS.log(KEYS.bucket_of(aor)), "-", "+")
                    if b"CONTACT_INSERT" in fields[b"event"]
                )
            await store.close()

        asyncio.run(scenario())

    def test_an_aor_is_due_when_its_first_binding_lapses_and_a_refresh_leaves_that_to_the_tidying(self, shared_redis: RedisServer) -> None:
        async def scenario() -> None:
            aor = an_aor()
            bucket, member = KEYS.bucket_of(aor), member_of(aor)
            first, second = a_binding("sip:a@192.0.2.1", lapses_in_ms=50_000), a_binding("sip:b@192.0.2.1", lapses_in_ms=90_000)
            later = a_binding("sip:b@192.0.2.1", lapses_in_ms=200_000)
            async with a_bench(shared_redis.address) as bench:
                with shared_redis.client() as client:
                    await bench.put(aor, second, first)
                    assert client.zscore(KEYS.due(bucket), member) == first.expires_at_ms
                    assert abs(client.pexpiretime(KEYS.record(aor)) - second.expires_at_ms) <= 1
                    await bench.put(aor, later, on=bench.store.recall(aor))
                    assert client.zscore(KEYS.due(bucket), member) == first.expires_at_ms
                    soon = first.expires_at_ms + 1
                    store = bench.store
                    assert isinstance(store, RedisStore)
                    while await store.tidy(bucket, soon):
                        pass
                    filed = client.zscore(KEYS.due(bucket), member)
                    assert isinstance(filed, float)
                    assert abs(filed - (soon + later.expires_at_ms - now_ms())) < 1000
                    await bench.put(aor, on=bench.store.recall(aor))
                    assert client.zscore(KEYS.due(bucket), member) is None

        asyncio.run(scenario())

    def test_tidying_takes_out_what_has_lapsed_however_many(self, shared_redis: RedisServer) -> None:
        async def scenario() -> None:
            keys = Keys("tidied", 1)
            async with a_bench(shared_redis.address, keys) as bench:
                for awkward in ("", "\udcff"):
                    puts = (bench.put(an_aor()._replace(text=f"{awkward}{n}"), a_binding(lapses_in_ms=100)) for n in range(300))
                    assert set(await asyncio.gather(*puts)) == {Verdict.COMMITTED}
                with shared_redis.client() as client:
                    assert client.zcard(keys.due(0)) == 600
                    store = bench.store
                    assert isinstance(store, RedisStore)

                    async def is_tidy() -> bool:
                        return await store.tidy(0, now_ms()) == 0 and client.zcard(keys.due(0)) == 0

                    await until(is_tidy, 3, "the index to be empty")

        asyncio.run(scenario())
