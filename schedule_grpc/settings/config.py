"""Settings: flags, then the environment (``SCHEDULE_*``), then ``schedule.toml``, then defaults.

Unknown keys in the file are refused. Unknown variables in the environment are not: Kubernetes, for one, puts
``SCHEDULE_PORT`` and more into every container beside a service that is named ``schedule``.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
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
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from schedule_grpc.access.authenticator import Mode
from schedule_grpc.backup.settings import DEFAULT_ROOT
from schedule_grpc.domain.registration import Registration
from schedule_grpc.errors import ConfigurationError, InvalidArgument
from schedule_grpc.formats.task_file import registrations
from schedule_grpc.runtime import paths
from schedule_grpc.settings import sources as setting_sources
from schedule_grpc.settings.audit import AuditOptions
from schedule_grpc.settings.auth import AuthOptions
from schedule_grpc.settings.http import HttpOptions, UiOptions
from schedule_grpc.settings.http_request import HttpRequestOptions
from schedule_grpc.settings.listeners import ListenerOptions, Listeners, addresses
from schedule_grpc.settings.logs import LogOptions
from schedule_grpc.settings.metrics import MetricsOptions
from schedule_grpc.settings.otel import OtelOptions
from schedule_grpc.settings.values import (
    NAMES,
    NUMBER,
    TABLES,
    URLS,
    Binding,
    BindingName,
    duration,
    is_loopback,
    table,
)
from schedule_grpc.settings.workers import WorkersOptions
from schedule_grpc.text.secrets import check_hosts, shown

DEFAULT_FILE = Path("schedule.toml")
DEFAULT_BINDINGS: dict[str, str | dict[str, Any]] = {"DB": "sqlite:///platform.db", "QUEUE": "table://DB/queue_jobs"}
SQLITE = paths.SQLITE
POSTGRESQL = paths.POSTGRESQL
LONGEST_DRAIN = timedelta(hours=1)


class AlertSettings(BaseModel):
    """The receivers of alerts, and the file whose content signs them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    urls: Annotated[list[str], URLS] = Field(default_factory=list)
    secret_file: Path | None = None


