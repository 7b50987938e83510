"""One whole message from its bytes, the limits on it, and what can be answered of a bad one (RFC 3261 §7)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipreg.errors import BadMessage
from sipreg.message.model import Message, Request
from sipreg.message.parser import (
    MAX_HEADER_FIELDS,
    MAX_MESSAGE_BYTES,
    MAX_VIAS,
    BadRequest,
    Unanswerable,
    VersionUnknown,
    parse_message,
)
from support.messages import VIA, a_register, a_request, a_response, as_bytes, parsed_request, parsed_response, some_messages
from torture.mutate import mutations

VIEWS = ("top_via", "vias", "cseq", "call_id", "to", "from_", "contacts")


def with_start(line: str | bytes) -> bytes:
    """Return a good OPTIONS with another start line."""
    rest = a_request().partition(b"\r\n")[2]
    return (line.encode() if isinstance(line, str) else line) + b"\r\n" + rest


def refused(data: bytes) -> BadRequest:
    """Return how a request is refused that can be answered."""
    with pytest.raises(BadRequest) as error:
        parse_message(data)
    return error.value


class TestRequestLines:
    """§7.1."""

    @pytest.mark.parametrize(
        ("line", "method", "uri"),
        [
            ("REGISTER sip:example.com SIP/2.0", "REGISTER", "sip:example.com"),
            ("NEWMETHOD sips:a@example.com;x?y=z sip/2.0", "NEWMETHOD", "sips:a@example.com;x?y=z"),
            ("!interesting-Method0123456789_*+`.%indeed'~ sip:x SIP/2.0", "!interesting-Method0123456789_*+`.%indeed'~", "sip:x"),
            ("register sip:example.com SIP/2.0", "register", "sip:example.com"),
            ("OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0", "OPTIONS", "nobodyKnowsThisScheme:totallyopaquecontent"),
            ("OPTIONS sip:gr\u00fcn@example.com SIP/2.0", "OPTIONS", "sip:gr\u00fcn@example.com"),
        ],
    )
    def test_method_and_uri_stay_as_they_stand(self, line: str, method: str, uri: str) -> None:
        request = parsed_request(with_start(line))
        assert (request.method, request.uri_text) == (method, uri)

    @pytest.mark.parametrize(
        "uri", ["sip:a b@h", " sip:a@h", "sip:a@h ", "<sip:a@h>", 'sip:"a"@h', "sip:a@h\t", "sip:a\x01@h", "sip:a@h; lr", "sip:a@h\x7f"]
    )
    def test_a_uri_with_blanks_or_brackets_is_refused_but_answered(self, uri: str) -> None:
        error = refused(with_start(f"OPTIONS {uri} SIP/2.0"))
        assert error.status == 400
        assert error.request.call_id

    @pytest.mark.parametrize("version", ["SIP/7.0", "SIP/2.1", "SIP/02.0", "sip/1.0", "SIP/22.00"])
    def test_another_version_is_told_so(self, version: str) -> None:
        error = refused(with_start(f"OPTIONS sip:a@h {version}"))
        assert isinstance(error, VersionUnknown)
        assert (error.status, error.reason) == (505, "Version Not Supported")
        assert error.request.cseq.number == 1

    @pytest.mark.parametrize(
        "line",
        [
            "OPTIONS", "OPTIONS sip:a@h", "OPTIONS SIP/2.0", "OPTIONS  SIP/2.0", "OPTIONS sip:a@h SIP/2.0 ", " OPTIONS sip:a@h SIP/2.0",
            "OPTIONS sip:a@h HTTP/1.1",
            "OPTIONS sip:a@h SIP/2", "OPTIONS sip:a@h SIP/x.y", "OPT:IONS sip:a@h SIP/2.0", "OPTI\u00d6NS sip:a@h SIP/2.0",
            "OPTIONS sip:a@h \u017fIP/2.0", "sip:a@h",
            "OPTIONS sip:a@h SIP/\u0662.0", "Via: SIP/2.0/UDP h", "\x16\x03\x01\x02",
        ],
    )  # fmt: skip
    def test_what_is_no_request_line_cannot_be_answered(self, line: str) -> None:
        with pytest.raises(Unanswerable):
            parse_message(with_start(line))


class TestStatusLines:
    """§7.2."""

    @pytest.mark.parametrize(
        ("line", "status", "reason"),
        [
            ("SIP/2.0 200 OK", 200, "OK"),
            ("SIP/2.0 100 ", 100, ""),
            ("SIP/2.0 699 = 2**3 * 5  %41", 699, "= 2**3 * 5  %41"),
            ("SIP/2.0 404 \u4e0d\u5728", 404, "\u4e0d\u5728"),
        ],
    )
    def test_any_status_and_any_phrase_will_do(self, line: str, status: int, reason: str) -> None:
        response = parsed_response(with_start(line))
        assert (response.status, response.reason) == (status, reason)

    def test_a_phrase_that_is_no_utf8_keeps_its_bytes(self) -> None:
        response = parsed_response(with_start(b"SIP/2.0 200 \xc3\x28\xff"))
        assert response.reason.encode("utf-8", "surrogateescape") == b"\xc3\x28\xff"

    @pytest.mark.parametrize(
        "line",
        [
            "SIP/2.0 200",
            "SIP/2.0 099 x",
            "SIP/2.0 700 x",
            "SIP/2.0 4294967301 x",
            "SIP/2.0 20 x",
            "SIP/2.0  200 x",
            "SIP/3.0 200 OK",
            "SIP/2.0 2\u0660\u0660 x",
            "SIP/",
        ],
    )
    def test_any_other_is_no_response(self, line: str) -> None:
        with pytest.raises(Unanswerable):
            parse_message(with_start(line))

    @pytest.mark.parametrize(
        "data",
        [
            a_response().replace(b"CSeq:", b"CSeq"),
            a_response(body=b"abc")[:-1],
            a_response(extra=[("Via", VIA)] * MAX_VIAS),
            a_response().replace(b"Length: 0", b"Length: x"),
        ],
    )
    def test_a_bad_response_is_never_answered(self, data: bytes) -> None:
        with pytest.raises(BadMessage) as error:
            parse_message(data)
        assert not isinstance(error.value, BadRequest)


class TestHeaderFields:
    """§7.3."""

    def test_a_folded_line_is_one_with_the_line_before(self) -> None:
        request = parsed_request(
            a_request(extra=[("Subject", "I know\r\n you're\r\n\t  there,\r\n \r\n pick up"), ("Empty", "\r\n "), ("Late", "\r\n\tx")])
        )
        assert request.headers.get("subject") == "I know you're there,  pick up"
        assert request.headers.get("empty") == ""
        assert request.headers.get("late") == "x"
        assert request.headers.get("content-length") == "0"

    def test_the_first_header_field_can_be_folded(self) -> None:
        data = a_request().replace(b"SIP/2.0/UDP 192.0.2.1:5060;", b"SIP/2.0/UDP\r\n 192.0.2.1:5060\r\n ;")
        assert parsed_request(data).top_via[1] == "SIP/2.0/UDP 192.0.2.1:5060 ;branch=z9hG4bK74bf9;rport"

    def test_a_start_line_cannot(self) -> None:
        error = refused(with_start("OPTIONS sip:a@h SIP/2.0\r\n more: x"))
        assert error.request.headers.get("more") is None
        assert error.request.top_via[1] == VIA

    def test_a_fold_behind_a_bad_first_line_belongs_to_that(self) -> None:
        error = refused(with_start("OPTIONS sip:a@h SIP/2.0\r\nbad line\r\n folded\r\nSubject: a\r\n b"))
        assert error.request.headers.get("subject") == "a b"

    @pytest.mark.parametrize("line", ["no colon here", "nonsense", "Two words: x", ": x", "W\u00f6rd: x", "\x01: x"])
    @pytest.mark.parametrize("folded", ["", "Subject: a\r\n b\r\n"])
    def test_a_bad_one_is_refused_but_the_good_ones_still_answer(self, line: str, folded: str) -> None:
        error = refused(with_start(f"OPTIONS sip:a@h SIP/2.0\r\n{folded}{line}"))
        assert [error.request.headers.count(name) for name in ("via", "from", "to", "call-id", "cseq")] == [1] * 5
        assert len(error.request.headers) == 7 + bool(folded)

    def test_bytes_that_are_no_utf8_come_back_as_they_were(self) -> None:
        display = bytes(range(0x80, 0x100))
        request = parsed_request(a_request(from_="X <sip:a@h>;tag=1").replace(b"X <", b'"' + display + b'" <'))
        assert request.from_.display.encode("utf-8", "surrogateescape") == b'"' + display + b'"'

    @pytest.mark.parametrize("sign", [b"\r", b"\n", b"\0", b"\n\r", b"\r\r\n", b"\n\n"])
    @pytest.mark.parametrize("where", [b"alice", b"OPTIONS sip", b"Via", b"CSeq: "])
    def test_a_lone_line_end_or_a_nul_is_never_within_a_line(self, sign: bytes, where: bytes) -> None:
        with pytest.raises(Unanswerable):
            parse_message(a_request().replace(where, where + sign, 1))

    def test_line_ends_of_another_kind_are_not_ours(self) -> None:
        for data in (a_request().replace(b"\r\n", b"\n"), a_request().replace(b"\r\n", b"\r")):
            with pytest.raises(Unanswerable):
                parse_message(data)


class TestBodies:
    """§18.3, §20.14."""

    @pytest.mark.parametrize("body", [b"", b"abc", b"\r\n\r\n", bytes(range(256))])
    @pytest.mark.parametrize("length", ["", None])
    def test_it_is_what_content_length_tells_or_all_that_came(self, body: bytes, length: str | None) -> None:
        assert parsed_request(a_request(body=body, content_length=length)).body == body

    @pytest.mark.parametrize(("length", "body"), [("3", b"abc"), ("0003", b"abc"), ("0", b""), ("00", b"")])
    def test_what_follows_it_is_dropped(self, length: str, body: bytes) -> None:
        assert parsed_request(a_request(body=b"abcdef", content_length=length)).body == body

    @pytest.mark.parametrize("name", [b"l", b"L", b"CONTENT-LENGTH ", b"content-length"])
    def test_its_length_may_be_told_in_any_form(self, name: bytes) -> None:
        assert parsed_request(a_request(body=b"abcdef", content_length="2").replace(b"Content-Length", name)).body == b"ab"

    @pytest.mark.parametrize("length", ["7", "65537", "9" * 5000, "-1", "-999", "+3", "3.0", "abc", " ", "3 3", "3,3", "0x3", "\u0663"])
    def test_a_length_that_is_wrong_is_refused_but_answered(self, length: str) -> None:
        error = refused(a_request(body=b"abcdef", content_length=length))
        assert error.request.call_id

    def test_two_lengths_are_refused_even_if_they_agree(self) -> None:
        for second in ("0", "6"):
            assert refused(a_request(body=b"abcdef", extra=[("l", second)])).request.call_id


class TestLimits:
    """How much a peer may make us read."""

    def test_a_message_has_at_most_64_kib(self) -> None:
        largest = a_request(body=bytes(MAX_MESSAGE_BYTES - len(a_request(body=bytes(10_000))) + 10_000))
        assert len(largest) == MAX_MESSAGE_BYTES
        assert parsed_request(largest).body
        with pytest.raises(Unanswerable):
            parse_message(largest + b"x")

    def test_it_has_at_most_128_header_fields(self) -> None:
        assert MAX_HEADER_FIELDS == 128
        most = [("Foo", str(number)) for number in range(128 - 7)]
        assert len(parsed_request(a_request(extra=most)).headers) == 128
        with pytest.raises(Unanswerable):
            parse_message(a_request(extra=[*most, ("Foo", "x")]))

    def test_folded_lines_count_as_the_field_that_they_are(self) -> None:
        assert parsed_request(a_request(extra=[("Subject", "\r\n ".join("x" * 1000))])).headers.get("subject") == " ".join("x" * 1000)

    @pytest.mark.parametrize("number", [MAX_VIAS, MAX_VIAS + 1])
    @pytest.mark.parametrize("form", ["fields", "commas", "both"])
    def test_it_has_at_most_70_vias_in_whatever_form(self, number: int, form: str) -> None:
        all_of_them = [f"SIP/2.0/UDP h{each};branch=b" for each in range(number)]
        via = {"fields": all_of_them, "commas": [", ".join(all_of_them)], "both": [", ".join(all_of_them[:9]), *all_of_them[9:]]}[form]
        data = a_request(via=via)
        if number <= MAX_VIAS:
            assert parsed_request(data).vias == all_of_them
        else:
            assert refused(data).reason == "Too many Via headers"


class TestFrames:
    """§7.5: what stands in front of a message, and what is none."""

    @pytest.mark.parametrize("front", [b"\r\n", b"\r\n\r\n", b"\r\n" * 999])
    def test_empty_lines_in_front_are_skipped(self, front: bytes) -> None:
        assert parsed_request(front + a_request(body=b"abc")).body == b"abc"

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\r\n",
            b"\r\n\r\n",
            b"\r\n" * 99,
            b"\0" * 4,
            b"x",
            b"OPTIONS sip:a@h SIP/2.0\r\n",
            a_request()[:-2],
            a_request()[:-4],
            b"\n" + a_request(),
            b" " + a_request(),
        ],
    )
    def test_what_has_no_end_or_begins_otherwise_cannot_be_answered(self, data: bytes) -> None:
        with pytest.raises(Unanswerable):
            parse_message(data)

    def test_a_start_line_alone_is_a_request_that_lacks_everything(self) -> None:
        request = parsed_request(b"OPTIONS sip:a@h SIP/2.0\r\n\r\n")
        with pytest.raises(BadMessage):
            _ = request.top_via


def look_at_all_of(message: Message) -> None:
    """Ask for everything that a message can be asked for; what does not parse may say so, in the one way that there is."""
    asked: list[Callable[[], object]] = [partial(getattr, message, name) for name in VIEWS]
    asked += [partial(message.seconds, name, name) for name in ("expires", "max-forwards", "min-expires")]
    asked += [partial(message.option_tags, name) for name in ("supported", "require")]
    asked += [partial(message.addresses, name) for name in ("path", "route")]
    if isinstance(message, Request):
        asked += [partial(getattr, message, "uri"), partial(getattr, message, "max_forwards")]
    for view in asked:
        with suppress(BadMessage):
            view()


def outcome(data: bytes) -> Message | BadMessage:
    """Parse any bytes, look at what came of it, and return that."""
    try:
        message: Message = parse_message(data)
    except BadRequest as error:
        look_at_all_of(error.request)
        return error
    except BadMessage as error:
        return error
    look_at_all_of(message)
    return message


PARTS = [
    b"Via",
    b"To",
    b"m",
    b":",
    b" ",
    b"\r\n",
    b"<sip:a@h>",
    b'"',
    b";",
    b"=",
    b",",
    b"\\",
    b"*",
    b"\xff",
    b"SIP/2.0/UDP h",
    b"1 OPTIONS",
]


class TestAnyBytes:
    """Whatever a peer sends is a message or a `BadMessage`, and so is every part of it."""

    @given(st.binary(max_size=300))
    def test_whatever_comes_is_one_or_the_other(self, data: bytes) -> None:
        assert isinstance(outcome(data), Message | BadMessage)

    @given(st.lists(st.sampled_from(PARTS)).map(b"".join))
    def test_whatever_the_header_fields_are_made_of(self, head: bytes) -> None:
        got = outcome(b"OPTIONS sip:a@h SIP/2.0\r\n" + head + b"\r\n\r\n")
        assert isinstance(got, Request | BadMessage)

    @given(st.integers(0, 2**32))
    def test_whatever_becomes_of_a_good_message_on_its_way(self, seed: int) -> None:
        for data in mutations(some_messages(), 40, seed):
            assert isinstance(outcome(data), Message | BadMessage)

    @pytest.mark.parametrize("number", range(len(some_messages())))
    def test_a_message_that_was_cut_off_anywhere_is_none(self, number: int) -> None:
        whole = some_messages()[number]
        head = whole.index(b"\r\n\r\n") + 4
        for end in range(len(whole)):
            with pytest.raises(Unanswerable if end < head else BadMessage):
                parse_message(whole[:end])

    @pytest.mark.parametrize("number", range(len(some_messages())))
    def test_a_good_one_is_good_in_all_its_parts(self, number: int) -> None:
        message = parse_message(some_messages()[number])
        for name in VIEWS:
            assert getattr(message, name) is not None


def test_what_a_builder_makes_is_what_it_says() -> None:
    assert a_register() == as_bytes(
        "REGISTER sip:example.com SIP/2.0",
        [
            ("Via", VIA),
            ("Max-Forwards", "70"),
            ("From", "Alice <sip:alice@example.com>;tag=456248"),
            ("To", "<sip:alice@example.com>"),
            ("Call-ID", "1j9FpLxk3uxtm8tn@192.0.2.1"),
            ("CSeq", "1 REGISTER"),
            ("Contact", "<sip:alice@192.0.2.1:5060>"),
            ("Expires", "3600"),
            ("Content-Length", "0"),
        ],
    )
