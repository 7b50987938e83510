"""What tests of stores are made of: builders, a bench to work at, and a link that runs our very scripts on fakeredis."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final, Protocol, TypeVar

import fakeredis
import redis.exceptions

from sipreg.clock import WallClock
from sipreg.errors import StoreUnavailable
from sipreg.registrar.model import ABSENT, Aor, Binding, Event, Snapshot
from sipreg.registrar.ports import BindingStore, Change, CommitOutcome, NonceUse, ReadOutcome
from sipreg.store.address import StoreAddress
from sipreg.store.admin import admin_client
from sipreg.store.keys import Keys
from sipreg.store.link import DEFAULT_LIMITS, Done, Link, LinkLimits
from sipreg.store.memory_store import MemoryStore
from sipreg.store.redis_store import RedisStore, RedisStoreOptions, link_to
from sipreg.store.resp import unpack
from sipreg.store.scripts import with_source
from sipreg.tokens import RandomTokens

T = TypeVar("T")

LIMIT_S: Final = 10.0

_numbers: Final = itertools.count()

CHANNELS: Final = ("E_UL_AOR_INSERT", "E_UL_AOR_DELETE", "E_UL_CONTACT_INSERT", "E_UL_CONTACT_UPDATE", "E_UL_CONTACT_DELETE")


def now_ms() -> int:
    """Return the present, in Unix milliseconds."""
    return WallClock().now_ms()


def an_aor(table: str = "location") -> Aor:
    """Return an AoR that no other test uses."""
    return Aor(table, f"alice-{os.getpid()}-{next(_numbers)}@example.com")


def a_nonce(count: int = 1, *, nonce: str = "", lapses_in_ms: int = 60_000) -> NonceUse:
    """Return the use of a nonce; of one that no other test uses, unless it is given."""
    return NonceUse(nonce or f"nonce-{os.getpid()}-{next(_numbers)}", count, now_ms() + lapses_in_ms)


def a_binding(contact: str = "sip:alice@192.0.2.1:5060", *, lapses_in_ms: int = 60_000, **more: Any) -> Binding:
    """Return a contact; ``more`` are further fields of `Binding`."""
    now = now_ms()
    fields: dict[str, Any] = {"expires_at_ms": now + lapses_in_ms, "modified_at_ms": now, "call_id": "c1", "cseq": 1}
    return Binding(contact=contact, **fields | more)


async def until(condition: Callable[[], Awaitable[T]], limit_s: float, what: str) -> T:
    """Ask again and again, and return the first true answer.

    Raises:
        AssertionError: ``limit_s`` passed without one.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit_s
    while True:
        answer = await condition()
        if answer:
            return answer
        assert loop.time() < deadline, f"waited {limit_s} s in vain for {what}"
        await asyncio.sleep(0.02)


class TestedStore(BindingStore, Protocol):
    """What every store of ours has beside the port."""

    @property
    def available(self) -> bool:
        """Whether it can be asked."""


class Bench:
    """A store, and its port's calls as coroutines."""

    def __init__(self, store: TestedStore) -> None:
        self.store = store

    async def read(self, aor: Aor, nonce_use: NonceUse | None = None) -> ReadOutcome:
        """Read, and check that the callback is called once."""
        return await _once(lambda done: self.store.read(aor, done, nonce_use))

    async def commit(self, change: Change) -> CommitOutcome:
        """Commit, and check that the callback is called once."""
        return await _once(lambda done: self.store.commit(change, done))

    async def snapshot(self, aor: Aor) -> Snapshot:
        """Read, and expect to be answered."""
        outcome = await self.read(aor)
        assert isinstance(outcome, Snapshot), outcome
        return outcome

    async def put(self, aor: Aor, *bindings: Binding, on: Snapshot = ABSENT, nonce_use: NonceUse | None = None) -> CommitOutcome:
        """Commit bindings on a state, with the event of an update of the first."""
        events = (Event("E_UL_CONTACT_UPDATE", aor, bindings[0]),) if bindings else (Event("E_UL_AOR_DELETE", aor),)
        return await self.commit(Change(aor, on.etag, bindings, events, nonce_use))


async def _once(call: Callable[[Callable[[T], None]], None]) -> T:
    outcomes: list[T] = []
    answered = asyncio.Event()

    def done(outcome: T) -> None:
        outcomes.append(outcome)
        answered.set()

    call(done)
    async with asyncio.timeout(LIMIT_S):
        await answered.wait()
    await asyncio.sleep(0)
    assert len(outcomes) == 1, outcomes
    return outcomes[0]


Told = Callable[[int], Awaitable[list[dict[str, Any]]]]
"""Waits until so many events were told, and gives all that were."""


class Backend(Protocol):
    """A kind of store."""

    name: str

    def bench(self, options: RedisStoreOptions = ...) -> AbstractAsyncContextManager[Bench]:
        """Return a context with a bench at one more store on the same data."""

    def events(self, aor: Aor) -> AbstractAsyncContextManager[Told]:
        """Return a context with what is told of an AoR from now on."""

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run a test's coroutine."""


