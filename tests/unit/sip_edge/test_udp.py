"""The UDP socket of an edge, on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from sip_edge.udp import BATCH, UdpListener, bind
from sipreg.errors import SettingWrong
from sipreg.settings import ListenAddress
from support.dispatchers import Desk, a_request

HOST = "127.0.0.1"
ANYWHERE = ListenAddress(transport="udp", host=HOST, port=0)


def with_listener(scenario: Callable[[UdpListener, Desk, socket.socket], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine with a listener and a peer's socket."""

    async def run() -> None:
        desk = Desk()
        listener = UdpListener(ANYWHERE, desk.dispatcher, shared=False)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind((HOST, 0))
            peer.setblocking(False)
            try:
                await listener.start()
                await scenario(listener, desk, peer)
            finally:
                with suppress(ValueError):  # where the test has closed it
                    listener.pause()
                await listener.close()

    asyncio.run(run())


async def received(peer: socket.socket) -> bytes:
    async with asyncio.timeout(5):
        return await asyncio.get_running_loop().sock_recv(peer, 65536)


class TestUdpListener:
    """Datagrams in, answers out."""

    def test_a_burst_longer_than_a_batch_is_answered_to_the_last(self) -> None:
        count = 2 * BATCH + 1

        async def scenario(listener: UdpListener, desk: Desk, peer: socket.socket) -> None:
            for number in range(count):
                peer.sendto(a_request("OPTIONS", branch=f"z9hG4bK{number}"), (HOST, listener.port))
            answers = [await received(peer) for _ in range(count)]
            assert len({answer.partition(b"branch=")[2].partition(b";")[0] for answer in answers}) == count
            assert desk.responses_counted() == count

        with_listener(scenario)

    def test_what_is_too_large_for_the_network_is_counted_and_harms_nobody(self) -> None:
        async def scenario(listener: UdpListener, desk: Desk, peer: socket.socket) -> None:
            listener.send(b"x" * 70_000, HOST, peer.getsockname()[1])
            peer.sendto(a_request("OPTIONS"), (HOST, listener.port))
            assert (await received(peer)).startswith(b"SIP/2.0 200")
            assert desk.metrics.counters["send_errors"] == 1

        with_listener(scenario)

    def test_once_paused_it_takes_nothing_more_and_can_still_answer(self) -> None:
        async def scenario(listener: UdpListener, desk: Desk, peer: socket.socket) -> None:
            listener.pause()
            peer.sendto(a_request("OPTIONS"), (HOST, listener.port))
            listener.send(b"late", HOST, peer.getsockname()[1])
            assert await received(peer) == b"late"
            assert desk.responses_counted() == 0

        with_listener(scenario)

    def test_what_waits_to_be_sent_goes_out_before_it_is_closed(self) -> None:
        async def scenario(listener: UdpListener, desk: Desk, peer: socket.socket) -> None:
            listener.send(b"last words", HOST, peer.getsockname()[1])
            listener.pause()
            await listener.close()
            assert await received(peer) == b"last words"

        with_listener(scenario)

    def test_its_socket_is_named_with_the_port_that_the_kernel_chose(self) -> None:
        async def scenario(listener: UdpListener, desk: Desk, peer: socket.socket) -> None:
            assert listener.port != 0
            assert listener.socket_name == f"udp:{HOST}:{listener.port}"

        with_listener(scenario)


class TestBind:
    """Workers share an address; nobody else does."""

    @pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
    def test_an_address_is_shared_only_among_those_who_all_say_so(self, kind: socket.SocketKind) -> None:
        with bind(ANYWHERE, kind, shared=True) as first:
            address = ANYWHERE.model_copy(update={"port": first.getsockname()[1]})
            with bind(address, kind, shared=True) as second:
                assert second.getsockname() == first.getsockname()
            if kind == socket.SOCK_STREAM:
                first.listen()
            with pytest.raises(SettingWrong, match=rf"^edge\.listen udp:127\.0\.0\.1:{address.port}: Address already in use$"):
                bind(address, kind, shared=False)

    def test_an_address_that_is_not_ours_is_named(self) -> None:
        with pytest.raises(SettingWrong, match=r"^edge\.listen udp:192\.0\.2\.1:5060: "):
            bind(ListenAddress(transport="udp", host="192.0.2.1", port=5060), socket.SOCK_DGRAM, shared=False)
