"""The registrar: a REGISTER is admitted, planned and committed, and planned again if somebody else was faster.

It never waits: the store and the credentials answer through callbacks (see `ports`), and so does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from sipreg.errors import Forbidden, RequestRefused, SipregError, StoreUnavailable, Unauthorized
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
from sipreg.registrar.ports import BindingStore, CredentialOutcome, CredentialSource
from sipreg.registrar.registration import Arrival, Registration, read_registration
from sipreg.registrar.reply import contact_header, date_header


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A REGISTER that is answered 200."""

    bindings: tuple[Binding, ...]
    """What is stored now."""
    headers: str
    """Header lines of the answer, each with its end."""


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
        "_domains",
        "credentials",
        "digest",
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
        self._domains = parts.domains
        self.option_tags = frozenset(tag for hook in parts.hooks for tag in hook.option_tags)
        self._checked_uris: set[str] = set()
        self.turns = Turns()

    def register(self, request: Request, arrival: Arrival, answer: Answer) -> None:
        """Process a REGISTER; ``answer`` is called once, now or later."""
        try:
            self._check_request(request)
            uri = aor_uri(request.to.uri)
            realm = self._domains.check_aor(uri)
            aor = canonical_aor(uri, self.parameters, self.table)
            if self.digest is None:
                _Registering(self, request, aor, arrival, answer).save()
                return
            params = _credentials_of(request, realm)
            nonce_use = self.digest.claim(params, realm, arrival.now_ms)
        except RequestRefused as refused:
            answer(refused)
            return
        if params is not None:
            registering = _Registering(self, request, aor, arrival, answer)
            registering.realm, registering.params, registering.nonce_use = realm, params, nonce_use
            self.credentials.credential(realm, params.get("username", ""), registering.found)

    def remove(self, aor: Aor, contact: str | None, now_ms: int, done: Callable[[Plan | SipregError], None]) -> None:
        """Remove one contact of an AoR, or all with None (rules D); ``done`` gets the plan that was stored, or the error."""
        _Removing(self, aor, contact, now_ms, done).begin()

    def _check_request(self, request: Request) -> None:
        """Check what does not depend on who asks: the domain that the request is addressed to."""
        if request.uri_text not in self._checked_uris:
            self._domains.check_request_uri(request.uri)
            if len(self._checked_uris) >= 1024:
                self._checked_uris.clear()
            self._checked_uris.add(request.uri_text)


def _credentials_of(request: Request, realm: str) -> AuthParams | None:
    values = request.headers.all("authorization")
    if len(values) == 1:
        return parse_digest(values[0])
    return digest_params_for(realm, [parse_digest(value) for value in values])


class _Registering(Changing):
    """A REGISTER on its way: first the credentials, then the change."""

    __slots__ = ("_answer", "_arrival", "_registration", "_request", "params", "realm", "registrar")

    def __init__(self, registrar: Registrar, request: Request, aor: Aor, arrival: Arrival, answer: Answer) -> None:
        super().__init__(registrar.store, registrar.turns, aor)
        self.registrar = registrar
        self._request = request
        self._arrival = arrival
        self._answer = answer
        self._registration: Registration | None = None
        self.realm = ""
        self.params: AuthParams = {}
        """Digest credentials, where they are asked for."""

    def found(self, credential: CredentialOutcome) -> None:
        """Go on with what is known of the subscriber."""
        if isinstance(credential, StoreUnavailable):
            self._answer(credential)
            return
        # Whether the user is unknown or the password wrong is not told apart: that would help to guess.
        if credential is None or not digest_matches(self.params, self._request.method, credential):
            self._answer(self._challenge(stale=False))
        elif not may_register(self.params["username"], self.realm, credential, self.aor, self.registrar.parameters):
            self._answer(Forbidden("Not allowed to register this address"))
        else:
            self.save()

    def save(self) -> None:
        """Plan and commit it: who sent it may do that."""
        registrar = self.registrar
        try:
            registration = read_registration(self._request, self.aor, self._arrival, registrar.parameters)
            for hook in registrar.hooks:
                registration = hook.inspect(self._request, registration)
        except RequestRefused as refused:
            self.done(refused)
            return
        self._registration = registration
        self.begin()

    def plan(self, snapshot: Snapshot) -> Plan:
        if self._registration is None:
            raise RuntimeError("planned before it was read")
        return plan_registration(self._registration, snapshot, self.registrar.parameters)

    def replayed(self) -> SipregError:
        # A client answers a challenge that calls its nonce stale by itself.
        return self._challenge(stale=True)

    def _challenge(self, *, stale: bool) -> SipregError:
        digest = self.registrar.digest
        if digest is None:
            return super().replayed()
        return digest.challenge(self.realm, self._arrival.now_ms, stale=stale)

    def done(self, outcome: Plan | SipregError) -> None:
        registrar = self.registrar
        registration = self._registration
        if isinstance(outcome, SipregError) or registration is None:
            # A nonce count that was used before is found out only here, and yet is a matter of authentication (rule T-2).
            if not isinstance(outcome, Unauthorized):
                registrar.statistics.rejected_regs += 1
            self._answer(outcome if isinstance(outcome, SipregError) else StoreUnavailable("Answered before it was read"))
            return
        registrar.statistics.accepted_regs += 1
        now_ms = self._arrival.now_ms
        received_param = registrar.parameters.received_param
        hooks = registrar.hooks
        if not hooks:
            headers = contact_header(outcome.bindings, now_ms, received_param)
        else:
            headers = contact_header(
                outcome.bindings,
                now_ms,
                received_param,
                lambda binding: "".join(hook.contact_params(registration, binding) for hook in hooks),
            )
            headers += "".join(hook.reply_headers(self._request, registration) for hook in hooks)
        self._answer(Accepted(outcome.bindings, headers + date_header(now_ms)))


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
