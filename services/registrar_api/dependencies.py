"""What routes are given: the service behind the API, and proof of who calls."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from urllib.parse import quote

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from sipreg.clock import Clock
from sipreg.errors import SipregError, StoreUnavailable
from sipreg.registrar.aor import parse_aor
from sipreg.registrar.model import Aor, Plan, Snapshot
from sipreg.registrar.ports import ReadOutcome
from sipreg.registrar.service import Registrar

T = TypeVar("T")

_PLAIN = "!$&'()*+,-./;=?_~"
"""What the user part of a SIP URI may hold as it is, beside letters and digits (RFC 3261 §25.1)."""
_ANY_HOST = "localhost"
"""Where domains play no part, any will do."""


class Answered(Generic[T]):
    """A callback of the core that can be awaited."""

    def __init__(self) -> None:
        """Wait within the running event loop."""
        self.outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def done(self, outcome: T) -> None:
        """Take the outcome, unless nobody waits for it any more."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


@dataclass(frozen=True, slots=True)
class Service:
    """The registrar core for routes: its callbacks turned into coroutines."""

    registrar: Registrar
    clock: Clock
    token: str
    """Bearer token that callers must show, "" for none."""

    def aor(self, text: str, table: str | None) -> Aor:
        """Return the AoR that a caller names, as it is stored and told in events (``user@host``, nothing escaped), or as a URI.

        Raises:
            BadMessage: it is none.
        """
        parameters = self.registrar.parameters
        uri = text
        if not text.lower().startswith(("sip:", "sips:", "tel:")):
            user, at, host = text.rpartition("@")
            if not parameters.use_domain and not at:
                user, host = text, _ANY_HOST
            uri = f"sip:{quote(user, safe=_PLAIN, errors='surrogateescape')}@{host}" if user else f"sip:{host}"
        return parse_aor(uri, parameters, table or self.registrar.table)

    async def read(self, aor: Aor) -> Snapshot:
        """Return what is stored.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        asked: Answered[ReadOutcome] = Answered()
        self.registrar.store.read(aor, asked.done)
        outcome = await asked.outcome
        if isinstance(outcome, Snapshot):
            return outcome
        raise outcome if isinstance(outcome, StoreUnavailable) else StoreUnavailable("The store gave no state")

    async def remove(self, aor: Aor, contact: str | None) -> Plan:
        """Remove one contact, or all with None; return what was made of the AoR.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        now_ms = self.clock.now_ms()
        asked: Answered[Plan | SipregError] = Answered()
        self.registrar.remove(aor, contact, now_ms, asked.done)
        outcome = await asked.outcome
        if isinstance(outcome, SipregError):
            raise outcome
        return outcome


_bearer = HTTPBearer(auto_error=False, description="The token of setting api.token; not needed where none is set.")


def service(request: Request) -> Service:
    """The service that the application was made with."""
    found: Service = request.app.state.service
    return found


def authorized(
    found: Annotated[Service, Depends(service)], shown: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    """Let pass who shows the token."""
    if found.token and (shown is None or not hmac.compare_digest(shown.credentials.encode(), found.token.encode())):
        raise HTTPException(401, "A bearer token is needed", {"WWW-Authenticate": "Bearer"})


ServiceDependency = Annotated[Service, Depends(service)]
