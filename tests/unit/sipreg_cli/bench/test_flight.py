"""The window: what is under way, what has landed, what is lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sipreg_cli.bench import flight as subject
from sipreg_cli.bench.flight import Flight, pace, saturate
from support.udp_responder import Answer, UdpResponder


def request(number: int) -> tuple[int, bytes]:
    """Make the smallest datagram that can be matched."""
    return 0, b"PING;branch=z9hG4bK%010d;x" % number


@contextmanager
def flying(answer: Answer, expected: bytes = b"PING") -> Iterator[tuple[Flight, UdpResponder]]:
    """Yield a flight towards a responder."""
    with UdpResponder(answer) as responder, socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", responder.port))
        sock.setblocking(False)
        yield Flight([sock], request, expected, lambda _number, _answer: False), responder


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after a fifth of a second, so that losses do not hold up the tests."""
    monkeypatch.setattr(subject, "LOSS_NS", 200_000_000)


@pytest.mark.usefixtures("impatient")
class TestSaturated:
    """A window of requests is outstanding until all have been sent."""

    def test_every_request_is_answered_once(self) -> None:
        with flying(lambda data, _: [data]) as (flight, responder):
            saturate(flight, range(1000, 1500), window=16, seconds=10)
        assert (flight.sent, flight.answered, flight.lost, flight.stray) == (500, 500, 0, 0)
        assert len(flight.latencies_ns) == 500
        assert min(flight.latencies_ns) > 0
        assert responder.seen == [request(number)[1] for number in range(1000, 1500)]

    def test_every_tenth_dropped_is_counted_lost_and_its_place_is_used_again(self) -> None:
        with flying(lambda data, ordinal: [data] if ordinal % 10 else []) as (flight, _):
            saturate(flight, range(300), window=8, seconds=20)
        assert (flight.sent, flight.answered, flight.lost) == (300, 270, 30)
        assert not flight.outstanding

    def test_never_more_than_the_window_is_outstanding(self) -> None:
        with flying(lambda _data, _: []) as (flight, responder):
            saturate(flight, range(300), window=8, seconds=0.1)
        assert (flight.sent, flight.answered, flight.lost) == (8, 0, 8)
        assert len(responder.seen) == 8

    def test_it_stops_when_its_time_is_over(self) -> None:
        with flying(lambda data, _: [data]) as (flight, _):
            saturate(flight, range(1_000_000_000), window=4, seconds=0.1)
        assert 0 < flight.sent < 1_000_000_000
        assert flight.answered + flight.lost == flight.sent

    def test_what_comes_too_late_is_waited_for_so_that_it_does_not_disturb_the_next_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subject, "_QUIET_S", 1.0)
        held: list[bytes] = []

        def overrun(data: bytes, ordinal: int) -> list[bytes]:
            held.append(data)
            if ordinal < 8:
                return []
            threading.Event().wait(0.3)  # the target is busy for longer than anybody waits
            return held

        with flying(overrun) as (flight, _):
            saturate(flight, range(8), window=8, seconds=10)
        assert (flight.answered, flight.lost, flight.stray) == (0, 8, 8)

    def test_an_answer_that_comes_twice_counts_once(self) -> None:
        with flying(lambda data, _: [data, data]) as (flight, _):
            saturate(flight, range(100), window=1, seconds=10)
        assert flight.answered == 100
        assert flight.stray > 0

    def test_answers_that_cannot_be_matched_are_stray(self) -> None:
        with flying(lambda data, _: [b"", b"x", b";branch=z9hG4bK", b";branch=z9hG4bK-000000001", b"\xff" * 4000, data]) as (flight, _):
            saturate(flight, range(50), window=1, seconds=10)
        assert (flight.answered, flight.lost) == (50, 0)
        assert flight.stray >= 49 * 5

    def test_where_nobody_listens_all_is_lost_and_the_refusals_are_counted(self) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as closed, socket.socket(type=socket.SOCK_DGRAM) as sock:
            closed.bind(("127.0.0.1", 0))
            sock.connect(closed.getsockname())
            closed.close()
            sock.setblocking(False)
            flight = Flight([sock], request, b"", lambda _number, _answer: False)
            saturate(flight, range(10), window=2, seconds=0.1)
        assert flight.answered == 0
        assert flight.lost == flight.sent
        assert flight.refused > 0


class TestUnusualAnswers:
    """An answer that does not begin as expected is shown to whoever judges."""

    def test_the_judge_sees_number_and_bytes_and_decides_whether_the_latency_counts(self) -> None:
        shown: list[tuple[int, bytes]] = []

        def judge(number: int, answer: bytes) -> bool:
            shown.append((number, answer))
            return number % 2 == 0

        with UdpResponder(lambda data, _: [b"NO" + data]) as responder, socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", responder.port))
            sock.setblocking(False)
            flight = Flight([sock], request, b"PING", judge)
            saturate(flight, range(10), window=1, seconds=10)
        assert shown == [(number, b"NO" + request(number)[1]) for number in range(10)]
        assert (flight.answered, len(flight.latencies_ns)) == (10, 5)


class TestGivingUp:
    """A request without an answer is lost a second after it was sent, and not before."""

    def test_only_what_is_old_enough_is_lost(self) -> None:
        now = [0]
        near, far = socket.socketpair(type=socket.SOCK_DGRAM)
        with near, far:
            flight = Flight([near], request, b"", lambda _number, _answer: True, now=lambda: now[0])
            flight.send(1)
            now[0] = 500_000_000
            flight.send(2)
            now[0] = 999_999_999
            flight.give_up()
            assert (list(flight.outstanding), flight.lost) == ([1, 2], 0)
            now[0] = 1_000_000_000
            flight.give_up()
            assert (list(flight.outstanding), flight.lost) == ([2], 1)
            now[0] = 1_500_000_000
            flight.give_up()
            assert (list(flight.outstanding), flight.lost) == ([], 2)


@pytest.mark.usefixtures("impatient")
class TestPaced:
    """Requests leave at their own instants."""

    def test_requests_do_not_wait_for_answers(self) -> None:
        with flying(lambda _data, _: []) as (flight, responder):
            pace(flight, range(60), rate=1000, seconds=10)
        assert (flight.sent, flight.lost, len(responder.seen)) == (60, 60, 60)

    def test_no_request_leaves_before_its_instant(self) -> None:
        departures: list[int] = []
        with flying(lambda data, _: [data]) as (flight, _):
            plain = flight.send

            def noting(number: int) -> None:
                plain(number)
                departures.append(flight.outstanding[number])

            flight.send = noting  # type: ignore[method-assign]  # a probe at the one place where requests leave
            pace(flight, range(50), rate=1000, seconds=10)
        assert (flight.sent, flight.answered) == (50, 50)
        assert departures[-1] - departures[0] >= 48_000_000

    def test_it_stops_when_its_time_is_over(self) -> None:
        with flying(lambda data, _: [data]) as (flight, _):
            pace(flight, range(1000), rate=100, seconds=0.1)
        assert 1 <= flight.sent <= 11
