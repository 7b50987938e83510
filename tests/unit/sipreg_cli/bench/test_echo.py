"""The floor drains its socket, and does not outlive whoever started it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from sipreg_cli.bench.echo import DRAIN, echo


class TestDraining:
    """As many datagrams as are there, up to a limit, in one call."""

    def test_one_call_answers_what_waits_and_leaves_the_rest_for_the_next(self) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as floor, socket.socket(type=socket.SOCK_DGRAM) as peer:
            floor.bind(("127.0.0.1", 0))
            floor.setblocking(False)
            peer.connect(floor.getsockname())
            peer.setblocking(False)
            for number in range(DRAIN + 10):
                peer.send(b"%d" % number)
            echo(floor)
            assert [peer.recv(100) for _ in range(DRAIN)] == [b"%d" % number for number in range(DRAIN)]
            echo(floor)
            assert [peer.recv(100) for _ in range(10)] == [b"%d" % number for number in range(DRAIN, DRAIN + 10)]


class TestItsEnd:
    """The end of its input is its own."""

    def test_it_ends_when_its_input_does(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        argv = [sys.executable, "-m", "sipreg_cli.bench.echo"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as running:
            try:
                assert running.stdin is not None
                assert running.stdout is not None
                assert int(running.stdout.readline()) > 0
                assert running.poll() is None
                running.stdin.close()
                assert running.wait(10) == 0
            finally:
                running.kill()
