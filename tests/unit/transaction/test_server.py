"""RFC 3261 §17.2.1 and figure 7 as RFC 6026 amends them, §17.2.2 and figure 8: the tables, and INVITE step by step."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipreg.transaction.server import INVITE, NON_INVITE, Action, Event, InviteServerTransaction, State, Table, invite_event
from sipreg.transaction.timers import Timers

#: Transcribed from the figures once more, apart from the code; every pair that is not here is to be ignored.
FIGURE_7 = """
    PROCEEDING  RETRANSMISSION  PROCEEDING  RESEND
    PROCEEDING  PROVISIONAL     PROCEEDING  SEND
    PROCEEDING  SUCCESS         ACCEPTED    SEND
    PROCEEDING  FAILURE         COMPLETED   SEND
    PROCEEDING  ABANDONED       TERMINATED  FORGET
    ACCEPTED    RETRANSMISSION  ACCEPTED    ABSORB
    ACCEPTED    SUCCESS         ACCEPTED    SEND
    ACCEPTED    ACK             ACCEPTED    PASS
    ACCEPTED    TIMER_L         TERMINATED  FORGET
    COMPLETED   RETRANSMISSION  COMPLETED   RESEND
    COMPLETED   TIMER_G         COMPLETED   RESEND
    COMPLETED   ACK             CONFIRMED   ABSORB
    COMPLETED   TIMER_H         TERMINATED  GIVE_UP
    CONFIRMED   ACK             CONFIRMED   ABSORB
    CONFIRMED   TIMER_I         TERMINATED  FORGET
"""
FIGURE_8 = """
    TRYING      PROVISIONAL     PROCEEDING  SEND
    TRYING      FINAL           COMPLETED   SEND
    TRYING      ABANDONED       TERMINATED  FORGET
    PROCEEDING  RETRANSMISSION  PROCEEDING  RESEND
    PROCEEDING  PROVISIONAL     PROCEEDING  SEND
    PROCEEDING  FINAL           COMPLETED   SEND
    PROCEEDING  ABANDONED       TERMINATED  FORGET
    COMPLETED   RETRANSMISSION  COMPLETED   RESEND
    COMPLETED   TIMER_J         TERMINATED  FORGET
