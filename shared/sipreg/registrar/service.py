"""The registrar: a REGISTER is admitted, planned and committed, and planned again if somebody else was faster.

It never waits: the store and the credentials answer through callbacks (see `ports`), and so does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import msgspec

from sipreg.errors import Forbidden, InternalFault, RequestRefused, SipregError, StoreUnavailable, Unauthorized
from sipreg.message.auth import AuthParams, parse_digest
from sipreg.message.model import Request
from sipreg.registrar.access import Domains, may_register
from sipreg.registrar.aor import aor_uri, canonical_aor
from sipreg.registrar.changing import Changing, Turns
from sipreg.registrar.digest import Digest, digest_matches, digest_params_for
from sipreg.registrar.hooks import SaveHook
from sipreg.registrar.model import Aor, Binding, Plan, Snapshot
from sipreg.registrar.parameters import Parameters
from sipreg.registrar.plan import plan_registration, plan_removal
from sipreg.registrar.ports import BindingStore, CredentialOutcome, CredentialSource, Known
from sipreg.registrar.registration import Arrival, Registration, read_registration
from sipreg.registrar.reply import contact_header, date_header


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A REGISTER that is answered 200."""

    bindings: tuple[Binding, ...]
    """What is stored now."""
    headers: str
    """Header lines of the answer, each with its end."""


NO_AOR: Final = Aor("", "")
"""Stands for the AoR of a REGISTER until that is known."""

Outcome = Accepted | SipregError
Answer = Callable[[Outcome], None]


