"""A UDP server in a thread, for tests of whoever asks: it answers each datagram as a function says, and keeps what it saw."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import TracebackType

Answer = Callable[[bytes, int], list[bytes]]
"""From a datagram and its ordinal, from 1, to the datagrams that go back."""


class UdpResponder:
    """Serves on a free port of 127.0.0.1 while its context lasts."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.seen: list[bytes] = []
        """Every datagram so far."""
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> UdpResponder:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # An empty datagram is the one that no SIP peer sends; it ends the thread without a time-out in its loop.
        with socket.socket(type=socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, source = self._socket.recvfrom(65535)
            if not data:
                return
            self.seen.append(data)
            for answer in self._answer(data, len(self.seen)):
                self._socket.sendto(answer, source)


def header(message: bytes, name: str) -> str:
    """Return the value of the first header field of that name; raises KeyError where there is none."""
    for line in message.decode().split("\r\n")[1:]:
        found, colon, value = line.partition(":")
        if colon and found == name:
            return value.strip()
    raise KeyError(name)


def sip_answer(request: bytes, status: str = "200 OK", *extra: str) -> bytes:
    """Return a response to ``request`` with the fields that every response repeats (RFC 3261 §8.2.6.2), and ``extra`` lines."""
    lines = [f"SIP/2.0 {status}", *(f"{name}: {header(request, name)}" for name in ("Via", "From", "To", "Call-ID", "CSeq"))]
    return "\r\n".join([*lines, *extra, "Content-Length: 0", "", ""]).encode()
