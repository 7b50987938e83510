"""Who may register what: our domains, the realm of an AoR, and which AoRs a subscriber may bind (RFC 3261 §10.3 steps 1 to 5)."""

from __future__ import annotations

from dataclasses import dataclass

from sipreg.errors import BadMessage, Forbidden, UnknownAor
from sipreg.message.uri import SipUri, Uri, canonical_host
from sipreg.registrar.aor import without_prefix
from sipreg.registrar.model import Aor
from sipreg.registrar.parameters import Parameters
from sipreg.registrar.ports import Credential


@dataclass(frozen=True, slots=True, kw_only=True)
class Domains:
    """What this registrar answers for."""

    names: frozenset[str]
    """Our domains, in lower case; IPv6 addresses in brackets."""
    realm: str = ""
    """One realm for all of them; "" makes each domain its own."""

    def check_request_uri(self, uri: Uri) -> str:
        """Return the domain that a REGISTER is addressed to; another's would be a proxy's to pass on (step 1).

        Raises:
            BadMessage: it is no SIP URI. A user in it breaks §10.2, yet harms nobody, so it is passed over.
            Forbidden: its domain is none of ours.
        """
        if not isinstance(uri, SipUri):
            raise BadMessage("Request-URI of a REGISTER must be a SIP URI")
        host = canonical_host(uri.host)
        if host not in self.names:
            raise Forbidden("Not a domain of this registrar")
        return host

    def check_aor(self, uri: Uri) -> str:
        """Return the realm of an AoR's URI.

        Raises:
            UnknownAor: its domain is none of ours (step 5).
        """
        if not isinstance(uri, SipUri):
            raise UnknownAor("Not an address of this registrar")
        host = canonical_host(uri.host)
        if host not in self.names:
            raise UnknownAor("Not an address of this registrar")
        return self.realm or host


def may_register(username: str, realm: str, credential: Credential, aor: Aor, parameters: Parameters) -> bool:
    """Whether an authenticated subscriber may change an AoR (step 4): its own, or one that it was given.

    Args:
        username: as it authenticated, ``user`` or ``user@domain``.
        realm: the realm that it authenticated for.
        credential: what is known of it.
        aor: what it wants to register.
        parameters: how that was brought into its canonical form.
    """
    text = aor.text
    if text in (username, f"{username}@{realm}") or text in credential.aors:
        return True
    if parameters.case_sensitive and not parameters.realm_prefix:
        return False
    return any(text == _folded(name, parameters) for name in (username, f"{username}@{realm}", *credential.aors))


def _folded(name: str, parameters: Parameters) -> str:
    """Return ``user@host`` or ``user`` as an AoR of that name is written (rules A-6, A-7)."""
    user, at, host = name.rpartition("@")
    if not at:
        user, host = name, ""
    return (user if parameters.case_sensitive else user.lower()) + at + without_prefix(host, parameters.realm_prefix)
