"""Which binding a contact means."""

from __future__ import annotations

import pytest

from sipreg.errors import BadMessage
from sipreg.message.uri import parse_uri, same_uri
from sipreg.registrar.matching import NONE, find_binding
from sipreg.registrar.parameters import BY_CONTACT, Matching
from support.builders import a_binding

BY_CALL_ID = Matching(call_id=True)
BY_INSTANCE = Matching(param="rinstance")


def found(contact: str, *stored: str, matching: Matching = BY_CONTACT) -> int:
    return find_binding([a_binding(uri) for uri in stored], contact, "call-1", matching)


class TestByContact:
    """Rule S-51, RFC 3261 §19.1.4."""

    def test_the_same_bytes_are_the_same_contact(self) -> None:
        assert found("sip:a@192.0.2.2", "sip:a@192.0.2.1", "sip:a@192.0.2.2") == 1

    def test_without_bindings_there_is_none_to_find(self) -> None:
        assert found("sip:a@192.0.2.1") == NONE

    @pytest.mark.parametrize(
        "spelling",
        ["sip:alice@Host.Example", "SIP:alice@host.example", "sip:%61lice@host.example", "sip:alice@host.example;ob"],
    )
    def test_another_spelling_of_the_same_uri_is_the_same_contact(self, spelling: str) -> None:
        assert found(spelling, "sip:bob@host.example", "sip:alice@host.example") == 1

    @pytest.mark.parametrize(
        "other",
        [
            "sips:alice@host.example",
            "sip:Alice@host.example",
            "sip:alice@host.example:5060",
            "sip:alice@host.example;transport=tcp",
            "sip:alice:secret@host.example",
            "sip:alice@host.example?Subject=x",
            "sip:host.example",
            "mailto:alice@host.example",
        ],
    )
    def test_another_uri_is_another_contact(self, other: str) -> None:
        assert found(other, "sip:alice@host.example") == NONE

    def test_the_very_bytes_go_before_a_first_that_is_merely_equal(self) -> None:
        assert found("sip:a@host.example;x=1", "sip:a@host.example", "sip:a@host.example;x=1") == 1

    def test_contacts_of_other_schemes_are_found_too(self) -> None:
        assert found("tel:+49-30-1", "mailto:a@b", "tel:+49301") == 1


class TestByContactAndCallId:
    """Rule S-52."""

    def test_with_a_new_call_id_it_is_a_new_binding(self) -> None:
        stored = [a_binding("sip:a@192.0.2.1", call_id="before-the-reboot")]
        assert find_binding(stored, "sip:a@192.0.2.1", "call-1", BY_CALL_ID) == NONE
        assert find_binding(stored, "sip:a@192.0.2.1", "call-1", BY_CONTACT) == 0

    def test_with_the_same_one_uris_are_compared_as_ever(self) -> None:
        stored = [a_binding("sip:a@h", call_id="other"), a_binding("sip:a@H", call_id="call-1")]
        assert find_binding(stored, "sip:a@h", "call-1", BY_CALL_ID) == 1

    def test_a_call_id_has_letter_case(self) -> None:
        assert find_binding([a_binding("sip:a@h", call_id="CALL-1")], "sip:a@h", "call-1", BY_CALL_ID) == NONE


class TestByParameter:
    """Rule S-53, corrected: a parameter absent on one side is no match."""

    def test_the_same_value_is_the_same_contact_wherever_it_is_now(self) -> None:
        assert found("sip:a@198.51.100.7:4711;RInstance=abc", "sip:a@192.0.2.1;rinstance=abc", matching=BY_INSTANCE) == 0

    @pytest.mark.parametrize("other", ["sip:a@192.0.2.1;rinstance=ABC", "sip:a@192.0.2.1;rinstance=", "sip:a@192.0.2.1;rinstance"])
    def test_another_value_is_another_contact_though_all_else_is_equal(self, other: str) -> None:
        assert found(other, "sip:a@192.0.2.1;rinstance=abc", matching=BY_INSTANCE) == NONE

    def test_a_contact_without_the_parameter_does_not_take_one_that_has_it(self) -> None:
        assert found("sip:a@192.0.2.1", "sip:a@192.0.2.1;rinstance=abc", matching=BY_INSTANCE) == NONE
        assert found("sip:a@192.0.2.1;rinstance=abc", "sip:a@192.0.2.1", matching=BY_INSTANCE) == NONE

    def test_where_both_lack_it_their_uris_are_compared(self) -> None:
        assert found("sip:a@H", "sip:b@h;rinstance=abc", "sip:a@h", matching=BY_INSTANCE) == 1
        assert found("sip:a@H", "sip:b@h", matching=BY_INSTANCE) == NONE

    def test_a_contact_of_another_scheme_has_no_parameter(self) -> None:
        assert found("mailto:a@b", "sip:a@h;rinstance=abc", "mailto:a@b", matching=BY_INSTANCE) == 1


class TestContactsThatDoNotParse:
    """Rule S-36, answered 400."""

    @pytest.mark.parametrize("contact", ["sip:a@", "alice", "sip:a b@h", "sip:a@h:99999", "sip:[::g]", "sip:a%zz@h", "sip:a@h?x=%g"])
    def test_they_are_refused_even_where_nothing_is_stored(self, contact: str) -> None:
        for stored in ((), ("sip:b@192.0.2.1",)):
            with pytest.raises(BadMessage) as refused:
                found(contact, *stored)
            assert (refused.value.status, refused.value.reason) == (400, "Contact parse error")

    @pytest.mark.parametrize("contact", ["sip:a@h;x=%zz", "sip:a@h;%=1", "sip:a:%1@h"])
    def test_a_broken_escape_is_found_before_it_is_stored_and_locks_out_all_others(self, contact: str) -> None:
        with pytest.raises(BadMessage, match="Percent sign"):
            same_uri(parse_uri(contact), parse_uri("sip:a@h;x=1" if ";" in contact else "sip:a:b@h"))
        with pytest.raises(BadMessage, match=r"^Contact parse error$"):
            found(contact)