class BackupOptions(BaseModel):
    """The place of backups, and the programs and options that make them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str = DEFAULT_ROOT
    allow_urls: Annotated[list[str], URLS] = Field(default_factory=list)
    pg_dump: str = "pg_dump"
    store_options: Annotated[dict[str, Any], table("store_options")] = Field(default_factory=dict)


class Settings(BaseSettings):
    """All settings of a server; made by `load`."""

    model_config = SettingsConfigDict(env_prefix="SCHEDULE_", env_nested_delimiter="__", extra="forbid", frozen=True)

    database: str = Field(
        default="sqlite:///schedule.db",
        description="Where tasks and history are kept: `sqlite:///PATH` (four slashes are absolute) or "
        "`postgresql://USER@HOST/DATABASE`",
    )
    grpc: Listeners = Field(
        default=(ListenerOptions(address="127.0.0.1:50051"),),
        description="Where gRPC listens: HOST:PORT (port 0 takes a free one), `unix:PATH`, a table of `address`, "
        "`tls_cert`, `tls_key`, `client_ca`, `socket_mode`, `grants` (of a socket's callers), "
        "`serves` (`health`: nothing else), or a list of these",
    )
    http: Annotated[HttpOptions, table("http")] = Field(
        default_factory=HttpOptions,
        description="The HTTP interface: its listeners as those of gRPC, or a table of `address` (the listeners; `off` "
        "for none), `allowed_hosts` (names "
        "under which it is reached), `allowed_origins` (sites whose pages may ask), `path_prefix` (below which a "
        "proxy hands paths on), `changes` (false: nothing can be changed by HTTP)",
    )
    ui: Annotated[UiOptions, table("ui")] = Field(
        default_factory=UiOptions,
        description="The dashboard below /ui: `enabled`, `title` (of this server, beside the product's name), `colour` "
        "(of the line above each page: `blue`, `green`, `amber`, `red`, `violet`), `frame_ancestors` (sites that may "
        "show it in a frame)",
    )
    handlers: Annotated[list[str], NAMES] = Field(
        default_factory=list, description="Modules whose handlers are offered"
    )
    concurrency: Annotated[int, NUMBER] = Field(default=100, ge=1, le=10_000, description="Attempts that run at once")
    drain_timeout: Annotated[timedelta, BeforeValidator(duration)] = Field(
        default=timedelta(seconds=30),
        ge=timedelta(0),
        le=LONGEST_DRAIN,
        description="How long a stopping server lets running work end",
    )
    drain_delay: Annotated[timedelta, BeforeValidator(duration)] = Field(
        default=timedelta(0),
        ge=timedelta(0),
        le=LONGEST_DRAIN,
        description="How long a server that was asked to stop goes on as before while its health says that it stops; "
        "for load balancers",
    )
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto is console on a terminal, else json"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged"
    )
    event_loop: Literal["auto", "asyncio", "uvloop"] = Field(
        default="auto",
        description="The server's event loop; auto is uvloop on Linux where it is installed, else asyncio's",
    )
    engine: bool = Field(
        default=True,
        description="Whether this server fires and runs tasks; on PostgreSQL others can do that for it",
    )
    api: bool = Field(default=True, description="Whether this server answers calls; without, only health and metrics")
    insecure_bind: bool = Field(
        default=False, description="Allow an address that others can reach although callers prove nothing there"
    )
    auth: Annotated[AuthOptions, table("auth")] = Field(
        default_factory=AuthOptions,
        description="`mode`: `off`, `permissive` or `required`; unset is `required` once a caller can prove who it is. "
        "`anonymous_grants` while it is permissive, `public` (`reflection`, `docs`), `behind_tls_proxy`, "
        "`bootstrap_key_file` (a new file for the first key), `certificates`, `denied`, `jwt`",
    )
    workers: Annotated[WorkersOptions, table("workers")] = Field(
        default_factory=WorkersOptions,
        description="Workers: `allow_builtin` (whether they may offer handlers that are built into the servers)",
    )
    audit: Annotated[AuditOptions, table("audit")] = Field(
        default_factory=AuditOptions,
        description="The audit log: `retention` of its rows, `reads` (whether reads have rows, too), `log` (whether "
        "each row is a line `audit.recorded` of the log)",
    )
    logs: Annotated[LogOptions, table("logs")] = Field(
        default_factory=LogOptions,
        description="What executions keep of their handlers' lines: `keep` (`all`, `failed`: of attempts that did not "
        "succeed, `none`), `max_age` of a line",
    )
    metrics: Annotated[MetricsOptions, table("metrics")] = Field(
        default_factory=MetricsOptions,
        description="How many tasks, handlers and namespaces have series of their own in `/metrics`; all others share "
        "one: `max_tasks`, `max_handlers`, `max_namespaces`",
    )
    bindings: Annotated[dict[BindingName, Binding], table("bindings")] = Field(
        default_factory=lambda: dict(DEFAULT_BINDINGS),
        description="For ctx.env.NAME: a URL, or a table of `url`, `timeout`, options; these stay unless set to `''`",
    )
    backup: Annotated[BackupOptions, table("backup")] = Field(
        default_factory=BackupOptions,
        description="`root` of backups, a folder or an obstore URL; `allow_urls`, `pg_dump`, `store_options`",
    )
    http_request: Annotated[HttpRequestOptions, table("http_request")] = Field(
        default_factory=HttpRequestOptions,
        description="Of the handler http-request: `allow_hosts`, `allow_private_hosts`, `namespaces` (the same for one "
        "each), `secrets` (each with `file`, `hosts`, `namespaces`), `secrets_dir`, `ca_file`",
    )

    handler_concurrency: Annotated[dict[str, Annotated[int, NUMBER, Field(ge=1)]], table("handler_concurrency")] = (
        Field(
            default_factory=dict, description="Attempts that run at once, by handler's name; over what the handler says"
        )
    )
    tasks: Annotated[list[dict[str, Any]], TABLES] = Field(
        default_factory=list, description="Tasks registered at start, each a table [[tasks]]; see the README"
    )

    alerts: Annotated[AlertSettings, table("alerts")] = Field(
        default_factory=AlertSettings,
        description="`urls` of webhooks (others need the extra `alerts`), and `secret_file`, whose content signs them",
    )

    otel: Annotated[OtelOptions, table("otel")] = Field(
        default_factory=OtelOptions,
        description="Traces and metrics by OTLP: `endpoint`, `protocol`, `headers`, `sampling`; docs/telemetry.md",
    )

    @field_validator("database")
    @classmethod
    def _file_or_server(cls, url: str) -> str:
        if url.startswith(POSTGRESQL):
            check_hosts(url)
            return url
        if not url.startswith(SQLITE) or url == SQLITE:
            kind = shown(url).partition("://")[0]
            raise ValueError(f"{kind!r} is neither {SQLITE}PATH nor postgresql://...")
        if ":memory:" in url:
            raise ValueError("a database in memory keeps nothing: name a file")
        return url

    _tasks_file: Path | None = PrivateAttr(default=None)
    _registrations: tuple[Registration, ...] | None = PrivateAttr(default=None)

    @field_validator("grpc")
    @classmethod
    def _listens(cls, listeners: tuple[ListenerOptions, ...]) -> tuple[ListenerOptions, ...]:
        if not listeners:
            raise ValueError("names no address")
        return listeners

    @field_validator("bindings")
    @classmethod
    def _with_defaults(cls, bindings: dict[str, str | dict[str, Any]]) -> dict[str, str | dict[str, Any]]:
        return {name: url for name, url in (DEFAULT_BINDINGS | bindings).items() if url}

    @model_validator(mode="after")
    def _does_something(self) -> "Settings":
        if not self.engine and not self.api:
            raise ValueError("engine and api are both off: this server would do nothing")
        if not self.engine and not self.database.startswith(POSTGRESQL):
            raise ValueError("engine: only on PostgreSQL can another server do the work; this one holds its file alone")
        return self

    @model_validator(mode="after")
    def _reachable_only_on_purpose(self) -> "Settings":
        for _, listener in self._reachable():
            if self.auth.mode is Mode.PERMISSIVE:
                raise ValueError(
                    f"auth.mode: permissive is for addresses of this machine, and {listener} can be reached by others"
                )
        if not self.insecure_bind and self.open_addresses:
            raise ValueError(
                f"{self.open_addresses[0]} can be reached by others, so callers must prove who they are, over TLS: set "
                "auth.mode to required and tls_cert and tls_key (or auth.behind_tls_proxy), or client_ca; or set "
                "insecure_bind (--insecure-bind) if it is meant to be open"
            )
        return self

    @property
    def open_addresses(self) -> tuple[str, ...]:
        """The addresses that others can reach although callers prove nothing there, or show keys without TLS.

        Each as ``KEY: ADDRESS``; only with ``insecure_bind`` there are any.
        """
        return tuple(
            f"{key}: {listener}" for key, listener in self._reachable() if not self._knows_callers_of(listener)
        )

    def _reachable(self) -> Iterator[tuple[str, ListenerOptions]]:
        """Yield the listeners that others than this machine's users can reach, with their settings' keys."""
        for key, listeners in (("grpc", self.grpc), ("http", self.http.address)):
            yield from (
                (key, each) for each in listeners if not (each.is_unix or each.health_only or _is_loopback(each))
            )

    def _knows_callers_of(self, listener: ListenerOptions) -> bool:
        encrypted = listener.tls_cert is not None or self.auth.behind_tls_proxy
        return listener.client_ca is not None or (self.auth.is_required and encrypted)

    def registrations(self) -> tuple[Registration, ...]:
        """Return the registrations that ``tasks`` declares.

        Raises:
            WrongSettings: naming the file, and every place and reason.
        """
        if self._registrations is None:
            try:
                self._registrations = registrations(self.tasks, place="tasks")
            except InvalidArgument as error:
                raise WrongSettings(f"{self.tasks_from}: {violation}" for violation in error.violations) from None
        return self._registrations

    def declared_in(self, file: Path) -> None:
        """Note the file that declares ``tasks``, for messages."""
        self._tasks_file = file

    @property
    def tasks_from(self) -> str:
        """The file or variable that declares ``tasks``, for messages."""
        return str(self._tasks_file or "SCHEDULE_TASKS")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (pydantic's signature)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """All sources arrive together, merged by `load`."""
        return (init_settings,)


class WrongSettings(ConfigurationError):
    """Invalid settings; ``complaints`` has a line for each."""

    def __init__(self, complaints: Iterable[str]) -> None:
        self.complaints = tuple(complaints)
        super().__init__("; ".join(self.complaints))


@dataclass(frozen=True, slots=True)
class Key:
    """One line of the table of all settings."""

    name: str
    default: str
    meaning: str


def load(flags: Mapping[str, Any], *, file: Path | None = None) -> Settings:
    """Return the settings of a server; relative paths are resolved in the present working directory.

    Args:
        flags: The flags of the command line; None is a flag that was not given.
        file: The TOML file; None takes ``schedule.toml`` if there is one.

    Raises:
        WrongSettings: naming every key and reason.
        ConfigurationError: for a file that cannot be read.
    """
    environment = setting_sources.from_environment(Settings)
    sources = [environment, setting_sources.from_flags(flags)]
    if file is not None or DEFAULT_FILE.exists():
        sources.insert(0, setting_sources.from_file(file or DEFAULT_FILE))
    try:
        settings = Settings(**setting_sources.merged(sources))
    except ValidationError as error:
        raise WrongSettings(setting_sources.complaints(error, Settings, sources)) from None
    settings = _with_absolute_paths(settings)
    if not environment.has(("tasks",)):
        settings.declared_in(file or DEFAULT_FILE)
    settings.registrations()  # errors in them are raised now, not after the server has begun to start
    return settings


def keys() -> Iterator[Key]:
    """Return the table of all settings."""
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        shown = "" if default is PydanticUndefined else addresses(default) if name == "grpc" else str(default)
        yield Key(name, shown, field.description or "")


def _with_absolute_paths(settings: Settings) -> Settings:
    """Return settings with absolute paths, which mean the same files in any working directory."""
    backup, alerts = settings.backup, settings.alerts
    return settings.model_copy(
        update={
            "database": paths.absolute_url(settings.database),
            "grpc": tuple(each.absolute() for each in settings.grpc),
            "http": settings.http.model_copy(
                update={"address": tuple(each.absolute() for each in settings.http.address)}
            ),
            "bindings": {name: paths.absolute_binding(binding) for name, binding in settings.bindings.items()},
            "backup": backup.model_copy(
                update={
                    "root": paths.absolute_place(backup.root),
                    "pg_dump": paths.absolute_program(backup.pg_dump),
                }
            ),
            "http_request": settings.http_request.absolute(),
            "alerts": alerts.model_copy(update={"secret_file": _absolute(alerts.secret_file)}),
            "auth": settings.auth.absolute(),
        }
    )


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else Path.cwd() / path


def _is_loopback(listener: ListenerOptions) -> bool:
    return is_loopback(listener.address.rpartition(":")[0].strip("[]"))