class MemoryBackend:
    """One store in this process."""

    name = "memory"

    def __init__(self) -> None:
        self.store = MemoryStore(WallClock(), RandomTokens())

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run a test's coroutine."""
        asyncio.run(scenario)

    @asynccontextmanager
    async def bench(self, options: RedisStoreOptions = RedisStoreOptions()) -> AsyncIterator[Bench]:
        """Give a bench at the one store that there is."""
        await self.store.open()
        yield Bench(self.store)
        await self.store.close()

    @asynccontextmanager
    async def events(self, aor: Aor) -> AsyncIterator[Told]:
        """Give the events as JSON would show them."""
        told: list[dict[str, Any]] = []

        def listen(event: Event) -> None:
            if event.aor == aor:
                told.append({"event": event.name, "aor": event.aor.text} | ({"uri": event.binding.contact} if event.binding else {}))

        async def wait_for(count: int) -> list[dict[str, Any]]:
            return told

        unsubscribe = self.store.subscribe(listen)
        yield wait_for
        unsubscribe()


class RedisBackend:
    """A real server or cluster."""

    def __init__(self, name: str, address: StoreAddress, runner: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run) -> None:
        self.name = name
        self.address = address
        self._runner = runner

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run a test's coroutine."""
        self._runner(scenario)

    def link(self, limits: LinkLimits = DEFAULT_LIMITS) -> Link:
        """Return one more link to it."""
        return link_to(self.address, limits)

    def pubsub_client(self) -> Any:
        """Return a client whose ``pubsub`` hears the events."""
        if self.address.kind == "cluster":
            # A message reaches the subscribers of every node, and the asynchronous cluster client has no pub/sub.
            host, port = self.address.hosts[0]
            return admin_client(StoreAddress(kind="single", hosts=((host, port),)))
        return admin_client(self.address)

    @asynccontextmanager
    async def bench(self, options: RedisStoreOptions = RedisStoreOptions()) -> AsyncIterator[Bench]:
        """Give a bench at a store with a link of its own."""
        store = RedisStore(self.link(), Keys(), RandomTokens(), options)
        await store.open()
        try:
            yield Bench(store)
        finally:
            await store.close()

    @asynccontextmanager
    async def events(self, aor: Aor) -> AsyncIterator[Told]:
        """Give the events that are published, without those of other tests."""
        async with AsyncExitStack() as stack:
            client = self.pubsub_client()
            stack.push_async_callback(client.aclose)
            pubsub = client.pubsub(ignore_subscribe_messages=True)
            stack.push_async_callback(pubsub.aclose)
            await pubsub.subscribe(*CHANNELS)
            yield lambda count: _hear(pubsub, aor, count)


async def _hear(pubsub: Any, aor: Aor, count: int) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LIMIT_S
    # One more look after the last that is expected: there must not be another.
    while loop.time() < deadline:
        message = await pubsub.get_message(timeout=0.05 if len(told) >= count else 1.0)
        if message is None and len(told) >= count:
            break
        if message is not None and message["type"] == "message":
            event = json.loads(message["data"])
            assert message["channel"].decode() == event["event"]
            if event["aor"] == aor.text:
                told.append(event)
    return told


class FakeRedisBackend(RedisBackend):
    """Our very scripts, run by fakeredis in this process."""

    def __init__(self) -> None:
        super().__init__("fakeredis", StoreAddress(kind="single", hosts=(("fake", 1),)))
        self._server = fakeredis.FakeServer()

    def link(self, limits: LinkLimits = DEFAULT_LIMITS) -> Link:
        """Return one more link to it."""
        return FakeRedisLink(self._server)

    def pubsub_client(self) -> Any:
        """Return a client whose ``pubsub`` hears the events."""
        return fakeredis.FakeAsyncRedis(server=self._server)


class FakeRedisLink:
    """A link to fakeredis."""

    def __init__(self, server: fakeredis.FakeServer) -> None:
        self._server = server
        self._commands: asyncio.Queue[tuple[bytes, Done]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    @property
    def available(self) -> bool:
        """Whether it is open."""
        return self._task is not None

    async def open(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def call(self, slot: int, command: bytes, done: Done) -> None:
        """Carry a command out, after those before it."""
        self._commands.put_nowait((command, done))

    async def _work(self) -> None:
        client = fakeredis.FakeAsyncRedis(server=self._server)
        try:
            while True:
                command, done = await self._commands.get()
                done(await self._ask(client, command))
        finally:
            await client.aclose()

    async def _ask(self, client: Any, command: bytes) -> Any:
        try:
            return await client.execute_command(*unpack(command))
        except redis.exceptions.NoScriptError:
            whole = with_source(command)
            assert whole is not None
            return await client.execute_command(*unpack(whole))
        except redis.exceptions.RedisError as error:
            return StoreUnavailable(str(error))
