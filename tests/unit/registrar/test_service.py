"""A REGISTER from its request to its one answer."""

from __future__ import annotations

from typing import Any

import pytest

from sipreg.errors import BadMessage, Forbidden, OutOfOrder, RequestRefused, SipregError, StoreUnavailable, Unauthorized, UnknownAor
from sipreg.registrar.changing import MAX_ATTEMPTS
from sipreg.registrar.model import ABSENT
from sipreg.registrar.parameters import Parameters
from sipreg.registrar.service import Accepted, Outcome
from support.builders import CONTACT, NOW_MS, a_binding, a_register, a_snapshot, an_arrival, an_authorization
from support.fake_store import Office

HERE = f"Contact: <{CONTACT}>;expires=600"
THERE = "Contact: <sip:alice@192.0.2.2>;expires=600"
OUTAGE = StoreUnavailable("out of order")


def accepted(outcome: Outcome) -> Accepted:
    assert isinstance(outcome, Accepted), outcome
    return outcome


def refusal(outcome: Outcome) -> tuple[int, str]:
    assert isinstance(outcome, RequestRefused), outcome
    return outcome.status, outcome.reason


class TestWhoIsAskedAtAll:
    """RFC 3261 §10.3 steps 1 and 5; nobody's credentials or bindings are looked at for what is not ours."""

    @pytest.mark.parametrize("digest", [False, True])
    @pytest.mark.parametrize(
        ("parts", "kind", "status"),
        [
            ({"uri": "sip:example.org"}, Forbidden, 403),
            ({"uri": "tel:+4930"}, BadMessage, 400),
            ({"to": "<sip:alice@example.org>"}, UnknownAor, 404),
            ({"to": "<sip:alice%zz@example.com>"}, BadMessage, 400),
            ({"to": f"<sip:{'u' * 65}@example.com>"}, BadMessage, 400),
            ({"to": "<sip:alice@>"}, BadMessage, 400),
        ],
    )
    def test_what_is_not_ours_is_refused_at_once(self, digest: bool, parts: dict[str, Any], kind: type[SipregError], status: int) -> None:
        office = Office(digest=digest)
        outcome = office.ask(HERE, **parts)
        assert isinstance(outcome, kind)
        assert refusal(outcome)[0] == status
        assert (office.store.calls, office.credentials.asked) == ([], [])

    def test_a_to_that_is_no_uri_is_told_in_the_words_of_rule_a_2(self) -> None:
        assert refusal(Office().ask(HERE, to="<sip:alice@>")) == (400, "Error while parsing AOR")
        assert refusal(Office().ask(HERE, to="<alice>")) == (400, "Error while parsing AOR")

    def test_a_to_that_is_missing_is_told_in_the_words_of_the_error_table(self) -> None:
        request = a_register(HERE)
        del request.headers.first["to"]
        assert refusal(Office().ask_by(request)) == (400, "To header not found")

    def test_however_many_spellings_of_our_domain_come_a_foreign_one_is_still_refused(self) -> None:
        office = Office()
        for number in range(1100):
            accepted(office.ask(uri=f"sip:example.com;x={number}"))
        accepted(office.ask(uri=f"sip:example.com;x={'9' * 1000}"))
        remembered = office.registrar._checked_uris
        assert len(remembered) <= 1024
        assert max(map(len, remembered)) < 256
        assert refusal(office.ask(uri="sip:example.org"))[0] == 403
        accepted(office.ask(uri="sip:example.com;x=1"))


class TestAnAcceptedRegister:
    """RFC 3261 §10.3 step 8."""

    def test_the_answer_lists_what_is_stored_and_bears_the_date(self) -> None:
        office = Office()
        outcome = accepted(office.ask(HERE))
        assert outcome.headers == f"Contact: <{CONTACT}>;expires=600\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
        assert outcome.bindings == office.stored().bindings
        assert office.stored().bindings[0].socket == "udp:198.51.100.1:5060"

    def test_of_an_address_without_bindings_it_lists_none(self) -> None:
        outcome = accepted(Office().ask())
        assert outcome == Accepted((), "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n")

    def test_the_received_parameter_has_the_operator_s_name(self) -> None:
        office = Office(parameters=Parameters(received_param="rcv"))
        office.put(a_binding(received="sip:192.0.2.9"))
        assert ';rcv="sip:192.0.2.9"' in accepted(office.ask()).headers

    def test_domains_know_no_letter_case_and_users_do(self) -> None:
        office = Office()
        office.ask(HERE, to="<sip:A%62c@EXAMPLE.com>")
        assert len(accepted(office.ask(to="<sip:Abc@example.com>")).bindings) == 1
        assert len(accepted(office.ask(to="<sip:abc@example.com>")).bindings) == 0


