"""Messages for tests, as bytes: each builder gives a good one, and changes just what its test is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sipreg.message.headers import Headers
from sipreg.message.model import Request, Response
from sipreg.message.parser import parse_message

Fields = Sequence[tuple[str, str]]
"""Header fields as (name, value), in order."""

VIA: Final = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK74bf9;rport"
CALL_ID: Final = "1j9FpLxk3uxtm8tn@192.0.2.1"
INSTANCE: Final = "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"


def as_bytes(start: str, fields: Fields, body: bytes = b"") -> bytes:
    """Return the start line, one line for each field, an empty one and the body; nothing is checked or added."""
    lines = [start, *(f"{name}: {value}" for name, value in fields)]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("utf-8", "surrogateescape") + body


def a_request(
    method: str = "OPTIONS",
    uri: str = "sip:example.com",
    *,
    via: str | Sequence[str] = VIA,
    from_: str = "Alice <sip:alice@example.com>;tag=456248",
    to: str = "<sip:alice@example.com>",
    call_id: str = CALL_ID,
    cseq: str | None = None,
    extra: Fields = (),
    body: bytes = b"",
    content_length: str | None = "",
) -> bytes:
    """Return a request; ``content_length`` is that of the body if "", and left out if None."""
    fields = [("Via", text) for text in ([via] if isinstance(via, str) else via)]
    fields += [("Max-Forwards", "70"), ("From", from_), ("To", to), ("Call-ID", call_id), ("CSeq", cseq or f"1 {method}"), *extra]
    if content_length is not None:
        fields.append(("Content-Length", content_length or str(len(body))))
    return as_bytes(f"{method} {uri} SIP/2.0", fields, body)


def a_register(
    *,
    contact: str | Sequence[str] = "<sip:alice@192.0.2.1:5060>",
    expires: str | None = "3600",
    cseq: str = "1 REGISTER",
    extra: Fields = (),
    to: str = "<sip:alice@example.com>",
    via: str | Sequence[str] = VIA,
    call_id: str = CALL_ID,
    body: bytes = b"",
    content_length: str | None = "",
) -> bytes:
    """Return a REGISTER of a usual phone; () as ``contact`` makes it a query, None as ``expires`` leaves that header out."""
    fields = [("Contact", value) for value in ([contact] if isinstance(contact, str) else contact)]
    if expires is not None:
        fields.append(("Expires", expires))
    return a_request(
        "REGISTER", cseq=cseq, extra=[*fields, *extra], to=to, via=via, call_id=call_id, body=body, content_length=content_length
    )


def a_digest(**changed: str) -> str:
    """Return an Authorization value as phones send it; ``changed`` replaces or adds parameters as they shall stand, quotes and all."""
    params = {
        "username": '"alice"',
        "realm": '"example.com"',
        "nonce": '"84a4cc6f3082121f32b42a2187831a9e"',
        "uri": '"sip:example.com"',
        "response": '"7587245234b3434cc3412213e5f113a5"',
        "algorithm": "MD5",
        "cnonce": '"0a4f113b"',
        "qop": "auth",
        "nc": "00000001",
    }
    return "Digest " + ", ".join(f"{name}={text}" for name, text in (params | changed).items())


def a_response(status: int = 200, reason: str = "OK", *, extra: Fields = (), body: bytes = b"") -> bytes:
    """Return a response to a REGISTER."""
    fields = [
        ("Via", f"{VIA}=5060;received=192.0.2.1"),
        ("From", "Alice <sip:alice@example.com>;tag=456248"),
        ("To", "<sip:alice@example.com>;tag=2493k59kd"),
        ("Call-ID", CALL_ID),
        ("CSeq", "1 REGISTER"),
        *extra,
        ("Content-Length", str(len(body))),
    ]
    return as_bytes(f"SIP/2.0 {status} {reason}", fields, body)


def parsed_request(data: bytes) -> Request:
    """Return the request that these bytes are."""
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def parsed_response(data: bytes) -> Response:
    """Return the response that these bytes are."""
    message = parse_message(data)
    assert isinstance(message, Response)
    return message


def headers_of(*lines: str) -> Headers:
    """Return the header fields that these lines are."""
    return Headers(list(lines))


def some_messages() -> list[bytes]:
    """Return good messages of many shapes: what mutations start from."""
    return [
        a_register(),
        a_register(contact=(), expires=None),
        a_register(contact="*", expires="0", cseq="2 REGISTER"),
        a_register(
            contact=[f'"A. Lice" <sip:alice@192.0.2.1>;q=0.7;expires=60;+sip.instance="{INSTANCE}";reg-id=1', "sip:b@[2001:db8::1]:5062"]
        ),
        a_register(contact="<sip:a@192.0.2.1>, <sip:b@192.0.2.2;transport=tcp>;expires=0", extra=[("Authorization", a_digest())]),
        a_register(extra=[("Supported", "path, outbound, gruu"), ("Path", "<sip:p1.example.com;lr>,<sip:p2.example.com;lr;ob>")]),
        a_register(
            via=["SIP/2.0/TCP [2001:db8::9]:5061;branch=z9hG4bKa;rport;alias", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKb;received=192.0.2.9"]
        ),
        a_register().replace(b"Via:", b"v  :").replace(b"Call-ID", b"i").replace(b"From: ", b"f:\r\n ").replace(b"Contact: ", b"m:\r\n\t"),
        a_request("OPTIONS", "sip:bob@example.com;transport=udp?subject=hi", extra=[("Accept", "application/sdp")]),
        a_request("MESSAGE", "sips:bob@example.com", extra=[("Content-Type", "text/plain")], body=b"Watson,\r\ncome here.\r\n\r\n"),
        a_response(401, "Unauthorized", extra=[("WWW-Authenticate", 'Digest realm="example.com", nonce="abc", algorithm=MD5, qop="auth"')]),
        a_response(body=b"v=0\r\n"),
    ]
