"""Traces of a server and a worker, both processes, as a receiver of OTLP gets them."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import grpc
import httpx2
import pytest
from google.protobuf.json_format import MessageToDict
from support.patience import until
from support.rigs.traced_scene import CallersSpan, Scene, callers_span
from support.servers.collector import Span
from support.servers.http_server import http_server, response

from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.execution import Execution
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.pb import schedule_pb2_grpc

SERVICE = "schedule.v1.ScheduleService"
RUN = f"{SERVICE}/RunTaskNow"

pytestmark = pytest.mark.keyless


async def _run(scene: Scene, name: str, caller: CallersSpan, **request: Any) -> Any:
    """Run a task as a caller that has a tracer does, and return what its handler returned."""
    async with grpc.aio.insecure_channel(scene.server.address) as channel:
        stub = schedule_pb2_grpc.ScheduleServiceStub(channel)
        ran = await stub.RunTaskNow(
            pb.RunTaskNowRequest(name=name, **request), metadata=(("traceparent", caller.traceparent),)
        )
    assert ran.execution.state == pb.Execution.SUCCEEDED, ran.execution.error
    return MessageToDict(ran.execution.result)


def _is_child(child: Span, parent: Span) -> bool:
    return (child.trace_id, child.parent_id) == (parent.trace_id, parent.span_id)


async def test_one_trace_leads_from_a_caller_through_a_worker_to_another_service(scene: Scene, client: AsyncClient):
    """The call, the execution, its attempt, the worker's handler, its database, the task that it runs, its request."""
    caller = callers_span()
    async with http_server() as hook:
        hook.answer("/secret5", response(body=b"done"))
        payload = {"url": f"http://127.0.0.1:{hook.port}/secret5?key=secret6", "method": "POST"}
        await client.register_task(name="hook", schedule="@manual", handler="http-request", payload=payload)
        await client.register_task(name="far", schedule="@manual", handler="far.relay", payload={"then": "hook"})
        result = await _run(scene, "far", caller)
        sent = hook.seen[0].headers["traceparent"]
    execution, attempt, handler = [
        await scene.one(name, of=caller.trace_id) for name in ("execution far", "attempt far", "handler far.relay")
    ]
    calls = await scene.arrived(RUN, of=caller.trace_id, count=3)  # a client of ours records a run, then waits for it
    assert calls[0].parent_id == caller.span_id
    assert (calls[0].kind, calls[0].attributes["rpc.response.status_code"]) == ("SERVER", "OK")
    assert _is_child(execution, calls[0])
    assert _is_child(attempt, execution)
    assert _is_child(handler, attempt)
    assert (attempt.kind, handler.kind) == ("PRODUCER", "CONSUMER")
    assert (attempt.service, handler.service) == ("schedule-grpc", "schedule-grpc-worker")
    assert result["traceparent"] == f"00-{handler.trace_id}-{handler.span_id}-01"
    query = await scene.one("DELETE queue_jobs", of=caller.trace_id)
    assert _is_child(query, handler)
    assert query.attributes["db.system.name"] == "sqlite"
    assert all(_is_child(call, handler) for call in calls[1:])
    then, again, inner = [
        await scene.one(name, of=caller.trace_id) for name in ("execution hook", "attempt hook", "handler http-request")
    ]
    request = await scene.one("POST", of=caller.trace_id)
    assert _is_child(then, calls[1])
    assert _is_child(again, then)
    assert (again.kind, inner.kind) == ("INTERNAL", "INTERNAL")
    assert _is_child(inner, again)
    assert _is_child(request, inner)
    assert sent == f"00-{request.trace_id}-{request.span_id}-01"
    assert request.attributes["http.response.status_code"] == 200


async def test_a_handlers_own_spans_lie_between_its_span_and_its_bindings(scene: Scene, client: AsyncClient):
    """What a handler begins by OpenTelemetry's own API is sent with the rest."""
    caller = callers_span()
    await client.register_task(name="report", schedule="@manual", handler="traced.report")
    await _run(scene, "report", caller)
    handler = await scene.one("handler traced.report", of=caller.trace_id)
    own = await scene.one("look at jobs", of=caller.trace_id)
    query = await scene.one("SELECT queue_jobs", of=caller.trace_id)
    job = await scene.one("enqueue queue_jobs", of=caller.trace_id)
    insert = await scene.one("INSERT queue_jobs", of=caller.trace_id)
    assert _is_child(own, handler)
    assert _is_child(query, own)
    assert _is_child(job, handler)
    assert _is_child(insert, job)
    assert (job.kind, job.attributes["messaging.destination.name"]) == ("PRODUCER", "queue_jobs")


async def test_a_plain_handlers_spans_lie_within_its_span(scene: Scene, client: AsyncClient):
    """It runs in a thread, and its lines of the log name its span."""
    caller = callers_span()
    await client.register_task(name="plain", schedule="@manual", handler="traced.plain")
    assert await _run(scene, "plain", caller) is not None
    handler = await scene.one("handler traced.plain", of=caller.trace_id)
    assert _is_child(await scene.one("within a thread", of=caller.trace_id), handler)
    lines = [json.loads(line) for line in scene.server.written().splitlines() if caller.trace_id in line]
    spans = {line["event"]: line.get("span_id") for line in lines}
    assert spans["plain.ran"] == handler.span_id
    assert "execution.recorded" in spans


