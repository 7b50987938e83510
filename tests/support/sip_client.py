"""A small SIP client for tests: it says just what a test wants said, over UDP or TCP, and answers digest challenges by the book."""

from __future__ import annotations

import hashlib
import itertools
import socket
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from sipreg.message.auth import parse_digest
from sipreg.message.contact import parse_contacts
from sipreg.message.framer import StreamFramer
from sipreg.message.model import Response
from sipreg.message.parser import parse_message

ANSWER_LIMIT_S: Final = 5.0
_numbers = itertools.count(1)

HASHES: Final = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


def digest_response(challenge: str, *, method: str, uri: str, user: str, password: str, count: int = 1) -> str:
    """Return the Authorization value that answers a challenge (RFC 7616 §3.4), computed here by itself."""
    params = parse_digest(challenge)
    assert params is not None, challenge
    algorithm = params.get("algorithm", "MD5")
    realm, nonce, cnonce = params["realm"], params["nonce"], "0a4f113b"

    def hashed(text: str) -> str:
        return HASHES[algorithm](text.encode()).hexdigest()

    ha1, ha2 = hashed(f"{user}:{realm}:{password}"), hashed(f"{method}:{uri}")
    response = hashed(f"{ha1}:{nonce}:{count:08x}:{cnonce}:auth:{ha2}")
    return (
        f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{response}", '
        f'algorithm={algorithm}, cnonce="{cnonce}", qop=auth, nc={count:08x}'
    )


@dataclass(kw_only=True)
class Phone:
    """One device of one AoR: keeps its Call-ID and counts its CSeq."""

    user: str
    domain: str
    password: str = ""
    contact: str = ""
    call_id: str = ""
    cseq: int = 0
    algorithm: str = "MD5"
    authorization: str = field(default="", repr=False)
    _challenge: str = field(default="", repr=False)
    _count: int = 0

    def __post_init__(self) -> None:
        number = next(_numbers)
        self.contact = self.contact or f"sip:{self.user}-{number}@127.0.0.1:5099"
        self.call_id = self.call_id or f"{self.user}-{number}@test"

    def register(self, *, contacts: list[str] | None = None, expires: int | None = 600, extra: tuple[str, ...] = ()) -> list[str]:
        """Return the lines of the next REGISTER, without Via and Content-Length; ``contacts`` as header values."""
        self.cseq += 1
        lines = [
            f"REGISTER sip:{self.domain} SIP/2.0",
            "Max-Forwards: 70",
            f"From: <sip:{self.user}@{self.domain}>;tag={self.cseq:08x}",
            f"To: <sip:{self.user}@{self.domain}>",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.cseq} REGISTER",
        ]
        lines += [f"Contact: {value}" for value in ([f"<{self.contact}>"] if contacts is None else contacts)]
        if expires is not None:
            lines.append(f"Expires: {expires}")
        if self._challenge:
            self._count += 1
            self.authorization = digest_response(
                self._challenge, method="REGISTER", uri=f"sip:{self.domain}", user=self.user, password=self.password, count=self._count
            )
            lines.append(f"Authorization: {self.authorization}")
        return [*lines, *extra]

    def take_challenge(self, response: Response) -> None:
        """Keep the challenge of our algorithm for the requests to come."""
        for value in response.headers.all("www-authenticate"):
            if f"algorithm={self.algorithm}" in value:
                self._challenge, self._count = value, 0
                return
        raise AssertionError(f"no {self.algorithm} challenge in {list(response.headers)}")


def request_lines(
    method: str = "OPTIONS", *, uri: str, to: str = "", cseq: str = "", max_forwards: int | None = 70, extra: tuple[str, ...] = ()
) -> list[str]:
    """Return the lines of a request outside any dialog, without Via and Content-Length.

    Args:
        method: as in the request line.
        uri: Request-URI, and To unless that is given.
        to: value of To.
        cseq: value of CSeq, where it shall not fit the method.
        max_forwards: None leaves it out.
        extra: further header lines.
    """
    number = next(_numbers)
    lines = [
        f"{method} {uri} SIP/2.0",
        f"From: <sip:tester@client.example>;tag=from-{number}",
        f"To: {to or f'<{uri}>'}",
        f"Call-ID: request-{number}@test",
        f"CSeq: {cseq or f'{number} {method}'}",
    ]
    if max_forwards is not None:
        lines.append(f"Max-Forwards: {max_forwards}")
    return [*lines, *extra]


class SipClient:
    """One socket of a client, to one edge."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", transport: str = "udp") -> None:
        """Open a socket that talks to one address only."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self.transport = transport
        self.socket = socket.socket(family, kind)
        self.socket.settimeout(ANSWER_LIMIT_S)
        self.socket.connect((host, port))
        self._framer = StreamFramer()
        self._received: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.socket.close()

    def message(self, lines: list[str], branch: str = "") -> bytes:
        """Return a request with a Via of ours behind its first line."""
        host, port = self.socket.getsockname()[:2]
        sent_by = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        via = f"Via: SIP/2.0/{self.transport.upper()} {sent_by};branch={branch or f'z9hG4bK{next(_numbers)}'};rport"
        return "\r\n".join([lines[0], via, *lines[1:], "Content-Length: 0", "", ""]).encode("utf-8", "surrogateescape")

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def receive_bytes(self) -> bytes:
        """Return the next message, byte for byte."""
        if self.transport == "udp":
            return self.socket.recv(65536)
        while not self._received:
            data = self.socket.recv(65536)
            assert data, "the edge closed the connection"
            self._received += [item for item in self._framer.feed(data) if isinstance(item, bytes)]
        return self._received.pop(0)

    def receive(self) -> Response:
        """Return the next response."""
        message = parse_message(self.receive_bytes())
        assert isinstance(message, Response)
        return message

    def ask(self, lines: list[str]) -> Response:
        """Send a request and return its response."""
        self.send(self.message(lines))
        return self.receive()

    def register(
        self, phone: Phone, *, contacts: list[str] | None = None, expires: int | None = 600, extra: tuple[str, ...] = ()
    ) -> Response:
        """Register, and answer the challenge if there is one."""
        response = self.ask(phone.register(contacts=contacts, expires=expires, extra=extra))
        if response.status == 401 and phone.password:
            phone.take_challenge(response)
            response = self.ask(phone.register(contacts=contacts, expires=expires, extra=extra))
        return response


def listed(response: Response) -> dict[str, int]:
    """Return the contacts of a 200: URI to seconds left."""
    contacts = parse_contacts(response.headers.all("contact"))
    assert not isinstance(contacts, str)
    return {contact.uri: int(contact.params["expires"]) for contact in contacts}
