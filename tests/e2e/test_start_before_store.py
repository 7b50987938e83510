from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.edges import DOMAIN
from support.processes import Process, free_port
from support.redis_servers import redis_server
from support.sip_client import Phone, SipClient


@pytest.fixture
def early_edge(tmp_path: Path) -> Iterator[tuple[Process, int]]:
    """An edge whose store is not there yet: the process, and its SIP port."""
    sip = free_port()
    arguments = ["--listen", f"udp:127.0.0.1:{sip}", "--store", f"unix://{tmp_path}/store.sock", "--domain", DOMAIN, "--auth", "off"]
    with Process([sys.executable, "-m", "sipreg_cli", "edge", *arguments], tmp_path / "edge.log") as edge:
        edge.wait_for_line("waiting for the store")
        yield edge, sip


class TestAnEdgeThatStartsBeforeItsStore:
    def test_it_waits_and_serves_when_the_store_has_come(self, early_edge: tuple[Process, int], tmp_path: Path) -> None:
        edge, sip = early_edge
        folder = tmp_path / "redis"
        folder.mkdir()
        with redis_server(folder, "--unixsocket", f"{tmp_path}/store.sock"), SipClient(sip) as client:
            edge.wait_for_line("serving")
            assert client.register(Phone(user="alice", domain=DOMAIN)).status == 200

    def test_it_can_be_stopped_while_it_waits(self, early_edge: tuple[Process, int]) -> None:
        edge, _ = early_edge
        assert edge.stop(5) == 0
