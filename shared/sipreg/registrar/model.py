"""What a registrar keeps: bindings of an address-of-record, and a change to them.

These values are `msgspec.Struct`s and named tuples where the house has frozen dataclasses elsewhere: they are made, written and
read for every REGISTER, and cost a quarter there (ADR 0002). They are as frozen as any.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

Q_UNSET = -1
"""The q of a contact that names none; it ranks below q=0 (rule S-25)."""

ALL_METHODS = 0xFFFFFFFF
"""The method bits of a contact that does not say what it allows: everything (rule S-28)."""


class Aor(NamedTuple):
    """An address-of-record in its canonical form (RFC 3261 §10.3 step 5, rules A), in one of the separate location tables."""

    table: str
    """The store that the specification's functions name in their first argument, such as ``location``."""

    text: str
    """``user@host``, or ``user`` alone where domains play no part (rule A-6)."""


class Binding(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One contact at which an AoR can be reached, for a time (RFC 3261 §10)."""

    contact: str
    """The Contact URI as received; a request is sent to it byte for byte."""

    expires_at_ms: int
    """Unix time in milliseconds at which the binding lapses; at that very instant it is gone."""

    modified_at_ms: int
    """Unix time in milliseconds of the REGISTER that made or refreshed it last (rule S-32)."""

    call_id: str
    cseq: int
    """Call-ID and CSeq number of that REGISTER: they order what comes next (§10.3 step 7)."""

    q: int = Q_UNSET
    """Preference in thousandths, 0 to 1000, or `Q_UNSET` (rule S-25)."""

    user_agent: str = ""
    """User-Agent of the REGISTER, "" where it named none (rule S-27)."""

    methods: int = ALL_METHODS
    """What the contact allows, as the bits of rule S-28."""

    instance: str = ""
    """``+sip.instance`` with its angle brackets, without its quotes (rule S-29)."""

    reg_id: int = 0
    """``reg-id`` of RFC 5626 §4.2, 0 where there was none."""

    received: str = ""
    """URI of the address that the REGISTER came from, where it differs from the contact (rules N-1, N-2)."""

    path: str = ""
    """The Path of the REGISTER, its values joined by commas (RFC 3327, rule N-4)."""

    socket: str = ""
    """The local socket that took the REGISTER, as ``transport:host:port`` (rule S-30)."""

    attr: str = ""
    """Free text that is handed back at lookup (rule S-33)."""

    tag: str = ""
    """Ownership tag (rule C-20)."""

    edge: str = ""
    flow: str = ""
    """Node and connection over which the device can be reached, where only those reach it."""

    flags: int = 0
    """Internal flags of rule S-31: 1 memory only, 2 remote AoR, 4 push enabled."""


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """All that the store holds of one AoR at one moment."""

    etag: str
    """Names this state among all that the AoR ever had; "" where there is none."""

    bindings: tuple[Binding, ...]
    """In the order of `order_key`. Some may have lapsed: whoever reads it drops those (`live`)."""

    def live(self, now_ms: int) -> tuple[Binding, ...]:
        """Return the bindings that have not lapsed at ``now_ms``."""
        for binding in self.bindings:
            if binding.expires_at_ms <= now_ms:
                return tuple(b for b in self.bindings if b.expires_at_ms > now_ms)
        return self.bindings


ABSENT = Snapshot("", ())
"""The state of an AoR that nothing is stored of."""


def order_key(binding: Binding) -> tuple[int, int]:
    """Sort key for the order in which contacts are listed and tried: q, then the most recent first (rule U-6, corrected)."""
    return (-binding.q, -binding.modified_at_ms)


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened to an AoR, for pub/sub and for the log (rules EV)."""

    name: str
    """One of the specification's names, such as ``E_UL_CONTACT_INSERT``."""

    aor: Aor

    binding: Binding | None = None
    """The contact that it is about; None for the events of a whole AoR."""


class Plan(msgspec.Struct, frozen=True, gc=False):
    """What a request makes of an AoR: the whole new set of bindings, not a list of edits."""

    bindings: tuple[Binding, ...]
    """All live bindings afterwards, in order; () removes the record."""

    events: tuple[Event, ...]
    """What is to be told once the change is stored; in the order in which it happened."""

    changed: bool
    """False where nothing is to be written: a query, or the removal of what was not there."""
