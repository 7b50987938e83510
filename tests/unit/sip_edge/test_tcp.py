"""TCP connections of an edge, on loopback, and how long each may last."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sip_edge import tcp
from sip_edge.tcp import TcpListener
from sipreg.settings import ListenAddress
from support.dispatchers import Desk, a_request

HOST = "127.0.0.1"
MANY = 60_000

Scenario = Callable[[TcpListener, Desk, asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def with_connection(scenario: Scenario, *, idle_s: float = 3900) -> None:
    """Run a test's coroutine with a listener and a peer's connection to it."""

    async def run() -> None:
        desk = Desk()
        address = ListenAddress(transport="tcp", host=HOST, port=0)
        listener = TcpListener(address, desk.dispatcher, shared=False, max_connections=3, idle_s=idle_s)
        await listener.start()
        reader, writer = await asyncio.open_connection(HOST, listener.port)
        try:
            async with asyncio.timeout(10):
                await scenario(listener, desk, reader, writer)
        finally:
            writer.close()
            listener.pause()
            await listener.close()

    asyncio.run(run())


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the connection ends, in whichever way it does."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def sent_until_blocked(sock: socket.socket, data: bytes) -> int:
    """Send again and again, `MANY` times at most, and return how often until nothing went out for half a second."""
    for sent in range(MANY):
        try:
            async with asyncio.timeout(0.5):
                await asyncio.get_running_loop().sock_sendall(sock, data)
        except TimeoutError:
            return sent
    return MANY


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so; the scenario's own limit ends it otherwise."""
    while not condition():  # noqa: ASYNC110 (what is waited for knows no event)
        await asyncio.sleep(0.005)


class TestHowLongItLasts:
    """Settings edge.idle_s, and a limit on what is begun and not finished."""

    @pytest.fixture(autouse=True)
    def _frequent_sweeps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tcp, "SWEEP_S", 0.02)

    def test_a_connection_that_brings_nothing_is_closed_in_the_time_of_a_transaction(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tcp, "UNFINISHED_S", 0.1)

        async def scenario(listener: TcpListener, desk: Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await rest_of(reader) == b""

        with_connection(scenario)

    def test_a_message_that_trickles_in_does_not_hold_it_open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tcp, "UNFINISHED_S", 0.15)

        async def scenario(listener: TcpListener, desk: Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(a_request("OPTIONS"))
            await reader.readuntil(b"\r\n\r\n")
            ended = asyncio.ensure_future(rest_of(reader))
            for _ in range(1000):
                if ended.done():
                    break
                writer.write(b"x")
                await asyncio.sleep(0.01)
            assert await ended == b""

        with_connection(scenario)

    def test_one_that_has_proved_itself_may_be_idle_as_long_as_the_setting_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tcp, "UNFINISHED_S", 0.05)
        loop_time: list[float] = []

        async def scenario(listener: TcpListener, desk: Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            loop = asyncio.get_running_loop()
            writer.write(b"\r\n\r\n")
            assert await reader.readexactly(2) == b"\r\n"
            loop_time.append(loop.time())
            assert await rest_of(reader) == b""
            loop_time.append(loop.time())

        with_connection(scenario, idle_s=0.4)
        assert loop_time[1] - loop_time[0] >= 0.4


class TestHowItEnds:
    """What is under way is answered before it is closed."""

    def test_a_peer_that_says_no_more_is_answered_first(self) -> None:
        async def scenario(listener: TcpListener, desk: Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(a_request() + a_request("OPTIONS", branch="z9hG4bK2"))
            writer.write_eof()
            await until(lambda: bool(desk.store.held))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"SIP/2.0 200")
            desk.store.answer()
            assert b"Contact: <sip:alice@192.0.2.1>" in await reader.read()
            await until(lambda: not listener.connections)

        with_connection(scenario)

    def test_a_stream_that_broke_is_answered_first_and_read_no_more(self) -> None:
        async def scenario(listener: TcpListener, desk: Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(a_request() + b"OPTIONS sip:x SIP/2.0\r\nContent-Length: none\r\n\r\n")
            await until(lambda: bool(desk.store.held))
            assert desk.metrics.counters["unparsable_messages"] == 1
            writer.write(a_request("OPTIONS", branch="z9hG4bK2"))
            desk.store.answer()
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"SIP/2.0 200")
            await until(lambda: not listener.connections)
            assert desk.responses_counted() == 1

        with_connection(scenario)

    def test_a_pause_closes_what_waits_for_nothing_and_lets_the_rest_be_answered(self) -> None:
        async def scenario(listener: TcpListener, desk: Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            idle, idle_writer = await asyncio.open_connection(HOST, listener.port)
            writer.write(a_request())
            await until(lambda: bool(desk.store.held) and len(listener.connections) == 2)
            listener.pause()
            assert await idle.read() == b""
            idle_writer.close()
            desk.store.answer()
            assert (await reader.read()).startswith(b"SIP/2.0 200")

        with_connection(scenario)

    def test_a_peer_that_does_not_read_is_not_read_from_either(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tcp, "WRITE_HIGH_BYTES", 4096)

        async def scenario(listener: TcpListener, desk: Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            greedy = socket.create_connection((HOST, listener.port))
            with greedy:
                greedy.setblocking(False)
                assert 0 < await sent_until_blocked(greedy, a_request("OPTIONS")) < MANY
                assert 0 < desk.responses_counted() < MANY
                # The others are served all the same.
                writer.write(a_request("OPTIONS", branch="z9hG4bK2"))
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"SIP/2.0 200")

        with_connection(scenario)
