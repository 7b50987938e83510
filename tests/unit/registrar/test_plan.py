"""What a REGISTER makes of an address-of-record."""

from __future__ import annotations

from typing import Any

import pytest

from sipreg.errors import BadMessage, IntervalTooBrief, OutOfOrder
from sipreg.registrar.model import ABSENT, Binding, Event, Plan
from sipreg.registrar.parameters import Matching, TooBrief
from sipreg.registrar.plan import (
    AOR_DELETE,
    AOR_INSERT,
    CONTACT_DELETE,
    CONTACT_INSERT,
    CONTACT_UPDATE,
    plan_removal,
)
from support.builders import (
    AOR,
    NOW_MS,
    a_binding,
    a_contact,
    a_registration,
    a_removal,
    a_snapshot,
    a_star,
    an_arrival,
    contacts_of,
    lapsed,
    planned,
    told,
)

A, B, C, D = (f"sip:{name}@192.0.2.1" for name in "abcd")


class TestAQuery:
    """Rule S-14."""

    def test_it_changes_nothing_and_shows_what_lives(self) -> None:
        assert planned(a_registration(), a_snapshot(a_binding(A), lapsed(B))) == Plan((a_binding(A),), (), False)

    def test_of_an_address_without_bindings_it_shows_none(self) -> None:
        assert planned(a_registration()) == Plan((), (), False)


class TestTheFirstContacts:
    """Rule S-16."""

    def test_a_new_address_is_told_before_its_first_contact(self) -> None:
        plan = planned(a_registration(a_contact(A)))
        assert told(plan) == [("AOR_INSERT", ""), ("CONTACT_INSERT", A)]
        assert plan.changed

    def test_contacts_to_be_removed_are_skipped(self) -> None:
        assert contacts_of(planned(a_registration(a_removal(A), a_contact(B), a_removal(C)))) == [B]

    def test_where_none_is_left_nothing_is_made(self) -> None:
        assert planned(a_registration(a_removal(A))) == Plan((), (), False)

    def test_one_that_comes_twice_is_kept_once_as_it_came_last(self) -> None:
        plan = planned(a_registration(a_contact(A, q=100), a_contact(A, 300, q=900)))
        assert [(binding.q, binding.expires_at_ms) for binding in plan.bindings] == [(900, NOW_MS + 300_000)]
        assert told(plan) == [("AOR_INSERT", ""), ("CONTACT_INSERT", A)]

    def test_one_that_is_taken_back_in_the_same_request_never_was(self) -> None:
        assert planned(a_registration(a_contact(A), a_removal(A))) == Plan((), (), False)


class TestContactsOfAKnownAddress:
    """Rule S-17."""

    def test_one_that_is_not_there_is_inserted(self) -> None:
        plan = planned(a_registration(a_contact(B)), a_snapshot(a_binding(A)))
        assert contacts_of(plan) == [B, A]
        assert told(plan) == [("CONTACT_INSERT", B)]

    def test_one_that_is_there_is_refreshed(self) -> None:
        plan = planned(a_registration(a_contact(A)), a_snapshot(a_binding(A), a_binding(B)))
        assert contacts_of(plan) == [A, B]
        assert told(plan) == [("CONTACT_UPDATE", A)]

    def test_one_with_an_interval_of_zero_is_removed(self) -> None:
        plan = planned(a_registration(a_removal(A)), a_snapshot(a_binding(A), a_binding(B)))
        assert contacts_of(plan) == [B]
        assert told(plan) == [("CONTACT_DELETE", A)]

    def test_with_the_last_contact_the_address_ends(self) -> None:
        plan = planned(a_registration(a_removal(A)), a_snapshot(a_binding(A)))
        assert plan.bindings == ()
        assert told(plan) == [("CONTACT_DELETE", A), ("AOR_DELETE", "")]

    def test_the_removal_of_one_that_is_not_there_changes_nothing(self) -> None:
        snapshot = a_snapshot(a_binding(A))
        assert planned(a_registration(a_removal(B)), snapshot) == Plan(snapshot.bindings, (), False)

    def test_several_are_seen_to_in_one_request(self) -> None:
        plan = planned(a_registration(a_removal(A), a_contact(B), a_contact(C)), a_snapshot(a_binding(A), a_binding(B)))
        assert contacts_of(plan) == [B, C]
        assert told(plan) == [("CONTACT_DELETE", A), ("CONTACT_UPDATE", B), ("CONTACT_INSERT", C)]


