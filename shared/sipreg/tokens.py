"""Chance as an argument: tags, nonce salts and etags."""

from __future__ import annotations

import random
import secrets
from typing import Protocol


class TokenSource(Protocol):
    """Where names that must be unique come from."""

    def token64(self) -> str:
        """Return 16 hex digits: 64 bits that will not come twice."""

    def token32(self) -> str:
        """Return 8 hex digits, as for a tag (RFC 3261 §19.3 asks for 32 bits)."""


class RandomTokens:
    """Unique names from a generator that is seeded by the operating system.

    They are not secrets: what must be unguessable is sealed with a key (see `sipreg.registrar.digest`).
    """

    def __init__(self, seed: int | None = None) -> None:
        self._bits = random.Random(secrets.randbits(256) if seed is None else seed).getrandbits

    def token64(self) -> str:
        """Return 16 hex digits."""
        return f"{self._bits(64):016x}"

    def token32(self) -> str:
        """Return 8 hex digits."""
        return f"{self._bits(32):08x}"
