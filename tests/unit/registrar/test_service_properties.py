"""What holds of any sequence of REGISTERs for one address."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from sipreg.message.contact import Contact, parse_contacts
from sipreg.registrar.parameters import Matching, Parameters
from sipreg.registrar.service import Accepted
from support.builders import a_register
from support.fake_store import Office

#: No two of these are equal by §19.1.4 but the first two.
CONTACTS = ["<sip:a@h>", "<sip:a@H>", "<sip:b@h>", "<sip:c@h;rinstance=1>", "<sip:d@h;rinstance=1>", "<sip:x y@h>"]


class Step(NamedTuple):
    """One REGISTER, so many seconds after the one before."""

    seconds: int
    headers: tuple[str, ...]
    call_id: str
    cseq: int
    rival: bool
    """Whether somebody else registers at the moment at which it is committed."""


CONTACT_VALUES = st.builds(
    "{}{}{}".format,
    st.sampled_from(CONTACTS),
    st.sampled_from(["", ";q=0.5"]),
    st.sampled_from(["", ";expires=0", ";expires=60", ";expires=120"]),
)
HEADERS = st.one_of(
    st.just(("Contact: *", "Expires: 0")),
    st.just(("Contact: *",)),
    st.lists(CONTACT_VALUES.map("Contact: {}".format), max_size=3).map(tuple),
    st.lists(CONTACT_VALUES.map("Contact: {}".format), max_size=3).map(tuple),
)
CALL_IDS = st.sampled_from(["call-1", "call-2"])
STEPS = st.lists(st.builds(Step, st.sampled_from([0, 1, 30, 60]), HEADERS, CALL_IDS, st.integers(1, 4), st.booleans()), max_size=8)
PARAMETERS = st.builds(
    Parameters,
    default_expires=st.just(90),
    matching=st.sampled_from([Matching(), Matching(call_id=True), Matching(param="rinstance")]),
    allow_dup_cseq=st.booleans(),
    max_contacts=st.integers(0, 3),
    force_registration=st.booleans(),
)


def listed(outcome: Accepted) -> list[tuple[str, int]]:
    """Return (contact, expires) as the device reads them."""
    lines = [line for line in outcome.headers.split("\r\n") if line.startswith("Contact: ")]
    contacts = parse_contacts([line.removeprefix("Contact: ") for line in lines])
    return [(contact.uri, int(contact.params["expires"])) for contact in contacts if isinstance(contact, Contact)]


@given(PARAMETERS, STEPS)
def test_every_200_lists_what_is_stored_and_every_refusal_has_changed_nothing(parameters: Parameters, steps: list[Step]) -> None:
    office = Office(parameters=parameters)
    for step in steps:
        office.clock.advance(step.seconds)
        now_ms = office.clock.now_ms()
        before = office.stored()
        outcome = office.ask_by(a_register(*step.headers, call_id=step.call_id, cseq=step.cseq))
        after = office.stored()
        if isinstance(outcome, Accepted):
            assert outcome.bindings == after.live(now_ms)
            assert listed(outcome) == [(binding.contact, (binding.expires_at_ms - now_ms) // 1000) for binding in outcome.bindings]
        else:
            assert after == before
    assert sum(office.counted) == len(steps)


@given(PARAMETERS, STEPS)
def test_whoever_is_faster_in_between_the_answer_is_still_true(parameters: Parameters, steps: list[Step]) -> None:
    office = Office(parameters=parameters)
    rival = Office(parameters=parameters)
    rival.store.inner, rival.clock = office.store.inner, office.clock
    for number, step in enumerate(steps):
        office.clock.advance(step.seconds)
        request = a_register("Contact: <sip:b@h>;expires=60", call_id="rival", cseq=number + 1)
        office.store.before_commit.clear()
        if step.rival:
            office.store.before_commit.append(partial(rival.send, request))
        outcome = office.ask_by(a_register(*step.headers, call_id=step.call_id, cseq=step.cseq))
        if isinstance(outcome, Accepted):
            assert outcome.bindings == office.stored().live(office.clock.now_ms())
    assert len(office.answers) == len(steps)