class TestTheShortTestList:
    """Section 18 of the rules, lines 1 to 15, with their corrections; a refusal lists no contacts (rule X-13)."""

    @pytest.mark.parametrize(
        ("headers", "answer"),
        [
            (("Contact: <sip:a@h>;expires=10",), "Contact: <sip:a@h>;expires=60"),
            (("Contact: <sip:a@h>;expires=abc",), "Contact: <sip:a@h>;expires=3600"),
            (("Contact: <sip:a@h>", "Expires: xyz"), (400, "Expires parse error")),
            (("Contact: <sip:a@h>;q=1.5",), (400, "Invalid q param in contact")),
            (("Contact: *",), (400, "* used in contact and expires is not zero")),
            (("Contact: *", "Expires: 0"), ""),
            (("Contact: <sip:a@h>;expires=0",), ""),
            ((), ""),
        ],
    )
    def test_lines_1_to_7_on_a_new_address(self, headers: tuple[str, ...], answer: str | tuple[int, str]) -> None:
        office = Office()
        outcome = office.ask(*headers)
        if isinstance(answer, tuple):
            assert refusal(outcome) == answer
            assert (office.counted, office.stored()) == ((0, 1), ABSENT)
        else:
            assert accepted(outcome).headers.partition("Date: ")[0].strip() == answer
            assert office.counted == (1, 0)

    def test_line_6_the_removal_of_an_unknown_contact_leaves_the_list_as_it_is(self) -> None:
        office = Office()
        office.ask(HERE)
        before = office.stored()
        assert accepted(office.ask("Contact: <sip:x@h>;expires=0", cseq=3)).bindings == before.bindings
        assert office.stored() == before

    def test_line_8_a_lower_cseq(self) -> None:
        office = Office()
        office.ask(HERE, cseq=5)
        assert refusal(office.ask(HERE, cseq=4)) == (400, "Invalid CSeq number")

    def test_line_9_the_same_cseq_is_a_retransmission_for_a_while(self) -> None:
        office = Office(parameters=Parameters(allow_dup_cseq=False))
        office.ask(HERE, cseq=5)
        before = office.stored()
        office.clock.advance(19)
        assert accepted(office.ask(HERE, cseq=5)).headers.startswith(f"Contact: <{CONTACT}>;expires=581\r\n")
        assert office.stored() == before
        office.clock.advance(1)
        assert refusal(office.ask(HERE, cseq=5)) == (400, "Invalid CSeq number")

    def test_line_10_a_lower_cseq_of_another_call_id(self) -> None:
        office = Office()
        office.ask(HERE, cseq=5)
        office.clock.advance(60)
        assert ";expires=600" in accepted(office.ask(HERE, call_id="call-2", cseq=1)).headers

    def test_line_11_one_contact_too_many(self) -> None:
        office = Office(parameters=Parameters(max_contacts=1, retry_after=30))
        office.ask(HERE)
        outcome = office.ask(THERE, cseq=3)
        assert refusal(outcome) == (503, "Too many registered contacts")
        assert getattr(outcome, "headers", ()) == (("Retry-After", "30"),)
        assert office.contacts() == [CONTACT]

    def test_line_12_with_force_the_least_recently_refreshed_goes(self) -> None:
        office = Office(parameters=Parameters(max_contacts=2, force_registration=True))
        for cseq, contact in enumerate(("sip:a@h", "sip:b@h", "sip:a@h", "sip:c@h"), 1):
            office.ask(f"Contact: <{contact}>", cseq=cseq)
            office.clock.advance(1)
        assert office.contacts() == ["sip:c@h", "sip:a@h"]

    def test_line_13_too_many_contacts_for_a_new_address(self) -> None:
        office = Office(parameters=Parameters(max_contacts=2))
        assert refusal(office.ask("Contact: <sip:a@h>, <sip:b@h>, <sip:c@h>"))[0] == 503
        assert office.stored() == ABSENT

    def test_line_14_a_good_and_a_stale_contact_store_nothing(self) -> None:
        office = Office()
        office.ask(HERE, cseq=5)
        before = office.stored()
        assert refusal(office.ask(THERE, HERE, cseq=4)) == (400, "Invalid CSeq number")
        assert office.stored() == before

    def test_line_15_a_user_of_65_characters(self) -> None:
        assert refusal(Office().ask(HERE, to=f"<sip:{'u' * 65}@example.com>")) == (400, "Address Of Record too long")


