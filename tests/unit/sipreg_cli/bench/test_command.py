"""`sipreg bench` as a user meets it, against a responder on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from click.testing import CliRunner, Result

from sipreg_cli.bench.command import bench, is_loopback
from support.udp_responder import UdpResponder, header, sip_answer

SMALL = ["--aors", "20", "--requests", "200", "--rounds", "2", "--rate", "500", "--window", "8"]


@pytest.fixture
def responder() -> Iterator[UdpResponder]:
    """Answer 200 to everything."""
    with UdpResponder(lambda data, _: [sip_answer(data)]) as running:
        yield running


def run(*arguments: str) -> Result:
    """Run the command within this process."""
    return CliRunner().invoke(bench, arguments)


@pytest.mark.slow
class TestATarget:
    """A server that runs already is measured, and left as it was."""

    def test_the_table_has_each_mode_and_the_echo(self, responder: UdpResponder) -> None:
        before, children = signal.getsignal(signal.SIGTERM), psutil.Process().children()
        result = run("--target", f"127.0.0.1:{responder.port}", "--pid", str(os.getpid()), "--modes", "register,refresh,options", *SMALL)
        assert result.exit_code == 0, result.output
        for mode in ("echo", "register", "refresh", "options"):
            assert sum(line.startswith(f"| {mode} | 400 | 0 | 0 | 0 |") for line in result.stdout.splitlines()) == 2
        assert "* Store: not looked at" in result.stdout
        assert "round 2/2" in result.stderr
        assert signal.getsignal(signal.SIGTERM) == before
        assert psutil.Process().children() == children

    def test_no_binding_stays_behind(self, responder: UdpResponder) -> None:
        result = run("--target", f"127.0.0.1:{responder.port}", "--modes", "register,refresh,fetch", *SMALL)
        assert result.exit_code == 0, result.output
        last = {header(message, "To"): header(message, "Expires") for message in responder.seen if b"\r\nContact:" in message}
        assert len(last) == 20 + 2 * 2 * 200
        assert set(last.values()) == {"0"}

    def test_json_goes_to_a_file(self, responder: UdpResponder, tmp_path: Path) -> None:
        path = tmp_path / "table.json"
        result = run("--target", f"127.0.0.1:{responder.port}", "--modes", "options", "--output", str(path), *SMALL)
        assert result.exit_code == 0, result.output
        assert {sample["mode"] for sample in json.loads(path.read_text())["samples"]} == {"echo", "options"}

    def test_a_target_that_does_not_answer_is_one_line(self, responder: UdpResponder) -> None:
        with UdpResponder(lambda _data, _: []) as gone:
            port = gone.port
        children = psutil.Process().children()
        result = run("--target", f"127.0.0.1:{port}", "--modes", "refresh", *SMALL)
        assert result.exit_code == 1
        assert f"nothing listens at udp:127.0.0.1:{port}" in result.stderr
        assert psutil.Process().children() == children


class TestRefusals:
    """What cannot work, or could hurt somebody, is refused before anything starts."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--target", "192.0.2.1:5060", "--modes", "options"], "--i-own-this-target"),
            (["--target", "no-such-host.invalid:5060", "--modes", "options"], "--i-own-this-target"),
            (["--store", "redis://192.0.2.1:6379", "--modes", "options"], "--i-own-this-target"),
            (["--target", "127.0.0.1", "--modes", "options"], "is not HOST:PORT"),
            (["--target", "127.0.0.1:99999", "--modes", "options"], "is not HOST:PORT"),
            (["--modes", "refresh,nonsense"], "nonsense; allowed are register, refresh, refresh-digest, fetch, options"),
            (["--modes", ","], "none given"),
            (["--pid", "1"], "--pid belongs to --target"),
            (["--target", "127.0.0.1:5060", "--modes", "refresh-digest"], "name it with --store"),
            (["--store", "memory", "--modes", "refresh-digest"], "name it with --store"),
            (["--store", "mysql://x", "--modes", "options"], "--store takes"),
            (["--output", "table.html"], "ends with .md or .json"),
            (["--requests", "0"], "0 is not in the range"),
        ],
    )
    def test_it_says_what_is_wrong(self, arguments: list[str], said: str) -> None:
        result = run(*arguments)
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.split())

    def test_loopback_is_told_by_address(self) -> None:
        assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
        assert [is_loopback(host) for host in ("192.0.2.1", "0.0.0.0", "2001:db8::1", "no-such-host.invalid")] == [False] * 4


class TestInterrupting:
    """Ctrl-C and kill end the children as well."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_everything_ends(self, number: signal.Signals, responder: UdpResponder) -> None:
        program = "from sipreg_cli.bench.command import bench\nbench()"
        arguments = [
            "--target",
            f"127.0.0.1:{responder.port}",
            "--modes",
            "refresh",
            "--aors",
            "20",
            "--requests",
            "10000000",
            "--seconds",
            "60",
        ]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
        ) as running:
            try:
                assert running.stderr is not None
                assert running.stderr.readline() == b"20 phones register\n"
                children = psutil.Process(running.pid).children(recursive=True)
                assert len(children) >= 2
                running.send_signal(number)
                assert running.wait(20) != 0
            finally:
                running.kill()
        assert psutil.wait_procs(children, timeout=10)[1] == []
