"""Texts that are no Unicode and numbers that are none, from handlers and from callers: nothing breaks."""

import json
import math

import pytest
from support.rigs.rig import FATES, Rig

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.registration import TaskUpdate
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.domain.task import Policy
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.events import Progress
from schedule_grpc.formats import protobuf
from schedule_grpc.formats.json_answers import event_json

FILE = "r\udcffsum\udce9.txt"
"""A name in Latin-1, as `os.listdir` gives it."""
SHOWN = "r\ufffdsum\ufffd.txt"
ONCE = Policy(retry=RetryPolicy(max_retries=0))


@pytest.fixture
def handler(monkeypatch):
    """Let the rig's handler do what a test says."""
    return lambda function: monkeypatch.setitem(FATES, "odd", function)


async def ran(service: Rig):
    """Run the handler once; return its execution."""
    await service.register(schedule="@manual", payload={"fate": "odd"}, policy=ONCE)
    execution = await service.service.run_now("task", detach=True)
    await service.work()
    return await service.service.execution(execution.id)


async def test_a_handlers_texts_are_made_readable(service: Rig, handler):
    """In its result, its keys and its alerts: the work is done, and the attempt has succeeded at once."""

    def odd(ctx):
        ctx.alert(f"cannot read {FILE}", f"body\x00 {FILE}", key=FILE)
        ctx.recovered(f"{FILE}2")
        return {FILE: [FILE, {"name": FILE}], "nul": "a\x00b"}

    handler(odd)
    execution = await ran(service)
    assert (execution.state, execution.error) == (State.SUCCEEDED, None)
    assert execution.result == {SHOWN: [SHOWN, {"name": SHOWN}], "nul": "a\x00b"}
    (alert,) = await service.store.untold_alerts()
    assert (alert.key, alert.title, alert.body) == (SHOWN, f"cannot read {SHOWN}", f"body\ufffd {SHOWN}")


async def test_an_alert_with_such_a_key_recovers_by_it(service: Rig, handler):
    """The key is replaced in the same way each time."""

    def odd(ctx):
        if ctx.attempt:
            ctx.alert("wrong", key=FILE)
            ctx.recovered(FILE)

    handler(odd)
    await ran(service)
    assert [alert.end_time is not None for alert in await service.store.untold_alerts()] == [True]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FileNotFoundError(f"no {FILE}"), f"FileNotFoundError: no {SHOWN}"),
        (ValueError("a\x00b"), "ValueError: a\ufffdb"),
        (
            ExceptionGroup("x\udcff", [ValueError("a\udcff"), OSError("b")]),
            "x\ufffd: 2 errors: (1) ValueError: a\ufffd; (2) OSError: b",
        ),
    ],
)
async def test_an_errors_text_is_made_readable(service: Rig, handler, error, told: str):
    """The same in both databases."""

    def odd(_):
        raise error

    handler(odd)
    execution = await ran(service)
    assert (execution.state, execution.error, execution.failed_attempts[0].error) == (State.FAILED, told, told)


async def test_a_success_false_says_why_in_readable_words(service: Rig, handler):
    """Its text is an error's."""
    handler(lambda _: {"success": False, "error": f"a\x00b {FILE}"})
    assert (await ran(service)).error == f"a\ufffdb {SHOWN}"


async def test_a_watchers_stream_survives_any_progress(service: Rig, handler):
    """Every event can be told over gRPC and as JSON without NaN; what follows is told, too."""
    reports = [(math.nan, FILE), (math.inf, "a\x00b")]

    def odd(ctx):
        for fraction, text in reports:
            ctx.progress(fraction, text)

    handler(odd)
    with service.service.watching() as watch:
        await ran(service)
        await service.clock.advance(0)
        service.hub.close()
        events = [event async for event in watch]
    told = [(event.fraction, event.text) for event in events if isinstance(event, Progress)]
    assert told == [(0.0, SHOWN), (1.0, "a\ufffdb")]
    for event in events:
        assert protobuf.event_from(protobuf.event_to(event))
        assert json.dumps(event_json(event), allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize("text", ["\udcff", "a\x00b"])
async def test_a_callers_texts_are_refused_by_their_fields(service: Rig, text: str):
    """Whichever edge they came through, before anything is stored."""
    await service.register(schedule="@manual")
    execution = await service.service.run_now("task", detach=True)
    asked = (
        ("description", lambda: service.register(description=text)),
        ("schedule", lambda: service.register(schedule=text)),
        ("time_zone", lambda: service.register(time_zone=text)),
        ("name", lambda: service.register(name=text)),
        ("handler", lambda: service.register(handler=text)),
        ("note", lambda: service.service.disable("task", note=text)),
        ("etag", lambda: service.service.enable("task", etag=text)),
        ("note", lambda: service.service.cancel(execution.id, note=text)),
        ("request_id", lambda: service.service.run_now("task", request_id=text)),
        ("cron", lambda: service.service.trigger_cron(text)),
    )
    for field, ask in asked:
        with pytest.raises(InvalidArgument) as raised:
            await ask()
        assert [violation.field for violation in raised.value.violations] == [field]
    update = TaskUpdate(name="task", fields={"description": text}, policy={})
    with pytest.raises(InvalidArgument, match="description"):
        await service.service.update(update)
    assert (await service.service.get_task("task")).etag == "1"


@pytest.mark.parametrize("value", [{"a": "\udcff"}, {"\udcff": 1}, {"a": [math.nan]}, {"a": math.inf}])
async def test_a_callers_json_is_refused_by_its_field(service: Rig, value):
    """A lone surrogate in a text or a key, and what is no number."""
    await service.register(schedule="@manual")
    asked = {
        "payload": [lambda: service.register(payload=value), lambda: service.service.run_now("task", payload=value)],
        "metadata": [lambda: service.register(metadata=value)],
    }
    for field, calls in asked.items():
        for call in calls:
            with pytest.raises(InvalidArgument) as raised:
                await call()
            assert [violation.field for violation in raised.value.violations] == [field]
