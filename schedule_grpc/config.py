"""Settings: flags, then the environment (``SCHEDULE_*``), then ``schedule.toml``, then defaults.

Unknown keys in the file are refused. Unknown variables in the environment are not: Kubernetes, for one, puts
``SCHEDULE_PORT`` and more into every container beside a service that is named ``schedule``.
"""

import ipaddress
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from schedule_grpc import durations
from schedule_grpc.backup.settings import DEFAULT_ROOT
from schedule_grpc.errors import ConfigurationError, InvalidArgument
from schedule_grpc.registration import Registration
from schedule_grpc.task_file import registrations

DEFAULT_FILE = Path("schedule.toml")
DEFAULT_BINDINGS: dict[str, str | dict[str, Any]] = {"DB": "sqlite:///platform.db", "QUEUE": "table://DB/queue_jobs"}
SQLITE = "sqlite:///"
POSTGRESQL = ("postgresql://", "postgres://")
OFF = "off"
"""Instead of an address: there is no such interface."""
_PUT_TOGETHER = ("bindings", "http", "backup", "http_request", "alerts", "handler_concurrency")
LONGEST_DRAIN = timedelta(hours=1)


def _duration(value: object) -> object:
    """Read ``"30"``, ``"30s"``, ``"500ms"``, ``"2m"``, ``"1h"``; what is not text is left for pydantic to judge."""
    return durations.read(value) if isinstance(value, str) else value


def _names(value: object) -> object:
    """Read ``a, b`` as the list of its parts."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _http(value: object) -> object:
    """Read the address alone as the table that names it."""
    return {"address": value} if isinstance(value, str) else value


def _checked_address(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 (the last port)
        raise ValueError(f"{address!r} is not HOST:PORT")
    return address


def _checked_http_address(address: str) -> str:
    return address if address == OFF else _checked_address(address)


def _checked_origin(origin: str) -> str:
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}":
        raise ValueError(f"{origin!r} is not an origin such as https://ops.example")
    return origin.lower()


class HttpOptions(BaseModel):
    """The HTTP interface, and who may ask it beside this machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: Annotated[str, AfterValidator(_checked_http_address)] = "127.0.0.1:8787"
    allowed_hosts: Annotated[list[str], BeforeValidator(_names)] = Field(default_factory=list)
    allowed_origins: Annotated[list[Annotated[str, AfterValidator(_checked_origin)]], BeforeValidator(_names)] = Field(
        default_factory=list
    )

    def __str__(self) -> str:
        return self.address


class AlertSettings(BaseModel):
    """Who is told when something is wrong for a while."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    urls: list[str] = Field(default_factory=list)
    secret_file: Path | None = None


class BackupOptions(BaseModel):
    """Where backups go."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str = DEFAULT_ROOT
    allow_urls: list[str] = Field(default_factory=list)
    pg_dump: str = "pg_dump"
    store_options: dict[str, Any] = Field(default_factory=dict)