"""

WAY_TO = {
    State.PROCEEDING: [],
    State.ACCEPTED: [Event.SUCCESS],
    State.COMPLETED: [Event.FAILURE],
    State.CONFIRMED: [Event.FAILURE, Event.ACK],
    State.TERMINATED: [Event.ABANDONED],
}
STATUS = {Event.PROVISIONAL: 180, Event.SUCCESS: 200, Event.FAILURE: 486}


def rows(figure: str) -> Table:
    split = [line.split() for line in figure.strip().splitlines()]
    return {(State[state], Event[event]): (State[then], Action[action]) for state, event, then, action in split}


def an_invite(state: State = State.PROCEEDING, *, reliable: bool = False, now: float = 0.0) -> InviteServerTransaction[str]:
    invite: InviteServerTransaction[str] = InviteServerTransaction(Timers(), now)
    for event in WAY_TO[state]:
        if event in STATUS:
            invite.respond(b"the response", STATUS[event], reliable, "there", now)
        else:
            invite.handle(event, now)
    assert invite.state is state
    return invite


def timer_events(invite: InviteServerTransaction[str], until: float) -> list[tuple[float, Action]]:
    """Do as a perfect clock does: fire at each deadline."""
    fired = []
    while (deadline := invite.next_deadline()) is not None and deadline <= until:
        fired.append((deadline, invite.fire(deadline)))
    return fired


class TestTables:
    """RFC 3261 figures 7 and 8."""

    def test_the_invite_table_is_figure_7(self) -> None:
        assert rows(FIGURE_7) == INVITE

    def test_the_non_invite_table_is_figure_8(self) -> None:
        assert rows(FIGURE_8) == NON_INVITE

    @pytest.mark.parametrize("table", [INVITE, NON_INVITE], ids=["INVITE", "non-INVITE"])
    def test_nothing_happens_to_a_transaction_that_is_over(self, table: Table) -> None:
        assert not [event for state, event in table if state is State.TERMINATED]

    @pytest.mark.parametrize("event", Event)
    @pytest.mark.parametrize("state", WAY_TO)
    def test_the_invite_machine_does_what_the_figure_says_for_every_pair(self, state: State, event: Event) -> None:
        invite = an_invite(state)
        then, action = rows(FIGURE_7).get((state, event), (state, Action.IGNORE))
        assert invite.handle(event, now=1.0) is action
        assert invite.state is then

    @pytest.mark.parametrize(
        ("status", "event"),
        [
            (100, Event.PROVISIONAL),
            (199, Event.PROVISIONAL),
            (200, Event.SUCCESS),
            (299, Event.SUCCESS),
            (300, Event.FAILURE),
            (699, Event.FAILURE),
        ],
    )
    def test_a_status_means_what_its_class_means(self, status: int, event: Event) -> None:
        assert invite_event(status) is event


class TestTimersOfInvite:
    """RFC 3261 §17.2.1 and table 4, RFC 6026 §7.1: what happens when, to the tick."""

    def test_while_it_rings_no_timer_runs(self) -> None:
        assert an_invite().next_deadline() is None

    def test_over_udp_a_refusal_is_sent_again_at_doubling_pauses_until_timer_h_gives_up(self) -> None:
        fired = timer_events(an_invite(State.COMPLETED), until=100.0)
        assert [at for at, action in fired if action is Action.RESEND] == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
        assert fired[-1] == (32.0, Action.GIVE_UP)

    def test_over_tcp_a_refusal_is_never_sent_again_but_its_ack_is_waited_for(self) -> None:
        assert timer_events(an_invite(State.COMPLETED, reliable=True), until=100.0) == [(32.0, Action.GIVE_UP)]

    def test_over_udp_further_acks_are_absorbed_for_timer_i_from_the_first_on(self) -> None:
        invite = an_invite(State.COMPLETED)
        invite.handle(Event.ACK, now=3.0)
        invite.handle(Event.ACK, now=4.0)
        assert timer_events(invite, until=100.0) == [(8.0, Action.FORGET)]

    def test_over_tcp_the_ack_ends_it_at_once(self) -> None:
        invite = an_invite(State.COMPLETED, reliable=True)
        assert invite.handle(Event.ACK, now=3.0) is Action.ABSORB
        assert invite.state is State.TERMINATED
        assert invite.next_deadline() is None

    @pytest.mark.parametrize("reliable", [False, True])
    def test_an_accepted_invite_stays_for_timer_l_whatever_the_transport(self, reliable: bool) -> None:
        assert timer_events(an_invite(State.ACCEPTED, reliable=reliable), until=100.0) == [(32.0, Action.FORGET)]

    def test_another_2xx_does_not_start_timer_l_again(self) -> None:
        invite = an_invite(State.ACCEPTED)
        invite.respond(b"once more", 200, False, "there", 20.0)
        assert invite.next_deadline() == 32.0

    def test_a_clock_that_jumped_past_both_gives_up_without_sending(self) -> None:
        invite = an_invite(State.COMPLETED)
        assert invite.fire(1000.0) is Action.GIVE_UP

    def test_before_its_deadline_nothing_fires(self) -> None:
        invite = an_invite(State.COMPLETED)
        assert invite.fire(0.49) is Action.IGNORE
        assert invite.next_deadline() == 0.5


class TestResponseThatIsKept:
    """Only what may have to be sent again takes memory."""

    @pytest.mark.parametrize("state", [State.ACCEPTED, State.CONFIRMED])
    def test_where_nothing_is_sent_again_nothing_is_kept(self, state: State) -> None:
        assert an_invite(state).response is None

    def test_the_last_provisional_response_is_the_one_to_send_again(self) -> None:
        invite = an_invite()
        invite.respond(b"100", 100, False, "here", 0.0)
        invite.respond(b"180", 180, False, "there", 1.0)
        assert (invite.response, invite.destination, invite.touched_at) == (b"180", "there", 1.0)

    def test_a_second_refusal_is_neither_sent_nor_kept(self) -> None:
        invite = an_invite(State.COMPLETED)
        assert invite.respond(b"another", 503, False, "elsewhere", 1.0) is Action.IGNORE
        assert (invite.response, invite.destination) == (b"the response", "there")


@given(st.lists(st.sampled_from(Event)), st.booleans())
@settings(deadline=None)  # a busy machine is no failure
def test_no_course_of_events_answers_an_invite_twice_unless_both_are_2xx(events: list[Event], reliable: bool) -> None:
    invite = an_invite()
    finals: list[Event] = []
    for event in events:
        if event in STATUS:
            sent = invite.respond(b"", STATUS[event], reliable, "there", 0.0) is Action.SEND
            assert not (finals and event is Event.PROVISIONAL and sent)
            if sent and event is not Event.PROVISIONAL:
                finals.append(event)
        else:
            invite.handle(event, now=0.0)
    assert len(finals) <= 1 or set(finals) == {Event.SUCCESS}
