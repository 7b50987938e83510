"""A store that fails, is late or is changed by somebody else at the moment that a test chooses, around the real one in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from sipreg.errors import RequestRefused, StoreUnavailable
from sipreg.message.model import Request
from sipreg.registrar.access import Domains
from sipreg.registrar.digest import Digest, DigestPolicy, ha1_values
from sipreg.registrar.hooks import SaveHook
from sipreg.registrar.model import Aor, Binding, Snapshot
from sipreg.registrar.parameters import Parameters
from sipreg.registrar.ports import NOT_KNOWN, Change, CommitOutcome, Credential, CredentialOutcome, Known, NonceUse, ReadOutcome, Verdict
from sipreg.registrar.service import Outcome, Registrar, RegistrarParts
from sipreg.store.memory_store import MemoryStore
from support.builders import AOR, FakeClock, FakeTokens, a_register, an_arrival, challenge_params

USUAL: Final = Parameters()

#: User to the AoRs that it may register beside its own.
SUBSCRIBERS: Final[Mapping[str, tuple[str, ...]]] = {"alice": (), "bob": ("sales@example.com",)}

Interference = Callable[[], None] | StoreUnavailable
"""What happens to one call: somebody else is faster, or it fails before anything was done."""


class Held:
    """Answers that wait to be given, as they do while a request is on its way."""

    def __init__(self) -> None:
        self.holding = False
        self._waiting: list[Callable[[], None]] = []

    @property
    def waiting(self) -> int:
        """How many answers wait."""
        return len(self._waiting)

    def release(self) -> None:
        """Give all answers that wait, and those that come of them, until none is left."""
        while self._waiting:
            self._waiting.pop(0)()

    def give(self, answer: Callable[[], None]) -> None:
        """Give an answer now, or later if they are held."""
        if self.holding:
            self._waiting.append(answer)
        else:
            answer()


class FakeStore:
    """A `BindingStore`: the one in memory, but for what a test does to it."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.calls: list[str] = []
        """``recall``, ``read`` and ``commit``, in the order in which they came."""
        self.changes: list[Change] = []
        """What was to be committed, whether it was or not."""
        self.remembered: Snapshot | None = None
        """What `recall` shows instead of the truth."""
        self.before_read: deque[Interference | None] = deque()
        self.before_commit: deque[Interference | None] = deque()
        """What happens to the next calls, one after the other; None for nothing."""
        self.held = Held()

    def recall(self, aor: Aor) -> Snapshot:
        """Show what is remembered."""
        self.calls.append("recall")
        return self.inner.recall(aor) if self.remembered is None else self.remembered

    def read(self, aor: Aor, done: Callable[[ReadOutcome], None], nonce_use: NonceUse | None = None) -> None:
        """Read, unless it shall fail."""
        self.calls.append("read")
        failure = _interfere(self.before_read)
        if failure is not None:
            self.held.give(partial(done, failure))
        else:
            self.inner.read(aor, lambda outcome: self.held.give(partial(done, outcome)), nonce_use)

    def commit(self, change: Change, done: Callable[[CommitOutcome], None]) -> None:
        """Commit, unless it shall fail."""
        self.calls.append("commit")
        self.changes.append(change)
        failure = _interfere(self.before_commit)
        if failure is not None:
            self.held.give(partial(done, failure))
        else:
            self.inner.commit(change, lambda outcome: self.held.give(partial(done, outcome)))


def _interfere(interferences: deque[Interference | None]) -> StoreUnavailable | None:
    interference = interferences.popleft() if interferences else None
    if isinstance(interference, StoreUnavailable):
        return interference
    if interference is not None:
        interference()
    return None


class FakeCredentials:
    """A `CredentialSource` over a dictionary."""

    def __init__(self, known: dict[tuple[str, str], Credential]) -> None:
        self.known = known
        """(realm, user) to what is known."""
        self.failure: StoreUnavailable | None = None
        """What every look-up comes to, if anything."""
        self.asked: list[tuple[str, str]] = []
        self.held = Held()

    def recall(self, realm: str, user: str) -> Credential | Known | None:
        """Return what is known at once: nothing while answers are held or look-ups fail."""
        if self.held.holding or self.failure is not None:
            return NOT_KNOWN
        self.asked.append((realm, user))
        return self.known.get((realm, user))

    def credential(self, realm: str, user: str, done: Callable[[CredentialOutcome], None]) -> None:
        """Look one up."""
        self.asked.append((realm, user))
        self.held.give(partial(done, self.failure or self.known.get((realm, user))))


class Office:
    """A registrar of example.com with all that it needs, and the answers that it gave.

    Without a digest whoever asks is believed; with one, alice and bob are known by the password ``secret``.
    """

    def __init__(self, *, digest: bool = False, parameters: Parameters = USUAL, hooks: tuple[SaveHook, ...] = ()) -> None:
        self.clock = FakeClock()
        self.store = FakeStore(MemoryStore(self.clock, FakeTokens()))
        known = {("example.com", user): Credential(ha1_values(user, "example.com", "secret"), aors) for user, aors in SUBSCRIBERS.items()}
        self.credentials = FakeCredentials(known)
        self.answers: list[Outcome] = []
        self.registrar = Registrar(
            RegistrarParts(
                store=self.store,
                credentials=self.credentials,
                digest=Digest(b"a key", DigestPolicy(), FakeTokens()) if digest else None,
                domains=Domains(names=frozenset({"example.com"})),
                parameters=parameters,
                hooks=hooks,
            )
        )

    def send(self, request: Request) -> None:
        """Have a REGISTER processed."""
        self.registrar.register(request, an_arrival(self.clock.now_ms()), self.answers.append)

    def ask(self, *headers: str, **more: Any) -> Outcome:
        """Send a REGISTER and return its answer, the only one."""
        return self.ask_by(a_register(*headers, **more))

    def ask_by(self, request: Request) -> Outcome:
        """Send this REGISTER and return its answer, the only one."""
        before = len(self.answers)
        self.send(request)
        assert len(self.answers) == before + 1
        return self.answers[-1]

    def challenge(self) -> Mapping[str, str]:
        """Ask without credentials and return the parameters of the challenge."""
        outcome = self.ask()
        assert isinstance(outcome, RequestRefused)
        return challenge_params(outcome)

    def stored(self, aor: Aor = AOR) -> Snapshot:
        """Return what is stored of an AoR."""
        return self.store.inner.recall(aor)

    def contacts(self) -> list[str]:
        """Return the live contacts of alice."""
        return [binding.contact for binding in self.stored().live(self.clock.now_ms())]

    def put(self, *bindings: Binding, aor: Aor = AOR) -> None:
        """Store bindings of an AoR, as somebody else would."""
        outcomes: list[CommitOutcome] = []
        self.store.inner.commit(Change(aor, self.stored(aor).etag, bindings, ()), outcomes.append)
        assert outcomes == [Verdict.COMMITTED]

    @property
    def counted(self) -> tuple[int, int]:
        """accepted_regs and rejected_regs."""
        statistics = self.registrar.statistics
        return statistics.accepted_regs, statistics.rejected_regs
