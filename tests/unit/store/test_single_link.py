from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from sipreg.errors import StoreUnavailable
from sipreg.store.connection import Target
from sipreg.store.link import LinkLimits, Reply
from sipreg.store.resp import pack
from sipreg.store.single_link import SingleLink

LIMITS = LinkLimits(timeout_s=0.1, first_backoff_s=0.01, max_backoff_s=0.04)


def run(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    async def course() -> None:
        async with asyncio.timeout(5):
            await scenario()

    asyncio.run(course())


async def nowhere() -> Target:
    raise StoreUnavailable("nobody knows where")


class TestWithoutAConnection:
    def test_opening_tells_why_there_is_none_and_calls_fail_at_once(self) -> None:
        async def scenario() -> None:
            link = SingleLink(nowhere, LIMITS)
            with pytest.raises(StoreUnavailable, match="nobody knows where"):
                await link.open()
            replies: list[Reply] = []
            link.call(0, pack("PING"), replies.append)
            assert [str(reply) for reply in replies] == ["nobody knows where"]
            with pytest.raises(StoreUnavailable, match="nobody knows where"):
                await link.ask(pack("PING"))
            await link.close()

        run(scenario)

    def test_attempts_are_spaced_by_a_backoff_that_doubles_up_to_its_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario() -> None:
            waits: list[float] = []
            enough = asyncio.Event()
            sleep = asyncio.sleep

            async def noted(delay: float) -> None:
                waits.append(delay)
                if len(waits) == 5:
                    enough.set()
                await sleep(0)

            monkeypatch.setattr(asyncio, "sleep", noted)
            link = SingleLink(nowhere, LIMITS, lambda: 0.75)
            link.start()
            await enough.wait()
            await link.close()
            assert waits[:5] == pytest.approx([0.0125, 0.025, 0.05, 0.05, 0.05])

        run(scenario)

    def test_a_command_that_waits_for_a_connection_fails_with_the_attempt(self) -> None:
        async def scenario() -> None:
            link = SingleLink(nowhere, LIMITS)
            replies: list[Reply] = []
            link.call_when_up(pack("PING"), replies.append, asking=False)
            assert not replies
            link.start()
            while not replies:  # noqa: ASYNC110  # the limit of the course ends it, and a Reply tells nobody
                await asyncio.sleep(0.005)
            assert str(replies[0]) == "nobody knows where"
            await link.close()

        run(scenario)

    def test_an_error_that_nobody_foresaw_is_logged_and_the_next_attempt_follows(self, caplog: pytest.LogCaptureFixture) -> None:
        async def scenario() -> None:
            attempts: list[int] = []
            again = asyncio.Event()

            async def wrong() -> Target:
                attempts.append(1)
                if len(attempts) == 3:
                    again.set()
                raise LookupError("a bug of a library")

            link = SingleLink(wrong, LIMITS)
            link.start()
            await again.wait()
            await link.close()
            assert "a bug of a library" in caplog.text

        run(scenario)


class TestClose:
    def test_it_ends_even_if_asking_for_the_master_makes_an_error_of_the_cancellation(self) -> None:
        async def scenario() -> None:
            asked = asyncio.Event()

            async def swallows() -> Target:
                first = not asked.is_set()
                asked.set()
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    if first:
                        raise StoreUnavailable("the cancellation, as redis-py may put it") from None
                    raise
                raise AssertionError("nobody waits an hour")

            link = SingleLink(swallows, LIMITS)
            link.start()
            await asked.wait()
            await link.close()
            assert not link.available

        run(scenario)

    def test_it_answers_what_waits_and_what_comes_afterwards(self) -> None:
        async def scenario() -> None:
            link = SingleLink(nowhere, LIMITS)
            replies: list[Reply] = []
            link.call_when_up(pack("PING"), replies.append, asking=True)
            await link.close()
            link.call_when_up(pack("PING"), replies.append, asking=True)
            link.call(0, pack("PING"), replies.append)
            assert [str(reply) for reply in replies] == ["The store is closed"] * 3

        run(scenario)
