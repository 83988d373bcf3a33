"""The kinds of bindings: which URLs are theirs, which options they take, and how they are opened."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from schedule_grpc.bindings import platform
from schedule_grpc.bindings.broker_queue import BrokerOptions, BrokerQueue
from schedule_grpc.bindings.embeddings import Embeddings
from schedule_grpc.bindings.grpc_channel import GrpcChannel
from schedule_grpc.bindings.lazy import LazyBinding, Opener
from schedule_grpc.bindings.postgres_pool import CONNECTIONS, PostgresPool
from schedule_grpc.bindings.secret_source import SecretSource
from schedule_grpc.bindings.setting import Setting
from schedule_grpc.bindings.sqlite_file import SqliteFile
from schedule_grpc.bindings.table_queue import TableQueue
from schedule_grpc.bindings.user_object import FACTORY, find_factory, make
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.paths import SQLITE
from schedule_grpc.text.secrets import shown

OVER_REDIS = frozenset({"redis", "rediss", "sentinel"})

_TABLE = re.compile(r"table://(?P<binding>\w+)/(?P<table>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)", re.ASCII)
_HOST_AND_PORT = re.compile(r"grpcs?://(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}/?", re.ASCII)
_FORMS = (
    f"{SQLITE}PATH, postgresql://…, table://BINDING/TABLE, a queue such as redis://… or amqp://…, http(s)://…, "
    "grpc(s)://HOST:PORT, package.module:factory"
)
MOST_CONNECTIONS = 100
CREATE_TABLES = "create_tables"
"""The option by which a database that has none of the platform's tables gets them, or does not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What bindings are opened in."""

    names: frozenset[str]
    """Of all the bindings."""
    find: Callable[[str], LazyBinding]
    """Returns another binding."""
    clock: Clock
    creates: bool = True
    """Whether opening a binding may make tables."""


_Kind: TypeAlias = Callable[[Setting, Surroundings], Opener]
"""Checks a setting and returns what opens the binding."""


def opener_of(setting: Setting, surroundings: Surroundings) -> Opener:
    """Return what opens a binding.

    Raises:
        ConfigurationError: for a URL that no binding is opened from, for options that its kind does not have or that
            cannot be used, for an extra that is not installed. What stands behind it is tried at first use.
    """
    if ":memory:" in setting.url:
        raise setting.refused("a database in memory keeps nothing: name a file")
    return _kind_of(setting)(setting, surroundings)


def _kind_of(setting: Setting) -> _Kind:
    if setting.url.startswith(SQLITE) and setting.url != SQLITE:
        return _sqlite
    if FACTORY.fullmatch(setting.url):
        return _user_object
    try:
        return _KINDS[setting.scheme.partition("+")[0]]
    except KeyError:
        raise setting.refused(f"{shown(setting.url)!r} is none of {_FORMS}") from None


def _sqlite(setting: Setting, surroundings: Surroundings) -> Opener:
    _take(setting, CREATE_TABLES)
    creates = setting.flag(CREATE_TABLES, default=True) and surroundings.creates
    return partial(
        SqliteFile.connect,
        setting.name,
        Path(setting.url.removeprefix(SQLITE)),
        schema="".join(platform.tables().values()) if creates else "",
        indexes=platform.indexes() if creates else (),
        busy=_half(setting),
    )


def _postgres(setting: Setting, surroundings: Surroundings) -> Opener:
    _take(setting, "connections", CREATE_TABLES)
    _need(setting, "asyncpg", extra="postgres")
    connections = setting.whole_number("connections", CONNECTIONS, most=MOST_CONNECTIONS)
    creates = setting.flag(CREATE_TABLES, default=False) and surroundings.creates
    return partial(
        PostgresPool.connect,
        setting.name,
        setting.url,
        patience=_half(setting),
        connections=connections,
        tables=platform.tables() if creates else None,
        indexes=platform.indexes(),
    )


def _table(setting: Setting, surroundings: Surroundings) -> Opener:
    _take(setting)
    match = _TABLE.fullmatch(setting.url)
    if match is None:
        raise setting.refused(f"{shown(setting.url)!r} is not table://BINDING/TABLE")
    if match["binding"] not in surroundings.names - {setting.name}:
        raise setting.refused(f"there is no other binding {match['binding']} whose table {match['table']} could be")

    async def open_queue() -> TableQueue:
        database = surroundings.find(match["binding"])
        return TableQueue(setting.name, database, match["table"], clock=surroundings.clock)

    return open_queue


