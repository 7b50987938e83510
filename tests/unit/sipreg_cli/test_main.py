"""The command `sipreg`: what it offers, and what each part of it must not cost the others."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from sipreg_cli.main import COMMANDS, sipreg
from support.processes import source_environment


class TestCommands:
    """Each stands under its name, and says what it is for."""

    def test_all_are_listed_with_a_line_of_help(self) -> None:
        shown = CliRunner().invoke(sipreg, ["--help"])
        assert shown.exit_code == 0
        listed = dict(line.split(None, 1) for line in shown.output.partition("Commands:\n")[2].splitlines() if line.strip())
        assert list(listed) == list(COMMANDS)
        assert all(listed.values())

    @pytest.mark.parametrize("name", COMMANDS)
    def test_each_has_its_own_help(self, name: str) -> None:
        shown = CliRunner().invoke(sipreg, [name, "--help"])
        assert shown.exit_code == 0
        assert f"Usage: sipreg {name}" in shown.output

    def test_one_that_there_is_not_is_named(self) -> None:
        shown = CliRunner().invoke(sipreg, ["fly"])
        assert shown.exit_code == 2
        assert "No such command 'fly'" in shown.output


class TestImports:
    """A worker imports the main module of its parent, and an edge has no use for the API."""

    @pytest.mark.parametrize(
        ("module", "unwanted"),
        [
            ("sipreg_cli.main", ["fastapi", "uvicorn", "redis", "sip_edge", "registrar_api", "sipreg_cli.bench"]),
            ("sipreg_cli.roles", ["fastapi", "registrar_api", "sipreg_cli.bench"]),
            ("sipreg_cli.subscriber", ["fastapi", "uvicorn", "registrar_api", "sip_edge", "sipreg_cli.bench"]),
        ],
    )
    def test_a_module_does_without_what_others_need(self, module: str, unwanted: list[str]) -> None:
        program = f"import sys, {module}; print([name for name in {unwanted} if name in sys.modules])"
        done = subprocess.run(
            [sys.executable, "-c", program], env=source_environment(), capture_output=True, text=True, timeout=30, check=False
        )
        assert (done.stdout, done.stderr) == ("[]\n", "")
