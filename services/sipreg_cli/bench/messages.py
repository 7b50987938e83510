"""The requests that the bench sends, as byte templates, and what it has to understand of the answers.

A request costs the generator one `%` of bytes: it shares its CPU with the store, so whatever it spends is missing there. The REGISTER is
that of a usual phone: RFC 5626 instance-id and reg-id, RFC 8599 push parameters, 13 header fields.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from sipreg.errors import BadMessage
from sipreg.message.auth import parse_digest

BRANCH: Final = b";branch=z9hG4bK"
"""What stands before the number of a request in its top Via, and so in the answer's (RFC 3261 §8.1.1.7)."""

NUMBER_WIDTH: Final = 10
"""Decimal digits of that number, leading noughts included."""

HASHES: Final = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
"""Digest algorithms that the bench can answer (RFC 7616 §3.2), by their name in the challenge."""

_CNONCE: Final = "5cf1b1f6"

_TOP: Final = "Via: SIP/2.0/UDP {sent_by};branch=z9hG4bK%010d;rport\r\nMax-Forwards: 70\r\n"
_DIALOG: Final = (
    "From: <sip:{ns}%b@{domain}>;tag=a6c85cf%b\r\nTo: <sip:{ns}%b@{domain}>\r\nCall-ID: %b-{ns}@{host}\r\nCSeq: %d REGISTER\r\n"
)
_ABILITIES: Final = (
    "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, NOTIFY, MESSAGE\r\nSupported: replaces, outbound, path\r\nUser-Agent: BenchPhone/5.2.1\r\n"
)
_CONTACT: Final = (
    "Contact: <sip:{ns}%b@{sent_by};pn-provider=fcm;pn-param=bench;pn-prid=c2a81f%b>"
    ';+sip.instance="<urn:uuid:f81d4fae-7dec-41d0-a765-00%b>";reg-id=1\r\n'
)
_END: Final = "Content-Length: 0\r\n\r\n"
_LINE: Final = "REGISTER sip:{domain} SIP/2.0\r\n" + _TOP + _DIALOG


class Templates:
    """The requests of the phones behind one socket; a phone is called ``<namespace><ten digits>``."""

    def __init__(self, namespace: str, domain: str, host: str, port: int) -> None:
        """Prepare the templates for phones at ``host:port``; ``namespace`` keeps one run's AoRs apart from another's."""
        for part in (namespace, domain, host):
            if not part.isascii() or "%" in part or any(sign in part for sign in "{}<>\r\n "):
                raise ValueError(f"not fit for a SIP URI: {part!r}")
        names = {"ns": namespace, "domain": domain, "host": host, "sent_by": f"{host}:{port}"}

        def made(text: str) -> bytes:
            # str.format would trip over nothing here: the names were checked above, and the text is ours.
            return text.format(**names).encode("ascii")

        tail = _CONTACT + "Allow-Events: message-summary\r\n" + _ABILITIES + "Expires: %d\r\n" + _END
        self._register = made(_LINE + tail)
        self._authorized = made(_LINE + "Authorization: %b\r\n" + tail)
        self._fetch = made(_LINE + _ABILITIES + _END)
        self._options = made(
            "OPTIONS sip:{domain} SIP/2.0\r\n" + _TOP + "From: <sip:{ns}%b@{domain}>;tag=a6c85cf%b\r\nTo: <sip:{domain}>\r\n"
            "Call-ID: %b-{ns}@{host}\r\nCSeq: %d OPTIONS\r\nAccept: application/sdp\r\n" + _ABILITIES + _END
        )

    def register(self, number: int, user: bytes, cseq: int, expires: int) -> bytes:
        """Return a REGISTER with one Contact for ``expires`` seconds; 0 removes it (RFC 3261 §10.2.2)."""
        return self._register % (number, user, user, user, user, cseq, user, user, user, expires)

    def authorized(self, number: int, user: bytes, cseq: int, expires: int, credentials: bytes) -> bytes:
        """Return the same REGISTER with the given value of Authorization (RFC 3261 §22.2)."""
        return self._authorized % (number, user, user, user, user, cseq, credentials, user, user, user, expires)

    def fetch(self, number: int, user: bytes, cseq: int) -> bytes:
        """Return a REGISTER without Contact, which asks for the bindings (RFC 3261 §10.2.3)."""
        return self._fetch % (number, user, user, user, user, cseq)

    def options(self, number: int, user: bytes) -> bytes:
        """Return an OPTIONS to the domain itself (RFC 3261 §11)."""
        return self._options % (number, user, user, user, number & 0x7FFFFFFF)


class Challenge(NamedTuple):
    """What a 401 asks for (RFC 3261 §20.44)."""

    realm: str
    nonce: str
    algorithm: str
    stale: bool
    opaque: str | None


def challenge_in(answer: bytes, algorithm: str) -> Challenge | None:
    """Return the challenge of ``answer`` for this algorithm, None if there is none; a server may offer several (RFC 8760 §2.3)."""
    for line in answer.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if not colon or name.strip().lower() != "www-authenticate":
            continue
        try:
            params = parse_digest(value.strip())
        except BadMessage:
            continue
        if params is None or "nonce" not in params or params.get("algorithm", "MD5").upper() != algorithm:
            continue
        stale = params.get("stale", "").lower() == "true"
        return Challenge(params.get("realm", ""), params["nonce"], algorithm, stale, params.get("opaque"))
    return None


def ha1(algorithm: str, user: str, realm: str, password: str) -> str:
    """Return H(user ":" realm ":" password) in lower-case hex (RFC 7616 §3.4.2)."""
    return HASHES[algorithm](f"{user}:{realm}:{password}".encode()).hexdigest()


class Account:
    """One phone's answers to one challenge, its nonce count rising from 1 (RFC 7616 §3.4)."""

    __slots__ = ("_count", "_head", "_secret", "_tail", "_work")

    def __init__(self, challenge: Challenge, user: str, password: str, uri: str) -> None:
        """Prepare all that stays the same from answer to answer; ``uri`` is the Request-URI of the REGISTER."""
        work = HASHES[challenge.algorithm]
        opaque = "" if challenge.opaque is None else f', opaque="{challenge.opaque}"'
        self._work = work
        self._count = 0
        self._secret = f"{ha1(challenge.algorithm, user, challenge.realm, password)}:{challenge.nonce}:".encode()
        self._tail = f":{_CNONCE}:auth:{work(f'REGISTER:{uri}'.encode()).hexdigest()}".encode()
        self._head = (
            f'Digest username="{user}", realm="{challenge.realm}", nonce="{challenge.nonce}", uri="{uri}", '
            f'algorithm={challenge.algorithm}, cnonce="{_CNONCE}", qop=auth{opaque}, nc='
        ).encode()

    def credentials(self) -> bytes:
        """Return the value of Authorization for the next REGISTER; each call uses up one nonce count."""
        self._count += 1
        count = b"%08x" % self._count
        answer = self._work(self._secret + count + self._tail).hexdigest()
        return b'%b%b, response="%b"' % (self._head, count, answer.encode())
