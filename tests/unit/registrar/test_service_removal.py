"""Bindings that an operator removes."""

from __future__ import annotations

import pytest

from sipreg.errors import SipregError, StoreUnavailable
from sipreg.registrar.model import ABSENT, Aor, Plan
from support.builders import AOR, CONTACT, a_binding
from support.fake_store import Office

OUTAGE = StoreUnavailable("out of order")


class TestRemovalByAnOperator:
    """Rules D-2, D-3, D-6 and T-5."""

    def remove(self, office: Office, contact: str | None, aor: Aor = AOR) -> Plan | SipregError:
        outcomes: list[Plan | SipregError] = []
        office.registrar.remove(aor, contact, office.clock.now_ms(), outcomes.append)
        (outcome,) = outcomes
        return outcome

    def test_one_contact_goes_or_all(self) -> None:
        office = Office()
        office.put(a_binding("sip:a@h"), a_binding("sip:b@h"))
        outcome = self.remove(office, "sip:a@h")
        assert isinstance(outcome, Plan)
        assert outcome.bindings == (a_binding("sip:b@h"),)
        assert office.contacts() == ["sip:b@h"]
        self.remove(office, None)
        assert office.stored() == ABSENT
        assert office.counted == (0, 0)

    def test_it_reads_first_because_what_is_remembered_may_be_old(self) -> None:
        office = Office()
        office.put(a_binding())
        office.store.remembered = ABSENT
        self.remove(office, None)
        assert office.store.calls == ["read", "commit"]
        assert office.contacts() == []

    def test_where_nothing_matches_nothing_changes(self) -> None:
        office = Office()
        assert self.remove(office, None) == Plan((), (), False)
        assert office.store.calls == ["read"]

    def test_a_conflict_is_planned_again(self) -> None:
        office = Office()
        office.put(a_binding("sip:a@h"))
        office.store.before_commit.append(lambda: office.put(a_binding("sip:a@h"), a_binding("sip:rival@h")))
        self.remove(office, "sip:a@h")
        assert office.contacts() == ["sip:rival@h"]

    @pytest.mark.parametrize("where", ["before_read", "before_commit"])
    def test_a_store_that_cannot_be_asked_has_changed_nothing(self, where: str) -> None:
        office = Office()
        office.put(a_binding())
        getattr(office.store, where).append(OUTAGE)
        assert self.remove(office, None) is OUTAGE
        assert office.contacts() == [CONTACT]
