"""Every setting by its variable: whatever stands there, it is taken or refused in one line that names the variable."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from schedule_grpc.settings.config import Settings, WrongSettings, load

NAME = "n"
"""The name of a table, where there may be many."""
WRONG = (
    "[",
    "{",
    '{"a":',
    "[" * 60_000,
    "null",
    "[[]]",
    "[NaN]",
    '{"a": 1, "a": 2}',
    '{"\\ud800": 1}',
    "\udcff",
    "",
    "x",
)
"""JSON that ends early, that is nested too deeply, of another kind, that Python alone reads; and what is no JSON."""
WHOLE: dict[str, Any] = {
    "database": "postgresql://schedule@postgres/schedule",
    "grpc": [{"address": "unix:/run/grpc.sock", "socket_mode": "660", "grants": ["read@a", "run@b"], "serves": "all"}],
    "http": {
        "address": [
            {"address": "0.0.0.0:8443", "tls_cert": "/c", "tls_key": "/k", "client_ca": "/a", "serves": "health"}
        ],
        "allowed_hosts": ["api", "schedule.example"],
        "allowed_origins": ["https://a.example", "https://b.example"],
        "path_prefix": "/ops/schedule",
        "changes": False,
    },
    "ui": {
        "enabled": True,
        "title": "production",
        "colour": "red",
        "frame_ancestors": ["https://a.example", "https://b.example"],
    },
    "handlers": ["reports", "invoices"],
    "concurrency": 7,
    "drain_timeout": "2m",
    "drain_delay": "5s",
    "log_format": "json",
    "log_level": "debug",
    "event_loop": "asyncio",
    "engine": False,
    "api": True,
    "insecure_bind": True,
    "auth": {
        "mode": "required",
        "anonymous_grants": ["observe@*", "read@reports"],
        "public": ["reflection", "docs"],
        "behind_tls_proxy": True,
        "bootstrap_key_file": "/b",
        "certificates": [{"common_name": "billing.internal", "grants": ["write@billing", "read@reports"]}],
        "denied": ["spiffe://prod.example/a", "spiffe://prod.example/b"],
        "jwt": [
            {
                "issuer": "https://issuer.example",
                "audience": "schedule",
                "jwks_url": "https://issuer.example/keys",
                "jwks_token_file": "/t",
                "ca_file": "/ca",
                "algorithms": ["RS256", "ES256"],
                "leeway": "10s",
                "max_lifetime": "2h",
                "subjects": [{"sub": "repo:reports", "grants": ["run@reports", "read@reports"]}],
            }
        ],
    },
    "workers": {"allow_builtin": True},
    "audit": {"retention": "30d", "reads": True, "log": False},
    "logs": {"keep": "failed", "max_age": "2d"},
    "metrics": {"max_tasks": 5, "max_handlers": 6, "max_namespaces": 7},
    "otel": {
        "endpoint": "http://collector:4318",
        "protocol": "http/protobuf",
        "headers": {"x-token": "h"},
        "traces": True,
        "metrics": False,
        "sampling": 0.5,
        "service_name": "s",
        "resource": {"team": "t"},
        "metrics_every": "30s",
    },
    "bindings": {"N": "sqlite:////n.db"},
    "backup": {
        "root": "/backups",
        "allow_urls": ["s3://a/b", "s3://c"],
        "pg_dump": "/usr/bin/pg_dump",
        "store_options": {NAME: "eu"},
    },
    "http_request": {
        "allow_hosts": ["a.example", "b.example"],
        "allow_private_hosts": ["10.0.0.1", "10.0.0.2"],
        "namespaces": {NAME: {"allow_hosts": ["a.example", "c"], "allow_private_hosts": ["10.0.0.3", "10.0.0.4"]}},
        "secrets": {NAME: {"file": "/s", "hosts": ["a.example", "b"], "namespaces": ["reports", "default"]}},
        "secrets_dir": "/secrets",
        "ca_file": "/ca",
    },
    "alerts": {"urls": ["https://a.example/x", "https://b.example"], "secret_file": "/w"},
    "handler_concurrency": {NAME: 2},
    "tasks": [{"name": "a", "schedule": "@daily", "handler": "reports"}],
}
"""A value for every setting, but for those that exclude another one."""
EXCLUDED = {
    "auth.certificates.spiffe",
    "auth.jwt.jwks_file",
    "grpc.tls_cert",
    "grpc.tls_key",
    "grpc.client_ca",
    "http.address.socket_mode",
    "http.address.grants",
}


@pytest.fixture(autouse=True)
def nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No schedule.toml, and no variables of ours."""
    monkeypatch.chdir(tmp_path)
    for name in tuple(os.environ):
        if name.startswith("SCHEDULE_"):
            monkeypatch.delenv(name)


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the tables that a setting holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from models(each)


