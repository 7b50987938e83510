"""The dispatcher: one answer for each request, whatever comes and in whatever order (RFC 3261 §8.2, §17.2)."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip_edge.dispatcher import Dispatcher
from sipreg.message.model import Request
from sipreg.registrar.model import Binding
from sipreg.registrar.registration import Registration
from support.dispatchers import PEER, Desk, RecordedFlow, a_request


class TestOneAnswer:
    """A request is worked on once and answered once."""

    def test_it_is_answered_when_the_store_has_answered_and_not_before(self) -> None:
        desk = Desk()
        desk.receive(a_request())
        assert (desk.flow.sent, desk.dispatcher.pending, desk.flow.pending) == ([], 1, 1)
        desk.store.answer()
        assert desk.flow.statuses() == [200]
        assert (desk.dispatcher.pending, desk.flow.pending) == (0, 0)

    def test_what_comes_again_meanwhile_is_absorbed_and_afterwards_answered_alike(self) -> None:
        desk = Desk()
        for _ in range(3):
            desk.receive(a_request())
        assert len(desk.store.held) == 1
        desk.store.answer()
        desk.receive(a_request())
        assert len(desk.flow.sent) == 2
        assert desk.flow.sent[0] == desk.flow.sent[1]
        assert (desk.responses_counted(), desk.metrics.counters["retransmissions"]) == (1, 3)

    def test_once_its_transaction_is_over_it_would_be_a_new_request(self) -> None:
        desk = Desk()
        desk.receive(a_request("OPTIONS"))
        desk.clock.advance(31.9)
        desk.dispatcher.advance()
        desk.receive(a_request("OPTIONS"))
        assert desk.flow.sent[1] == desk.flow.sent[0]
        desk.clock.advance(10)
        desk.dispatcher.advance()
        desk.receive(a_request("OPTIONS"))
        assert desk.flow.sent[2] != desk.flow.sent[0]

    def test_an_old_client_without_a_unique_branch_is_known_by_the_rest(self) -> None:
        desk = Desk()
        old = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=1"
        desk.receive(a_request("OPTIONS", via=old))
        desk.receive(a_request("OPTIONS", via=old))
        desk.receive(a_request("OPTIONS", via=old, cseq="2 OPTIONS"))
        first, again, other = desk.flow.sent
        assert first == again
        assert first != other

    def test_the_time_that_an_answer_took_is_counted(self) -> None:
        desk = Desk()
        desk.receive(a_request())
        desk.clock.advance(0.03)
        desk.store.answer()
        figures = desk.metrics.figures({}, {})
        assert figures.latency_sum_s == pytest.approx(0.03)
        assert sum(figures.latency) == 1


class TestInvite:
    """RFC 3261 §17.2.1: what nobody acknowledges is sent again, to where it went before."""

    def test_the_refusal_is_repeated_until_the_ack(self) -> None:
        desk = Desk()
        desk.receive(a_request("INVITE"))
        assert desk.flow.statuses() == [405]
        desk.clock.advance(0.5)
        desk.dispatcher.advance()
        desk.clock.advance(1.0)
        desk.dispatcher.advance()
        assert len(desk.flow.sent) == 3
        assert set(desk.flow.sent) == {desk.flow.sent[0]}
        desk.receive(a_request("ACK"))
        desk.clock.advance(10)
        desk.dispatcher.advance()
        assert len(desk.flow.sent) == 3

    def test_there_is_a_deadline_while_something_is_to_be_done(self) -> None:
        desk = Desk()
        assert desk.dispatcher.next_deadline() is None
        desk.receive(a_request("INVITE"))
        assert desk.dispatcher.next_deadline() is not None


class TestWhereAnswersGo:
    """RFC 3261 §18.2.2, RFC 3581 §4."""

    @pytest.mark.parametrize(
        ("via", "port"),
        [
            ("Via: SIP/2.0/UDP phone;branch=z9hG4bK1;rport", PEER[1]),
            ("Via: SIP/2.0/UDP phone:5099;branch=z9hG4bK1", 5099),
            ("Via: SIP/2.0/UDP phone;branch=z9hG4bK1", 5060),
            ("Via: SIP/2.0/UDP phone:5099;branch=z9hG4bK1;maddr=198.51.100.9", 5099),
        ],
    )
    def test_to_the_address_that_it_came_from_and_the_port_that_via_asks_for(self, via: str, port: int) -> None:
        desk = Desk()
        desk.receive(a_request("OPTIONS", via=via))
        desk.receive(a_request("OPTIONS", via=via))
        assert [(host, to) for _, host, to in desk.flow.sent] == [(PEER[0], port)] * 2


class TestOverload:
    """What there is no room for hears so at once, and costs nothing more."""

    def test_a_request_too_many_is_answered_503_and_counted(self) -> None:
        desk = Desk(max_live=2)
        for number in range(3):
            desk.receive(a_request(branch=f"z9hG4bK{number}"))
        assert desk.flow.statuses() == [503]
        assert desk.flow.responses()[0].headers.get("retry-after") == "5"
        while desk.store.held:
            desk.store.answer()
        figures = desk.metrics.figures({}, {})
        assert (figures.requests, figures.responses) == ({"udp REGISTER": 3}, {"REGISTER 200": 2, "REGISTER 503": 1})


class FaultyHook:
    """An extension with a fault, which shows where the User-Agent bears its name."""

    option_tags: frozenset[str] = frozenset()

    def __init__(self, place: str) -> None:
        self.place = place

    def _fail(self, place: str, user_agent: str) -> None:
        if place == self.place and user_agent == "faulty":
            raise RuntimeError("a fault of ours")

    def inspect(self, request: Request, registration: Registration) -> Registration:
        self._fail("inspect", registration.user_agent)
        return registration

    def contact_params(self, registration: Registration, binding: Binding) -> str:
        self._fail("contact_params", registration.user_agent)
        return ""

    def reply_headers(self, request: Request, registration: Registration) -> str:
        return ""


class TestFaults:
    """A fault of ours is logged and answered, and harms nobody else."""

    def test_the_peer_hears_of_it_and_the_others_of_its_batch_are_served(self, caplog: pytest.LogCaptureFixture) -> None:
        desk = Desk(hooks=(FaultyHook("inspect"),))
        batch = [a_request("REGISTER", f"User-Agent: {name}", branch=f"z9hG4bK{name}") for name in ("good", "faulty", "fine")]
        with caplog.at_level(logging.ERROR):
            desk.receive(*batch)
            while desk.store.held:
                desk.store.answer()
        found = {(response.headers.get("via") or "").partition("z9hG4bK")[2][:4]: response.status for response in desk.flow.responses()}
        assert found == {"good": 200, "faul": 500, "fine": 200}
        assert (desk.dispatcher.pending, desk.flow.pending) == (0, 0)
        assert desk.metrics.counters["internal_errors"] == 1
        assert "RuntimeError: a fault of ours" in caplog.text

    def test_where_not_even_that_can_be_answered_the_next_try_is_a_new_one(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(dispatcher: Dispatcher, request: Request) -> None:
            raise RuntimeError("a fault of ours")

        desk = Desk()
        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
            patch.setattr(Dispatcher, "_check", fail)
            desk.receive(a_request("OPTIONS"))
        assert (desk.flow.sent, desk.dispatcher.pending, desk.flow.pending) == ([], 0, 0)
        assert desk.metrics.counters["internal_errors"] == 1
        assert "method=OPTIONS" in caplog.text
        assert "call-1" not in caplog.text
        desk.receive(a_request("OPTIONS"))
        assert desk.flow.statuses() == [200]

    def test_one_that_shows_when_all_is_stored_leaves_nothing_waiting(self, caplog: pytest.LogCaptureFixture) -> None:
        desk = Desk(hooks=(FaultyHook("contact_params"),))
        with caplog.at_level(logging.ERROR):
            desk.receive(a_request("REGISTER", "User-Agent: faulty"))
            desk.store.answer()
            desk.receive(a_request("REGISTER", branch="z9hG4bK2", cseq="2 REGISTER"))
            desk.store.answer()
        assert desk.flow.statuses() == [500, 200]
        assert (desk.dispatcher.pending, desk.flow.pending) == (0, 0)


class TestWhateverComes:
    """Bytes from anywhere."""

    def test_a_response_is_counted_and_dropped(self) -> None:
        desk = Desk()
        desk.receive(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n")
        assert (desk.flow.sent, desk.metrics.counters["responses_received"]) == ([], 1)

    @pytest.mark.parametrize("header", ["Via", "From", "To", "Call-ID", "CSeq"])
    def test_a_request_that_cannot_be_answered_leaves_nothing_behind(self, header: str) -> None:
        desk = Desk()
        desk.receive(b"\r\n".join(line for line in a_request().split(b"\r\n") if not line.startswith(header.encode())))
        assert (desk.flow.sent, desk.dispatcher.pending, desk.flow.pending) == ([], 0, 0)
        assert desk.metrics.counters["unparsable_messages"] == 1
        assert desk.dispatcher.gauges() == {"transactions_live": 0, "transactions_answered": 0}

    @given(st.binary(max_size=400))
    def test_no_bytes_make_it_raise_or_fail(self, data: bytes) -> None:
        desk = Desk()
        desk.receive(data)
        assert desk.metrics.counters["internal_errors"] == 0

    @given(st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3)), max_size=4))
    def test_no_change_to_a_good_request_makes_it_fail_or_answer_twice(self, changes: list[tuple[int, bytes]]) -> None:
        desk = Desk()
        data = a_request("REGISTER", "Expires: 60", 'Contact: "A" <sip:a@h;x=y>;q=0.5, <sip:b@h>', "Require: path")
        for place, piece in changes:
            cut = place % len(data)
            data = data[:cut] + piece + data[cut + 1 :]
        desk.receive(data)
        desk.store.answer()
        assert desk.metrics.counters["internal_errors"] == 0
        assert len(desk.flow.sent) <= 1
        assert (desk.dispatcher.pending, desk.flow.pending) == (0, 0)

    @given(st.permutations([("REGISTER", "z9hG4bKa"), ("REGISTER", "z9hG4bKb"), ("OPTIONS", "z9hG4bKc"), ("REGISTER", "z9hG4bKa")]))
    def test_every_request_of_a_crowd_is_counted_once_and_answered(self, crowd: list[tuple[str, str]]) -> None:
        desk = Desk(reliable=True)
        assert isinstance(desk.flow, RecordedFlow)
        for method, branch in crowd:
            desk.receive(a_request(method, branch=branch))
        while desk.store.held:
            desk.store.answer()
        assert sorted(desk.flow.statuses()) == [200, 200, 200]
        assert sum(desk.metrics.figures({}, {}).latency) == desk.responses_counted() == 3
