"""Questions for credentials that are under way: one for each subscriber, many in one round trip, and never too many."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from sipreg.errors import StoreUnavailable
from sipreg.registrar.ports import CredentialOutcome
from sipreg.store.client_errors import reason_of
from sipreg.store.credential_copy import CredentialLimits
from sipreg.store.subscribers import Subscriber, packed, unpacked

Done = Callable[[CredentialOutcome], None]
Answers = list[Mapping[bytes, bytes] | Exception]

_BATCH: Final = 64
"""Subscribers asked for in one round trip: enough to make the cost of the trip vanish, few enough not to hold up the event loop."""
_CANCEL_AGAIN_S: Final = 0.1

logger = logging.getLogger(__name__)


class _Question:
    """Who is asked for, and who waits for the answer."""

    __slots__ = ("waiting", "who")

    def __init__(self, who: Subscriber) -> None:
        self.who = who
        self.waiting: list[Done] = []


class CredentialQuestions:
    """Asks a store for subscribers.

    What is asked while the store is busy with the questions before goes to it in one piece when it has answered these. Each lane, such
    as one node of a cluster, has a round trip of its own under way, so that a node which does not answer holds up only its own.
    """

    def __init__(
        self,
        fetch: Callable[[list[Subscriber]], Awaitable[Answers]],
        lane_of: Callable[[Subscriber], str],
        keep: Callable[[Subscriber, bytes | None], None],
        limits: CredentialLimits,
    ) -> None:
        """Take how to ask.

        Args:
            fetch: asks for several subscribers of one lane; answers in their order.
            lane_of: returns the lane of a subscriber.
            keep: is given each answer that is not out of date, in packed form.
            limits: bounds of number and time.
        """
        self._fetch = fetch
        self._lane_of = lane_of
        self._keep = keep
        self._limits = limits
        self._open: dict[Subscriber, _Question] = {}
        self._waiting = 0
        self._lanes: dict[str, list[_Question]] = {}
        self._under_way: set[_Question] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, who: Subscriber, done: Done) -> None:
        """Ask for a subscriber; ``done`` is called once, now with StoreUnavailable if too much is under way."""
        question = self._open.get(who)
        if self._waiting >= self._limits.max_waiting or (question is None and len(self._under_way) >= self._limits.max_asks):
            done(StoreUnavailable("Too many credentials are being looked up"))
            return
        self._waiting += 1
        if question is None:
            question = self._open[who] = _Question(who)
            self._under_way.add(question)
            self._put(question)
        question.waiting.append(done)

    def outdate(self, who: Subscriber) -> None:
        """Take note that a subscriber was changed: an answer under way is given to those who wait, but not kept."""
        self._open.pop(who, None)

    def outdate_all(self) -> None:
        """Take note that any may have been changed."""
        self._open.clear()

    async def close(self) -> None:
        """End what is under way: those who wait get StoreUnavailable."""
        await end_tasks(set(self._tasks))
        for question in list(self._under_way):
            self._answer(question, StoreUnavailable("The store of credentials is being closed"))

    def _put(self, question: _Question) -> None:
        name = self._lane_of(question.who)
        lane = self._lanes.get(name)
        if lane is not None:
            lane.append(question)
            return
        lane = self._lanes[name] = [question]
        task = asyncio.get_running_loop().create_task(self._run(name, lane), name=f"credentials {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, name: str, lane: list[_Question]) -> None:
        """Ask the questions of a lane until there are none left."""
        try:
            while lane:
                batch = lane[:_BATCH]
                del lane[:_BATCH]
                await self._ask_batch(batch, lane)
        finally:
            del self._lanes[name]

    async def _ask_batch(self, batch: list[_Question], lane: list[_Question]) -> None:
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                answers = await self._fetch([question.who for question in batch])
        except Exception as error:  # noqa: BLE001 (whatever it is: somebody waits for an answer)
            logger.warning("the store does not tell credentials: %s", reason_of(error))
            # Those who queued behind have waited long enough for the same store.
            batch, lane[:] = batch + lane, []
            answers = [error] * len(batch)
        for question, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                self._answer(question, StoreUnavailable(f"The store does not tell credentials: {reason_of(answer)}"))
            else:
                self._found(question, packed(answer))

    def _found(self, question: _Question, data: bytes | None) -> None:
        if self._open.get(question.who) is question:
            self._keep(question.who, data)
        self._answer(question, None if data is None else unpacked(data))

    def _answer(self, question: _Question, outcome: CredentialOutcome) -> None:
        if self._open.get(question.who) is question:
            del self._open[question.who]
        self._under_way.discard(question)
        self._waiting -= len(question.waiting)
        for done in question.waiting:
            try:
                done(outcome)
            except Exception:
                logger.exception("a callback for credentials failed")


async def end_tasks(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they have ended."""
    while tasks:
        for task in tasks:
            task.cancel()
        # Again and again: `asyncio.wait_for` of Python 3.11, beneath some client, loses a cancellation that meets what it waits for.
        _, tasks = await asyncio.wait(tasks, timeout=_CANCEL_AGAIN_S)
