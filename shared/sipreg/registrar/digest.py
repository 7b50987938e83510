"""Digest authentication: challenge and check (RFC 3261 §22, RFC 7616, RFC 8760).

A nonce bears its date and is sealed with a key that all edges share, so that any of them knows it again without asking anybody:
``<issued, ms, 12 hex><salt, 16 hex><seal, 24 hex>``. How often it was used is counted in the store (`ports.NonceUse`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from string import hexdigits

from sipreg.errors import Headers, Unauthorized
from sipreg.message.auth import AuthParams, digest_challenge
from sipreg.registrar.ports import Credential, NonceUse
from sipreg.tokens import TokenSource

_DATE_DIGITS = 12
_SALTED = _DATE_DIGITS + 16
_SEAL_BYTES = 12
_NONCE_LEN = _SALTED + 2 * _SEAL_BYTES
_NC_LEN = 8
_MAX_URI_LEN = 255
"""Characters of a digest-uri: H(A2) is remembered by it, and ours are those of a domain."""
_AHEAD_MS = 5000
"""How far the clock of the edge that issued a nonce may be ahead of ours."""


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


#: By the name that stands in the header, in upper case (RFC 8760 §2.1).
HASHES: dict[str, Callable[[str], str]] = {"MD5": _md5, "SHA-256": _sha256}


def ha1_values(user: str, realm: str, password: str) -> dict[str, str]:
    """Return H(user ":" realm ":" password) by algorithm (RFC 7616 §3.4.2): what is kept in the place of a password."""
    return {name: hash_of(f"{user}:{realm}:{password}") for name, hash_of in HASHES.items()}


class NonceState(Enum):
    """What a nonce turns out to be."""

    VALID = auto()
    STALE = auto()
    """Ours, but too old: the client may try again without asking its user (``stale=true``)."""
    FOREIGN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestPolicy:
    """What is offered and for how long."""

    algorithms: tuple[str, ...] = ("SHA-256", "MD5")
    """In the order in which they are offered: the best first (RFC 8760 §2.4), unless old clients want it otherwise."""
    nonce_lifetime_s: int = 300
    """Seconds for which a nonce is accepted."""


class Digest:
    """Issues challenges and checks what comes back."""

    __slots__ = ("_algorithms", "_lifetime_ms", "_sealer", "_tokens")

    def __init__(self, key: bytes, policy: DigestPolicy, tokens: TokenSource) -> None:
        """Take the key that all edges share, 32 bytes at best; of a longer one every byte counts."""
        key = key if len(key) <= hashlib.blake2s.MAX_KEY_SIZE else hashlib.blake2s(key).digest()
        self._sealer = hashlib.blake2s(key=key, digest_size=_SEAL_BYTES)
        self._algorithms = policy.algorithms
        self._lifetime_ms = policy.nonce_lifetime_s * 1000
        self._tokens = tokens

    def challenge(self, realm: str, now_ms: int, *, stale: bool = False) -> Unauthorized:
        """Return the refusal that asks for credentials, once per algorithm in the operator's order."""
        nonce = self.nonce(realm, now_ms)
        headers: Headers = tuple(
            ("WWW-Authenticate", digest_challenge(realm, nonce, algorithm, stale=stale)) for algorithm in self._algorithms
        )
        return Unauthorized("Unauthorized", headers)

    def nonce(self, realm: str, now_ms: int) -> str:
        """Return a new nonce for a realm."""
        salted = f"{now_ms:012x}{self._tokens.token64()}"
        return salted + self._seal(salted, realm)

    def _seal(self, salted: str, realm: str) -> str:
        sealer = self._sealer.copy()
        sealer.update(f"{salted}{realm}".encode("utf-8", "surrogateescape"))
        return sealer.hexdigest()

    def nonce_state(self, nonce: str, realm: str, now_ms: int) -> NonceState:
        """Tell whether a nonce is ours, for this realm, and still good."""
        if len(nonce) != _NONCE_LEN or not nonce.isascii() or not hmac.compare_digest(nonce[_SALTED:], self._seal(nonce[:_SALTED], realm)):
            return NonceState.FOREIGN
        age_ms = now_ms - int(nonce[:_DATE_DIGITS], 16)
        return NonceState.VALID if -_AHEAD_MS <= age_ms < self._lifetime_ms else NonceState.STALE

    def claim(self, params: AuthParams | None, realm: str, now_ms: int) -> NonceUse:
        """Return the use of a nonce that these credentials claim, before it is known whether they are right.

        Raises:
            Unauthorized: a challenge, where they are missing, for another realm, incomplete, stale, or of an algorithm not offered.
        """
        if params is None or params.get("realm") != realm:
            raise self.challenge(realm, now_ms)
        nonce = params.get("nonce", "")
        state = self.nonce_state(nonce, realm, now_ms)
        if state is not NonceState.VALID:
            raise self.challenge(realm, now_ms, stale=state is NonceState.STALE)
        if params.get("algorithm", "MD5").upper() not in self._algorithms:
            raise self.challenge(realm, now_ms)
        # Credentials without qop (RFC 2069) bear no count; for them a nonce is good once.
        count = 1
        if "qop" in params:
            digits = params.get("nc", "")
            count = int(digits, 16) if len(digits) == _NC_LEN and not digits.strip(hexdigits) else 0
            if params["qop"] != "auth" or not count or "cnonce" not in params:
                raise self.challenge(realm, now_ms)
        return NonceUse(nonce, count, int(nonce[:_DATE_DIGITS], 16) + self._lifetime_ms + _AHEAD_MS)


def digest_matches(params: AuthParams, method: str, credential: Credential) -> bool:
    """Whether the response proves that the client knows the secret (RFC 7616 §3.4.1).

    Args:
        params: complete, as `Digest.claim` left them.
        method: of the request itself.
        credential: what the store knows of the user.
    """
    algorithm = params.get("algorithm", "MD5").upper()
    ha1 = credential.ha1.get(algorithm)
    if ha1 is None:
        return False
    uri = params.get("uri", "")
    if len(uri) > _MAX_URI_LEN:
        return False
    ha2 = _ha2(algorithm, method, uri)
    middle = f"{params['nonce']}:{params['nc']}:{params['cnonce']}:{params['qop']}" if "qop" in params else params["nonce"]
    expected = HASHES[algorithm](f"{ha1}:{middle}:{ha2}")
    response = params.get("response", "")
    return response.isascii() and hmac.compare_digest(expected, response.lower())


@lru_cache(maxsize=256)
def _ha2(algorithm: str, method: str, uri: str) -> str:
    """H(A2); the Request-URIs of a registrar are few."""
    return HASHES[algorithm](f"{method}:{uri}")


def digest_params_for(realm: str, candidates: Sequence[AuthParams | None]) -> AuthParams | None:
    """Return the credentials for a realm among several (RFC 3261 §22.3: a request may bear some for each proxy on its way)."""
    for params in candidates:
        if params is not None and params.get("realm") == realm:
            return params
    return None
