"""Via: where a response goes, and which transaction a request is (RFC 3261 §20.42, RFC 3581)."""

from __future__ import annotations

import re

import msgspec

from sipreg.errors import BadMessage
from sipreg.message.abnf import split_params
from sipreg.message.params import parse_params

#: Of any version: that we do not speak it is told by the start line, and the answer needs the Via (§21.5.6).
_VIA = re.compile(
    r"\s*+SIP\s*+/\s*+[0-9]++\.[0-9]++\s*+/\s*+([A-Za-z0-9\-.!%*_+`'~]++)\s++"
    r"([A-Za-z0-9._\-]++|\[[0-9A-Fa-f:.]++\])(?:\s*+:\s*+([0-9]{1,5}))?\s*+(;.*+)?",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
#: The form that nearly all clients send: exact spelling, a branch, at most rport and alias behind it.
_USUAL = re.compile(
    r"SIP/2\.0/(UDP|TCP|TLS|WSS?) ([A-Za-z0-9.\-]++|\[[0-9A-Fa-f:.]++\])(?::([0-9]{1,5}))?;branch=([^;\s\"]++)(;rport)?(?:;alias)?"
)

_SENT_BY_PORT = {"TLS": 5061, "WSS": 443, "WS": 80}
_MAX_PORT = 65535


class Via(msgspec.Struct, frozen=True, gc=False):
    """One via-parm."""

    transport: str
    """In upper case, as ``UDP``."""
    host: str
    """sent-by host as it stands."""
    port: int | None
    """sent-by port, None where it is left to the transport's default."""
    branch: str
    """"" where there is none (RFC 2543)."""
    rport: str | None
    """"" where the client asks for it, its value where it is filled in, None where it is absent (RFC 3581)."""
    received: str | None

    @property
    def reply_port(self) -> int:
        """Where a response goes that rport does not direct (§18.2.2)."""
        return self.port or _SENT_BY_PORT.get(self.transport, 5060)


def parse_via(text: str) -> Via:
    """Parse one via-parm.

    Raises:
        BadMessage: it is none.
    """
    match = _USUAL.fullmatch(text)
    if match is not None:
        transport, host, digits, branch, rport = match.groups()
        if digits is None or int(digits) <= _MAX_PORT:
            return Via(transport, host, int(digits) if digits else None, branch, "" if rport else None, None)
    match = _VIA.fullmatch(text)
    if match is None:
        raise BadMessage("Via does not parse")
    transport, host, digits, tail = match.groups()
    port = int(digits) if digits else None
    if port is not None and port > _MAX_PORT:
        raise BadMessage("Port above 65535 in a Via")
    params = parse_params(tail) if tail else {}
    return Via(transport.upper(), host, port, params.get("branch", ""), params.get("rport"), params.get("received"))


def stamped(text: str, via: Via, source_host: str, source_port: int) -> str:
    """Return the via-parm with what the first server adds: ``received`` and the value of ``rport`` (§18.2.1, RFC 3581 §4).

    Args:
        text: the via-parm as received.
        via: the same, parsed.
        source_host: address that the request came from, IPv6 without brackets.
        source_port: port that it came from.
    """
    if via.received is not None or via.rport:
        # Whoever sends a request has no business to fill these in: they would send our answer astray.
        text = _without(text, ("received", "rport"))
        if via.rport is not None:
            text += ";rport"
    if via.rport is None:
        return text if via.host.strip("[]") == source_host else f"{text};received={source_host}"
    if text.endswith(";rport"):
        return f"{text}={source_port};received={source_host}"
    head, found, tail = text.partition(";rport")
    if not found or tail[0] != ";" or '"' in head:
        # Such as ";rport ", ";RPORT", ";rportal=1;rport" or one within quotes: rare enough to take it apart.
        head, tail = _without(text, ("rport",)), ""
    return f"{head};rport={source_port}{tail};received={source_host}"


def _without(text: str, names: tuple[str, ...]) -> str:
    """Return the via-parm without these parameters."""
    head, *pieces = split_params(text)
    kept = [piece for piece in pieces if piece.partition("=")[0].strip().lower() not in names]
    return ";".join([head.rstrip(), *kept])
