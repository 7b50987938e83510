"""What a REGISTER makes of an AoR: (registration, snapshot, parameters) to a plan or a refusal; all or nothing (RFC 3261 §10.3)."""

from __future__ import annotations

from collections.abc import Sequence

from sipreg.errors import OutOfOrder, TooManyContacts
from sipreg.registrar.expiry import granted_expires
from sipreg.registrar.matching import NONE, find_binding
from sipreg.registrar.model import Aor, Binding, Event, Plan, Snapshot, order_key
from sipreg.registrar.parameters import Parameters
from sipreg.registrar.registration import Registration, WantedContact

AOR_INSERT = "E_UL_AOR_INSERT"
AOR_DELETE = "E_UL_AOR_DELETE"
CONTACT_INSERT = "E_UL_CONTACT_INSERT"
CONTACT_UPDATE = "E_UL_CONTACT_UPDATE"
CONTACT_DELETE = "E_UL_CONTACT_DELETE"


def plan_registration(registration: Registration, snapshot: Snapshot, parameters: Parameters) -> Plan:
    """Return what the AoR becomes by this REGISTER.

    Nothing is taken over from a contact of the request before all of them have passed.

    Raises:
        BadMessage: a contact is no URI.
        IntervalTooBrief: an interval is below the least, where that is refused.
        OutOfOrder: a REGISTER of the same Call-ID with a higher CSeq came before.
        TooManyContacts: the AoR would have more bindings than it may.
    """
    now_ms = registration.arrival.now_ms
    live = snapshot.live(now_ms)
    if registration.star:
        return _plan_star(registration, snapshot, live)
    contacts = registration.contacts
    if not contacts:
        return Plan(live, (), False)
    if len(contacts) == 1 and len(live) == 1 and live is snapshot.bindings and contacts[0].uri == live[0].contact:
        plan = _plan_usual(registration, contacts[0], live[0], parameters)
        if plan is not None:
            return plan
    draft = _Draft(registration, snapshot, live, parameters)
    for wanted in registration.contacts:
        draft.take(wanted)
    return draft.plan()


def _plan_usual(registration: Registration, wanted: WantedContact, binding: Binding, parameters: Parameters) -> Plan | None:
    """Plan the steady state, in which a device refreshes the only binding of its AoR; None where it is not as simple as that.

    What comes out is what `_Draft` would make of it, in a third of the time, and nearly every REGISTER is such a one.
    """
    if (registration.matching or parameters.matching).call_id:
        return None
    if registration.call_id == binding.call_id and registration.cseq <= binding.cseq:
        return None
    seconds = granted_expires(wanted.requested, parameters)
    if not seconds:
        return None
    after = _binding(wanted, seconds, registration)
    return Plan((after,), (Event(CONTACT_UPDATE, registration.aor, after),), True)


def plan_removal(aor: Aor, snapshot: Snapshot, contact: str | None, now_ms: int) -> Plan:
    """Return what the AoR becomes when an operator removes one contact, or all of them with None (rules D-2, D-3).

    The contact is compared byte for byte with the stored one. Where nothing matches, nothing changes (rule D-6).
    """
    live = snapshot.live(now_ms)
    kept = () if contact is None else tuple(binding for binding in live if binding.contact != contact)
    if len(kept) == len(live):
        return Plan(live, (), False)
    gone = [binding for binding in snapshot.bindings if binding not in kept]
    return Plan(kept, _events(aor, snapshot, gone, (), kept), True)


def _plan_star(registration: Registration, snapshot: Snapshot, live: tuple[Binding, ...]) -> Plan:
    """Remove all bindings, unless one of them was made by a later request of this very Call-ID (§10.3 step 6)."""
    if not live:
        return Plan((), (), False)
    for binding in live:
        if binding.call_id == registration.call_id and registration.cseq <= binding.cseq:
            raise OutOfOrder("Invalid CSeq number")
    return Plan((), _events(registration.aor, snapshot, snapshot.bindings, (), ()), True)


