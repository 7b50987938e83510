"""SIPp as a user agent of another make: it registers at a running edge, and its own counters say how that went.

SIPp 3.6 answers MD5 challenges only, and only if the MD5 challenge comes first; an edge under test offers them in that order.
"""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from support.processes import free_port
from support.programs import require_program

SCENARIOS: Final = Path(__file__).resolve().parents[1] / "e2e" / "sipp"
"""Folder of the scenario files."""

_GRACE_S: Final = 10.0
"""How much longer than its own ``-timeout`` we let SIPp run before it is killed."""

_TAIL: Final = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One line of the injection file: who registers in one call."""

    user: str
    password: str
    contact_user: str = ""
    """User of the Contact; ``user`` followed by ``-phone`` if empty."""

    def line(self) -> str:
        """Return it as SIPp reads it, fields 0 to 2 of the scenarios."""
        fields = (self.user, f"[authentication username={self.user} password={self.password}]", self.contact_user or f"{self.user}-phone")
        if any(character in value for value in (self.user, self.password, self.contact_user) for character in ";[]\r\n"):
            raise ValueError(f"SIPp cannot inject {fields}: it splits at semicolons and expands brackets")
        return ";".join(fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What SIPp plays, how often and how fast."""

    scenario: str
    """Name of a file in `SCENARIOS`, without ``.xml``."""
    domain: str
    """Host of all AoRs, of the Request-URI and of the digest's uri."""
    calls: int
    """Plays of the scenario in all; the accounts start over when they are used up."""
    rate: int = 50
    """Plays begun in a second."""
    limit: int = 100
    """Plays under way at once."""
    transport: str = "u1"
    """SIPp's ``-t``: u1 and un are UDP by one socket and by one per call, t1 and tn the same for TCP."""
    expires: int = 600
    """Seconds that are asked for."""
    call_ids: str = ""
    """Call-IDs with ``%u`` for the number of the call, such as ``phone-%u@e2e``: alike in two runs of which the second refreshes.

    SIPp's own, new in every run, if empty.
    """
    first_cseq: int = 1
    """CSeq of the first request of a call."""
    pause_ms: int = 0
    """How long a ``<pause/>`` of the scenario takes."""
    timeout_s: int = 30
    """SIPp gives up after this long, and the calls that are left have failed."""
    options: Sequence[str] = field(default=())
    """More arguments."""

    def arguments(self) -> list[str]:
        """Return SIPp's arguments but for files and addresses."""
        chosen = {
            "-sf": SCENARIOS / f"{self.scenario}.xml",
            "-m": self.calls,
            "-r": self.rate,
            "-l": self.limit,
            "-t": self.transport,
            "-max_socket": self.limit + 10,  # its own 50,000 are more than the usual limit of open files, and it would not start
            "-d": self.pause_ms,
            "-base_cseq": self.first_cseq,
            "-auth_uri": self.domain,  # else the digest's uri is the address and not the Request-URI (RFC 7616 §3.4)
            "-timeout": f"{self.timeout_s}s",
            "-default_behaviors": "all,-bye",  # a refused REGISTER is no dialog to end
        }
        call_ids = ["-cid_str", self.call_ids] if self.call_ids else []
        keys = ["-key", "domain", self.domain, "-key", "expires", str(self.expires)]
        pairs = [str(part) for pair in chosen.items() for part in pair]
        return [*pairs, *call_ids, *keys, "-timeout_error", "-nostdin", *self.options]


@dataclass(frozen=True, slots=True, kw_only=True)
class SippResult:
    """What SIPp counted in one run."""

    successful: int
    """Calls that went through the scenario to its end."""
    failed: int
    """Calls that did not, for whatever reason; those that it never began, or had under way at the end, are among them."""
    retransmissions: int
    """Requests that SIPp sent again because no answer came in time."""
    unexpected: int
    """Calls that failed because of a response that the scenario does not have."""
    strays: int
    """Messages that belonged to no call, or to one that had ended."""
    elapsed_s: float
    """Seconds from its start to its end, by its own clock."""
    exit_status: int
    """0 if all calls were successful."""
    error_text: str
    """What it reported as errors, each response that was not expected included."""
    logged: tuple[tuple[str, str], ...]
    """(user, value of the Contact header) of each 200 that was as the scenario demands, in order."""


def run_sipp(
    load: Load, accounts: Sequence[Account], target: tuple[str, int], folder: Path, local: str = "127.0.0.1", local_port: int = 0
) -> SippResult:
    """Run SIPp to its end and return what it counted; the test that asks is skipped where there is no SIPp.

    Args:
        load: what it plays.
        accounts: who registers, one after the other.
        target: address and port of the edge.
        folder: for the files that it reads and writes; they stay for whoever looks into a failure.
        local: address that it sends from, also the host of the Contacts.
        local_port: port that it sends from, also that of the Contacts, alike in two runs of which the second refreshes; any free one if 0.

    Raises:
        AssertionError: it would not start, or did not end.
    """
    program = require_program("sipp")
    folder.mkdir(parents=True, exist_ok=True)
    injected, errors, log, counts = (folder.absolute() / name for name in ("accounts.csv", "errors.log", "contacts.log", "counts.csv"))
    for left in (errors, log, counts):
        left.unlink(missing_ok=True)
    injected.write_text("SEQUENTIAL\n" + "".join(f"{account.line()}\n" for account in accounts), encoding="utf-8")
    files = {"-inf": injected, "-error_file": errors, "-log_file": log, "-stf": counts}
    argv = [
        *(program, f"{target[0]}:{target[1]}", "-i", local, "-p", str(local_port or free_port(local)), "-ci", local),
        *(str(part) for pair in files.items() for part in pair),
        *("-trace_err", "-trace_logs", "-trace_stat"),
        *load.arguments(),
    ]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, cwd=folder, timeout=load.timeout_s + _GRACE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise AssertionError(f"SIPp still runs {_GRACE_S} s after its own limit: {argv}") from None
    row = _last_row(counts)
    if not row:
        raise AssertionError(f"SIPp counted nothing and ended with {done.returncode}: {_text(errors)}\n{done.stdout.decode()[-_TAIL:]}")
    return _result(row, load.calls, done.returncode, _text(errors), _text(log))


def _result(row: Mapping[str, str], calls: int, exit_status: int, error_text: str, log: str) -> SippResult:
    successful = int(row["SuccessfulCall(C)"])
    entries = (line.partition(" ") for line in log.splitlines() if line)
    return SippResult(
        successful=successful,
        failed=calls - successful,  # SIPp's own count leaves out what it abandons when its time is up
        retransmissions=int(row["Retransmissions(C)"]),
        unexpected=int(row["FailedUnexpectedMessage(C)"]),
        strays=int(row["OutOfCallMsgs(C)"]) + int(row["DeadCallMsgs(C)"]),
        elapsed_s=_unix_s(row["CurrentTime"]) - _unix_s(row["StartTime"]),
        exit_status=exit_status,
        error_text=error_text,
        logged=tuple((user, contacts.strip()) for user, _, contacts in entries),
    )


def _last_row(counts: Path) -> dict[str, str]:
    """Return the last line of the statistics, which has the counts of the whole run in its columns "(C)"."""
    if not counts.exists():
        return {}
    with counts.open(encoding="utf-8", newline="") as lines:
        return next(reversed(list(csv.DictReader(lines, delimiter=";"))), {})


def _unix_s(stamp: str) -> float:
    return float(stamp.rpartition("\t")[2])


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
