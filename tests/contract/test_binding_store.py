"""What every store of bindings does, be it memory, fakeredis, Redis or a Redis Cluster."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import msgspec

from sipreg.registrar.model import ABSENT, Event, Snapshot
from sipreg.registrar.ports import Change, NonceUse, Verdict
from sipreg.store.redis_store import RedisStoreOptions
from support.stores import Backend, Bench, a_binding, a_nonce, an_aor, now_ms, until


class TestStates:
    """What is written is what is found, and nothing else is."""

    def test_an_aor_that_was_never_written_is_absent(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                assert await bench.read(an_aor()) == ABSENT

        backend.run(scenario())

    def test_a_commit_on_absent_is_read_back_with_an_etag_of_16_characters(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor, binding = an_aor(), a_binding(q=500, path="<sip:p;lr>", instance="<urn:uuid:1>", reg_id=1, tag="t", flags=4)
                assert await bench.put(aor, binding) is Verdict.COMMITTED
                snapshot = await bench.snapshot(aor)
                assert snapshot.bindings == (binding,)
                assert len(snapshot.etag) == 16

        backend.run(scenario())

    def test_every_commit_has_an_etag_of_its_own_even_with_the_same_bindings(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor, binding = an_aor(), a_binding()
                await bench.put(aor, binding)
                first = await bench.snapshot(aor)
                assert await bench.put(aor, binding, on=first) is Verdict.COMMITTED
                assert (await bench.snapshot(aor)).etag != first.etag

        backend.run(scenario())

    def test_a_commit_on_a_stale_state_changes_nothing_and_shows_the_present_one(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor, kept = an_aor(), a_binding("sip:kept@192.0.2.1")
                await bench.put(aor, kept)
                present = await bench.snapshot(aor)
                assert await bench.put(aor, a_binding("sip:late@192.0.2.2")) == present
                assert await bench.put(aor, on=Snapshot("f" * 16, ())) == present
                assert await bench.snapshot(aor) == present

        backend.run(scenario())

    def test_a_commit_on_a_state_that_is_gone_is_shown_absent(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor = an_aor()
                assert await bench.put(aor, a_binding(), on=Snapshot("f" * 16, ())) == ABSENT
                assert await bench.read(aor) == ABSENT

        backend.run(scenario())

    def test_no_bindings_remove_the_record(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor = an_aor()
                await bench.put(aor, a_binding())
                assert await bench.put(aor, on=await bench.snapshot(aor)) is Verdict.COMMITTED
                assert await bench.read(aor) == ABSENT
                assert await bench.put(aor, a_binding()) is Verdict.COMMITTED

        backend.run(scenario())

    def test_the_record_is_gone_when_its_last_binding_lapses_and_not_before(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor = an_aor()
                short, longer = a_binding("sip:a@192.0.2.1", lapses_in_ms=100), a_binding("sip:b@192.0.2.1", lapses_in_ms=400)
                await bench.put(aor, short, longer)
                assert (await bench.snapshot(aor)).bindings == (short, longer)

                async def is_gone() -> bool:
                    seen_at = now_ms()
                    gone = await bench.read(aor) == ABSENT
                    assert not gone or now_ms() >= longer.expires_at_ms
                    assert gone or seen_at <= longer.expires_at_ms + 5
                    return gone

                await until(is_gone, 3, "the record to lapse")

        backend.run(scenario())

    def test_the_same_address_in_two_tables_is_two_aors(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor = an_aor()
                await bench.put(aor, a_binding())
                assert await bench.read(aor._replace(table="other")) == ABSENT

        backend.run(scenario())

    def test_thirty_two_bindings_keep_their_order(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor, bindings = an_aor(), tuple(a_binding(f"sip:alice@192.0.2.{n}:5060;transport=tcp", cseq=n) for n in range(32))
                assert await bench.put(aor, *bindings) is Verdict.COMMITTED
                assert (await bench.snapshot(aor)).bindings == bindings

        backend.run(scenario())

    def test_bytes_that_are_not_utf_8_and_all_that_unicode_has_come_back_as_they_were(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                for awkward in ("caf\udce9 \udcff\udc80", "žluť 電話 \U0001f4de", 'q"\\\r\n\t\x00\x7f\\udcff', "\U0001f4de\udcff"):
                    aor = an_aor()
                    aor = aor._replace(text=awkward + aor.text)
                    binding = a_binding(f"sip:{awkward}@192.0.2.1", user_agent=awkward, call_id=awkward)
                    nonce_use = a_nonce(nonce=f"{aor.text}{awkward}")
                    assert await bench.put(aor, binding, nonce_use=nonce_use) is Verdict.COMMITTED
                    snapshot = await bench.snapshot(aor)
                    assert snapshot.bindings == (binding,)
                    assert bench.store.recall(aor) == snapshot
                    assert await bench.read(aor, nonce_use) is Verdict.REPLAYED
                    assert await bench.put(aor, binding) == snapshot

        backend.run(scenario())


class TestMemories:
    """What a node recalls without asking."""

    def test_recall_shows_what_was_committed(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor, binding = an_aor(), a_binding()
                assert bench.store.recall(aor) == ABSENT
                await bench.put(aor, binding)
                recalled = bench.store.recall(aor)
                assert recalled.bindings == (binding,)
                assert recalled == await bench.snapshot(aor)
                await bench.put(aor, on=recalled)
                assert bench.store.recall(aor) == ABSENT

        backend.run(scenario())

    def test_a_conflict_and_a_read_teach_a_store_what_another_has_written(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as mine, backend.bench() as other:
                aor = an_aor()
                await other.put(aor, a_binding("sip:one@192.0.2.1"))
                shown = await mine.put(aor, a_binding("sip:two@192.0.2.1"))
                assert mine.store.recall(aor) == shown == await other.snapshot(aor)
                await other.put(aor, a_binding("sip:three@192.0.2.1"), on=shown)
                assert await mine.read(aor) == mine.store.recall(aor) == other.store.recall(aor)
                remembered = mine.store.recall(aor)
                await other.put(aor, on=remembered)
                assert await mine.put(aor, a_binding(), on=remembered) == ABSENT
                assert mine.store.recall(aor) == ABSENT

        backend.run(scenario())

    def test_a_store_that_may_remember_nothing_works_all_the_same(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench(RedisStoreOptions(cache_bytes=0)) as bench:
                aor = an_aor()
                await bench.put(aor, a_binding())
                assert await bench.put(aor, a_binding(), on=await bench.snapshot(aor)) is Verdict.COMMITTED

        backend.run(scenario())


class TestNonceCounts:
    """Each count of a nonce passes once, and only a change that is stored uses one up (RFC 7616 §3.4)."""

    def test_a_count_passes_once_and_a_higher_one_after_it(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor, use = an_aor(), a_nonce(9)
                assert await bench.put(aor, a_binding(cseq=1), nonce_use=use) is Verdict.COMMITTED
                present = await bench.snapshot(aor)
                for count in (9, 8, 1):
                    assert await bench.put(aor, a_binding(cseq=2), on=present, nonce_use=_at(use, count)) is Verdict.REPLAYED
                assert await bench.snapshot(aor) == present
                for count in (10, 100, 4294967295):
                    now = await bench.snapshot(aor)
                    assert await bench.put(aor, a_binding(cseq=count), on=now, nonce_use=_at(use, count)) is Verdict.COMMITTED

        backend.run(scenario())

    def test_a_read_uses_a_count_up_and_refuses_a_used_one(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor, use = an_aor(), a_nonce(2)
                assert await bench.read(aor, use) == ABSENT
                assert await bench.read(aor, use) is Verdict.REPLAYED
                assert await bench.put(aor, a_binding(), nonce_use=use) is Verdict.REPLAYED
                assert await bench.put(aor, a_binding(), nonce_use=_at(use, 3)) is Verdict.COMMITTED
                assert await bench.read(aor, _at(use, 3)) is Verdict.REPLAYED
                assert await bench.read(aor, _at(use, 4)) == await bench.snapshot(aor)

        backend.run(scenario())

    def test_a_conflict_leaves_the_count_unused(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor, use = an_aor(), a_nonce()
                await bench.put(aor, a_binding())
                present = await bench.put(aor, a_binding(), nonce_use=use)
                assert isinstance(present, Snapshot)
                assert await bench.put(aor, a_binding(), on=present, nonce_use=use) is Verdict.COMMITTED

        backend.run(scenario())

    def test_a_replay_is_refused_before_the_state_is_compared(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor, use = an_aor(), a_nonce()
                await bench.put(aor, a_binding(), nonce_use=use)
                assert await bench.put(aor, a_binding(), nonce_use=use) is Verdict.REPLAYED

        backend.run(scenario())

    def test_a_removal_uses_its_count_up(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor, use = an_aor(), a_nonce()
                await bench.put(aor, a_binding())
                assert await bench.put(aor, on=await bench.snapshot(aor), nonce_use=use) is Verdict.COMMITTED
                assert await bench.put(aor, a_binding(), nonce_use=use) is Verdict.REPLAYED

        backend.run(scenario())

    def test_counts_are_forgotten_once_their_nonce_lapses(self, backend: Backend) -> None:
        async def scenario() -> None:
            async with backend.bench() as bench:
                aor, use = an_aor(), a_nonce(5, lapses_in_ms=150)
                await bench.read(aor, use)

                async def passes() -> bool:
                    # The probe, should it pass, must not prolong what it probes.
                    return await bench.read(aor, msgspec.structs.replace(use, lapses_at_ms=now_ms() + 1)) is not Verdict.REPLAYED

                assert not await passes()
                await until(passes, 3, "the nonce to lapse")
                assert now_ms() >= use.lapses_at_ms

        backend.run(scenario())


class TestEvents:
    """Each change is told once, in order, and nothing is told of what did not happen (rules EV-1, EV-2, EV-5)."""

    def test_the_events_of_a_change_are_told_once_and_in_order(self, backend: Backend) -> None:
        async def scenario() -> None:
            aor, binding = an_aor(), a_binding("sip:alice@192.0.2.1")
            async with backend.bench() as bench, backend.events(aor) as told:
                inserts = (Event("E_UL_AOR_INSERT", aor), Event("E_UL_CONTACT_INSERT", aor, binding))
                await bench.commit(Change(aor, "", (binding,), inserts))
                update = (Event("E_UL_CONTACT_UPDATE", aor, binding),)
                await bench.commit(Change(aor, bench.store.recall(aor).etag, (binding,), update))
                deletes = (Event("E_UL_CONTACT_DELETE", aor, binding), Event("E_UL_AOR_DELETE", aor))
                await bench.commit(Change(aor, bench.store.recall(aor).etag, (), deletes))
                events = await told(5)
                assert [event["event"] for event in events] == [event.name for event in (*inserts, *update, *deletes)]
                assert [event.get("uri") for event in events] == [None, binding.contact, binding.contact, binding.contact, None]

        backend.run(scenario())

    def test_a_conflict_and_a_replay_are_not_told(self, backend: Backend) -> None:
        async def scenario() -> None:
            aor, use = an_aor(), a_nonce()
            async with backend.bench() as bench, backend.events(aor) as told:
                await bench.put(aor, a_binding("sip:told@192.0.2.1"), nonce_use=use)
                assert isinstance(await bench.put(aor, a_binding("sip:conflict@192.0.2.1")), Snapshot)
                assert await bench.put(aor, a_binding("sip:replay@192.0.2.1"), nonce_use=use) is Verdict.REPLAYED
                assert [event["uri"] for event in await told(1)] == ["sip:told@192.0.2.1"]

        backend.run(scenario())


class TestManyAtOnce:
    """However many change an AoR at once, nothing is lost."""

    def test_fifty_concurrent_loops_over_three_stores_keep_a_counter_exact(self, backend: Backend) -> None:
        async def scenario() -> None:
            aor = an_aor()

            async def add_one(bench: Bench) -> None:
                snapshot = bench.store.recall(aor)
                while True:
                    count = snapshot.bindings[0].cseq if snapshot.bindings else 0
                    outcome = await bench.put(aor, a_binding(cseq=count + 1), on=snapshot)
                    if outcome is Verdict.COMMITTED:
                        return
                    assert isinstance(outcome, Snapshot)
                    snapshot = outcome

            async with AsyncExitStack() as stack:
                benches = [await stack.enter_async_context(backend.bench()) for _ in range(3)]
                await asyncio.gather(*(add_one(benches[number % 3]) for number in range(50)))
                assert [binding.cseq for binding in (await benches[0].snapshot(aor)).bindings] == [50]

        backend.run(scenario())

    def test_calls_of_one_turn_for_many_aors_are_each_answered_their_own(self, backend: Backend) -> None:
        async def scenario() -> None:
            aors = [an_aor() for _ in range(200)]
            async with backend.bench() as bench:
                put = await asyncio.gather(*(bench.put(aor, a_binding(f"sip:{aor.text}")) for aor in aors))
                assert put == [Verdict.COMMITTED] * 200
                snapshots = await asyncio.gather(*(bench.snapshot(aor) for aor in aors))
                assert [snapshot.bindings[0].contact for snapshot in snapshots] == [f"sip:{aor.text}" for aor in aors]

        backend.run(scenario())


def _at(use: NonceUse, count: int) -> NonceUse:
    return msgspec.structs.replace(use, count=count)
