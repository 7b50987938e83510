"""`sipreg api`: what phones have registered at an edge is seen and changed over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI
from redis.client import PubSub

from support.edges import DOMAIN, RunningApi, RunningEdge, run_sipreg
from support.processes import wait_until
from support.redis_servers import RedisServer, redis_server
from support.sip_client import Phone, SipClient, listed

TOKEN = "a token of the test's own"
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The store that edge and API share."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def edge(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEdge]:
    """An edge that believes whoever asks."""
    with RunningEdge(tmp_path_factory.mktemp("edge"), server.url, auth="off") as running:
        yield running


@pytest.fixture(scope="module")
def api(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApi]:
    """An API that asks for a token."""
    with RunningApi(tmp_path_factory.mktemp("api"), server.url, token=TOKEN) as running:
        yield running


@pytest.fixture
def client(edge: RunningEdge) -> Iterator[SipClient]:
    """A phone's socket."""
    with edge.client() as opened:
        yield opened


class Events:
    """What the store tells of one address of record from now on."""

    def __init__(self, channel: PubSub, aor: str) -> None:
        self._channel = channel
        self._aor = aor

    def take(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many events and return them."""
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            message = self._channel.get_message(timeout=0.05)
            if message is not None and message["type"] == "pmessage":
                event = json.loads(message["data"])
                if event["aor"] == self._aor:
                    found.append(event)
            return len(found) == count

        wait_until(enough, 5, f"{count} events")
        return found


@pytest.fixture
def events_of(server: RedisServer) -> Iterator[Any]:
    """Give a function that listens to the events of an address of record."""
    with server.client() as redis, redis.pubsub() as channel:
        channel.psubscribe("E_UL_*")
        wait_until(lambda: (channel.get_message(timeout=0.05) or {}).get("type") == "psubscribe", 5, "the subscription")
        yield lambda aor: Events(channel, aor)


def a_phone(user: str, **fields: str) -> Phone:
    return Phone(user=user, domain=DOMAIN, **fields)  # type: ignore[arg-type]  # (the texts among its fields)


class TestReading:
    """GET: what a phone registers at the edge is seen at once."""

    def test_an_address_that_nobody_has_registered_has_no_bindings(self, api: RunningApi) -> None:
        response = api.ask("GET", f"/v1/aors/nobody@{DOMAIN}/bindings")
        assert (response.status_code, response.json()) == (200, {"aor": f"nobody@{DOMAIN}", "table": "location", "bindings": []})

    def test_a_binding_is_shown_with_all_that_is_known_of_it(self, api: RunningApi, edge: RunningEdge, client: SipClient) -> None:
        phone = a_phone("ann")
        contact = f'<{phone.contact}>;q=0.5;+sip.instance="<urn:uuid:1>";reg-id=2'
        client.register(phone, contacts=[contact], expires=300, extra=("User-Agent: Test/1.0", "Allow: INVITE, ACK"))
        (binding,) = api.bindings(f"ann@{DOMAIN}")
        assert 298 <= binding.pop("expires_in_s") <= 300
        assert binding.pop("expires_at_ms") - binding.pop("modified_at_ms") == 300_000
        assert binding.pop("methods") > 0
        assert binding == {
            "contact": phone.contact, "q": "0.5", "call_id": phone.call_id, "cseq": 1, "user_agent": "Test/1.0",
            "instance": "<urn:uuid:1>", "reg_id": 2, "received": None, "path": None,
            "socket": f"udp:127.0.0.1:{edge.port}", "edge": None, "flow": None,
        }  # fmt: skip

    def test_a_binding_that_came_over_a_connection_names_edge_and_flow(self, api: RunningApi, edge: RunningEdge) -> None:
        with edge.client("tcp") as stream:
            stream.register(a_phone("flo"))
        (binding,) = api.bindings(f"flo@{DOMAIN}")
        assert binding["edge"] == "edge"
        assert binding["flow"].startswith("tcp-")

    def test_bindings_come_in_the_order_in_which_they_are_tried(self, api: RunningApi, client: SipClient) -> None:
        client.register(a_phone("cal"), contacts=["<sip:low@192.0.2.1>;q=0.1", "<sip:high@192.0.2.1>;q=0.9", "<sip:none@192.0.2.1>"])
        shown = [binding["contact"] for binding in api.bindings(f"cal@{DOMAIN}")]
        assert shown == ["sip:high@192.0.2.1", "sip:low@192.0.2.1", "sip:none@192.0.2.1"]

    @pytest.mark.parametrize(
        "name",
        [
            "dan@VOIP.Example", "dan%40voip.example", "sip:dan@voip.example", "sips:dan@Voip.Example:5061;transport=tls",
            "sip%3Adan%40VOIP.EXAMPLE", "SIP:d%2561n@voip.example",
        ],
    )  # fmt: skip
    def test_an_address_may_be_written_in_many_ways(self, api: RunningApi, client: SipClient, name: str) -> None:
        phone = a_phone("dan", contact="sip:dan@192.0.2.1")
        client.register(phone)
        response = api.ask("GET", f"/v1/aors/{name}/bindings")
        assert (response.status_code, response.json()["aor"]) == (200, "dan@voip.example")
        assert [binding["contact"] for binding in response.json()["bindings"]] == [phone.contact]

    @pytest.mark.parametrize(
        ("user", "in_path"),
        [("j%40n", "j%40n"), ("a/b", "a/b"), ("a/b", "a%2Fb"), ("50%25", "50%25"), ("caf%C3%A9", "caf%C3%A9"), ("a?b", "a%3Fb")],
    )
    def test_a_user_part_may_hold_whatever_sip_lets_it(self, api: RunningApi, client: SipClient, user: str, in_path: str) -> None:
        phone = a_phone(user, contact="sip:odd@192.0.2.1")
        assert client.register(phone).status == 200
        assert [binding["contact"] for binding in api.bindings(f"{in_path}@{DOMAIN}")] == [phone.contact]

    def test_bytes_that_are_no_utf_8_are_shown_as_replacements(self, api: RunningApi, client: SipClient) -> None:
        client.register(a_phone("eve"), extra=("User-Agent: Caf\udce9 1.0",))
        (binding,) = api.bindings(f"eve@{DOMAIN}")
        assert binding["user_agent"] == "Caf\ufffd 1.0"

    def test_another_table_knows_nothing_of_this_one(self, api: RunningApi, client: SipClient) -> None:
        client.register(a_phone("tab"))
        response = api.ask("GET", f"/v1/aors/tab@{DOMAIN}/bindings", params={"table": "other"})
        assert (response.json()["table"], response.json()["bindings"]) == ("other", [])


class TestRemoving:
    """DELETE: what an operator removes is gone for everybody."""

    def test_one_contact_goes_and_the_others_stay(self, api: RunningApi, client: SipClient) -> None:
        phone = a_phone("fay")
        client.register(phone, contacts=["<sip:fay@192.0.2.1;x=a%20b>", "<sip:fay@192.0.2.2>"])
        response = api.ask("DELETE", f"/v1/aors/fay@{DOMAIN}/bindings", params={"contact": "sip:fay@192.0.2.1;x=a%20b"})
        assert response.status_code == 200
        assert response.json()["removed"] is True
        assert [binding["contact"] for binding in response.json()["bindings"]] == ["sip:fay@192.0.2.2"]
        assert list(listed(client.register(phone, contacts=[], expires=None))) == ["sip:fay@192.0.2.2"]

    def test_what_is_not_there_cannot_be_removed_and_that_is_no_error(self, api: RunningApi, client: SipClient) -> None:
        client.register(a_phone("gil"))
        response = api.ask("DELETE", f"/v1/aors/gil@{DOMAIN}/bindings", params={"contact": "sip:other@192.0.2.1"})
        assert (response.status_code, response.json()["removed"], len(response.json()["bindings"])) == (200, False, 1)

    def test_all_go_and_the_edge_sees_it_and_takes_the_next_refresh_for_a_new_registration(
        self, api: RunningApi, client: SipClient, events_of: Any
    ) -> None:
        phone, aor = a_phone("hal"), f"hal@{DOMAIN}"
        events = events_of(aor)
        client.register(phone)
        client.register(phone)
        assert [event["event"] for event in events.take(3)] == ["E_UL_AOR_INSERT", "E_UL_CONTACT_INSERT", "E_UL_CONTACT_UPDATE"]
        response = api.ask("DELETE", f"/v1/aors/{aor}/bindings")
        assert response.json() == {"aor": aor, "table": "location", "removed": True, "bindings": []}
        assert listed(client.register(phone, contacts=[], expires=None)) == {}
        assert list(listed(client.register(phone))) == [phone.contact]
        told = ["E_UL_CONTACT_DELETE", "E_UL_AOR_DELETE", "E_UL_AOR_INSERT", "E_UL_CONTACT_INSERT"]
        assert [event["event"] for event in events.take(4)] == told

    def test_the_same_is_told_as_when_the_phone_leaves_by_itself(self, api: RunningApi, client: SipClient, events_of: Any) -> None:
        phone, aor = a_phone("ida"), f"ida@{DOMAIN}"
        events = events_of(aor)
        told = []
        for leave in (
            lambda: client.register(phone, expires=0),
            lambda: client.register(phone, contacts=["*"], expires=0),
            lambda: api.ask("DELETE", f"/v1/aors/{aor}/bindings"),
            lambda: api.ask("DELETE", f"/v1/aors/{aor}/bindings", params={"contact": phone.contact}),
        ):
            client.register(phone)
            events.take(2)
            leave()
            # When it would have lapsed and by which request it was made differs from one registration to the next.
            told.append([{**event, "expires": 0, "cseq": 0} for event in events.take(2)])
        assert [event["event"] for event in told[0]] == ["E_UL_CONTACT_DELETE", "E_UL_AOR_DELETE"]
        assert told[0][0]["uri"] == phone.contact
        assert told[1:] == [told[0]] * 3


class TestRefusals:
    """RFC 9457: whatever goes wrong is a problem document."""

    def test_without_the_token_nothing_is_told_and_nothing_is_done(self, api: RunningApi, client: SipClient) -> None:
        client.register(a_phone("kim"))
        for method in ("GET", "DELETE"):
            for shown in (b"", b"Bearer guess", b"Basic x", b"Bearer \xc3\xa9"):
                response = api.ask(method, f"/v1/aors/kim@{DOMAIN}/bindings", headers={"Authorization": shown} if shown else {})
                assert (response.status_code, response.headers["content-type"]) == (401, PROBLEM)
                assert response.headers["www-authenticate"] == "Bearer"
                assert response.json()["status"] == 401
        assert len(api.bindings(f"kim@{DOMAIN}")) == 1

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/v1/aors/sip:/bindings", 400),
            ("/v1/aors/a%00b@voip.example/bindings", 400),
            (f"/v1/aors/{'a' * 65}@voip.example/bindings", 400),
            (f"/v1/aors/{'a' * 2049}/bindings", 422),
            ("/v1/aors/a@voip.example/bindings?table=a:b", 422),
            ("/v1/nothing", 404),
        ],
    )
    def test_what_cannot_be_understood_says_why(self, api: RunningApi, path: str, status: int) -> None:
        response = api.ask("GET", path)
        assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM)
        problem = response.json()
        assert (problem["status"], problem["type"]) == (status, "about:blank")
        assert problem["title"]
        assert problem["detail"]

    def test_a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has(self, api: RunningApi) -> None:
        response = api.ask("PATCH", f"/v1/aors/a@{DOMAIN}/bindings")
        assert (response.status_code, response.headers["content-type"]) == (405, PROBLEM)
        assert response.headers["allow"]

    @pytest.mark.slow
    def test_a_store_that_is_gone_is_no_empty_list(self, tmp_path: Path) -> None:
        with redis_server(tmp_path) as server, RunningApi(tmp_path, server.url) as api:
            assert api.bindings(f"lea@{DOMAIN}") == []
            server.kill()
            wait_until(lambda: api.ask("GET", "/readyz").status_code == 503, 5, "the API to miss its store")
            assert api.ask("GET", "/livez").status_code == 200
            for method in ("GET", "DELETE"):
                response = api.ask(method, f"/v1/aors/lea@{DOMAIN}/bindings")
                assert (response.status_code, response.headers["content-type"]) == (503, PROBLEM)
                assert response.headers["retry-after"] == "5"
                assert response.json()["title"] == "Location store unavailable"
            server.start()
            wait_until(lambda: api.ask("GET", "/readyz").status_code == 200, 10, "the API to find its store")
            assert api.bindings(f"lea@{DOMAIN}") == []

    def test_it_does_not_start_where_others_reach_it_unless_they_need_a_token(self) -> None:
        done = run_sipreg("api", "--http", "0.0.0.0:0", "--store", "redis://127.0.0.1:1")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "sipreg: api.http = '0.0.0.0:0': must be a loopback address unless api.token is set\n"

    def test_it_does_not_start_on_a_store_that_nobody_else_could_reach(self) -> None:
        done = run_sipreg("api", "--store", "memory")
        assert done.returncode == 1
        assert done.stderr.startswith("sipreg: store.url: a memory store belongs to one process")


class TestDescription:
    """OpenAPI: programs and people read what there is."""

    def test_the_document_is_valid_and_whole(self, api: RunningApi) -> None:
        document = api.ask("GET", "/openapi.json", headers={}).json()
        parsed = OpenAPI.model_validate(document)
        assert parsed.openapi.startswith("3.1")
        (path,) = [name for name in document["paths"] if name.endswith("/bindings")]
        assert path == "/v1/aors/{aor}/bindings"
        for operation in document["paths"][path].values():
            assert {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"} == {"aor"}
            assert set(operation["responses"]) == {"200", "400", "401", "422", "503"}
            assert {tuple(answer["content"]) for status, answer in operation["responses"].items() if status != "200"} == {(PROBLEM,)}
            assert operation["security"] == [{"HTTPBearer": []}]
        assert_references_lead_somewhere(document)

    def test_the_pages_for_people_are_served(self, api: RunningApi) -> None:
        response = api.ask("GET", "/docs", headers={})
        assert (response.status_code, "openapi.json" in response.text) == (200, True)

    def test_the_probes_need_no_token(self, api: RunningApi) -> None:
        for path, text in (("/livez", "alive"), ("/readyz", "ready"), ("/metrics", "sipreg_store_available 1.0")):
            response = api.ask("GET", path, headers={})
            assert (response.status_code, text in response.text) == (200, True)


def assert_references_lead_somewhere(document: dict[str, Any]) -> None:
    """Check every ``$ref`` of a JSON document that stays within it."""
    pending: list[Any] = [document]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            if isinstance(item.get("$ref"), str):
                found: Any = document
                for step in item["$ref"].removeprefix("#/").split("/"):
                    assert step in found, item["$ref"]
                    found = found[step]
            pending += item.values()
        elif isinstance(item, list):
            pending += item
