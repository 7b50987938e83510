"""What every role is put together from: the stores that the settings name, and the registrar core on them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sipreg.clock import WallClock
from sipreg.errors import SettingWrong
from sipreg.registrar.access import Domains
from sipreg.registrar.digest import Digest, DigestPolicy
from sipreg.registrar.service import Registrar, RegistrarParts
from sipreg.settings import Settings
from sipreg.store.admin import admin_client
from sipreg.store.credential_copy import CredentialLimits
from sipreg.store.credentials import MemoryCredentials, RedisCredentials
from sipreg.store.embedded import attach_or_start, default_directory
from sipreg.store.keys import Keys
from sipreg.store.link import LinkLimits
from sipreg.store.memory_store import MemoryStore
from sipreg.store.redis_store import RedisStore, RedisStoreOptions, link_to
from sipreg.store.secret import cluster_secret, derive, fresh_secret
from sipreg.store.server_program import NoServer, find_server
from sipreg.tokens import RandomTokens

logger = logging.getLogger("sipreg")

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What is kept, opened."""

    bindings: RedisStore | MemoryStore
    credentials: RedisCredentials | MemoryCredentials
    secret: bytes
    """What all nodes on this store share, and nobody else knows."""
    buckets: int
    """Parts of the store that want to be kept tidy; 0 where it does that itself."""

    @property
    def available(self) -> bool:
        """Whether the store can be asked at present, as far as is known."""
        return not isinstance(self.bindings, RedisStore) or self.bindings.available

    async def tidy(self, bucket: int, now_ms: int) -> None:
        """Take AoRs out of a bucket's due index that lapsed by themselves; any number of workers may do it at once.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        if isinstance(self.bindings, RedisStore):
            while await self.bindings.tidy(bucket, now_ms):
                pass


@asynccontextmanager
async def with_running_store(settings: Settings) -> AsyncIterator[Settings]:
    """Start the embedded server where the settings name it, and give the settings with its address.

    Where no server program can run, the memory store takes its place, and the log says what that loses.
    """
    address = settings.store.address
    if address.kind != "embedded":
        yield settings
        return
    directory = Path(address.path) if address.path else default_directory()
    program = find_server()
    if isinstance(program, NoServer):
        logger.warning(
            "%s; so bindings are kept in memory: they are lost when this process ends, and no other process sees them", program.reason
        )
        yield _with_store(settings, "memory")
        return
    async with attach_or_start(directory) as running:
        yield _with_store(settings, str(running))


def _with_store(settings: Settings, url: str) -> Settings:
    store = settings.store.model_copy(update={"url": url})
    return settings.model_copy(update={"store": store})


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Open the stores that the settings name; they are closed in the end.

    Raises:
        SettingWrong: the store cannot be what it has to be.
        StoreUnavailable: it must be asked before anything can begin, and does not answer.
    """
    section = settings.store
    address = section.address
    if address.kind == "embedded":
        raise SettingWrong("store.url: the embedded server is not running")
    if address.kind == "memory":
        memory = MemoryStore(WallClock(), RandomTokens())
        yield Stores(bindings=memory, credentials=MemoryCredentials(), secret=fresh_secret(), buckets=0)
        return
    keys = Keys(section.prefix, section.buckets)
    client = admin_client(address)
    link = link_to(address, LinkLimits(timeout_s=section.timeout_ms / 1000, max_in_flight=section.max_in_flight))
    options = RedisStoreOptions(cache_bytes=section.cache_mib * MIB, quiet_events=frozenset(section.quiet_events))
    bindings = RedisStore(link, keys, RandomTokens(), options)
    credentials = RedisCredentials(client, keys, WallClock(), CredentialLimits(max_age_s=settings.auth.cache_s))
    try:
        secret = await cluster_secret(client, keys)
        await bindings.open()
        await credentials.open()
        yield Stores(bindings=bindings, credentials=credentials, secret=secret, buckets=section.buckets)
    finally:
        await credentials.close()
        await bindings.close()
        await client.aclose()


def create_registrar(settings: Settings, stores: Stores) -> Registrar:
    """Return the registrar core on these stores; edge and API use the very same."""
    auth = settings.auth
    policy = DigestPolicy(algorithms=auth.algorithms, nonce_lifetime_s=auth.nonce_lifetime_s)
    digest = Digest(derive(stores.secret, "nonce"), policy, RandomTokens()) if auth.mode == "digest" else None
    return Registrar(
        RegistrarParts(
            store=stores.bindings,
            credentials=stores.credentials,
            digest=digest,
            domains=Domains(names=frozenset(settings.registrar.domains), realm=auth.realm),
            parameters=settings.registrar.parameters(),
            table=settings.registrar.table,
        )
    )
