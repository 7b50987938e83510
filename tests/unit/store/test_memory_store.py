from __future__ import annotations

import msgspec
import pytest

from sipreg.registrar.model import ABSENT, Aor, Binding, Event, Snapshot
from sipreg.registrar.ports import Change, CommitOutcome, NonceUse, Verdict
from sipreg.store.memory_store import MemoryStore
from support.builders import NOW_MS, FakeClock, FakeTokens, a_binding

ALICE = Aor("location", "alice@example.com")


def put(store: MemoryStore, aor: Aor, *bindings: Binding, events: tuple[Event, ...] = (), use: NonceUse | None = None) -> CommitOutcome:
    outcomes: list[CommitOutcome] = []
    store.commit(Change(aor, store.recall(aor).etag, bindings, events, use), outcomes.append)
    (outcome,) = outcomes
    return outcome


def lasting(seconds: float) -> Binding:
    return msgspec.structs.replace(a_binding(), expires_at_ms=NOW_MS + int(seconds * 1000))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    return MemoryStore(clock, FakeTokens())


class TestTime:
    def test_a_record_is_there_until_its_last_binding_lapses_and_gone_at_that_instant(self, store: MemoryStore, clock: FakeClock) -> None:
        put(store, ALICE, lasting(10), lasting(20))
        clock.advance(19.999)
        assert len(store.recall(ALICE).bindings) == 2
        clock.advance(0.001)
        assert store.recall(ALICE) == ABSENT

    def test_a_state_that_lapsed_is_no_state_to_commit_on(self, store: MemoryStore, clock: FakeClock) -> None:
        put(store, ALICE, lasting(10))
        etag = store.recall(ALICE).etag
        clock.advance(10)
        outcomes: list[CommitOutcome] = []
        store.commit(Change(ALICE, etag, (lasting(100),), ()), outcomes.append)
        assert outcomes == [ABSENT]

    def test_a_nonce_that_lapsed_is_forgotten(self, store: MemoryStore, clock: FakeClock) -> None:
        use = NonceUse("n", 5, NOW_MS + 1000)
        assert put(store, ALICE, lasting(100), use=use) is Verdict.COMMITTED
        assert put(store, ALICE, lasting(100), use=use) is Verdict.REPLAYED
        clock.advance(1)
        assert put(store, ALICE, lasting(100), use=msgspec.structs.replace(use, lapses_at_ms=NOW_MS + 9000)) is Verdict.COMMITTED


class TestBounds:
    def test_what_lapsed_is_purged_as_calls_go_by(self, store: MemoryStore, clock: FakeClock) -> None:
        for number in range(1000):
            put(store, Aor("t", str(number)), lasting(10), use=NonceUse(str(number), 1, NOW_MS + 10_000))
        assert (len(store), store.nonces) == (1000, 1000)
        clock.advance(10)
        for _ in range(500):
            store.read(ALICE, lambda outcome: None)
        assert (len(store), store.nonces) == (0, 0)

    def test_a_steady_stream_never_holds_more_than_lives(self, store: MemoryStore, clock: FakeClock) -> None:
        most = 0
        for number in range(3000):
            clock.advance(0.1)
            binding = msgspec.structs.replace(a_binding(), expires_at_ms=clock.now_ms() + 10_000)
            put(store, Aor("t", str(number)), binding, use=NonceUse(str(number), 1, clock.now_ms() + 10_000))
            most = max(most, len(store), store.nonces)
        assert most <= 101

    def test_what_was_prolonged_is_kept_and_what_was_removed_goes(self, store: MemoryStore, clock: FakeClock) -> None:
        for number in range(10):
            put(store, Aor("t", str(number)), lasting(10))
        for number in range(5):
            put(store, Aor("t", str(number)), lasting(100))
            put(store, Aor("t", str(number + 5)))
        clock.advance(10)
        store.tidy_all()
        assert len(store) == 5
        assert all(store.recall(Aor("t", str(number))).bindings for number in range(5))
        clock.advance(90)
        store.tidy_all()
        assert len(store) == 0

    def test_registering_and_removing_in_turn_does_not_grow_it(self, store: MemoryStore, clock: FakeClock) -> None:
        for _ in range(100):
            put(store, ALICE, lasting(1000))
            put(store, ALICE)
        assert len(store) == 1
        clock.advance(1000)
        store.tidy_all()
        assert len(store) == 0


class TestListeners:
    def test_each_listener_hears_each_event_in_order_until_it_ends_that(self, store: MemoryStore) -> None:
        first: list[Event] = []
        second: list[Event] = []
        end_first = store.subscribe(first.append)
        store.subscribe(second.append)
        events = (Event("E_UL_AOR_INSERT", ALICE), Event("E_UL_CONTACT_INSERT", ALICE, lasting(10)))
        put(store, ALICE, lasting(10), events=events)
        end_first()
        end_first()
        put(store, ALICE, events=(Event("E_UL_AOR_DELETE", ALICE),))
        assert first == list(events)
        assert second == [*events, Event("E_UL_AOR_DELETE", ALICE)]

    def test_events_are_told_when_the_change_is_stored_and_before_it_is_answered(self, store: MemoryStore) -> None:
        course: list[object] = []
        store.subscribe(lambda event: course.append(store.recall(ALICE).bindings))
        store.commit(Change(ALICE, "", (lasting(10),), (Event("E_UL_AOR_INSERT", ALICE),)), course.append)
        assert course == [(lasting(10),), Verdict.COMMITTED]

    def test_one_that_raises_harms_neither_the_change_nor_the_others(self, store: MemoryStore, caplog: pytest.LogCaptureFixture) -> None:
        heard: list[Event] = []

        def wrong(event: Event) -> None:
            raise RuntimeError("a bug of the listener")

        store.subscribe(wrong)
        store.subscribe(heard.append)
        assert put(store, ALICE, lasting(10), events=(Event("E_UL_AOR_INSERT", ALICE),)) is Verdict.COMMITTED
        assert len(heard) == 1
        assert "a bug of the listener" in caplog.text

    def test_a_listener_may_use_the_store(self, store: MemoryStore) -> None:
        seen: list[object] = []
        store.subscribe(lambda event: store.read(event.aor, seen.append))
        put(store, ALICE, lasting(10), events=(Event("E_UL_AOR_INSERT", ALICE),))
        assert isinstance(seen[0], Snapshot)
        assert seen[0].bindings == (lasting(10),)
