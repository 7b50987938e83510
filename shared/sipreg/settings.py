"""Every setting of every role: one file, one environment, one set of names; read once, then frozen.

A setting stands in the TOML file as ``[section] name = value``, in the environment as ``SIPREG_<SECTION>__<NAME>``, and some of them
on the command line; the later of these wins. A wrong one stops the start with a line that names it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from sipreg.errors import BadMessage, SettingWrong
from sipreg.message.uri import canonical_host, parse_uri
from sipreg.registrar.parameters import Matching, Parameters, TooBrief
from sipreg.store.address import StoreAddress, parse_store_address

TRANSPORTS = ("udp", "tcp")
"""What an edge can listen on so far."""

_MAX_PORT = 65535


class ListenAddress(BaseModel):
    """Where a SIP listener binds, written as ``udp:127.0.0.1:5060`` or ``tcp:[::1]:5060``."""

    model_config = ConfigDict(frozen=True)

    transport: str
    host: str
    """IPv6 without its brackets."""
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}:{host}:{self.port}"

    @property
    def family(self) -> socket.AddressFamily:
        """Address family of the socket."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


class HttpAddress(BaseModel):
    """Where an HTTP listener binds, written as ``127.0.0.1:8080``."""

    model_config = ConfigDict(frozen=True)

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def family(self) -> socket.AddressFamily:
        """Address family of the socket."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback


def _host_port(text: str) -> tuple[str, int]:
    host, colon, digits = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not (digits.isascii() and digits.isdigit()) or int(digits) > _MAX_PORT:
        raise ValueError("must end in :PORT, 0 to 65535")
    try:
        return str(ipaddress.ip_address(host)), int(digits)
    except ValueError as error:
        raise ValueError("the host must be an IP address, IPv6 in brackets") from error


def _listen(value: object) -> object:
    if not isinstance(value, str):
        return value
    transport, _, rest = value.partition(":")
    if transport.lower() not in TRANSPORTS:
        raise ValueError(f"must be TRANSPORT:HOST:PORT with one of {', '.join(TRANSPORTS)}")
    host, port = _host_port(rest)
    return {"transport": transport.lower(), "host": host, "port": port}


def _http(value: object) -> object:
    if not isinstance(value, str):
        return value
    host, port = _host_port(value)
    return {"host": host, "port": port}


def _listed(value: object) -> object:
    """Take a list, or a text with commas."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]
Listen = Annotated[ListenAddress, BeforeValidator(_listen)]
Http = Annotated[HttpAddress, BeforeValidator(_http)]


