"""CPU time of processes, from the operating system, and how fast the machine is at the moment.

CPU time per request is what holds on a noisy machine: rates follow whoever else runs. Even it drifts by half, because a virtual CPU
shares its core with strangers; so a fixed loop of Python is timed beside every measurement and printed with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # it ships no types, and we use three calls

_PROC: Final = Path("/proc")

_RAN, _WAITED = 0, 1
"""Columns of schedstat: nanoseconds on a CPU, and nanoseconds of waiting for one."""

CALIBRATION_TURNS: Final = 2_000
_CALIBRATION_REPEATS: Final = 5


def cpu_ns(pids: Sequence[int]) -> int:
    """Return the CPU time, user and system, that these processes and all below them have used, in nanoseconds.

    Processes that are gone count as nothing, so a worker that dies between two readings shows as too little, never as an error.
    """
    return sum(_process_ns(pid) for pid in _families(pids))


def waited_ns(pids: Sequence[int]) -> int:
    """Return how long they were ready to run while their CPU ran something else, in nanoseconds; 0 where the system does not say.

    A run in which this is much was disturbed, and its CPU time is too great as well: each switch costs, and so do cold caches.
    """
    return sum(_scheduler_ns(pid, _WAITED) or 0 for pid in _families(pids))


def _families(pids: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for pid in pids:
        found.add(pid)
        try:
            found.update(child.pid for child in psutil.Process(pid).children(recursive=True))
        except psutil.NoSuchProcess:
            continue
    return found


def _process_ns(pid: int) -> int:
    scheduler = _scheduler_ns(pid, _RAN)
    if scheduler is not None:
        return scheduler
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0
    return int((times.user + times.system) * 1e9)


def _scheduler_ns(pid: int, column: int) -> int | None:
    """Return what Linux's scheduler counted for all threads, to the nanosecond; user and system times come in ticks of 10 ms."""
    total, seen = 0, False
    try:
        for task in (_PROC / str(pid) / "task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[column])
                seen = True
            except FileNotFoundError:
                continue  # a thread that ended between the listing and the reading
    except (OSError, ValueError, IndexError):
        return None
    return total if seen else None


def calibrate(turns: int = CALIBRATION_TURNS) -> float:
    """Return what one turn of a fixed loop of Python costs just now, in nanoseconds: the least of five timings."""
    return min(_loop(turns) for _ in range(_CALIBRATION_REPEATS)) / turns


def _loop(turns: int) -> int:
    start = time.perf_counter_ns()
    for turn in range(turns):
        name, _, value = f"Header-{turn}: value".partition(": ")
        {name: value, "length": len(value)}.get(name)
    return time.perf_counter_ns() - start


@contextmanager
def pinned(cpus: Sequence[int]) -> Iterator[None]:
    """Run this process on these CPUs for a while; does nothing where there are none or the system cannot."""
    if not cpus or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_plan(workers: int) -> tuple[list[int], list[int]]:
    """Return (CPUs for what is measured, CPUs for the generator and the store); both empty where nothing can be pinned.

    What is measured gets one CPU per worker as long as one is left for the others.
    """
    if not hasattr(os, "sched_getaffinity"):
        return [], []
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) == 1:
        return [], []
    split = min(workers, len(cpus) - 1)
    return cpus[:split], cpus[split:]
