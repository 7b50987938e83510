"""`sipreg up` and `sipreg subscriber`: what somebody sees who tries it, and what an operator does with it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from support.edges import RunningUp, run_sipreg
from support.processes import wait_until
from support.programs import require_program
from support.sip_client import Phone, listed

pytestmark = pytest.mark.slow

HOST = "127.0.0.1"
SEEN_WITHIN_S = 1.0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an embedded store."""
    require_program("redis-server")
    return tmp_path_factory.mktemp("store") / "data"


@pytest.fixture(scope="module")
def up(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    """One that runs while the tests of this module do."""
    with RunningUp(tmp_path_factory.mktemp("up"), f"embedded:{data}") as running:
        yield running


def a_phone(user: str, password: str) -> Phone:
    return Phone(user=user, domain=HOST, password=password)


def status_of(up: RunningUp, user: str, password: str) -> int:
    with up.client() as client:
        return client.register(a_phone(user, password)).status


class TestFirstSight:
    """What is printed is what works."""

    def test_it_tells_where_it_listens_and_how_to_register(self, up: RunningUp, data: Path) -> None:
        said = up.output()
        for text in (f"udp:{HOST}:{up.port}", f"tcp:{HOST}:{up.port}", f"http://{HOST}:{up.http}/docs", f"embedded:{data}"):
            assert text in said
        assert list(up.passwords()) == ["alice", "bob"]
        assert all(len(password) >= 12 for password in up.passwords().values())

    @pytest.mark.parametrize(("user", "transport"), [("alice", "udp"), ("bob", "tcp")])
    def test_a_phone_registers_with_what_was_printed_and_is_seen_at_the_api(self, up: RunningUp, user: str, transport: str) -> None:
        phone = a_phone(user, up.passwords()[user])
        with up.client(transport) as client:
            assert listed(client.register(phone))[phone.contact] == 600
        assert 590 <= up.bindings(user)[phone.contact] <= 600

    def test_nothing_of_it_can_be_reached_from_elsewhere(self, up: RunningUp) -> None:
        family = [psutil.Process(up.pid), *psutil.Process(up.pid).children(recursive=True)]
        bound = {connection.laddr.ip for process in family for connection in process.net_connections("inet") if connection.laddr}
        assert bound == {HOST}


class TestSubscribers:
    """`sipreg subscriber`, beside a process that runs: it sees every change at once."""

    def test_one_that_is_added_can_register_and_one_that_is_removed_cannot(self, up: RunningUp, data: Path) -> None:
        store = ("--store", f"embedded:{data}")
        assert status_of(up, "carol", "one") == 401

        added = run_sipreg("subscriber", "add", f"carol@{HOST}", "--password", "one", *store)
        assert (added.returncode, added.stdout, added.stderr) == (0, f"added carol@{HOST}\n", "")
        wait_until(lambda: status_of(up, "carol", "one") == 200, SEEN_WITHIN_S, "the new subscriber")

        changed = run_sipreg("subscriber", "passwd", f"carol@{HOST}", "--password", "two", *store)
        assert (changed.returncode, changed.stdout) == (0, f"changed carol@{HOST}\n")
        wait_until(lambda: status_of(up, "carol", "one") == 401, SEEN_WITHIN_S, "the old password to be forgotten")
        assert status_of(up, "carol", "two") == 200

        shown = run_sipreg("subscriber", "list", *store)
        assert shown.stdout.splitlines() == [f"{user}@{HOST}" for user in ("alice", "bob", "carol")]
        assert run_sipreg("subscriber", "list", "elsewhere.example", *store).stdout == ""

        removed = run_sipreg("subscriber", "remove", f"carol@{HOST}", *store)
        assert (removed.returncode, removed.stdout) == (0, f"removed carol@{HOST}\n")
        wait_until(lambda: status_of(up, "carol", "two") == 401, SEEN_WITHIN_S, "the subscriber to be forgotten")

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (("add", f"alice@{HOST}", "--password", "x"), f"sipreg: Subscriber alice@{HOST} exists already"),
            (("remove", f"nobody@{HOST}"), f"sipreg: There is no subscriber nobody@{HOST}"),
        ],
    )
    def test_what_cannot_be_done_is_said_in_one_line(self, up: RunningUp, data: Path, arguments: tuple[str, ...], line: str) -> None:
        done = run_sipreg("subscriber", *arguments, "--store", f"embedded:{data}")
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{line}\n")

    def test_a_memory_store_has_no_subscribers_that_a_command_could_reach(self) -> None:
        done = run_sipreg("subscriber", "list", "--store", "memory")
        assert done.returncode == 1
        assert "store.url: a memory store belongs to one process" in done.stderr


