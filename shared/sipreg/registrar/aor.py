"""The address-of-record that a URI names, in its canonical form (RFC 3261 §10.3 step 5, rules A)."""

from __future__ import annotations

import re

from sipreg.errors import BadMessage
from sipreg.message.abnf import unescaped
from sipreg.message.uri import OtherUri, TelUri, Uri, canonical_host, parse_uri
from sipreg.registrar.model import Aor
from sipreg.registrar.parameters import Parameters

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def parse_aor(text: str, parameters: Parameters, table: str) -> Aor:
    """Return the AoR that a URI's text names.

    Raises:
        BadMessage: it is no URI, or no AoR can be made of it.
    """
    return canonical_aor(aor_uri(text), parameters, table)


def aor_uri(text: str) -> Uri:
    """Return the URI that names an AoR.

    Raises:
        BadMessage: it is no URI (rule A-2).
    """
    try:
        return parse_uri(text)
    except BadMessage as error:
        raise BadMessage("Error while parsing AOR") from error


def canonical_aor(uri: Uri, parameters: Parameters, table: str) -> Aor:
    """Return the AoR that a URI names: scheme, port, password and parameters play no part (rule A-3).

    Args:
        uri: the To URI, or whatever names the AoR.
        parameters: lengths, domains, letter case.
        table: the location table that it is looked for in.

    Raises:
        BadMessage: too long (rule A-4; a client's fault, so 4xx), badly escaped (A-5), or without what it needs (A-8).
    """
    if isinstance(uri, OtherUri):
        raise BadMessage("Error while parsing AOR")
    user, host = (uri.number, "") if isinstance(uri, TelUri) else (uri.user, uri.host)
    if (
        len(user) > parameters.max_username_len
        or len(host) > parameters.max_domain_len
        or len(user) + len(host) + 1 > parameters.max_aor_len
    ):
        raise BadMessage("Address Of Record too long")
    if "%" in user or not user.isascii():
        user = _decoded(user)
    if not parameters.case_sensitive:
        user = user.lower()
    if not parameters.use_domain:
        if not user:
            raise BadMessage("Error while parsing AOR")
        return Aor(table, user)
    if parameters.realm_prefix:
        host = without_prefix(host, parameters.realm_prefix)
    host = canonical_host(host) if host else ""
    return Aor(table, f"{user}@{host}" if user and host else user or host)


def without_prefix(host: str, prefix: str) -> str:
    """Return a host without the prefix that it begins with, letter by letter; one that is nothing else keeps it (rule A-6)."""
    return host[len(prefix) :] if prefix and host.startswith(prefix) and len(host) > len(prefix) else host


def _decoded(user: str) -> str:
    """Decode ``%xx``; control characters are refused, and so are bytes that make no UTF-8 (rule A-5, without its limit to ASCII)."""
    try:
        text = unescaped(user)
        text.encode("utf-8")
    except (BadMessage, UnicodeEncodeError) as error:
        raise BadMessage("Error while unescaping username") from error
    if _CONTROLS.search(text):
        raise BadMessage("Error while unescaping username")
    return text
