from __future__ import annotations

import asyncio

import pytest

from sip_edge.edge import Edge
from sipreg.composition import Stores
from sipreg.settings import EdgeSection
from sipreg.store.credentials import MemoryCredentials
from support.dispatchers import Desk
from support.processes import free_port


class TestTasks:
    def test_one_that_fails_is_told_at_once(self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        async def course() -> None:
            desk = Desk()
            settings = EdgeSection.model_validate({"listen": [f"udp:127.0.0.1:{free_port()}"]})
            stores = Stores(bindings=desk.store, credentials=MemoryCredentials(), secret=b"", buckets=0)
            edge = Edge(settings, stores, desk.dispatcher, shared=False)

            def broken() -> None:
                raise ZeroDivisionError("of the test")

            monkeypatch.setattr(type(desk.dispatcher), "advance", lambda _: broken())
            await edge.start()
            async with asyncio.timeout(5):
                while "task failed: name=resend" not in caplog.text:  # noqa: ASYNC110 (a log line sets no event)
                    await asyncio.sleep(0.01)
            await edge.drain()

        asyncio.run(course())
        assert "of the test" in caplog.text
