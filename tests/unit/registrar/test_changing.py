from __future__ import annotations

from collections.abc import Callable

import pytest

from sipreg.errors import InternalFault, SipregError, StoreUnavailable
from sipreg.registrar.changing import MAX_ATTEMPTS, MAX_WAITING, Changing, Turns
from sipreg.registrar.model import ABSENT, Aor, Plan, Snapshot
from sipreg.registrar.ports import Change, CommitOutcome, NonceUse, ReadOutcome, Verdict
from sipreg.store.memory_store import MemoryStore
from support.builders import FakeClock, FakeTokens, a_binding

ALICE = Aor("location", "alice@voip.example")
BOB = Aor("location", "bob@voip.example")

Log = list[tuple[str, type[Plan | SipregError]]]


class SlowStore:
    """A store that keeps what it is asked until the test lets it answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[Aor, Callable[[CommitOutcome], None]]] = []

    def recall(self, aor: Aor) -> Snapshot:
        del aor
        return ABSENT

    def read(self, aor: Aor, done: Callable[[ReadOutcome], None], nonce_use: NonceUse | None = None) -> None:
        raise AssertionError("nothing here asks for a read")

    def commit(self, change: Change, done: Callable[[CommitOutcome], None]) -> None:
        self.asked.append((change.aor, done))

    def answer(self, outcome: CommitOutcome = Verdict.COMMITTED) -> None:
        self.asked.pop(0)[1](outcome)


class Adding(Changing):
    """A change that adds one contact, and notes how it went."""

    def __init__(self, store: SlowStore | MemoryStore, turns: Turns, aor: Aor, name: str, log: Log) -> None:
        super().__init__(store, turns, aor)
        self.name = name
        self.log = log

    def plan(self, snapshot: Snapshot) -> Plan:
        return Plan((*snapshot.bindings, a_binding(contact=f"sip:{self.name}@192.0.2.1")), (), True)

    def done(self, outcome: Plan | SipregError) -> None:
        self.log.append((self.name, type(outcome)))


class Failing(Adding):
    def plan(self, snapshot: Snapshot) -> Plan:
        raise ZeroDivisionError(self.name)


class TestChangesOfOneAorTakeTurns:
    """RFC 3261 §10.3: "in the order that they are received"."""

    def test_the_second_waits_until_the_first_is_answered(self) -> None:
        store, turns = SlowStore(), Turns()
        log: Log = []
        for name in ("first", "second", "third"):
            Adding(store, turns, ALICE, name, log).begin()
        assert len(store.asked) == 1
        for _ in range(3):
            store.answer()
        assert log == [("first", Plan), ("second", Plan), ("third", Plan)]
        assert len(turns) == 0

    def test_another_aor_does_not_wait(self) -> None:
        store, turns = SlowStore(), Turns()
        log: Log = []
        Adding(store, turns, ALICE, "alice", log).begin()
        Adding(store, turns, BOB, "bob", log).begin()
        assert [aor for aor, _ in store.asked] == [ALICE, BOB]

    def test_a_crowd_costs_one_commit_each(self) -> None:
        store, turns = MemoryStore(FakeClock(), FakeTokens()), Turns()
        log: Log = []
        for number in range(200):
            Adding(store, turns, ALICE, f"phone-{number}", log).begin()
        assert [kind for _, kind in log] == [Plan] * 200
        assert len(store.recall(ALICE).bindings) == 200

    def test_one_too_many_is_refused_at_once_and_the_others_are_not_harmed(self) -> None:
        store, turns = SlowStore(), Turns()
        log: Log = []
        for number in range(MAX_WAITING + 2):
            Adding(store, turns, ALICE, str(number), log).begin()
        assert log == [(str(MAX_WAITING + 1), StoreUnavailable)]
        for _ in range(MAX_WAITING + 1):
            store.answer()
        assert len(log) == MAX_WAITING + 2

    def test_a_store_that_fails_all_at_once_fails_all_without_a_deep_stack(self) -> None:
        store, turns = SlowStore(), Turns()
        log: Log = []

        class Down(SlowStore):
            def commit(self, change: Change, done: Callable[[CommitOutcome], None]) -> None:
                done(StoreUnavailable("down"))

        Adding(store, turns, ALICE, "first", log).begin()
        for number in range(MAX_WAITING):
            Adding(Down(), turns, ALICE, str(number), log).begin()
        store.answer(StoreUnavailable("down"))
        assert [kind for _, kind in log] == [StoreUnavailable] * (MAX_WAITING + 1)
        assert len(turns) == 0


class TestWhatGoesWrong:
    def test_a_fault_of_ours_is_answered_and_sets_the_aor_free(self) -> None:
        store, turns = SlowStore(), Turns()
        log: Log = []
        Failing(store, turns, ALICE, "broken", log).begin()
        Adding(store, turns, ALICE, "next", log).begin()
        store.answer()
        assert log == [("broken", InternalFault), ("next", Plan)]

    def test_a_fault_after_a_conflict_is_answered_as_well(self) -> None:
        class BreaksOnSecondLook(Adding):
            def plan(self, snapshot: Snapshot) -> Plan:
                if snapshot.etag:
                    raise ZeroDivisionError
                return super().plan(snapshot)

        store, turns = SlowStore(), Turns()
        log: Log = []
        BreaksOnSecondLook(store, turns, ALICE, "broken", log).begin()
        store.answer(Snapshot("0" * 16, ()))
        assert (log, len(turns)) == ([("broken", InternalFault)], 0)

    def test_a_fault_of_whoever_is_answered_does_not_answer_twice(self) -> None:
        class Deaf(Adding):
            def done(self, outcome: Plan | SipregError) -> None:
                super().done(outcome)
                raise ZeroDivisionError

        store, turns = SlowStore(), Turns()
        log: Log = []
        Deaf(store, turns, ALICE, "deaf", log).begin()
        with pytest.raises(ZeroDivisionError):
            store.answer()
        assert (log, len(turns)) == ([("deaf", Plan)], 0)

    def test_who_meets_conflict_after_conflict_is_told_in_the_end(self) -> None:
        store, turns = SlowStore(), Turns()
        log: Log = []
        Adding(store, turns, ALICE, "unlucky", log).begin()
        for number in range(MAX_ATTEMPTS):
            assert not log
            store.answer(Snapshot(f"{number:016d}", ()))
        assert (log, len(store.asked), len(turns)) == ([("unlucky", StoreUnavailable)], 0, 0)
