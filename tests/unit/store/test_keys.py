from __future__ import annotations

import pytest
import redis.crc
from hypothesis import given
from hypothesis import strategies as st

from sipreg.errors import SettingWrong
from sipreg.registrar.model import Aor
from sipreg.store.keys import Keys, crc_of, member_of, slot_of_tag
from sipreg.store.resp import to_bytes

KEYS = Keys()
ALICE = Aor("location", "alice@example.com")


class TestBuckets:
    def test_the_bucket_of_an_aor_never_changes(self) -> None:
        # Fixed by hand: another answer here would make every store in the field lose its records.
        assert KEYS.bucket_of(ALICE) == 66
        assert KEYS.bucket_of(Aor("location", "žluť\udcff")) == 68
        assert Keys(buckets=1).bucket_of(ALICE) == 0

    def test_many_aors_fill_all_buckets_evenly(self) -> None:
        counts = [0] * 256
        for number in range(25_600):
            counts[KEYS.bucket_of(Aor("location", f"{number}@example.com"))] += 1
        assert min(counts) > 50
        assert max(counts) < 150

    @given(st.text(st.characters(exclude_categories=()) | st.sampled_from("{}:"), max_size=20))
    def test_every_key_of_an_aor_lies_in_the_slot_of_its_bucket(self, text: str) -> None:
        aor = Aor("loc{1}", "".join(char for char in text if not 0xD800 <= ord(char) < 0xDC80 and not 0xDCFF < ord(char) < 0xE000))
        bucket = KEYS.bucket_of(aor)
        assert bucket == crc_of(member_of(aor)) % 256
        for key in (
            KEYS.record(aor),
            KEYS.due(bucket),
            KEYS.log(bucket),
            KEYS.nonce(bucket, text[:3] and "n"),
            KEYS.wait(aor),
            KEYS.owner(bucket),
        ):
            assert redis.crc.key_slot(to_bytes(key)) == KEYS.slots[bucket]

    def test_the_slot_of_a_tag_is_that_of_redis(self) -> None:
        for tag in ("0", "255", "sr:store", "123456789"):
            assert slot_of_tag(tag) == redis.crc.key_slot(tag.encode())


class TestNames:
    def test_each_key_bears_the_prefix_and_what_it_is_of(self) -> None:
        keys = Keys("pre", 4)
        bucket = keys.bucket_of(ALICE)
        assert keys.record(ALICE) == f"pre:{{{bucket}}}:aor:location:alice@example.com"
        assert keys.wait(ALICE) == f"pre:{{{bucket}}}:wait:location:alice@example.com"
        assert (keys.due(3), keys.log(3), keys.owner(3)) == ("pre:{3}:due", "pre:{3}:log", "pre:{3}:owner")
        assert keys.nonce(3, "abc") == "pre:{3}:nonce:abc"
        assert keys.credential("example.com", "alice") == "pre:cred:example.com:alice"
        assert (keys.edge("e1"), keys.tag("vip"), keys.store()) == ("pre:edge:e1", "pre:tag:vip", "pre:store")
        assert keys.meta(ALICE) == "pre:meta:location:alice@example.com"

    @pytest.mark.parametrize("prefix", ["", "a{b", "}", "a b", "é", "x" * 33, "a\n"])
    def test_a_prefix_that_could_move_a_key_to_another_slot_is_refused(self, prefix: str) -> None:
        with pytest.raises(SettingWrong, match=r"store\.prefix"):
            Keys(prefix)

    @pytest.mark.parametrize("buckets", [0, -1, 16385])
    def test_a_number_of_buckets_beyond_the_slots_is_refused(self, buckets: int) -> None:
        with pytest.raises(SettingWrong, match=r"store\.buckets"):
            Keys(buckets=buckets)
