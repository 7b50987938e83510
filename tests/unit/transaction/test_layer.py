"""RFC 3261 §17.2: retransmissions end here, nothing is answered twice, and nothing stays for ever."""

from __future__ import annotations

import gc
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipreg.transaction.layer import INVITE_PATIENCE_S, Receipt, Resend, ServerTransactions
from sipreg.transaction.timers import Timers

UDP, TCP = False, True
THERE = "192.0.2.7:5060"
OK, RINGING, BUSY = b"SIP/2.0 200 OK", b"SIP/2.0 180 Ringing", b"SIP/2.0 486 Busy Here"


def transactions(max_bytes: int = 1 << 20, max_live: int = 100) -> ServerTransactions[str]:
    return ServerTransactions(Timers(), max_bytes, max_live)


def answered(reliable: bool = UDP) -> ServerTransactions[str]:
    """A REGISTER that came at 0 and was answered at 1."""
    made = transactions()
    made.receive("k", "REGISTER", 0.0)
    assert made.respond("k", OK, 200, reliable, 1.0)
    return made


def calling(response: bytes | None = None, status: int = 0, reliable: bool = UDP) -> ServerTransactions[str]:
    """An INVITE that came at 0 and was answered at once."""
    made = transactions()
    made.receive("i", "INVITE", 0.0)
    if response is not None:
        assert made.respond("i", response, status, reliable, 0.0, THERE)
    return made


def deadlines(made: ServerTransactions[str], until: float, now: float = 0.0) -> list[tuple[float, list[Resend[str]]]]:
    """Do as a perfect clock does, from ``now`` on: advance at each deadline; return when something was to be sent."""
    sent = []
    while (deadline := made.next_deadline()) is not None and deadline <= until:
        now = max(now, deadline)
        resends = made.advance(now)
        later = made.next_deadline()
        assert later is None or later > now
        if resends:
            sent.append((now, resends))
    return sent


class TestNonInvite:
    """RFC 3261 §17.2.2 and figure 8, each state reached from outside."""

    def test_a_request_is_new_once_and_then_absorbed_until_it_is_answered(self) -> None:
        made = transactions()
        assert made.receive("k", "REGISTER", 0.0) is Receipt.NEW
        assert made.receive("k", "REGISTER", 0.5) is Receipt.ABSORBED
        assert made.live == 1

    def test_the_final_response_is_sent_and_every_retransmission_gets_the_same_bytes(self) -> None:
        made = answered()
        assert [made.receive("k", "REGISTER", at) for at in (1.5, 3.5, 32.9)] == [OK, OK, OK]
        assert (made.live, made.answered) == (0, 1)

    def test_a_second_final_response_is_not_sent_and_changes_nothing(self) -> None:
        made = answered()
        assert not made.respond("k", BUSY, 486, UDP, 1.0)
        assert made.receive("k", "REGISTER", 2.0) == OK

    def test_a_provisional_response_after_the_final_one_is_not_sent(self) -> None:
        assert not answered().respond("k", b"100", 100, UDP, 1.0)

    def test_a_provisional_response_is_sent_and_the_last_one_is_sent_again(self) -> None:
        made = transactions()
        made.receive("k", "MESSAGE", 0.0)
        assert made.respond("k", b"100", 100, UDP, 1.0)
        assert made.receive("k", "MESSAGE", 1.5) == b"100"
        assert made.respond("k", b"100 again", 100, UDP, 2.0)
        assert made.receive("k", "MESSAGE", 3.5) == b"100 again"
        assert made.held_bytes == len(b"100 again")

    def test_after_a_provisional_response_the_final_one_takes_its_place(self) -> None:
        made = transactions()
        made.receive("k", "MESSAGE", 0.0)
        made.respond("k", b"100", 100, UDP, 1.0)
        assert made.respond("k", OK, 200, UDP, 2.0)
        assert made.receive("k", "MESSAGE", 3.5) == OK
        assert not made.respond("k", BUSY, 486, UDP, 4.0)

    def test_timer_j_ends_it_and_the_request_is_new_again(self) -> None:
        made = answered()
        assert made.receive("k", "REGISTER", 1.0 + 36.0) is Receipt.NEW

    def test_over_a_reliable_transport_it_is_over_with_its_answer(self) -> None:
        made = answered(TCP)
        assert (made.live, made.answered, made.held_bytes) == (0, 0, 0)
        assert made.receive("k", "REGISTER", 1.0) is Receipt.NEW

    def test_a_response_to_what_never_came_is_not_sent(self) -> None:
        assert not transactions().respond("k", OK, 200, UDP, 0.0)

    def test_the_same_branch_with_another_method_is_another_transaction(self) -> None:
        made = answered()
        assert made.receive("other", "OPTIONS", 1.0) is Receipt.NEW


