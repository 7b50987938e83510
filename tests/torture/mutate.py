"""Good messages made bad: what a line, a broken peer or an attacker does to them, the same each time for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

_SIGNS: Final = (
    b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\0", b"\r\n ", b" ", b"\t", b":", b";", b",", b"=", b'"', b"\\", b"<", b">", b"<>", b"*", b"@",
    b"%", b"%zz", b"%00",
    b"[", b"]", b"[::", b"?", b"&", b"/", b"-1", b"0", b"4294967296", b"99999999999999999999", b"\xff", b"\xc3\x28", b"\xf0\x9f\x93\x9e",
    b"\xe2\x84\xaa", b"SIP/2.0",
    b"sip:", b"tel:", b";tag=", b";expires=", b";q=", b";rport", b";received=", b";branch=", b"l: ", b"v: ", b"m: *",
)  # fmt: skip
"""Bytes that mean something to a parser."""

_LONGEST_RUN: Final = 3000
_LONGEST_PIECE: Final = 64
_MOST_CHANGES: Final = 4
_MOST_BYTES: Final = 65_000
"""A datagram can carry little more: what has grown beyond is cut off."""

Change = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def _piece(chance: random.Random, data: bytearray) -> slice:
    start = chance.randrange(len(data) + 1)
    return slice(start, min(len(data), start + chance.randint(1, _LONGEST_PIECE)))


def _flip(chance: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    del seeds
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _delete(chance: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    del seeds
    del data[_piece(chance, data)]


def _insert(chance: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    del seeds
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.choice(_SIGNS) if chance.random() < 0.8 else chance.randbytes(chance.randint(1, 8))


def _repeat(chance: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    """Insert a long run of one sign: what a parser that is not linear would choke on."""
    del seeds
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.choice(_SIGNS) * chance.randint(2, _LONGEST_RUN)


def _duplicate(chance: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    del seeds
    piece = bytes(data[_piece(chance, data)])
    at = chance.randrange(len(data) + 1)
    data[at:at] = piece


def _truncate(chance: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    del seeds
    del data[chance.randrange(len(data) + 1) :]


def _splice(chance: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    """Go on as another message does."""
    other = chance.choice(seeds)
    data[chance.randrange(len(data) + 1) :] = other[chance.randrange(len(other) + 1) :]


def _line(chance: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    """Drop, double or move a whole line, so that the rest still parses: the faults behind the parser's door."""
    del seeds
    lines = bytes(data).split(b"\r\n")
    line = lines.pop(chance.randrange(len(lines)))
    for _ in range(chance.randrange(3)):
        lines.insert(chance.randrange(len(lines) + 1), line)
    data[:] = b"\r\n".join(lines)


def _value(chance: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    """Put another value into a header field."""
    del seeds
    lines = bytes(data).split(b"\r\n")
    at = chance.randrange(len(lines))
    name, colon, value = lines[at].partition(b":")
    lines[at] = (
        name
        + colon
        + b" "
        + b"".join(chance.choices((*_SIGNS, value, name), k=chance.randint(0, 3))).replace(b"\r", b"").replace(b"\n", b"")
    )
    data[:] = b"\r\n".join(lines)


_CHANGES: Final[Sequence[Change]] = (
    _flip,
    _flip,
    _delete,
    _insert,
    _insert,
    _repeat,
    _duplicate,
    _truncate,
    _splice,
    _line,
    _line,
    _value,
    _value,
)


def mutations(seed_messages: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Yield changed messages, the same ones each time for the same arguments; each fits into a datagram.

    Args:
        seed_messages: good messages, one at least.
        count: how many to yield.
        seed: what to draw from.
    """
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(chance.choice(seed_messages))
        for _ in range(chance.randint(1, _MOST_CHANGES)):
            chance.choice(_CHANGES)(chance, data, seed_messages)
        yield bytes(data[:_MOST_BYTES])
