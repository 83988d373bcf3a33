"""The spans of calls of bindings, by OpenTelemetry's conventions.

https://opentelemetry.io/docs/specs/semconv/db/database-spans/, .../messaging/messaging-spans/, .../gen-ai/. They have
no statement's text, no parameter and no payload: what handlers write into their SQL may be anybody's data.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from schedule_grpc.bindings.setting import Setting
from schedule_grpc.runtime.paths import POSTGRESQL, SQLITE
from schedule_grpc.tracing import Kind

_FIRST_WORD = re.compile(r"\s*(\w+)")
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE|TABLE)\s+(?:ONLY\s+)?([A-Za-z_][\w.]{0,62})", re.IGNORECASE)
_LONGEST_LOOK = 2000
"""Characters of a statement that are looked at for its table."""
_STATEMENTS = frozenset({"fetch", "execute"})
_MESSAGING = {"amqp": "rabbitmq", "amqps": "rabbitmq", "pyamqp": "rabbitmq", "SQS": "aws_sqs", "sqs": "aws_sqs"}
"""Systems by their names in the conventions, where the URL's scheme is another one."""


class CallSpan(NamedTuple):
    """How the span of a call is named, and what it says."""

    name: str
    kind: Kind
    attributes: dict[str, str | int]


def span_of_call(setting: Setting, method: str, arguments: Sequence[Any], parameters: Mapping[str, Any]) -> CallSpan:
    """Return what the span of a call of a binding says."""
    attributes: dict[str, str | int] = {"schedule.binding": setting.name}
    if setting.url.startswith((SQLITE, *POSTGRESQL)):
        attributes["db.system.name"] = "sqlite" if setting.url.startswith(SQLITE) else "postgresql"
        _add_server(attributes, setting.url)
        sql = parameters.get("sql", arguments[0] if arguments else None)
        if method in _STATEMENTS and isinstance(sql, str):
            summary = _summary(sql)
            attributes["db.operation.name"] = summary.partition(" ")[0]
            attributes["db.query.summary"] = summary
            return CallSpan(summary, Kind.CLIENT, attributes)
    elif method == "enqueue":
        scheme = setting.scheme.partition("+")[0]
        destination = _destination(setting)
        attributes |= {
            "messaging.system": _MESSAGING.get(scheme, scheme),
            "messaging.operation.name": method,
            "messaging.operation.type": "send",
            "messaging.destination.name": destination,
        }
        return CallSpan(f"{method} {destination}", Kind.PRODUCER, attributes)
    elif method == "embed":
        model = str(parameters.get("model") or setting.options.get("model") or "")
        attributes |= {"gen_ai.operation.name": "embeddings", "gen_ai.provider.name": "openai"}
        if model:
            attributes["gen_ai.request.model"] = model
        _add_server(attributes, setting.url)
        return CallSpan(f"embeddings {model}".rstrip(), Kind.CLIENT, attributes)
    return CallSpan(f"{setting.name}.{method}", Kind.CLIENT, attributes)


def _summary(sql: str) -> str:
    """Return a statement's first word and the first table that it names: ``DELETE sessions``."""
    beginning = sql[:_LONGEST_LOOK]
    word, table = _FIRST_WORD.match(beginning), _TABLE.search(beginning)
    operation = word[1].upper()[:20] if word else "?"
    return f"{operation} {table[1]}" if table else operation


def _destination(setting: Setting) -> str:
    if setting.scheme == "table":
        return setting.url.rpartition("/")[2]
    return str(setting.options.get("queue") or "jobs")


def _add_server(attributes: dict[str, str | int], url: str) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # several hosts, or a socket's folder
        return
    if host:
        attributes["server.address"] = host
        if port is not None:
            attributes["server.port"] = port
