"""An edge as a service: what its settings change, what its probes and metrics tell, and how it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.edges import DOMAIN, RunningEdge, add_subscriber
from support.processes import wait_until
from support.redis_servers import RedisServer, redis_server
from support.sip_client import Phone, listed, request_lines

URI = f"sip:{DOMAIN}"
PAUSE_MS = 300

STRICT = """
[registrar]
min_expires = 60
max_expires = 7200
too_brief = "refuse"
max_contacts = 2
retry_after = 17
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The store."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        add_subscriber(running.url, "alice", "wonderland")
        yield running


@pytest.fixture(scope="module")
def strict(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEdge]:
    """An edge with limits, which believes whoever asks."""
    with RunningEdge(tmp_path_factory.mktemp("strict"), server.url, auth="off", config=STRICT) as running:
        yield running


def samples(text: str) -> dict[str, float]:
    """Return what a scraper reads: the value of each sample by name and labels, ``name{a="b"}``."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


class TestLimits:
    """RFC 3261 §10.3 step 7, and the limits of the specification."""

    def test_an_interval_that_is_too_brief_is_refused_with_the_least_that_is_granted(self, strict: RunningEdge) -> None:
        with strict.client() as client:
            response = client.register(Phone(user="brief", domain=DOMAIN), expires=59)
        assert (response.status, response.headers.get("min-expires")) == (423, "60")
        assert response.headers.get("p-registrar-error") == "Interval too brief"

    def test_an_interval_that_is_too_long_is_shortened(self, strict: RunningEdge) -> None:
        phone = Phone(user="long", domain=DOMAIN)
        with strict.client() as client:
            assert listed(client.register(phone, expires=100_000)) == {phone.contact: 7200}

    def test_a_contact_too_many_is_refused_and_none_of_the_request_is_stored(self, strict: RunningEdge) -> None:
        first, second = Phone(user="crowd", domain=DOMAIN), Phone(user="crowd", domain=DOMAIN)
        with strict.client() as client:
            client.register(first)
            response = client.register(second, contacts=["<sip:crowd@192.0.2.1>", "<sip:crowd@192.0.2.2>"])
            assert (response.status, response.headers.get("retry-after")) == (503, "17")
            assert response.headers.get("p-registrar-error") == "Too many registered contacts"
            assert list(listed(client.register(second, contacts=[], expires=None))) == [first.contact]

    def test_the_limits_can_be_seen_among_the_metrics(self, strict: RunningEdge) -> None:
        assert strict.metric("sipreg_registrar_max_contacts") == 2
        assert strict.metric("sipreg_registrar_max_expires") == 7200


class TestMetrics:
    """What Prometheus reads."""

    def test_the_text_parses_and_its_figures_agree_with_what_was_done(self, server: RedisServer, tmp_path: Path) -> None:
        phone = Phone(user="alice", domain=DOMAIN, password="wonderland")
        with RunningEdge(tmp_path, server.url) as edge, edge.client() as client, edge.client("tcp") as stream:
            client.register(phone)
            client.ask(phone.register(extra=("Require: x",)))
            client.ask(phone.register(contacts=["*"], expires=5))
            stream.ask(request_lines(uri=URI))
            stream.ask(request_lines("MESSAGE", uri=URI))
            stream.ask(request_lines("X-MADE-UP", uri=URI))
            found = samples(edge.get("/metrics")[1])
        assert {name: value for name, value in found.items() if name.startswith("sipreg_re") and "total" in name and value} == {
            'sipreg_requests_total{method="REGISTER",transport="udp"}': 4,
            'sipreg_requests_total{method="OPTIONS",transport="tcp"}': 1,
            'sipreg_requests_total{method="MESSAGE",transport="tcp"}': 1,
            'sipreg_requests_total{method="OTHER",transport="tcp"}': 1,
            'sipreg_responses_total{method="REGISTER",status="401"}': 1,
            'sipreg_responses_total{method="REGISTER",status="200"}': 1,
            'sipreg_responses_total{method="REGISTER",status="420"}': 1,
            'sipreg_responses_total{method="REGISTER",status="400"}': 1,
            'sipreg_responses_total{method="OPTIONS",status="200"}': 1,
            'sipreg_responses_total{method="MESSAGE",status="405"}': 1,
            'sipreg_responses_total{method="OTHER",status="405"}': 1,
            "sipreg_registrar_accepted_regs_total": 1,
            "sipreg_registrar_rejected_regs_total": 1,
        }
        assert found["sipreg_response_seconds_count"] == found['sipreg_response_seconds_bucket{le="+Inf"}'] == 7
        assert 0 < found["sipreg_response_seconds_sum"] < 7
        assert (found["sipreg_connections"], found["sipreg_workers"], found["sipreg_store_available"]) == (1, 1, 1)
        assert found["sipreg_transactions_live"] == 0

    def test_every_metric_says_what_it_is(self, strict: RunningEdge) -> None:
        families = list(text_string_to_metric_families(strict.get("/metrics")[1]))
        assert len(families) > 15
        assert [family.name for family in families if not family.documentation or not family.name.startswith("sipreg_")] == []


class TestProbes:
    """/livez never asks the store, /readyz does."""

    def test_without_its_store_an_edge_lives_and_is_not_ready_and_answers_503(self, tmp_path: Path) -> None:
        phone = Phone(user="carol", domain=DOMAIN)
        with redis_server(tmp_path) as server, RunningEdge(tmp_path, server.url, auth="off") as edge, edge.client() as client:
            assert (edge.get("/livez"), edge.get("/readyz")) == ((200, "alive\n"), (200, "ready\n"))
            server.kill()
            wait_until(lambda: edge.get("/readyz")[0] == 503, 5, "the edge to miss its store")
            assert edge.get("/livez")[0] == 200
            assert edge.metric("sipreg_store_available") == 0
            response = client.register(phone)
            assert (response.status, response.headers.get("retry-after")) == (503, "5")
            assert client.ask(request_lines(uri=URI)).status == 200
            server.start()
            wait_until(lambda: edge.get("/readyz")[0] == 200, 10, "the edge to find its store")
            assert client.register(phone).status == 200


class TestStop:
    """SIGTERM: what was begun is finished, and nothing is begun."""

    @pytest.mark.parametrize("transport", ["udp", "tcp"])
    def test_requests_under_way_are_answered(self, server: RedisServer, tmp_path: Path, transport: str) -> None:
        phones = [Phone(user=f"late-{number}", domain=DOMAIN) for number in range(20)]
        with RunningEdge(tmp_path, server.url, auth="off") as edge, edge.client(transport) as client, server.client() as redis:
            redis.execute_command("CLIENT", "PAUSE", PAUSE_MS, "ALL")
            for phone in phones:
                client.send(client.message(phone.register()))
            wait_until(lambda: edge.metric("sipreg_transactions_live") == len(phones), 2, "all requests to be under way")
            os.kill(edge.pid, signal.SIGTERM)
            assert [client.receive().status for _ in phones] == [200] * len(phones)
            assert edge.wait(5) == 0
            assert "requests under way" not in edge.output()

    def test_an_idle_edge_ends_at_once_and_closes_its_connections(self, server: RedisServer, tmp_path: Path) -> None:
        with RunningEdge(tmp_path, server.url) as edge, edge.client("tcp") as client:
            assert client.ask(request_lines(uri=URI)).status == 200
            os.kill(edge.pid, signal.SIGTERM)
            assert client.socket.recv(100) == b""
            assert edge.wait(5) == 0

    def test_what_is_not_answered_within_the_limit_is_given_up(self, tmp_path: Path) -> None:
        config = "[store]\ntimeout_ms = 20000\n[edge]\ndrain_s = 0.3\n"
        with redis_server(tmp_path) as server, RunningEdge(tmp_path, server.url, auth="off", config=config) as edge:
            with edge.client() as client:
                server.freeze()
                client.send(client.message(Phone(user="stuck", domain=DOMAIN).register()))
                wait_until(lambda: edge.metric("sipreg_transactions_live") == 1, 2, "the request to be under way")
                os.kill(edge.pid, signal.SIGTERM)
                assert edge.wait(5) == 0
            assert "stopped with requests under way: pending=1" in edge.output()
