"""The 200 to a REGISTER: what is stored, for the device to read (RFC 3261 §10.3 step 8, rules R)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from email.utils import formatdate
from functools import lru_cache

from sipreg.message.abnf import quoted
from sipreg.message.writer import header_line
from sipreg.registrar.model import Q_UNSET, Binding


def contact_entry(binding: Binding, now_ms: int, received_param: str) -> str:
    """Return one contact of the list (rule R-3); its ``expires`` is what is left, in seconds, at least 1.

    The instance and reg-id go back as well, by which a device that has several bindings knows its own (RFC 5626 §6).
    """
    entry = f"<{binding.contact}>"
    if binding.q != Q_UNSET:
        entry += f";q={q_text(binding.q)}"
    entry += f";expires={max(1, (binding.expires_at_ms - now_ms) // 1000)}"
    if binding.received:
        entry += f";{received_param}={quoted(binding.received)}"
    if binding.instance:
        entry += f";+sip.instance={quoted(binding.instance)}"
        if binding.reg_id:
            entry += f";reg-id={binding.reg_id}"
    return entry


def contact_header(bindings: Sequence[Binding], now_ms: int, received_param: str, added: Callable[[Binding], str] | None = None) -> str:
    """Return the Contact header line with all bindings in their order (rule R-2), "" if there are none.

    Args:
        bindings: what is stored.
        now_ms: Unix time in milliseconds that the intervals count from.
        received_param: name of the parameter for the received URI (rule R-7).
        added: further parameters of each contact, such as ``;pub-gruu="..."``.
    """
    if len(bindings) == 1 and added is None:
        return header_line("Contact", contact_entry(bindings[0], now_ms, received_param))
    entries = [contact_entry(binding, now_ms, received_param) + (added(binding) if added else "") for binding in bindings]
    return header_line("Contact", ", ".join(entries)) if entries else ""


def q_text(thousandths: int) -> str:
    """Return a q as the shortest decimal (rule S-25)."""
    if thousandths >= 1000:
        return "1"
    return f"0.{thousandths:03d}".rstrip("0").rstrip(".")


def date_header(now_ms: int) -> str:
    """Return the Date header line (§10.3 step 8 asks for it, §20.17)."""
    return _date_line(now_ms // 1000)


@lru_cache(maxsize=4)
def _date_line(seconds: int) -> str:
    return f"Date: {formatdate(seconds, usegmt=True)}\r\n"