class TestOneRoundTrip:
    """A plan on what is remembered is good for a commit, which proves it, and for nothing else."""

    def test_a_refresh_is_committed_at_once(self) -> None:
        office = Office()
        office.ask(HERE)
        office.store.calls.clear()
        accepted(office.ask(HERE, cseq=3))
        assert office.store.calls == ["recall", "commit"]

    def test_a_query_is_answered_from_a_fresh_read(self) -> None:
        office = Office()
        office.put(a_binding())
        office.store.remembered = ABSENT
        assert len(accepted(office.ask()).bindings) == 1
        assert office.store.calls == ["recall", "read"]

    def test_a_removal_that_seems_to_find_nothing_reads_and_finds_it(self) -> None:
        office = Office()
        office.put(a_binding())
        office.store.remembered = ABSENT
        accepted(office.ask(f"Contact: <{CONTACT}>;expires=0"))
        assert office.store.calls == ["recall", "read", "commit"]
        assert office.contacts() == []

    def test_a_refusal_that_rests_on_a_memory_is_tried_on_the_truth(self) -> None:
        office = Office()
        office.store.remembered = a_snapshot(a_binding(cseq=99))
        accepted(office.ask(HERE, cseq=2))
        assert office.store.calls == ["recall", "read", "commit"]
        assert office.contacts() == [CONTACT]

    def test_a_refusal_is_given_on_a_fresh_read(self) -> None:
        office = Office()
        office.put(a_binding(cseq=99))
        assert isinstance(office.ask(HERE, cseq=2), OutOfOrder)
        assert office.store.calls == ["recall", "read"]


class TestConflicts:
    """Somebody else was faster: the plan is made again on what the store shows instead, without another read."""

    def test_both_changes_are_there_in_the_end(self) -> None:
        office = Office()
        office.store.before_commit.append(lambda: office.put(a_binding("sip:rival@h", call_id="rival")))
        outcome = accepted(office.ask(HERE))
        assert office.store.calls == ["recall", "commit", "commit"]
        assert [binding.contact for binding in outcome.bindings] == office.contacts() == [CONTACT, "sip:rival@h"]

    def test_what_is_told_is_what_came_of_it_and_not_what_was_planned_first(self) -> None:
        office = Office()
        told: list[str] = []
        office.store.inner.subscribe(lambda event: told.append(event.name))
        office.store.before_commit.append(lambda: office.put(a_binding("sip:rival@h", call_id="rival")))
        office.ask(HERE)
        assert told == ["E_UL_CONTACT_INSERT"]

    def test_one_that_makes_the_request_stale_is_looked_at_again_before_it_is_refused(self) -> None:
        office = Office()
        office.store.before_commit.append(lambda: office.put(a_binding(cseq=9)))
        assert isinstance(office.ask(HERE, cseq=2), OutOfOrder)
        assert office.store.calls == ["recall", "commit", "read"]
        assert office.stored().bindings == (a_binding(cseq=9),)

    def test_one_after_the_read_is_no_different(self) -> None:
        office = Office()
        office.store.remembered = a_snapshot(a_binding(cseq=99))
        office.store.before_commit.append(lambda: office.put(a_binding("sip:rival@h", call_id="rival")))
        accepted(office.ask(HERE))
        assert office.store.calls == ["recall", "read", "commit", "commit"]
        assert office.contacts() == [CONTACT, "sip:rival@h"]

    def test_a_crowd_on_one_address_ends_in_an_answer(self) -> None:
        office = Office()
        office.store.held.holding = True
        office.store.before_commit.extend((lambda: office.put(a_binding("sip:rival@h", call_id="rival"))) for _ in range(MAX_ATTEMPTS + 1))
        office.send(a_register(HERE))
        office.store.held.release()
        assert [type(answer) for answer in office.answers] == [StoreUnavailable]
        assert office.store.calls.count("commit") == MAX_ATTEMPTS
        assert office.contacts() == ["sip:rival@h"]

    def test_a_hundredth_attempt_may_still_succeed(self) -> None:
        office = Office()
        office.store.held.holding = True
        office.store.before_commit.extend((lambda: office.put(a_binding("sip:rival@h", call_id="rival"))) for _ in range(MAX_ATTEMPTS - 1))
        office.send(a_register(HERE))
        office.store.held.release()
        accepted(office.answers[0])
        assert CONTACT in office.contacts()


