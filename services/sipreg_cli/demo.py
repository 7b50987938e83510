"""Two subscribers to try a fresh installation with."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sipreg.composition import Stores
from sipreg.errors import StoreUnavailable
from sipreg.registrar.ports import Credential, CredentialOutcome
from sipreg.settings import Settings
from sipreg.store.secret import demo_password
from sipreg.store.subscribers import SubscriberError, ha1_for

USERS = ("alice", "bob")


async def demo_subscribers(stores: Stores, settings: Settings) -> list[tuple[str, str, str]]:
    """Create them where they are missing; return (user, domain, password) of those whose password is still ours.

    The password follows from the store's secret, so that it can be told at every start though only its hash is kept.
    """
    domain = settings.registrar.domains[0]
    realm = settings.auth.realm or domain
    told = []
    for user in USERS:
        password = demo_password(stores.secret, user, realm)
        known = await _credential(stores, realm, user)
        if known is None:
            with suppress(SubscriberError):  # somebody was faster
                await stores.credentials.add(realm, user, password)
            known = await _credential(stores, realm, user)
        if known is not None and known.ha1 == ha1_for(user, realm, password):
            told.append((user, domain, password))
    return told


async def _credential(stores: Stores, realm: str, user: str) -> Credential | None:
    """Return what is stored of a subscriber.

    Raises:
        StoreUnavailable: the store could not be asked.
    """
    found: asyncio.Future[CredentialOutcome] = asyncio.get_running_loop().create_future()
    stores.credentials.credential(realm, user, found.set_result)
    outcome = await found
    if isinstance(outcome, StoreUnavailable):
        raise outcome
    return outcome
