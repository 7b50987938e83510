"""A byte stream to messages (RFC 3261 §18.3), and the keep-alive between them (RFC 5626 §3.5.1, §4.4.1)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipreg.errors import BadMessage
from sipreg.message.framer import KeepAlive, StreamFramer
from sipreg.message.parser import MAX_MESSAGE_BYTES
from support.messages import a_register, a_request, some_messages
from torture.mutate import mutations

PING = KeepAlive.PING
FIRST = a_register()
SECOND = a_request("MESSAGE", extra=[("Content-Type", "text/plain")], body=b"\r\n\r\nREGISTER sip:x SIP/2.0\r\nl: 9\r\n\r\n")


def framed(*chunks: bytes) -> list[bytes | KeepAlive | type[BadMessage]]:
    """Return what comes of a stream that arrives in these chunks; `BadMessage` at its end if it cannot be cut any further."""
    framer = StreamFramer()
    complete: list[bytes | KeepAlive | type[BadMessage]] = []
    try:
        for chunk in [*chunks, b""]:
            complete += framer.feed(chunk)
    except BadMessage:
        complete.append(BadMessage)
    return complete


def cut(data: bytes, points: list[int]) -> list[bytes]:
    """Return the data in pieces, cut at these points."""
    edges = [0, *sorted(point % (len(data) + 1) for point in points), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


class TestMessages:
    """§18.3: Content-Length tells where a message ends."""

    def test_one_comes_out_as_it_went_in(self) -> None:
        assert framed(FIRST) == [FIRST]

    def test_several_at_once_come_out_one_by_one(self) -> None:
        assert framed(FIRST + SECOND + FIRST) == [FIRST, SECOND, FIRST]

    def test_byte_by_byte_it_is_the_same(self) -> None:
        stream = FIRST + SECOND
        assert framed(*(stream[at : at + 1] for at in range(len(stream)))) == [FIRST, SECOND]

    @pytest.mark.parametrize("name", [b"l", b"L : ", b"CONTENT-LENGTH\t", b"content-length:\r\n ", b"Content-Length: \t\r\n\t "])
    def test_its_length_may_be_told_in_any_form(self, name: bytes) -> None:
        line = name if b":" in name else name + b":"
        data = a_request(body=b"abc").replace(b"Content-Length:", line)
        assert framed(data + FIRST) == [data, FIRST]

    def test_a_length_that_comes_twice_is_one_if_both_agree(self) -> None:
        data = a_request(body=b"abc", extra=[("l", "3")])
        assert framed(data + FIRST) == [data, FIRST]

    def test_a_body_or_another_value_tells_no_length(self) -> None:
        data = a_request(body=b"\r\nl: 7\r\n", extra=[("Subject", "l: 5\r\n l: 6")])
        assert framed(data + FIRST) == [data, FIRST]

    @pytest.mark.parametrize(
        "data",
        [
            a_request(content_length=None),
            a_request(content_length="abc"),
            a_request(content_length="-1"),
            a_request(content_length="3 3"),
            a_request(content_length="3\r\n 3"),
            a_request(content_length=" "),
            a_request(content_length="99999999999"),
            a_request(body=b"abc", extra=[("l", "4")]),
            a_request(body=b"abc", extra=[("l", "0")]),
            b"Content-Length: 0\r\n\r\n",
            b"x\r\n\r\n",
        ],
    )
    def test_without_one_good_length_nothing_more_can_be_told(self, data: bytes) -> None:
        assert framed(FIRST + data + FIRST) == [FIRST, BadMessage]


class TestBrokenStreams:
    """What came before the break is whole, and nothing comes after it."""

    def test_messages_before_the_break_are_not_lost(self) -> None:
        framer = StreamFramer()
        assert framer.feed(FIRST + b"\r\n\r\n" + SECOND + b"garbage\r\n\r\n") == [FIRST, PING, SECOND]
        with pytest.raises(BadMessage):
            framer.feed(FIRST)

    def test_it_stays_broken(self) -> None:
        framer = StreamFramer()
        for _ in range(3):
            with pytest.raises(BadMessage):
                framer.feed(b"garbage\r\n\r\n")


class TestLimits:
    """At most one message is ever held, and it is no larger than a datagram."""

    def test_the_largest_message_passes(self) -> None:
        data = a_request(body=bytes(MAX_MESSAGE_BYTES - len(a_request(body=bytes(10_000))) + 10_000))
        assert len(data) == MAX_MESSAGE_BYTES
        assert framed(data[:9], data[9:], FIRST) == [data, FIRST]

    def test_one_that_says_it_is_larger_is_refused_before_it_came(self) -> None:
        assert framed(a_request(content_length=str(MAX_MESSAGE_BYTES))) == [BadMessage]

    def test_header_fields_without_an_end_are_refused(self) -> None:
        endless = b"OPTIONS sip:a@h SIP/2.0\r\n" + b"a: b\r\n" * 20_000
        framer = StreamFramer()
        for at in range(0, MAX_MESSAGE_BYTES - 1000, 1000):
            assert framer.feed(endless[at : at + 1000]) == []
        with pytest.raises(BadMessage):
            framer.feed(endless[:2000])


class TestKeepAlive:
    """RFC 5626 §4.4.1: a double CRLF asks, a single one answers."""

    def test_a_double_line_end_between_messages_is_a_ping(self) -> None:
        assert framed(b"\r\n\r\n" + FIRST + b"\r\n\r\n\r\n\r\n" + SECOND) == [PING, FIRST, PING, PING, SECOND]

    @pytest.mark.parametrize("between", [b"\r\n", b"\n", b"\r", b"\n\n"])
    def test_any_other_line_end_is_nothing(self, between: bytes) -> None:
        assert framed(between + FIRST + between + SECOND) == [FIRST, SECOND]

    def test_a_ping_may_come_in_pieces(self) -> None:
        framer = StreamFramer()
        assert [framer.feed(bytes([sign])) for sign in b"\r\n\r\n"] == [[], [], [], [PING]]

    def test_a_line_end_that_may_become_a_ping_is_no_part_of_a_message(self) -> None:
        framer = StreamFramer()
        for chunk, holds in [
            (b"\r", False),
            (b"\n", False),
            (FIRST[:9], True),
            (FIRST[9:], False),
            (b"\r\n\r", False),
            (b"\n", False),
            (SECOND[:-1], True),
        ]:
            framer.feed(chunk)
            assert framer.holds_part is holds


class TestCuts:
    """A stream frames alike wherever the network cuts it."""

    @given(
        st.lists(st.sampled_from([FIRST, SECOND, b"\r\n", b"\r\n\r\n", b"\r", b"\n"]), max_size=6),
        st.lists(st.integers(0, 5000), max_size=8),
    )
    def test_good_messages_and_line_ends(self, parts: list[bytes], points: list[int]) -> None:
        stream = b"".join(parts)
        whole = framed(stream)
        assert framed(*cut(stream, points)) == whole
        assert [part for part in whole if part is not PING] == [part for part in parts if len(part) > 4]

    @given(st.integers(0, 2**32), st.lists(st.integers(0, 100_000), max_size=8))
    def test_and_bad_ones_among_them(self, seed: int, points: list[int]) -> None:
        stream = FIRST + b"".join(mutations(some_messages(), 2, seed)) + SECOND
        assert framed(*cut(stream, points)) == framed(stream)

    @given(
        st.lists(st.sampled_from([b"\r", b"\n", b"l", b":", b" ", b"1", b"0", b"x", b"\r\n\r\n"])).map(b"".join),
        st.lists(st.integers(0, 99)),
    )
    def test_and_the_small_change_of_framing(self, stream: bytes, points: list[int]) -> None:
        assert framed(*cut(stream, points)) == framed(stream)
