"""``name-addr`` and ``addr-spec`` with header parameters: From, To, Contact, Route and their kin (RFC 3261 §20.10, §25.1)."""

from __future__ import annotations

import re

import msgspec

from sipreg.errors import BadMessage
from sipreg.message.params import Params, param_text, parse_params

_QUOTED_DISPLAY = re.compile(r'"(?:[^"\\]++|\\.)*+"[ \t]*+<', re.DOTALL)


class NameAddr(msgspec.Struct, frozen=True, gc=False):
    """One address; its parts as they stand."""

    display: str
    """Display name as it stands, quotes included; "" where there is none."""
    uri: str
    """The URI between the brackets, byte for byte."""
    params: str
    """Header parameters, from the first semicolon on; "" where there are none."""

    @property
    def tag(self) -> str | None:
        """The ``tag`` parameter (§19.3), None where there is none."""
        return param_text(parse_params(self.params), "tag") if self.params else None

    def parsed_params(self) -> Params:
        """The header parameters, parsed."""
        return parse_params(self.params)


def parse_name_addr(text: str) -> NameAddr:
    """Parse one ``name-addr`` or ``addr-spec`` with its header parameters.

    Without angle brackets every parameter is the header's, not the URI's (§20.10).

    Raises:
        BadMessage: brackets or quotes do not pair, or there is no URI.
    """
    if text[:1] == "<":
        # The usual form, without a display name.
        uri, bracket, params = text[1:].partition(">")
        if uri and bracket and (not params or params[0] == ";") and " " not in uri:
            return NameAddr("", uri, params)
    if text.startswith('"'):
        match = _QUOTED_DISPLAY.match(text)
        if match is None:
            raise BadMessage("Display name without its end or its address")
        left = match.end() - 1
    else:
        left = text.find("<")
        if left > 0 and left > text.find(";") >= 0:
            # Such as sip:a@b;+sip.instance="<urn:uuid:...>": no bracket of ours, a parameter has begun.
            left = -1
    if left < 0:
        uri, semicolon, params = text.partition(";")
        uri = uri.strip()
        if not uri or "," in uri or "?" in uri or " " in uri or (">" in text and (">" in uri or '"' not in params)):
            # §20.10: a URI with a comma, a question mark or a semicolon must stand in brackets.
            raise BadMessage("Address without brackets that needs them, or none at all")
        return NameAddr("", uri, semicolon + params)
    right = text.find(">", left)
    if right < 0:
        raise BadMessage("Address with an opening bracket alone")
    uri = text[left + 1 : right].strip()
    params = text[right + 1 :].strip()
    display = text[:left].strip()
    if not uri or (params and params[0] != ";") or (display and display[0] != '"' and any(c in display for c in '";,:@<>')):
        raise BadMessage("Address that does not parse")
    return NameAddr(display, uri, params)
