"""How a binding is shown."""

from __future__ import annotations

from typing import Any

import pytest

from registrar_api.schemas import BindingOut
from sipreg.registrar.model import ALL_METHODS, Q_UNSET
from support.builders import NOW_MS, a_binding


class TestBindingOut:
    """What a device did not say is null, and never a made-up value."""

    def test_a_plain_binding_says_little(self) -> None:
        shown = BindingOut.of(a_binding(), NOW_MS).model_dump()
        assert {name for name, value in shown.items() if value is None} == {
            "q", "methods", "instance", "reg_id", "received", "path", "socket", "edge", "flow",
        }  # fmt: skip
        assert (shown["user_agent"], shown["expires_in_s"], shown["cseq"]) == ("n/a", 600, 1)

    def test_a_rich_one_says_all(self) -> None:
        fields: dict[str, Any] = {"instance": "<urn:uuid:1>", "reg_id": 3, "received": "sip:192.0.2.9:1", "path": "<sip:p;lr>"}
        places = {"socket": "tcp:127.0.0.1:5060", "edge": "node-1", "flow": "tcp-7"}
        shown = BindingOut.of(a_binding(q=0, methods=0, user_agent="A/1", **fields, **places), NOW_MS).model_dump()
        assert {name: shown[name] for name in (*fields, *places)} == {**fields, **places}
        # 0 is the least preference, and no method at all: both are something else than silence.
        assert (shown["q"], shown["methods"], shown["user_agent"]) == ("0", 0, "A/1")

    @pytest.mark.parametrize(("q", "text"), [(Q_UNSET, None), (1000, "1"), (500, "0.5"), (1, "0.001")])
    def test_q_is_shown_as_it_is_written_in_sip(self, q: int, text: str | None) -> None:
        assert BindingOut.of(a_binding(q=q, methods=ALL_METHODS), NOW_MS).q == text

    def test_what_has_lapsed_by_a_hair_has_no_negative_time(self) -> None:
        assert BindingOut.of(a_binding(expires_at_ms=NOW_MS - 1), NOW_MS).expires_in_s == 0

    @pytest.mark.parametrize(("raw", "shown"), [("Caf\udce9", "Caf\ufffd"), ("Caf\u00e9", "Caf\u00e9"), ("\udcc3\udca9", "\u00e9")])
    def test_bytes_of_a_peer_become_text_that_json_can_hold(self, raw: str, shown: str) -> None:
        binding = BindingOut.of(a_binding(user_agent=raw, call_id=raw, path=raw), NOW_MS)
        assert (binding.user_agent, binding.call_id, binding.path) == (shown, shown, shown)
        assert binding.model_dump_json()
