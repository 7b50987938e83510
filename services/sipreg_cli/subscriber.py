"""`sipreg subscriber`: who may register, straight in the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from sipreg.composition import Stores, open_stores, with_running_store
from sipreg.errors import SettingWrong
from sipreg.loop import run_loop
from sipreg.settings import Settings, load_settings

_config = click.option("--config", type=click.Path(path_type=Path), envvar="SIPREG_CONFIG", help="TOML file with settings.")
_store = click.option("--store", metavar="URL", help="Where subscribers are kept; the embedded store if left out.")
_password = click.option("--password", metavar="P", help="Asked for if left out.")


@click.group()
def subscriber() -> None:
    """Manage who may register."""


def _settings(config: Path | None, store: str | None) -> Settings:
    settings = load_settings(config, {"store": {"url": store}} if store else {}, {})
    if settings.store.address.kind == "memory":
        raise SettingWrong("store.url: a memory store belongs to one process; subscribers need a store that others reach")
    return settings


def _parted(address: str, settings: Settings) -> tuple[str, str]:
    """Return (realm, user) of ``user@domain``."""
    user, _, domain = address.removeprefix("sip:").rpartition("@")
    if not user or not domain:
        raise click.BadParameter("must be USER@DOMAIN")
    return settings.auth.realm or domain.lower(), user


def _run(settings: Settings, work: Callable[[Stores], Awaitable[None]]) -> None:
    async def main() -> None:
        async with with_running_store(settings) as running, open_stores(running) as stores:
            await work(stores)

    run_loop(main())


def _asked(password: str | None) -> str:
    return password or str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


@subscriber.command("add")
@click.argument("address", metavar="USER@DOMAIN")
@_password
@click.option("--aor", "aors", multiple=True, metavar="USER@DOMAIN", help="A further address that it may register; may be repeated.")
@_store
@_config
def add(address: str, password: str | None, aors: tuple[str, ...], **where: Any) -> None:  # noqa: ANN401 (what click hands over)
    """Create a subscriber."""
    settings = _settings(**where)
    realm, user = _parted(address, settings)
    secret = _asked(password)

    async def work(stores: Stores) -> None:
        await stores.credentials.add(realm, user, secret, aors)

    _run(settings, work)
    click.echo(f"added {user}@{realm}")


@subscriber.command("passwd")
@click.argument("address", metavar="USER@DOMAIN")
@_password
@_store
@_config
def passwd(address: str, password: str | None, **where: Any) -> None:  # noqa: ANN401 (as above)
    """Change a subscriber's password."""
    settings = _settings(**where)
    realm, user = _parted(address, settings)
    secret = _asked(password)

    async def work(stores: Stores) -> None:
        await stores.credentials.set_password(realm, user, secret)

    _run(settings, work)
    click.echo(f"changed {user}@{realm}")


@subscriber.command("remove")
@click.argument("address", metavar="USER@DOMAIN")
@_store
@_config
def remove(address: str, **where: Any) -> None:  # noqa: ANN401 (as above)
    """Remove a subscriber; what it has registered stays until it lapses."""
    settings = _settings(**where)
    realm, user = _parted(address, settings)

    async def work(stores: Stores) -> None:
        await stores.credentials.remove(realm, user)

    _run(settings, work)
    click.echo(f"removed {user}@{realm}")


@subscriber.command("list")
@click.argument("domain", required=False)
@_store
@_config
def list_all(domain: str | None, **where: Any) -> None:  # noqa: ANN401 (as above)
    """List subscribers, of one domain or of all."""
    settings = _settings(**where)

    async def work(stores: Stores) -> None:
        for realm, user in await stores.credentials.list_subscribers(domain.lower() if domain else None):
            click.echo(f"{user}@{realm}")

    _run(settings, work)
