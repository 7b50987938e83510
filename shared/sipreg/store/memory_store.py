"""Bindings in the memory of one process: for tests, trials, and where no Redis can be had. They are gone when it ends."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable
from typing import Final, TypeVar

from sipreg.clock import Clock
from sipreg.registrar.model import ABSENT, Aor, Event, Snapshot
from sipreg.registrar.ports import Change, CommitOutcome, NonceUse, ReadOutcome, Verdict
from sipreg.tokens import TokenSource

logger = logging.getLogger("sipreg.store")

Listener = Callable[[Event], None]

Key = TypeVar("Key", Aor, str)
Held = TypeVar("Held", Snapshot, int)

PURGED_PER_CALL: Final = 2
"""Lapsed entries that one call removes: more than it can add of each kind, so that none pile up, and never many at once."""


class MemoryStore:
    """A `BindingStore` that answers before its calls return."""

    __slots__ = ("_clock", "_lapsing_nonces", "_lapsing_records", "_listeners", "_nonces", "_records", "_token64")

    def __init__(self, clock: Clock, tokens: TokenSource) -> None:
        self._clock = clock
        self._token64 = tokens.token64
        self._records: dict[Aor, tuple[Snapshot, int]] = {}
        self._nonces: dict[str, tuple[int, int]] = {}
        # One entry for each key, at the instant at which it would have lapsed when it was filed; one that was prolonged since is
        # filed again when that instant comes, so that a refresh costs nothing here.
        self._lapsing_records: list[tuple[int, Aor]] = []
        self._lapsing_nonces: list[tuple[int, str]] = []
        self._listeners: list[Listener] = []

    def __len__(self) -> int:
        """Return how many records are held, lapsed ones that no call has purged yet among them."""
        return len(self._records)

    @property
    def nonces(self) -> int:
        """How many nonces are held."""
        return len(self._nonces)

    @property
    def available(self) -> bool:
        """Whether the store can be asked: always."""
        return True

    async def open(self) -> None:
        """Begin; there is nothing to do."""

    async def close(self) -> None:
        """End; there is nothing to do."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have every event told to ``listener``, in order, once the change is stored; the result is called to end that."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    def recall(self, aor: Aor) -> Snapshot:
        """Return the present state of the AoR: what was seen last is what there is (see `BindingStore.recall`)."""
        return self._present(aor, self._clock.now_ms())

    def read(self, aor: Aor, done: Callable[[ReadOutcome], None], nonce_use: NonceUse | None = None) -> None:
        """Hand over the present state of the AoR (see `BindingStore.read`)."""
        now_ms = self._clock.now_ms()
        self._purge(now_ms)
        if nonce_use is not None:
            if self._is_used(nonce_use, now_ms):
                done(Verdict.REPLAYED)
                return
            self._use_up(nonce_use)
        done(self._present(aor, now_ms))

    def commit(self, change: Change, done: Callable[[CommitOutcome], None]) -> None:
        """Replace the bindings of an AoR if nobody else has (see `BindingStore.commit`)."""
        now_ms = self._clock.now_ms()
        self._purge(now_ms)
        if change.nonce_use is not None and self._is_used(change.nonce_use, now_ms):
            done(Verdict.REPLAYED)
            return
        present = self._present(change.aor, now_ms)
        if present.etag != change.etag:
            done(present)
            return
        self._write(change)
        if change.nonce_use is not None:
            self._use_up(change.nonce_use)
        for event in change.events:
            self._tell(event)
        done(Verdict.COMMITTED)

    def tidy_all(self) -> None:
        """Remove everything that has lapsed, however much that is."""
        now_ms = self._clock.now_ms()
        while self._purge(now_ms):
            pass

    # -- within -----------------------------------------------------------------------------------------------------

    def _present(self, aor: Aor, now_ms: int) -> Snapshot:
        snapshot, lapses_at_ms = self._records.get(aor, (ABSENT, 0))
        return snapshot if lapses_at_ms > now_ms else ABSENT

    def _write(self, change: Change) -> None:
        aor = change.aor
        if not change.bindings:
            # Its entry among the lapsing stays until its instant comes: whoever writes the AoR again may find it there.
            if aor in self._records:
                self._records[aor] = (ABSENT, 0)
            return
        lapses_at_ms = max(binding.expires_at_ms for binding in change.bindings)
        if aor not in self._records:
            heapq.heappush(self._lapsing_records, (lapses_at_ms, aor))
        self._records[aor] = (Snapshot(self._token64(), change.bindings), lapses_at_ms)

    def _is_used(self, use: NonceUse, now_ms: int) -> bool:
        count, lapses_at_ms = self._nonces.get(use.nonce, (0, 0))
        return lapses_at_ms > now_ms and count >= use.count

    def _use_up(self, use: NonceUse) -> None:
        if use.nonce not in self._nonces:
            heapq.heappush(self._lapsing_nonces, (use.lapses_at_ms, use.nonce))
        self._nonces[use.nonce] = (use.count, use.lapses_at_ms)

    def _tell(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                logger.exception("a listener of the store failed")

    def _purge(self, now_ms: int) -> bool:
        """Remove a few entries whose instant has come; return whether there may be more."""
        return _purge(self._lapsing_records, self._records, now_ms) | _purge(self._lapsing_nonces, self._nonces, now_ms)


def _purge(entries: list[tuple[int, Key]], held: dict[Key, tuple[Held, int]], now_ms: int) -> bool:
    for _ in range(PURGED_PER_CALL):
        if not entries or entries[0][0] > now_ms:
            return False
        _, key = heapq.heappop(entries)
        lapses_at_ms = held[key][1]
        if lapses_at_ms > now_ms:
            heapq.heappush(entries, (lapses_at_ms, key))
        else:
            del held[key]
    return True
