"""Children end with the bench, and say why they failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from sipreg_cli.bench import children
from sipreg_cli.bench.children import BenchFailed, await_ready, child, free_port, read_line

DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(60)"
PARENT = (
    "import sys, tempfile\nfrom sipreg_cli.bench.children import child\n"
    "with tempfile.TemporaryFile() as log, child(['sleep', '60'], cpus=[], log=log) as process:\n"
    "    print(process.pid, flush=True)\n    process.wait()"
)


def gone(pid: int, limit_s: float = 10) -> bool:
    """Poll until a process is gone, or dead and not yet waited for."""
    limit = time.monotonic() + limit_s
    while time.monotonic() < limit:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


class TestEnding:
    """No child outlives the bench."""

    def test_a_child_ends_with_its_context(self) -> None:
        with tempfile.TemporaryFile() as log, child(["sleep", "60"], cpus=[], log=log) as process:
            assert process.poll() is None
        assert process.returncode == -signal.SIGTERM

    def test_a_child_ends_when_the_bench_fails(self) -> None:
        with pytest.raises(RuntimeError), tempfile.TemporaryFile() as log, child(["sleep", "60"], cpus=[], log=log) as process:
            raise RuntimeError
        assert process.returncode == -signal.SIGTERM

    def test_a_child_that_is_deaf_to_sigterm_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(children, "_STOP_LIMIT_S", 0.2)
        with tempfile.TemporaryFile() as log, child([sys.executable, "-c", DEAF], cpus=[], log=log, talk=True) as process:
            assert read_line(process, log, 10, "the child") == b"deaf\n"
        assert process.returncode == -signal.SIGKILL

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with a parent that is killed")
    def test_a_child_ends_even_when_its_parent_is_killed(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=environment) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert psutil.pid_exists(pid)
            parent.kill()
        assert gone(pid)


class TestTalking:
    """What a child says, and what is said of it when it says nothing."""

    @pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system cannot pin processes to CPUs")
    def test_a_child_is_pinned_before_it_starts(self) -> None:
        cpu = max(os.sched_getaffinity(0))
        program = "import os; print(sorted(os.sched_getaffinity(0)))"
        with tempfile.TemporaryFile() as log, child([sys.executable, "-c", program], cpus=[cpu], log=log, talk=True) as process:
            assert read_line(process, log, 10, "the child") == f"[{cpu}]\n".encode()

    def test_a_child_that_ends_silently_is_quoted(self) -> None:
        program = "import sys; sys.exit('no such luck')"
        with (
            tempfile.TemporaryFile() as log,
            child([sys.executable, "-c", program], cpus=[], log=log, talk=True) as process,
            pytest.raises(BenchFailed, match="the child ended: no such luck"),
        ):
            read_line(process, log, 10, "the child")

    def test_a_child_that_says_nothing_in_time_is_given_up(self) -> None:
        with (
            tempfile.TemporaryFile() as log,
            child(["sleep", "60"], cpus=[], log=log, talk=True) as process,
            pytest.raises(BenchFailed, match="said nothing for 0 s: it left no message"),
        ):
            read_line(process, log, 0.05, "the child")

    def test_waiting_for_a_child_that_ended_quotes_it(self) -> None:
        program = "import sys; print('port taken', file=sys.stderr); sys.exit(3)"
        with (
            tempfile.TemporaryFile() as log,
            child([sys.executable, "-c", program], cpus=[], log=log) as process,
            pytest.raises(BenchFailed, match="the child ended with status 3: port taken"),
        ):
            await_ready(lambda: False, process, log, "the child")

    def test_waiting_has_a_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(children, "START_LIMIT_S", 0.1)
        with (
            tempfile.TemporaryFile() as log,
            child(["sleep", "60"], cpus=[], log=log) as process,
            pytest.raises(BenchFailed, match="was not ready within"),
        ):
            await_ready(lambda: False, process, log, "the child")


class TestPorts:
    """A port for a child to bind."""

    def test_a_free_port_can_be_had(self) -> None:
        assert 1024 <= free_port() < 1 << 16
