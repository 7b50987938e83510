"""CPU time comes from the operating system, and counts threads and children."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from sipreg_cli.bench import measure
from sipreg_cli.bench.measure import calibrate, cpu_ns, cpu_plan, pinned, waited_ns

BURN = (
    "import sys, time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\nprint('done', flush=True)\nsys.stdin.read()"
)


def burn(seconds: float) -> None:
    """Use up CPU time of this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class TestCpuTime:
    """User and system time of whole families."""

    def test_what_this_process_uses_is_counted(self) -> None:
        before = cpu_ns([os.getpid()])
        burn(0.1)
        assert cpu_ns([os.getpid()]) - before >= 90_000_000

    def test_threads_are_counted(self) -> None:
        stop = threading.Event()

        def work() -> None:
            burn(0.1)
            stop.wait(10)

        before = cpu_ns([os.getpid()])
        thread = threading.Thread(target=work)
        thread.start()
        limit = time.monotonic() + 10
        while cpu_ns([os.getpid()]) - before < 90_000_000 and time.monotonic() < limit:
            threading.Event().wait(0.01)
        used = cpu_ns([os.getpid()]) - before
        stop.set()
        thread.join()
        assert used >= 90_000_000

    @pytest.mark.parametrize("scheduler", [True, False])
    def test_children_are_counted_by_either_source(self, scheduler: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        if not scheduler:
            monkeypatch.setattr(measure, "_scheduler_ns", lambda _pid, _column: None)
        before = cpu_ns([os.getpid()])
        with subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"done\n"
            used = cpu_ns([os.getpid()]) - before
            alone = cpu_ns([child.pid])
        assert used >= 180_000_000
        assert 180_000_000 <= alone < 5_000_000_000

    def test_a_process_named_twice_counts_once(self) -> None:
        once = cpu_ns([os.getpid()])
        assert cpu_ns([os.getpid(), os.getpid()]) < once * 1.5 + 50_000_000

    def test_a_process_that_is_gone_counts_as_nothing(self) -> None:
        with subprocess.Popen([sys.executable, "-c", ""]) as child:
            child.wait()
        assert cpu_ns([child.pid]) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how long a process waited for its CPU")
class TestDisturbance:
    """Time in which a process could have run and did not."""

    def test_two_that_want_the_same_cpu_wait_for_each_other(self) -> None:
        cpu = min(os.sched_getaffinity(0))
        program = f"import os\nos.sched_setaffinity(0, [{cpu}])\n{BURN}"
        argv = [sys.executable, "-c", program]
        with (
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one,
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other,
        ):
            for child in (one, other):
                assert child.stdout is not None
                assert child.stdout.readline() == b"done\n"
            assert waited_ns([one.pid, other.pid]) > 50_000_000

    def test_a_process_that_is_gone_waited_for_nothing(self) -> None:
        with subprocess.Popen([sys.executable, "-c", ""]) as child:
            child.wait()
        assert waited_ns([child.pid]) == 0


class TestCalibration:
    """A fixed loop, timed."""

    def test_a_turn_takes_a_time_that_python_can_take(self) -> None:
        assert 20 < calibrate(200) < 100_000


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin processes to CPUs")
class TestPinning:
    """What is measured has CPUs of its own."""

    def test_pinning_lasts_as_long_as_its_context(self) -> None:
        before = os.sched_getaffinity(0)
        with pinned([min(before)]):
            assert os.sched_getaffinity(0) == {min(before)}
        assert os.sched_getaffinity(0) == before

    def test_no_cpus_mean_no_pinning(self) -> None:
        before = os.sched_getaffinity(0)
        with pinned([]):
            assert os.sched_getaffinity(0) == before

    @pytest.mark.parametrize(
        ("cpus", "workers", "plan"),
        [
            ({0}, 1, ([], [])),
            ({0, 1}, 1, ([0], [1])),
            ({0, 1}, 4, ([0], [1])),
            ({2, 3, 5, 7}, 2, ([2, 3], [5, 7])),
            ({0, 1, 2, 3}, 9, ([0, 1, 2], [3])),
        ],
    )
    def test_one_cpu_is_always_left_for_generator_and_store(
        self, cpus: set[int], workers: int, plan: tuple[list[int], list[int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: cpus)
        assert cpu_plan(workers) == plan
