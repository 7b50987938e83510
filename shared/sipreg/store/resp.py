"""Commands as bytes: RESP, the protocol of Redis. hiredis writes them, and reads the replies."""

from __future__ import annotations

import hiredis

Part = str | bytes | int
"""One part of a command; text of peers may hold surrogate escapes."""


def to_bytes(text: str) -> bytes:
    """Return UTF-8; what came as other bytes from a peer, and stands as surrogate escapes in the text, becomes those bytes again."""
    return text.encode("utf-8", "surrogateescape")


def pack(*parts: Part) -> bytes:
    """Return one command as it goes over the wire: an array of bulk strings."""
    try:
        return _pack(parts)
    except UnicodeEncodeError:
        return _pack(tuple(to_bytes(part) if isinstance(part, str) else part for part in parts))


def unpack(command: bytes) -> list[bytes]:
    """Return the parts of one packed command.

    Raises:
        ValueError: it is not one whole command.
    """
    reader = hiredis.Reader()
    reader.feed(command)
    parts = reader.gets()
    if not isinstance(parts, list):
        raise ValueError("not one whole command")
    return parts


def bulk(part: str) -> bytes:
    """Return one part of a command as it stands in it, with its length before and its line end after it."""
    data = to_bytes(part)
    return b"$%d\r\n%b\r\n" % (len(data), data)


def _pack(parts: tuple[Part, ...]) -> bytes:
    return hiredis.pack_command(parts)  # type: ignore[arg-type,no-any-return]  # its stub knows tuples of one only, and no result
