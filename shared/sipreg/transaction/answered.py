"""What was answered, for whoever asks again: Completed of the non-INVITE machine over UDP (RFC 3261 §17.2.2).

At thirty thousand requests a second and a Timer J of 32 s this is up to a million transactions. So a finished one is
nothing but an entry key -> response in a dictionary: no object, no timer, nothing that the garbage collector walks
through. Entries live in generations, which are dropped whole; what was dropped early is processed anew if it comes
again, which a registrar does without harm (a retransmission is known by its Call-ID and CSeq, rule S-54).

A fresh request must be found absent from every generation, and each of these look-ups would wait for main memory. One byte
per hash slot, telling which generation last wrote there, spares nearly all of them.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

DEFAULT_MAX_BYTES: Final = 128 << 20
"""Some 180,000 answers of usual size: at ten thousand a second more than the first five retransmissions of each."""

OVERHEAD: Final = 160
"""Bytes that an entry takes beside the characters of its key and the bytes of its response: their two objects and its
place in the dictionary, as CPython 3.11 allocates them."""

_SHARES: Final = 8
"""Generations in a lifetime, and at least as many in the bound: what is kept too long or dropped too early is an eighth."""

_NUMBERS: Final = 255
"""Names for generations, 1 to 255, since a mark is a byte and 0 means none. Never more than thirty are alive: ten cut by
time, and sixteen by size, since two neighbours hold more than a share."""


class _Generation:
    """Answers that are forgotten together."""

    __slots__ = ("closes_at", "number", "responses", "size")

    def __init__(self, number: int, closes_at: float) -> None:
        self.number = number
        self.closes_at = closes_at
        self.responses: dict[str, bytes] = {}
        self.size = 0
        """Known once it is closed."""


class Answered:
    """Final responses by transaction key, each for a limited time; all of them within a limited memory.

    An answer is kept for at least ``lifetime_s`` and at most an eighth longer, or less where memory runs short: the
    oldest go first.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES, lifetime_s: float = 32.0) -> None:
        """Start empty.

        Args:
            max_bytes: the most that keys, responses and the `OVERHEAD` of each may take together.
            lifetime_s: Timer J in seconds.
        """
        self._max_bytes = max_bytes
        self._share = max_bytes // _SHARES
        self._lifetime_s = lifetime_s
        self._generations: deque[_Generation] = deque()
        self._responses: list[dict[str, bytes]] = []
        self._closed_bytes = 0
        self._drop_at = inf
        # A slot per 32 bytes of the bound, hence a score per usual answer, for 3 % more memory.
        self._marks = bytearray(1 << max(8, (max_bytes >> 5).bit_length() - 1))
        self._mask = len(self._marks) - 1
        self._alive = bytearray(_NUMBERS + 1)
        # Of the generation that is open, apart from it because every answer needs them; none is open yet.
        self._newest: dict[str, bytes] = {}
        self._number = 0
        self._room = 0
        self._closes_at = -inf

    def __len__(self) -> int:
        """How many answers are kept."""
        return sum(map(len, self._responses))

    @property
    def held_bytes(self) -> int:
        """What they take, by the measure of ``max_bytes``."""
        return self._closed_bytes + (self._share - self._room if self._closes_at > -inf else 0)

    def remember(self, key: str, response: bytes, now: float) -> None:
        """Keep the final response of a transaction that has none yet, from ``now`` (monotonic seconds) on.

        One that would take more than an eighth of the bound is not kept.
        """
        size = len(key) + len(response) + OVERHEAD
        if now >= self._closes_at or size > self._room:
            if size > self._share:
                return
            self._open(now)
        self._room -= size
        self._newest[key] = response
        self._marks[hash(key) & self._mask] = self._number

    def recall(self, key: str, now: float) -> bytes | None:
        """Return the response to send again, or None if there is none, or none any more."""
        if now >= self._drop_at:
            self.expire(now)
        if not self._alive[self._marks[hash(key) & self._mask]]:
            return None
        for responses in self._responses:
            if key in responses:
                return responses[key]
        return None

    def next_deadline(self) -> float | None:
        """When `expire` has something to do, in monotonic seconds; None while nothing is kept."""
        return None if self._drop_at == inf else self._drop_at

    def expire(self, now: float) -> None:
        """Drop the generations whose time is over."""
        if now >= self._closes_at:
            self._close(now)
        while now >= self._drop_at:
            self._drop_oldest()

    def _open(self, now: float) -> None:
        """Begin a generation, after dropping as many old ones as it takes to have room for a whole one."""
        self._close(now)
        while self._closed_bytes + self._share > self._max_bytes:
            self._drop_oldest()
        self._number = self._number % _NUMBERS + 1
        self._alive[self._number] = 1
        self._room = self._share
        self._closes_at = now + self._lifetime_s / _SHARES
        generation = _Generation(self._number, self._closes_at)
        self._newest = generation.responses
        self._generations.appendleft(generation)
        self._settle()

    def _close(self, now: float) -> None:
        """Add nothing more to the generation that is open, if one is."""
        if self._closes_at == -inf:
            return
        generation = self._generations[0]
        generation.closes_at = min(self._closes_at, now)
        generation.size = self._share - self._room
        self._closed_bytes += generation.size
        self._newest = {}
        self._closes_at = -inf
        self._settle()

    def _drop_oldest(self) -> None:
        """Forget a closed generation."""
        oldest = self._generations.pop()
        self._closed_bytes -= oldest.size
        self._alive[oldest.number] = 0
        self._settle()

    def _settle(self) -> None:
        """Derive what the hot path reads: the dictionaries, newest first, and when the oldest is due."""
        self._responses = [generation.responses for generation in self._generations]
        self._drop_at = self._generations[-1].closes_at + self._lifetime_s if self._generations else inf