class Section(BaseModel):
    """What all sections have in common: frozen, and no name that we do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class RegistrarSection(Section):
    """Parameters of the specification, under its names, and what the registrar is responsible for."""

    domains: Names = ()
    """Domains whose addresses of record are registered here; their own names, not those of the edges."""
    table: str = Field("location", pattern=r"^[A-Za-z0-9_\-]{1,32}$")
    """Location table; separate tables know nothing of each other."""
    default_expires: int = Field(3600, ge=1)
    """Seconds granted where nobody asks for an interval."""
    min_expires: int = Field(60, ge=0)
    """Least seconds granted; 0 for no limit."""
    max_expires: int = Field(0, ge=0)
    """Most seconds granted; 0 for no limit."""
    too_brief: TooBrief = TooBrief.RAISE
    """What becomes of a shorter interval than `min_expires`: `raise` it, or `refuse` it with 423."""
    default_q: int = Field(-1, ge=-1, le=1000)
    """q in thousandths of a contact that names none; -1 leaves it unset."""
    realm_prefix: str = ""
    """Taken off the front of the host of an address of record, such as `sip.`."""
    case_sensitive: bool = True
    """Whether user parts know upper and lower case."""
    use_domain: bool = True
    """Whether the domain is part of an address of record."""
    received_param: str = Field("received", pattern=r"^[A-Za-z0-9\-]{1,32}$")
    """Parameter of the 200's contacts that names the received address."""
    max_contacts: int = Field(0, ge=0)
    """Contacts that one address of record may have; 0 for no limit."""
    force_registration: bool = False
    """Above `max_contacts`, remove the least recently refreshed contact instead of refusing."""
    max_username_len: int = Field(64, ge=1, le=1024)
    """Characters of the user part of an address of record."""
    max_domain_len: int = Field(64, ge=1, le=1024)
    """Characters of its host part."""
    max_aor_len: int = Field(256, ge=1, le=2048)
    """Characters of both together."""
    max_contact_len: int = Field(255, ge=0, le=8192)
    """Characters of a Contact URI; 0 for no limit."""
    retry_after: int = Field(0, ge=0, le=86400)
    """Seconds in the Retry-After of 5xx answers; 0 leaves it out, save where the store is unavailable."""
    matching_mode: str = "contact"
    """How a contact finds its binding: `contact`, `contact-callid`, or `<name>` to compare one URI parameter."""
    allow_dup_cseq: bool = True
    """Whether a REGISTER with the CSeq of the one before counts as a refresh."""
    cseq_delay: int = Field(20, ge=0, le=3600)
    """Where it does not: seconds for which it counts as a retransmission."""

    @field_validator("domains")
    @classmethod
    def _domains(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_domain(name) for name in value)

    @field_validator("matching_mode")
    @classmethod
    def _matching(cls, value: str) -> str:
        if value not in ("contact", "contact-callid") and not (value[:1] == "<" and value[-1:] == ">" and len(value) > 2):
            raise ValueError("must be contact, contact-callid or <name of a URI parameter>")
        return value

    @model_validator(mode="after")
    def _intervals(self) -> RegistrarSection:
        if self.max_expires and self.max_expires < max(self.min_expires, 1):
            raise ValueError(f"registrar.max_expires = {self.max_expires}: must be 0, or at least min_expires, which is {self.min_expires}")
        return self

    def parameters(self) -> Parameters:
        """Return them as the registrar takes them."""
        mode = self.matching_mode
        matching = Matching(call_id=True) if mode == "contact-callid" else Matching(param=mode[1:-1].lower() if mode[0] == "<" else "")
        names = set(Parameters.__dataclass_fields__) - {"matching"}
        return Parameters(matching=matching, **{name: getattr(self, name) for name in names})


class AuthSection(Section):
    """Who may register."""

    mode: Literal["digest", "off"] = "digest"
    """`off` believes whoever asks."""
    algorithms: Names = ("SHA-256", "MD5")
    """Offered in this order."""
    realm: str = Field("", max_length=64)
    """One realm for all domains; empty makes each domain its own."""
    nonce_lifetime_s: int = Field(300, ge=5, le=86400)
    """Seconds for which a nonce is accepted."""
    cache_s: int = Field(1800, ge=0, le=86400)
    """Seconds for which an edge may use its copy of a subscriber's credentials; changes are told at once all the same."""

    @field_validator("realm")
    @classmethod
    def _realm(cls, value: str) -> str:
        # HA1 values are made with the realm in lower case; a challenge in another would never be answered rightly.
        return value.lower()

    @field_validator("algorithms")
    @classmethod
    def _algorithms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(name.upper() for name in value)
        if not names or len(set(names)) != len(names) or not set(names) <= {"MD5", "SHA-256"}:
            raise ValueError("must list MD5 and SHA-256, or one of them, once each")
        return names


class StoreSection(Section):
    """Where bindings and credentials are kept."""

    url: str = "embedded"
    """`embedded[:DIR]`, `memory`, `redis://...`, `rediss://...`, `redis+sentinel://...`, `redis+cluster://...` or `unix://PATH`."""
    prefix: str = Field("sr", pattern=r"^[A-Za-z0-9_\-]{1,32}$")
    """What every key begins with."""
    buckets: int = Field(256, ge=1, le=16384)
    """Parts that the addresses of record are divided into; fixed when a store is first used."""
    timeout_ms: int = Field(1000, ge=50, le=30000)
    """Milliseconds after which an answer is no longer waited for."""
    cache_mib: int = Field(256, ge=1, le=16384)
    """Mebibytes of records that each worker remembers, so that a refresh takes one round trip; about 1,400 addresses of record each."""
    max_in_flight: int = Field(4096, ge=16, le=1_000_000)
    """Commands that one worker may have under way; above it requests are answered 503 at once."""

    quiet_events: Names = ()
    """Events that nobody listens for, such as `E_UL_CONTACT_UPDATE`: they are not published."""

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        try:
            parse_store_address(value)
        except SettingWrong as error:
            raise ValueError(str(error)) from error
        return value

    @property
    def address(self) -> StoreAddress:
        """The URL, parsed."""
        return parse_store_address(self.url)


