"""The Lua scripts: one file each under ``lua``, named after what it does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sipreg.store.resp import bulk, pack


@dataclass(frozen=True, slots=True)
class Script:
    """One script, and how a command that runs it begins after the number of its parts."""

    name: str
    source: str
    sha: str
    """SHA-1 of the source in hex, by which Redis knows it."""
    by_sha: bytes
    by_source: bytes

    def load(self) -> bytes:
        """Return the command that makes the server know it."""
        return pack("SCRIPT", "LOAD", self.source)


def _script(name: str) -> Script:
    source = (Path(__file__).with_name("lua") / f"{name}.lua").read_text("utf-8")
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name, source, sha, bulk("EVALSHA") + bulk(sha), bulk("EVAL") + bulk(source))


COMMIT_RECORD: Final = _script("commit_record")
READ_RECORD: Final = _script("read_record")
TIDY_DUE: Final = _script("tidy_due")

SCRIPTS: Final = (COMMIT_RECORD, READ_RECORD, TIDY_DUE)


def with_source(command: bytes) -> bytes | None:
    """Return a packed EVALSHA as the EVAL that brings the source along; None if it is no command of ours."""
    for script in SCRIPTS:
        if script.by_sha in command[:80]:
            return command.replace(script.by_sha, script.by_source, 1)
    return None
