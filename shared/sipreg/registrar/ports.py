"""What the registrar asks of the outside: a store of bindings and a source of credentials.

Both answer through a callback, not a coroutine: a REGISTER is planned and queued in the very callback that read its datagram, and
one task per message would cost as much as parsing it (ADR 0003). A callback is called exactly once, either before the call
returns or later from the event loop, and never raises back into the store.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol

import msgspec

from sipreg.errors import StoreUnavailable
from sipreg.registrar.model import Aor, Binding, Event, Snapshot


class NonceUse(msgspec.Struct, frozen=True, gc=False):
    """One use of a digest nonce; the store lets each count pass once (RFC 7616 §3.4, "nc")."""

    nonce: str
    count: int
    """The nonce count of this request, from 1."""
    lapses_at_ms: int
    """Unix time in milliseconds after which nobody accepts the nonce any more, so that its count may be forgotten."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """A change of one AoR, to be made whole or not at all."""

    aor: Aor
    etag: str
    """The state that it was planned on (`Snapshot.etag`)."""
    bindings: tuple[Binding, ...]
    """What shall be stored from now on; () removes the record."""
    events: tuple[Event, ...]
    nonce_use: NonceUse | None = None


class Verdict(Enum):
    """How the store answers where it has no snapshot to show."""

    COMMITTED = auto()
    """The change is stored, and its events are told."""
    REPLAYED = auto()
    """The nonce count was used before; nothing was changed or read."""


CommitOutcome = Verdict | Snapshot | StoreUnavailable
"""A Snapshot is what the store holds instead of the planned-on state; nothing was changed, so plan again on that."""

ReadOutcome = Snapshot | Verdict | StoreUnavailable
"""The present state (`ABSENT` if there is none), `Verdict.REPLAYED`, or the error."""


class BindingStore(Protocol):
    """Where bindings are kept. Every implementation passes `tests/contract/test_binding_store.py`."""

    def recall(self, aor: Aor) -> Snapshot:
        """Return what this node saw of the AoR last, `ABSENT` if it remembers nothing; at once, and perhaps out of date.

        Good for planning a change, which the commit then proves; never good for an answer.
        """

    def read(self, aor: Aor, done: Callable[[ReadOutcome], None], nonce_use: NonceUse | None = None) -> None:
        """Ask for the present state of the AoR; with ``nonce_use``, use up that count as well."""

    def commit(self, change: Change, done: Callable[[CommitOutcome], None]) -> None:
        """Replace the bindings of an AoR if its state is still the one that was planned on.

        The nonce count is checked first, and used up only by a change that is stored.
        """


class Credential(NamedTuple):
    """What a subscriber is known by; never a clear password (RFC 7616 §3.4.2)."""

    ha1: dict[str, str]
    """H(user ":" realm ":" password) in lower-case hex, by algorithm name (``MD5``, ``SHA-256``)."""
    aors: tuple[str, ...] = ()
    """AoRs, as ``user@host``, that it may register beside its own."""


CredentialOutcome = Credential | None | StoreUnavailable
"""None: there is no such subscriber."""


class Known(Enum):
    """What a node can say of a subscriber without asking anybody, beside a credential."""

    NOT = auto()
    """Nothing: the store must be asked."""


NOT_KNOWN: Final = Known.NOT
"""Named once, as the class of an enumeration takes its time on Python 3.11."""


class CredentialSource(Protocol):
    """Where credentials are looked up."""

    def recall(self, realm: str, user: str) -> Credential | Known | None:
        """Return one subscriber from a copy of bounded age, None if there is none; `NOT_KNOWN` where the store must be asked."""

    def credential(self, realm: str, user: str, done: Callable[[CredentialOutcome], None]) -> None:
        """Look up one subscriber, and ask the store where `recall` knows nothing."""