class TestAStoreThatCannotBeAsked:
    """Found, absent, unknown: nothing is changed, and the one answer is 503."""

    def check(self, office: Office, *headers: str, **more: Any) -> None:
        before = office.stored()
        outcome = office.ask(*headers, **more)
        assert outcome is OUTAGE
        assert OUTAGE.status == 503
        assert office.stored() == before

    def test_at_the_commit(self) -> None:
        office = Office()
        office.store.before_commit.append(OUTAGE)
        self.check(office, HERE)

    def test_at_the_read(self) -> None:
        office = Office()
        office.store.before_read.append(OUTAGE)
        self.check(office)

    def test_at_the_read_that_a_refusal_asks_for(self) -> None:
        office = Office()
        office.put(a_binding(cseq=99))
        office.store.before_read.append(OUTAGE)
        self.check(office, HERE)

    def test_at_the_commit_after_a_read(self) -> None:
        office = Office()
        office.put(a_binding())
        office.store.remembered = a_snapshot(a_binding(cseq=99))
        office.store.before_commit.append(OUTAGE)
        self.check(office, HERE)

    def test_at_the_commit_after_a_conflict(self) -> None:
        office = Office()
        office.put(a_binding())
        office.store.remembered = ABSENT
        office.store.before_commit.extend([None, OUTAGE])
        self.check(office, HERE)
        assert office.store.calls == ["recall", "commit", "commit"]

    def test_at_the_credentials(self) -> None:
        office = Office(digest=True)
        authorization = an_authorization("alice", "secret", office.challenge())
        office.credentials.failure = OUTAGE
        self.check(office, HERE, authorization)
        assert office.store.calls == []


class TestStatistics:
    """Rules T-1 and T-2: each REGISTER counts once."""

    def test_whatever_is_answered_200_is_accepted(self) -> None:
        office = Office()
        for cseq, headers in enumerate([(HERE,), (HERE,), (), ("Contact: <sip:x@h>;expires=0",), ("Contact: *", "Expires: 0")], 2):
            accepted(office.ask(*headers, cseq=cseq))
        assert office.counted == (5, 0)

    def test_a_conflict_makes_no_second_one_of_it(self) -> None:
        office = Office()
        office.store.before_commit.append(lambda: office.put(a_binding("sip:rival@h", call_id="rival")))
        office.ask(HERE)
        assert office.counted == (1, 0)

    def test_a_refusal_counts_however_far_the_request_came(self) -> None:
        office = Office()
        office.put(a_binding(cseq=99))
        office.ask("Contact: *")
        office.ask(HERE)
        office.store.before_commit.append(OUTAGE)
        office.ask(THERE, call_id="call-2")
        assert office.counted == (0, 3)

    def test_what_is_not_ours_and_who_is_not_known_counts_for_nothing(self) -> None:
        office = Office(digest=True)
        office.ask(HERE, uri="sip:example.org")
        office.ask(HERE, to="<sip:alice@example.org>")
        assert isinstance(office.ask(HERE), Unauthorized)
        assert office.counted == (0, 0)


class TestAnAnswerThatTakesItsTime:
    """Each REGISTER is answered once, now or later."""

    def test_nothing_is_answered_before_the_store_has_spoken(self) -> None:
        office = Office()
        office.store.held.holding = True
        office.send(a_register(HERE))
        assert (office.answers, office.store.held.waiting, office.counted) == ([], 1, (0, 0))
        office.store.held.release()
        assert [type(answer) for answer in office.answers] == [Accepted]

    def test_two_at_once_for_one_address_both_get_theirs(self) -> None:
        office = Office()
        office.store.held.holding = True
        office.store.remembered = ABSENT
        office.send(a_register(HERE))
        office.send(a_register(THERE, call_id="call-2"))
        office.store.held.release()
        assert [type(answer) for answer in office.answers] == [Accepted, Accepted]
        assert sorted(office.contacts()) == [CONTACT, "sip:alice@192.0.2.2"]

    def test_what_was_granted_counts_from_the_arrival(self) -> None:
        office = Office()
        office.store.held.holding = True
        office.registrar.register(a_register(HERE), an_arrival(NOW_MS), office.answers.append)
        office.clock.advance(5)
        office.store.held.release()
        assert accepted(office.answers[0]).bindings[0].expires_at_ms == NOW_MS + 600_000