def _broker(setting: Setting, surroundings: Surroundings) -> Opener:
    _take(setting, "queue", "dedupe_for", "declare", "max_priority", "transport_options")
    _need(setting, "kombu", extra="queue")
    if setting.scheme.partition("+")[0] in OVER_REDIS:
        _need(setting, "redis", extra="queue")
    declare, transport = setting.flag("declare", default=True), setting.options.get("transport_options", {})
    if not isinstance(transport, dict):
        raise setting.refused("transport_options is not a table")
    most = setting.options.get("max_priority")
    options = BrokerOptions(
        queue=setting.text("queue") or BrokerOptions().queue,
        patience=_half(setting),
        dedupe_for=setting.duration("dedupe_for", timedelta(days=1)),
        declare=declare,
        max_priority=None if most is None else setting.whole_number("max_priority", 1, most=255),
        transport=transport,
    )

    async def open_queue() -> BrokerQueue:
        return BrokerQueue(setting.name, setting.url, options, clock=surroundings.clock)

    return open_queue


def _embeddings(setting: Setting, _: Surroundings) -> Opener:
    _take(setting, "key_env", "key_file", "model")
    if not urlsplit(setting.url).hostname:
        raise setting.refused(f"{shown(setting.url)!r} names no host")
    SecretSource(setting, "key")
    setting.text("model")
    return _calling(Embeddings, setting)


def _grpc(setting: Setting, _: Surroundings) -> Opener:
    certificates = ("ca_file", "cert_file", "key_file")
    _take(setting, "service", *(certificates if setting.scheme == "grpcs" else ()))
    if not _HOST_AND_PORT.fullmatch(setting.url):
        raise setting.refused(f"{shown(setting.url)!r} is not grpc://HOST:PORT or grpcs://HOST:PORT")
    for option in ("service", *certificates):
        setting.text(option)
    if ("cert_file" in setting.options) != ("key_file" in setting.options):
        raise setting.refused("cert_file and key_file go together")
    return _calling(GrpcChannel, setting)


def _user_object(setting: Setting, _: Surroundings) -> Opener:
    return partial(make, find_factory(setting), setting)


def _calling(kind: Callable[[Setting], Any], setting: Setting) -> Opener:
    async def open_it() -> Any:
        return kind(setting)

    return open_it


def _take(setting: Setting, *known: str) -> None:
    for option in setting.options:
        if option not in known:
            options = ", ".join(sorted((*known, "timeout")))
            raise setting.refused(f"has no option {option} (options: {options})")


def _need(setting: Setting, module: str, *, extra: str) -> None:
    try:
        installed = find_spec(module) is not None
    except ValueError:  # kombu has taken its own spec away, once it is imported
        installed = True
    if not installed:
        raise setting.refused(
            f"{setting.scheme}:// needs {module}, which is not installed: pip install 'schedule-grpc[{extra}]'"
        )


def _half(setting: Setting) -> float:
    """Seconds that a step within a call may take: its own error says more than the call's timeout."""
    return setting.timeout.total_seconds() / 2


_BROKERS = (
    *("SLMQ", "SQS", "amqp", "amqps", "azureservicebus", "azurestoragequeues", "confluentkafka", "consul", "etcd"),
    *("filesystem", "gcpubsub", "kafka", "librabbitmq", "mongodb", "pgmq", "pyamqp", "pyro", "qpid", "redis", "rediss"),
    *("sentinel", "slmq", "sqla", "sqlalchemy", "sqs", "zookeeper"),
)
"""kombu's, but for memory://, which keeps nothing."""

_KINDS: Mapping[str, _Kind] = dict.fromkeys(_BROKERS, _broker) | {
    "postgresql": _postgres,
    "postgres": _postgres,
    "table": _table,
    "http": _embeddings,
    "https": _embeddings,
    "grpc": _grpc,
    "grpcs": _grpc,
}
"""By the URL's scheme, or what stands before its ``+``."""
