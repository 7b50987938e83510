"""name-addr and addr-spec with header parameters (RFC 3261 §20.10, §20.20, §20.39)."""

from __future__ import annotations

import pytest

from sipreg.errors import BadMessage
from sipreg.message.address import NameAddr, parse_name_addr


class TestShapes:
    """§25.1, ``name-addr`` and ``addr-spec``."""

    @pytest.mark.parametrize(
        ("text", "display", "uri", "params"),
        [
            ("<sip:a@b.example>", "", "sip:a@b.example", ""),
            ("<sip:a@b.example;transport=tcp?x=y>;tag=1", "", "sip:a@b.example;transport=tcp?x=y", ";tag=1"),
            ("<sip:a@b.example> ;\ttag=1", "", "sip:a@b.example", ";\ttag=1"),
            ("< sip:a@b.example >;tag=1", "", "sip:a@b.example", ";tag=1"),
            ("Alice <sip:a@b.example>", "Alice", "sip:a@b.example", ""),
            ("Alice<sip:a@b.example>;tag=1", "Alice", "sip:a@b.example", ";tag=1"),
            ("Alice  Ann\t<sip:a@b.example>", "Alice  Ann", "sip:a@b.example", ""),
            ('"A, \\"L\\" <x>; ice" <sip:a@b.example>;tag=1', '"A, \\"L\\" <x>; ice"', "sip:a@b.example", ";tag=1"),
            ('""<sip:a@b.example>', '""', "sip:a@b.example", ""),
            ('"Alice"\t<sip:a,b@c.example>', '"Alice"', "sip:a,b@c.example", ""),
            ("sip:a@b.example", "", "sip:a@b.example", ""),
            ("tel:+1-201-555-0123", "", "tel:+1-201-555-0123", ""),
            ("Jos\u00e9 <sip:a@b.example>", "Jos\u00e9", "sip:a@b.example", ""),
            ('<sip:a@b.example>;x="<y>"', "", "sip:a@b.example", ';x="<y>"'),
        ],
    )
    def test_its_parts_are_told_apart_and_stay_as_they_stand(self, text: str, display: str, uri: str, params: str) -> None:
        assert parse_name_addr(text) == NameAddr(display, uri, params)

    def test_without_brackets_every_parameter_is_the_headers(self) -> None:
        address = parse_name_addr("sip:a@b.example;transport=tcp;tag=1")
        assert address == NameAddr("", "sip:a@b.example", ";transport=tcp;tag=1")
        assert address.tag == "1"

    def test_without_brackets_a_parameter_may_still_hold_some_within_quotes(self) -> None:
        address = parse_name_addr('sip:a@b.example;+sip.instance="<urn:uuid:1>";reg-id=1')
        assert address.uri == "sip:a@b.example"
        assert address.parsed_params() == {"+sip.instance": '"<urn:uuid:1>"', "reg-id": "1"}

    @pytest.mark.parametrize(
        "text",
        [
            "", " ", "<>", "< >", "<sip:a@b", "sip:a@b>", "sip:a@b;tag=1>", "Alice <sip:a@b", "<sip:a@b> x", "<sip:a@b>>", "<sip:a@b>,<c>",
            "a@b <sip:a@b>", "A, L <sip:a@b>", 'Al"ice <sip:a@b>', 'Al"ice" <sip:a@b>', "sip:a@b <sip:a@b>", "A;x <sip:a@b>", ";tag=1",
            '"Alice <sip:a@b>', '"Alice" sip:a@b', '"Alice" x <sip:a@b>', '"', '"Alice"', '"A\\" <sip:a@b>',
            "sip:a,b@c", "sip:a@b?subject=x", "sip:a b@c", "Alice sip:a@b", 'sip:a>b@c;x="1"',
        ],
    )  # fmt: skip
    def test_what_does_not_pair_or_needs_brackets_is_an_error(self, text: str) -> None:
        with pytest.raises(BadMessage):
            parse_name_addr(text)


class TestTags:
    """§19.3."""

    @pytest.mark.parametrize(
        ("text", "tag"),
        [
            ("<sip:a@b>", None),
            ("<sip:a@b>;x=1", None),
            ("<sip:a@b;tag=uri>", None),
            ("<sip:a@b>;tag=1a", "1a"),
            ("<sip:a@b>;x=1; TAG = 1a", "1a"),
            ("sip:a@b;tag=1a", "1a"),
            ("<sip:a@b>;tag", ""),
        ],
    )
    def test_the_tag_is_that_of_the_header_not_of_the_uri(self, text: str, tag: str | None) -> None:
        assert parse_name_addr(text).tag == tag
