"""Digest challenges and credentials as they stand in headers (RFC 3261 §20.7, §20.44; RFC 7616 §3.3, §3.4)."""

from __future__ import annotations

from sipreg.errors import BadMessage
from sipreg.message.abnf import quoted, split_list, unquoted

AuthParams = dict[str, str]
"""Lower-case name to what the parameter says, without quotes."""

_NAMES = frozenset(("username", "realm", "nonce", "uri", "response", "algorithm", "cnonce", "opaque", "qop", "nc", "userhash"))

#: What stands before the opening quote of a value, as nearly everybody writes it.
_BEFORE_QUOTE = {text: name for name in _NAMES for text in (f", {name}=", f",{name}=")}


def parse_digest(value: str) -> AuthParams | None:
    """Parse an Authorization or Proxy-Authorization value; None where the scheme is another one than Digest.

    Raises:
        BadMessage: the parameters do not parse, or one comes twice.
    """
    scheme, _, rest = value.partition(" ")
    if scheme not in ("Digest", "digest") and scheme.lower() != "digest":
        return None
    # Every second piece is what a pair of quotes says; commas within it do no harm.
    pieces = f", {rest}".split('"')
    count = len(pieces)
    if not count & 1 or "\\" in rest:
        return _carefully(rest)
    params: AuthParams = {}
    plain = pieces[-1]
    if plain and plain[0] != ",":
        return _carefully(rest)
    for index in range(0, count - 1, 2):
        before = pieces[index]
        name = _BEFORE_QUOTE.get(before)
        if name is None:
            # Values without quotes stand in front of this one.
            values, comma, before = before.rpartition(",")
            name = _BEFORE_QUOTE.get(comma + before)
            if name is None or values[:1] != ",":
                return _carefully(rest)
            plain = values + plain
        if name in params:
            return _carefully(rest)
        params[name] = pieces[index + 1]
    if not plain:
        return params
    for piece in plain[1:].split(","):
        name, _, text = piece.partition("=")
        name = name.strip()
        if name not in _NAMES or name in params or not text:
            return _carefully(rest)
        params[name] = text.strip()
    return params


def _carefully(rest: str) -> AuthParams:
    """Parse any credentials: commas within quotes, escapes, blanks, names that we do not know."""
    params: AuthParams = {}
    for piece in split_list(rest):
        name, equals, text = piece.partition("=")
        name = name.strip().lower()
        text = text.strip()
        if not equals or not name or name in params or ('"' in text and text[0] != '"'):
            raise BadMessage("Digest credentials that do not parse")
        params[name] = unquoted(text)
    return params


def digest_challenge(realm: str, nonce: str, algorithm: str, *, stale: bool) -> str:
    """Return the value of a WWW-Authenticate or Proxy-Authenticate header (RFC 7616 §3.3)."""
    return f'Digest realm={quoted(realm)}, nonce="{nonce}", algorithm={algorithm}, qop="auth"{", stale=true" if stale else ""}'
