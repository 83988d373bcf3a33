"""What the store keeps of the calls that asked for executions: their spans."""

from datetime import timedelta

from support.rigs.rig import Rig
from support.rigs.traced_scene import callers_span

from schedule_grpc.domain.execution import Execution
from schedule_grpc.tracing import Attributes, Kind, being_present


class _Call:
    """The span of a call in progress, as far as the service looks at it."""

    names: dict[str, str] = {}  # noqa: RUF012 (never changed)

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent

    def note(self, attributes: Attributes) -> None:
        """Add nothing."""

    def rename(self, name: str) -> None:
        """Keep the name."""

    def fail(self, kind: str) -> None:
        """Fail."""

    def child(self, name: str, kind: Kind, attributes: Attributes):
        """Have no children."""
        raise AssertionError(name)


async def _kept(rig: Rig, execution: Execution) -> str | None:
    return (await rig.service.execution(execution.id)).traceparent


async def test_an_execution_keeps_the_span_of_the_call_that_asked_for_it(rig: Rig):
    """A server that begins it later, and its retries, belong to the same trace."""
    await rig.register("task", schedule="@hourly")
    caller = callers_span().traceparent
    with being_present(_Call(caller)):
        run = await rig.service.run_now("task", detach=True)
        [triggered] = await rig.service.trigger_cron("0 * * * *")
        filled = await rig.service.backfill("task", rig.clock.now() - timedelta(hours=2), rig.clock.now())
    assert len(filled.executions) == 2
    for execution in (run, triggered, *filled.executions):
        assert execution.traceparent == caller
        assert await _kept(rig, execution) == caller


async def test_an_execution_that_no_traced_call_asked_for_keeps_none(rig: Rig):
    """Of an occurrence nothing is kept: its ids are made of its own."""
    await rig.register("task", schedule="@hourly")
    run = await rig.service.run_now("task", detach=True)
    assert run.traceparent is None
    assert await _kept(rig, run) is None
