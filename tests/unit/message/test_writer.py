"""Messages to bytes: what goes out reads back, and nobody's value becomes a line of its own (RFC 3261 §7, §8.2.6)."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipreg.errors import BadMessage
from sipreg.message.headers import Headers
from sipreg.message.model import Message, Request, Response
from sipreg.message.parser import parse_message
from sipreg.message.writer import REASONS, header_line, message_bytes, message_from, response_bytes, response_head
from support.messages import VIA, Fields, a_register, a_request, a_response, parsed_request, parsed_response, some_messages
from torture.mutate import mutations


def parts(message: Message) -> tuple[object, ...]:
    """Return all that makes a message what it is; Content-Length goes without saying."""
    start = (message.method, message.uri_text) if isinstance(message, Request) else ()
    if isinstance(message, Response):
        start = (str(message.status), message.reason)
    fields = [(name, value) for name, value in message.headers if name.lower() not in ("content-length", "l")]
    return (type(message), start, fields, message.body)


names = st.text(alphabet="abcXYZ0-.!%*_+`'~", min_size=1, max_size=9).filter(lambda name: name not in ("l", "L"))
values = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20) | st.binary(max_size=12).map(
    lambda data: data.translate(None, b"\r\n\0").decode("utf-8", "surrogateescape")
)
lines = st.tuples(names, values.map(lambda value: value.strip(" \t"))).map(": ".join)
headers = st.lists(lines, max_size=12).map(Headers)
uris = st.text(st.characters(exclude_characters=' <>"\x7f', exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)
reasons = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)
messages = st.builds(Request, names, uris, headers, st.binary(max_size=50)) | st.builds(
    Response, st.integers(100, 699), reasons, headers, st.binary(max_size=50)
)


class TestRoundTrips:
    """parse(write(m)) = m."""

    @given(messages)
    def test_whatever_message_is_written_reads_back_as_itself(self, message: Request | Response) -> None:
        assert parts(parse_message(message_bytes(message))) == parts(message)

    @pytest.mark.parametrize("number", range(len(some_messages())))
    def test_so_do_those_that_were_received(self, number: int) -> None:
        message = parse_message(some_messages()[number])
        assert parts(parse_message(message_bytes(message))) == parts(message)

    def test_so_do_those_that_were_damaged_and_still_parse(self) -> None:
        survivors = 0
        for data in mutations(some_messages(), 800, 11):
            try:
                message = parse_message(data)
            except BadMessage:
                continue
            survivors += 1
            assert parts(parse_message(message_bytes(message))) == parts(message)
        assert survivors > 100

    def test_the_length_is_that_of_the_body_whatever_was_said(self) -> None:
        request = parsed_request(a_request(body=b"abcdef", content_length="2"))
        assert message_bytes(request).endswith(b"\r\nContent-Length: 2\r\n\r\nab")
        assert (
            message_from("OPTIONS sip:h SIP/2.0", [("l", "9"), ("CONTENT-LENGTH", "8")], b"abc")
            == b"OPTIONS sip:h SIP/2.0\r\nContent-Length: 3\r\n\r\nabc"
        )

    def test_what_is_neither_request_nor_response_is_not_written(self) -> None:
        with pytest.raises(TypeError):
            message_bytes(Message(Headers([]), b""))


class TestLineEnds:
    """A value that could bring one would forge a header field."""

    @pytest.mark.parametrize(
        ("name", "value"), [("To", "a\r\nb"), ("To", "a\n"), ("To", "\r"), ("To\r\n", "a"), ("T\no", "a"), ("T\ro", "a")]
    )
    def test_none_gets_into_a_header_field(self, name: str, value: str) -> None:
        with pytest.raises(ValueError, match="line end"):
            header_line(name, value)
        with pytest.raises(ValueError, match="line end"):
            message_from("OPTIONS sip:h SIP/2.0", [(name, value)], b"")

    @pytest.mark.parametrize("start", ["OPTIONS sip:h SIP/2.0\r\nX: y", "OPTIONS sip:h\n SIP/2.0", "\rOPTIONS"])
    def test_nor_into_a_start_line(self, start: str) -> None:
        with pytest.raises(ValueError, match="line end"):
            message_from(start, [], b"")

    def test_a_plain_header_field_is_one_line(self) -> None:
        assert header_line("Min-Expires", "60") == "Min-Expires: 60\r\n"


def response_to(data: bytes, top_via: str = VIA, tag: str = "srv1") -> Response:
    """Return the 200 to a request, read back."""
    return parsed_response(response_bytes(200, "OK", response_head(parsed_request(data), tag, top_via)))


class TestResponses:
    """§8.2.6.2: Via, From, To, Call-ID and CSeq are those of the request."""

    def test_it_repeats_what_it_must_and_nothing_else(self) -> None:
        response = response_to(a_register(), f"{VIA}=9;received=192.0.2.9")
        assert list(response.headers) == [
            ("Via", f"{VIA}=9;received=192.0.2.9"),
            ("From", "Alice <sip:alice@example.com>;tag=456248"),
            ("To", "<sip:alice@example.com>;tag=srv1"),
            ("Call-ID", "1j9FpLxk3uxtm8tn@192.0.2.1"),
            ("CSeq", "1 REGISTER"),
            ("Content-Length", "0"),
        ]

    @pytest.mark.parametrize("text", ["a \xff\xfe b", "\u00e9\u4e0d", "  a  b  ", "a\u00a0", "\u2003a", "\x1fa\x0b"])
    def test_it_repeats_bytes_even_if_they_are_no_utf8(self, text: str) -> None:
        raw = text.encode("latin-1" if "\xff" in text else "utf-8")
        request = a_register(call_id="CALLID").replace(b"Alice <", b'"' + raw + b'" <').replace(b"CALLID", raw)
        answer = response_bytes(200, "OK", response_head(parsed_request(request), "t", VIA))
        assert b'\r\nFrom: "' + raw + b'" <sip:alice@example.com>;tag=456248\r\n' in answer
        assert b"\r\nCall-ID: " + raw.strip(b" ") + b"\r\n" in answer

    @pytest.mark.parametrize(
        ("to", "after"),
        [
            ("<sip:a@h>", "<sip:a@h>;tag=srv1"),
            ("<sip:a@h;tag=x>", "<sip:a@h;tag=x>;tag=srv1"),
            ("<sip:a@h>;x=1", "<sip:a@h>;x=1;tag=srv1"),
            ('"A;tag=x" <sip:a@h>', '"A;tag=x" <sip:a@h>;tag=srv1'),
            ("sip:a@h", "sip:a@h;tag=srv1"),
            ("<sip:a@h>;tag=theirs", "<sip:a@h>;tag=theirs"),
            ("<sip:a@h> ; x=1 ; TAG = theirs", "<sip:a@h> ; x=1 ; TAG = theirs"),
            ('"A <sip:a@h>', '"A <sip:a@h>;tag=srv1'),
            ('"A <sip:a@h>;x=1', '"A <sip:a@h>;x=1;tag=srv1'),
            ('<sip:a@h>;x="', '<sip:a@h>;x=";tag=srv1'),
        ],
    )
    def test_to_gets_a_tag_where_it_has_none_even_if_it_is_bad(self, to: str, after: str) -> None:
        assert response_to(a_register(to=to)).headers.get("to") == after

    @pytest.mark.parametrize("form", ["fields", "commas", "both"])
    def test_all_vias_stand_in_their_order_below_the_stamped_one(self, form: str) -> None:
        all_of_them = [VIA, "SIP/2.0/TCP b;branch=z9hG4bKb", 'SIP/2.0/UDP c;x="1,2"']
        via = {"fields": all_of_them, "commas": [",".join(all_of_them)], "both": [" , ".join(all_of_them[:2]), all_of_them[2]]}[form]
        assert response_to(a_register(via=via), "SIP/2.0/UDP stamped").headers.all("via") == ("SIP/2.0/UDP stamped", *all_of_them[1:])

    @pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq"])
    def test_a_request_without_one_of_them_cannot_be_answered(self, name: str) -> None:
        for replacement in (f"X-{name}: ".encode(), f"{name}:\r\nX-{name}: ".encode()):
            request = parsed_request(a_register().replace(f"{name}: ".encode(), replacement))
            with pytest.raises(BadMessage):
                response_head(request, "t", VIA)

    def test_further_lines_go_between_the_head_and_the_end(self) -> None:
        answer = response_bytes(423, REASONS[423], "Via: x\r\n", header_line("Min-Expires", "60"))
        assert answer == b"SIP/2.0 423 Interval Too Brief\r\nVia: x\r\nMin-Expires: 60\r\nContent-Length: 0\r\n\r\n"

    def test_every_phrase_of_ours_is_one_line_of_ascii(self) -> None:
        for status, reason in REASONS.items():
            response = parsed_response(response_bytes(status, reason, ""))
            assert (response.status, response.reason) == (status, reason)
            assert reason.isascii()

    def test_the_phrases_are_those_of_the_standards(self) -> None:
        named_alike = {status for status in set(HTTPStatus) & REASONS.keys() if HTTPStatus(status).phrase == REASONS[status]}
        assert named_alike == {200, 202, 400, 401, 403, 404, 405, 407, 408, 501, 503}
        assert sorted(REASONS.keys() - named_alike) == [100, 180, 302, 416, 420, 423, 430, 439, 480, 481, 482, 483, 487, 500, 505, 555]

    def test_a_response_that_was_received_can_be_written_again(self) -> None:
        fields: Fields = [("Contact", "<sip:a@h>;expires=5")]
        assert message_bytes(parsed_response(a_response(extra=fields))) == a_response(extra=fields)
