"""The API as an ASGI application, on a memory store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from registrar_api.app import create_app
from registrar_api.dependencies import Service
from registrar_api.probes import api_probes
from sipreg.errors import StoreUnavailable
from sipreg.registrar.access import Domains
from sipreg.registrar.model import Aor, Binding
from sipreg.registrar.parameters import Parameters
from sipreg.registrar.ports import Change, CommitOutcome
from sipreg.registrar.service import Registrar, RegistrarParts
from sipreg.store.credentials import MemoryCredentials
from sipreg.store.memory_store import MemoryStore
from support.builders import NOW_MS, FakeClock, FakeTokens, a_binding

DOMAIN = "example.com"


class Api:
    """The application, its clock and its store."""

    def __init__(self, parameters: Parameters | None = None, token: str = "") -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock, FakeTokens())
        self.available = True
        parts = RegistrarParts(
            store=self.store,
            credentials=MemoryCredentials(),
            digest=None,
            domains=Domains(names=frozenset({DOMAIN})),
            parameters=parameters or Parameters(),
        )
        self.service = Service(Registrar(parts), self.clock, token)
        self._app = create_app(self.service, api_probes(lambda: self.available))

    def put(self, text: str, *bindings: Binding, table: str = "location") -> None:
        """Store bindings of an address of record that has none."""
        outcomes: list[CommitOutcome] = []
        self.store.commit(Change(Aor(table, text), "", bindings, ()), outcomes.append)
        assert len(outcomes) == 1

    def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send a request and return the response."""

        async def send() -> httpx.Response:
            # As a server does it: the failure of one request is logged, and answered.
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(send())

    def bindings(self, aor: str) -> list[dict[str, Any]]:
        """Return what it shows of an address of record."""
        response = self.ask("GET", f"/v1/aors/{aor}/bindings")
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["bindings"]
        return found


class TestTime:
    """What has lapsed is not shown, whoever still keeps it."""

    def test_the_seconds_left_are_rounded_down_and_end_at_nothing(self) -> None:
        api = Api()
        api.put(f"a@{DOMAIN}", a_binding(expires_at_ms=NOW_MS + 1500), a_binding("sip:b@h", expires_at_ms=NOW_MS + 9000))
        assert [binding["expires_in_s"] for binding in api.bindings(f"a@{DOMAIN}")] == [1, 9]
        api.clock.advance(1.4)
        assert [binding["expires_in_s"] for binding in api.bindings(f"a@{DOMAIN}")] == [0, 7]
        api.clock.advance(0.1)
        assert [binding["contact"] for binding in api.bindings(f"a@{DOMAIN}")] == ["sip:b@h"]

    def test_what_lapsed_can_no_longer_be_removed(self) -> None:
        api = Api()
        api.put(f"a@{DOMAIN}", a_binding(expires_at_ms=NOW_MS + 1))
        api.clock.advance(1)
        assert api.ask("DELETE", f"/v1/aors/a@{DOMAIN}/bindings").json()["removed"] is False


class TestAddressesOfRecord:
    """As they are stored and told in events, or as URIs."""

    @pytest.mark.parametrize(
        ("parameters", "stored", "asked"),
        [
            (Parameters(), "a@b@example.com", "a%40b@example.com"),
            (Parameters(), "a@b@example.com", "a@b@example.com"),
            (Parameters(), "a@b@example.com", "sip:a%2540b@example.com"),
            (Parameters(), "a:b@example.com", "a:b@example.com"),
            (Parameters(), "50%@example.com", "50%25@example.com"),
            (Parameters(), "a/bindings@example.com", "a/bindings@example.com"),
            (Parameters(), "example.com", "example.com"),
            (Parameters(), "+123", "tel:+123"),
            (Parameters(case_sensitive=False), "alice@example.com", "ALICE@example.com"),
            (Parameters(realm_prefix="sip."), "alice@example.com", "alice@sip.example.com"),
            (Parameters(use_domain=False), "alice", "alice"),
            (Parameters(use_domain=False), "alice", "alice@wherever.example"),
            (Parameters(use_domain=False), "alice", "sip:alice@wherever.example"),
        ],
    )
    def test_each_way_to_write_it_leads_to_what_is_stored(self, parameters: Parameters, stored: str, asked: str) -> None:
        api = Api(parameters)
        api.put(stored, a_binding())
        response = api.ask("GET", f"/v1/aors/{asked}/bindings")
        assert response.json()["aor"] == stored
        assert len(response.json()["bindings"]) == 1

    def test_the_name_that_an_answer_gives_leads_to_it_again(self) -> None:
        api = Api()
        api.put("j@n/100%?@example.com", a_binding())
        shown = api.ask("GET", "/v1/aors/sip:j%2540n%2F100%2525%253F@EXAMPLE.com/bindings").json()["aor"]
        assert shown == "j@n/100%?@example.com"
        assert len(api.bindings(quote(shown, safe=""))) == 1


class TestFailures:
    """Whatever goes wrong is a problem document, and says no more than it should."""

    def test_a_fault_of_ours_is_an_internal_error_without_details(self, monkeypatch: pytest.MonkeyPatch) -> None:
        api = Api()

        def fail(*arguments: object) -> None:
            raise RuntimeError("hush")

        monkeypatch.setattr(MemoryStore, "read", fail)
        response = api.ask("GET", f"/v1/aors/a@{DOMAIN}/bindings")
        assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
        assert response.json()["title"] == "Internal error"
        assert "hush" not in response.text

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_a_store_that_cannot_be_asked_is_never_an_empty_list(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        api = Api()
        monkeypatch.setattr(MemoryStore, "read", lambda store, aor, done, use=None: done(StoreUnavailable("It is gone")))
        response = api.ask(method, f"/v1/aors/a@{DOMAIN}/bindings")
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert response.json()["detail"] == "It is gone"

    def test_a_table_has_a_name_that_cannot_be_taken_for_another_part_of_a_key(self) -> None:
        assert Api().ask("GET", f"/v1/aors/a@{DOMAIN}/bindings?table=a:b").status_code == 422


class TestTokens:
    """Setting api.token."""

    @pytest.mark.parametrize("shown", [None, "Bearer", "Bearer wrong", "Bearer right ", "bearer right", "Basic right"])
    def test_only_the_very_token_opens_the_door(self, shown: str | None) -> None:
        api = Api(token="right")
        response = api.ask("GET", f"/v1/aors/a@{DOMAIN}/bindings", {"Authorization": shown} if shown else {})
        # The scheme knows no upper and lower case (RFC 9110 §11.1), and blanks around a value are none of it (§5.5).
        assert response.status_code == (200 if shown in ("bearer right", "Bearer right ") else 401)

    def test_without_one_nobody_is_asked(self) -> None:
        assert Api().ask("GET", f"/v1/aors/a@{DOMAIN}/bindings").status_code == 200


class TestProbes:
    """/livez never asks the store."""

    def test_readiness_follows_the_store_and_life_does_not(self) -> None:
        api = Api()
        assert [api.ask("GET", path).status_code for path in ("/livez", "/readyz")] == [200, 200]
        api.available = False
        assert [api.ask("GET", path).status_code for path in ("/livez", "/readyz")] == [200, 503]
        assert "sipreg_store_available 0.0" in api.ask("GET", "/metrics").text
