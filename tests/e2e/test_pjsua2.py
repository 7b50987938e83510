"""A user agent of another make, PJSIP, registers with us: what it believes of its registration is what we hold."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sipreg.registrar.model import Snapshot
from sipreg.store.codec import decode_record
from support.edges import DOMAIN, RunningEdge, add_subscriber
from support.pjsua2_phone import Pjsua2Phone
from support.programs import require_module
from support.redis_servers import RedisServer, redis_server

pytestmark = pytest.mark.slow

BRIEF = "[registrar]\nmin_expires = 1\n"
TRANSPORTS = pytest.mark.parametrize("transport", ["udp", "tcp"])
ALGORITHMS = ["MD5", "SHA-256"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The store, with the subscriber alice."""
    require_module("pjsua2")
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        add_subscriber(running.url, "alice", "wonderland")
        yield running


@pytest.fixture(scope="module", params=ALGORITHMS)
def edge(request: pytest.FixtureRequest, server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEdge]:
    """An edge that offers one algorithm alone."""
    algorithm: str = request.param
    config = f'{BRIEF}[auth]\nalgorithms = ["{algorithm}"]\n'
    with RunningEdge(tmp_path_factory.mktemp("edge"), server.url, config=config) as running:
        yield running


def stored(server: RedisServer, user: str) -> Snapshot:
    """Return what lies in the store."""
    with server.client() as redis:
        keys = list(redis.scan_iter(f"sr:*:aor:location:{user}@{DOMAIN}"))
        return decode_record((redis.get(keys[0]) or b"") if keys else b"")


def a_phone(edge: RunningEdge, folder: Path, transport: str, password: str = "wonderland", **more: int) -> Pjsua2Phone:
    return Pjsua2Phone(edge, folder, user="alice", password=password, domain=DOMAIN, transport=transport, **more)


class TestRegistration:
    """RFC 3261 §10.2, with either algorithm of RFC 8760."""

    @TRANSPORTS
    def test_it_registers_and_unregisters(self, edge: RunningEdge, server: RedisServer, tmp_path: Path, transport: str) -> None:
        with a_phone(edge, tmp_path, transport, expires=300) as phone:
            known = phone.state(1)
            assert (known["code"], known["expiration"], known["active"]) == (200, 300, True)
            (binding,) = stored(server, "alice").bindings
            assert binding.contact.startswith("sip:alice@127.0.0.1:")
            assert binding.socket == f"{transport}:127.0.0.1:{edge.port}"
            assert bool(binding.flow) is (transport == "tcp")
            os.kill(phone.pid, signal.SIGTERM)
            assert phone.state(2)["active"] is False
            assert phone.wait(10) == 0
        assert stored(server, "alice").bindings == ()


class TestDefaults:
    """An edge as it comes, with both algorithms (RFC 8760 §2.4: a client takes the first that it knows)."""

    def test_phones_refresh_before_their_registrations_lapse(self, server: RedisServer, tmp_path: Path) -> None:
        folders = {transport: tmp_path / transport for transport in ("udp", "tcp")}
        for folder in folders.values():
            folder.mkdir()
        with ExitStack() as stack:
            edge = stack.enter_context(RunningEdge(tmp_path, server.url, config=BRIEF))
            phones = [stack.enter_context(a_phone(edge, folder, name, expires=4, refresh_before=3)) for name, folder in folders.items()]
            assert [phone.state(1)["active"] for phone in phones] == [True, True]
            first = {binding.call_id: binding for binding in stored(server, "alice").bindings}
            assert len(first) == 2
            assert [(phone.state(2)["code"], phone.state(2)["active"]) for phone in phones] == [(200, True)] * 2
            last = {binding.call_id: binding for binding in stored(server, "alice").bindings}
            assert set(last) == set(first)
            for call_id, binding in last.items():
                before = first[call_id]
                assert binding.contact == before.contact
                assert (binding.cseq > before.cseq, binding.expires_at_ms > before.expires_at_ms) == (True, True)
        assert stored(server, "alice").bindings == ()

    def test_with_a_wrong_password_it_is_not_registered_and_knows_it(self, server: RedisServer, tmp_path: Path) -> None:
        with RunningEdge(tmp_path, server.url) as edge, a_phone(edge, tmp_path, "udp", password="looking-glass") as phone:
            known = phone.state(1)
            assert (known["code"], known["active"]) == (401, False)
        assert stored(server, "alice").bindings == ()