class TestAbandonedRequests:
    """What will not be answered must not swallow the retransmission that could be."""

    def test_an_abandoned_request_is_new_when_it_comes_again(self) -> None:
        made = transactions()
        made.receive("k", "REGISTER", 0.0)
        made.abandon("k")
        assert not made.respond("k", OK, 200, UDP, 0.5)
        assert made.receive("k", "REGISTER", 0.5) is Receipt.NEW

    def test_one_with_a_provisional_response_leaves_nothing_behind(self) -> None:
        made = transactions()
        made.receive("k", "MESSAGE", 0.0)
        made.respond("k", b"100", 100, UDP, 0.0)
        made.abandon("k")
        assert (made.live, made.held_bytes) == (0, 0)
        assert made.receive("k", "MESSAGE", 0.5) is Receipt.NEW
        assert made.receive("k", "MESSAGE", 0.6) is Receipt.ABSORBED

    def test_an_abandoned_invite_is_new_when_it_comes_again(self) -> None:
        made = calling(RINGING, 180)
        made.abandon("i")
        assert (made.live, made.held_bytes) == (0, 0)
        assert made.receive("i", "INVITE", 0.5) is Receipt.NEW

    def test_what_was_answered_cannot_be_abandoned(self) -> None:
        made = answered()
        made.abandon("k")
        assert made.receive("k", "REGISTER", 2.0) == OK
        refused = calling(BUSY, 486)
        refused.abandon("i")
        assert refused.receive("i", "INVITE", 0.1) == BUSY

    def test_abandoning_what_never_came_does_nothing(self) -> None:
        made = transactions()
        made.abandon("k")
        assert made.live == 0

    def test_what_the_caller_forgot_is_dropped_between_once_and_twice_the_patience_of_a_client(self) -> None:
        made = transactions()
        made.advance(0.0)
        made.receive("k", "REGISTER", 0.001)
        made.respond("k", b"100", 100, UDP, 0.002)
        deadlines(made, until=63.0)
        assert made.live == 1
        deadlines(made, until=64.0)
        assert (made.live, made.held_bytes, made.next_deadline()) == (0, 0, None)

    def test_an_invite_may_ring_for_minutes_but_not_in_silence_for_ever(self) -> None:
        made = calling(RINGING, 180)
        deadlines(made, until=170.0)
        assert made.respond("i", RINGING, 180, UDP, 170.0, THERE)
        deadlines(made, until=170.0 + INVITE_PATIENCE_S - 1)
        assert made.live == 1
        deadlines(made, until=170.0 + INVITE_PATIENCE_S + 32)
        assert (made.live, made.held_bytes, made.next_deadline()) == (0, 0, None)


