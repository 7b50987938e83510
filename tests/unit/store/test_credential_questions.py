from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sipreg.errors import StoreUnavailable
from sipreg.registrar.ports import Credential, CredentialOutcome
from sipreg.store.credential_copy import CredentialLimits
from sipreg.store.credential_questions import Answers, CredentialQuestions, end_tasks
from sipreg.store.subscribers import Subscriber, packed

HASH = {b"MD5": b"aa"}
FOUND = Credential({"MD5": "aa"})


def a_subscriber(user: str, realm: str = "example.com") -> Subscriber:
    return Subscriber(realm, user)


class SlowStore:
    """A store that answers when it is told to; realms are lanes."""

    def __init__(self, limits: CredentialLimits | None = None) -> None:
        self.asked: list[list[str]] = []
        self.kept: list[tuple[str, bytes | None]] = []
        self.go_on = asyncio.Event()
        self.error: Exception | None = None
        self.questions = CredentialQuestions(
            self._fetch, lambda who: who.realm, lambda who, text: self.kept.append((who.user, text)), limits or CredentialLimits()
        )

    async def _fetch(self, asked: list[Subscriber]) -> Answers:
        self.asked.append([who.user for who in asked])
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return [{} if who.user == "nobody" else HASH for who in asked]

    def ask(self, user: str, realm: str = "example.com") -> asyncio.Future[CredentialOutcome]:
        """Ask; the future would complain of a second answer."""
        future: asyncio.Future[CredentialOutcome] = asyncio.get_running_loop().create_future()
        self.questions.ask(a_subscriber(user, realm), future.set_result)
        return future


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await scenario()

    asyncio.run(bounded())


class TestAsking:
    def test_many_who_ask_for_one_share_a_question(self) -> None:
        async def course() -> None:
            store = SlowStore()
            futures = [store.ask("alice") for _ in range(5)]
            await turns()
            futures += [store.ask("alice") for _ in range(5)]
            store.go_on.set()
            assert await asyncio.gather(*futures) == [FOUND] * 10
            assert store.asked == [["alice"]]
            assert store.kept == [("alice", packed(HASH))]

        run(course)

    def test_what_is_asked_meanwhile_goes_in_one_piece(self) -> None:
        async def course() -> None:
            store = SlowStore()
            futures = [store.ask("first")]
            await turns()
            futures += [store.ask(user) for user in ("second", "nobody", "third")]
            store.go_on.set()
            assert await asyncio.gather(*futures) == [FOUND, FOUND, None, FOUND]
            assert store.asked == [["first"], ["second", "nobody", "third"]]

        run(course)

    def test_a_lane_that_does_not_answer_holds_up_no_other(self) -> None:
        async def course() -> None:
            store = SlowStore()
            store.ask("alice", "one.example")
            store.ask("bob", "two.example")
            await turns()
            assert store.asked == [["alice"], ["bob"]]
            store.go_on.set()
            await turns()

        run(course)

    def test_who_asks_again_after_the_answer_asks_anew(self) -> None:
        async def course() -> None:
            store = SlowStore()
            store.go_on.set()
            assert await store.ask("alice") == FOUND
            assert await store.ask("alice") == FOUND
            assert store.asked == [["alice"], ["alice"]]

        run(course)


class TestBounds:
    def test_too_many_subscribers_asked_for_are_refused_at_once(self) -> None:
        async def course() -> None:
            store = SlowStore(CredentialLimits(max_asks=3))
            futures = [store.ask(str(number)) for number in range(3)]
            await turns()
            assert isinstance(store.ask("one more").result(), StoreUnavailable)
            # One more who waits for what is asked already costs nothing.
            futures.append(store.ask("2"))
            store.go_on.set()
            assert await asyncio.gather(*futures) == [FOUND] * 4
            assert await store.ask("one more") == FOUND

        run(course)

    def test_too_many_who_wait_are_refused_at_once(self) -> None:
        async def course() -> None:
            store = SlowStore(CredentialLimits(max_waiting=3))
            futures = [store.ask("alice") for _ in range(3)]
            assert isinstance(store.ask("alice").result(), StoreUnavailable)
            store.go_on.set()
            assert await asyncio.gather(*futures) == [FOUND] * 3
            assert await store.ask("alice") == FOUND

        run(course)

    def test_nobody_waits_longer_than_the_limit(self) -> None:
        async def course() -> None:
            store = SlowStore(CredentialLimits(timeout_s=0.05))
            futures = [store.ask("alice")]
            await turns()
            futures.append(store.ask("bob"))
            outcomes = await asyncio.gather(*futures)
            assert [str(outcome) for outcome in outcomes] == ["The store does not tell credentials: TimeoutError"] * 2
            # Bob was queued behind, and is not made to wait a second time.
            assert store.asked == [["alice"]]

        run(course)


class TestErrors:
    def test_an_error_of_the_store_is_never_an_answer(self) -> None:
        async def course() -> None:
            store = SlowStore()
            store.error = ConnectionError("refused")
            store.go_on.set()
            outcome = await store.ask("alice")
            assert isinstance(outcome, StoreUnavailable)
            assert str(outcome) == "The store does not tell credentials: refused"
            assert store.kept == []
            store.error = None
            assert await store.ask("alice") == FOUND

        run(course)

    def test_a_callback_that_fails_takes_no_other_along(self) -> None:
        def fail(outcome: CredentialOutcome) -> None:
            raise RuntimeError(outcome)

        async def course() -> None:
            store = SlowStore()
            store.questions.ask(a_subscriber("alice"), fail)
            futures = [store.ask("alice"), store.ask("bob")]
            store.go_on.set()
            assert await asyncio.gather(*futures) == [FOUND, FOUND]

        run(course)

    def test_who_waits_when_it_is_closed_is_told(self) -> None:
        async def course() -> None:
            store = SlowStore()
            futures = [store.ask("alice")]
            await turns()
            futures.append(store.ask("bob"))
            await store.questions.close()
            assert all(isinstance(future.result(), StoreUnavailable) for future in futures)
            assert len(asyncio.all_tasks()) == 1

        run(course)


class TestOutdated:
    def test_an_answer_from_before_a_change_is_given_but_not_kept(self) -> None:
        async def course() -> None:
            store = SlowStore()
            before = store.ask("alice")
            await turns()
            store.questions.outdate(a_subscriber("alice"))
            after = store.ask("alice")
            store.go_on.set()
            assert (await before, await after) == (FOUND, FOUND)
            assert store.asked == [["alice"], ["alice"]]
            assert store.kept == [("alice", packed(HASH))]

        run(course)

    def test_no_answer_from_before_a_loss_of_messages_is_kept(self) -> None:
        async def course() -> None:
            store = SlowStore()
            futures = [store.ask("alice"), store.ask("nobody")]
            await turns()
            store.questions.outdate_all()
            store.go_on.set()
            assert await asyncio.gather(*futures) == [FOUND, None]
            assert store.kept == []

        run(course)


class TestEndTasks:
    def test_a_task_that_loses_a_cancellation_is_cancelled_again(self) -> None:
        lost = 0

        async def stubborn() -> None:
            nonlocal lost
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    lost += 1
                    if lost > 1:
                        raise

        async def course() -> None:
            task = asyncio.create_task(stubborn())
            await turns()
            await end_tasks({task})
            assert task.cancelled()
            assert lost == 2

        run(course)
