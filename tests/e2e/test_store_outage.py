"""The store dies, hangs, is late and fills up under load: what was answered 200 stays, the rest is told, and service comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from support.edges import DOMAIN, RunningEdge, running_edges
from support.location import stored_bindings, stored_records, write_subscribers
from support.processes import wait_until
from support.redis_servers import RedisServer, redis_server
from support.sip_client import Phone, listed
from support.steady_load import Kind, ProbeWatch, SteadyLoad

pytestmark = pytest.mark.slow

EDGES: Final = 2
USERS: Final = 200
NEWCOMERS: Final = 300
RATE: Final = 250
PASSWORD: Final = "hold the line"

STORE_TIMEOUT_S: Final = 1.0
"""The default of store.timeout_ms."""
SLACK_S: Final = 0.6
"""What a busy machine may add to it."""
RECOVERY_S: Final = 2.0
BEFORE_S: Final = 1.0
OUTAGE_S: Final = 4.0
AFTER_S: Final = 2.0
LATE_MS: Final = 500
FULL: Final = 500_000
"""Bytes; an empty server has more."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Two edges under load on one server."""

    server: RedisServer
    load: SteadyLoad
    probes: ProbeWatch

    def runs_on(self, seconds: float) -> None:
        """Let that much time pass under load."""
        end = time.monotonic() + seconds
        answers = self.load.answers
        wait_until(lambda: bool(answers) and answers[-1].sent_at >= end, seconds + 10, "the load to run on")


@contextmanager
def under_load(folder: Path, allowed: set[int], *options: str) -> Iterator[Scene]:
    """Run two edges under load on one server; in the end nobody was told anything but the truth, and nothing is lost."""
    users = [f"user-{number}" for number in range(USERS)]
    newcomers = [f"newcomer-{number}" for number in range(NEWCOMERS)]
    with redis_server(folder, *options) as server, running_edges(folder, server.url, EDGES) as edges:
        write_subscribers(server, dict.fromkeys([*users, *newcomers], PASSWORD))
        with ProbeWatch(edges) as probes, SteadyLoad(edges, users, newcomers, PASSWORD, RATE) as load:
            yield Scene(server=server, load=load, probes=probes)
        assert {probed.livez for probed in probes.seen} == {200}
        assert_answers_are_honest(load, allowed)
        assert_nothing_answered_200_is_lost(load, server)
        for edge in edges:
            assert edge.returncode is None, "an edge ended"
            assert edge.metric("sipreg_internal_errors_total") == 0
            assert "Traceback" not in edge.output()


def assert_answers_are_honest(load: SteadyLoad, allowed: set[int]) -> None:
    """Every request is answered; nobody who is registered hears 404 or an empty list; who hears 503 hears when to come back."""
    for answer in load.answers:
        assert answer.status in allowed, str(answer)
        if answer.status == 503:
            assert int(answer.retry_after or 0) > 0, str(answer)
        elif answer.kind is Kind.REFRESH:
            assert answer.contacts == {answer.line.phone.contact: answer.seconds}, str(answer)
        else:
            assert answer.contacts.keys() == {answer.line.phone.contact}, f"{answer}: {answer.contacts}"


def assert_nothing_answered_200_is_lost(load: SteadyLoad, server: RedisServer) -> None:
    """Every AoR answered 200 is stored as it was last answered, or as a later request would have it."""
    stored = stored_bindings(server)
    for line in load.lines:
        bindings = stored.pop(line.aor, ())
        if not bindings:
            assert not line.answered, f"{line.aor} was answered 200 and is not stored"
            continue
        (binding,) = bindings
        assert (binding.contact, binding.call_id) == (line.phone.contact, line.phone.call_id)
        assert binding.cseq >= line.answered, f"{line.aor}: CSeq {line.answered} was answered 200, and {binding.cseq} is stored"
        assert binding.granted_s == line.sent[binding.cseq]
    assert not stored, f"stored, and nobody asked for it: {stored.keys()}"


def assert_served_by_every_edge(load: SteadyLoad, begin: float, end: float) -> None:
    """All that was sent between two moments was answered 200, by each edge and for each kind of request."""
    answers = [answer for answer in load.answers if begin <= answer.sent_at < end]
    assert {(answer.edge, answer.kind) for answer in answers} == {(edge, kind) for edge in range(EDGES) for kind in Kind}
    refused = [str(answer) for answer in answers if answer.status != 200]
    assert not refused, f"{len(refused)} of {len(answers)}: {refused[:5]}"


def assert_outage_was_told(scene: Scene, down_at: float, up_at: float) -> None:
    """503 soon after the store is gone and until it is back, in the answers and on /readyz; 200 before, and again soon after."""
    known_at = down_at + STORE_TIMEOUT_S + SLACK_S
    assert_served_by_every_edge(scene.load, 0, down_at - STORE_TIMEOUT_S)
    assert_served_by_every_edge(scene.load, up_at + RECOVERY_S, up_at + RECOVERY_S + AFTER_S)
    # Who asks later may still be waiting when the store is back.
    until = up_at - STORE_TIMEOUT_S - SLACK_S
    assert {answer.status for answer in scene.load.answers if known_at <= answer.sent_at < until} == {503}
    for edge in range(EDGES):
        assert scene.probes.ready(edge, 0, down_at - SLACK_S) == {200}
        assert scene.probes.ready(edge, known_at, up_at - SLACK_S) == {503}
        assert scene.probes.ready(edge, up_at + RECOVERY_S, up_at + RECOVERY_S + AFTER_S) == {200}


