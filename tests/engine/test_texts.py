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
def let_handler_do(monkeypatch):
    """Let the rig's handler do what a test says."""
    return lambda function: monkeypatch.setitem(FATES, "odd", function)


async def ran(rig: Rig):
    """Run the handler once; return its execution."""
    await rig.register(schedule="@manual", payload={"fate": "odd"}, policy=ONCE)
    execution = await rig.service.run_now("task", detach=True)
    await rig.tick()
    return await rig.service.execution(execution.id)


async def test_a_handlers_texts_are_made_readable(rig: Rig, let_handler_do):
    """In its result, its keys and its alerts: the work is done, and the attempt has succeeded at once."""

    def odd(ctx):
        ctx.alert(f"cannot read {FILE}", f"body\x00 {FILE}", key=FILE)
        ctx.recovered(f"{FILE}2")
        return {FILE: [FILE, {"name": FILE}], "nul": "a\x00b"}

    let_handler_do(odd)
    execution = await ran(rig)
    assert (execution.state, execution.error) == (State.SUCCEEDED, None)
    assert execution.result == {SHOWN: [SHOWN, {"name": SHOWN}], "nul": "a\x00b"}
    (alert,) = await rig.store.unsent_alerts()
    assert (alert.key, alert.title, alert.body) == (SHOWN, f"cannot read {SHOWN}", f"body\ufffd {SHOWN}")


async def test_an_alert_with_such_a_key_recovers_by_it(rig: Rig, let_handler_do):
    """The key is replaced in the same way each time."""

    def odd(ctx):
        if ctx.attempt:
            ctx.alert("wrong", key=FILE)
            ctx.recovered(FILE)

    let_handler_do(odd)
    await ran(rig)
    assert [alert.end_time is not None for alert in await rig.store.unsent_alerts()] == [True]


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
async def test_an_errors_text_is_made_readable(rig: Rig, let_handler_do, error, told: str):
    """The same in both databases."""

    def odd(_):
        raise error

    let_handler_do(odd)
    execution = await ran(rig)
    assert (execution.state, execution.error, execution.failed_attempts[0].error) == (State.FAILED, told, told)


async def test_a_success_false_says_why_in_readable_words(rig: Rig, let_handler_do):
    """Its text is an error's."""
    let_handler_do(lambda _: {"success": False, "error": f"a\x00b {FILE}"})
    assert (await ran(rig)).error == f"a\ufffdb {SHOWN}"


async def test_a_watchers_stream_survives_any_progress(rig: Rig, let_handler_do):
    """Every event can be told over gRPC and as JSON without NaN; what follows is told, too."""
    reports = [(math.nan, FILE), (math.inf, "a\x00b")]

    def odd(ctx):
        for fraction, text in reports:
            ctx.progress(fraction, text)

    let_handler_do(odd)
    with rig.service.watching() as watch:
        await ran(rig)
        await rig.clock.advance(0)
        rig.hub.close()
        events = [event async for event in watch]
    told = [(event.fraction, event.text) for event in events if isinstance(event, Progress)]
    assert told == [(0.0, SHOWN), (1.0, "a\ufffdb")]
    for event in events:
        assert protobuf.event_from(protobuf.event_to(event))
        assert json.dumps(event_json(event), allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize("text", ["\udcff", "a\x00b"])
async def test_a_callers_texts_are_refused_by_their_fields(rig: Rig, text: str):
    """Whichever edge they came through, before anything is stored."""
    await rig.register(schedule="@manual")
    execution = await rig.service.run_now("task", detach=True)
    asked = (
        ("description", lambda: rig.register(description=text)),
        ("schedule", lambda: rig.register(schedule=text)),
        ("time_zone", lambda: rig.register(time_zone=text)),
        ("name", lambda: rig.register(name=text)),
        ("handler", lambda: rig.register(handler=text)),
        ("note", lambda: rig.service.disable("task", note=text)),
        ("etag", lambda: rig.service.enable("task", etag=text)),
        ("note", lambda: rig.service.cancel(execution.id, note=text)),
        ("request_id", lambda: rig.service.run_now("task", request_id=text)),
        ("cron", lambda: rig.service.trigger_cron(text)),
    )
    for field, ask in asked:
        with pytest.raises(InvalidArgument) as raised:
            await ask()
        assert [violation.field for violation in raised.value.violations] == [field]
    update = TaskUpdate(name="task", fields={"description": text}, policy={})
    with pytest.raises(InvalidArgument, match="description"):
        await rig.service.update(update)
    assert (await rig.service.get_task("task")).etag == "1"


@pytest.mark.parametrize("value", [{"a": "\udcff"}, {"\udcff": 1}, {"a": [math.nan]}, {"a": math.inf}])
async def test_a_callers_json_is_refused_by_its_field(rig: Rig, value):
    """A lone surrogate in a text or a key, and what is no number."""
    await rig.register(schedule="@manual")
    asked = {
        "payload": [lambda: rig.register(payload=value), lambda: rig.service.run_now("task", payload=value)],
        "metadata": [lambda: rig.register(metadata=value)],
    }
    for field, calls in asked.items():
        for call in calls:
            with pytest.raises(InvalidArgument) as raised:
                await call()
            assert [violation.field for violation in raised.value.violations] == [field]
