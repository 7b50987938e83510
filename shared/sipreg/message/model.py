"""Request and Response: what was received, and typed views of it that are parsed when somebody asks."""

from __future__ import annotations

from sipreg.errors import BadMessage
from sipreg.message.abnf import is_number, split_list
from sipreg.message.address import NameAddr, parse_name_addr
from sipreg.message.contact import Contacts, parse_contacts
from sipreg.message.cseq import CSeq, parse_cseq
from sipreg.message.headers import Headers
from sipreg.message.uri import Uri, parse_uri
from sipreg.message.via import Via, parse_via

_MAX_SECONDS_DIGITS = 10
"""Digits of 2**32 - 1, the most that delta-seconds can say (§20.19)."""

MAX_SECONDS = (1 << 32) - 1


class Message:
    """What requests and responses share. Headers that nobody asks for are never parsed; none of it changes once read."""

    __slots__ = ("_cseq", "_via", "body", "headers")

    def __init__(self, headers: Headers, body: bytes) -> None:
        self.headers = headers
        self.body = body
        self._via: tuple[Via, str] | None = None
        self._cseq: CSeq | None = None

    def required(self, name: str, shown: str) -> str:
        """Return the value of a header that must be there, once.

        Raises:
            BadMessage: it is missing, empty or doubled.
        """
        headers = self.headers
        value = headers.first.get(name)
        if not value:
            raise BadMessage(f"{shown} header not found")
        if headers.more is not None and name in headers.more:
            raise BadMessage(f"{shown} header more than once")
        return value

    @property
    def top_via(self) -> tuple[Via, str]:
        """The topmost via-parm: parsed, and as it stands."""
        if self._via is None:
            value = self.headers.get("via")
            if not value:
                raise BadMessage("Via header not found")
            text = value if "," not in value else split_list(value)[0]
            self._via = parse_via(text), text
        return self._via

    @property
    def vias(self) -> list[str]:
        """All via-parms as they stand, topmost first."""
        return self.listed("via")

    @property
    def cseq(self) -> CSeq:
        """CSeq."""
        if self._cseq is None:
            self._cseq = parse_cseq(self.required("cseq", "CSeq"))
        return self._cseq

    @property
    def call_id(self) -> str:
        """Call-ID, byte for byte."""
        return self.required("call-id", "Call-ID")

    @property
    def to(self) -> NameAddr:
        """To."""
        return parse_name_addr(self.required("to", "To"))

    @property
    def from_(self) -> NameAddr:
        """From."""
        return parse_name_addr(self.required("from", "From"))

    @property
    def contacts(self) -> Contacts:
        """All contacts, or the star."""
        return parse_contacts(self.headers.all("contact"))

    def listed(self, name: str) -> list[str]:
        """Return the entries of a comma-separated header over all its fields, in order; an empty field has none (§7.3.1)."""
        return [entry for value in self.headers.all(name) if value for entry in split_list(value)]

    def addresses(self, name: str) -> list[NameAddr]:
        """Return the addresses of Route, Record-Route, Path or Service-Route, in order."""
        return [parse_name_addr(entry) for entry in self.listed(name)]

    def option_tags(self, name: str) -> list[str]:
        """Return the option tags of Supported, Require, Proxy-Require or Unsupported, in lower case (rule R-11)."""
        return [tag.lower() for tag in self.listed(name)]

    def seconds(self, name: str, shown: str) -> int | None:
        """Return delta-seconds such as Expires says, at most `MAX_SECONDS`; None where the header is absent.

        Raises:
            BadMessage: the header is empty or no number (rule S-2).
        """
        value = self.headers.first.get(name)
        if value is None:
            return None
        if not is_number(value):
            raise BadMessage(f"{shown} parse error")
        return int(value) if len(value) < _MAX_SECONDS_DIGITS else capped_seconds(value)


def capped_seconds(digits: str) -> int:
    """Return what these digits say, at most `MAX_SECONDS`, in time linear in their number (rule S-22, corrected)."""
    digits = digits.lstrip("0") or "0"
    return MAX_SECONDS if len(digits) > _MAX_SECONDS_DIGITS else min(int(digits), MAX_SECONDS)


class Request(Message):
    """A request (RFC 3261 §7.1)."""

    __slots__ = ("method", "uri_text")

    def __init__(self, method: str, uri_text: str, headers: Headers, body: bytes) -> None:
        super().__init__(headers, body)
        self.method = method
        """As it stands: methods are case-sensitive."""
        self.uri_text = uri_text
        """Request-URI as it stands."""

    @property
    def uri(self) -> Uri:
        """Request-URI."""
        return parse_uri(self.uri_text)

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, None where it is absent (RFC 2543 clients)."""
        return self.seconds("max-forwards", "Max-Forwards")


class Response(Message):
    """A response (RFC 3261 §7.2)."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes) -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = reason
