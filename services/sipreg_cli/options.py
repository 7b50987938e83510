"""Options that commands share, and the settings that they make."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from sipreg.settings import Settings, Values, load_settings

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--config", type=click.Path(path_type=Path), envvar="SIPREG_CONFIG", help="TOML file with settings."),
    click.option(
        "--store", metavar="URL", help="embedded[:DIR], memory, redis://..., rediss://..., redis+sentinel://..., redis+cluster://..."
    ),
    click.option("--domain", "domains", multiple=True, metavar="NAME", help="Domain to register addresses of; may be repeated."),
    click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Least important line to write."),
)

_EDGE_OPTIONS = (
    click.option(
        "--listen", multiple=True, metavar="TRANSPORT:HOST:PORT", help="SIP listener, such as udp:127.0.0.1:5060; may be repeated."
    ),
    click.option("--auth", type=click.Choice(["digest", "off"]), help="Whether devices must prove who they are."),
    click.option("--workers", type=int, metavar="N", help="Processes that share the listeners."),
    click.option("--node-id", metavar="ID", help="Name of this node among its fellows; the host's name if left out."),
)

_HTTP_OPTION = click.option("--http", metavar="HOST:PORT", help="HTTP listener.")


def common_options(command: F) -> F:
    """Add the options of every role."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return _HTTP_OPTION(command)


def edge_options(command: F) -> F:
    """Add the options of roles that listen for SIP."""
    for option in reversed(_EDGE_OPTIONS):
        command = option(command)
    return common_options(command)


def settings_from(options: dict[str, Any], http_section: str, defaults: Values) -> Settings:
    """Return the settings that a command line makes.

    Args:
        options: as click gives them, by name.
        http_section: the section that ``--http`` means for this role.
        defaults: what the role takes for what nobody sets.

    Raises:
        SettingWrong: a setting is wrong.
    """
    overrides: dict[str, dict[str, Any]] = {"registrar": {}, "auth": {}, "store": {}, "edge": {}, "api": {}, "log": {}}
    places = {
        "domains": ("registrar", "domains"),
        "store": ("store", "url"),
        "log_level": ("log", "level"),
        "listen": ("edge", "listen"),
        "auth": ("auth", "mode"),
        "workers": ("edge", "workers"),
        "node_id": ("edge", "node_id"),
        "http": (http_section, "http"),
    }
    for option, (section, name) in places.items():
        value = options.get(option)
        if value not in (None, ()):
            overrides[section][name] = value
    return load_settings(options.get("config"), overrides, defaults)


def stop_signal() -> asyncio.Event:
    """Return an event that is set when somebody wants the process to end: SIGTERM, or SIGINT from the keyboard.

    To be called before anything is started, so that a signal in the midst of the start is not lost.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