class HttpRequestOptions(BaseModel):
    """Where the handler http-request may send to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow_hosts: list[str] = Field(default_factory=list)
    allow_private_hosts: list[str] = Field(default_factory=list)
    secrets_dir: Path | None = None
    ca_file: Path | None = None


class Settings(BaseSettings):
    """Everything that can be set. Made by `load`."""

    model_config = SettingsConfigDict(env_prefix="SCHEDULE_", env_nested_delimiter="__", extra="forbid", frozen=True)

    database: str = Field(
        default="sqlite:///schedule.db",
        description="Where tasks and history are kept: `sqlite:///PATH` (four slashes are absolute) or "
        "`postgresql://USER@HOST/DATABASE`",
    )
    grpc: str = Field(
        default="127.0.0.1:50051", description="Address of the gRPC interface, HOST:PORT; port 0 takes a free one"
    )
    http: Annotated[HttpOptions, NoDecode, BeforeValidator(_http)] = Field(
        default_factory=HttpOptions,
        description="The HTTP interface: its address, or a table of `address` (`off` for none), `allowed_hosts` (names "
        "under which it is reached), `allowed_origins` (sites whose pages may ask)",
    )
    handlers: Annotated[list[str], NoDecode, BeforeValidator(_names)] = Field(
        default_factory=list, description="Modules whose handlers are offered"
    )
    concurrency: int = Field(default=100, ge=1, le=10_000, description="Attempts that run at once")
    drain_timeout: Annotated[timedelta, BeforeValidator(_duration)] = Field(
        default=timedelta(seconds=30),
        ge=timedelta(0),
        le=LONGEST_DRAIN,
        description="How long a stopping server lets running work end",
    )
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto is console on a terminal, else json"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged"
    )
    engine: bool = Field(
        default=True,
        description="Whether this server fires and runs tasks; on PostgreSQL others can do that for it",
    )
    api: bool = Field(default=True, description="Whether this server answers calls; without, only health and metrics")
    insecure_bind: bool = Field(
        default=False, description="Allow an address that others can reach, without TLS and keys"
    )
    bindings: dict[str, str | dict[str, Any]] = Field(
        default_factory=lambda: dict(DEFAULT_BINDINGS),
        description="For ctx.env.NAME: a URL, or a table of `url`, `timeout`, options; these stay unless set to `''`",
    )
    backup: BackupOptions = Field(
        default_factory=BackupOptions,
        description="`root` of backups, a folder or an obstore URL; `allow_urls`, `pg_dump`, `store_options`",
    )
    http_request: HttpRequestOptions = Field(
        default_factory=HttpRequestOptions,
        description="`allow_hosts`, `allow_private_hosts`, `secrets_dir`, `ca_file` of the handler http-request",
    )

    handler_concurrency: dict[str, int] = Field(
        default_factory=dict, description="Attempts that run at once, by handler's name; over what the handler says"
    )
    tasks: list[dict[str, Any]] = Field(
        default_factory=list, description="Tasks registered at start, each a table [[tasks]]; see the README"
    )

    alerts: AlertSettings = Field(
        default_factory=AlertSettings,
        description="`urls` of webhooks (others need the extra `alerts`), and `secret_file`, whose content signs them",
    )

    @field_validator("database")
    @classmethod
    def _file_or_server(cls, url: str) -> str:
        if url.startswith(POSTGRESQL):
            return url
        if not url.startswith(SQLITE) or url == SQLITE:
            kind = url.partition("://")[0]  # what follows may hold a password
            raise ValueError(f"{kind!r} is neither {SQLITE}PATH nor postgresql://...")
        if ":memory:" in url:
            raise ValueError("a database in memory keeps nothing: name a file")
        return url

    _tasks_file: Path | None = PrivateAttr(default=None)

    @field_validator("grpc")
    @classmethod
    def _address(cls, address: str) -> str:
        return _checked_address(address)

    @field_validator("handler_concurrency")
    @classmethod
    def _at_least_one(cls, limits: dict[str, int]) -> dict[str, int]:
        for name, limit in limits.items():
            if limit < 1:
                raise ValueError(f"{name} cannot run {limit} attempts at once: at least 1")
        return limits

    @field_validator("bindings")
    @classmethod
    def _binding_names(cls, bindings: dict[str, str | dict[str, Any]]) -> dict[str, str | dict[str, Any]]:
        for name in bindings:
            if not name.isidentifier():
                raise ValueError(f"{name!r} is not a name such as DB")
        # The environment's names arrive in lower case; handlers write ctx.env.DB.
        told = {name.upper(): url for name, url in bindings.items()}
        return {name: url for name, url in (DEFAULT_BINDINGS | told).items() if url}

    @model_validator(mode="after")
    def _does_something(self) -> "Settings":
        if not self.engine and not self.api:
            raise ValueError("engine and api are both off: this server would do nothing")
        if not self.engine and not self.database.startswith(POSTGRESQL):
            raise ValueError("engine: only on PostgreSQL can another server do the work; this one holds its file alone")
        return self

    @model_validator(mode="after")
    def _reachable_only_on_purpose(self) -> "Settings":
        for key, address in (("grpc", self.grpc), ("http", self.http.address)):
            if not self.insecure_bind and address != OFF and not _is_loopback(address.rpartition(":")[0]):
                raise ValueError(
                    f"{key}: {address} can be reached by others, without TLS and keys; "
                    "set insecure_bind (--insecure-bind) if that is meant"
                )
        return self

    def registrations(self) -> tuple[Registration, ...]:
        """Return what ``tasks`` asks for.

        Raises:
            ConfigurationError: naming the file, and every place and reason.
        """
        try:
            return registrations(self.tasks, place="tasks")
        except InvalidArgument as error:
            raise ConfigurationError(f"{self.tasks_from}: {error.message}") from None

    def declared_in(self, file: Path) -> None:
        """Note the file that declares ``tasks``, for messages."""
        self._tasks_file = file

    @property
    def tasks_from(self) -> str:
        """Where ``tasks`` are declared, as messages name it."""
        return str(self._tasks_file or "SCHEDULE_TASKS")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (pydantic's signature)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags and the file arrive together, merged by `load`, around the environment."""
        return (init_settings, env_settings)


@dataclass(frozen=True, slots=True)
class Key:
    """One line of the table of all settings."""

    name: str
    default: str
    meaning: str


def load(flags: Mapping[str, Any], *, file: Path | None = None) -> Settings:
    """Return the settings of a server.

    Args:
        flags: What the command line says; None values say nothing.
        file: The TOML file; None takes ``schedule.toml`` if there is one.

    Raises:
        ConfigurationError: naming key and reason.
    """
    said = {key: value for key, value in flags.items() if value is not None}
    told = _read(file)
    try:
        from_environment = Settings().model_dump(exclude_unset=True)
        _refuse_unknown(told, file or DEFAULT_FILE)
        settings = Settings(**_merged(told, from_environment, said))
    except ValidationError as error:
        raise ConfigurationError("; ".join(_complaints(error))) from None
    if "tasks" not in from_environment:
        settings.declared_in(file or DEFAULT_FILE)
    settings.registrations()  # what is wrong with them is said now, not after the server has begun to start
    return settings


def keys() -> Iterator[Key]:
    """Return the table of all settings."""
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        shown = "" if default is PydanticUndefined else str(default)
        yield Key(name, shown, field.description or "")


def _merged(*sources: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all sources say, a later one over an earlier; tables of which each says a part are put together."""
    merged: dict[str, Any] = {}
    for source in sources:
        for key, value in source.items():
            merged[key] = _put_together(merged.get(key), value) if key in _PUT_TOGETHER else value
    return merged


def _put_together(present: object, new: object) -> object:
    present, new = _http(present), _http(new)
    return {**present, **new} if isinstance(present, dict) and isinstance(new, dict) else new


def _read(file: Path | None) -> dict[str, Any]:
    path = file or DEFAULT_FILE
    if file is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _refuse_unknown(told: Mapping[str, Any], file: Path) -> None:
    unknown = sorted(told.keys() - Settings.model_fields.keys())
    if unknown:
        known = ", ".join(sorted(Settings.model_fields))
        raise ConfigurationError(f"{file}: unknown key {unknown[0]} (keys: {known})")


def _complaints(error: ValidationError) -> Iterator[str]:
    for complaint in error.errors(include_url=False):
        place = ".".join(str(part) for part in complaint["loc"])
        reason = complaint["msg"].removeprefix("Value error, ")
        yield f"{place}: {reason}" if place else reason


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