class TestInvite:
    """RFC 3261 §17.2.1 and figure 7, RFC 6026 §7.1."""

    def test_before_any_response_a_retransmission_is_absorbed(self) -> None:
        assert calling().receive("i", "INVITE", 0.5) is Receipt.ABSORBED

    def test_while_it_rings_a_retransmission_gets_the_last_provisional_response(self) -> None:
        assert calling(RINGING, 180).receive("i", "INVITE", 0.5) == RINGING

    def test_a_refusal_is_sent_again_by_timer_g_to_where_it_went_until_timer_h(self) -> None:
        made = calling(BUSY, 486)
        sent = deadlines(made, until=100.0)
        assert [at for at, _ in sent] == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
        assert all(resends == [Resend("i", BUSY, THERE)] for _, resends in sent)
        assert (made.live, made.held_bytes, made.unacknowledged) == (0, 0, 1)

    def test_its_ack_is_absorbed_and_stops_the_sending(self) -> None:
        made = calling(BUSY, 486)
        assert made.receive("i", "ACK", 0.1) is Receipt.ABSORBED
        assert made.receive("i", "ACK", 0.2) is Receipt.ABSORBED
        assert made.receive("i", "INVITE", 0.3) is Receipt.ABSORBED
        assert deadlines(made, until=5.0) == []
        assert made.live == 1
        assert deadlines(made, until=5.1) == []
        assert (made.live, made.unacknowledged) == (0, 0)

    def test_over_a_reliable_transport_the_ack_ends_it_at_once(self) -> None:
        made = calling(BUSY, 486, TCP)
        assert deadlines(made, until=1.0) == []
        assert made.receive("i", "ACK", 1.0) is Receipt.ABSORBED
        assert made.live == 0

    def test_an_ack_that_matches_nothing_is_passed_on_and_begins_nothing(self) -> None:
        made = transactions()
        assert made.receive("i", "ACK", 0.0) is Receipt.NEW
        assert made.live == 0

    def test_an_ack_before_any_final_response_acknowledges_nothing(self) -> None:
        made = calling(RINGING, 180)
        assert made.receive("i", "ACK", 0.1) is Receipt.ABSORBED
        assert made.receive("i", "INVITE", 0.2) == RINGING

    def test_once_accepted_retransmissions_are_absorbed_and_acks_passed_on_for_timer_l(self) -> None:
        made = calling(OK, 200)
        assert made.receive("i", "INVITE", 31.9) is Receipt.ABSORBED
        assert made.receive("i", "ACK", 31.9) is Receipt.NEW
        assert deadlines(made, until=31.9) == []
        assert made.live == 1
        assert deadlines(made, until=32.0) == []
        assert (made.live, made.unacknowledged) == (0, 0)

    def test_other_branches_of_a_fork_may_accept_too_but_not_refuse(self) -> None:
        made = calling(OK, 200)
        assert made.respond("i", b"another 200", 200, UDP, 1.0, THERE)
        assert not made.respond("i", BUSY, 486, UDP, 1.0, THERE)
        assert not made.respond("i", RINGING, 180, UDP, 1.0, THERE)

    def test_a_refused_invite_is_not_accepted_after_all(self) -> None:
        made = calling(BUSY, 486)
        assert not made.respond("i", OK, 200, UDP, 1.0, THERE)
        assert made.receive("i", "INVITE", 1.0) == BUSY

    def test_the_same_key_serves_again_when_the_first_is_over(self) -> None:
        made = calling(BUSY, 486, TCP)
        made.receive("i", "ACK", 1.0)
        assert made.receive("i", "INVITE", 2.0) is Receipt.NEW
        assert made.respond("i", BUSY, 486, UDP, 2.0, THERE)
        assert [at for at, _ in deadlines(made, until=4.0)] == [2.5, 3.5]


class TestWhatCancelCanReach:
    """RFC 3261 §9.2: a CANCEL has no effect on a request that has its final response."""

    def test_a_request_awaits_its_answer_until_the_final_response(self) -> None:
        made = calling(RINGING, 180)
        assert made.awaits_answer("i")
        made.respond("i", BUSY, 487, UDP, 1.0, THERE)
        assert not made.awaits_answer("i")

    def test_so_does_a_request_of_another_method(self) -> None:
        made = transactions()
        assert not made.awaits_answer("k")
        made.receive("k", "MESSAGE", 0.0)
        assert made.awaits_answer("k")
        assert not answered().awaits_answer("k")