class _Draft:
    """The bindings as they would be, contact by contact, until all have passed."""

    __slots__ = ("_bindings", "_gone", "_parameters", "_registration", "_snapshot", "_was")

    def __init__(self, registration: Registration, snapshot: Snapshot, live: tuple[Binding, ...], parameters: Parameters) -> None:
        self._registration = registration
        self._snapshot = snapshot
        self._parameters = parameters
        self._bindings = list(live)
        self._was: list[Binding | None] = [*live]
        """By binding: what it was before this request, None where there was none."""
        # What lapsed is dropped by the next change, which so becomes the one that tells of it.
        self._gone = [] if live is snapshot.bindings else [b for b in snapshot.bindings if b not in live]

    def take(self, wanted: WantedContact) -> None:
        """Insert, refresh or remove one contact (rule S-17)."""
        registration = self._registration
        seconds = granted_expires(wanted.requested, self._parameters)
        matching = registration.matching or self._parameters.matching
        index = find_binding(self._bindings, wanted.uri, registration.call_id, matching)
        if index == NONE:
            if seconds:
                self._bindings.append(_binding(wanted, seconds, registration))
                self._was.append(None)
            return
        binding = self._bindings[index]
        # A contact that comes twice in one request: the later one counts (rule S-20), so it is not held against the earlier.
        if binding is self._was[index] and not self._in_order(binding, removal=not seconds):
            return
        if seconds:
            self._bindings[index] = _binding(wanted, seconds, registration)
        else:
            self._remove(index)

    def _in_order(self, binding: Binding, *, removal: bool) -> bool:
        """Whether this request comes after the one that the binding was made by; False if it is that one again (rule S-54)."""
        registration = self._registration
        if registration.cseq > binding.cseq or registration.call_id != binding.call_id:
            return True
        if registration.cseq == binding.cseq:
            if self._parameters.allow_dup_cseq:
                return True
            # What made a binding cannot come again as its removal: such a request is no retransmission (rule S-55, corrected).
            if not removal and registration.arrival.now_ms - binding.modified_at_ms < self._parameters.cseq_delay * 1000:
                return False
        raise OutOfOrder("Invalid CSeq number")

    def _remove(self, index: int) -> None:
        del self._bindings[index]
        was = self._was.pop(index)
        # What goes is told as it was stored: a refresh by this very request may have spelt it anew.
        if was is not None:
            self._gone.append(was)

    def plan(self) -> Plan:
        """Return the plan, once the limit has been looked at (rules S-40 to S-47)."""
        put = self._put()
        if not put and not self._removed():
            return Plan(tuple(self._bindings), (), False)
        limit = self._parameters.max_contacts
        if limit and put and len(self._bindings) > limit:
            self._make_room(limit)
            put = self._put()
        bindings = self._bindings if len(self._bindings) == 1 else sorted(self._bindings, key=order_key)
        after = tuple(bindings)
        return Plan(after, _events(self._registration.aor, self._snapshot, self._gone, tuple(put), after), True)

    def _put(self) -> list[Event]:
        """Return the events of what this request inserts and refreshes."""
        aor = self._registration.aor
        return [
            Event(CONTACT_INSERT if was is None else CONTACT_UPDATE, aor, binding)
            for was, binding in zip(self._was, self._bindings, strict=True)
            if binding is not was
        ]

    def _removed(self) -> bool:
        """Whether a binding that still lived was removed."""
        now_ms = self._registration.arrival.now_ms
        return any(binding.expires_at_ms > now_ms for binding in self._gone)

    def _make_room(self, limit: int) -> None:
        """Remove the least recently refreshed bindings, or refuse (rule S-44, corrected)."""
        parameters = self._parameters
        if not parameters.force_registration:
            headers = (("Retry-After", str(parameters.retry_after)),) if parameters.retry_after else ()
            raise TooManyContacts("Too many registered contacts", headers)
        while len(self._bindings) > limit:
            # Those of this request are the youngest; among them the first of the message goes first.
            ages = [(binding is not was, binding.modified_at_ms) for was, binding in zip(self._was, self._bindings, strict=True)]
            self._remove(ages.index(min(ages)))


def _binding(wanted: WantedContact, seconds: int, registration: Registration) -> Binding:
    """Return the binding that a contact of a REGISTER makes; a refresh overwrites all of the old one (rule S-34).

    The contact is kept as it is spelt now: a request goes to what the device calls itself today.
    """
    arrival = registration.arrival
    # By position, in the order of the fields: by name it would take twice as long, and this is done for every REGISTER.
    return Binding(
        wanted.uri,
        arrival.now_ms + seconds * 1000,  # expires_at_ms
        arrival.now_ms,  # modified_at_ms
        registration.call_id,
        registration.cseq,
        wanted.q,
        registration.user_agent,
        wanted.methods,
        wanted.instance,
        wanted.reg_id,
        registration.received,
        registration.path,
        arrival.socket,
        registration.attr,
        registration.tag,
        arrival.edge if arrival.flow else "",
        arrival.flow,
        registration.flags,
    )


def _events(aor: Aor, before: Snapshot, gone: Sequence[Binding], put: tuple[Event, ...], after: tuple[Binding, ...]) -> tuple[Event, ...]:
    """Return the events of a change in their order (rule EV-5): the AoR comes first when it is new, and last when it ends."""
    if before.bindings and after and not gone:
        return put
    events = [Event(AOR_INSERT, aor)] if after and not before.bindings else []
    events.extend(Event(CONTACT_DELETE, aor, binding) for binding in gone)
    events.extend(put)
    if before.bindings and not after:
        events.append(Event(AOR_DELETE, aor))
    return tuple(events)
