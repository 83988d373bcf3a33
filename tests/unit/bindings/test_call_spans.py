"""What the spans of calls of bindings say, and what they leave out."""

import pytest

from schedule_grpc.bindings.call_spans import span_of_call
from schedule_grpc.bindings.setting import read_setting
from schedule_grpc.tracing import Kind


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("SELECT * FROM users WHERE name = 'a secret'", "SELECT users"),
        ("  insert into jobs (a) values (:a)", "INSERT jobs"),
        ("UPDATE public.users SET name = 'secret'", "UPDATE public.users"),
        ("delete from only users", "DELETE users"),
        ("WITH old AS (SELECT id FROM sessions) DELETE FROM x", "WITH sessions"),
        ("SELECT 1", "SELECT"),
        ("VACUUM", "VACUUM"),
        ("/* secret */", "?"),
        ("", "?"),
    ],
)
def test_a_statement_is_named_by_its_first_word_and_its_first_table(sql: str, name: str):
    """Of few kinds, however many values are written into statements."""
    setting = read_setting("DB", "postgresql://user:secret@db.internal:6432/app")
    span = span_of_call(setting, "fetch", (sql,), {"a": "secret"})
    assert (span.name, span.kind) == (name, Kind.CLIENT)
    assert span.attributes["db.query.summary"] == name
    assert (span.attributes["server.address"], span.attributes["server.port"]) == ("db.internal", 6432)
    assert span.attributes["db.system.name"] == "postgresql"
    assert "secret" not in repr(span)


def test_a_job_is_named_by_its_queue():
    """By the conventions' name of the broker, where they have one."""
    for url, options, system, queue in (
        ("table://DB/queue_jobs", {}, "table", "queue_jobs"),
        ("redis://:secret@redis/0", {"queue": "mail"}, "redis", "mail"),
        ("amqp://rabbit", {}, "rabbitmq", "jobs"),
    ):
        span = span_of_call(read_setting("QUEUE", {"url": url, **options}), "enqueue", ("mail", {"to": "secret"}), {})
        assert (span.name, span.kind) == (f"enqueue {queue}", Kind.PRODUCER)
        assert span.attributes["messaging.system"] == system
        assert "secret" not in repr(span)


def test_a_call_of_a_model_is_named_by_the_model():
    """The one that the call names, else the configured one."""
    setting = read_setting("AI", {"url": "https://api.openai.com/v1", "model": "small"})
    for parameters, model in (({}, "small"), ({"model": "large"}, "large")):
        span = span_of_call(setting, "embed", (["a secret"],), parameters)
        assert (span.name, span.attributes["gen_ai.request.model"]) == (f"embeddings {model}", model)
        assert span.attributes["server.address"] == "api.openai.com"
        assert "secret" not in repr(span)


def test_any_other_call_is_named_by_its_binding():
    """Of users' own objects, for example."""
    assert span_of_call(read_setting("AI", "my.module:make"), "complete", ("secret",), {}).name == "AI.complete"