class TestPorts:
    """Two of them cannot have the same ports."""

    def test_the_second_says_which_address_is_taken_and_ends(self, up: RunningUp, data: Path) -> None:
        listen = f"udp:{HOST}:{up.port}"
        done = run_sipreg("up", "--listen", listen, "--store", f"embedded:{data}")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"sipreg: edge.listen {listen}: Address already in use\n"

    def test_a_taken_port_of_http_is_told_as_well(self, up: RunningUp) -> None:
        done = run_sipreg("up", "--listen", f"udp:{HOST}:0", "--http", f"{HOST}:{up.http}", "--store", "memory")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"sipreg: api.http {HOST}:{up.http}: Address already in use\n"

    @pytest.mark.parametrize(
        ("options", "line"),
        [
            (("--workers", "0"), "edge.workers = 0: Input should be greater than or equal to 1"),
            (("--config", "/nowhere/sipreg.toml"), "--config /nowhere/sipreg.toml: no such file"),
        ],
    )
    def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(self, options: tuple[str, ...], line: str) -> None:
        done = run_sipreg("up", *options)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"sipreg: {line}\n")


class TestStore:
    """A store that is not there is told like a setting that is wrong."""

    def test_the_start_ends_with_a_line_that_says_so(self) -> None:
        done = run_sipreg("up", "--store", "redis://user:hush@127.0.0.1:1", "--listen", f"udp:{HOST}:0")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith("sipreg: The store does not tell the cluster's secret: ")
        assert "hush" not in done.stderr


class TestEnds:
    """What becomes of it, of its store's server and of its bindings, however it ends."""

    def test_bindings_and_passwords_outlast_a_stop_and_a_start(self, tmp_path: Path) -> None:
        require_program("redis-server")
        store, phone = f"embedded:{tmp_path / 'data'}", a_phone("alice", "")
        with RunningUp(tmp_path, store) as first:
            passwords, ports = first.passwords(), (first.port, first.http)
            phone.password = passwords["alice"]
            with first.client() as client:
                assert client.register(phone).status == 200
            os.kill(first.pid, signal.SIGTERM)
            assert first.wait(10) == 0
        assert run_sipreg("subscriber", "passwd", f"bob@{HOST}", "--password", "mine", "--store", store).returncode == 0
        with RunningUp(tmp_path, store, ports=ports) as second:
            assert 500 < second.bindings("alice")[phone.contact] <= 600
            with second.client() as client:
                assert client.register(phone).status == 200
            # Whoever has changed a password knows it, and the one that was told before is no longer true.
            assert second.passwords() == {"alice": passwords["alice"]}
            assert status_of(second, "bob", "mine") == 200

    def test_killed_it_leaves_no_server_behind_and_the_next_start_finds_all(self, tmp_path: Path) -> None:
        require_program("redis-server")
        store, phone = f"embedded:{tmp_path / 'data'}", a_phone("alice", "")
        with RunningUp(tmp_path, store) as first:
            phone.password = first.passwords()["alice"]
            with first.client() as client:
                assert client.register(phone).status == 200
            children = psutil.Process(first.pid).children(recursive=True)
            assert children
            first.kill()
            assert psutil.wait_procs(children, 3)[1] == []
        with RunningUp(tmp_path, store) as second:
            assert phone.contact in second.bindings("alice")

    def test_a_memory_store_serves_and_forgets(self, tmp_path: Path) -> None:
        with RunningUp(tmp_path, "memory") as up:
            assert re.search(r"^ +store +memory$", up.output(), re.MULTILINE)
            phone = a_phone("bob", up.passwords()["bob"])
            with up.client() as client:
                assert client.register(phone).status == 200
            assert phone.contact in up.bindings("bob")
            assert psutil.Process(up.pid).children(recursive=True) == []
            os.kill(up.pid, signal.SIGINT)
            assert up.wait(10) == 0
