"""A Redis Cluster whose slots move and whose nodes pause, and a master that the sentinels replace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis

from sipreg.errors import StoreUnavailable
from sipreg.registrar.model import Aor, Snapshot
from sipreg.registrar.ports import Verdict
from sipreg.store.address import parse_store_address
from sipreg.store.keys import Keys
from sipreg.store.link import LinkLimits
from sipreg.store.redis_store import RedisStore, link_to
from sipreg.store.single_link import locate_master
from sipreg.tokens import RandomTokens
from support.processes import Process, free_port, wait_until
from support.programs import require_program
from support.redis_servers import RedisCluster, RedisServer, redis_server
from support.stores import Bench, a_binding, a_nonce, an_aor, until

KEYS = Keys()


def an_aor_in(slot: int) -> Aor:
    while True:
        aor = an_aor()
        if KEYS.slots[KEYS.bucket_of(aor)] == slot:
            return aor


def the_record_count(node: RedisServer, slot: int) -> int:
    with node.client() as client:
        count: int = client.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)
    return count


async def move_slot(cluster: RedisCluster, slot: int, source: RedisServer, target: RedisServer) -> None:
    """Move a slot as ``redis-cli --cluster reshard`` does, one key at a time, with time for others in between."""
    with source.client() as old, target.client() as new:
        new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.node_id(source))
        old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.node_id(target))
        await asyncio.sleep(0.05)
        while keys := old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1):
            old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            await asyncio.sleep(0.005)
        for client in (new, old):
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", cluster.node_id(target))


class TestSlotsThatMove:
    def test_calls_on_a_bucket_that_is_moved_to_another_node_and_back_never_fail(self, shared_cluster: RedisCluster) -> None:
        async def scenario() -> None:
            slot = KEYS.slots[7]
            source = shared_cluster.owner_of(slot)
            target = next(node for node in shared_cluster.nodes if node is not source)
            aors = [an_aor_in(slot) for _ in range(20)]
            store = RedisStore(link_to(shared_cluster.address), KEYS, RandomTokens())
            await store.open()
            bench = Bench(store)
            assert set(await asyncio.gather(*(bench.put(aor, a_binding()) for aor in aors))) == {Verdict.COMMITTED}
            moved = asyncio.Event()

            async def refresh(aor: Aor) -> int:
                rounds = 0
                while not moved.is_set() or rounds < 3:
                    # The key of a nonce that is new is never where the record is, so that the nodes say TRYAGAIN until all is moved.
                    nonce_use = a_nonce() if rounds % 2 else None
                    assert await bench.put(aor, a_binding(cseq=rounds), on=store.recall(aor), nonce_use=nonce_use) is Verdict.COMMITTED
                    assert (await bench.snapshot(aor)).bindings[0].cseq == rounds
                    rounds += 1
                return rounds

            loops = [asyncio.create_task(refresh(aor)) for aor in aors]
            await move_slot(shared_cluster, slot, source, target)
            assert the_record_count(target, slot) >= 20
            await move_slot(shared_cluster, slot, target, source)
            moved.set()
            rounds = await asyncio.gather(*loops)
            assert min(rounds) >= 3
            await store.close()

        asyncio.run(scenario())

    def test_a_store_with_an_old_map_learns_where_a_slot_went(self, shared_cluster: RedisCluster) -> None:
        async def scenario() -> None:
            slot = KEYS.slots[9]
            source = shared_cluster.owner_of(slot)
            target = next(node for node in shared_cluster.nodes if node is not source)
            aor = an_aor_in(slot)
            store = RedisStore(link_to(shared_cluster.address), KEYS, RandomTokens())
            await store.open()
            await move_slot(shared_cluster, slot, source, target)
            bench = Bench(store)
            assert await bench.put(aor, a_binding()) is Verdict.COMMITTED
            assert (await bench.snapshot(aor)).bindings
            assert the_record_count(target, slot) > 0
            await move_slot(shared_cluster, slot, target, source)
            await store.close()

        asyncio.run(scenario())


class TestNodesThatPause:
    def test_a_node_that_hangs_fails_only_its_own_slots_and_comes_back(self, shared_cluster: RedisCluster) -> None:
        async def scenario() -> None:
            node = shared_cluster.nodes[1]
            mine = next(slot for slot in KEYS.slots if shared_cluster.owner_of(slot) is node)
            other = next(slot for slot in KEYS.slots if shared_cluster.owner_of(slot) is not node)
            stuck, lively = an_aor_in(mine), an_aor_in(other)
            store = RedisStore(link_to(shared_cluster.address, LinkLimits(timeout_s=0.3)), KEYS, RandomTokens())
            await store.open()
            bench = Bench(store)
            await bench.put(stuck, a_binding())
            node.freeze()
            try:
                hanging = asyncio.create_task(bench.read(stuck))
                assert await bench.put(lively, a_binding()) is Verdict.COMMITTED
                assert isinstance(await hanging, StoreUnavailable)
                assert store.available
                assert isinstance(await bench.read(lively), Snapshot)
            finally:
                node.thaw()

            async def recovered() -> bool:
                return isinstance(await bench.read(stuck), Snapshot)

            await until(recovered, 3, "the node's slots to be served again")
            await store.close()

        asyncio.run(scenario())


@contextmanager
def a_sentinel(folder: Path, master: RedisServer) -> Iterator[int]:
    """Run a sentinel that watches ``master`` as "mymaster" and give its port."""
    port = free_port()
    folder.mkdir()
    config = folder / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor mymaster 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 3000\n",
        "utf-8",
    )
    with Process([require_program("redis-server"), config, "--sentinel"], folder / "output.log"), redis.Redis(port=port) as client:

        def knows_a_replica() -> bool:
            with suppress(redis.RedisError):
                return bool(client.execute_command("SENTINEL", "REPLICAS", "mymaster"))
            return False

        wait_until(knows_a_replica, 20, "the sentinel to find the replica")
        yield port


class TestSentinel:
    @pytest.mark.slow
    def test_when_the_master_dies_the_store_goes_on_with_the_one_that_the_sentinels_name(self, tmp_path: Path) -> None:
        async def scenario(port: int, master: RedisServer, replica: RedisServer) -> None:
            aor = an_aor()
            address = parse_store_address(f"redis+sentinel://127.0.0.1:{port}/mymaster")
            target = await locate_master(address, 1.0)()
            assert (target.host, target.port, target.must_be_master) == ("127.0.0.1", master.port, True)
            store = RedisStore(link_to(address), KEYS, RandomTokens())
            await store.open()
            bench = Bench(store)
            await bench.put(aor, a_binding())
            before = await bench.snapshot(aor)
            with replica.client() as client:

                async def is_copied() -> bool:
                    return bool(client.exists(KEYS.record(aor)))

                await until(is_copied, 5, "the record to reach the replica")
            master.kill()

            async def is_committed() -> bool:
                return await bench.put(aor, a_binding(), on=before) is Verdict.COMMITTED

            await until(is_committed, 15, "the replica to be promoted")
            await store.close()

        folders = [tmp_path / "master", tmp_path / "replica"]
        for folder in folders:
            folder.mkdir()
        with (
            redis_server(folders[0]) as master,
            redis_server(folders[1], "--replicaof", f"127.0.0.1 {master.port}", "--repl-diskless-sync-delay", "0") as replica,
            a_sentinel(tmp_path / "sentinel", master) as port,
        ):
            asyncio.run(scenario(port, master, replica))

    def test_a_name_that_the_sentinels_do_not_know_is_told_when_the_store_is_opened(self, tmp_path: Path) -> None:
        async def scenario(server: RedisServer) -> None:
            # A server that is no sentinel knows as little of it as a sentinel that was given another name.
            address = parse_store_address(f"redis+sentinel://127.0.0.1:{server.port}/nobody")
            # Many at once, so that some are closed in the midst of asking.
            stores = [RedisStore(link_to(address, LinkLimits(timeout_s=0.3)), KEYS, RandomTokens()) for _ in range(30)]
            async with asyncio.timeout(20):
                outcomes = await asyncio.gather(*(store.open() for store in stores), return_exceptions=True)
            assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
            assert any("No sentinel of redis" in str(outcome) for outcome in outcomes)
            assert not any(store.available for store in stores)

        with redis_server(tmp_path) as server:
            asyncio.run(scenario(server))
