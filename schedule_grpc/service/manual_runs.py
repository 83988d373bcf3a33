"""Manual runs: recorded together, and started at once if the engine in this process has free slots."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from schedule_grpc.domain.execution import Execution
from schedule_grpc.errors import ScheduleError
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.service.together import Together
from schedule_grpc.store import ManualRun, Slots, Store


class Starter(Protocol):
    """An engine in this process: an execution that is recorded RUNNING under its lease costs no look and no claim.

    The service knows no engine, and works without one: its runs then wait until a server claims them.
    """

    def free_slots(self) -> AbstractAsyncContextManager[Slots | None]:
        """Within this context the engine claims nothing else; None if no run can start at once."""


class ManualRuns:
    """Records manual runs; the runs that are requested during one write share the next."""

    def __init__(self, store: Store, clock: Clock, starter: Starter | None) -> None:
        self._store = store
        self._clock = clock
        self._starter = starter
        self._together: Together[ManualRun, Execution] = Together(self._record, "manual runs")

    async def record(self, run: ManualRun) -> Execution:
        """Record a run, or find the execution of its request id; return the execution as it is then.

        Raises:
            TaskNotFound, TaskDisabled, TaskUnreadable, InvalidArgument: as `Store.submit` answers.
        """
        return await self._together.ask(run)

    async def _record(self, runs: Sequence[ManualRun]) -> Sequence[Execution | ScheduleError]:
        async with nullcontext() if self._starter is None else self._starter.free_slots() as slots:
            if slots is None:
                return (await self._store.submit(runs, now=self._clock.now())).answers
            submitted = await self._store.submit(runs, now=slots.request.now, request=slots.request)
            for claim in submitted.claims:
                slots.start(claim)
        return submitted.answers
