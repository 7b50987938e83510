"""Messages to bytes; no value can bring a line end of its own (RFC 3261 §7, §8.2.6)."""

from __future__ import annotations

from collections.abc import Iterable

from sipreg.errors import BadMessage
from sipreg.message.address import parse_name_addr
from sipreg.message.model import Message, Request, Response
from sipreg.message.parser import ENCODING, ERRORS

#: §21: what a status is called where the refusal has no words of its own.
REASONS = {
    100: "Trying", 180: "Ringing", 200: "OK", 202: "Accepted", 302: "Moved Temporarily", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 407: "Proxy Authentication Required", 408: "Request Timeout",
    416: "Unsupported URI Scheme", 420: "Bad Extension", 423: "Interval Too Brief", 430: "Flow Failed",
    439: "First Hop Lacks Outbound Support", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
    482: "Loop Detected", 483: "Too Many Hops", 487: "Request Terminated", 500: "Server Internal Error",
    501: "Not Implemented", 503: "Service Unavailable", 505: "Version Not Supported",
    555: "Push Notification Service Not Supported",
}  # fmt: skip


def header_line(name: str, value: str) -> str:
    """Return one header line with its end.

    Raises:
        ValueError: name or value hold a line end; they would forge a header field of their own.
    """
    if "\r" in value or "\n" in value or "\r" in name or "\n" in name:
        raise ValueError("line end within a header field")
    return f"{name}: {value}\r\n"


def response_head(request: Request, to_tag: str, top_via: str) -> str:
    """Return the header lines that a response repeats: Via, From, To, Call-ID, CSeq (§8.2.6.2).

    They hold the bytes of the request; only the top Via is replaced, by the stamped one, and To gets a tag where it has none.

    Raises:
        BadMessage: one of them is missing from the request.
    """
    headers = request.headers
    to = headers.first.get("to") or request.required("to", "To")
    if ";" not in to or not _has_tag(to):
        to = f"{to};tag={to_tag}"
    via = f"Via: {top_via}\r\n"
    if headers.count("via") > 1 or "," in (headers.first.get("via") or ""):
        via += "".join(f"Via: {text}\r\n" for text in request.vias[1:])
    return (
        f"{via}From: {headers.first.get('from') or request.required('from', 'From')}\r\nTo: {to}\r\n"
        f"Call-ID: {headers.first.get('call-id') or request.required('call-id', 'Call-ID')}\r\n"
        f"CSeq: {headers.first.get('cseq') or request.required('cseq', 'CSeq')}\r\n"
    )


def _has_tag(to: str) -> bool:
    try:
        return parse_name_addr(to).tag is not None
    except BadMessage:
        # It goes back as it came; that it is bad is what the response is about to say.
        return False


def response_bytes(status: int, reason: str, head: str, extra: str = "") -> bytes:
    """Return a response without a body.

    Args:
        status: status code.
        reason: reason phrase, without line ends.
        head: what `response_head` gave.
        extra: further header lines, each with its end.
    """
    return f"SIP/2.0 {status} {reason}\r\n{head}{extra}Content-Length: 0\r\n\r\n".encode(ENCODING, ERRORS)


def message_bytes(message: Message) -> bytes:
    """Return a message that reads back as the same: start line, header fields in order, body.

    Raises:
        ValueError: a value holds a line end.
    """
    if isinstance(message, Request):
        start = f"{message.method} {message.uri_text} SIP/2.0"
    elif isinstance(message, Response):
        start = f"SIP/2.0 {message.status} {message.reason}"
    else:
        raise TypeError("neither request nor response")
    return message_from(start, message.headers, message.body)


def message_from(start: str, fields: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """Return a message from its start line, header fields and body; Content-Length is that of the body, at the end.

    Raises:
        ValueError: the start line, a name or a value hold a line end.
    """
    if "\r" in start or "\n" in start:
        raise ValueError("line end within the start line")
    lines = [header_line(name, value) for name, value in fields if name.lower() not in ("content-length", "l")]
    head = f"{start}\r\n{''.join(lines)}Content-Length: {len(body)}\r\n\r\n"
    return head.encode(ENCODING, ERRORS) + body
