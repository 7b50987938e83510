"""Header fields: names, forms, order, repetition (RFC 3261 §7.3)."""

from __future__ import annotations

import pytest

from sipreg.errors import BadMessage
from sipreg.message.headers import COMPACT, KNOWN, FoldedLine, Headers, header_name
from support.messages import headers_of

COMPACT_FORMS = {
    "Accept-Contact": "a", "Referred-By": "b", "Content-Type": "c", "Request-Disposition": "d", "Content-Encoding": "e", "From": "f",
    "Call-ID": "i",
    "Reject-Contact": "j", "Supported": "k", "Content-Length": "l", "Contact": "m", "Identity-Info": "n", "Event": "o", "Refer-To": "r",
    "Subject": "s",
    "To": "t", "Allow-Events": "u", "Via": "v", "Session-Expires": "x", "Identity": "y",
}  # fmt: skip


class TestNames:
    """§7.3.1, §7.3.3."""

    @pytest.mark.parametrize("text", ["Contact", "CONTACT", "contact", "cOnTaCt", "m", "M", "Contact ", "m\t ", "cOnTaCt\t"])
    def test_case_compact_form_and_blanks_before_the_colon_make_no_difference(self, text: str) -> None:
        assert header_name(text) == "contact"
        assert headers_of(f"{text}: <sip:a@h>").get("contact") == "<sip:a@h>"

    @pytest.mark.parametrize(("name", "letter"), COMPACT_FORMS.items())
    def test_every_registered_compact_form_is_known(self, name: str, letter: str) -> None:
        headers = headers_of(f"{letter}: 1", f"{letter.upper()} : 2", f"{name}: 3")
        assert headers.all(name.lower()) == ("1", "2", "3")

    def test_the_table_of_usual_spellings_says_the_same_as_the_rule(self) -> None:
        assert {spelling: header_name(spelling) for spelling in KNOWN} == KNOWN
        assert set(COMPACT.values()) == {name.lower() for name in COMPACT_FORMS}

    def test_a_letter_without_a_meaning_is_a_name_of_its_own(self) -> None:
        assert headers_of("z: 1").get("z") == "1"

    @pytest.mark.parametrize(
        "text", ["", " ", "Con tact", " Contact", "Con\u00e9", "To<", '"To"', "\u212a", "\u017f", "To\u00a0", "To\x0b"]
    )
    def test_what_is_no_token_is_no_name(self, text: str) -> None:
        with pytest.raises(BadMessage):
            header_name(text)


class TestValues:
    """§7.3.1: an ordered multimap."""

    def test_a_value_begins_and_ends_at_what_is_not_blank(self) -> None:
        headers = headers_of("To:<sip:a@h>", "From: \t <sip:b@h> \t", "Subject:", "Call-ID:  ", "Foo: a  b : c")
        assert [headers.get(name) for name in ("to", "from", "subject", "call-id", "foo")] == ["<sip:a@h>", "<sip:b@h>", "", "", "a  b : c"]

    @pytest.mark.parametrize("white", ["\u00a0", "\u2003", "\u0085", "\x0b", "\x1f"])
    def test_other_white_space_belongs_to_the_value(self, white: str) -> None:
        headers = headers_of(f"Call-ID: {white}a{white}", f"Foo: {white}", f"Foo: b{white}")
        assert headers.get("call-id") == f"{white}a{white}"
        assert headers.all("foo") == (white, f"b{white}")
        assert next(iter(headers)) == ("Call-ID", f"{white}a{white}")

    def test_repeated_fields_keep_their_order_over_all_their_names(self) -> None:
        headers = headers_of("Via: 1", "To: x", "v: 2, 3", "VIA: 4")
        assert headers.get("via") == "1"
        assert headers.all("via") == ("1", "2, 3", "4")
        assert [headers.count(name) for name in ("via", "to", "from")] == [3, 1, 0]

    def test_what_is_absent_is_none_and_nothing(self) -> None:
        headers = headers_of("To: x")
        assert headers.get("from") is None
        assert headers.all("from") == ()
        assert "from" not in headers
        assert "to" in headers

    def test_all_of_them_come_out_as_they_were_spelt(self) -> None:
        headers = headers_of("Via: 1", "tO : x ", "v:2", "Empty:")
        assert list(headers) == [("Via", "1"), ("tO", "x"), ("v", "2"), ("Empty", "")]
        assert len(headers) == 4

    def test_a_message_may_have_none(self) -> None:
        assert list(Headers([])) == []


class TestBadLines:
    """What is no header field is told, and hides none of the others."""

    @pytest.mark.parametrize("line", ["Via", "Nonsense", "", ": x", "Two words: x", " To: x", "\u00fc: 1"])
    def test_a_line_that_is_no_header_field_is_an_error(self, line: str) -> None:
        with pytest.raises(BadMessage) as refused:
            headers_of(line, "To: x")
        assert not isinstance(refused.value, FoldedLine)

    @pytest.mark.parametrize("line", [" more", "\tmore", " more: x", " "])
    def test_a_line_that_continues_another_asks_to_be_joined_first(self, line: str) -> None:
        with pytest.raises(FoldedLine):
            headers_of("To: x", line)
