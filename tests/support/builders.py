"""Values for tests of the registrar: each builder hides what its test is not about."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from sipreg.errors import RequestRefused
from sipreg.message.auth import parse_digest
from sipreg.message.model import Request
from sipreg.message.parser import parse_message
from sipreg.registrar.model import ABSENT, ALL_METHODS, Aor, Binding, Plan, Snapshot, order_key
from sipreg.registrar.parameters import Parameters
from sipreg.registrar.plan import plan_registration
from sipreg.registrar.registration import Arrival, Registration, WantedContact

NOW_MS: Final = 1_700_000_000_000
"""The present, in Unix milliseconds, wherever a test does not say otherwise: 2023-11-14 22:13:20 GMT."""

DOMAIN: Final = "example.com"
AOR: Final = Aor("location", "alice@example.com")
CONTACT: Final = "sip:alice@192.0.2.1:5060"


class FakeClock:
    """A `Clock` that a test drives."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self._now_ms = now_ms
        self._now = 1000.0

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return self._now_ms

    def now(self) -> float:
        """Monotonic seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let both times go on."""
        self._now_ms += round(seconds * 1000)
        self._now += seconds

    def set_back(self, seconds: float) -> None:
        """Set the wall clock back, as an operator may; monotonic time knows nothing of it."""
        self._now_ms -= round(seconds * 1000)


class FakeTokens:
    """A `TokenSource` that counts: the first token is 1."""

    def __init__(self) -> None:
        self._last = 0

    def token64(self) -> str:
        """Return 16 hex digits."""
        self._last += 1
        return f"{self._last:016x}"

    def token32(self) -> str:
        """Return 8 hex digits."""
        self._last += 1
        return f"{self._last:08x}"


def a_binding(contact: str = CONTACT, **fields: Any) -> Binding:
    """Return a binding that was made ten seconds ago and lives for another ten minutes."""
    usual: dict[str, Any] = {"expires_at_ms": NOW_MS + 600_000, "modified_at_ms": NOW_MS - 10_000, "call_id": "call-1", "cseq": 1}
    return Binding(**(usual | {"contact": contact} | fields))


def a_snapshot(*bindings: Binding, etag: str = "0123456789abcdef") -> Snapshot:
    """Return what the store holds of an AoR with these bindings, in the order of `order_key`; without any there is no etag."""
    return Snapshot(etag if bindings else "", tuple(sorted(bindings, key=order_key)))


def lapsed(contact: str = CONTACT, **fields: Any) -> Binding:
    """Return a binding that lapses now, and so has lapsed."""
    return a_binding(contact, **({"expires_at_ms": NOW_MS} | fields))


def a_contact(uri: str = CONTACT, requested: int | None = 600, **fields: Any) -> WantedContact:
    """Return one contact of a REGISTER, which asks for ten minutes."""
    usual: dict[str, Any] = {"q": -1, "methods": ALL_METHODS, "instance": "", "reg_id": 0}
    return WantedContact(**(usual | {"uri": uri, "requested": requested} | fields))


def a_removal(uri: str = CONTACT, **fields: Any) -> WantedContact:
    """Return one contact of a REGISTER that it wants removed."""
    return a_contact(uri, 0, **fields)


def an_arrival(now_ms: int = NOW_MS, **fields: Any) -> Arrival:
    """Return how a datagram came."""
    usual: dict[str, Any] = {"host": "192.0.2.1", "port": 5060, "socket": "udp:198.51.100.1:5060"}
    return Arrival(**(usual | {"now_ms": now_ms} | fields))


def a_registration(*contacts: WantedContact, now_ms: int = NOW_MS, **fields: Any) -> Registration:
    """Return a REGISTER of the Call-ID that `a_binding` has, with the next CSeq; without contacts it is a query."""
    usual: dict[str, Any] = {
        "aor": AOR,
        "call_id": "call-1",
        "cseq": 2,
        "contacts": contacts,
        "star": False,
        "user_agent": "",
        "arrival": an_arrival(now_ms),
    }
    return Registration(**(usual | fields))


