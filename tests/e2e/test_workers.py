"""An edge of several processes: one address, one set of figures, and no process that outlives another it belongs to."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from support.edges import DOMAIN, RunningEdge
from support.processes import wait_until
from support.redis_servers import RedisServer, redis_server
from support.sip_client import ANSWER_LIMIT_S, Phone, SipClient, request_lines

pytestmark = pytest.mark.slow

URI = f"sip:{DOMAIN}"
WORKERS = 3
CLIENTS = 30
LIMIT_S = 3.0
REGISTERS = 'sipreg_requests_total{method="REGISTER",transport="udp"}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The store."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def edge(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEdge]:
    """An edge of three workers, for tests after which there are three again."""
    with RunningEdge(tmp_path_factory.mktemp("edge"), server.url, auth="off", workers=WORKERS) as running:
        yield running


@pytest.fixture
def mortal_edge(server: RedisServer, tmp_path: Path) -> Iterator[RunningEdge]:
    """One more, for a test that ends it."""
    with RunningEdge(tmp_path, server.url, auth="off", workers=WORKERS) as running:
        yield running


def workers_of(edge: RunningEdge) -> list[psutil.Process]:
    """Return the processes that listen for SIP, the oldest first."""
    found = []
    for child in psutil.Process(edge.pid).children(recursive=True):
        try:
            if any(connection.laddr and connection.laddr.port == edge.port for connection in child.net_connections("udp4")):
                found.append(child)
        except psutil.Error:
            continue
    return sorted(found, key=lambda process: (process.create_time(), process.pid))


def clients_of(edge: RunningEdge, stack: ExitStack) -> list[SipClient]:
    """Open clients on so many ports that the kernel gives each worker some of them."""
    return [stack.enter_context(edge.client()) for _ in range(CLIENTS)]


def assert_all_are_answered(clients: list[SipClient], name: str) -> None:
    phones = [Phone(user=f"{name}-{number}", domain=DOMAIN) for number in range(len(clients))]
    for client, phone in zip(clients, phones, strict=True):
        client.send(client.message(phone.register()))
    assert [client.receive().status for client in clients] == [200] * len(clients)


class TestSharing:
    """SO_REUSEPORT: the kernel spreads clients over the workers."""

    def test_all_clients_are_answered_by_several_workers_and_the_figures_are_their_sum(self, edge: RunningEdge) -> None:
        assert len(workers_of(edge)) == WORKERS
        names = (REGISTERS, "sipreg_registrar_accepted_regs_total", "sipreg_response_seconds_count")
        before = [edge.metric(name) for name in names]
        with ExitStack() as stack:
            assert_all_are_answered(clients_of(edge, stack), "shared")
            streams = [stack.enter_context(edge.client("tcp")) for _ in range(CLIENTS)]
            assert {client.ask(request_lines(uri=URI)).status for client in streams} == {200}
            assert edge.metric("sipreg_connections") == CLIENTS
        counted = [edge.metric(name) - earlier for name, earlier in zip(names, before, strict=True)]
        assert counted == [CLIENTS, CLIENTS, 2 * CLIENTS]
        assert (edge.metric("sipreg_workers"), edge.metric("sipreg_store_available")) == (WORKERS, WORKERS)

    def test_a_port_that_the_kernel_chooses_is_the_same_for_all_and_no_client_is_lost(self, server: RedisServer, tmp_path: Path) -> None:
        options = ["--listen", "udp:127.0.0.1:0"]
        with RunningEdge(tmp_path, server.url, auth="off", workers=WORKERS, options=options) as edge, ExitStack() as stack:
            ports = re.findall(r"udp:127\.0\.0\.1:(\d+)", edge.wait_for_line("serving: .*sip=").string)
            chosen = next(int(port) for port in ports if int(port) != edge.port)
            assert_all_are_answered([stack.enter_context(SipClient(chosen)) for _ in range(CLIENTS)], "chosen")

    def test_a_second_edge_is_not_let_in_among_them(self, edge: RunningEdge, server: RedisServer, tmp_path: Path) -> None:
        options = ["--listen", f"udp:127.0.0.1:{edge.port}"]
        with pytest.raises(AssertionError, match=rf"sipreg: edge.listen udp:127.0.0.1:{edge.port}: Address already in use"):
            RunningEdge(tmp_path, server.url, name="second", workers=2, options=options)


class TestCrashes:
    """A process that dies takes nobody along, unless it was their parent."""

    def test_a_killed_worker_is_started_again_while_the_others_go_on(self, edge: RunningEdge) -> None:
        with ExitStack() as stack:
            clients = clients_of(edge, stack)
            assert_all_are_answered(clients, "before")
            counted = edge.metric(REGISTERS)
            before = workers_of(edge)
            before[0].kill()
            psutil.wait_procs(before[:1], LIMIT_S)
            # The socket of the dead is gone with it, so all clients are the others' now.
            assert_all_are_answered(clients, "between")
            assert edge.get("/readyz")[0] == 200
            assert edge.metric(REGISTERS) == counted + CLIENTS
            wait_until(lambda: len(workers_of(edge)) == WORKERS, 2 * LIMIT_S, "the worker to be started again")
            assert set(before[1:]) < set(workers_of(edge))
            wait_until(lambda: edge.metric("sipreg_workers") == WORKERS, LIMIT_S, "the new worker to be asked for its figures")
            assert_all_are_answered(clients, "after")
            assert edge.metric(REGISTERS) == counted + 2 * CLIENTS
        assert "worker ended and is started again: worker=" in edge.output()

    def test_a_worker_that_hangs_makes_the_edge_unready_and_no_counter_falls(self, edge: RunningEdge) -> None:
        with ExitStack() as stack:
            assert_all_are_answered(clients_of(edge, stack), "counted")
        counted = edge.metric(REGISTERS)
        hung = workers_of(edge)[0]
        hung.suspend()
        try:
            assert edge.get("/readyz")[0] == 503
            shown = edge.get("/metrics")[1].splitlines()
            assert f"{REGISTERS} {counted}" in shown
            assert f"sipreg_workers {WORKERS - 1:.1f}" in shown
        finally:
            hung.resume()
        wait_until(lambda: edge.get("/readyz")[0] == 200, LIMIT_S, "the worker to answer again")
        assert edge.metric(REGISTERS) == counted

    def test_no_worker_outlives_a_killed_parent(self, mortal_edge: RunningEdge) -> None:
        family = psutil.Process(mortal_edge.pid).children(recursive=True)
        assert len(family) >= WORKERS
        mortal_edge.kill()
        assert psutil.wait_procs(family, LIMIT_S)[1] == []


class TestStop:
    """SIGTERM to the parent drains all workers."""

    def test_requests_under_way_at_every_worker_are_answered(self, mortal_edge: RunningEdge, server: RedisServer) -> None:
        family = psutil.Process(mortal_edge.pid).children(recursive=True)
        with ExitStack() as stack, server.client() as redis:
            clients = clients_of(mortal_edge, stack)
            redis.execute_command("CLIENT", "PAUSE", 500, "ALL")
            for number, client in enumerate(clients):
                client.send(client.message(Phone(user=f"late-{number}", domain=DOMAIN).register()))
            wait_until(lambda: mortal_edge.metric("sipreg_transactions_live") == CLIENTS, 2, "all requests to be under way")
            os.kill(mortal_edge.pid, signal.SIGTERM)
            assert [client.receive().status for client in clients] == [200] * CLIENTS
        assert mortal_edge.wait(ANSWER_LIMIT_S) == 0
        assert psutil.wait_procs(family, LIMIT_S)[1] == []


class TestSettings:
    """What several processes cannot share."""

    def test_a_memory_store_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(AssertionError, match=r"sipreg: edge\.workers: a memory store is one process"):
            RunningEdge(tmp_path, "memory", workers=2)
