"""Credentials in Redis and in memory: looked up for the registrar, and changed by whoever manages subscribers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from redis.asyncio.client import PubSub
from redis.asyncio.cluster import RedisCluster

from sipreg.clock import Clock
from sipreg.registrar.ports import NOT_KNOWN, Credential, Known
from sipreg.store.admin import AdminClient
from sipreg.store.client_errors import CLIENT_ERRORS, reason_of, store_errors
from sipreg.store.credential_copy import CredentialCopy, CredentialLimits
from sipreg.store.credential_questions import Answers, CredentialQuestions, Done, end_tasks
from sipreg.store.keys import Keys
from sipreg.store.resp import to_bytes
from sipreg.store.subscribers import Subscriber, SubscriberStore, is_user

_CANNOT: Final = "The store of credentials cannot be asked"
_DEFAULT_LIMITS: Final = CredentialLimits()
_CHANGE: Final = (Path(__file__).with_name("lua") / "change_credential.lua").read_text("utf-8")
_SILENCE_S: Final = 1.0
"""Below the socket's time limit: after this long without a message the connection is asked whether it still lives."""
_BACKOFF_S: Final = (0.1, 5.0)
"""First and longest pause before the channel is subscribed to again."""
_ATTEMPT_LIMIT_S: Final = 1.0
"""Seconds that `RedisCredentials.open` waits for its first subscription."""
_SCAN_COUNT: Final = 1000
_GLOB: Final = str.maketrans({special: f"\\{special}" for special in "*?[]^\\"})

logger = logging.getLogger(__name__)


