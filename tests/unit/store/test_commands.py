from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sipreg.registrar.model import Aor, Binding, Event
from sipreg.registrar.ports import Change, NonceUse
from sipreg.store.commands import BucketCommands, EventCommands, bucket_commands
from sipreg.store.keys import Keys, member_of
from sipreg.store.resp import to_bytes, unpack
from sipreg.store.scripts import COMMIT_RECORD, READ_RECORD, TIDY_DUE

KEYS = Keys("p", 8)
ALICE = Aor("location", "alice\udcff@example.com")
MEMBER = b"location:alice\xff@example.com"
BINDING = Binding(contact="sip:a", expires_at_ms=2000, modified_at_ms=1000, call_id="c", cseq=1)
EARLY, LATE = msgspec.structs.replace(BINDING, expires_at_ms=1500), msgspec.structs.replace(BINDING, expires_at_ms=2500)


def parts_of(change: Change, value: bytes = b"etag and record") -> list[bytes]:
    events = EventCommands(frozenset()).arguments(change.events)
    return unpack(BucketCommands(KEYS, 3).commit(change, member_of(ALICE), value, events))


class TestCommit:
    def test_keys_and_arguments_stand_where_the_script_looks_for_them(self) -> None:
        use = NonceUse("n\udcfe", 4294967295, 9000)
        parts = parts_of(Change(ALICE, "0123456789abcdef", (BINDING,), (), use))
        assert parts[:3] == [b"EVALSHA", COMMIT_RECORD.sha.encode(), b"4"]
        assert parts[3:7] == [b"p:{3}:aor:" + MEMBER, b"p:{3}:due", b"p:{3}:log", b"p:{3}:nonce:n\xfe"]
        assert parts[7:] == [b"0123456789abcdef", b"2000", MEMBER, b"2000", b"4294967295", b"9000", b"etag and record"]

    def test_the_record_lapses_with_its_last_binding_and_is_due_with_its_first(self) -> None:
        parts = parts_of(Change(ALICE, "", (BINDING, LATE, EARLY), ()))
        assert (parts[8], parts[10]) == (b"2500", b"1500")

    def test_without_a_nonce_the_count_is_empty(self) -> None:
        parts = parts_of(Change(ALICE, "", (BINDING,), ()))
        assert (parts[6], parts[11], parts[12]) == (b"p:{3}:nonce:", b"", b"1")

    def test_a_count_is_always_as_wide_as_any_other(self) -> None:
        assert parts_of(Change(ALICE, "", (), (), NonceUse("n", 1, 9)))[11] == b"0000000001"

    def test_each_event_is_a_channel_a_mark_for_the_log_and_json(self) -> None:
        events = (Event("E_UL_AOR_INSERT", ALICE), Event("E_UL_CONTACT_UPDATE", ALICE, BINDING))
        parts = parts_of(Change(ALICE, "", (BINDING,), events))[14:]
        assert (parts[0], parts[1], parts[3], parts[4]) == (b"E_UL_AOR_INSERT", b"1", b"E_UL_CONTACT_UPDATE", b"0")
        assert json.loads(parts[2])["aor"] == ALICE.text
        assert json.loads(parts[5])["uri"] == "sip:a"

    def test_quiet_events_are_left_out(self) -> None:
        events = (Event("E_UL_AOR_INSERT", ALICE), Event("E_UL_CONTACT_UPDATE", ALICE, BINDING))
        change = Change(ALICE, "", (BINDING,), events)
        packed = EventCommands(frozenset({"E_UL_CONTACT_UPDATE"})).arguments(events)
        parts = unpack(BucketCommands(KEYS, 3).commit(change, member_of(ALICE), b"value", packed))
        assert parts[14::3] == [b"E_UL_AOR_INSERT"]

    @given(
        st.text(st.characters(codec="utf-8") | st.sampled_from("\udc80\udcff"), max_size=8),
        st.sampled_from(["", "n", "\udcfe", "n" * 5000]),
        st.sampled_from([0, 1, 100, 3900, 4096, 70_000]),
        st.integers(0, 200),
    )
    def test_whatever_the_sizes_every_part_arrives_whole(self, text: str, nonce: str, size: int, count: int) -> None:
        aor = Aor("t", text + "a" * size)
        events = (Event("E_UL_AOR_INSERT", aor),) * count
        change = Change(aor, "e" * 16, (BINDING,), events, NonceUse(nonce, 1, 5))
        commands = BucketCommands(KEYS, 3)
        for value in (b"", b"v" * size, b"\r\n\xff" * size):
            parts = unpack(commands.commit(change, member_of(aor), value, EventCommands(frozenset()).arguments(events)))
            member = to_bytes(member_of(aor))
            assert parts[3:7] == [b"p:{3}:aor:" + member, b"p:{3}:due", b"p:{3}:log", b"p:{3}:nonce:" + to_bytes(nonce)]
            assert parts[7:14] == [b"e" * 16, b"2000", member, b"2000", b"0000000001", b"5", value]
            assert len(parts) == 14 + 3 * count


class TestOtherCommands:
    def test_a_plain_read_is_a_get(self) -> None:
        assert unpack(BucketCommands(KEYS, 3).read(member_of(ALICE), None)) == [b"GET", b"p:{3}:aor:" + MEMBER]

    def test_a_read_with_a_nonce_runs_the_script(self) -> None:
        parts = unpack(BucketCommands(KEYS, 3).read(member_of(ALICE), NonceUse("n", 7, 0)))
        keys = [b"p:{3}:aor:" + MEMBER, b"p:{3}:nonce:n"]
        assert parts == [b"EVALSHA", READ_RECORD.sha.encode(), b"2", *keys, b"0000000007", b"1"]

    def test_tidying_names_a_limited_number_and_hands_over_records_before_members(self) -> None:
        commands = BucketCommands(KEYS, 3)
        assert unpack(commands.due(77)) == [b"ZRANGEBYSCORE", b"p:{3}:due", b"-inf", b"77", b"LIMIT", b"0", b"200"]
        parts = unpack(commands.tidy(77, [b"t:\xff", b"t:b"]))
        keys = [b"p:{3}:due", b"p:{3}:aor:t:\xff", b"p:{3}:aor:t:b"]
        assert parts == [b"EVALSHA", TIDY_DUE.sha.encode(), b"3", *keys, b"77", b"t:\xff", b"t:b"]

    def test_every_bucket_has_its_commands_in_its_slot(self) -> None:
        assert [commands.slot for commands in bucket_commands(KEYS)] == list(KEYS.slots)