class EdgeSection(Section):
    """The SIP side."""

    listen: Annotated[tuple[Listen, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Listeners as `TRANSPORT:HOST:PORT`."""
    http: Http | None = None
    """`HOST:PORT` of /livez, /readyz and /metrics; empty for none."""
    workers: int = Field(1, ge=1, le=256)
    """Processes that share the listeners."""
    node_id: str = Field(default_factory=socket.gethostname, pattern=r"^[A-Za-z0-9._\-]{1,64}$")
    """Name of this node among its fellows."""
    drain_s: float = Field(10, ge=0, le=3600)
    """Seconds that requests under way may take after a stop was asked for."""
    max_connections: int = Field(10_000, ge=1, le=1_000_000)
    """Connections of one worker; more are closed at once."""
    idle_s: float = Field(3900, ge=10, le=86400)
    """Seconds after which a connection without traffic is closed."""
    transactions_mib: int = Field(128, ge=1, le=16384)
    """Mebibytes of answers that each worker keeps to send again, for at most 32 seconds."""


class ApiSection(Section):
    """The HTTP side."""

    http: Http = HttpAddress(host="127.0.0.1", port=8080)
    """`HOST:PORT` of the API."""
    token: str = Field("", repr=False)
    """Bearer token that callers must show; needed unless the API is bound to loopback."""

    @model_validator(mode="after")
    def _guarded(self) -> ApiSection:
        if not self.token and not self.http.is_loopback:
            raise ValueError(f"api.http = '{self.http}': must be a loopback address unless api.token is set")
        return self


class LogSection(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important line that is written."""


class Settings(BaseSettings):
    """All sections."""

    model_config = SettingsConfigDict(env_prefix="SIPREG_", env_nested_delimiter="__", frozen=True, extra="forbid")

    registrar: RegistrarSection = RegistrarSection()
    auth: AuthSection = AuthSection()
    store: StoreSection = StoreSection()
    edge: EdgeSection = EdgeSection()
    api: ApiSection = ApiSection()
    log: LogSection = LogSection()


def _domain(name: str) -> str:
    try:
        uri = parse_uri(f"sip:{name}")
        return canonical_host(name) if getattr(uri, "host", None) == name else _not_a_domain()
    except BadMessage:
        return _not_a_domain()


def _not_a_domain() -> str:
    raise ValueError("must be host names or addresses, IPv6 in brackets, without a port")


Values = Mapping[str, Mapping[str, Any]]
"""Settings by section and name."""


def load_settings(config: Path | None, overrides: Values, defaults: Values) -> Settings:
    """Read the settings.

    Args:
        config: TOML file, None for none.
        overrides: what the command line says; it wins over all else.
        defaults: what the role takes for what nobody sets.

    Raises:
        SettingWrong: a setting is wrong, unknown or cannot be read.
    """
    if config is not None and not config.is_file():
        raise SettingWrong(f"--config {config}: no such file")

    class Sourced(Settings):
        model_config = SettingsConfigDict(toml_file=config)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            last = InitSettingsSource(settings_cls, {section: dict(values) for section, values in defaults.items()})
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls), last

    try:
        given: dict[str, Any] = {section: dict(values) for section, values in overrides.items() if values}
        read = Sourced(**given)
        return Settings.model_construct(**{name: getattr(read, name) for name in Settings.model_fields})
    except ValidationError as error:
        raise SettingWrong("\n".join(_line(dict(item)) for item in error.errors())) from error
    except SettingsError as error:
        raise SettingWrong(str(error)) from error
    except ValueError as error:
        raise SettingWrong(f"--config {config}: not TOML: {error}") from error
    except OSError as error:
        raise SettingWrong(f"--config {config}: {error.strerror}") from error


def _line(item: dict[str, Any]) -> str:
    """Say what is wrong with one setting: its name, its value, what is allowed."""
    name = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"{name}: there is no such setting"
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "value_error" and len(item["loc"]) == 1:
        # Of several settings of a section: the text names them itself.
        return message
    shown = "" if isinstance(item["input"], dict | BaseModel) or name.endswith(("token", "url")) else f" = {item['input']!r}"
    return f"{name}{shown}: {message}"
