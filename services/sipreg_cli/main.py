"""The command `sipreg`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

import click

from sipreg.errors import SipregError

COMMANDS: Final = {
    "up": "sipreg_cli.roles",
    "edge": "sipreg_cli.roles",
    "api": "sipreg_cli.roles",
    "subscriber": "sipreg_cli.subscriber",
    "bench": "sipreg_cli.bench.command",
}
"""Command -> the module that has it under its name. Only that one is imported: every worker process of an edge passes through here."""


class _Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sipreg", prog_name="sipreg")
def sipreg() -> None:
    """A horizontally clustered SIP registrar."""


def main() -> None:
    """Run it; what is wrong with a setting or a store is said in one line."""
    try:
        sipreg()
    except SipregError as error:
        sys.exit(f"sipreg: {error}")