def a_star(**fields: Any) -> Registration:
    """Return a REGISTER that removes all bindings."""
    return a_registration(**({"star": True} | fields))


def planned(registration: Registration, snapshot: Snapshot = ABSENT, **parameters: Any) -> Plan:
    """Return the plan under these parameters, the others at their defaults."""
    return plan_registration(registration, snapshot, Parameters(**parameters))


def contacts_of(plan: Plan) -> list[str]:
    """Return the contacts that a plan leaves, in their order."""
    return [binding.contact for binding in plan.bindings]


def told(plan: Plan) -> list[tuple[str, str]]:
    """Return the events of a plan as (name without its prefix, contact); "" for the events of a whole AoR."""
    return [(event.name.removeprefix("E_UL_"), event.binding.contact if event.binding else "") for event in plan.events]


def a_register(
    *headers: str, to: str = "<sip:alice@example.com>", uri: str = "sip:example.com", call_id: str = "call-1", cseq: int = 2
) -> Request:
    """Return a REGISTER as it is parsed from a datagram, with further header lines such as ``Contact: <...>``."""
    lines = [
        f"REGISTER {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-{cseq};rport",
        f"From: {to};tag=from-1",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} REGISTER",
        "Max-Forwards: 70",
        *headers,
        "Content-Length: 0",
    ]
    message = parse_message(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"))
    if not isinstance(message, Request):
        raise TypeError("not a request")
    return message


def header_values(refused: RequestRefused, name: str) -> list[str]:
    """Return the values that a refusal gives to one header, in order."""
    return [value for header, value in refused.headers if header == name]


def challenge_params(refused: RequestRefused, algorithm: str = "MD5") -> Mapping[str, str]:
    """Return the parameters of a refusal's challenge for one algorithm."""
    for value in header_values(refused, "WWW-Authenticate"):
        params = parse_digest(value)
        if params is not None and params["algorithm"] == algorithm:
            return params
    raise AssertionError(f"no challenge for {algorithm} in {refused.headers}")


def digest_response(user: str, password: str, params: Mapping[str, str], method: str = "REGISTER") -> str:
    """Return the response of a client to a challenge, written anew from RFC 7616 §3.4.1 and RFC 2069.

    Args:
        user: who.
        password: in clear, as only a client knows it.
        params: realm, nonce, uri, algorithm and, unless it is a client of RFC 2069, qop, nc and cnonce.
        method: of the request.
    """
    name = {"MD5": "md5", "SHA-256": "sha256"}[params.get("algorithm", "MD5")]

    def hashed(text: str) -> str:
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

    secret = hashed(f"{user}:{params['realm']}:{password}")
    middle = ":".join(params[part] for part in (("nonce", "nc", "cnonce", "qop") if "qop" in params else ("nonce",)))
    request = hashed(f"{method}:{params['uri']}")
    return hashed(f"{secret}:{middle}:{request}")


def an_authorization(user: str, password: str, challenge: Mapping[str, str], count: int = 1, **changed: str | None) -> str:
    """Return the Authorization header line with which a client answers a challenge.

    Args:
        user: who.
        password: in clear.
        challenge: realm, nonce and algorithm that were offered.
        count: nonce count.
        changed: parameters that shall differ from a good client's before the response is computed; None leaves one out.
    """
    params: dict[str, str | None] = {
        "username": user,
        "realm": challenge["realm"],
        "nonce": challenge["nonce"],
        "uri": "sip:example.com",
        "algorithm": challenge["algorithm"],
        "qop": "auth",
        "nc": f"{count:08x}",
        "cnonce": "0a4f113b",
    }
    said = {name: value for name, value in (params | changed).items() if value is not None}
    if "response" not in said:
        said["response"] = digest_response(user, password, said)
    bare = ("algorithm", "qop", "nc")
    return "Authorization: Digest " + ", ".join(f"{name}={value}" if name in bare else f'{name}="{value}"' for name, value in said.items())
