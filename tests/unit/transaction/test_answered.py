"""RFC 3261 §17.2.2: the Completed state over UDP, for Timer J and within a bounded memory."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipreg.transaction.answered import OVERHEAD, Answered

LIFETIME_S = 32.0
LONGEST_S = LIFETIME_S * 9 / 8


def filled(count: int, *, max_bytes: int = 1 << 20, size: int = 100) -> Answered:
    answered = Answered(max_bytes, LIFETIME_S)
    for number in range(count):
        answered.remember(f"key {number}", number.to_bytes(size, "big"), 0.0)
    return answered


class TestTimerJ:
    """RFC 3261 table 4: 64*T1 over UDP; an eighth of it is the grain."""

    @pytest.mark.parametrize("at", [0.0, 3.99, 4.0, 31.9, LIFETIME_S - 1e-9])
    def test_until_timer_j_the_same_bytes_come_back(self, at: float) -> None:
        answered = filled(1)
        assert answered.recall("key 0", at) == (0).to_bytes(100, "big")

    @pytest.mark.parametrize("at", [LONGEST_S, LONGEST_S + 1, 1e9])
    def test_an_eighth_later_it_is_gone_whatever_happened_in_between(self, at: float) -> None:
        answered = filled(1)
        assert answered.recall("key 0", at) is None
        assert (len(answered), answered.held_bytes) == (0, 0)

    def test_an_answer_at_the_end_of_its_generation_has_its_full_time_too(self) -> None:
        answered = filled(1)
        answered.remember("late", b"", 3.99)
        assert answered.recall("late", 3.99 + LIFETIME_S - 0.01) == b""

    def test_the_deadline_is_when_something_can_be_dropped(self) -> None:
        answered = filled(1)
        deadline = answered.next_deadline()
        assert deadline == LONGEST_S
        answered.expire(deadline)
        assert (len(answered), answered.next_deadline()) == (0, None)

    def test_one_generation_goes_and_the_younger_ones_stay(self) -> None:
        answered = filled(1)
        answered.remember("younger", b"", 5.0)
        answered.expire(LONGEST_S)
        assert answered.recall("key 0", LONGEST_S) is None
        assert answered.recall("younger", LONGEST_S) == b""

    def test_what_was_never_answered_is_not_found(self) -> None:
        assert filled(5).recall("key 5", 0.0) is None

    def test_after_everything_went_it_serves_again(self) -> None:
        answered = filled(1)
        answered.expire(100.0)
        answered.remember("again", b"again", 100.0)
        assert answered.recall("again", 101.0) == b"again"

    def test_generations_come_and_go_without_end(self) -> None:
        answered = Answered(1 << 20, LIFETIME_S)
        # More generations than there are names for them.
        for number in range(600):
            answered.remember(f"key {number}", b"%d" % number, number * 4.0)
            assert answered.recall(f"key {number}", number * 4.0) == b"%d" % number
            if number >= 7:
                assert answered.recall(f"key {number - 7}", number * 4.0) == b"%d" % (number - 7)
        assert len(answered) <= 9


class TestMemoryBound:
    """The bound on bytes, by count and by what is really allocated."""

    def test_the_sum_never_exceeds_the_bound_and_the_oldest_go_first(self) -> None:
        answered = Answered(1 << 16, LIFETIME_S)
        for number in range(1000):
            answered.remember(f"key {number}", bytes(100), 0.0)
            assert answered.held_bytes <= 1 << 16
        kept = [number for number in range(1000) if answered.recall(f"key {number}", 0.0) is not None]
        assert kept == list(range(1000 - len(kept), 1000))
        assert (len(kept), len(answered)) == (len(answered), len(kept))

    def test_at_least_three_quarters_of_the_bound_are_of_use(self) -> None:
        assert filled(1000, max_bytes=1 << 16).held_bytes >= (1 << 16) * 3 // 4

    def test_an_answer_beyond_an_eighth_of_the_bound_is_not_kept_and_drives_out_none(self) -> None:
        answered = filled(10, max_bytes=1 << 16)
        answered.remember("big", bytes((1 << 13) + 1), 0.0)
        assert (len(answered), answered.recall("big", 0.0)) == (10, None)

    def test_no_memory_at_all_keeps_nothing(self) -> None:
        answered = filled(10, max_bytes=0)
        assert (len(answered), answered.recall("key 0", 0.0), answered.next_deadline()) == (0, None, None)

    def test_what_is_counted_is_what_is_there(self) -> None:
        assert filled(1, size=100).held_bytes == len("key 0") + 100 + OVERHEAD

    def test_what_is_really_allocated_stays_near_the_bound(self) -> None:
        bound = 4 << 20
        tracemalloc.start()
        try:
            answered = Answered(bound, LIFETIME_S)
            for number in range(12_000):
                answered.remember(f"REGISTER 127.0.0.1:5060 z9hG4bK {number:040d}", number.to_bytes(450, "big"), 0.0)
            allocated, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert answered.held_bytes > bound * 3 // 4
        assert allocated < bound * 1.1

    @pytest.mark.skipif(sys.version_info >= (3, 14), reason="CPython 3.14 tracks every dictionary")
    def test_the_garbage_collector_does_not_see_what_is_kept(self) -> None:
        before = len(gc.get_objects())
        answered = filled(1000)
        assert len(answered) == 1000
        # The object, its few generations, lists and tables; not one per answer, nor a dictionary to walk through.
        assert len(gc.get_objects()) - before < 20
        assert not any(isinstance(each, dict) and "key 0" in each for each in gc.get_objects())


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["remember", "recall", "expire"]),
        st.integers(0, 30),
        st.one_of(st.floats(0, 5), st.sampled_from([0.0, 4.0, 31.999, 32.0, 36.0, 1000.0])),
        st.integers(0, 900),
    ),
    max_size=60,
)


@given(OPERATIONS)
@settings(deadline=None)  # a busy machine is no failure
def test_whatever_happens_answers_are_right_in_time_and_in_bounds(operations: list[tuple[str, int, float, int]]) -> None:
    # Memory for all of them: then an answer must be there for all of its lifetime, and be gone soon after.
    roomy, tight = Answered(1 << 20, LIFETIME_S), Answered(1 << 13, LIFETIME_S)
    last: dict[str, tuple[float, bytes]] = {}
    now = 0.0
    for number, (operation, name, pause, size) in enumerate(operations):
        now += pause
        key = f"key {name}"
        if operation == "remember":
            last[key] = now, number.to_bytes(size + 1, "big")
            for answered in (roomy, tight):
                answered.remember(key, last[key][1], now)
        elif operation == "expire":
            for answered in (roomy, tight):
                answered.expire(now)
        since, response = last.get(key, (-1e9, b""))
        assert tight.recall(key, now) in (None, response)
        found = roomy.recall(key, now)
        if now - since < LIFETIME_S:
            assert found == response
        elif now - since > LONGEST_S + 1e-6:
            assert found is None
        assert tight.held_bytes <= 1 << 13
    now += LONGEST_S + 1e-6
    for answered in (roomy, tight):
        answered.expire(now)
        assert (len(answered), answered.held_bytes, answered.next_deadline()) == (0, 0, None)
