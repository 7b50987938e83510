"""What an edge remembers of the credentials that it looked up: bounded in number and age, and cheap to keep."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from sipreg.registrar.ports import NOT_KNOWN, Credential, Known
from sipreg.store.subscribers import Subscriber, unpacked


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialLimits:
    """How long and how many credentials are remembered, and how many questions may be under way."""

    max_age_s: float = 60
    """Seconds for which a copy is used; changes are told at once, so this bounds what a lost message does."""
    negative_age_s: float = 5
    """Seconds for which it is remembered that there is no such subscriber; at most `max_age_s`."""
    max_entries: int = 250_000
    """Copies kept; those used least recently go first."""
    max_asks: int = 2048
    """Subscribers asked for at once; more are answered StoreUnavailable, which sheds a flood of made-up names.

    A store tells so many in about 0.2 s. Fewer would refuse phones of an edge that has just started, or was held up for a moment.
    """
    max_waiting: int = 4096
    """Requests that wait for these answers."""
    timeout_s: float = 1.0
    """Seconds after which an answer is no longer waited for."""


class CredentialCopy:
    """A bounded memory of answers, the least recently used going first.

    Answers are kept as bytes (`subscribers.packed`): a hundred thousand objects would lengthen the pauses of the garbage collector.
    """

    __slots__ = ("_entries", "_limits", "_negative_age_s")

    def __init__(self, limits: CredentialLimits) -> None:
        self._limits = limits
        self._negative_age_s = min(limits.negative_age_s, limits.max_age_s)
        self._entries: OrderedDict[tuple[str, str], tuple[float, bytes | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: tuple[str, str], now: float) -> Credential | Known | None:
        """Return what is known of (realm, user) at ``now``, monotonic seconds; None: that there is no such subscriber."""
        entry = self._entries.get(name)
        if entry is None:
            return NOT_KNOWN
        good_until, data = entry
        if now >= good_until:
            del self._entries[name]
            return NOT_KNOWN
        self._entries.move_to_end(name)
        return None if data is None else unpacked(data)

    def keep(self, who: Subscriber, data: bytes | None, now: float) -> None:
        """Remember an answer: a credential in packed form, or None."""
        age = self._negative_age_s if data is None else self._limits.max_age_s
        if age <= 0:
            return
        # A plain tuple, which the garbage collector soon stops looking at.
        name = (who.realm, who.user)
        self._entries[name] = (now + age, data)
        self._entries.move_to_end(name)
        if len(self._entries) > self._limits.max_entries:
            self._entries.popitem(last=False)

    def drop(self, who: Subscriber) -> None:
        """Forget what is known of one subscriber."""
        self._entries.pop((who.realm, who.user), None)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
