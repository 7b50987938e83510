"""Contact (RFC 3261 §10.2, §20.10; rules S-3 and S-10)."""

from __future__ import annotations

import pytest

from sipreg.errors import BadMessage
from sipreg.message.contact import STAR, Contact, parse_contacts
from support.messages import INSTANCE


def the_contact(text: str) -> Contact:
    """Return the one contact of a header field."""
    contacts = parse_contacts([text])
    assert isinstance(contacts, tuple)
    assert len(contacts) == 1
    return contacts[0]


class TestContacts:
    """§20.10."""

    def test_no_header_field_has_none(self) -> None:
        assert parse_contacts(()) == ()

    def test_commas_and_header_fields_keep_their_order(self) -> None:
        contacts = parse_contacts(["<sip:a@h>, <sip:b@h>;q=0.1", "sip:c@h", '"D, E" <sip:d@h;x=1,2>,sip:e@h;expires=0'])
        assert [each.uri for each in contacts if isinstance(each, Contact)] == ["sip:a@h", "sip:b@h", "sip:c@h", "sip:d@h;x=1,2", "sip:e@h"]

    def test_every_parameter_can_be_asked_for(self) -> None:
        text = f'<sip:a@h;ob>;q=0.7;expires=60;+sip.instance="{INSTANCE}";reg-id=1;methods="INVITE, BYE";+sip.ice;audio;pub-gruu="sip:a;gr"'
        contact = the_contact(text)
        names = ("q", "expires", "+sip.instance", "reg-id", "methods", "+sip.ice", "audio", "pub-gruu", "ob", "temp-gruu")
        assert [contact.param(name) for name in names] == ["0.7", "60", INSTANCE, "1", "INVITE, BYE", "", "", "sip:a;gr", None, None]

    def test_the_parameters_of_the_uri_are_not_the_contacts(self) -> None:
        assert the_contact("<sip:a@h;expires=5;q=0.1>;expires=60") == Contact("sip:a@h;expires=5;q=0.1", {"expires": "60"})

    def test_without_brackets_they_are(self) -> None:
        assert the_contact(f'sip:a@h;transport=tcp;+sip.instance="{INSTANCE}"') == Contact(
            "sip:a@h", {"transport": "tcp", "+sip.instance": f'"{INSTANCE}"'}
        )

    @pytest.mark.parametrize(
        "values",
        [
            [""],
            ["<sip:a@h>,"],
            ["<sip:a@h>", ""],
            [",<sip:a@h>"],
            ["<>"],
            ["<sip:a@h"],
            ['"A <sip:a@h>'],
            ["<sip:a@h>;="],
            ['<sip:a@h>;x="'],
            ["<sip:a@h> <sip:b@h>"],
        ],
    )
    def test_one_that_does_not_parse_spoils_them_all(self, values: list[str]) -> None:
        with pytest.raises(BadMessage):
            parse_contacts(values)


class TestStar:
    """§10.2.2: ``*`` means all bindings, and stands alone."""

    def test_alone_it_stands_for_all(self) -> None:
        assert parse_contacts(["*"]) == STAR

    @pytest.mark.parametrize(
        "values",
        [["*", "*"], ["*, <sip:a@h>"], ["<sip:a@h>, *"], ["*", "<sip:a@h>"], ["<sip:a@h>", "*"], ["<sip:a@h>", "<sip:b@h>, *"], ["*,*"]],
    )
    def test_with_others_it_is_refused_wherever_it_stands(self, values: list[str]) -> None:
        with pytest.raises(BadMessage) as refused:
            parse_contacts(values)
        assert refused.value.reason == "* used in contact and more than 1 contact"

    @pytest.mark.parametrize("text", ["*;expires=0", "*;q=1", "* ;x", "**", "*@h", "*<sip:a@h>"])
    def test_it_has_no_parameters_and_is_part_of_nothing(self, text: str) -> None:
        with pytest.raises(BadMessage) as refused:
            parse_contacts([text])
        assert refused.value.reason == "Contact parse error"

    def test_a_display_name_may_begin_with_one_in_quotes(self) -> None:
        assert parse_contacts(['"*" <sip:a@h>']) == (Contact("sip:a@h", {}),)
