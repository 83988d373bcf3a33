"""How bindings are configured, and what of it is never shown."""

from datetime import timedelta
from typing import Any

import pytest

from schedule_grpc.bindings import Environment
from schedule_grpc.bindings.setting import read_setting
from schedule_grpc.errors import BindingError, ConfigurationError


def test_a_text_is_a_url_and_a_table_may_say_more():
    """The timeout is 10 s unless it is said; options are the kind's own."""
    plain = read_setting("DB", "sqlite:///x.db")
    assert (plain.name, plain.url, plain.timeout, plain.options) == ("DB", "sqlite:///x.db", timedelta(seconds=10), {})
    told = read_setting("AI", {"url": "http://x/v1", "timeout": "1m", "model": "small"})
    assert (told.url, told.timeout, told.options) == ("http://x/v1", timedelta(minutes=1), {"model": "small"})


@pytest.mark.parametrize("given", ["1500ms", "1.5", 1.5, timedelta(seconds=1.5)])
def test_a_timeout_is_a_duration_however_it_is_written(given: Any):
    """As text with a unit, in seconds as text or number, or as Python's."""
    assert read_setting("DB", {"url": "x", "timeout": given}).timeout == timedelta(seconds=1.5)


@pytest.mark.parametrize("given", ["soon", "", 0, -1, "25h", True, None, []])
def test_a_timeout_that_is_none_is_refused(given: Any):
    """The message names binding and option."""
    with pytest.raises(ConfigurationError, match=r"^bindings\.DB: timeout"):
        read_setting("DB", {"url": "x", "timeout": given})


@pytest.mark.parametrize("told", [{}, {"timeout": "1s"}, {"url": 7}, {"url": None}])
def test_a_binding_without_a_url_is_refused(told: dict[str, Any]):
    """Whatever else it says."""
    with pytest.raises(ConfigurationError, match=r"^bindings\.DB: has no url$"):
        read_setting("DB", told)


REFUSED: list[tuple[Any, str]] = [
    ("mysql://ana:geheim@host/x?key=geheim", r"'mysql://\*\*\*@host/x\?…' is none of sqlite:///PATH"),
    ({"url": "sqlite:///x.db", "tiemout": "1s"}, r"has no option tiemout \(options: create_tables, timeout\)"),
    ({"url": "postgresql://x", "connections": 0}, "connections is not a whole number from 1 to 100"),
    ({"url": "postgresql://x", "connections": "many"}, "connections is not a whole number from 1 to 100"),
    ({"url": "postgresql://x", "connections": True}, "connections is not a whole number from 1 to 100"),
    ("postgresql://ana:ge/heim@host/db", r"percent-encode what is special in its user and password"),
    ("postgresql://ana:ge#heim@host/db", r"percent-encode what is special in its user and password"),
    ("redis://:ge?heim@host/0", r"percent-encode what is special in its user and password"),
    ("postgresql://[::1/db", "its URL cannot be read"),
    ("table://DB", "is not table://BINDING/TABLE"),
    ("table://DB/jobs; DROP TABLE jobs", "is not table://BINDING/TABLE"),
    ("table://NOWHERE/jobs", "no other binding NOWHERE whose table jobs could be"),
    ("table://X/jobs", "no other binding X whose table jobs could be"),
    ({"url": "table://DB/jobs", "queue": "x"}, r"has no option queue \(options: timeout\)"),
    ({"url": "redis://x", "queue": 7}, "queue is not a text"),
    ({"url": "redis://x", "queue": ""}, "queue is not a text"),
    ({"url": "redis://x", "declare": "perhaps"}, "declare is neither true nor false"),
    ({"url": "redis://x", "max_priority": 256}, "max_priority is not a whole number from 1 to 255"),
    ({"url": "redis://x", "dedupe_for": "ever"}, "dedupe_for: 'ever' is not a duration"),
    ({"url": "redis://x", "transport_options": "x"}, "transport_options is not a table"),
    ("memory://", "is none of"),
    ("http:///v1", "names no host"),
    ({"url": "http://x/v1", "key": "geheim"}, r"has no option key \(options: key_env, key_file, model, timeout\)"),
    ({"url": "http://x/v1", "key_env": "A", "key_file": "b"}, "key_env and key_file are both set"),
    ({"url": "http://x/v1", "model": ["small"]}, "model is not a text"),
    ("grpc://host", "is not grpc://HOST:PORT"),
    ("grpc://ana:geheim@host:1", r"'grpc://\*\*\*@host:1' is not grpc://HOST:PORT"),
    ({"url": "grpc://host:1", "ca_file": "x"}, r"has no option ca_file \(options: service, timeout\)"),
    ({"url": "grpcs://host:1", "cert_file": "x"}, "cert_file and key_file go together"),
    ("nowhere.at_all:make", "cannot import nowhere.at_all: ModuleNotFoundError"),
    ("schedule_grpc.errors:nothing", "schedule_grpc.errors has no function nothing"),
]


