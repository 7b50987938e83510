"""Several REGISTERs that are processed together, each as if it came alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipreg.errors import InternalFault, StoreUnavailable, Unauthorized
from sipreg.message.model import Request
from sipreg.registrar.model import Binding
from sipreg.registrar.registration import Arrival, Registration
from sipreg.registrar.service import Accepted, Answer, Outcome
from support.builders import CONTACT, a_register, an_arrival, an_authorization
from support.fake_store import Office

HERE = f"Contact: <{CONTACT}>;expires=600"


def answers_to(office: Office, *requests: Request) -> list[list[Outcome]]:
    """Return the answers that each request of a batch got."""
    answers: list[list[Outcome]] = [[] for _ in requests]
    office.registrar.register_batch(
        [(request, an_arrival(office.clock.now_ms()), answers[number].append) for number, request in enumerate(requests)]
    )
    return answers


class Deaf:
    """Counts its answers, and fails at each."""

    def __init__(self) -> None:
        self.answers = 0

    def __call__(self, outcome: Outcome) -> None:
        self.answers += 1
        raise ZeroDivisionError


class Faulty:
    """An extension with a fault that a certain request brings out, in one of its functions."""

    option_tags: frozenset[str] = frozenset()

    def __init__(self, function: str) -> None:
        self._function = function

    def inspect(self, request: Request, registration: Registration) -> Registration:
        self._meet("inspect", registration)
        return registration

    def contact_params(self, registration: Registration, binding: Binding) -> str:
        self._meet("contact_params", registration)
        return ""

    def reply_headers(self, request: Request, registration: Registration) -> str:
        self._meet("reply_headers", registration)
        return ""

    def _meet(self, function: str, registration: Registration) -> None:
        if function == self._function and registration.call_id == "unlucky":
            raise ZeroDivisionError(function)


class TestABatch:
    """RFC 3261 §10.3: REGISTERs are processed in the order in which they are received."""

    def test_of_one_address_each_sees_what_those_before_it_did(self) -> None:
        office = Office()
        batch = [a_register(HERE, cseq=2), a_register("Contact: <sip:b@h>", cseq=3), a_register("Contact: *", "Expires: 0", cseq=4)]
        outcomes = answers_to(office, *batch, a_register(cseq=5))
        assert [len(outcome.bindings) for (outcome,) in outcomes if isinstance(outcome, Accepted)] == [1, 2, 0, 0]
        assert office.counted == (4, 0)

    def test_one_that_is_refused_does_not_keep_the_others_from_theirs(self) -> None:
        outcomes = answers_to(Office(), a_register(HERE), a_register(HERE, uri="sip:example.org"), a_register("Contact: *"), a_register())
        assert [getattr(outcome, "status", 200) for (outcome,) in outcomes] == [200, 403, 400, 200]

    def test_one_whose_credentials_take_their_time_goes_on_by_itself(self) -> None:
        office = Office(digest=True)
        waiting = a_register(HERE, an_authorization("alice", "secret", office.challenge()))
        office.credentials.held.holding = True
        first, second = answers_to(office, waiting, a_register(HERE))
        assert (len(first), [type(outcome) for outcome in second]) == (0, [Unauthorized])
        office.credentials.held.release()
        assert [type(outcome) for outcome in first] == [Accepted]
        assert office.contacts() == [CONTACT]

    def test_a_nonce_count_passes_once_even_within_one_batch(self) -> None:
        office = Office(digest=True)
        authorization = an_authorization("alice", "secret", office.challenge())
        outcomes = answers_to(office, a_register(HERE, authorization), a_register(HERE, authorization, cseq=3))
        assert [type(outcome) for (outcome,) in outcomes] == [Accepted, Unauthorized]


class TestFaultsOfOurOwn:
    """Whatever fails that should not: its peer hears 500, and nobody else hears of it."""

    @pytest.mark.parametrize("function", ["inspect", "contact_params", "reply_headers"])
    def test_a_fault_of_an_extension_is_answered_and_the_others_of_the_batch_go_on(self, function: str) -> None:
        office = Office(hooks=(Faulty(function),))
        outcomes = answers_to(office, a_register(HERE), a_register(HERE, call_id="unlucky"), a_register(HERE, cseq=3))
        assert [type(outcome) for (outcome,) in outcomes] == [Accepted, InternalFault, Accepted]
        fault = outcomes[1][0]
        assert isinstance(fault, InternalFault)
        assert isinstance(fault.__cause__, ZeroDivisionError)
        assert (office.counted, len(office.registrar.turns)) == ((2, 1), 0)

    def test_so_is_one_of_a_request_whose_credentials_took_their_time(self) -> None:
        office = Office(digest=True, hooks=(Faulty("inspect"),))
        office.credentials.held.holding = True
        authorization = an_authorization("alice", "secret", office.challenge())
        (outcomes,) = answers_to(office, a_register(HERE, authorization, call_id="unlucky"))
        office.credentials.held.release()
        assert [type(outcome) for outcome in outcomes] == [InternalFault]

    @pytest.mark.parametrize("uri", ["sip:example.org", "sip:example.com"])
    def test_one_of_whoever_is_answered_is_told_when_all_the_others_have_theirs(self, uri: str) -> None:
        office, deaf = Office(), Deaf()
        answers: list[Outcome] = []
        arrival = an_arrival(office.clock.now_ms())
        batch: list[tuple[Request, Arrival, Answer]] = [
            (a_register(HERE, uri=uri), arrival, deaf),
            (a_register(HERE, cseq=3), arrival, answers.append),
        ]
        with pytest.raises(ZeroDivisionError):
            office.registrar.register_batch(batch)
        assert (deaf.answers, [type(answer) for answer in answers]) == (1, [Accepted])
        assert len(office.registrar.turns) == 0

    def test_one_of_several_who_wait_for_the_same_address_keeps_none_of_them_from_its_turn(self) -> None:
        office, deaf = Office(), Deaf()
        office.store.held.holding = True
        arrival = an_arrival(office.clock.now_ms())
        office.registrar.register_batch([(a_register(HERE, cseq=cseq), arrival, deaf) for cseq in range(2, 6)])
        office.store.held.holding = False
        with pytest.raises(ZeroDivisionError):
            office.store.held.release()
        assert (deaf.answers, len(office.registrar.turns)) == (4, 0)

    def test_an_outage_that_is_told_late_is_told_once(self) -> None:
        office = Office(digest=True)
        office.credentials.held.holding = True
        office.credentials.failure = StoreUnavailable("out of order")
        (outcomes,) = answers_to(office, a_register(HERE, an_authorization("alice", "secret", office.challenge())))
        office.credentials.held.release()
        assert outcomes == [office.credentials.failure]
        assert office.store.calls == []


REGISTERS = st.builds(
    a_register,
    st.sampled_from(["Contact: <sip:a@h>", "Contact: <sip:b@h>;expires=0", "Contact: <sip:b@h>", "Contact: <sip:x y@h>", "Expires: 0"]),
    to=st.sampled_from(["<sip:alice@example.com>", "<sip:bob@example.com>", "<sip:bob@example.org>"]),
    call_id=st.sampled_from(["call-1", "call-2"]),
    cseq=st.integers(1, 3),
)


@given(st.lists(REGISTERS, max_size=8))
def test_a_batch_has_the_outcomes_that_its_requests_have_one_by_one(requests: list[Request]) -> None:
    together = [outcome for (outcome,) in answers_to(Office(), *requests)]
    office = Office()
    one_by_one = [office.ask_by(request) for request in requests]
    for one, other in zip(together, one_by_one, strict=True):
        assert type(one) is type(other)
        assert one == other or str(one) == str(other)