class TestLapsedBindings:
    """Rule S-18, corrected: they are as absent."""

    def test_a_contact_that_comes_back_is_inserted_and_its_end_is_told_first(self) -> None:
        plan = planned(a_registration(a_contact(A)), a_snapshot(lapsed(A), a_binding(B)))
        assert told(plan) == [("CONTACT_DELETE", A), ("CONTACT_INSERT", A)]
        assert plan.events[0].binding == lapsed(A)

    def test_a_device_that_lost_its_state_is_not_held_to_its_old_cseq(self) -> None:
        plan = planned(a_registration(a_contact(A), cseq=1), a_snapshot(lapsed(A, cseq=99)))
        assert contacts_of(plan) == [A]

    def test_a_binding_has_lapsed_at_the_very_instant_that_it_names(self) -> None:
        plan = planned(a_registration(), a_snapshot(a_binding(A, expires_at_ms=NOW_MS), a_binding(B, expires_at_ms=NOW_MS + 1)))
        assert contacts_of(plan) == [B]

    def test_the_change_that_drops_them_tells_of_it(self) -> None:
        plan = planned(a_registration(a_removal(B)), a_snapshot(lapsed(A), a_binding(B)))
        assert sorted(told(plan)[:2]) == [("CONTACT_DELETE", A), ("CONTACT_DELETE", B)]
        assert told(plan)[2] == ("AOR_DELETE", "")

    def test_they_alone_are_no_reason_to_write(self) -> None:
        assert planned(a_registration(a_removal(A)), a_snapshot(lapsed(A))) == Plan((), (), False)
        assert planned(a_star(), a_snapshot(lapsed(A))) == Plan((), (), False)

    def test_they_do_not_count_against_the_limit(self) -> None:
        assert contacts_of(planned(a_registration(a_contact(C)), a_snapshot(lapsed(A), a_binding(B)), max_contacts=2)) == [C, B]


class TestAllOrNothing:
    """Rule S-19, corrected (RFC 3261 §10.3): one contact that fails refuses them all."""

    def test_a_stale_contact_behind_a_good_one_refuses_both(self) -> None:
        stored = a_snapshot(a_binding(B, cseq=5))
        with pytest.raises(OutOfOrder):
            planned(a_registration(a_contact(A), a_contact(B), cseq=4), stored)
        assert stored == a_snapshot(a_binding(B, cseq=5))

    def test_so_does_one_that_is_no_uri(self) -> None:
        with pytest.raises(BadMessage, match=r"^Contact parse error$"):
            planned(a_registration(a_contact(A), a_contact("sip:x y")))

    def test_so_does_one_that_asks_for_too_little_where_that_is_refused(self) -> None:
        with pytest.raises(IntervalTooBrief):
            planned(a_registration(a_contact(A), a_contact(B, 10)), too_brief=TooBrief.REFUSE)


class TestOneContactTwice:
    """Rule S-20, corrected: the later counts."""

    def test_the_second_overwrites_the_first(self) -> None:
        registration = a_registration(a_contact(A, q=100), a_contact(A, q=900))
        for allow_dup_cseq in (True, False):
            plan = planned(registration, a_snapshot(a_binding(A)), allow_dup_cseq=allow_dup_cseq)
            assert [binding.q for binding in plan.bindings] == [900]
            assert told(plan) == [("CONTACT_UPDATE", A)]

    def test_a_refresh_that_is_taken_back_is_a_removal_and_tells_of_what_was_stored(self) -> None:
        old = a_binding("sip:a@HOST", q=100)
        plan = planned(a_registration(a_contact("sip:a@host"), a_removal("sip:a@host")), a_snapshot(old))
        assert plan.bindings == ()
        assert plan.events == (Event(CONTACT_DELETE, AOR, old), Event(AOR_DELETE, AOR))

    def test_a_removal_that_is_taken_back_makes_the_contact_anew(self) -> None:
        plan = planned(a_registration(a_removal(A), a_contact(A)), a_snapshot(a_binding(A)))
        assert contacts_of(plan) == [A]
        assert told(plan) == [("CONTACT_DELETE", A), ("CONTACT_INSERT", A)]


