"""Thousands of broken messages, as lines, faulty peers and attackers make them: the edge neither falls nor stumbles, nor grows."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from support.edges import RunningEdge, running_edges
from support.messages import some_messages
from support.redis_servers import redis_server
from support.sip_client import Phone, SipClient, listed
from torture.mutate import mutations

pytestmark = pytest.mark.slow

DOMAIN: Final = "example.com"
"""That of the messages, so that many of them get as far as the store."""

#: Else the addresses of record that they register would have very many contacts in the end.
CONFIG: Final = "[registrar]\nmax_contacts = 10\nforce_registration = true\n"

DATAGRAMS: Final = 10_000
STREAMS: Final = 2_000
USERS: Final = 500
BATCH: Final = 50
"""Datagrams sent before the edge is asked whether it has seen to them, so that the socket's buffer loses none."""
ARRIVED: Final = 0.97
"""Share of the messages that must have been counted: some are no more than the line ends of a keep-alive, which nobody counts."""
GROWTH_MIB: Final = 50
ANSWER_S: Final = 1.0

COUNTED: Final = re.compile(
    r"^sipreg_(?:requests_total\{.*\}|retransmissions_total|unparsable_messages_total|responses_received_total) (\S+)$", re.MULTILINE
)


def broken(count: int, seed: int) -> Iterator[bytes]:
    """Yield broken messages of many users, each a transaction of its own if its Via is whole: else most would be retransmissions."""
    for number, message in enumerate(mutations(some_messages(), count, seed)):
        yield message.replace(b"z9hG4bK", b"z9hG4bK%d-%d-" % (seed, number)).replace(b"alice@", b"alice-%d@" % (number % USERS))


def options() -> list[str]:
    head = ["Max-Forwards: 70", "From: <sip:t@example.com>;tag=1", f"To: <sip:{DOMAIN}>", f"Call-ID: o-{time.monotonic_ns()}"]
    return [f"OPTIONS sip:{DOMAIN} SIP/2.0", *head, "CSeq: 1 OPTIONS"]


def resident_mib(edge: RunningEdge) -> float:
    return float(psutil.Process(edge.pid).memory_info().rss) / 2**20


def counted(edge: RunningEdge) -> float:
    return sum(float(value) for value in COUNTED.findall(edge.get("/metrics")[1]))


def send_datagrams(edge: RunningEdge, messages: Iterator[bytes]) -> None:
    # The answers to the broken ones go to a socket that nobody reads.
    with edge.client() as sender, edge.client() as asker:
        for number, message in enumerate(messages, 1):
            sender.send(message)
            if number % BATCH == 0:
                assert asker.ask(options()).status == 200


def send_stream(edge: RunningEdge, message: bytes) -> None:
    """Send a message over a connection of its own, and wait until the edge has closed it."""
    # It may close, or reset, before it has all: what follows a message that cannot be cut is not read.
    with edge.client("tcp") as sender, suppress(ConnectionError):
        sender.send(message)
        sender.socket.shutdown(socket.SHUT_WR)
        while sender.socket.recv(65536):
            pass


def assert_serves(client: SipClient) -> None:
    """OPTIONS and a REGISTER are answered 200, each within a second."""
    phone = Phone(user="well", domain=DOMAIN)
    begun = time.monotonic()
    assert client.ask(options()).status == 200
    asked = time.monotonic()
    answer = client.ask(phone.register())
    assert answer.status == 200
    assert phone.contact in listed(answer)
    assert max(asked - begun, time.monotonic() - asked) < ANSWER_S


def assert_unharmed(edge: RunningEdge, before_mib: float) -> None:
    assert edge.returncode is None
    for transport in ("udp", "tcp"):
        with edge.client(transport) as client:
            assert_serves(client)
    assert "sipreg_internal_errors_total 0.0" in edge.get("/metrics")[1]
    assert resident_mib(edge) - before_mib < GROWTH_MIB
    assert "Traceback" not in edge.output()


class TestBrokenMessages:
    """RFC 4475 in spirit: whatever comes, it is answered or dropped, and the next message is served."""

    def test_an_edge_that_got_ten_thousand_datagrams_and_one_that_got_two_thousand_streams_are_unharmed(self, tmp_path: Path) -> None:
        with (
            redis_server(tmp_path) as server,
            running_edges(tmp_path, server.url, 2, auth="off", domain=DOMAIN, config=CONFIG) as (by_datagram, by_stream),
        ):
            for edge in (by_datagram, by_stream):
                with edge.client() as client:
                    assert_serves(client)
            before = {edge.pid: (resident_mib(edge), counted(edge)) for edge in (by_datagram, by_stream)}

            send_datagrams(by_datagram, broken(DATAGRAMS, 1))
            for message in broken(STREAMS, 2):
                send_stream(by_stream, message)

            asked = DATAGRAMS // BATCH
            assert counted(by_datagram) - before[by_datagram.pid][1] - asked >= DATAGRAMS * ARRIVED
            assert counted(by_stream) - before[by_stream.pid][1] > 0
            for edge in (by_datagram, by_stream):
                assert_unharmed(edge, before[edge.pid][0])