class TestBounds:
    """No peer decides how much memory it takes."""

    def test_above_the_bound_a_new_request_is_refused_and_leaves_no_trace(self) -> None:
        made = transactions(max_live=2)
        outcomes = [made.receive(key, "REGISTER", 0.0) for key in ("a", "b", "c", "c")]
        assert outcomes == [Receipt.NEW, Receipt.NEW, Receipt.OVERLOAD, Receipt.OVERLOAD]
        assert made.live == 2

    def test_at_the_bound_known_requests_are_still_served_and_an_answer_makes_room(self) -> None:
        made = transactions(max_live=1)
        made.receive("a", "REGISTER", 0.0)
        assert made.receive("a", "REGISTER", 0.5) is Receipt.ABSORBED
        made.respond("a", OK, 200, UDP, 0.6)
        assert made.receive("b", "REGISTER", 0.7) is Receipt.NEW
        assert made.receive("a", "REGISTER", 0.8) == OK

    def test_a_flood_of_calls_leaves_room_for_registrations(self) -> None:
        made = transactions(max_live=2)
        outcomes = [made.receive(key, "INVITE", 0.0) for key in ("a", "b", "c")]
        assert outcomes == [Receipt.NEW, Receipt.NEW, Receipt.OVERLOAD]
        assert made.receive("r", "REGISTER", 0.0) is Receipt.NEW

    def test_refusals_that_nobody_acknowledges_are_bounded_in_bytes(self) -> None:
        made = transactions(max_bytes=10_000)
        outcomes = []
        for number in range(20):
            outcomes.append(made.receive(f"i{number}", "INVITE", 0.0))
            made.respond(f"i{number}", bytes(1000), 486, UDP, 0.0, THERE)
        assert outcomes == [Receipt.NEW] * 11 + [Receipt.OVERLOAD] * 9
        deadlines(made, until=32.0)
        assert made.receive("later", "INVITE", 33.0) is Receipt.NEW

    def test_provisional_responses_beyond_the_bound_are_sent_but_not_kept(self) -> None:
        made = transactions(max_bytes=1500)
        for key in ("a", "b"):
            made.receive(key, "MESSAGE", 0.0)
            assert made.respond(key, bytes(1000), 100, UDP, 0.0)
        assert made.receive("a", "MESSAGE", 0.5) == bytes(1000)
        assert made.receive("b", "MESSAGE", 0.5) is Receipt.ABSORBED
        assert made.respond("b", OK, 200, UDP, 1.0)

    def test_finished_requests_leave_no_objects_for_the_garbage_collector(self) -> None:
        made = transactions(max_bytes=1 << 22)
        before = len(gc.get_objects())
        for number in range(2000):
            made.receive(f"key {number}", "REGISTER", float(number) / 1000)
            made.respond(f"key {number}", OK, 200, UDP, float(number) / 1000)
        assert made.answered == 2000
        assert len(gc.get_objects()) - before < 20


@dataclass
class Known:
    """What a model of one transaction remembers."""

    invite: bool
    reliable: bool
    last: bytes | None = None
    final: int = 0
    final_at: float = 0.0
    acked: bool = False


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["receive", "receive", "ack", "respond", "respond", "abandon", "advance"]),
        st.sampled_from(["i1", "i2", "n1", "n2"]),
        st.sampled_from([100, 180, 200, 202, 302, 486, 603]),
        st.floats(0, 3),
    ),
    max_size=80,
)