class TestIntervals:
    """Rule S-23, and the first two lines of the short test list."""

    def test_a_short_one_is_raised(self) -> None:
        (binding,) = planned(a_registration(a_contact(A, 10))).bindings
        assert binding.expires_at_ms == NOW_MS + 60_000

    def test_one_that_nobody_named_is_the_default(self) -> None:
        (binding,) = planned(a_registration(a_contact(A, None)), default_expires=1800).bindings
        assert binding.expires_at_ms == NOW_MS + 1_800_000

    def test_a_long_one_is_cut(self) -> None:
        for snapshot in (ABSENT, a_snapshot(a_binding(A))):
            (binding,) = planned(a_registration(a_contact(A, 9000)), snapshot, max_expires=7200).bindings
            assert binding.expires_at_ms == NOW_MS + 7_200_000


class TestWhatABindingHolds:
    """Rules S-25 to S-33."""

    def test_it_is_made_of_the_contact_and_of_the_request(self) -> None:
        contact = a_contact(A, 600, q=500, methods=9, instance="<urn:uuid:1>", reg_id=1)
        arrival = an_arrival(edge="edge-1", flow="tcp-7")
        fields: dict[str, Any] = {
            "user_agent": "Phone",
            "received": "sip:192.0.2.9",
            "path": "<sip:p;lr>",
            "attr": "x",
            "tag": "t",
            "flags": 4,
        }
        (binding,) = planned(a_registration(contact, arrival=arrival, call_id="call-9", cseq=7, **fields)).bindings
        assert binding == Binding(
            contact=A,
            expires_at_ms=NOW_MS + 600_000,
            modified_at_ms=NOW_MS,
            call_id="call-9",
            cseq=7,
            q=500,
            methods=9,
            instance="<urn:uuid:1>",
            reg_id=1,
            socket="udp:198.51.100.1:5060",
            edge="edge-1",
            flow="tcp-7",
            **fields,
        )

    def test_without_a_connection_any_edge_can_reach_it(self) -> None:
        (binding,) = planned(a_registration(a_contact(A), arrival=an_arrival(edge="edge-1"))).bindings
        assert (binding.edge, binding.flow) == ("", "")


class TestARefreshOverwrites:
    """Rules S-32 and S-34; and the newest spelling of contact and instance is kept."""

    def test_nothing_of_the_old_binding_stays(self) -> None:
        old = a_binding(
            "sip:a@HOST", q=9, user_agent="Old", received="sip:x", path="<sip:p>", attr="a", instance="<i>", reg_id=3, tag="t", flags=4
        )
        for others in ((), (a_binding(B),)):
            plan = planned(a_registration(a_contact("sip:a@host", instance="<j>")), a_snapshot(old, *others))
            (fresh,) = planned(a_registration(a_contact("sip:a@host", instance="<j>"))).bindings
            assert fresh in plan.bindings
            assert old not in plan.bindings
            assert plan.events == (Event(CONTACT_UPDATE, AOR, fresh),)

    def test_a_contact_found_by_its_parameter_moves_to_where_it_is_now(self) -> None:
        snapshot = a_snapshot(a_binding("sip:a@192.0.2.1;rinstance=1"))
        plan = planned(a_registration(a_contact("sip:a@192.0.2.2;rinstance=1")), snapshot, matching=Matching(param="rinstance"))
        assert contacts_of(plan) == ["sip:a@192.0.2.2;rinstance=1"]


class TestTheModeOfMatching:
    """Rule S-50."""

    def test_the_request_s_own_mode_goes_before_the_general_one(self) -> None:
        by_call_id = Matching(call_id=True)
        rebooted = a_registration(a_contact(A), call_id="call-2", cseq=1)
        one = a_snapshot(a_binding(A))
        assert len(planned(rebooted, one).bindings) == 1
        assert len(planned(rebooted, one, matching=by_call_id).bindings) == 2
        assert len(planned(a_registration(a_contact(A), call_id="call-2", matching=by_call_id), one).bindings) == 2
        assert len(planned(a_registration(a_contact(A), call_id="call-2", matching=Matching()), one, matching=by_call_id).bindings) == 1


