"""The machine is described as it is."""

from __future__ import annotations

import platform

import pytest

from sipreg_cli.bench.machine import built_with_profile, this_machine


class TestTheMachine:
    """What stands above the table."""

    def test_it_names_processor_cpus_and_interpreter(self) -> None:
        machine = this_machine()
        assert machine.cpu
        assert machine.cores >= 1
        assert machine.python.endswith(platform.python_version())
        assert machine.hiredis[0].isdigit()

    @pytest.mark.parametrize(
        ("configure", "cflags", "optimised"),
        [
            ("'--enable-optimizations' '--with-lto'", "-O3", True),
            ("'--prefix=/usr'", "-O3 -fprofile-use -fprofile-correction", True),
            ("'--prefix=/usr'", "-fprofile-instr-use=code.profclangd", True),
            ("'--prefix=/usr' '--enable-shared'", "-O3 -g", False),
            ("None", "None", False),
        ],
    )
    def test_a_profile_guided_build_is_told_by_its_settings(self, configure: str, cflags: str, optimised: bool) -> None:
        assert built_with_profile(configure, cflags) is optimised
