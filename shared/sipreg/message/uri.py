"""SIP, SIPS and tel URIs: parse, and compare (RFC 3261 §19.1, RFC 3966)."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

import msgspec

from sipreg.errors import BadMessage
from sipreg.message.abnf import unescaped

_PLAIN = r'[^\x00-\x20\x7f"<>@\\^{}|`'
#: A whole SIP URI (§25.1): user, password, host, port, parameters, headers. A user may hold ";" and "?", but nothing in a URI may hold
#: a bare "@"; so what stands before one is the user, and without one there is none. Each part is possessive: linear in its length.
_SIP = re.compile(
    r"(sips?):(?:(" + _PLAIN + r"\[\]:]++)(?::(" + _PLAIN + r"\[\]:]*+))?@)?"
    r"([a-z0-9._\-]++|\[[0-9a-f:.]++\])(?::([0-9]{1,5}))?(?:;(" + _PLAIN + r"?]*+))?(?:\?(" + _PLAIN + r"]*+))?",
    re.IGNORECASE | re.ASCII,
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*+")
_SEPARATORS = re.compile(r"[\-.()]")
_MAX_PORT = 65535

#: §19.1.4: present in one URI alone, these make it another URI, whatever their default. The text names user, ttl, method and maddr;
#: transport is added by its examples, where ``sip:bob@biloxi.com`` differs from the same with ``;transport=udp``.
_NEVER_IGNORED = ("transport", "user", "ttl", "method", "maddr")


class SipUri(msgspec.Struct, frozen=True, gc=False):
    """A ``sip:`` or ``sips:`` URI, its parts as they stand, still escaped."""

    scheme: str
    """``sip`` or ``sips``, in lower case."""
    user: str
    """"" where there is none."""
    password: str
    host: str
    """Name or address as it stands; IPv6 in its brackets."""
    port: int | None
    params: str
    """uri-parameters behind the first semicolon, that one left out."""
    headers: str
    """What follows the question mark."""

    def param(self, name: str) -> str | None:
        """Return a uri-parameter as it stands, "" for a flag, None where it is absent; ``name`` in lower case."""
        return parse_uri_params(self.params).get(name) if self.params else None


class TelUri(msgspec.Struct, frozen=True, gc=False):
    """A ``tel:`` URI (RFC 3966)."""

    number: str
    """As it stands, visual separators included."""
    params: str


class OtherUri(msgspec.Struct, frozen=True, gc=False):
    """A URI of a scheme that we only pass on; compared as text."""

    scheme: str
    text: str


Uri = SipUri | TelUri | OtherUri


def parse_uri(text: str) -> Uri:
    """Parse an addr-spec.

    Raises:
        BadMessage: it is no URI, or no SIP URI though it says so.
    """
    match = _SIP.fullmatch(text)
    if match is not None:
        scheme, user, password, host, digits, params, headers = match.groups("")
        port = int(digits) if digits else None
        if port is not None and port > _MAX_PORT:
            raise BadMessage("Port above 65535 in a SIP URI")
        if host[0] == "[":
            canonical_host(host)
        return SipUri(scheme.lower(), user, password, host, port, params, headers)
    scheme, colon, rest = text.partition(":")
    lowered = scheme.lower()
    if lowered in ("sip", "sips"):
        raise BadMessage("Not a SIP URI, though it says so")
    if not colon or not rest or _SCHEME.fullmatch(scheme) is None or any(c in text for c in ' <>"'):
        raise BadMessage("Not a URI")
    if lowered == "tel":
        number, _, params = rest.partition(";")
        if not number:
            raise BadMessage("tel URI without a number")
        return TelUri(number, params)
    return OtherUri(lowered, text)


def parse_sip_uri(text: str) -> SipUri:
    """Parse a URI that must be ``sip:`` or ``sips:``.

    Raises:
        BadMessage: it is anything else.
    """
    uri = parse_uri(text)
    if not isinstance(uri, SipUri):
        raise BadMessage("Not a SIP URI")
    return uri


def canonical_host(host: str) -> str:
    """Return a host in the form in which two of them compare: lower case, IPv6 in its shortest form and in brackets.

    Raises:
        BadMessage: the brackets hold no IPv6 address.
    """
    if host[0] != "[":
        return host.lower()
    try:
        return f"[{IPv6Address(host[1:-1])}]"
    except AddressValueError as error:
        raise BadMessage("Bad IPv6 address in a SIP URI") from error


def parse_uri_params(text: str) -> dict[str, str]:
    """Split uri-parameters: lower-case name to value as it stands; of several of one name the first counts."""
    params: dict[str, str] = {}
    for piece in text.split(";"):
        name, _, value = piece.partition("=")
        if name:
            params.setdefault(name.lower(), value)
    return params


def same_uri(a: Uri, b: Uri) -> bool:
    """Whether two URIs are equivalent (§19.1.4; RFC 3966 §4 for tel).

    Raises:
        BadMessage: an escape within one of them is malformed.
    """
    if isinstance(a, SipUri) and isinstance(b, SipUri):
        return _same_sip(a, b)
    if isinstance(a, TelUri) and isinstance(b, TelUri):
        return _tel_form(a) == _tel_form(b)
    return a == b


def _same_sip(a: SipUri, b: SipUri) -> bool:
    if a.scheme != b.scheme or a.port != b.port:
        return False
    if unescaped(a.user) != unescaped(b.user) or unescaped(a.password) != unescaped(b.password):
        return False
    if canonical_host(a.host) != canonical_host(b.host):
        return False
    return _params_match(a.params, b.params) and _header_form(a.headers) == _header_form(b.headers)


def _params_match(a: str, b: str) -> bool:
    if a == b:
        return True
    ours, theirs = _param_form(a), _param_form(b)
    if any((name in ours) != (name in theirs) for name in _NEVER_IGNORED):
        return False
    return all(theirs.get(name, value) == value for name, value in ours.items())


def _param_form(text: str) -> dict[str, str]:
    """uri-parameters in a form that compares: unescaped, in lower case."""
    if "%" not in text:
        return parse_uri_params(text.lower())
    return {unescaped(name).lower(): unescaped(value).lower() for name, value in parse_uri_params(text).items()}


def _header_form(text: str) -> list[tuple[str, str]]:
    """Header components in a form that compares; none is ever ignored, their order plays no part."""
    pairs = (piece.partition("=") for piece in text.split("&") if piece)
    return sorted((unescaped(name).lower(), unescaped(value)) for name, _, value in pairs)


def _tel_form(uri: TelUri) -> tuple[str, list[tuple[str, str]]]:
    """Number without visual separators, parameters without case and order (RFC 3966 §4)."""
    params = parse_uri_params(uri.params.lower())
    return _SEPARATORS.sub("", uri.number).lower(), sorted(params.items())
