"""Streams: cut anywhere, broken anywhere, closed by halves (RFC 3261 §18.3, RFC 5626)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from support.edges import DOMAIN, RunningEdge
from support.processes import wait_until
from support.redis_servers import RedisServer, redis_server
from support.sip_client import Phone, SipClient, listed, request_lines

URI = f"sip:{DOMAIN}"
MANY = 500
FEW = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The store."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def edge(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEdge]:
    """One edge on that store, which believes whoever asks."""
    with RunningEdge(tmp_path_factory.mktemp("edge"), server.url, auth="off") as running:
        yield running


def a_phone(name: str) -> Phone:
    return Phone(user=name, domain=DOMAIN)


def assert_closed(client: SipClient) -> None:
    """Check that the edge has closed the connection, and said nothing more."""
    with suppress(ConnectionResetError):
        assert client.socket.recv(1000) == b""


class TestFraming:
    """RFC 3261 §18.3: Content-Length tells where a message ends."""

    def test_several_messages_in_one_segment_are_all_answered_in_order(self, edge: RunningEdge) -> None:
        with edge.client("tcp") as client:
            requests = [client.message(request_lines(uri=URI), branch=f"z9hG4bKmany{number}") for number in range(20)]
            client.send(b"".join(requests))
            vias = [client.receive().headers.get("via") or "" for _ in requests]
        assert [via.partition("z9hG4bKmany")[2].partition(";")[0] for via in vias] == [str(number) for number in range(20)]

    def test_a_message_that_comes_byte_by_byte_is_one_message(self, edge: RunningEdge) -> None:
        phone = a_phone("bytewise")
        with edge.client("tcp") as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in client.message(phone.register()):
                client.send(bytes([byte]))
            assert listed(client.receive()) == {phone.contact: 600}

    def test_a_ping_between_messages_is_answered_between_their_answers(self, edge: RunningEdge) -> None:
        with edge.client("tcp") as client:
            client.send(client.message(request_lines(uri=URI)) + b"\r\n\r\n" + client.message(request_lines(uri=URI)))
            received = b""
            while received.count(b"SIP/2.0 200") < 2 or not received.endswith(b"\r\n\r\n"):
                received += client.socket.recv(65536)
        first, _, second = received.partition(b"\r\n\r\n")
        assert (first.count(b"SIP/2.0 200"), second[:2], second[2:].count(b"SIP/2.0 200")) == (1, b"\r\n", 1)

    @pytest.mark.parametrize("length", ["many", "-1", "70000", "1, 2"])
    def test_a_length_that_is_none_closes_the_connection(self, edge: RunningEdge, length: str) -> None:
        before = edge.metric("sipreg_unparsable_messages_total")
        with edge.client("tcp") as client:
            client.send(client.message(request_lines(uri=URI)).replace(b"Content-Length: 0", f"Content-Length: {length}".encode()))
            assert_closed(client)
        assert edge.metric("sipreg_unparsable_messages_total") == before + 1

    def test_what_was_whole_before_the_stream_broke_is_answered_before_it_is_closed(self, edge: RunningEdge) -> None:
        phone = a_phone("broken")
        with edge.client("tcp") as client:
            client.send(client.message(phone.register()) + b"OPTIONS sip:x SIP/2.0\r\nContent-Length: none\r\n\r\n")
            assert listed(client.receive()) == {phone.contact: 600}
            assert_closed(client)

    def test_a_message_that_is_too_large_closes_the_connection(self, edge: RunningEdge) -> None:
        with edge.client("tcp") as client:
            client.send(b"OPTIONS sip:x SIP/2.0\r\nSubject: " + b"x" * 70_000)
            assert_closed(client)


class TestHalfClosed:
    """A peer that says no more may still listen."""

    def test_it_gets_the_answer_that_it_waits_for_and_then_the_connection_ends(self, edge: RunningEdge, server: RedisServer) -> None:
        phone = a_phone("halfway")
        with edge.client("tcp") as client, server.client() as redis:
            redis.execute_command("CLIENT", "PAUSE", 300, "ALL")
            client.send(client.message(phone.register()))
            client.socket.shutdown(socket.SHUT_WR)
            assert listed(client.receive()) == {phone.contact: 600}
            assert_closed(client)

    def test_one_that_waits_for_nothing_is_closed_at_once(self, edge: RunningEdge) -> None:
        with edge.client("tcp") as client:
            client.socket.shutdown(socket.SHUT_WR)
            assert_closed(client)

    def test_an_answer_to_a_connection_that_is_gone_is_counted_as_lost(self, edge: RunningEdge, server: RedisServer) -> None:
        phone = a_phone("gone")
        lost = edge.metric("sipreg_send_errors_total")
        with server.client() as redis, edge.client("tcp") as client:
            redis.execute_command("CLIENT", "PAUSE", 300, "ALL")
            client.send(client.message(phone.register()))
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_until(lambda: edge.metric("sipreg_send_errors_total") == lost + 1, 5, "the answer to be lost")
        with edge.client() as other:
            assert list(listed(other.register(phone, contacts=[], expires=None))) == [phone.contact]


class TestConnections:
    """Many at once, and not more than the operator allows."""

    def test_hundreds_of_connections_are_served_side_by_side(self, edge: RunningEdge) -> None:
        with ExitStack() as stack:
            clients = [stack.enter_context(edge.client("tcp")) for _ in range(MANY)]
            for client in clients:
                client.send(client.message(request_lines(uri=URI)))
            assert {client.receive().status for client in clients} == {200}
            assert edge.metric("sipreg_connections") >= MANY
        wait_until(lambda: edge.metric("sipreg_connections") == 0, 5, "the connections to be forgotten")

    def test_one_above_the_limit_is_closed_at_once_and_the_others_go_on(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("few")
        config = f"[edge]\nmax_connections = {FEW}\n"
        with RunningEdge(folder, "memory", auth="off", config=config) as edge, ExitStack() as stack:
            clients = [stack.enter_context(edge.client("tcp")) for _ in range(FEW)]
            assert {client.ask(request_lines(uri=URI)).status for client in clients} == {200}
            assert_closed(stack.enter_context(edge.client("tcp")))
            assert {client.ask(request_lines(uri=URI)).status for client in clients} == {200}
            assert edge.metric("sipreg_connections_refused_total") == 1
            clients[0].socket.close()
            wait_until(lambda: edge.metric("sipreg_connections") == FEW - 1, 5, "a place to become free")
            assert stack.enter_context(edge.client("tcp")).ask(request_lines(uri=URI)).status == 200

    def test_two_edges_do_not_listen_on_one_address(self, edge: RunningEdge, tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("second")
        with pytest.raises(AssertionError, match=rf"edge.listen tcp:127.0.0.1:{edge.port}: Address already in use"):
            RunningEdge(folder, "memory", options=["--listen", f"tcp:127.0.0.1:{edge.port}"])
