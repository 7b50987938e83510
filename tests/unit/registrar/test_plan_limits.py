"""How many contacts an address-of-record may have."""

from __future__ import annotations

import pytest

from sipreg.errors import TooManyContacts
from sipreg.registrar.model import ABSENT, Event
from sipreg.registrar.plan import CONTACT_DELETE
from support.builders import AOR, NOW_MS, a_binding, a_contact, a_registration, a_removal, a_snapshot, contacts_of, planned, told

A, B, C, D = (f"sip:{name}@192.0.2.1" for name in "abcd")


class TestTheLimit:
    """Rules S-40, S-41 and S-43."""

    def test_as_many_as_it_says_are_stored(self) -> None:
        assert len(planned(a_registration(a_contact(A), a_contact(B)), max_contacts=2).bindings) == 2
        assert len(planned(a_registration(a_contact(B)), a_snapshot(a_binding(A)), max_contacts=2).bindings) == 2

    def test_one_more_is_refused_whether_the_address_is_new_or_not(self) -> None:
        for registration, snapshot in (
            (a_registration(a_contact(A), a_contact(B), a_contact(C)), ABSENT),
            (a_registration(a_contact(C)), a_snapshot(a_binding(A), a_binding(B))),
        ):
            with pytest.raises(TooManyContacts) as refused:
                planned(registration, snapshot, max_contacts=2)
            assert (refused.value.status, refused.value.reason) == (503, "Too many registered contacts")

    def test_none_at_all_means_no_limit(self) -> None:
        assert len(planned(a_registration(*(a_contact(f"sip:{n}@h") for n in range(32))), max_contacts=0).bindings) == 32

    def test_one_that_makes_room_in_the_same_request_is_welcome(self) -> None:
        plan = planned(a_registration(a_contact(C), a_removal(A)), a_snapshot(a_binding(A), a_binding(B)), max_contacts=2)
        assert contacts_of(plan) == [C, B]


class TestRetryAfter:
    """Rule R-12."""

    @pytest.mark.parametrize(("retry_after", "headers"), [(0, ()), (30, (("Retry-After", "30"),))])
    def test_it_goes_with_the_refusal_where_it_is_set(self, retry_after: int, headers: tuple[tuple[str, str], ...]) -> None:
        with pytest.raises(TooManyContacts) as refused:
            planned(a_registration(a_contact(B)), a_snapshot(a_binding(A)), max_contacts=1, retry_after=retry_after)
        assert refused.value.headers == headers


class TestForcedRegistration:
    """Rules S-42, S-44 and S-46, corrected: the least recently refreshed goes."""

    def test_the_least_recently_refreshed_goes_whatever_its_q(self) -> None:
        snapshot = a_snapshot(
            a_binding(A, modified_at_ms=NOW_MS - 3000, q=1000),
            a_binding(B, modified_at_ms=NOW_MS - 1000, q=100),
            a_binding(C, modified_at_ms=NOW_MS - 2000, q=500),
        )
        plan = planned(a_registration(a_contact(D, q=0)), snapshot, max_contacts=3, force_registration=True)
        assert contacts_of(plan) == [C, B, D]
        assert told(plan) == [("CONTACT_DELETE", A), ("CONTACT_INSERT", D)]

    def test_what_this_request_brings_stays_though_others_come_from_a_clock_that_is_ahead(self) -> None:
        snapshot = a_snapshot(a_binding(A, modified_at_ms=NOW_MS + 2000), a_binding(B, modified_at_ms=NOW_MS + 1000))
        plan = planned(a_registration(a_contact(C)), snapshot, max_contacts=2, force_registration=True)
        assert sorted(contacts_of(plan)) == [A, C]

    def test_as_many_go_as_there_are_too_many(self) -> None:
        snapshot = a_snapshot(*(a_binding(uri, modified_at_ms=NOW_MS - age) for uri, age in ((A, 1000), (B, 2000), (C, 3000))))
        plan = planned(a_registration(a_contact(D)), snapshot, max_contacts=2, force_registration=True)
        assert contacts_of(plan) == [D, A]
        assert told(plan) == [("CONTACT_DELETE", C), ("CONTACT_DELETE", B), ("CONTACT_INSERT", D)]

    def test_of_a_new_address_with_too_many_the_first_of_the_message_go(self) -> None:
        plan = planned(a_registration(a_contact(A), a_contact(B), a_contact(C)), max_contacts=2, force_registration=True)
        assert contacts_of(plan) == [B, C]
        assert told(plan) == [("AOR_INSERT", ""), ("CONTACT_INSERT", B), ("CONTACT_INSERT", C)]

    def test_what_this_very_request_refreshed_and_then_had_to_go_is_told_as_it_was_stored(self) -> None:
        old = a_binding("sip:a@HOST")
        plan = planned(a_registration(a_contact("sip:a@host"), a_contact(B)), a_snapshot(old), max_contacts=1, force_registration=True)
        assert contacts_of(plan) == [B]
        assert plan.events[0] == Event(CONTACT_DELETE, AOR, old)
        assert told(plan)[1:] == [("CONTACT_INSERT", B)]


class TestALimitThatWasLowered:
    """Rules S-45 and S-47."""

    def test_a_mere_refresh_is_refused_while_there_are_too_many(self) -> None:
        with pytest.raises(TooManyContacts):
            planned(a_registration(a_contact(A)), a_snapshot(a_binding(A), a_binding(B)), max_contacts=1)

    def test_or_it_stays_and_the_others_go(self) -> None:
        old = a_binding(A, modified_at_ms=NOW_MS - 9000)
        plan = planned(a_registration(a_contact(A)), a_snapshot(old, a_binding(B)), max_contacts=1, force_registration=True)
        assert contacts_of(plan) == [A]
        assert told(plan) == [("CONTACT_DELETE", B), ("CONTACT_UPDATE", A)]

    def test_removals_queries_and_retransmissions_never_ask_for_it(self) -> None:
        snapshot = a_snapshot(a_binding(A, cseq=2), a_binding(B, cseq=1), a_binding(C))
        assert len(planned(a_registration(a_removal(B)), snapshot, max_contacts=1).bindings) == 2
        assert len(planned(a_registration(), snapshot, max_contacts=1).bindings) == 3
        assert len(planned(a_registration(a_contact(A)), snapshot, max_contacts=1, allow_dup_cseq=False).bindings) == 3