class TestCSeq:
    """Rule S-54."""

    def test_a_lower_one_of_the_same_call_id_is_out_of_order(self) -> None:
        for allow_dup_cseq in (True, False):
            for contact in (a_contact(A), a_removal(A)):
                with pytest.raises(OutOfOrder) as refused:
                    planned(a_registration(contact, cseq=4), a_snapshot(a_binding(A, cseq=5)), allow_dup_cseq=allow_dup_cseq)
                assert (refused.value.status, refused.value.reason) == (400, "Invalid CSeq number")

    def test_of_another_call_id_it_may_go_down(self) -> None:
        for others in ((), (a_binding(B),)):
            plan = planned(a_registration(a_contact(A), call_id="after-the-reboot", cseq=1), a_snapshot(a_binding(A, cseq=99), *others))
            assert (plan.bindings[0].call_id, plan.bindings[0].cseq) == ("after-the-reboot", 1)
            assert told(plan) == [("CONTACT_UPDATE", A)]

    def test_the_same_one_is_a_refresh_where_that_is_allowed(self) -> None:
        plan = planned(a_registration(a_contact(A), cseq=5), a_snapshot(a_binding(A, cseq=5)))
        assert told(plan) == [("CONTACT_UPDATE", A)]

    @pytest.mark.parametrize("age_ms", [0, 19_999, -5_000])
    def test_else_it_is_a_retransmission_for_a_while_and_changes_nothing(self, age_ms: int) -> None:
        snapshot = a_snapshot(a_binding(A, cseq=5, modified_at_ms=NOW_MS - age_ms))
        plan = planned(a_registration(a_contact(A, 1200), cseq=5), snapshot, allow_dup_cseq=False)
        assert plan == Plan(snapshot.bindings, (), False)

    def test_and_after_that_it_is_out_of_order(self) -> None:
        old = a_snapshot(a_binding(A, cseq=5, modified_at_ms=NOW_MS - 20_000))
        with pytest.raises(OutOfOrder):
            planned(a_registration(a_contact(A), cseq=5), old, allow_dup_cseq=False)

    def test_the_while_is_the_operator_s(self) -> None:
        snapshot = a_snapshot(a_binding(A, cseq=5, modified_at_ms=NOW_MS - 1000))
        with pytest.raises(OutOfOrder):
            planned(a_registration(a_contact(A), cseq=5), snapshot, allow_dup_cseq=False, cseq_delay=1)
        assert not planned(a_registration(a_contact(A), cseq=5), snapshot, allow_dup_cseq=False, cseq_delay=2).changed

    def test_what_is_new_in_a_retransmission_is_still_stored(self) -> None:
        plan = planned(a_registration(a_contact(A), a_contact(B), cseq=5), a_snapshot(a_binding(A, cseq=5)), allow_dup_cseq=False)
        assert told(plan) == [("CONTACT_INSERT", B)]
        assert a_binding(A, cseq=5) in plan.bindings


class TestTheCSeqOfARemoval:
    """Rule S-55, corrected: it is never swallowed."""

    def test_the_same_one_removes_where_it_would_refresh(self) -> None:
        assert planned(a_registration(a_removal(A), cseq=5), a_snapshot(a_binding(A, cseq=5))).bindings == ()

    def test_else_it_is_refused_because_it_is_no_retransmission(self) -> None:
        with pytest.raises(OutOfOrder):
            planned(a_registration(a_removal(A), cseq=5), a_snapshot(a_binding(A, cseq=5)), allow_dup_cseq=False)