class TestEveryCourseOfEvents:
    """What holds whatever peers, callers and the clock do."""

    @given(STEPS, st.booleans())
    @settings(deadline=None)  # a busy machine is no failure
    def test_nothing_is_answered_twice_and_retransmissions_get_the_bytes_of_the_last_response(
        self, steps: list[tuple[str, str, int, float]], reliable: bool
    ) -> None:
        made, now, known = transactions(), 0.0, dict[str, Known]()
        for number, (step, key, status, pause) in enumerate(steps):
            now += pause
            for resend in made.advance(now):
                model = known[resend.key]
                assert (resend.response, resend.destination) == (model.last, resend.key)
                assert model.invite
                assert model.final >= 300
                assert not model.acked
                assert not reliable
            if step == "receive":
                self.check_receipt(made.receive(key, "INVITE" if key < "n" else "REGISTER", now), key, known, now, reliable)
            elif step == "ack" and key < "n":
                receipt = made.receive(key, "ACK", now)
                assert not isinstance(receipt, bytes)
                if key in known and known[key].final >= 300:
                    known[key].acked = True
            elif step == "respond":
                self.check_response(made, key, status, b"%d %d" % (status, number), known, now)
            elif step == "abandon":
                made.abandon(key)
                if key in known and not known[key].final:
                    del known[key]

    def check_receipt(self, receipt: Receipt | bytes, key: str, known: dict[str, Known], now: float, reliable: bool) -> None:
        model = known.get(key)
        if receipt is Receipt.NEW:
            if model is not None:
                # New again only when it is over: answered, and its timers have run out or never ran.
                assert model.final
                # Timer I, which an ACK starts, may end an INVITE before timers H, J and L would.
                assert reliable or model.acked or now - model.final_at >= 32.0
            known[key] = Known(invite=key < "n", reliable=reliable)
            return
        assert model is not None
        if isinstance(receipt, bytes):
            assert receipt == model.last
        else:
            assert receipt is Receipt.ABSORBED
            # Absorbed where there is nothing to send, or no use in sending.
            assert model.last is None or (model.invite and (model.acked or 200 <= model.final < 300))

    def check_response(
        self, made: ServerTransactions[str], key: str, status: int, response: bytes, known: dict[str, Known], now: float
    ) -> None:
        model = known.get(key)
        sent = made.respond(key, response, status, model is not None and model.reliable, now, key)
        if not sent:
            assert model is None or model.final
            return
        assert model is not None
        if model.final:
            assert model.invite
            assert model.final < 300
            assert 200 <= status < 300
            return
        model.last = response
        if status >= 200:
            model.final, model.final_at = status, now

    @given(STEPS, st.sampled_from([0.0, 1e6]))
    @settings(deadline=None)  # a busy machine is no failure
    def test_when_the_clock_has_gone_on_long_enough_nothing_is_left(self, steps: list[tuple[str, str, int, float]], start: float) -> None:
        made, now = transactions(), start
        for step, key, status, pause in steps:
            now += pause
            if step == "receive":
                made.receive(key, "INVITE" if key < "n" else "REGISTER", now)
            elif step == "ack":
                made.receive(key, "ACK" if key < "n" else "REGISTER", now)
            elif step == "respond":
                made.respond(key, b"response", status, UDP, now, key)
            elif step == "advance":
                made.advance(now)
        deadlines(made, until=now + INVITE_PATIENCE_S + 32, now=now)
        assert (made.live, made.answered, made.held_bytes, made.next_deadline()) == (0, 0, 0, None)

    @pytest.mark.parametrize("jump", [36.0, 1e3, 1e9])
    def test_one_leap_of_the_clock_ends_all_that_is_answered(self, jump: float) -> None:
        made = transactions()
        made.receive("i", "INVITE", 0.0)
        made.respond("i", BUSY, 486, UDP, 0.0, THERE)
        made.receive("k", "REGISTER", 0.0)
        made.respond("k", OK, 200, UDP, 0.0)
        assert made.advance(jump) == []
        assert (made.live, made.answered, made.held_bytes, made.next_deadline()) == (0, 0, 0, None)
