"""One change of one AoR on its way through the store: in its turn, planned, committed, and planned again if somebody else was faster."""

from __future__ import annotations

from collections import deque
from typing import Final

from sipreg.errors import InternalFault, RequestRefused, SipregError, StoreUnavailable
from sipreg.registrar.model import Aor, Plan, Snapshot
from sipreg.registrar.ports import BindingStore, Change, CommitOutcome, NonceUse, ReadOutcome, Verdict

_COMMITTED: Final = Verdict.COMMITTED
_REPLAYED: Final = Verdict.REPLAYED
"""Named once, as the class of an enumeration takes its time on Python 3.11."""

MAX_ATTEMPTS: Final = 100
"""How often one change is committed. Each conflict means that one of another node was stored, so only a crowd of nodes comes near it."""

MAX_WAITING: Final = 256
"""Changes of one AoR that wait at this node for their turn; more are refused at once, so that one subscriber cannot take up all memory."""


class Changing:
    """A change of an AoR; what is particular to it stands in its subclass.

    A plan on what this node remembers is only ever good for a commit, which proves it. Any other answer, a refusal or "nothing
    to do", is given on a fresh read alone, which uses up the nonce count as well.
    """

    __slots__ = ("_attempts", "_over", "_pending", "_store", "_turns", "aor", "nonce_use")

    def __init__(self, store: BindingStore, turns: Turns, aor: Aor) -> None:
        self.aor = aor
        self.nonce_use: NonceUse | None = None
        self._store = store
        self._turns = turns
        self._attempts = 0
        self._pending: Plan | None = None
        self._over = False

    def plan(self, snapshot: Snapshot) -> Plan:
        """Return what becomes of the AoR; may be asked several times."""
        raise NotImplementedError

    def done(self, outcome: Plan | SipregError) -> None:
        """Take what was stored, or what came in its way; called once."""
        raise NotImplementedError

    def replayed(self) -> SipregError:
        """Return the refusal of a nonce count that was used before."""
        return StoreUnavailable("The store spoke of a nonce that nobody named")

    def reads_first(self) -> bool:
        """Whether it shall not be planned on what is remembered: for what is rare."""
        return False

    def begin(self) -> None:
        """Make the change when its turn comes."""
        if not self._turns.enter(self):
            self._over = True
            self.done(StoreUnavailable("Too many changes of one address at once"))

    def start(self) -> None:
        """Make the change, now that it is its turn."""
        try:
            if self.reads_first():
                self._read()
            else:
                self._try(self._store.recall(self.aor))
        except Exception as fault:  # noqa: BLE001 (whatever it is, the peer is answered and the AoR set free)
            self._fail(fault)

    def _read(self) -> None:
        self._store.read(self.aor, self._was_read, self.nonce_use)

    def _try(self, snapshot: Snapshot) -> None:
        """Plan on a snapshot that may be out of date."""
        try:
            plan = self.plan(snapshot)
        except RequestRefused:
            self._read()
            return
        if plan.changed:
            self._commit(snapshot, plan)
        else:
            self._read()

    def _commit(self, snapshot: Snapshot, plan: Plan) -> None:
        self._attempts += 1
        if self._attempts > MAX_ATTEMPTS:
            self._finish(StoreUnavailable("Too many changes of one address at once"))
            return
        self._pending = plan
        self._store.commit(Change(self.aor, snapshot.etag, plan.bindings, plan.events, self.nonce_use), self._was_committed)

    def _was_read(self, outcome: ReadOutcome) -> None:
        try:
            if isinstance(outcome, Snapshot):
                self.nonce_use = None
                self._settle(outcome)
            elif outcome is _REPLAYED:
                self._finish(self.replayed())
            elif isinstance(outcome, StoreUnavailable):
                self._finish(outcome)
        except Exception as fault:  # noqa: BLE001 (whatever it is, the peer is answered and the AoR set free)
            self._fail(fault)

    def _settle(self, snapshot: Snapshot) -> None:
        """Plan on what was read just now: what comes of it may be answered."""
        try:
            plan = self.plan(snapshot)
        except RequestRefused as refused:
            self._finish(refused)
            return
        if plan.changed:
            self._commit(snapshot, plan)
        else:
            self._finish(plan)

    def _was_committed(self, outcome: CommitOutcome) -> None:
        try:
            if outcome is _COMMITTED and self._pending is not None:
                self._finish(self._pending)
            elif outcome is _REPLAYED:
                self._finish(self.replayed())
            elif isinstance(outcome, Snapshot):
                self._try(outcome)
            elif isinstance(outcome, StoreUnavailable):
                self._finish(outcome)
        except Exception as fault:  # noqa: BLE001 (whatever it is, the peer is answered and the AoR set free)
            self._fail(fault)

    def _finish(self, outcome: Plan | SipregError) -> None:
        self._over = True
        try:
            self.done(outcome)
        finally:
            self._turns.leave(self.aor)

    def _fail(self, fault: Exception) -> None:
        """Answer for a fault of our own, and let the next have its turn; a fault of whoever was answered is not ours to answer."""
        if self._over:
            raise fault
        self._finish(InternalFault(fault))


class Turns:
    """Changes of one AoR at this node take turns, in order of arrival (RFC 3261 §10.3: "in the order that they are received").

    All at once would only make each other fail: of N that are planned on one state, one is stored, and N - 1 try again.
    """

    __slots__ = ("_running", "_startable", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[Aor, deque[Changing] | None] = {}
        """By AoR that is being changed: who waits for it, None for nobody."""
        self._startable: deque[Changing] = deque()
        self._running = False

    def __len__(self) -> int:
        """Return how many AoRs are being changed."""
        return len(self._waiting)

    def enter(self, change: Changing) -> bool:
        """Start a change at once or when those before it are over; False if too many wait already."""
        waiting = self._waiting
        aor = change.aor
        if aor not in waiting:
            waiting[aor] = None
            change.start()
            return True
        queue = waiting[aor]
        if queue is None:
            queue = waiting[aor] = deque()
        elif len(queue) >= MAX_WAITING:
            return False
        queue.append(change)
        return True

    def leave(self, aor: Aor) -> None:
        """Take note that a change is over, and start the next."""
        queue = self._waiting[aor]
        if not queue:
            del self._waiting[aor]
            return
        self._startable.append(queue.popleft())
        if self._running:
            return
        # A loop, because one that is over before its start returns would start the next within itself, and so on down the stack.
        self._running = True
        untold: Exception | None = None
        while self._startable:
            try:
                self._startable.popleft().start()
            except Exception as fault:  # noqa: BLE001 (a fault of whoever was answered: those behind it have their turn all the same)
                untold = fault
        self._running = False
        if untold is not None:
            raise untold
