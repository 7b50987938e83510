"""Fifty phones of one subscriber register at the same moment through four edges: one store decides, and everybody hears the truth."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest

from sipreg.message.model import Response
from support.edges import DOMAIN, RunningEdge, running_edges
from support.location import decoded, stored_record, stored_records, write_subscribers
from support.redis_servers import RedisServer, redis_server
from support.sip_client import Phone, listed

pytestmark = pytest.mark.slow

EDGES: Final = 4
PHONES: Final = 50
LIMIT: Final = 3
EXPIRES_S: Final = 900
USER: Final = "crowd"
PASSWORD: Final = "as many as you like"
REASON: Final = "Too many registered contacts"

State = frozenset[str]


class Witness:
    """Hears every event that the store publishes, in the order in which it was committed."""

    def __init__(self, server: RedisServer) -> None:
        self._client = server.client()
        self._channel = self._client.pubsub()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        self._channel.psubscribe("E_UL_*")
        assert self._channel.get_message(timeout=5)
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._channel.close()
        self._client.close()

    def listen(self) -> None:
        """Take all that was published before this call."""
        self._client.publish("E_UL_END", "{}")
        while (message := self._channel.get_message(timeout=5)) is not None:
            if message["channel"] == b"E_UL_END":
                return
            if message["type"] == "pmessage":
                event = json.loads(message["data"])
                assert event["event"].encode() == message["channel"]
                self.events.append(event)
        raise AssertionError("the store publishes nothing any more")

    def counts(self) -> Counter[str]:
        """How often each event was told."""
        return Counter(event["event"] for event in self.events)

    def states(self) -> list[State]:
        """Return the state after every commit, from the first on: each put one contact, after those were told that had to go."""
        present: set[str] = set()
        states = []
        for event in self.events:
            match event["event"]:
                case "E_UL_CONTACT_INSERT":
                    assert event["uri"] not in present, "inserted twice"
                    present.add(event["uri"])
                    states.append(frozenset(present))
                case "E_UL_CONTACT_DELETE":
                    present.remove(event["uri"])
        return states


class Watcher:
    """Reads the record again and again on a thread of its own, and keeps each state that it saw."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher")
        self.seen: set[State] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            record = stored_record(self._server, USER)
            self.seen.add(frozenset(binding.contact for binding in decoded(record)) if record else frozenset())


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """What came of it."""

    accepted: dict[str, Response]
    """The 200s, by the contact that was asked for."""
    refused: dict[str, Response]
    """All other answers."""
    witness: Witness
    watcher: Watcher


def a_phone(user: str = USER) -> Phone:
    return Phone(user=user, domain=DOMAIN, password=PASSWORD)