async def test_each_attempt_is_a_span_of_one_execution(scene: Scene, client: AsyncClient):
    """A retry belongs to the trace of the call that asked for the execution."""
    caller = callers_span()
    policy = {"retry": {"initial_backoff": "1ms"}}
    await client.register_task(name="flaky", schedule="@manual", handler="traced.flaky", policy=policy)
    await _run(scene, "flaky", caller)
    execution = await scene.one("execution flaky", of=caller.trace_id)
    attempts = await scene.arrived("attempt flaky", of=caller.trace_id, count=2)
    handlers = await scene.arrived("handler traced.flaky", of=caller.trace_id, count=2)
    assert all(_is_child(attempt, execution) for attempt in attempts)
    assert all(_is_child(*pair) for pair in zip(handlers, attempts, strict=True))
    assert [attempt.failed for attempt in attempts] == [True, False]
    assert [attempt.attributes.get("error.type") for attempt in attempts] == ["ERROR", None]
    assert [attempt.attributes["schedule.attempt"] for attempt in attempts] == [1, 2]
    assert (execution.failed, execution.attributes["schedule.attempts"]) == (False, 2)


async def test_an_occurrence_has_a_trace_that_its_execution_names(scene: Scene, client: AsyncClient):
    """Its id is the beginning of the SHA-256 of the execution's id: who has one finds the other."""
    due = datetime.now(UTC) + timedelta(milliseconds=300)
    await client.register_task(name="due", schedule=due.isoformat(), handler="traced.plain")

    async def has_ended() -> list[Execution]:
        return [each async for each in client.task_history("due") if each.state.is_terminal]

    ended = await until(has_ended)
    trace_id = sha256(ended[0].id.encode()).hexdigest()[:32]
    execution = await scene.one("execution due", of=trace_id)
    assert execution.parent_id == ""
    assert execution.attributes["faas.trigger"] == "timer"
    assert execution.attributes["schedule.lateness_ms"] >= 0
    assert _is_child(await scene.one("attempt due", of=trace_id), execution)


async def test_a_caller_that_is_not_sampled_decides_for_all_that_follows(scene: Scene, client: AsyncClient):
    """Nothing of its trace is sent, and the handler passes the decision on."""
    caller, later = callers_span(sampled=False), callers_span()
    await client.register_task(name="unsampled", schedule="@manual", handler="traced.report")
    result = await _run(scene, "unsampled", caller)
    await _run(scene, "unsampled", later)
    await scene.one("execution unsampled", of=later.trace_id)  # sent after what the first run would have made
    assert result["traceparent"].startswith(f"00-{caller.trace_id}-")
    assert result["traceparent"].endswith("-00")
    assert not [span for span in scene.collector.spans if span.trace_id == caller.trace_id]


async def test_the_executions_of_a_backfill_have_traces_of_their_own(scene: Scene, client: AsyncClient):
    """Hundreds of them in one trace could not be read: each has a link to the call."""
    caller = callers_span()
    await client.register_task(name="hourly", schedule="@hourly", handler="traced.plain")
    now = datetime.now(UTC)
    async with grpc.aio.insecure_channel(scene.server.address) as channel:
        request = pb.BackfillTaskRequest(name="hourly")
        request.start_time.FromDatetime(now - timedelta(hours=3))
        request.end_time.FromDatetime(now)
        metadata = (("traceparent", caller.traceparent),)
        answer = await schedule_pb2_grpc.ScheduleServiceStub(channel).BackfillTask(request, metadata=metadata)
    assert len(answer.executions) == 3
    for made in answer.executions:
        execution = await scene.one("execution hourly", of=sha256(made.id.encode()).hexdigest()[:32])
        assert (execution.parent_id, execution.links) == ("", [caller.trace_id])


async def test_callers_by_http_and_by_connect_are_parents_too(scene: Scene, client: AsyncClient):
    """The header is the same one."""
    await client.register_task(name="by-http", schedule="@manual", handler="traced.plain")
    for path, body, route in (
        ("/tasks/by-http/run", {}, "/tasks/{name}/run"),
        (f"/{RUN}", {"name": "by-http"}, f"/{RUN}"),
    ):
        caller = callers_span()
        async with httpx2.AsyncClient(base_url=f"http://{scene.server.http_address}", timeout=60) as web:
            answer = await web.post(path, json=body, headers={"traceparent": caller.traceparent})
        assert answer.status_code == 200
        call = await scene.one(f"POST {route}", of=caller.trace_id)
        assert (call.parent_id, call.kind, call.attributes["http.route"]) == (caller.span_id, "SERVER", route)
        assert call.attributes["http.response.status_code"] == 200
        assert _is_child(await scene.one("execution by-http", of=caller.trace_id), call)


async def test_no_span_holds_what_handlers_were_given(scene: Scene):
    """No payload, no parameter, no text of an error: by now the other tests have made some of each."""
    assert any(span.name == "handler traced.flaky" for span in scene.collector.spans)
    assert "secret" not in repr(scene.collector.spans)


async def test_metrics_are_those_of_the_page_for_prometheus(scene: Scene):
    """The same instruments, with the same values, as sums and histograms of OTLP."""
    async with httpx2.AsyncClient(base_url=f"http://{scene.server.http_address}", timeout=60) as web:
        page = (await web.get("/metrics")).text
    by_name = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    count = float(by_name["schedule_lateness_seconds_count"])

    def is_there() -> bool:
        found = scene.collector.metrics.get("schedule_lateness_seconds")
        return found is not None and found.histogram.data_points[0].count == count

    scene.collector.until(is_there)
    histogram = scene.collector.metrics["schedule_lateness_seconds"].histogram.data_points[0]
    assert sum(histogram.bucket_counts) == histogram.count
    assert len(histogram.explicit_bounds) + 1 == len(histogram.bucket_counts)
    ended = scene.collector.metrics["schedule_executions"].sum
    assert ended.is_monotonic
    assert {("task", "flaky"), ("state", "SUCCEEDED")} <= {
        (pair.key, pair.value.string_value) for point in ended.data_points for pair in point.attributes
    }
