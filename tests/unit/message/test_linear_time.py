"""No text costs a parser more than time in proportion to its length: what a peer sends cannot stop us by being odd."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import pytest

from sipreg.errors import BadMessage
from sipreg.message import abnf
from sipreg.message.address import parse_name_addr
from sipreg.message.auth import parse_digest
from sipreg.message.contact import parse_contacts
from sipreg.message.cseq import parse_cseq
from sipreg.message.framer import StreamFramer
from sipreg.message.headers import Headers, header_name
from sipreg.message.model import capped_seconds
from sipreg.message.params import parse_params
from sipreg.message.parser import BadRequest, parse_message
from sipreg.message.uri import parse_uri, parse_uri_params, same_uri
from sipreg.message.via import Via, parse_via, stamped
from sipreg.message.writer import response_head
from support.messages import VIA, a_register, a_request, parsed_request

pytestmark = pytest.mark.slow

SHORT: Final = 16_000
LONG: Final = 4 * SHORT
"""Characters; about as much as a message can hold."""

SLACK_S: Final = 0.004
"""What the machine may add by itself to a measurement of CPU time."""

STEEPEST: Final = 10
"""Four times the length is four times the work if that is linear, and sixteen times if it is quadratic."""

TRIES: Final = 15

SIGNS: Final = (
    "<", ">", "<>", "<<>", '"', '""', '"a"', "\\", '\\"', '"\\', ";", ",", ", ", "=", "a=", "a=b;", ";a", ';a="', ";a=b", "a,", "%", "%4",
    "%41", "\u00e9%41", " ", "\t",
    " ;", " ,", "(", ")", "()", ":", "@", "a@", "a:", "[", "]", "[]", "::", "?", "&", "a=b&", "/", "*", "0", "9", "0.", ".", "-", "a",
    "a.", "a ", "\u00e9", "\udcff",
    ";rport", ";rportal", ";received=1", ";x=\"", "<a>,", '"a",', "\u212a",
)  # fmt: skip


def seconds_of(function: Callable[[str], object], text: str) -> float:
    """Return how long the function takes for this text; that it refuses it is no matter."""
    start = time.process_time()
    with suppress(BadMessage):
        function(text)
    return time.process_time() - start


def is_linear(function: Callable[[str], object], text_of: Callable[[int], str]) -> bool:
    """Whether four times the length takes less than ten times as long; measured again while the machine makes it look otherwise."""
    short, long = text_of(SHORT), text_of(LONG)
    best_short = best_long = float("inf")
    for _ in range(TRIES):
        best_short = min(best_short, seconds_of(function, short))
        best_long = min(best_long, seconds_of(function, long))
        if best_long < STEEPEST * best_short + SLACK_S:
            return True
    return False


def compare(text: str) -> object:
    return same_uri(parse_uri(text), parse_uri(text + ";x"))


def stamp(text: str) -> object:
    return stamped(text, Via("UDP", "h", None, "b", "", None), "192.0.2.9", 5060) + stamped(text, parse_via(text), "192.0.2.9", 5060)


def answer(text: str) -> object:
    return response_head(parsed_request(a_register(via=[VIA, text], to=text)), "t", VIA)


def receive(data: bytes) -> object:
    """Parse a message and look at what a registrar looks at."""
    try:
        message = parse_message(data)
    except BadRequest as error:
        message = error.request
    for view in (
        lambda: message.top_via,
        lambda: message.vias,
        lambda: message.to.tag,
        lambda: message.contacts,
        lambda: message.option_tags("require"),
    ):
        try:
            view()
        except BadMessage:
            continue
    return message


FUNCTIONS: Final[dict[str, tuple[Callable[[str], object], tuple[str, ...]]]] = {
    "is_token": (abnf.is_token, ("",)),
    "unquoted": (abnf.unquoted, ("", '"')),
    "quoted": (abnf.quoted, ("",)),
    "split_list": (abnf.split_list, ("", '"', "<")),
    "split_params": (abnf.split_params, ("", 'a="')),
    "unescaped": (abnf.unescaped, ("",)),
    "qvalue": (abnf.qvalue, ("", "0.", "1.")),
    "parse_params": (parse_params, ("", "a=", 'a="', '"x";')),
    "parse_name_addr": (parse_name_addr, ("", "<", '"', "a <", "<sip:a@h>;", "sip:a@h;")),
    "parse_contacts": (lambda text: parse_contacts([text, text]), ("", "<sip:a@h>,", "*", '"')),
    "parse_cseq": (parse_cseq, ("", "1 ", "0")),
    "parse_uri": (parse_uri, ("", "sip:", "sip:a@h", "sip:h;", "sip:[", "sip:h?", "tel:", "x:")),
    "parse_uri_params": (parse_uri_params, ("",)),
    "same_uri": (compare, ("sip:", "sip:a@h;", "sip:h?", "tel:1", "tel:1;")),
    "parse_via": (parse_via, ("", "SIP/2.0/", "SIP", VIA, "SIP/2.0/UDP h;branch=", "SIP/2.0/UDP ", "SIP/2.0/UDP h", "SIP/2.0/UDP [")),
    "stamped": (stamp, (VIA, "SIP/2.0/UDP h;branch=b;received=1;", 'SIP/2.0/UDP h;rport;a="')),
    "parse_digest": (parse_digest, ("Digest ", 'Digest username="', 'Digest username="a", ', "Digest nc=")),
    "header_name": (header_name, ("", "a")),
    "Headers": (lambda text: list(Headers([f"{text}: x", f"To: {text}", text])), ("", "a:")),
    "capped_seconds": (lambda text: capped_seconds("0" * (len(text) // 2) + "9" * (len(text) // 2)), ("",)),
    "response_head": (answer, ("", "<sip:a@h>;", "SIP/2.0/UDP h,")),
}


class TestEveryFunction:
    """§5 of the promise: linear in time, whatever the text is made of."""

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_takes_time_in_proportion_to_its_text(self, name: str) -> None:
        function, prefixes = FUNCTIONS[name]
        steep = [
            (prefix, sign)
            for prefix in prefixes
            for sign in SIGNS
            if not is_linear(function, lambda size, prefix=prefix, sign=sign: prefix + sign * (size // len(sign)))  # type: ignore[misc]  # bound early
        ]
        assert steep == []


def of_bytes(function: Callable[[bytes], object], sign: bytes, front: bytes = b"", back: bytes = b"") -> bool:
    """Return whether a function of bytes is linear in the number of these signs between front and back."""
    return is_linear(
        lambda text: function(text.encode("latin-1")),
        lambda size: (front + sign * ((size - len(front) - len(back)) // len(sign)) + back).decode("latin-1"),
    )


class TestWholeMessages:
    """What holds of the parts holds of a message."""

    @pytest.mark.parametrize(
        "name", [b"Via: ", b"To: ", b"Contact: ", b"Subject:", b"CSeq: ", b"Content-Length: ", b"Require: ", b"", b" "]
    )
    def test_a_header_field_may_be_made_of_anything(self, name: bytes) -> None:
        front = a_request()[:-2] + name
        assert [sign for sign in SIGNS if not of_bytes(receive, sign.encode("utf-8", "surrogateescape"), front, b"\r\n\r\n")] == []

    @pytest.mark.parametrize(
        "sign",
        [b"\r\n ", b"\r\n\t", b"\r\na:", b"\r\na: b\r\n c", b"\r\n:", b"\r\n", b"\r", b"\n", b"\0", b"\r\nVia: x", b"\r\n\r\n", b"\xff"],
    )
    @pytest.mark.parametrize("front", [b"", b"\r\n", a_request()[:-4]])
    def test_so_may_its_lines(self, sign: bytes, front: bytes) -> None:
        assert of_bytes(receive, sign, front)
        assert of_bytes(receive, sign, front, b"\r\n\r\n")

    @pytest.mark.parametrize("sign", [b" ", b"a", b"a ", b"SIP/2.0 ", b"%", b"<", b"@"])
    def test_so_may_its_start_line(self, sign: bytes) -> None:
        for front in (b"", b"OPTIONS ", b"OPTIONS sip:", b"SIP/2.0 200 "):
            assert of_bytes(receive, sign, front, b" SIP/2.0" + a_request().partition(b" SIP/2.0")[2])


def trickled(step: int) -> Callable[[bytes], object]:
    """Return what feeds a framer in steps of so many bytes."""

    def feed(data: bytes) -> object:
        framer = StreamFramer()
        return [framer.feed(data[at : at + step]) for at in range(0, len(data), step)]

    return feed


class TestStreams:
    """It does not matter in how small pieces they come."""

    SIGNS = (
        b"\r\n",
        b"\r",
        b"\n",
        b"\r\n\r\n",
        b"l:",
        b"l:\r\n",
        b"l:\r\n ",
        b"\r\n l:1",
        b"\r\nl: ",
        b"l:1\r\n",
        b"a",
        b" ",
        a_register(),
    )

    @pytest.mark.parametrize("step", [8, 1460, 10**6])
    def test_header_fields_may_be_made_of_anything(self, step: int) -> None:
        assert [(front, sign) for front in (b"", b"x\r\nl:") for sign in self.SIGNS if not of_bytes(trickled(step), sign, front)] == []

    @pytest.mark.parametrize("step", [8, 1460])
    def test_a_body_may_trickle_in_behind_many_header_fields(self, step: int) -> None:
        def message(size: int) -> str:
            half = size // 2 - 200
            return a_request(extra=[("Subject", "\r\n ".join(["x" * 8] * (half // 11)))], body=b"y" * half).decode("ascii")

        def feed(text: str) -> object:
            assert trickled(step)(text.encode("ascii"))[-1]  # type: ignore[index]  # a list, see above
            return None

        assert is_linear(feed, message)