def strike(scene: Scene, begin: Callable[[], None], end: Callable[[], None]) -> tuple[float, float]:
    """Take the store away for a while; return when it was gone, and when it served again, in monotonic seconds."""
    scene.runs_on(STORE_TIMEOUT_S + BEFORE_S)
    down_at = time.monotonic()
    begin()
    scene.runs_on(OUTAGE_S)
    end()
    up_at = time.monotonic()
    scene.runs_on(RECOVERY_S + AFTER_S)
    return down_at, up_at


class TestStoreThatIsKilled:
    """What was answered 200 is found, and a store that cannot be asked is never "not registered"."""

    def test_nothing_answered_200_is_lost_and_both_edges_serve_again_by_themselves(self, tmp_path: Path) -> None:
        with under_load(tmp_path, {200, 503}, "--appendonly", "yes", "--appendfsync", "always") as scene:
            down_at, up_at = strike(scene, scene.server.kill, scene.server.start)
            # Once more, and in the midst of the work: whatever is under way is answered.
            scene.server.kill()
            scene.server.start()
            scene.runs_on(RECOVERY_S)
        assert_outage_was_told(scene, down_at, up_at)


class TestStoreThatHangs:
    def test_requests_are_answered_503_within_the_stores_timeout_and_200_soon_after_it_runs_on(self, tmp_path: Path) -> None:
        with under_load(tmp_path, {200, 503}) as scene:
            down_at, up_at = strike(scene, scene.server.freeze, scene.server.thaw)
        assert_outage_was_told(scene, down_at, up_at)
        slowest = max(scene.load.answers, key=lambda answer: answer.latency_s)
        assert slowest.latency_s <= STORE_TIMEOUT_S + SLACK_S, str(slowest)
        # Once it is known that the store hangs, nobody waits for it any more.
        known_at = down_at + STORE_TIMEOUT_S + SLACK_S
        at_once = sorted(answer.latency_s for answer in scene.load.answers if known_at <= answer.sent_at < up_at)
        assert at_once[len(at_once) // 2] < 0.1


class TestStoreThatAnswersLate:
    def test_half_a_second_is_waited_for_and_nobody_is_refused(self, tmp_path: Path) -> None:
        with under_load(tmp_path, {200}) as scene, scene.server.client() as client:
            for _ in range(3):
                scene.runs_on(BEFORE_S)
                client.execute_command("CLIENT", "PAUSE", LATE_MS, "ALL")
            scene.runs_on(BEFORE_S)
        late = [answer for answer in scene.load.answers if answer.latency_s > LATE_MS / 2000]
        assert {answer.edge for answer in late} == set(range(EDGES))
        assert {answer.kind for answer in late} == set(Kind)


def everything_in(server: RedisServer) -> dict[bytes, bytes]:
    with server.client() as client:
        return {key: client.dump(key) or b"" for key in client.scan_iter(count=1000)}


@contextmanager
def full_or_not(folder: Path, auth: str) -> Iterator[tuple[RedisServer, RunningEdge, Callable[[int], None]]]:
    """Run an edge on a server; the third value sets the server's limit of memory, in bytes."""
    with redis_server(folder, "--maxmemory-policy", "noeviction") as server, server.client() as client:

        def limit(size: int) -> None:
            client.config_set("maxmemory", size)
            assert not size or client.info("memory")["used_memory"] > size

        write_subscribers(server, {"here": PASSWORD})
        with RunningEdge(folder, server.url, auth=auth) as edge:
            yield server, edge, limit


class TestStoreThatIsFull:
    """A server that has no memory left and must not evict: it can be read, and something can be removed from it."""

    def test_what_needs_memory_is_refused_whole_and_all_else_is_served(self, tmp_path: Path) -> None:
        with full_or_not(tmp_path, "off") as (server, edge, limit), edge.client() as client:
            here, leaving, refused = (Phone(user=user, domain=DOMAIN) for user in ("here", "leaving", "refused"))
            assert client.register(here).status == client.register(leaving).status == 200
            before = everything_in(server)
            limit(FULL)
            for phone in (refused, here):
                answer = client.register(phone, expires=1200)
                assert (answer.status, answer.headers.get("retry-after")) == (503, "5")
            assert everything_in(server) == before
            fetched = client.register(here, contacts=[], expires=None)
            assert (fetched.status, list(listed(fetched))) == (200, [here.contact])
            assert client.register(leaving, expires=0).status == 200
            assert stored_records(server).keys() == {f"here@{DOMAIN}"}

            limit(0)
            assert client.register(refused).status == client.register(here, expires=1200).status == 200
            granted = {aor: [binding.granted_s for binding in bindings] for aor, bindings in stored_bindings(server).items()}
            assert granted == {f"here@{DOMAIN}": [1200], f"refused@{DOMAIN}": [600]}

    def test_a_fetch_with_credentials_is_refused_while_its_nonce_count_cannot_be_kept(self, tmp_path: Path) -> None:
        # A digest does not prove the Contact: the credentials of a fetch that were not used up would serve to register a thief's.
        with full_or_not(tmp_path, "digest") as (_, edge, limit), edge.client() as client:
            phone = Phone(user="here", domain=DOMAIN, password=PASSWORD)
            assert client.register(phone).status == 200
            limit(FULL)
            answer = client.ask(phone.register(contacts=[], expires=None))
            assert (answer.status, answer.headers.get("retry-after")) == (503, "5")
            limit(0)
            answer = client.ask(phone.register(contacts=[], expires=None))
            assert (answer.status, list(listed(answer))) == (200, [phone.contact])
