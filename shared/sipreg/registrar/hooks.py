"""Where extensions of REGISTER (Path, GRUU, push) take part: before the plan, and in the reply."""

from __future__ import annotations

from typing import Protocol

from sipreg.message.model import Request
from sipreg.registrar.model import Binding
from sipreg.registrar.registration import Registration


class SaveHook(Protocol):
    """One extension. It holds no state of a request; it is asked in the order in which hooks are listed."""

    option_tags: frozenset[str]
    """What it adds to the extensions that a Require may name, in lower case."""

    def inspect(self, request: Request, registration: Registration) -> Registration:
        """Return the registration as it shall be planned, completed by what the extension reads from the request.

        Raises:
            RequestRefused: the extension has a reason; nothing was stored.
        """

    def contact_params(self, registration: Registration, binding: Binding) -> str:
        """Return what is added to one contact of the 200, such as ``;pub-gruu="..."``; "" for nothing."""

    def reply_headers(self, request: Request, registration: Registration) -> str:
        """Return header lines for the 200, each with its end; "" for none."""
