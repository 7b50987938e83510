"""What the API shows: pydantic models of its wire, made from the core's values and never passed inward."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from sipreg.registrar.model import ALL_METHODS, Q_UNSET, Binding
from sipreg.registrar.reply import q_text


class Wire(BaseModel):
    """What all models of the wire have in common."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class BindingOut(Wire):
    """One contact at which an address of record can be reached."""

    contact: str
    """Contact URI as the device sent it."""
    expires_in_s: int = Field(ge=0)
    """Seconds left, rounded down."""
    expires_at_ms: int
    """Unix time in milliseconds at which it lapses."""
    modified_at_ms: int
    """Unix time in milliseconds of the REGISTER that made or refreshed it last."""
    q: str | None
    """Preference, 0 to 1; null where the device named none."""
    call_id: str
    cseq: int
    user_agent: str
    """`n/a` where the device did not name itself."""
    methods: int | None
    """Methods that it takes, as bits; null for all."""
    instance: str | None
    """+sip.instance with its angle brackets."""
    reg_id: int | None
    received: str | None
    """Address that the REGISTER came from, where that differs from the contact."""
    path: str | None
    socket: str | None
    """Local socket that took the REGISTER."""
    edge: str | None
    """Node over which alone the device can be reached."""
    flow: str | None
    """Connection over which alone the device can be reached."""

    @classmethod
    def of(cls, binding: Binding, now_ms: int) -> BindingOut:
        """Return how a binding is shown at ``now_ms``."""
        return cls(
            contact=_shown(binding.contact),
            expires_in_s=max(0, (binding.expires_at_ms - now_ms) // 1000),
            expires_at_ms=binding.expires_at_ms,
            modified_at_ms=binding.modified_at_ms,
            q=None if binding.q == Q_UNSET else q_text(binding.q),
            call_id=_shown(binding.call_id),
            cseq=binding.cseq,
            user_agent=_shown(binding.user_agent) or "n/a",
            methods=None if binding.methods == ALL_METHODS else binding.methods,
            instance=_shown(binding.instance) or None,
            reg_id=binding.reg_id or None,
            received=_shown(binding.received) or None,
            path=_shown(binding.path) or None,
            socket=binding.socket or None,
            edge=binding.edge or None,
            flow=binding.flow or None,
        )


class AorOut(Wire):
    """An address of record and its bindings, in the order in which they are tried."""

    aor: str
    table: str
    bindings: list[BindingOut]


class RemovedOut(Wire):
    """What a removal left."""

    aor: str
    table: str
    removed: bool
    """False where there was nothing to remove."""
    bindings: list[BindingOut]
    """What is still stored."""


class ProblemOut(Wire):
    """An error, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


def _shown(text: str) -> str:
    """Bytes of a peer that are no UTF-8 are shown as replacement characters; JSON has no place for them."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
