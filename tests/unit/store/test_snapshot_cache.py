from __future__ import annotations

import gc

from hypothesis import given
from hypothesis import strategies as st

from sipreg.store.snapshot_cache import ENTRY_OVERHEAD, SnapshotCache


def room_for(entries: int, key: int = 1, value: int = 10) -> int:
    return entries * (key + value + ENTRY_OVERHEAD)


class TestSnapshotCache:
    def test_what_was_put_is_got_until_it_is_dropped(self) -> None:
        cache = SnapshotCache()
        assert cache.get("a") == b""
        cache.put("a", b"one")
        cache.put("a", b"two!")
        assert (cache.get("a"), len(cache)) == (b"two!", 1)
        assert cache.size_bytes == 1 + 4 + ENTRY_OVERHEAD
        cache.drop("a")
        cache.drop("a")
        assert (cache.get("a"), len(cache), cache.size_bytes) == (b"", 0, 0)

    def test_an_empty_record_is_forgotten(self) -> None:
        cache = SnapshotCache()
        cache.put("a", b"one")
        cache.put("a", b"")
        assert (len(cache), cache.size_bytes) == (0, 0)

    def test_the_one_that_was_used_least_recently_goes_first(self) -> None:
        cache = SnapshotCache(room_for(3))
        for key in "abc":
            cache.put(key, b"0123456789")
        cache.get("a")
        cache.put("b", b"9876543210")
        cache.put("d", b"0123456789")
        assert [bool(cache.get(key)) for key in "abcd"] == [True, True, False, True]

    def test_a_record_that_grows_makes_others_go(self) -> None:
        cache = SnapshotCache(room_for(3))
        for key in "abc":
            cache.put(key, b"0123456789")
        cache.put("c", b"x" * (10 + room_for(1)))
        assert [bool(cache.get(key)) for key in "abc"] == [False, True, True]

    def test_one_that_is_larger_than_all_the_room_is_not_kept(self) -> None:
        cache = SnapshotCache(room_for(1))
        cache.put("a", b"x" * 10_000)
        assert (len(cache), cache.size_bytes) == (0, 0)

    def test_without_room_nothing_is_remembered(self) -> None:
        cache = SnapshotCache(0)
        cache.put("a", b"one")
        assert (len(cache), cache.size_bytes) == (0, 0)

    @given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 700))))
    def test_no_course_of_puts_exceeds_the_bound_or_miscounts(self, puts: list[tuple[str, int]]) -> None:
        cache = SnapshotCache(2000)
        for key, size in puts:
            cache.put(key, b"x" * size)
            assert cache.size_bytes <= 2000
        kept = [value for key in "abcdefgh" if (value := cache.get(key))]
        assert cache.size_bytes == sum(1 + len(value) + ENTRY_OVERHEAD for value in kept)

    def test_the_collector_has_no_entry_to_walk_through(self) -> None:
        cache = SnapshotCache()
        gc.collect()
        before = len(gc.get_objects())
        for number in range(1000):
            cache.put(f"aor {number}", b"record %d" % number)
        gc.collect()
        assert len(gc.get_objects()) - before < 100
