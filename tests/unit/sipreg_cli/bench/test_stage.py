"""The parts of a run really run: store, floor, generator."""

from __future__ import annotations

import hashlib
import socket
from contextlib import closing

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
import redis

from sipreg_cli.bench.children import BenchFailed
from sipreg_cli.bench.generator import Mode, Order, Setup
from sipreg_cli.bench.stage import NoStore, RedisStore, generator, own_echo, own_store
from support.programs import require_program
from support.udp_responder import UdpResponder, sip_answer


class TestTheStore:
    """A server of our own, or one that runs already."""

    @pytest.fixture(autouse=True)
    def _needs_a_server(self) -> None:
        require_program("redis-server")

    def test_our_own_answers_is_durable_and_ends(self) -> None:
        with own_store([]) as store:
            client = redis.Redis.from_url(store.url, decode_responses=True)
            assert client.config_get("append*")["appendonly"] == "yes"
            assert client.config_get("append*")["appendfsync"] == "everysec"
            assert client.dbsize() == 0
            assert store.name.split(" ")[0] in ("Redis", "Valkey")
            client.close()
        with pytest.raises(BenchFailed, match="no store at redis://127"):
            RedisStore(store.url)

    def test_its_cpu_time_is_known_from_its_process_and_from_its_own_account_alike(self) -> None:
        with own_store([]) as ours, closing(RedisStore(ours.url)) as seen:
            before = ours.cpu_ns(), seen.cpu_ns()
            assert before[0] is not None
            assert before[1] is not None
            client = redis.Redis.from_url(ours.url)
            client.eval("for i = 1, 3000000 do local x = i * i end return 1", 0)
            client.close()
            used = (ours.cpu_ns() or 0) - before[0], (seen.cpu_ns() or 0) - before[1]
        assert used[0] > 5_000_000
        assert used[1] == pytest.approx(used[0], rel=0.5)

    def test_subscribers_are_there_for_a_while_with_both_hashes(self) -> None:
        with own_store([]) as store:
            client = redis.Redis.from_url(store.url, decode_responses=True)
            with store.subscribers("Bench.example", [f"u{number}" for number in range(1500)], "secret"):
                assert client.dbsize() == 1500
                assert client.hgetall("sr:cred:bench.example:u1499") == {
                    "MD5": hashlib.md5(b"u1499:Bench.example:secret").hexdigest(),
                    "SHA-256": hashlib.sha256(b"u1499:Bench.example:secret").hexdigest(),
                }
            assert client.dbsize() == 0
            client.close()

    def test_a_store_that_dies_is_reported_and_hides_no_password(self) -> None:
        with pytest.raises(BenchFailed) as failed:
            RedisStore("redis://me:hush@127.0.0.1:1/0")
        assert "127.0.0.1:1/0" in str(failed.value)
        assert "hush" not in str(failed.value)

    def test_without_a_store_its_cpu_time_is_not_known(self) -> None:
        assert NoStore().cpu_ns() is None


class TestTheFloor:
    """A Python echo in a process of its own."""

    def test_it_sends_back_what_it_gets_and_ends(self) -> None:
        with own_echo([]) as (port, pid), socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sent = [b"%d" % number for number in range(100)]
            for datagram in sent:
                sock.sendto(datagram, ("127.0.0.1", port))
            assert [sock.recv(4096) for _ in sent] == sent
            assert psutil.pid_exists(pid)
        assert not psutil.pid_exists(pid)


class TestTheGenerator:
    """The generator as a process."""

    def test_it_carries_out_orders_one_after_the_other(self) -> None:
        with UdpResponder(lambda data, _: [sip_answer(data)]) as responder:
            setup = Setup(host="127.0.0.1", port=responder.port, namespace="t", aors=10)
            with generator(setup, []) as phones:
                first = phones.run(Order(mode=Mode.REFRESH, requests=50, window=4))
                second = phones.run(Order(mode=Mode.OPTIONS, requests=20, rate=1000.0))
        assert (first.answered, first.unexpected, second.answered) == (50, 0, 20)
        assert len(responder.seen) == 70

    def test_one_that_dies_is_reported_with_its_last_words(self) -> None:
        setup = Setup(host="127.0.0.1", port=9, namespace="not fit", aors=1)
        with generator(setup, []) as phones, pytest.raises(BenchFailed, match="not fit for a SIP URI"):
            phones.run(Order(mode=Mode.OPTIONS, requests=1))
