"""What holds of every plan, whatever is stored and whatever is asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sipreg.errors import IntervalTooBrief, RequestRefused
from sipreg.message.contact import parse_contacts
from sipreg.registrar.expiry import granted_expires
from sipreg.registrar.matching import NONE, find_binding
from sipreg.registrar.model import Binding, Plan, Snapshot, order_key
from sipreg.registrar.parameters import Matching, Parameters, TooBrief
from sipreg.registrar.plan import (
    AOR_DELETE,
    AOR_INSERT,
    CONTACT_DELETE,
    CONTACT_INSERT,
    CONTACT_UPDATE,
    _Draft,
    _plan_usual,
    plan_registration,
)
from sipreg.registrar.registration import Registration
from sipreg.registrar.reply import contact_header
from support.builders import AOR, NOW_MS, a_binding, a_contact, a_registration, a_snapshot

#: Several spellings of few contacts, some with a parameter to match by. Among these, equality is transitive (§19.1.4 does not promise it).
URIS = st.sampled_from(
    [
        "sip:a@h",
        "sip:a@H",
        "sip:%61@h",
        "sip:b@h",
        "sip:c@h;rinstance=1",
        "sip:C@h;rinstance=1",
        "sip:d@h;rinstance=2",
        "sip:d@h;rinstance=3;transport=tcp",
    ]
)
CALL_IDS = st.sampled_from(["call-1", "call-2"])
CSEQS = st.integers(1, 4)
QS = st.sampled_from([-1, 0, 500, 1000])

PARAMETERS = st.builds(
    Parameters,
    matching=st.sampled_from([Matching(), Matching(call_id=True), Matching(param="rinstance")]),
    allow_dup_cseq=st.booleans(),
    max_contacts=st.integers(0, 3),
    force_registration=st.booleans(),
    min_expires=st.sampled_from([0, 60]),
    max_expires=st.sampled_from([0, 600]),
    too_brief=st.sampled_from(TooBrief),
)
CONTACTS = st.builds(a_contact, URIS, st.sampled_from([None, 0, 10, 300, 9000]), q=QS)
BINDINGS = st.builds(
    a_binding,
    URIS,
    q=QS,
    call_id=CALL_IDS,
    cseq=CSEQS,
    modified_at_ms=st.integers(NOW_MS - 40_000, NOW_MS),
    expires_at_ms=st.sampled_from([NOW_MS - 1000, NOW_MS, NOW_MS + 1, NOW_MS + 60_000]),
)


@st.composite
def snapshots(draw: st.DrawFn, matching: Matching, largest: int = 4) -> Snapshot:
    """What a store may hold: no two bindings that the same contact would mean."""
    kept: list[Binding] = []
    for binding in draw(st.lists(BINDINGS, max_size=largest)):
        if find_binding(kept, binding.contact, binding.call_id, matching) == NONE:
            kept.append(binding)
    return a_snapshot(*kept)


REGISTRATIONS = st.builds(
    lambda contacts, call_id, cseq, star: a_registration(*([] if star else contacts), call_id=call_id, cseq=cseq, star=star),
    st.lists(CONTACTS, max_size=4),
    CALL_IDS,
    CSEQS,
    st.sampled_from([False] * 6 + [True]),
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Registration, Snapshot, Parameters]:
    parameters = draw(PARAMETERS)
    return draw(REGISTRATIONS), draw(snapshots(parameters.matching)), parameters


CASES = cases()


def outcome_of(registration: Registration, snapshot: Snapshot, parameters: Parameters) -> Plan | tuple[type[RequestRefused], str]:
    try:
        return plan_registration(registration, snapshot, parameters)
    except RequestRefused as refused:
        return type(refused), refused.reason


def plan_of(registration: Registration, snapshot: Snapshot, parameters: Parameters) -> Plan:
    """Return the plan; a case that is refused is none for the property."""
    outcome = outcome_of(registration, snapshot, parameters)
    assume(isinstance(outcome, Plan))
    assert isinstance(outcome, Plan)
    return outcome


@given(CASES)
def test_the_same_request_on_the_same_state_has_one_outcome_and_leaves_the_state_alone(
    case: tuple[Registration, Snapshot, Parameters],
) -> None:
    registration, snapshot, parameters = case
    before = snapshot.bindings
    assert outcome_of(registration, snapshot, parameters) == outcome_of(registration, snapshot, parameters)
    assert snapshot.bindings is before


@given(CASES)
def test_bindings_are_in_their_order_and_live_and_no_two_are_meant_by_one_contact(case: tuple[Registration, Snapshot, Parameters]) -> None:
    plan = plan_of(*case)
    matching = case[2].matching
    assert list(plan.bindings) == sorted(plan.bindings, key=order_key)
    assert all(binding.expires_at_ms > NOW_MS for binding in plan.bindings)
    for index, binding in enumerate(plan.bindings):
        others = plan.bindings[:index] + plan.bindings[index + 1 :]
        assert find_binding(others, binding.contact, binding.call_id, matching) == NONE


@given(CASES)
def test_what_is_put_never_makes_more_bindings_than_there_may_be(case: tuple[Registration, Snapshot, Parameters]) -> None:
    plan = plan_of(*case)
    limit = case[2].max_contacts
    if limit and any(event.name in (CONTACT_INSERT, CONTACT_UPDATE) for event in plan.events):
        assert len(plan.bindings) <= limit
    else:
        assert len(plan.bindings) <= max(len(case[1].bindings), limit or 32)


@given(CASES)
def test_a_change_is_told_and_nothing_else_is(case: tuple[Registration, Snapshot, Parameters]) -> None:
    plan = plan_of(*case)
    live = case[1].live(NOW_MS)
    assert plan.changed == bool(plan.events)
    assert plan.changed or plan.bindings == live
    names = [event.name for event in plan.events]
    assert AOR_INSERT not in names[1:]
    assert AOR_DELETE not in names[:-1]
    assert (AOR_INSERT in names) == (plan.changed and not case[1].bindings)
    assert (AOR_DELETE in names) == (plan.changed and not plan.bindings)


@given(CASES)
def test_whoever_replays_the_events_on_the_old_bindings_gets_the_new_ones(case: tuple[Registration, Snapshot, Parameters]) -> None:
    plan = plan_of(*case)
    assume(plan.changed)
    replayed = list(case[1].bindings)
    for event in plan.events:
        binding = event.binding
        if binding is None:
            assert not replayed, "an address begins and ends without contacts"
        elif event.name == CONTACT_DELETE:
            replayed.remove(binding)
        else:
            index = find_binding(replayed, binding.contact, binding.call_id, case[2].matching)
            assert (index == NONE) == (event.name == CONTACT_INSERT)
            if index != NONE:
                del replayed[index]
            replayed.append(binding)
    assert sorted(replayed, key=repr) == sorted(plan.bindings, key=repr)


@given(CASES)
def test_no_contact_is_told_twice(case: tuple[Registration, Snapshot, Parameters]) -> None:
    events = [(event.name, event.binding) for event in plan_of(*case).events]
    assert len(set(map(repr, events))) == len(events)


@given(CASES)
def test_no_contact_is_listed_for_longer_than_it_was_granted(case: tuple[Registration, Snapshot, Parameters]) -> None:
    registration, _, parameters = case
    plan = plan_of(*case)
    line = contact_header(plan.bindings, NOW_MS, "received")
    contacts = parse_contacts([line.removeprefix("Contact: ").strip()] if line else [])
    assert isinstance(contacts, tuple)
    for contact, binding in zip(contacts, plan.bindings, strict=True):
        if binding in case[1].bindings:
            most = (binding.expires_at_ms - NOW_MS + 999) // 1000
        else:
            (*_, last) = (wanted for wanted in registration.contacts if wanted.uri == binding.contact)
            most = granted_expires(last.requested, parameters)
        assert contact.uri == binding.contact
        assert 1 <= int(contact.params["expires"]) <= most


@given(st.data())
def test_the_short_cut_for_the_usual_refresh_gives_what_the_long_way_gives(data: st.DataObject) -> None:
    parameters = data.draw(PARAMETERS)
    binding = data.draw(st.builds(a_binding, URIS, q=QS, call_id=CALL_IDS, cseq=CSEQS))
    wanted = data.draw(st.builds(a_contact, st.just(binding.contact), st.sampled_from([None, 0, 1, 59, 60, 300, 9000]), q=QS))
    snapshot = a_snapshot(binding)
    registration = a_registration(
        wanted,
        call_id=data.draw(CALL_IDS),
        cseq=data.draw(CSEQS),
        matching=data.draw(st.sampled_from([None, Matching(), Matching(call_id=True)])),
    )

    def by_the_long_way() -> Plan:
        draft = _Draft(registration, snapshot, snapshot.bindings, parameters)
        draft.take(wanted)
        return draft.plan()

    usual = plan_or_refusal(lambda: _plan_usual(registration, wanted, binding, parameters))
    assume(usual is not None)
    assert usual == plan_or_refusal(by_the_long_way) == plan_or_refusal(lambda: plan_registration(registration, snapshot, parameters))


def plan_or_refusal(planned: Callable[[], Plan | None]) -> Plan | tuple[type[RequestRefused], str] | None:
    """Return what comes of planning; a refusal as what the peer would hear."""
    try:
        return planned()
    except RequestRefused as refused:
        return type(refused), refused.reason


class TestTheShortCutIsTaken:
    """It would be worth nothing if the usual refresh went the long way."""

    def test_by_a_refresh_under_parameters_as_settings_make_them(self) -> None:
        (binding,) = a_snapshot(a_binding()).bindings
        parameters = Parameters(matching=Matching(call_id=False, param=""))
        registration = a_registration(a_contact())
        assert _plan_usual(registration, registration.contacts[0], binding, parameters) is not None

    def test_by_one_of_another_call_id_as_well(self) -> None:
        registration = a_registration(a_contact(), call_id="call-2", cseq=1)
        assert _plan_usual(registration, registration.contacts[0], a_binding(cseq=9), Parameters()) is not None

    def test_an_interval_below_the_least_is_raised_or_refused_there_as_anywhere(self) -> None:
        wanted = a_contact(requested=59)
        registration = a_registration(wanted)
        plan = _plan_usual(registration, wanted, a_binding(), Parameters())
        assert plan is not None
        assert plan.bindings[0].expires_at_ms == NOW_MS + 60_000
        with pytest.raises(IntervalTooBrief):
            _plan_usual(registration, wanted, a_binding(), Parameters(too_brief=TooBrief.REFUSE))

    def test_not_where_anything_is_to_be_decided(self) -> None:
        for wanted, fields in ((a_contact(requested=0), {}), (a_contact(), {"cseq": 1})):
            registration = a_registration(wanted, aor=AOR, **fields)
            assert _plan_usual(registration, wanted, a_binding(), Parameters()) is None