def registered_at_once(edges: Sequence[RunningEdge], phones: Sequence[Phone]) -> dict[str, Response]:
    """Let every phone register at its edge, all in the same moment, each from a socket and with a nonce of its own."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(edges[number % len(edges)].client()) for number in range(len(phones))]
        for phone, client in zip(phones, sockets, strict=True):
            phone.take_challenge(client.ask(phone.register(expires=EXPIRES_S)))
        requests = [client.message(phone.register(expires=EXPIRES_S)) for phone, client in zip(phones, sockets, strict=True)]
        for client, request in zip(sockets, requests, strict=True):
            client.send(request)
        return {phone.contact: client.receive() for phone, client in zip(phones, sockets, strict=True)}


@contextmanager
def a_cluster(folder: Path, config: str = "") -> Iterator[tuple[RedisServer, list[RunningEdge]]]:
    with redis_server(folder) as server, running_edges(folder, server.url, EDGES, config=config) as edges:
        write_subscribers(server, dict.fromkeys((USER, "udp", "tcp", "stale"), PASSWORD))
        yield server, edges


def a_crowd(server: RedisServer, edges: Sequence[RunningEdge]) -> Crowd:
    phones = [a_phone() for _ in range(PHONES)]
    with Witness(server) as witness, Watcher(server) as watcher:
        answers = registered_at_once(edges, phones)
        witness.listen()
    accepted = {contact: answer for contact, answer in answers.items() if answer.status == 200}
    refused = {contact: answer for contact, answer in answers.items() if answer.status != 200}
    return Crowd(accepted=accepted, refused=refused, witness=witness, watcher=watcher)


def assert_every_200_lists_a_state_that_was_stored(crowd: Crowd) -> None:
    by_contact = dict(zip([set(after - before).pop() for before, after in _steps(crowd)], crowd.witness.states(), strict=True))
    assert by_contact.keys() == crowd.accepted.keys()
    for contact, answer in crowd.accepted.items():
        contacts = listed(answer)
        assert contacts.keys() == by_contact[contact], f"{contact} was told of a state that never was"
        assert all(EXPIRES_S - 5 <= seconds <= EXPIRES_S for seconds in contacts.values())


def _steps(crowd: Crowd) -> list[tuple[State, State]]:
    states = crowd.witness.states()
    return list(zip([State(), *states], states, strict=False))


def assert_never_more_than_the_limit_were_stored(crowd: Crowd) -> None:
    states = crowd.witness.states()
    assert max(map(len, states)) == LIMIT
    # What was really read from the store in between is what its events tell, so they leave nothing out.
    assert crowd.watcher.seen <= {State(), *states}


def stored_contacts(server: RedisServer) -> State:
    assert list(stored_records(server)) == [f"{USER}@{DOMAIN}"]
    return frozenset(binding.contact for binding in decoded(stored_record(server, USER)))


class TestCrowdOverTheLimit:
    """RFC 3261 §10.3: a REGISTER is processed atomically; rules S-40 to S-47 for the limit."""

    def test_where_the_limit_refuses_three_are_stored_and_all_others_hear_503_with_the_reason(self, tmp_path: Path) -> None:
        with a_cluster(tmp_path, f"[registrar]\nmax_contacts = {LIMIT}\n") as (server, edges):
            crowd = a_crowd(server, edges)
            assert stored_contacts(server) == crowd.accepted.keys()
            assert_never_more_than_the_limit_were_stored(crowd)
            assert_every_200_lists_a_state_that_was_stored(crowd)
            assert (len(crowd.accepted), len(crowd.refused)) == (LIMIT, PHONES - LIMIT)
            for answer in crowd.refused.values():
                assert (answer.status, answer.reason) == (503, REASON)
                assert answer.headers.get("p-registrar-error") == REASON
            assert crowd.witness.counts() == {"E_UL_AOR_INSERT": 1, "E_UL_CONTACT_INSERT": LIMIT}

    def test_where_the_limit_makes_room_all_hear_200_and_each_change_is_told_once(self, tmp_path: Path) -> None:
        with a_cluster(tmp_path, f"[registrar]\nmax_contacts = {LIMIT}\nforce_registration = true\n") as (server, edges):
            crowd = a_crowd(server, edges)
            assert not crowd.refused
            assert_never_more_than_the_limit_were_stored(crowd)
            assert_every_200_lists_a_state_that_was_stored(crowd)
            assert stored_contacts(server) == crowd.witness.states()[-1]
            assert len(stored_contacts(server)) == LIMIT
            assert crowd.witness.counts() == {
                "E_UL_AOR_INSERT": 1,
                "E_UL_CONTACT_INSERT": PHONES,
                "E_UL_CONTACT_DELETE": PHONES - LIMIT,
            }


class TestCrowdAtOneEdge:
    """RFC 3261 §10.3: REGISTERs are processed in the order in which they came, so those of one edge need not get in each other's way."""

    def test_a_crowd_costs_the_store_no_more_for_each_phone_than_a_few_do_and_all_are_served(self, tmp_path: Path) -> None:
        config = f"[registrar]\nmax_contacts = {LIMIT}\nforce_registration = true\n"
        with (
            redis_server(tmp_path) as server,
            running_edges(tmp_path, server.url, 1, auth="off", config=config) as (edge,),
            edge.client() as client,
        ):
            requests = [client.message(a_phone().register(expires=EXPIRES_S)) for _ in range(4 * PHONES)]
            for request in requests:
                client.send(request)
            statuses = Counter(client.receive().status for _ in requests)
            with server.client() as plain:
                scripts = plain.info("commandstats")["cmdstat_evalsha"]["calls"]
        assert scripts <= 3 * len(requests)
        assert statuses == {200: len(requests)}


@pytest.fixture(scope="class")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, list[RunningEdge]]]:
    with a_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


class TestReplayedRegister:
    """RFC 7616 §5.12: credentials that were overheard are worth nothing, at whichever edge."""

    @pytest.mark.parametrize("transport", ["udp", "tcp"])
    def test_bytes_that_were_answered_200_are_answered_401_stale_by_every_edge_and_change_nothing(
        self, cluster: tuple[RedisServer, list[RunningEdge]], transport: str
    ) -> None:
        server, edges = cluster
        phone = a_phone(user=transport)
        with edges[0].client(transport) as client:
            phone.take_challenge(client.ask(phone.register()))
            overheard = client.message(phone.register(), branch="z9hG4bKoverheard")
            client.send(overheard)
            assert client.receive().status == 200
        before = stored_record(server, phone.user)
        with Witness(server) as witness:
            for number, edge in enumerate(edges):
                with edge.client(transport) as thief:
                    thief.send(overheard.replace(b"z9hG4bKoverheard", f"z9hG4bKreplayed{number}".encode()))
                    answer = thief.receive()
                assert answer.status == 401
                challenges = answer.headers.all("www-authenticate")
                assert challenges
                assert all("stale=true" in challenge for challenge in challenges)
            witness.listen()
            assert not witness.events
        assert before == stored_record(server, phone.user) != b""

    def test_a_phone_that_is_told_its_nonce_is_stale_goes_on_with_the_new_one(self, cluster: tuple[RedisServer, list[RunningEdge]]) -> None:
        server, edges = cluster
        phone = a_phone(user="stale")
        with edges[0].client() as client, edges[1].client() as other:
            assert client.register(phone).status == 200
            used = phone.register()
            assert client.ask(used).status == 200
            refused = other.ask(used)
            assert refused.status == 401
            phone.take_challenge(refused)
            assert other.ask(phone.register(expires=EXPIRES_S)).status == 200
        (binding,) = decoded(stored_record(server, phone.user))
        assert (binding.cseq, binding.granted_s) == (phone.cseq, EXPIRES_S)
