"""What the figures were measured on: they mean nothing without it."""

from __future__ import annotations

import os
import platform
import sysconfig
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine and the interpreter on it."""

    cpu: str
    """The processor as it names itself."""
    cores: int
    """CPUs that this process may use."""
    system: str
    python: str
    optimised: bool
    """Whether the interpreter was built with profile-guided optimisation, which is worth a quarter."""
    uvloop: str
    """Version, or "no"."""
    hiredis: str
    """Version, or "no"."""


def this_machine() -> Machine:
    """Describe the machine that the bench runs on."""
    return Machine(
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        optimised=built_with_profile(str(sysconfig.get_config_var("CONFIG_ARGS")), str(sysconfig.get_config_var("PY_CORE_CFLAGS"))),
        uvloop=_installed("uvloop"),
        hiredis=_installed("hiredis"),
    )


def built_with_profile(configure_args: str, cflags: str) -> bool:
    """Return whether these build settings of CPython mean profile-guided optimisation."""
    return "--enable-optimizations" in configure_args or "-fprofile-use" in cflags or "-fprofile-instr-use" in cflags


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "no"