def places(model: type[BaseModel] = Settings, above: str = "") -> Iterator[str]:
    """Yield every setting, those of tables and of lists of tables too, with dots."""
    for name, field in model.model_fields.items():
        yield above + name
        named = f"{NAME}." if get_origin(field.annotation) is dict else ""
        for each in models(field.annotation):
            yield from places(each, f"{above}{name}.{named}")


def variable(place: str) -> str:
    """Return the name of a setting's variable."""
    return "SCHEDULE_" + place.replace(".", "__").upper()


def parts(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values within tables, and within lists of one table."""
    if isinstance(value, list) and value and isinstance(value[0], dict) and place != "tasks":
        (value,) = value
    if isinstance(value, dict):
        for name, each in value.items():
            yield from parts(each, f"{place}.{name}" if place else name)
    else:
        yield place, value


def text(value: Any) -> str:
    """Return a value as JSON, or a text as it is."""
    return value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize("place", [*places()])
def test_what_is_wrong_in_a_variable_is_told_in_a_line_that_names_it(place: str, monkeypatch: pytest.MonkeyPatch):
    """Nothing else is raised, whatever stands there. A rule about two settings names them without the source."""
    for value in WRONG:
        monkeypatch.setenv(variable(place), value)
        try:
            load({})
        except WrongSettings as error:
            table = variable(place.partition(".")[0])
            for line in error.complaints:
                assert line.startswith(table), (value[:20], line)
                assert len(line.splitlines()) == 1, (value[:20], line)
                assert len(line) < 600, (value[:20], line)


def test_every_setting_has_a_value_that_is_tried():
    """A new one has to be given by variables, too."""
    tables = {name.rpartition(".")[0] for name in places() if "." in name}
    tables = {table.removesuffix(f".{NAME}") for table in tables}
    tried = {place for place, _ in parts(WHOLE)} | {"backup.store_options", "bindings", "handler_concurrency"}
    tried |= {"otel.headers", "otel.resource"}
    assert set(places()) - EXCLUDED - tables <= tried


def test_settings_are_the_same_by_a_variable_for_each_and_as_json(monkeypatch: pytest.MonkeyPatch):
    """And with commas in their lists: the whole configuration, in three ways."""
    ways = []
    for written in (
        {variable(name): text(value) for name, value in WHOLE.items()},
        {variable(place): text(value) for place, value in parts(WHOLE)},
        {
            variable(place): ", ".join(value) if isinstance(value, list) and place != "tasks" else text(value)
            for place, value in parts(WHOLE)
        },
    ):
        with monkeypatch.context() as patch:
            for name, value in written.items():
                patch.setenv(name, value)
            ways.append(load({}))
    assert ways[0] == ways[1] == ways[2]
    assert ways[0].auth.jwt[0].subjects[0].grants == ["run@reports", "read@reports"]
    assert ways[0].drain_delay.total_seconds() == 5


def test_what_is_missing_is_told_by_the_variable_that_would_hold_it(monkeypatch: pytest.MonkeyPatch):
    """Where a table comes in several variables, and one of them is not there."""
    monkeypatch.setenv("SCHEDULE_HTTP_REQUEST__SECRETS__A__FILE", "/a")
    monkeypatch.setenv("SCHEDULE_HTTP_REQUEST__SECRETS__A__HOSTS", "a.example")
    with pytest.raises(WrongSettings) as caught:
        load({})
    assert caught.value.complaints == ("SCHEDULE_HTTP_REQUEST__SECRETS__A__NAMESPACES: Field required",)