@pytest.mark.parametrize(("told", "reason"), REFUSED)
def test_what_cannot_be_used_is_refused_at_the_start(told: Any, reason: str):
    """With the binding's name and the reason, and never with a secret."""
    with pytest.raises(ConfigurationError, match=rf"^bindings\.X: .*{reason}") as caught:
        Environment({"DB": "sqlite:///d.db", "X": told})
    assert "heim" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("postgresql://x", "asyncpg", "postgres"),
        ("redis://x", "kombu", "queue"),
        ("rediss://x", "redis", "queue"),
        ("amqp://x", "kombu", "queue"),
    ],
)
def test_a_missing_extra_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str
):
    """At the start, before a task needs it."""
    monkeypatch.setattr("schedule_grpc.bindings.kinds.find_spec", lambda name: None if name == module else object())
    with pytest.raises(ConfigurationError, match=rf"^bindings\.X: .* needs {module}, .* 'schedule-grpc\[{extra}\]'$"):
        Environment({"X": url})


def test_a_queue_takes_what_its_broker_needs():
    """Options as the file and as the environment give them."""
    Environment({
        "QUEUE": {"url": "amqp://x", "queue": "jobs", "declare": "false", "max_priority": "9", "dedupe_for": "2h",
                  "transport_options": {"heartbeat": 5}, "timeout": "3s"},
        "SEVERAL": "sentinel://:one1@a:1;sentinel://:two2@b:1",
        "FILES": "filesystem://",
        "SQL": "sqla+sqlite:///x.db",
    })  # fmt: skip


@pytest.mark.parametrize(
    ("told", "secrets"),
    [
        ("postgresql://ana:geh%2Feim@host/db?sslmode=require", ["geh%2Feim", "geh/eim"]),
        ("postgresql://host/db?user=ana&password=geheim&sslpassword=hush1", ["geheim", "hush1"]),
        ("redis://:geheim@host", ["geheim"]),
        ("sentinel://:one1@a:1;sentinel://:two2@b:1", ["one1", "two2"]),
        ({"url": "a.b:c", "api_key": "geheim", "Token": "hush1", "password": "hush2"}, ["geheim", "hush1", "hush2"]),
    ],
)
def test_secrets_are_found_and_hidden(told: Any, secrets: list[str]):
    """Passwords in any writing, and whatever is named as one; in errors and in the setting's own repr."""
    setting = read_setting("X", told)
    for secret in secrets:
        assert setting.secrets.hide(f"it said {secret}!") == "it said ***!"
        assert secret not in repr(setting)
    assert setting.secrets.hide("ana at host, require") == "ana at host, require"


@pytest.mark.parametrize("option", ["key_env", "key_file", "password_file", "passfile"])
def test_where_a_secret_stands_is_no_secret(option: str):
    """So that an error may say which file was empty."""
    setting = read_setting("X", {"url": "a.b:c", option: "/run/secrets/key"})
    assert setting.secrets.hide("cannot read /run/secrets/key") == "cannot read /run/secrets/key"


def test_an_error_of_a_binding_is_the_same_one_where_it_has_no_secret():
    """Else another one, of the same binding, with stars."""
    setting = read_setting("DB", "redis://:geheim@host")
    clean = BindingError("DB", "no answer")
    assert setting.hidden(clean) is clean
    assert str(setting.hidden(BindingError("DB", "is geheim"))) == "DB: is ***"
