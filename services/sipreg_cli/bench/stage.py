"""The parts of a run, each a process of its own: store, edge, floor and generators."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import IO, Any, Final, Protocol

import redis

from sipreg.store.keys import Keys
from sipreg.store.server_program import NoServer, find_server
from sipreg_cli.bench.children import START_LIMIT_S, BenchFailed, await_ready, child, free_port, read_line, tail
from sipreg_cli.bench.generator import Order, Outcome, Setup
from sipreg_cli.bench.measure import cpu_ns
from sipreg_cli.bench.messages import HASHES, ha1

_REPLY_MARGIN_S: Final = 30.0
"""Beyond the time that a run may take: a slow machine, sorting the latencies."""

_BATCH: Final = 1_000
"""Credentials written or deleted per round trip."""


class Store(Protocol):
    """A store that is being measured along."""

    @property
    def name(self) -> str:
        """Product and version."""

    def cpu_ns(self) -> int | None:
        """CPU time used so far, in nanoseconds; None where it cannot be known."""


@dataclass(frozen=True, slots=True)
class NoStore:
    """The edge keeps its bindings to itself."""

    url: str = "memory"
    name: str = "memory of the edge"

    def cpu_ns(self) -> int | None:
        """Return None: it is part of the edge."""
        return None


class RedisStore:
    """A Redis or Valkey server: ours, by its process, or somebody else's, by what it tells of itself."""

    def __init__(self, url: str, pid: int | None = None) -> None:
        """Connect; raises BenchFailed if the server does not answer.

        Args:
            url: as redis-py reads it.
            pid: of the server, if it is ours; else its own account of its CPU time is taken, exact to the microsecond as well.
        """
        self.url = url
        self._pid = pid
        self._client = redis.Redis.from_url(url, socket_timeout=10, socket_connect_timeout=2)
        try:
            info: dict[str, Any] = self._client.info("server")
        except redis.RedisError as error:
            raise BenchFailed(f"no store at {_without_password(url)}: {error}") from error
        valkey = info.get("valkey_version")
        self.name = f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}"

    def cpu_ns(self) -> int | None:
        """Return the CPU time used so far by all threads of the server."""
        if self._pid is not None:
            return cpu_ns([self._pid])
        try:
            told: dict[str, Any] = self._client.info("cpu")
        except redis.RedisError as error:
            raise BenchFailed(f"the store at {_without_password(self.url)} is gone: {error}") from error
        return int((told["used_cpu_user"] + told["used_cpu_sys"]) * 1e9)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    @contextmanager
    def subscribers(self, domain: str, users: Sequence[str], password: str) -> Iterator[None]:
        """Keep credentials for these users in the store for a while: a hash for each, a field per algorithm."""
        names = Keys()
        keys = [names.credential(domain.lower(), user) for user in users]
        batches = [range(start, min(start + _BATCH, len(keys))) for start in range(0, len(keys), _BATCH)]
        try:
            for batch in batches:
                with self._client.pipeline(transaction=False) as pipe:
                    for at in batch:
                        for algorithm in HASHES:
                            pipe.hset(keys[at], algorithm, ha1(algorithm, users[at], domain, password))
                    pipe.execute()
            yield
        except redis.RedisError as error:
            raise BenchFailed(f"the store at {_without_password(self.url)} does not take subscribers: {error}") from error
        finally:
            # The store may be gone by now, and then so are they.
            with suppress(redis.RedisError):
                for batch in batches:
                    self._client.delete(*keys[batch.start : batch.stop])


@contextmanager
def own_store(cpus: Sequence[int]) -> Iterator[RedisStore]:
    """Run a store server of our own, empty, append-only file on and written out each second, until the end."""
    program = find_server()
    if isinstance(program, NoServer):
        raise BenchFailed(f"no store server can be run: {program.reason}; name a running one with --store")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="sipreg-bench-") as directory, tempfile.TemporaryFile() as log:
        argv = [program.path, "--bind", "127.0.0.1", "--port", str(port), "--dir", directory, "--save", ""]
        argv += ["--appendonly", "yes", "--appendfsync", "everysec", "--daemonize", "no"]
        with child(argv, cpus=cpus, log=log) as process:
            await_ready(lambda: _answers(port), process, log, "the store server")
            with closing(RedisStore(f"redis://127.0.0.1:{port}", process.pid)) as store:
                yield store


def _answers(port: int) -> bool:
    try:
        with redis.Redis(port=port, socket_timeout=1, socket_connect_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def own_edge(store: str, *, domain: str, auth: str, workers: int, cpus: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Run an edge on that store until the end; yields (its UDP port, its process id) once it is ready."""
    port, http_port = free_port(), free_port()
    argv = [sys.executable, "-m", "sipreg_cli", "edge", "--listen", f"udp:127.0.0.1:{port}", "--store", store, "--domain", domain]
    argv += ["--auth", auth, "--http", f"127.0.0.1:{http_port}", "--workers", str(workers), "--node-id", f"bench-{auth}"]
    with tempfile.TemporaryFile() as log, child(argv, cpus=cpus, log=log) as process:
        await_ready(lambda: _ready(http_port), process, log, "the edge")
        yield port, process.pid


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def own_echo(cpus: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Run the floor until the end; yields (its UDP port, its process id)."""
    with tempfile.TemporaryFile() as log, child([sys.executable, "-m", "sipreg_cli.bench.echo"], cpus=cpus, log=log, talk=True) as process:
        yield int(read_line(process, log, START_LIMIT_S, "the echo")), process.pid


class GeneratorProcess:
    """The near end of a `sipreg_cli.bench.generator`."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes], setup: Setup) -> None:
        """Introduce the target to a generator that has just started."""
        self.setup = setup
        self._process = process
        self._log = log
        self._tell(asdict(setup))

    def run(self, order: Order) -> Outcome:
        """Have one order carried out; raises BenchFailed if the generator dies or is overdue."""
        self._tell(asdict(order))
        line = read_line(self._process, self._log, order.seconds + _REPLY_MARGIN_S, "the generator")
        return Outcome(**json.loads(line))

    def _tell(self, what: Mapping[str, object]) -> None:
        if self._process.stdin is None:
            raise BenchFailed("the generator was started without a pipe")
        try:
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise BenchFailed(f"the generator died: {tail(self._log)}") from error


@contextmanager
def generator(setup: Setup, cpus: Sequence[int]) -> Iterator[GeneratorProcess]:
    """Run a load generator until the end."""
    argv = [sys.executable, "-m", "sipreg_cli.bench.generator"]
    with tempfile.TemporaryFile() as log, child(argv, cpus=cpus, log=log, talk=True) as process:
        yield GeneratorProcess(process, log, setup)


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
