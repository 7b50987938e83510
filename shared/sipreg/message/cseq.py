"""CSeq: what orders the requests of one Call-ID (RFC 3261 §20.16)."""

from __future__ import annotations

import msgspec

from sipreg.errors import BadMessage
from sipreg.message.abnf import METHODS, is_number, is_token

_LIMIT = 1 << 31
"""§8.1.1.5: the number must be less than 2**31."""

_MAX_DIGITS = 10
"""As many digits as the limit has: more are refused before they are counted."""


class CSeq(msgspec.Struct, frozen=True, gc=False):
    """Number and method."""

    number: int
    method: str


def parse_cseq(text: str) -> CSeq:
    """Parse a CSeq value.

    Raises:
        BadMessage: it is none, or its number is 2**31 or more.
    """
    digits, _, method = text.partition(" ")
    if method in METHODS and digits.isdecimal() and digits.isascii() and len(digits) < _MAX_DIGITS:
        return CSeq(int(digits), method)
    # §25.1, LWS: blanks and tabs, not all that Unicode calls white.
    digits, _, method = text.replace("\t", " ").partition(" ")
    method = method.lstrip(" ")
    if not is_number(digits) or not is_token(method):
        raise BadMessage("CSeq does not parse")
    digits = digits.lstrip("0") or "0"
    if len(digits) > _MAX_DIGITS or (number := int(digits)) >= _LIMIT:
        raise BadMessage("CSeq number out of range")
    return CSeq(number, method)