class MemoryCredentials(SubscriberStore):
    """Credentials that live as long as the process."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Credential] = {}

    async def open(self) -> None:
        """Do nothing: it is ready."""

    async def close(self) -> None:
        """Do nothing: there is nothing to give back."""

    def recall(self, realm: str, user: str) -> Credential | Known | None:
        """Return one subscriber; nothing ever needs to be asked for."""
        return self._known.get((realm.lower(), user))

    def credential(self, realm: str, user: str, done: Done) -> None:
        """Look up one subscriber; ``done`` is called before this returns."""
        done(self._known.get((realm.lower(), user)))

    async def _create(self, who: Subscriber, credential: Credential) -> bool:
        return self._known.setdefault(who, credential) is credential

    async def _update(self, who: Subscriber, ha1: Mapping[str, str]) -> bool:
        if (known := self._known.get(who)) is None:
            return False
        self._known[who] = Credential(dict(ha1), known.aors)
        return True

    async def _delete(self, who: Subscriber) -> bool:
        return self._known.pop(who, None) is not None

    async def _names(self, realm: str | None) -> set[Subscriber]:
        return {Subscriber(*name) for name in self._known if realm in (None, name[0])}


class RedisCredentials(SubscriberStore):
    """Credentials in Redis, one hash a subscriber, behind a copy of bounded size and age.

    A change is told on the channel ``<prefix>:cred`` as ``realm:user``, whoever makes it, and dropped from the copy of every node; a
    message without a colon drops all, for those who load credentials by other means. It belongs to the event loop that runs `open`.
    """

    def __init__(self, client: AdminClient, keys: Keys, clock: Clock, limits: CredentialLimits = _DEFAULT_LIMITS) -> None:
        """Look up and manage credentials through ``client``, which stays its owner's to close."""
        self._client = client
        self._keys = keys
        self._channel = f"{keys.prefix}:cred"
        self._clock = clock
        self._limits = limits
        self._copy = CredentialCopy(limits)
        self._questions = CredentialQuestions(self._fetch, self._lane_of, self._keep, limits)
        self._follower: asyncio.Task[None] | None = None
        self._attempted = asyncio.Event()

    async def open(self) -> None:
        """Begin to follow the changes; the store need not be there yet.

        It returns when the first attempt has come to something, or after a while: a client that is closed amid its first connection
        would leave that open.
        """
        self._follower = asyncio.create_task(self._follow(), name="credential changes")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._attempted.wait(), _ATTEMPT_LIMIT_S)

    async def close(self) -> None:
        """End what is under way: whoever still waits for a credential gets StoreUnavailable."""
        if self._follower is not None:
            await end_tasks({self._follower})
            self._follower = None
        await self._questions.close()

    def recall(self, realm: str, user: str) -> Credential | Known | None:
        """Return what the copy has of one subscriber."""
        known = self._copy.find((realm.lower(), user), self._clock.now())
        # Where nobody can have this name the store need not hear of it.
        return None if known is NOT_KNOWN and not is_user(user) else known

    def credential(self, realm: str, user: str, done: Done) -> None:
        """Look up one subscriber: at once from the copy, else when the store has answered."""
        known = self.recall(realm, user)
        if isinstance(known, Known):
            self._questions.ask(Subscriber(realm.lower(), user), done)
        else:
            done(known)

    def _keep(self, who: Subscriber, data: bytes | None) -> None:
        self._copy.keep(who, data, self._clock.now())

    def _forget(self, who: Subscriber) -> None:
        self._copy.drop(who)
        self._questions.outdate(who)

    def _lane_of(self, who: Subscriber) -> str:
        """Return the node of a cluster that has the subscriber, so that one which is down holds up nobody but its own."""
        if not isinstance(self._client, RedisCluster):
            return ""
        try:
            node = self._client.get_node_from_key(self._keys.credential(*who))
        except CLIENT_ERRORS:
            # The layout is not known yet.
            return ""
        return "" if node is None else node.name

    async def _fetch(self, asked: list[Subscriber]) -> Answers:
        """Ask for the hashes of several subscribers in one round trip."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for who in asked:
                pipeline.hgetall(to_bytes(self._keys.credential(*who)))
            answers: Answers = await pipeline.execute(raise_on_error=False)
        return answers

    async def _create(self, who: Subscriber, credential: Credential) -> bool:
        fields = dict(credential.ha1)
        if credential.aors:
            fields["aors"] = "\n".join(credential.aors)
        return await self._change(who, fields, exists=False)

    async def _update(self, who: Subscriber, ha1: Mapping[str, str]) -> bool:
        return await self._change(who, ha1, exists=True)

    async def _delete(self, who: Subscriber) -> bool:
        return await self._change(who, {}, exists=True)

    async def _change(self, who: Subscriber, fields: Mapping[str, str], *, exists: bool) -> bool:
        arguments = [text for item in fields.items() for text in item]
        with store_errors(_CANNOT):
            key = self._keys.credential(*who)
            changed = await self._client.eval(_CHANGE, 1, key, str(int(exists)), self._channel, f"{who.realm}:{who.user}", *arguments)
        # Not only through the channel: who manages subscribers here sees the change here when this returns.
        self._forget(who)
        return bool(changed)

    async def _names(self, realm: str | None) -> set[Subscriber]:
        start = self._keys.credential("", "")[:-1]
        pattern = start.translate(_GLOB) + ("*" if realm is None else f"{realm.translate(_GLOB)}:*")
        found = set()
        with store_errors(_CANNOT):
            async for key in self._client.scan_iter(match=to_bytes(pattern), count=_SCAN_COUNT):
                where, _, user = key.decode("utf-8", "surrogateescape").removeprefix(start).rpartition(":")
                if realm in (None, where):
                    found.add(Subscriber(where, user))
        return found

    async def _follow(self) -> None:
        """Drop from the copy what was changed elsewhere, until cancelled."""
        first, longest = _BACKOFF_S
        pause = first
        while True:
            try:
                async with self._client.pubsub() as channel:
                    await channel.subscribe(self._channel)
                    self._attempted.set()
                    async for message in _messages(channel):
                        pause = first
                        self._heed(message)
            except Exception as error:  # noqa: BLE001 (whatever it is: without this task the copies would grow old unnoticed)
                logger.warning("changes of credentials are not followed for %.1f s: %s", pause, reason_of(error))
            self._attempted.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    def _heed(self, message: Mapping[str, Any]) -> None:
        realm, colon, user = b"", b"", b""
        if message["type"] == "message":
            realm, colon, user = message["data"].rpartition(b":")
        elif message["type"] != "subscribe":
            return
        if colon:
            self._forget(Subscriber(realm.decode("utf-8", "surrogateescape"), user.decode("utf-8", "surrogateescape")))
        else:
            # Just subscribed, perhaps anew by redis-py itself: what was told before is lost.
            self._copy.clear()
            self._questions.outdate_all()


async def _messages(channel: PubSub) -> AsyncIterator[Mapping[str, Any]]:
    """Give the messages of a channel; a connection that is silent and does not answer a ping raises TimeoutError."""
    pinged = False
    while True:
        message = await channel.get_message(timeout=_SILENCE_S)
        if message is not None:
            pinged = False
            yield message
        elif pinged:
            raise TimeoutError("the connection is dead")
        else:
            await channel.ping()
            pinged = True
