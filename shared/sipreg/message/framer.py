"""A byte stream to messages: Content-Length (RFC 3261 §18.3) and CRLF keep-alive (RFC 5626 §3.5.1)."""

from __future__ import annotations

import re
from enum import Enum, auto

from sipreg.errors import BadMessage
from sipreg.message.parser import MAX_MESSAGE_BYTES

_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*+:(?:[ \t]|\r\n[ \t])*+([0-9]{1,10})[ \t]*+(?=\r\n(?![ \t]))", re.IGNORECASE)
_END = b"\r\n\r\n"
_LINE_ENDS = b"\r\n"


class KeepAlive(Enum):
    """What a peer sends between messages."""

    PING = auto()
    """A double CRLF; it wants a single one back (RFC 5626 §4.4.1)."""


class StreamFramer:
    """The bytes of one connection, cut into messages; at most one message is ever held."""

    __slots__ = ("_broken", "_buffer", "_searched", "_size")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        """How far the buffer was looked through for the end of the header fields, so that no byte is searched twice."""
        self._size = 0
        """Size of the message at the front, 0 while its header fields are not all there: told once, however its body trickles in."""
        self._broken: BadMessage | None = None

    def feed(self, data: bytes | memoryview) -> list[bytes | KeepAlive]:
        """Take the next bytes and return what is complete by now, in order.

        Raises:
            BadMessage: the stream cannot be cut any further: no or a wrong Content-Length, or a message that is too large.
                The connection is of no more use. What was complete before is returned first; then the next call raises.
        """
        if self._broken is not None:
            raise self._broken
        buffer = self._buffer
        buffer += data
        complete: list[bytes | KeepAlive] = []
        try:
            while buffer:
                if buffer[0] in _LINE_ENDS:
                    if not self._skip_line_ends(complete):
                        break
                    continue
                size = self._size or self._message_size()
                if size == 0 or size > len(buffer):
                    break
                complete.append(bytes(buffer[:size]))
                del buffer[:size]
                self._searched = self._size = 0
        except BadMessage as error:
            self._broken = error
            if not complete:
                raise
        return complete

    @property
    def holds_part(self) -> bool:
        """Whether the beginning of a message waits for the rest of it; a line end between messages begins none."""
        return bool(self._buffer) and self._buffer[0] not in _LINE_ENDS

    def _skip_line_ends(self, complete: list[bytes | KeepAlive]) -> bool:
        """Drop a CRLF, note a double one; False if more bytes are needed to tell."""
        buffer = self._buffer
        if buffer[:4] == _END:
            complete.append(KeepAlive.PING)
            del buffer[:4]
            return True
        if _END.startswith(buffer):
            return False
        # A single CRLF is the answer to a ping of ours, or what a sloppy peer puts behind a message (§7.5).
        del buffer[: 2 if buffer[:2] == b"\r\n" else 1]
        return True

    def _message_size(self) -> int:
        """Return the size of the message at the front, 0 while its header fields are not all there."""
        buffer = self._buffer
        end = buffer.find(_END, self._searched)
        if end < 0:
            if len(buffer) > MAX_MESSAGE_BYTES:
                raise BadMessage("Header fields too large")
            self._searched = max(0, len(buffer) - 3)
            return 0
        lengths = _LENGTH.findall(buffer, 0, end + 2)
        if len(set(lengths)) != 1:
            raise BadMessage("Content-Length is missing, or not one number")
        size = end + 4 + int(lengths[0])
        if size > MAX_MESSAGE_BYTES:
            raise BadMessage("Message too large")
        self._size = size
        return size