@dataclass(slots=True)
class Statistics:
    """The counters of the specification (rules T-1, T-2)."""

    accepted_regs: int = 0
    """REGISTERs that were answered 200."""
    rejected_regs: int = 0
    """REGISTERs that were admitted and then refused; authentication that fails does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrarParts:
    """What a registrar is made of."""

    store: BindingStore
    credentials: CredentialSource
    digest: Digest | None
    """None: whoever asks is believed."""
    domains: Domains
    parameters: Parameters
    table: str = "location"
    hooks: tuple[SaveHook, ...] = ()


class Registrar:
    """REGISTER requests to outcomes (RFC 3261 §10.3)."""

    __slots__ = (
        "_checked_uris",
        "credentials",
        "digest",
        "domains",
        "hooks",
        "option_tags",
        "parameters",
        "statistics",
        "store",
        "table",
        "turns",
    )

    def __init__(self, parts: RegistrarParts) -> None:
        self.store = parts.store
        self.parameters = parts.parameters
        self.hooks = parts.hooks
        self.table = parts.table
        self.statistics = Statistics()
        self.credentials = parts.credentials
        self.digest = parts.digest
        self.domains = parts.domains
        self.option_tags = frozenset(tag for hook in parts.hooks for tag in hook.option_tags)
        self._checked_uris: set[str] = set()
        self.turns = Turns()

    def register(self, request: Request, arrival: Arrival, answer: Answer) -> None:
        """Process a REGISTER; ``answer`` is called once, now or later."""
        self.register_batch([(request, arrival, answer)])

    def register_batch(self, batch: Sequence[tuple[Request, Arrival, Answer]]) -> None:
        """Process several REGISTERs, each as if it came alone, in order of arrival.

        They go through each step together: the code of one step fits the processor's caches, that of the whole way does not,
        and a REGISTER costs a third less so (ADR 0003).
        """
        registering = [_Registering(self, request, arrival, answer) for request, arrival, answer in batch]
        untold: Exception | None = None
        for step in (_Registering.admit, _Registering.authenticate, _Registering.read, _Registering.save):
            for each in registering:
                try:
                    step(each)
                except Exception as fault:  # noqa: BLE001 (whatever it is, its peer is answered, and the others of the batch go on)
                    untold = each.fail(fault) or untold
        if untold is not None:
            raise untold

    def remove(self, aor: Aor, contact: str | None, now_ms: int, done: Callable[[Plan | SipregError], None]) -> None:
        """Remove one contact of an AoR, or all with None (rules D); ``done`` gets the plan that was stored, or the error."""
        _Removing(self, aor, contact, now_ms, done).begin()

    def check_request(self, request: Request) -> None:
        """Check what does not depend on who asks: the domain that the request is addressed to.

        Raises:
            RequestRefused: it is none of ours.
        """
        if request.uri_text not in self._checked_uris:
            self.domains.check_request_uri(request.uri)
            # One that is longer than any usual one is checked each time: a thousand of them would take up all memory.
            if len(request.uri_text) < 256:
                if len(self._checked_uris) >= 1024:
                    self._checked_uris.clear()
                self._checked_uris.add(request.uri_text)


def _credentials_of(request: Request, realm: str) -> AuthParams | None:
    values = request.headers.all("authorization")
    if len(values) == 1:
        return parse_digest(values[0])
    return digest_params_for(realm, [parse_digest(value) for value in values])


class _Step(Enum):
    """How far a REGISTER has come."""

    NEW = auto()
    ADMITTED = auto()
    """It is for us, and names one of our addresses."""
    AUTHENTICATED = auto()
    """Who sent it may change that address."""
    READ = auto()
    """All that it asks for is understood."""
    OVER = auto()
    """It is answered, or on its way through the store."""


#: On Python 3.11 a member of an enumeration costs a tenth of a microsecond each time it is named through its class.
_NEW: Final = _Step.NEW
_ADMITTED: Final = _Step.ADMITTED
_AUTHENTICATED: Final = _Step.AUTHENTICATED
_READ: Final = _Step.READ
_OVER: Final = _Step.OVER


class _Registering(Changing):
    """A REGISTER on its way. Each of its steps does nothing unless the one before has been taken."""

    __slots__ = ("_answer", "_arrival", "_params", "_realm", "_registrar", "_registration", "_request", "_step")

    def __init__(self, registrar: Registrar, request: Request, arrival: Arrival, answer: Answer) -> None:
        super().__init__(registrar.store, registrar.turns, NO_AOR)
        self._registrar = registrar
        self._request = request
        self._arrival = arrival
        self._answer = answer
        self._registration: Registration | None = None
        self._realm = ""
        self._params: AuthParams = {}
        self._step = _NEW

    def admit(self) -> None:
        """Find out which AoR it is for (RFC 3261 §10.3 steps 1 and 5)."""
        registrar = self._registrar
        request = self._request
        try:
            registrar.check_request(request)
            uri = aor_uri(request.to.uri)
            self._realm = registrar.domains.check_aor(uri)
            self.aor = canonical_aor(uri, registrar.parameters, registrar.table)
        except RequestRefused as refused:
            self._refuse(refused)
            return
        self._step = _ADMITTED

    def authenticate(self) -> None:
        """Find out who sent it (steps 3 and 4); where the credentials must be asked of the store, the later steps follow when they come."""
        if self._step is not _ADMITTED:
            return
        digest = self._registrar.digest
        if digest is None:
            self._step = _AUTHENTICATED
            return
        try:
            params = _credentials_of(self._request, self._realm)
            self.nonce_use = digest.claim(params, self._realm, self._arrival.now_ms)
        except RequestRefused as refused:
            self._refuse(refused)
            return
        self._params = params or {}
        credentials, user = self._registrar.credentials, self._params.get("username", "")
        known = credentials.recall(self._realm, user)
        if isinstance(known, Known):
            credentials.credential(self._realm, user, self.found_later)
        else:
            self.found(known)

    def found_later(self, credential: CredentialOutcome) -> None:
        """Take what the store knows of the subscriber, and go on without the batch, which has gone on already."""
        try:
            self.found(credential)
            self.read()
            self.save()
        except Exception as fault:  # noqa: BLE001 (whatever it is, the peer is answered)
            untold = self.fail(fault)
            if untold is not None:
                raise untold from None

    def found(self, credential: CredentialOutcome) -> None:
        """Take what is known of the subscriber."""
        params = self._params
        if isinstance(credential, StoreUnavailable):
            self._refuse(credential)
        # Whether the user is unknown or the password wrong is not told apart: that would help to guess.
        elif credential is None or not digest_matches(params, self._request.method, credential):
            self._refuse(self._challenge(stale=False))
        elif not may_register(params["username"], self._realm, credential, self.aor, self._registrar.parameters):
            self._refuse(Forbidden("Not allowed to register this address"))
        else:
            self._step = _AUTHENTICATED

    def read(self) -> None:
        """Read all that it asks for."""
        if self._step is not _AUTHENTICATED:
            return
        registrar = self._registrar
        try:
            registration = read_registration(self._request, self.aor, self._arrival, registrar.parameters)
            for hook in registrar.hooks:
                registration = hook.inspect(self._request, registration)
        except RequestRefused as refused:
            self._step = _OVER
            self.done(refused)
            return
        self._registration = registration
        self._step = _READ

    def save(self) -> None:
        """Plan and commit it."""
        if self._step is _READ:
            self._step = _OVER
            self.begin()

    def fail(self, fault: Exception) -> Exception | None:
        """Answer for a fault of our own; return one of whoever was answered, which is not ours to answer."""
        if self._step is _OVER:
            return fault
        self._step = _OVER
        try:
            self.done(InternalFault(fault))
        except Exception as second:  # noqa: BLE001 (it is told by whoever may raise it)
            return second
        return None

    def _refuse(self, error: SipregError) -> None:
        """Answer before it was admitted: such a REGISTER does not count as one (rule T-2)."""
        self._step = _OVER
        self._answer(error)

    def plan(self, snapshot: Snapshot) -> Plan:
        if self._registration is None:
            raise RuntimeError("planned before it was read")
        return plan_registration(self._registration, snapshot, self._registrar.parameters)

    def replayed(self) -> SipregError:
        # A client answers a challenge that calls its nonce stale by itself.
        return self._challenge(stale=True)

    def _challenge(self, *, stale: bool) -> SipregError:
        digest = self._registrar.digest
        if digest is None:
            return super().replayed()
        return digest.challenge(self._realm, self._arrival.now_ms, stale=stale)

    def done(self, outcome: Plan | SipregError) -> None:
        registrar = self._registrar
        registration = self._registration
        if isinstance(outcome, SipregError) or registration is None:
            # A nonce count that was used before is found out only here, and yet is a matter of authentication (rule T-2).
            if not isinstance(outcome, Unauthorized):
                registrar.statistics.rejected_regs += 1
            self._answer(outcome if isinstance(outcome, SipregError) else StoreUnavailable("Answered before it was read"))
            return
        try:
            headers = self._headers(outcome.bindings, registration)
        except Exception as fault:  # noqa: BLE001 (it is stored, and the peer must still be answered)
            registrar.statistics.rejected_regs += 1
            self._answer(InternalFault(fault))
            return
        registrar.statistics.accepted_regs += 1
        self._answer(Accepted(outcome.bindings, headers))

    def _headers(self, bindings: tuple[Binding, ...], registration: Registration) -> str:
        """Return the header lines of the 200."""
        now_ms = self._arrival.now_ms
        received_param = self._registrar.parameters.received_param
        hooks = self._registrar.hooks
        if not hooks:
            return contact_header(bindings, now_ms, received_param) + date_header(now_ms)
        headers = contact_header(
            bindings, now_ms, received_param, lambda binding: "".join(hook.contact_params(registration, binding) for hook in hooks)
        )
        return headers + "".join(hook.reply_headers(self._request, registration) for hook in hooks) + date_header(now_ms)


class _Removing(Changing):
    """The removal of one contact, or of all, by whoever may."""

    __slots__ = ("_contact", "_done", "_now_ms")

    def __init__(
        self, registrar: Registrar, aor: Aor, contact: str | None, now_ms: int, done: Callable[[Plan | SipregError], None]
    ) -> None:
        super().__init__(registrar.store, registrar.turns, aor)
        self._contact = contact
        self._now_ms = now_ms
        self._done = done

    def reads_first(self) -> bool:
        return True

    def plan(self, snapshot: Snapshot) -> Plan:
        return plan_removal(self.aor, snapshot, self._contact, self._now_ms)

    def done(self, outcome: Plan | SipregError) -> None:
        self._done(outcome)
