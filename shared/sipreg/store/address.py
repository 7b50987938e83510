"""Where the store is: one text, as it stands in settings and on the command line, taken apart."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal
from urllib.parse import quote, unquote

from sipreg.errors import SettingWrong

StoreKind = Literal["memory", "embedded", "single", "sentinel", "cluster", "unix"]

REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379

ALLOWED: Final = (
    "memory, embedded[:DIR], redis://[user:password@]host[:port][/db], rediss://..., unix:///path[?db=N], "
    "redis+sentinel://host[:port],.../service[/db], redis+cluster://host[:port],..."
)
"""What may be written, for messages; ``rediss`` in place of ``redis`` asks for TLS everywhere."""

_SCHEMES: Final[dict[str, tuple[StoreKind, bool]]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
    "unix": ("unix", False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAddress:
    """The address of a store; its text never shows the password."""

    kind: StoreKind
    hosts: tuple[tuple[str, int], ...] = ()
    """The server, the sentinels, or the cluster nodes to begin with, as (host, port)."""
    path: str = ""
    """The Unix socket, or the directory of the embedded store ("" leaves the choice to it)."""
    user: str = ""
    password: str = field(default="", repr=False)
    sentinel_password: str = field(default="", repr=False)
    """What the sentinels themselves ask for; "" for nothing."""
    db: int = 0
    tls: bool = False
    """Speak TLS and check the server's certificate against the system's authorities (or those of ``SSL_CERT_FILE``)."""
    service: str = ""
    """The name under which the sentinels know the master."""

    def __str__(self) -> str:
        """Return the address as it would be written, without passwords."""
        if self.kind == "memory":
            return "memory"
        if self.kind == "embedded":
            return f"embedded:{self.path}" if self.path else "embedded"
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        if self.kind == "unix":
            return f"unix://{user}{self.path}" + (f"?db={self.db}" if self.db else "")
        scheme = ("rediss" if self.tls else "redis") + ("" if self.kind == "single" else f"+{self.kind}")
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        service = f"/{self.service}" if self.service else ""
        return f"{scheme}://{user}{hosts}{service}" + (f"/{self.db}" if self.db else "")


def parse_store_address(text: str) -> StoreAddress:
    """Take apart the address of a store.

    Args:
        text: one of the forms of `ALLOWED`; user and password are percent-encoded where they hold ``: / @ ? , %``, and
            ``?sentinel_password=...`` may follow a sentinel address.

    Raises:
        SettingWrong: it is none of them. The message shows the address without its password.
    """
    if text == "memory":
        return StoreAddress(kind="memory")
    kind, colon, directory = text.partition(":")
    if kind == "embedded":
        if colon and not directory:
            raise _wrong(text, "names no directory after the colon")
        return StoreAddress(kind="embedded", path=directory)
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise _wrong(text, "is none of the known kinds")
    store_kind, tls = _SCHEMES[scheme]
    rest, _, query = rest.partition("?")
    credentials, _, place = rest.rpartition("@")
    user, _, password = credentials.partition(":")
    address = StoreAddress(kind=store_kind, user=unquote(user), password=unquote(password), tls=tls)
    address = _with_place(address, place, text)
    return _with_options(address, query, text) if query else address


def _with_place(address: StoreAddress, place: str, text: str) -> StoreAddress:
    """Add what stands between the credentials and the options."""
    if address.kind == "unix":
        if not place.startswith("/"):
            raise _wrong(text, "needs an absolute path")
        return replace(address, path=unquote(place))
    authority, *segments = place.split("/")
    if segments and not segments[-1]:
        segments.pop()
    default_port = SENTINEL_PORT if address.kind == "sentinel" else REDIS_PORT
    parts = authority.split(",")
    if address.kind == "single" and len(parts) > 1:
        raise _wrong(text, "names more than one server")
    address = replace(address, hosts=tuple(_host(part, default_port, text) for part in parts))
    if address.kind == "sentinel":
        if not segments or not segments[0]:
            raise _wrong(text, "does not name the service that the sentinels watch")
        address = replace(address, service=unquote(segments.pop(0)))
    if segments:
        if address.kind == "cluster":
            raise _wrong(text, "names a database, and a cluster has only one")
        if len(segments) > 1:
            raise _wrong(text, "has more parts than a database number")
        address = replace(address, db=_number(segments[0], "database", text))
    return address


def _with_options(address: StoreAddress, query: str, text: str) -> StoreAddress:
    for option in query.split("&"):
        name, _, value = option.partition("=")
        if name == "db" and address.kind == "unix":
            address = replace(address, db=_number(value, "database", text))
        elif name == "sentinel_password" and address.kind == "sentinel":
            address = replace(address, sentinel_password=unquote(value))
        else:
            raise _wrong(text, f"has the unknown option {name!r}")
    return address


def _host(part: str, default_port: int, text: str) -> tuple[str, int]:
    """Take apart ``host``, ``host:port``, ``[v6]`` or ``[v6]:port``."""
    if part.startswith("["):
        host, bracket, port = part[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise _wrong(text, "has an IPv6 address that is not written as [address]:port")
        port = port[1:]
    else:
        host, _, port = part.partition(":")
    if not host or ":" in port:
        raise _wrong(text, "needs a host, as host:port or [IPv6]:port")
    number = _number(port, "port", text) if port else default_port
    if not 0 < number < 65536:
        raise _wrong(text, "has a port that is not between 1 and 65535")
    return host, number


def _number(digits: str, what: str, text: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5):
        raise _wrong(text, f"has a {what} that is no number")
    return int(digits)


def _wrong(text: str, why: str) -> SettingWrong:
    return SettingWrong(f"store: {_without_secrets(text)!r} {why}; allowed: {ALLOWED}")


def _without_secrets(text: str) -> str:
    """Replace whatever may be a password, in a text that need not be well-formed."""
    text, question, _ = text.partition("?")
    if question:
        text += "?..."
    head, at, tail = text.rpartition("@")
    if not at:
        return text
    scheme, separator, credentials = head.partition("://")
    if not separator:
        return f"...@{tail}"
    user, colon, _ = credentials.partition(":")
    return f"{scheme}://{user}{':...' if colon else ''}@{tail}"
