"""Parameters behind a header value: ``;name=value;flag;name="quoted"`` (RFC 3261 §25.1, generic-param)."""

from __future__ import annotations

from sipreg.errors import BadMessage
from sipreg.message.abnf import split_params, unquoted

Params = dict[str, str]
"""Lower-case name to value as it stands, quotes included; "" for a flag. The first of several of one name counts."""


#: Names as nearly everybody spells them: for these, one look-up does for two calls.
_USUAL = frozenset(("tag", "expires", "q", "+sip.instance", "reg-id", "branch", "rport", "ob", "+sip.ice", "methods"))


def parse_params(text: str) -> Params:
    """Parse what follows a header value, with or without its leading semicolon.

    Raises:
        BadMessage: a parameter without a name, or a quote without its end.
    """
    if not text:
        return {}
    params: Params = {}
    for piece in text.split(";"):
        name, _, value = piece.partition("=")
        if name not in _USUAL:
            name = name.strip().lower()
            if not name:
                if piece.strip():
                    raise BadMessage("Parameter without a name")
                continue
        if '"' in piece and (value[:1] != '"' or value[-1:] != '"' or piece.count('"') != 2 or len(value) < 2 or "\\" in piece):
            # Perhaps a semicolon within quotes: split again, with an eye on them.
            return _carefully(text)
        if name not in params:
            params[name] = value.strip()
    return params


def _carefully(text: str) -> Params:
    params: Params = {}
    for piece in split_params(text):
        name, _, value = piece.partition("=")
        name = name.strip().lower()
        if name:
            params.setdefault(name, value.strip())
        elif piece.strip():
            raise BadMessage("Parameter without a name")
    return params


def param_text(params: Params, name: str) -> str | None:
    """Return what a parameter says, without its quotes; None where it is absent."""
    value = params.get(name)
    return None if value is None else unquoted(value)
