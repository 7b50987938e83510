from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipreg.errors import StoreUnavailable
from sipreg.registrar.model import ABSENT, Aor, Binding, Event, Snapshot
from sipreg.store.codec import ETAG_LENGTH, RECORD_VERSION, decode_record, encode_record, event_json

ETAG = "0123456789abcdef"
ALICE = Aor("location", "alice@example.com")

BINDING = Binding(contact="sip:a@192.0.2.1", expires_at_ms=1764000000999, modified_at_ms=1763999000000, call_id="c", cseq=7)
FULL = msgspec.structs.replace(
    BINDING,
    q=700,
    user_agent="Phone 1",
    methods=31,
    instance="<urn:uuid:1>",
    reg_id=2,
    received="sip:198.51.100.1:5060",
    path="<sip:p.example.com;lr>",
    socket="udp:192.0.2.9:5060",
    attr="free",
    tag="vip",
    edge="e1",
    flow="f1",
    flags=5,
)

PEER_TEXT = st.binary(max_size=12).map(lambda data: data.decode("utf-8", "surrogateescape")) | st.text(max_size=12)


def a_record(**fields: Any) -> bytes:
    return ETAG.encode() + json.dumps(fields).encode()


class TestRecord:
    def test_a_person_can_read_it_and_what_is_usual_is_left_out(self) -> None:
        value = encode_record(ETAG, (BINDING,))
        assert value[:ETAG_LENGTH].decode() == ETAG
        assert json.loads(value[ETAG_LENGTH:]) == {
            "v": 1,
            "bindings": [
                {"contact": "sip:a@192.0.2.1", "expires_at_ms": 1764000000999, "modified_at_ms": 1763999000000, "call_id": "c", "cseq": 7}
            ],
        }

    def test_every_field_of_every_binding_comes_back(self) -> None:
        assert decode_record(encode_record(ETAG, (FULL, BINDING))) == Snapshot(ETAG, (FULL, BINDING))

    @given(st.lists(st.tuples(PEER_TEXT, PEER_TEXT), min_size=1, max_size=3))
    def test_any_bytes_of_peers_come_back_as_they_were(self, texts: list[tuple[str, str]]) -> None:
        bindings = tuple(msgspec.structs.replace(FULL, contact=first, user_agent=second) for first, second in texts)
        assert decode_record(encode_record(ETAG, bindings)) == Snapshot(ETAG, bindings)

    def test_nothing_is_absent(self) -> None:
        assert decode_record(b"") is ABSENT

    def test_a_field_that_a_later_program_added_is_passed_over(self) -> None:
        binding = {"contact": "sip:a", "expires_at_ms": 1, "modified_at_ms": 2, "call_id": "c", "cseq": 3, "colour": ["blue"]}
        for contact in ("sip:a", "sip:\udcff"):
            record = a_record(v=1, bindings=[binding | {"contact": contact}], more={"x": None})
            assert [found.contact for found in decode_record(record).bindings] == [contact]

    @pytest.mark.parametrize("bindings", [[], [{"contact": 1}], {"another": "form"}, "\udcff"])
    def test_a_newer_version_is_unavailable_and_never_absent(self, bindings: object) -> None:
        with pytest.raises(StoreUnavailable, match=f"version {RECORD_VERSION + 1}"):
            decode_record(a_record(v=RECORD_VERSION + 1, bindings=bindings))

    @pytest.mark.parametrize(
        "value",
        [
            b"x",
            b"0" * 16,
            b"0" * 16 + b"{}",
            b"0" * 16 + b"[1]",
            b"0" * 16 + b'{"v":1}',
            b"\xff" * 40,
            b"\xff" * 16 + encode_record("", (BINDING,)),
            a_record(v=1, bindings=[{}]),
        ],
    )
    def test_what_is_no_record_is_unavailable_and_never_absent(self, value: bytes) -> None:
        with pytest.raises(StoreUnavailable, match="cannot be read"):
            decode_record(value)


class TestEventJson:
    def test_the_event_of_an_aor_names_table_and_aor(self) -> None:
        """Rule EV-1."""
        told = json.loads(event_json(Event("E_UL_AOR_INSERT", ALICE)))
        assert told == {"event": "E_UL_AOR_INSERT", "domain": "location", "aor": "alice@example.com"}

    def test_the_event_of_a_contact_has_the_parameters_of_the_specification(self) -> None:
        """Rule EV-2."""
        told = json.loads(event_json(Event("E_UL_CONTACT_UPDATE", ALICE, FULL)))
        assert told == {
            "event": "E_UL_CONTACT_UPDATE",
            "domain": "location",
            "aor": "alice@example.com",
            "uri": "sip:a@192.0.2.1",
            "received": "sip:198.51.100.1:5060",
            "path": "<sip:p.example.com;lr>",
            "qval": 700,
            "user_agent": "Phone 1",
            "socket": "udp:192.0.2.9:5060",
            "bflags": 0,
            "expires": 1764000000,
            "callid": "c",
            "cseq": 7,
            "attr": "free",
            "latency": 0,
            "shtag": "vip",
        }

    def test_what_is_unset_is_told_as_such(self) -> None:
        told = json.loads(event_json(Event("E_UL_CONTACT_DELETE", ALICE, BINDING)))
        assert (told["qval"], told["received"], told["socket"], told["attr"], told["shtag"]) == (-1, "", "", "", "")

    @given(PEER_TEXT)
    def test_any_bytes_of_peers_are_told_in_json(self, text: str) -> None:
        told = json.loads(
            event_json(Event("E_UL_CONTACT_INSERT", Aor("location", text), msgspec.structs.replace(BINDING, user_agent=text)))
        )
        assert (told["aor"], told["user_agent"]) == (text, text)
