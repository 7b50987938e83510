"""The command `sipreg bench`: options, the cast of processes, the table."""

from __future__ import annotations

import ipaddress
import secrets
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from sipreg_cli.bench.children import BenchFailed
from sipreg_cli.bench.generator import Mode, Order, Setup
from sipreg_cli.bench.machine import this_machine
from sipreg_cli.bench.measure import cpu_plan
from sipreg_cli.bench.messages import HASHES
from sipreg_cli.bench.report import ECHO, Report, as_json, as_markdown
from sipreg_cli.bench.rounds import Amount, Entry, prepare, run_rounds
from sipreg_cli.bench.stage import GeneratorProcess, NoStore, RedisStore, generator, own_echo, own_edge, own_store

MODES: Final = (Mode.REGISTER, Mode.REFRESH, Mode.REFRESH_DIGEST, Mode.FETCH, Mode.OPTIONS)
"""What can be measured, in the order of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who takes part."""

    modes: tuple[Mode, ...]
    store: str
    target: tuple[str, int] | None
    pids: tuple[int, ...]
    aors: int
    domain: str
    sources: int
    workers: int
    algorithm: str


def _modes(_context: click.Context, _option: click.Parameter, value: str) -> tuple[Mode, ...]:
    names = dict.fromkeys(name.strip() for name in value.split(",") if name.strip())
    unknown = [name for name in names if name not in MODES]
    if unknown or not names:
        raise click.BadParameter(f"{', '.join(unknown) or 'none given'}; allowed are {', '.join(MODES)}")
    return tuple(mode for mode in MODES if mode in names)


