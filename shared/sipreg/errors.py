"""The tree of what can go wrong, and the status that each refusal answers with.

    SipregError
    ├── RequestRefused            the peer's doing: answered with `status`, nothing was changed
    │   ├── BadMessage       400  not SIP (RFC 3261 §7), or a value that breaks its grammar
    │   ├── Unauthorized     401  no credentials, or wrong ones (§22); with WWW-Authenticate
    │   ├── Forbidden        403  known, but not allowed to do this (§10.3 steps 2 to 4)
    │   ├── UnknownAor       404  not ours (§10.3 step 5)
    │   ├── MethodNotAllowed 405  with Allow (§8.2.1)
    │   ├── BadExtension     420  with Unsupported (§8.2.2.3)
    │   ├── IntervalTooBrief 423  with Min-Expires (§10.3 step 7)
    │   ├── OutOfOrder       400  CSeq went back (§10.3 step 7 names no status; rule S-54 does)
    │   ├── TooManyHops      483  Max-Forwards used up (§16.3)
    │   └── TooManyContacts  503  over max_contacts (rules S-41, S-43); with Retry-After where it is set
    ├── InternalFault        500  a fault of our own; its cause is what was raised
    ├── StoreUnavailable     503  the store could not be asked: what it holds is unknown, never "absent"
    └── SettingWrong              stops the start and names itself

Only the edge's dispatcher and the API's `problems.py` turn these into responses.
"""

from __future__ import annotations

from typing import ClassVar

Headers = tuple[tuple[str, str], ...]
"""Header fields that go with a refusal, as (name, value) pairs in order."""


class SipregError(Exception):
    """Whatever sipreg raises on purpose."""


class RequestRefused(SipregError):
    """The peer's request is refused and has changed nothing."""

    status: ClassVar[int] = 400

    def __init__(self, reason: str, headers: Headers = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        """Text for the reason phrase and for P-Registrar-Error (rule ERR-1); printable, without line ends."""
        self.headers = headers
        """What the status demands beside the phrase."""


class BadMessage(RequestRefused):
    """The bytes are not the SIP that they should be; the parser's only error."""


class Unauthorized(RequestRefused):
    """Credentials are missing, stale or wrong (RFC 3261 §22.2)."""

    status = 401


class Forbidden(RequestRefused):
    """Who asks is known and may not do this."""

    status = 403


class UnknownAor(RequestRefused):
    """The address-of-record is none of ours (RFC 3261 §10.3 step 5)."""

    status = 404


class MethodNotAllowed(RequestRefused):
    """The method has no meaning here (RFC 3261 §8.2.1)."""

    status = 405


class BadExtension(RequestRefused):
    """Require names an extension that we do not have (RFC 3261 §8.2.2.3)."""

    status = 420

    def __init__(self, unsupported: tuple[str, ...]) -> None:
        tags = ", ".join(unsupported)
        super().__init__(f"Extension not supported: {tags}"[:100], (("Unsupported", tags),))


class IntervalTooBrief(RequestRefused):
    """The interval asked for is below the least that we grant (RFC 3261 §10.3 step 7)."""

    status = 423

    def __init__(self, min_expires: int) -> None:
        super().__init__("Interval too brief", (("Min-Expires", str(min_expires)),))
        self.min_expires = min_expires
        """The least interval, in seconds."""


class OutOfOrder(RequestRefused):
    """A request with this Call-ID and a higher CSeq came before (rule S-54)."""


class TooManyHops(RequestRefused):
    """Max-Forwards is used up (RFC 3261 §16.3 step 3)."""

    status = 483


class TooManyContacts(RequestRefused):
    """The AoR would have more bindings than it may (rules S-41 and S-43)."""

    status = 503


class InternalFault(SipregError):
    """Something of ours failed that should not have; nothing was changed by it. ``__cause__`` is what was raised."""

    status: ClassVar[int] = 500

    def __init__(self, fault: Exception) -> None:
        super().__init__("Internal error")
        self.__cause__ = fault


class StoreUnavailable(SipregError):
    """The store could not be asked, or did not answer in time: nothing is known, so the peer hears 503."""

    status: ClassVar[int] = 503


class SettingWrong(SipregError):
    """A setting that stops the start: its name, its value and what is allowed, in one line."""
