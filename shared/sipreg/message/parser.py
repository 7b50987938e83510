"""One whole message from its bytes, or `BadMessage`; the limits on what a peer may send stand here (RFC 3261 §7)."""

from __future__ import annotations

import re
from typing import ClassVar

from sipreg.errors import BadMessage
from sipreg.message.abnf import METHODS, is_number, is_token
from sipreg.message.headers import FoldedLine, Headers
from sipreg.message.model import Request, Response

MAX_MESSAGE_BYTES = 65536
"""Datagram or stream message; UDP can carry no more."""
MAX_HEADER_FIELDS = 128
MAX_VIAS = 70
"""As many hops as Max-Forwards allows at its usual start (§8.1.1.6)."""

ENCODING = "utf-8"
ERRORS = "surrogateescape"
"""Bytes that are no UTF-8 become surrogates and turn back into the same bytes: what we echo is what we got."""

_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2}) (.*)", re.ASCII)
_VERSION = re.compile(r"SIP/[0-9]+\.[0-9]+", re.IGNORECASE | re.ASCII)
_BLANKS = re.compile(r"[\x00-\x20\x7f<>\"]")


class Unanswerable(BadMessage):
    """Bytes of which not even the header fields can be told apart."""


class BadRequest(BadMessage):
    """A request that breaks the grammar, but of which enough is there to answer it."""

    def __init__(self, reason: str, request: Request) -> None:
        super().__init__(reason)
        self.request = request


class VersionUnknown(BadRequest):
    """Not SIP/2.0 (§21.5.6)."""

    status: ClassVar[int] = 505


def parse_message(data: bytes) -> Request | Response:
    """Parse a datagram or one framed message of a stream.

    Empty lines in front are skipped (§7.5). What follows a body whose length Content-Length tells is dropped (§18.3).

    Raises:
        BadMessage: and nothing else, whatever the bytes; as `BadRequest` where it can be answered.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise Unanswerable("Message too large")
    head, end, body = data.partition(b"\r\n\r\n")
    if not end or not head or head[:2] == b"\r\n":
        stripped = data.lstrip(b"\r\n")
        if not end or len(stripped) == len(data):
            raise Unanswerable("Message without an end of its header fields")
        return parse_message(stripped)
    lines = head.decode(ENCODING, ERRORS).split("\r\n")
    count = len(lines) - 1
    # One pass over the bytes: nothing but line ends may be made of these three.
    if len(head.translate(None, b"\r\n\0")) != len(head) - 2 * count:
        raise Unanswerable("Line end or NUL within a line")
    if count > MAX_HEADER_FIELDS:
        lines = _unfolded(lines)
        if len(lines) - 1 > MAX_HEADER_FIELDS:
            raise Unanswerable("Too many header fields")
    start = lines[0]
    if start[:4] == "SIP/":
        return _response(start, lines, body)
    return _request(start, lines, body)


def _request(start: str, lines: list[str], body: bytes) -> Request:
    method, uri, version = _request_line(start)
    headers, defect = _headers(lines)
    request = Request(method, uri, headers, body)
    if version != "SIP/2.0" and version.upper() != "SIP/2.0":
        raise VersionUnknown("Version Not Supported", request)
    if defect is None and _BLANKS.search(uri):
        defect = BadMessage("Request-URI with blanks or brackets")
    if defect is not None:
        raise BadRequest(defect.reason, request)
    first = headers.first
    if first.get("content-length") != "0" or body:
        try:
            request.body = _cut(headers, body)
        except BadMessage as error:
            raise BadRequest(error.reason, request) from error
    if (headers.more is not None or "," in first.get("via", "")) and _too_many_vias(headers):
        raise BadRequest("Too many Via headers", request)
    return request


def _request_line(start: str) -> tuple[str, str, str]:
    """Return method, Request-URI and version; a URI with blanks in it is told by the caller, who can answer it."""
    parts = start.split(" ")
    if len(parts) == 3 and parts[0] in METHODS and parts[2] == "SIP/2.0" and parts[1]:
        return parts[0], parts[1], parts[2]
    method, _, rest = start.partition(" ")
    uri, _, version = rest.rpartition(" ")
    if not is_token(method) or not uri or not _VERSION.fullmatch(version):
        raise Unanswerable("Not a request line")
    return method, uri, version


def _response(start: str, lines: list[str], body: bytes) -> Response:
    match = _STATUS_LINE.fullmatch(start)
    if match is None:
        raise Unanswerable("Not a status line")
    headers, defect = _headers(lines)
    if defect is not None:
        raise defect
    if _too_many_vias(headers):
        raise Unanswerable("Too many Via headers")
    return Response(int(match[1]), match[2], headers, _cut(headers, body))


def _headers(lines: list[str]) -> tuple[Headers, BadMessage | None]:
    """Read the header lines behind the start line; with a bad one among them, the good ones and what was wrong."""
    try:
        return Headers(lines[1:]), None
    except FoldedLine:
        return _headers(_unfolded(lines))
    except BadMessage as error:
        return Headers([line for line in lines[1:] if _is_field(line)]), error


def _unfolded(lines: list[str]) -> list[str]:
    """Join each line that begins with a blank to the one before, by a single blank (§7.3.1)."""
    whole = [[lines[0]]]
    for line in lines[1:]:
        if line[:1] in (" ", "\t") and len(whole) > 1:
            whole[-1].append(line.strip(" \t"))
        else:
            whole.append([line])
    return [" ".join(parts) if len(parts) > 1 else parts[0] for parts in whole]


def _is_field(line: str) -> bool:
    name, colon, _ = line.partition(":")
    return bool(colon) and is_token(name.rstrip(" \t")) is not None


def _too_many_vias(headers: Headers) -> bool:
    """Whether there are more via-parms than we take, be they in one header field or in many; commas within quotes count as well."""
    return sum(value.count(",") + 1 for value in headers.all("via")) > MAX_VIAS


def _cut(headers: Headers, body: bytes) -> bytes:
    """Return the body that Content-Length tells of; all that came where there is none (§18.3)."""
    value = headers.get("content-length")
    if value is None:
        return body
    if headers.count("content-length") > 1 or not is_number(value):
        raise BadMessage("Content-Length does not parse")
    digits = value.lstrip("0")
    length = int(digits or "0") if len(digits) <= len(str(MAX_MESSAGE_BYTES)) else MAX_MESSAGE_BYTES + 1
    if length > len(body):
        raise BadMessage("Body shorter than its Content-Length")
    return body if length == len(body) else body[:length]
