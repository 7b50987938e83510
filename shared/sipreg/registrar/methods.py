"""Which methods a contact takes, as bits (rule S-28)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from sipreg.errors import BadMessage
from sipreg.message.abnf import is_token
from sipreg.registrar.model import ALL_METHODS

#: Rule S-28, bit by bit.
METHOD_BITS = {
    "INVITE": 1, "CANCEL": 2, "ACK": 4, "BYE": 8, "INFO": 16, "OPTIONS": 32, "UPDATE": 64, "REGISTER": 128, "MESSAGE": 256,
    "SUBSCRIBE": 512, "NOTIFY": 1024, "PRACK": 2048, "REFER": 4096, "PUBLISH": 8192,
}  # fmt: skip

OTHER_METHOD = 16384

_USUAL_LEN = 512
"""Characters of an Allow header that is remembered."""


def method_bits(methods: Iterable[str]) -> int:
    """Return the bits of these methods, upper or lower case; any other token has one bit in common.

    Raises:
        BadMessage: one is no token.
    """
    bits = 0
    for method in methods:
        if not is_token(method):
            raise BadMessage("Message parse error")
        bits |= METHOD_BITS.get(method.upper(), OTHER_METHOD)
    return bits


def allowed_methods(allow: str) -> int:
    """Return the bits of one Allow header; everything where it does not parse (rule S-28)."""
    return _remembered(allow) if len(allow) <= _USUAL_LEN else _allowed(allow)


def _allowed(allow: str) -> int:
    try:
        return method_bits(entry.strip() for entry in allow.split(",")) if allow else ALL_METHODS
    except BadMessage:
        return ALL_METHODS


#: Few texts come again and again; an unusually long one is not worth the memory.
_remembered = lru_cache(maxsize=512)(_allowed)