class TestTheStar:
    """Rule S-13, corrected: RFC 3261 §10.3 step 6."""

    def test_it_removes_all_bindings_and_the_address_with_them(self) -> None:
        plan = planned(a_star(call_id="call-9"), a_snapshot(a_binding(A), a_binding(B)))
        assert (plan.bindings, plan.changed) == ((), True)
        assert told(plan) == [("CONTACT_DELETE", A), ("CONTACT_DELETE", B), ("AOR_DELETE", "")]

    def test_of_an_address_without_bindings_it_removes_none(self) -> None:
        assert planned(a_star()) == Plan((), (), False)

    @pytest.mark.parametrize("cseq", [4, 5])
    def test_one_binding_by_the_same_call_id_and_no_lower_cseq_keeps_them_all(self, cseq: int) -> None:
        snapshot = a_snapshot(a_binding(A, call_id="other"), a_binding(B, cseq=5))
        with pytest.raises(OutOfOrder) as refused:
            planned(a_star(cseq=cseq), snapshot)
        assert (refused.value.status, refused.value.reason) == (400, "Invalid CSeq number")

    def test_a_higher_cseq_removes_them(self) -> None:
        assert planned(a_star(cseq=6), a_snapshot(a_binding(A, call_id="other", cseq=9), a_binding(B, cseq=5))).bindings == ()

    def test_one_that_has_lapsed_keeps_nothing(self) -> None:
        plan = planned(a_star(cseq=4), a_snapshot(lapsed(A, cseq=5), a_binding(B, call_id="other")))
        assert plan.bindings == ()
        assert sorted(told(plan)) == [("AOR_DELETE", ""), ("CONTACT_DELETE", A), ("CONTACT_DELETE", B)]


class TestTheOrderOfBindings:
    """Rule U-6, corrected: q, then the most recent first."""

    def test_a_refresh_that_changes_q_changes_the_place(self) -> None:
        snapshot = a_snapshot(a_binding(A, q=900), a_binding(B, q=500))
        assert contacts_of(planned(a_registration(a_contact(B, q=1000)), snapshot)) == [B, A]
        assert contacts_of(planned(a_registration(a_contact(A, q=100)), snapshot)) == [B, A]

    def test_without_q_a_contact_ranks_below_zero(self) -> None:
        assert contacts_of(planned(a_registration(a_contact(A), a_contact(B, q=0)))) == [B, A]


class TestRemovalByAnOperator:
    """Rules D-2, D-3 and D-6."""

    def test_without_a_contact_all_go(self) -> None:
        plan = plan_removal(AOR, a_snapshot(a_binding(A), a_binding(B)), None, NOW_MS)
        assert (plan.bindings, plan.changed) == ((), True)
        assert told(plan) == [("CONTACT_DELETE", A), ("CONTACT_DELETE", B), ("AOR_DELETE", "")]

    def test_one_contact_goes_whatever_its_cseq(self) -> None:
        plan = plan_removal(AOR, a_snapshot(a_binding(A, cseq=99), a_binding(B)), A, NOW_MS)
        assert contacts_of(plan) == [B]
        assert told(plan) == [("CONTACT_DELETE", A)]

    def test_it_is_compared_byte_for_byte(self) -> None:
        snapshot = a_snapshot(a_binding("sip:a@host"))
        assert plan_removal(AOR, snapshot, "sip:a@HOST", NOW_MS) == Plan(snapshot.bindings, (), False)

    def test_where_nothing_lives_nothing_changes(self) -> None:
        assert plan_removal(AOR, ABSENT, None, NOW_MS) == Plan((), (), False)
        assert plan_removal(AOR, a_snapshot(lapsed(A)), None, NOW_MS) == Plan((), (), False)

    def test_what_has_lapsed_goes_and_is_told_as_well(self) -> None:
        plan = plan_removal(AOR, a_snapshot(a_binding(A), lapsed(B)), A, NOW_MS)
        assert plan.bindings == ()
        assert sorted(told(plan)[:2]) == [("CONTACT_DELETE", A), ("CONTACT_DELETE", B)]


class TestTheNamesOfEvents:
    """Rules EV-1 and EV-2."""

    def test_they_are_those_of_the_specification(self) -> None:
        names = (AOR_INSERT, AOR_DELETE, CONTACT_INSERT, CONTACT_UPDATE, CONTACT_DELETE)
        short = ("AOR_INSERT", "AOR_DELETE", "CONTACT_INSERT", "CONTACT_UPDATE", "CONTACT_DELETE")
        assert names == tuple(f"E_UL_{name}" for name in short)
