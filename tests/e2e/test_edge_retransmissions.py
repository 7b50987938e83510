"""Over UDP everything may come twice; it is done once, and answered the same (RFC 3261 §17.2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sipreg.message.model import Response
from sipreg.message.parser import parse_message
from support.edges import DOMAIN, RunningEdge, add_subscriber
from support.processes import wait_until
from support.redis_servers import RedisServer, redis_server
from support.sip_client import Phone, SipClient, request_lines

URI = f"sip:{DOMAIN}"
PAUSE_MS = 400


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The store, with the subscriber alice."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        add_subscriber(running.url, "alice", "wonderland")
        yield running


@pytest.fixture(scope="module")
def edge(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEdge]:
    """One edge on that store."""
    with RunningEdge(tmp_path_factory.mktemp("edge"), server.url) as running:
        yield running


def a_phone() -> Phone:
    return Phone(user="alice", domain=DOMAIN, password="wonderland")


def an_authorized_register(client: SipClient, phone: Phone, **fields: list[str]) -> bytes:
    """Return a REGISTER that answers a challenge, not sent yet."""
    phone.take_challenge(client.ask(phone.register()))
    return client.message(phone.register(**fields))  # type: ignore[arg-type]  # (the contacts among its fields)


def status_of(data: bytes) -> int:
    message = parse_message(data)
    assert isinstance(message, Response)
    return message.status


def assert_answered_alike(edge: RunningEdge, client: SipClient, request: bytes, status: int) -> None:
    """Send a request three times: one answer, three times, and one request in the figures."""
    counter = f'sipreg_responses_total{{method="REGISTER",status="{status}"}}'
    before, repeated = edge.metric(counter), edge.metric("sipreg_retransmissions_total")
    answers = []
    for _ in range(3):
        client.send(request)
        answers.append(client.receive_bytes())
    assert status_of(answers[0]) == status
    assert answers[1:] == [answers[0]] * 2
    assert edge.metric(counter) == before + 1
    assert edge.metric("sipreg_retransmissions_total") == repeated + 2


class TestFinalAnswers:
    """RFC 3261 §17.2.2, Completed: the answer is sent again, byte for byte."""

    def test_a_200_is_repeated_and_the_nonce_count_is_not_used_up_twice(self, edge: RunningEdge) -> None:
        with edge.client() as client:
            request = an_authorized_register(client, a_phone())
            accepted = edge.metric("sipreg_registrar_accepted_regs_total")
            assert_answered_alike(edge, client, request, 200)
            assert edge.metric("sipreg_registrar_accepted_regs_total") == accepted + 1

    def test_a_challenge_is_repeated_with_the_nonce_that_it_had(self, edge: RunningEdge) -> None:
        with edge.client() as client:
            assert_answered_alike(edge, client, client.message(a_phone().register()), 401)

    def test_a_refusal_is_repeated(self, edge: RunningEdge) -> None:
        with edge.client() as client:
            phone = a_phone()
            phone.take_challenge(client.ask(phone.register()))
            lines = [line.replace("To: <sip:alice@", "To: <sip:bob@") for line in phone.register()]
            assert_answered_alike(edge, client, client.message(lines), 403)

    def test_the_same_branch_from_another_socket_is_another_request(self, edge: RunningEdge) -> None:
        with edge.client() as client, edge.client() as other:
            lines = request_lines(uri=URI)
            client.send(client.message(lines, branch="z9hG4bKsame"))
            other.send(other.message(lines, branch="z9hG4bKsame"))
            assert client.receive_bytes() != other.receive_bytes()

    def test_a_503_is_repeated_while_the_store_is_gone_and_after(self, tmp_path: Path) -> None:
        with redis_server(tmp_path) as server, RunningEdge(tmp_path, server.url, auth="off") as edge, edge.client() as client:
            phone = Phone(user="dora", domain=DOMAIN)
            server.kill()
            wait_until(lambda: edge.get("/readyz")[0] == 503, 5, "the edge to miss its store")
            request = client.message(phone.register())
            assert_answered_alike(edge, client, request, 503)
            server.start()
            wait_until(lambda: edge.get("/readyz")[0] == 200, 10, "the edge to find its store")
            client.send(request)
            assert status_of(client.receive_bytes()) == 503
            assert client.register(phone).status == 200


class TestWhileItIsWorkedOn:
    """RFC 3261 §17.2.2, Trying: what comes again is discarded."""

    def test_a_retransmission_is_absorbed_and_one_answer_comes(self, edge: RunningEdge, server: RedisServer) -> None:
        with edge.client() as client, server.client() as redis:
            request = an_authorized_register(client, a_phone())
            redis.execute_command("CLIENT", "PAUSE", PAUSE_MS, "ALL")
            for _ in range(3):
                client.send(request)
            assert status_of(client.receive_bytes()) == 200
            # What is answered in order, and at once, shows that nothing else is on its way.
            assert client.ask(request_lines(uri=URI)).headers.get("allow") is not None


class TestInvite:
    """RFC 3261 §17.2.1: the refusal of an INVITE is sent again until it is acknowledged."""

    def test_over_udp_the_405_comes_again_until_the_ack(self, edge: RunningEdge) -> None:
        lines = request_lines("INVITE", uri=URI)
        with edge.client() as client:
            invite = client.message(lines, branch="z9hG4bKinvite1")
            client.send(invite)
            first = client.receive_bytes()
            assert status_of(first) == 405
            assert client.receive_bytes() == first
            client.send(invite)
            assert client.receive_bytes() == first
            response = parse_message(first)
            assert isinstance(response, Response)
            ack = [lines[0].replace("INVITE", "ACK"), *lines[1:]]
            ack = [f"To: {response.required('to', 'To')}" if line.startswith("To:") else line for line in ack]
            client.send(client.message([line.replace(" INVITE", " ACK") for line in ack], branch="z9hG4bKinvite1"))
            # T2 is four seconds and the next retransmission would be due in one: silence for twice as long is the end of it.
            client.socket.settimeout(2)
            with pytest.raises(TimeoutError):
                client.receive_bytes()

    def test_an_ack_that_belongs_to_nothing_is_absorbed(self, edge: RunningEdge) -> None:
        with edge.client() as client:
            client.send(client.message(request_lines("ACK", uri=URI)))
            assert client.ask(request_lines(uri=URI)).status == 200

    def test_over_tcp_it_comes_once(self, edge: RunningEdge) -> None:
        with edge.client("tcp") as client:
            client.send(client.message(request_lines("INVITE", uri=URI)))
            assert client.receive().status == 405
            client.socket.settimeout(0.8)
            with pytest.raises(TimeoutError):
                client.receive_bytes()
