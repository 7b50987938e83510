"""Who may register, as far as digest authentication tells."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sipreg.errors import BadMessage, Forbidden, RequestRefused, StoreUnavailable, Unauthorized
from sipreg.registrar.digest import ha1_values
from sipreg.registrar.model import ABSENT, Aor
from sipreg.registrar.parameters import Parameters
from sipreg.registrar.ports import Credential
from sipreg.registrar.service import Accepted, Outcome
from support.builders import CONTACT, a_binding, a_register, a_snapshot, an_authorization, challenge_params
from support.fake_store import Office

HERE = f"Contact: <{CONTACT}>;expires=600"


def is_stale(outcome: Outcome) -> bool:
    assert isinstance(outcome, Unauthorized), outcome
    return challenge_params(outcome).get("stale") == "true"


def without_nonce(outcome: Outcome) -> tuple[int, str, list[tuple[str, str]]]:
    """Return all that an outsider sees of a refusal, but for what differs each time."""
    assert isinstance(outcome, RequestRefused)
    nonce = challenge_params(outcome)["nonce"]
    return outcome.status, outcome.reason, [(name, value.replace(nonce, "")) for name, value in outcome.headers]


def by_alice(challenge: Mapping[str, str], count: int = 1) -> str:
    return an_authorization("alice", "secret", challenge, count)


class TestCredentials:
    """RFC 3261 §10.3 step 3, §22."""

    def test_without_any_there_is_a_challenge_and_nothing_is_stored(self) -> None:
        office = Office(digest=True)
        assert not is_stale(office.ask(HERE))
        assert (office.store.calls, office.credentials.asked) == ([], [])

    def test_with_good_ones_the_register_is_accepted(self) -> None:
        office = Office(digest=True)
        assert isinstance(office.ask(HERE, by_alice(office.challenge())), Accepted)
        assert office.credentials.asked == [("example.com", "alice")]
        assert office.contacts() == [CONTACT]

    def test_an_unknown_user_is_not_told_from_a_wrong_password(self) -> None:
        office = Office(digest=True)
        unknown = office.ask(HERE, an_authorization("mallory", "secret", office.challenge()))
        wrong = office.ask(HERE, an_authorization("alice", "Secret", office.challenge()))
        assert without_nonce(unknown) == without_nonce(wrong)
        assert not is_stale(wrong)
        assert office.store.calls == []

    def test_another_scheme_is_as_good_as_none(self) -> None:
        assert not is_stale(Office(digest=True).ask(HERE, "Authorization: Basic YWxpY2U6c2VjcmV0"))

    def test_of_several_those_for_our_realm_count(self) -> None:
        office = Office(digest=True)
        challenge = office.challenge()
        foreign = by_alice({**challenge, "realm": "proxy.example"})
        assert isinstance(office.ask(HERE, foreign, by_alice(challenge)), Accepted)
        assert isinstance(office.ask(HERE, foreign, foreign, cseq=3), Unauthorized)

    def test_those_that_do_not_parse_are_a_bad_request(self) -> None:
        assert isinstance(Office(digest=True).ask(HERE, "Authorization: Digest username"), BadMessage)

    def test_those_that_were_changed_on_their_way_are_wrong(self) -> None:
        office = Office(digest=True)
        changed = by_alice(office.challenge()).replace('uri="sip:example.com"', 'uri="sip:example.net"')
        assert not is_stale(office.ask(HERE, changed))
        assert office.store.calls == []

    def test_an_old_nonce_is_stale_and_nobody_is_looked_up(self) -> None:
        office = Office(digest=True)
        challenge = office.challenge()
        office.clock.advance(300)
        assert is_stale(office.ask(HERE, by_alice(challenge)))
        assert office.credentials.asked == []

    def test_the_answer_waits_for_the_credentials(self) -> None:
        office = Office(digest=True)
        authorization = by_alice(office.challenge())
        office.answers.clear()
        office.credentials.held.holding = True
        office.send(a_register(HERE, authorization))
        assert office.answers == []
        office.credentials.held.release()
        assert [type(answer) for answer in office.answers] == [Accepted]


class TestWhatASubscriberMayRegister:
    """RFC 3261 §10.3 step 4."""

    def test_another_s_address_is_forbidden_and_nothing_is_stored(self) -> None:
        office = Office(digest=True)
        outcome = office.ask(HERE, by_alice(office.challenge()), to="<sip:bob@example.com>")
        assert isinstance(outcome, Forbidden)
        assert outcome.status == 403
        assert office.store.calls == []

    def test_one_that_it_was_given_is_not(self) -> None:
        office = Office(digest=True)
        outcome = office.ask(HERE, an_authorization("bob", "secret", office.challenge()), to="<sip:sales@example.com>")
        assert isinstance(outcome, Accepted)
        assert len(office.stored(Aor("location", "sales@example.com")).bindings) == 1

    def test_its_own_is_its_own_where_users_know_no_case(self) -> None:
        office = Office(digest=True, parameters=Parameters(case_sensitive=False))
        office.credentials.known["example.com", "Alice"] = Credential(ha1_values("Alice", "example.com", "secret"))
        outcome = office.ask(HERE, an_authorization("Alice", "secret", office.challenge()), to="<sip:Alice@example.com>")
        assert isinstance(outcome, Accepted)


class TestNonceCounts:
    """RFC 7616 §3.4: each count passes once."""

    def test_each_count_is_good_for_one_request(self) -> None:
        office = Office(digest=True)
        challenge = office.challenge()
        for count in (1, 2, 0xFF):
            assert isinstance(office.ask(HERE, by_alice(challenge, count), cseq=count + 1), Accepted)

    @pytest.mark.parametrize("headers", [(HERE,), (), ("Contact: *", "Expires: 0"), ("Contact: <sip:x@h>;expires=0",)])
    def test_a_count_that_was_used_is_answered_with_a_stale_challenge_whatever_is_asked(self, headers: tuple[str, ...]) -> None:
        office = Office(digest=True)
        challenge = office.challenge()
        office.ask(HERE, by_alice(challenge))
        before = office.stored()
        assert is_stale(office.ask(*headers, by_alice(challenge), cseq=3))
        assert office.stored() == before

    def test_a_query_uses_its_count_as_well(self) -> None:
        office = Office(digest=True)
        challenge = office.challenge()
        assert isinstance(office.ask(by_alice(challenge)), Accepted)
        assert is_stale(office.ask(HERE, by_alice(challenge)))
        assert office.stored() == ABSENT

    def test_so_does_a_request_that_is_refused_for_what_it_asks(self) -> None:
        office = Office(digest=True)
        office.put(a_binding(cseq=99))
        challenge = office.challenge()
        assert not isinstance(office.ask(HERE, by_alice(challenge)), Accepted)
        assert is_stale(office.ask(HERE, by_alice(challenge), cseq=100))

    def test_the_read_on_the_way_and_the_commit_behind_it_use_it_once(self) -> None:
        office = Office(digest=True)
        office.store.remembered = a_snapshot(a_binding(cseq=99))
        assert isinstance(office.ask(HERE, by_alice(office.challenge())), Accepted)
        assert office.store.calls == ["recall", "read", "commit"]
        assert [change.nonce_use for change in office.store.changes] == [None]

    def test_a_conflict_does_not_use_it_up(self) -> None:
        office = Office(digest=True)
        office.store.before_commit.append(lambda: office.put(a_binding("sip:rival@h", call_id="rival")))
        assert isinstance(office.ask(HERE, by_alice(office.challenge())), Accepted)
        assert [change.nonce_use is not None for change in office.store.changes] == [True, True]

    def test_after_an_outage_the_same_request_may_be_sent_again(self) -> None:
        office = Office(digest=True)
        challenge = office.challenge()
        office.store.before_commit.append(StoreUnavailable("out of order"))
        assert isinstance(office.ask(HERE, by_alice(challenge)), StoreUnavailable)
        assert isinstance(office.ask(HERE, by_alice(challenge)), Accepted)

    def test_an_old_client_without_counts_needs_a_nonce_for_each_request(self) -> None:
        office = Office(digest=True)
        old = an_authorization("alice", "secret", office.challenge(), qop=None, nc=None, cnonce=None)
        assert isinstance(office.ask(HERE, old), Accepted)
        assert is_stale(office.ask(HERE, old, cseq=3))

    def test_a_replay_is_no_rejected_registration(self) -> None:
        office = Office(digest=True)
        challenge = office.challenge()
        office.ask(HERE, by_alice(challenge))
        office.ask(HERE, by_alice(challenge), cseq=3)
        office.ask(by_alice(challenge), cseq=4)
        assert office.counted == (1, 0)


class TestStatistics:
    """Rule T-2: authentication that fails never counts."""

    def test_a_wrong_password_a_foreign_address_and_an_outage_before_admission_count_for_nothing(self) -> None:
        office = Office(digest=True)
        office.ask(HERE, an_authorization("alice", "Secret", office.challenge()))
        office.ask(HERE, by_alice(office.challenge()), to="<sip:bob@example.com>")
        office.credentials.failure = StoreUnavailable("out of order")
        office.ask(HERE, by_alice(office.challenge()))
        assert office.counted == (0, 0)
