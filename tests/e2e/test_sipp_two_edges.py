"""Ten thousand phones of another make register through one edge and refresh through another: nobody is lost, and nobody is told a fable."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from sipreg.message.contact import Contact, parse_contacts
from support.edges import DOMAIN, RunningEdge, running_edges
from support.location import Store, Stored, stored_bindings, write_subscribers
from support.processes import free_port
from support.programs import require_program
from support.redis_servers import redis_cluster, redis_server
from support.sipp import Account, Load, SippResult, run_sipp

pytestmark = pytest.mark.slow

PHONES: Final = 10_000
MD5_FIRST: Final = '[auth]\nalgorithms = ["MD5", "SHA-256"]\n'

REGISTERED_S: Final = 1800
REFRESHED_S: Final = 3000

TOLERANCE_S: Final = 2
"""Between what a phone was told and what is stored."""


def accounts() -> list[Account]:
    return [Account(user=f"phone-{number:05d}", password=f"secret-{number}") for number in range(1, PHONES + 1)]


def a_load(expires: int, first_cseq: int) -> Load:
    return Load(
        scenario="register_digest",
        domain=DOMAIN,
        calls=PHONES,
        rate=1000,
        limit=500,
        expires=expires,
        call_ids="phone-%u@e2e",
        first_cseq=first_cseq,
        timeout_s=60,
    )


@contextmanager
def a_store(kind: str, folder: Path) -> Iterator[Store]:
    if kind == "cluster":
        with redis_cluster(folder) as cluster:
            yield cluster
    else:
        with redis_server(folder) as server:
            yield server


def assert_no_call_failed(result: SippResult) -> None:
    assert (result.successful, result.failed, result.unexpected, result.exit_status) == (PHONES, 0, 0, 0), result.error_text[:2000]


def assert_answers_are_what_is_stored(result: SippResult, store: Store, *, begun_at_ms: int, cseq: int) -> None:
    """Compare the Contacts of every 200 with what a plain client finds in the store."""
    stored = stored_bindings(store)
    told = {f"{user}@{DOMAIN}": contacts for user, contacts in result.logged}
    assert len(result.logged) == len(told) == PHONES
    assert stored.keys() == told.keys()
    wrong = {
        aor: (told[aor], bindings)
        for number, (aor, bindings) in enumerate(sorted(stored.items()), 1)
        if not _is_told(told[aor], bindings, f"phone-{number}@e2e", cseq, begun_at_ms)
    }
    assert not wrong, f"{len(wrong)} differ, such as {next(iter(wrong.items()))}"


def _is_told(text: str, bindings: tuple[Stored, ...], call_id: str, cseq: int, begun_at_ms: int) -> bool:
    contacts = parse_contacts([text.removeprefix("Contact:").strip()])
    if len(bindings) != 1 or len(contacts) != 1 or not isinstance(contacts[0], Contact):
        return False
    contact, binding = contacts[0], bindings[0]
    return (
        contact.uri == binding.contact
        and abs(int(contact.params["expires"]) - binding.granted_s) <= TOLERANCE_S
        and begun_at_ms <= binding.modified_at_ms <= time.time() * 1000
        and (binding.call_id, binding.cseq) == (call_id, cseq)
    )


class TestRefreshesThroughAnotherEdge:
    """RFC 3261 §10.2.4 and §10.3 step 7, with SIPp as the phones and two edges that share a store."""

    @pytest.mark.parametrize("kind", ["single", "cluster"])
    def test_ten_thousand_phones_are_answered_200_with_just_what_the_store_holds_and_none_is_lost(self, kind: str, tmp_path: Path) -> None:
        require_program("sipp")
        phones = accounts()
        port = free_port()
        with a_store(kind, tmp_path) as store, running_edges(tmp_path, store.url, 2, config=MD5_FIRST) as edges:
            write_subscribers(store, {phone.user: phone.password for phone in phones})
            for edge, expires, first_cseq in ((edges[0], REGISTERED_S, 1), (edges[1], REFRESHED_S, 11)):
                begun_at_ms = int(time.time() * 1000)
                target = (edge.host, edge.port)
                result = run_sipp(a_load(expires, first_cseq), phones, target, tmp_path / f"sipp-{first_cseq}", local_port=port)
                assert_no_call_failed(result)
                # The challenged REGISTER has the first CSeq, the one with credentials the next.
                assert_answers_are_what_is_stored(result, store, begun_at_ms=begun_at_ms, cseq=first_cseq + 1)
            assert_each_edge_answered_all(edges)


def assert_each_edge_answered_all(edges: list[RunningEdge]) -> None:
    for edge in edges:
        assert edge.metric('sipreg_responses_total{method="REGISTER",status="200"}') == PHONES
        assert edge.metric('sipreg_responses_total{method="REGISTER",status="401"}') == PHONES
        assert edge.metric("sipreg_internal_errors_total") == 0
