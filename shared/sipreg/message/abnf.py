"""Fragments of the grammar that many headers share, each under its rule from RFC 3261 §25.1.

Every function is linear in the length of its input: patterns are possessive, and an opening quote or bracket without its partner is an
error at once, so that no text can be made to be scanned again and again.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from sipreg.errors import BadMessage

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]++")
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_LIST_PIECE = re.compile(r'[^,"<]++|"(?:[^"\\]++|\\.)*+"|<[^>]*+>', re.DOTALL)
_PARAM_PIECE = re.compile(r'[^;"]++|"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_ESCAPED_CHAR = re.compile(r"\\(.)", re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_QVALUE = re.compile(r"(?:0*(?:\.(\d*))?|0*(1)(?:\.0*)?)", re.ASCII)
_DIGITS = frozenset("0123456789")

#: Methods in use (RFC 3261 and its extensions); any other token is one, too.
METHODS = frozenset(
    [
        "REGISTER",
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "MESSAGE",
        "SUBSCRIBE",
        "NOTIFY",
        "PUBLISH",
        "INFO",
        "PRACK",
        "UPDATE",
        "REFER",
    ]
)

is_token = _TOKEN.fullmatch
"""True-ish if the whole text is a ``token``."""


def unquoted(text: str) -> str:
    """Return what a ``quoted-string`` says; a text without quotes is returned as it is.

    Raises:
        BadMessage: it begins with a quote and is no quoted-string.
    """
    if not text.startswith('"'):
        return text
    if len(text) > 1 and text[-1] == '"' and "\\" not in text and text.count('"') == 2:
        return text[1:-1]
    match = _QUOTED.fullmatch(text)
    if match is None:
        raise BadMessage("Quoted string without an end")
    return _ESCAPED_CHAR.sub(r"\1", match[1])


def quoted(text: str) -> str:
    """Return the text as a ``quoted-string``."""
    if '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def split_list(value: str) -> list[str]:
    """Split a header value at its commas, those within quotes and angle brackets not counted (§7.3.1).

    Raises:
        BadMessage: a quote or bracket is not closed, or an entry is empty.
    """
    pieces = value.split(",") if '"' not in value and "<" not in value else _split(value, ",", _LIST_PIECE)
    entries = [piece.strip(" \t") for piece in pieces]
    if "" in entries:
        raise BadMessage("Empty entry in a list")
    return entries


def split_params(text: str) -> list[str]:
    """Split ``a=b;c="d;e"`` at its semicolons, those within quotes not counted.

    Raises:
        BadMessage: a quote is not closed.
    """
    pieces = text.split(";")
    if '"' in text and ("\\" in text or any(piece.count('"') & 1 for piece in pieces)):
        return _split(text, ";", _PARAM_PIECE)
    return pieces


def _split(text: str, separator: str, piece: re.Pattern[str]) -> list[str]:
    """Split at a separator, taking quoted and bracketed parts whole."""
    parts: list[str] = []
    start = position = 0
    end = len(text)
    while position < end:
        match = piece.match(text, position)
        if match is not None:
            position = match.end()
        elif text[position] == separator:
            parts.append(text[start:position])
            position += 1
            start = position
        else:
            raise BadMessage("Quote or bracket without its partner")
    parts.append(text[start:])
    return parts


def unescaped(text: str) -> str:
    """Return the text with its ``%xx`` decoded; bytes that are no UTF-8 stay apart as surrogates.

    Raises:
        BadMessage: a ``%`` without two hexadecimal digits (rule A-5).
    """
    if "%" not in text:
        return text
    if _BAD_ESCAPE.search(text):
        raise BadMessage("Percent sign without two hexadecimal digits")
    return unquote(text, errors="surrogateescape")


def is_number(text: str) -> bool:
    """Whether the text is ``1*DIGIT``, in ASCII alone."""
    return text.isdigit() and text.isascii()


def qvalue(text: str) -> int:
    """Return a ``qvalue`` in thousandths, 0 to 1000; digits beyond the third are dropped (rule S-25).

    Raises:
        BadMessage: it is none, such as ``1.5``, ``.`` or a word.
    """
    match = _QVALUE.fullmatch(text.strip())
    if match is None or not _DIGITS.intersection(text):
        raise BadMessage("Invalid q param in contact")
    if match[2]:
        return 1000
    return int((match[1] or "")[:3].ljust(3, "0"))