def _target(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[str, int] | None:
    if value is None:
        return None
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise click.BadParameter(f"{value!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Return whether every address of ``host`` is this machine's own; a name that does not resolve is not."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)


@click.command()
@click.option("--modes", callback=_modes, default=",".join(MODES), show_default=True, help="What to measure.")
@click.option("--aors", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="Phones that refresh in turn.")
@click.option("--requests", type=click.IntRange(1, 10_000_000), default=100_000, show_default=True, help="Requests per run, at most.")
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=10.0, show_default=True, help="Length of a run, at most.")
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True, help="How often all of it is measured, in turn.")
@click.option("--window", type=click.IntRange(1, 4096), default=64, show_default=True, help="Requests outstanding when saturated.")
@click.option(
    "--rate", type=click.FloatRange(0, 1_000_000), default=10_000.0, show_default=True, help="Requests/s of the latency runs, 0: none."
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Workers of the edge that is started.")
@click.option("--sources", type=click.IntRange(1, 256), default=1, show_default=True, help="Sockets to send from.")
@click.option("--algorithm", type=click.Choice(list(HASHES)), default="MD5", show_default=True, help="Of the digest.")
@click.option(
    "--domain",
    callback=lambda _context, _option, value: str(value).lower(),
    default="bench.example",
    show_default=True,
    help="Domain of the phones, and realm of their digest.",
)
@click.option("--store", default="embedded", show_default=True, help="embedded (a server of our own), memory, or redis://HOST:PORT.")
@click.option("--target", callback=_target, metavar="HOST:PORT", help="Measure this server over UDP, and start none.")
@click.option("--pid", "pids", type=click.IntRange(1), multiple=True, help="Process of the target, for its CPU time; repeatable.")
@click.option("--i-own-this-target", "owned", is_flag=True, help="Allow a target or a store that is not on loopback.")
@click.option("--output", default="-", metavar="FILE", help="FILE.md or FILE.json; '-' or 'json' print to standard output.")
def bench(  # noqa: PLR0913  # click hands each option over as an argument
    *,
    modes: tuple[Mode, ...],
    aors: int,
    requests: int,
    seconds: float,
    rounds: int,
    window: int,
    rate: float,
    workers: int,
    sources: int,
    algorithm: str,
    domain: str,
    store: str,
    target: tuple[str, int] | None,
    pids: tuple[int, ...],
    owned: bool,
    output: str,
) -> None:
    """Measure what a request costs: CPU time of edge and store, and latency.

    Starts a store server, edges, a UDP echo as the floor, and load generators, all on loopback; measures every mode and the echo in turn,
    and prints a table with the budget beside it. With --target a running server is measured instead. Everything ends by itself.
    """
    cast = Cast(
        modes=modes,
        store=store,
        target=target,
        pids=pids,
        aors=aors,
        domain=domain,
        sources=sources,
        workers=workers,
        algorithm=algorithm,
    )
    amount = Amount(requests=requests, seconds=seconds, window=min(window, aors), rounds=rounds, rate=rate)
    _check(cast, output, owned=owned)
    try:
        with _unwound_by_sigterm():
            report = measured(cast, amount)
    except BenchFailed as failure:
        raise click.ClickException(str(failure)) from failure
    text = as_json(report) if output == "json" or output.endswith(".json") else as_markdown(report)
    if output in ("-", "json"):
        click.echo(text, nl=False)
    else:
        Path(output).write_text(text, encoding="utf-8")
        click.echo(f"written to {output}", err=True)


@contextmanager
def _unwound_by_sigterm() -> Iterator[None]:
    """Have a plain kill unwind us as Ctrl-C does, so that nothing is left behind, not even a file."""
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check(cast: Cast, output: str, *, owned: bool) -> None:
    """Refuse what cannot work, before anything is started."""
    if cast.target is not None and not owned and not is_loopback(cast.target[0]):
        raise click.UsageError(f"{cast.target[0]} is not this machine: load only what is yours, and say so with --i-own-this-target")
    scheme, _, rest = cast.store.partition("://")
    if cast.store not in ("embedded", "memory") and (scheme not in ("redis", "rediss", "unix") or not rest):
        raise click.UsageError("--store takes embedded, memory, redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH")
    host = urlsplit(cast.store).hostname if scheme in ("redis", "rediss") else None
    if host is not None and not owned and not is_loopback(host):
        raise click.UsageError(f"the store at {host} is not on this machine: say that it is yours with --i-own-this-target")
    if cast.pids and cast.target is None:
        raise click.UsageError("--pid belongs to --target")
    if Mode.REFRESH_DIGEST in cast.modes and not _writable(cast):
        raise click.UsageError("refresh-digest writes its subscribers into the edge's store: name it with --store, or leave out the mode")
    if output not in ("-", "json") and not output.endswith((".md", ".json")):
        raise click.UsageError("--output takes a name that ends with .md or .json, '-' or 'json'")


def _writable(cast: Cast) -> bool:
    return "://" in cast.store or (cast.store == "embedded" and cast.target is None)


def measured(cast: Cast, amount: Amount) -> Report:
    """Start everything, measure, end everything; raises BenchFailed."""
    edge_cpus, other_cpus = cpu_plan(cast.workers)
    with ExitStack() as stack:
        store = stack.enter_context(_store(cast, other_cpus))
        troupe = _Troupe(stack, cast, store, edge_cpus, other_cpus)
        samples = run_rounds(troupe.entries(), amount, store, edge_cpus, _say)
        troupe.leave()
    settings = {
        "AoRs": f"{cast.aors:,}",
        "window": str(amount.window),
        "workers": str(cast.workers) if cast.target is None else "as found",
        "sources": str(cast.sources),
        "digest": cast.algorithm,
        "rounds": str(amount.rounds),
    }
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Report(date=date, machine=this_machine(), store=store.name, settings=settings, samples=tuple(samples))


@contextmanager
def _store(cast: Cast, cpus: Sequence[int]) -> Iterator[RedisStore | NoStore]:
    if "://" in cast.store:
        with closing(RedisStore(cast.store)) as store:
            yield store
    elif cast.store == "embedded" and cast.target is None:
        with own_store(cpus) as store:
            yield store
    else:
        yield NoStore() if cast.target is None else NoStore(name="not looked at")


class _Troupe:
    """The generators, and what they measure; everything is started on the stack, which ends it."""

    def __init__(
        self, stack: ExitStack, cast: Cast, store: RedisStore | NoStore, edge_cpus: Sequence[int], other_cpus: Sequence[int]
    ) -> None:
        self._stack = stack
        self._cast = cast
        self._store = store
        self._edge_cpus = edge_cpus
        self._other_cpus = other_cpus
        self._registered: list[GeneratorProcess] = []

    def entries(self) -> list[Entry]:
        """Start and prepare what the modes need; the floor comes first."""
        port, pid = self._stack.enter_context(own_echo(self._edge_cpus))
        entries = [Entry(ECHO, Mode.REFRESH, self._generator("127.0.0.1", port, echo=True), [pid])]
        plain = [mode for mode in self._cast.modes if mode is not Mode.REFRESH_DIGEST]
        if plain:
            phones, pids = self._against(auth="off")
            if Mode.REFRESH in plain or Mode.FETCH in plain:
                self._register(phones, Mode.REFRESH)
            entries += [Entry(mode, mode, phones, pids) for mode in plain]
        if Mode.REFRESH_DIGEST in self._cast.modes:
            phones, pids = self._against(auth="digest")
            _say(f"{self._cast.aors} phones learn their nonces")
            prepare(phones, Mode.CHALLENGE)
            self._register(phones, Mode.REFRESH_DIGEST)
            entries.append(Entry(Mode.REFRESH_DIGEST, Mode.REFRESH_DIGEST, phones, pids))
        return entries

    def leave(self) -> None:
        """Remove the bindings of all phones, so that a store which is not ours is left as it was."""
        for phones in self._registered:
            phones.run(Order(mode=Mode.LEAVE, requests=0, seconds=30.0 + self._cast.aors / 1000, window=min(32, self._cast.aors)))

    def _register(self, phones: GeneratorProcess, mode: Mode) -> None:
        _say(f"{self._cast.aors} phones register")
        self._registered.append(phones)
        prepare(phones, mode)

    def _against(self, *, auth: str) -> tuple[GeneratorProcess, Sequence[int]]:
        """Return the phones of the given target, or of an edge that is started with this ``--auth``, and the target's processes."""
        cast = self._cast
        if cast.target is not None:
            host, port, pids = *cast.target, cast.pids
        else:
            _say(f"starting an edge with --auth {auth}")
            port, pid = self._stack.enter_context(
                own_edge(self._store.url, domain=cast.domain, auth=auth, workers=cast.workers, cpus=self._edge_cpus)
            )
            host, pids = "127.0.0.1", (pid,)
        return self._generator(host, port, digest=auth == "digest"), pids

    def _generator(self, host: str, port: int, *, echo: bool = False, digest: bool = False) -> GeneratorProcess:
        cast, namespace, password = self._cast, f"b{secrets.token_hex(3)}", secrets.token_hex(8)
        setup = Setup(
            host=host,
            port=port,
            namespace=namespace,
            aors=cast.aors,
            domain=cast.domain,
            sources=cast.sources,
            algorithm=cast.algorithm,
            password=password,
            echo=echo,
        )
        if digest and isinstance(self._store, RedisStore):
            users = [f"{namespace}{aor:010d}" for aor in range(cast.aors)]
            self._stack.enter_context(self._store.subscribers(cast.domain, users, password))
        return self._stack.enter_context(generator(setup, self._other_cpus))


def _say(line: str) -> None:
    click.echo(line, err=True)
