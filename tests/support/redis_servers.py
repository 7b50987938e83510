"""Real Redis servers of the tests' own: alone, and as a cluster; to be killed, frozen and restarted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import redis

from sipreg.store.address import StoreAddress, parse_store_address
from support.processes import Process, free_port, wait_until
from support.programs import require_program

START_LIMIT_S: Final = 10.0


class RedisServer:
    """One server on a port of its own, in a directory of its own."""

    def __init__(self, directory: Path, *extra: str) -> None:
        self.directory = directory
        self.port = _port()
        self._argv = [require_program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(directory)]
        self._argv += ["--save", "", "--daemonize", "no", "--loglevel", "warning", *extra]
        setpriv = shutil.which("setpriv")
        if setpriv:  # ends it with us, even if we are killed
            self._argv[:0] = [setpriv, "--pdeathsig", "KILL", "--"]
        self._starts = 0
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """The store address of the server."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def address(self) -> StoreAddress:
        """The same, taken apart."""
        return parse_store_address(self.url)

    def client(self) -> redis.Redis:
        """Return a plain client, to look at what the server holds."""
        return redis.Redis(port=self.port, socket_timeout=5)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._starts += 1
        self._process = Process(self._argv, self.directory / f"output-{self._starts}.log")
        wait_until(self.answers, START_LIMIT_S, f"the server on port {self.port}")

    def answers(self) -> bool:
        """Say whether it serves requests now."""
        with suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Kill it and start it again on the same port with the same files."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop it from running, with all its connections open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it run on."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """End it in good order."""
        if self._process is not None and self._process.returncode is None:
            self.thaw()
            self._process.stop()

    def _signal(self, number: int) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)


class RedisCluster:
    """Some masters that share the slots among them, without replicas."""

    def __init__(self, nodes: list[RedisServer]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        """The store address of the cluster; it names one node, the others are to be found."""
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    @property
    def address(self) -> StoreAddress:
        """The same, taken apart."""
        return parse_store_address(self.url)

    def owner_of(self, slot: int) -> RedisServer:
        """Return the node that serves a slot, as the first node sees it."""
        with self.nodes[0].client() as client:
            for start, end, master, *_ in client.execute_command("CLUSTER", "SLOTS"):
                if start <= slot <= end:
                    return next(node for node in self.nodes if node.port == master[1])
        raise AssertionError(f"nobody serves slot {slot}")

    def node_id(self, node: RedisServer) -> str:
        """Return the name by which the cluster knows a node."""
        with node.client() as client:
            name: bytes = client.execute_command("CLUSTER", "MYID")
        return name.decode()


@contextmanager
def redis_server(directory: Path, *extra: str) -> Iterator[RedisServer]:
    """Run a server; skip the test where there is none.

    Args:
        directory: empty, for its files.
        extra: further arguments of redis-server.
    """
    server = RedisServer(directory, *extra)
    try:
        server.start()
        yield server
    finally:
        server.end()


@contextmanager
def redis_cluster(directory: Path, masters: int = 3) -> Iterator[RedisCluster]:
    """Run a cluster of so many masters; skip the test where there is no server."""
    cli = require_program("redis-cli")
    with ExitStack() as stack:
        nodes = []
        for number in range(masters):
            folder = directory / f"node-{number}"
            folder.mkdir()
            nodes.append(stack.enter_context(redis_server(folder, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000")))
        ports = [f"127.0.0.1:{node.port}" for node in nodes]
        made = subprocess.run(
            [cli, "--cluster", "create", *ports, "--cluster-yes"], capture_output=True, text=True, timeout=60, check=False
        )
        assert made.returncode == 0, made.stdout + made.stderr
        for node in nodes:
            wait_until(partial(_is_whole, node, masters), START_LIMIT_S, f"the cluster as node {node.port} sees it")
        yield RedisCluster(nodes)


def _is_whole(node: RedisServer, masters: int) -> bool:
    with node.client() as client:
        info = client.execute_command("CLUSTER", "INFO").decode()
        slots = client.execute_command("CLUSTER", "SLOTS")
    return "cluster_state:ok" in info and len({tuple(entry[2][:2]) for entry in slots}) == masters


def _port() -> int:
    """Return a free port whose cluster bus port, 10000 above, can be had as well."""
    while True:
        port = free_port()
        if port < 55000:
            return port
