"""Runs checks: those that disturb nothing one after the other on shared stages, the others on stages of their own."""

import asyncio
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import grpc

from schedule_grpc.conformance import checks
from schedule_grpc.conformance.check import CHECKS, CLOCK, Broken, Check
from schedule_grpc.conformance.server import Server
from schedule_grpc.conformance.stage import Place, Stage, opened
from schedule_grpc.errors import ScheduleError

SHARED_LANES = 3
"""Stages on which checks follow each other."""
OWN_LANES = 3
"""Checks with a stage of their own that run at once."""
WAITING_LANES = 8
"""Checks that wait for leases to lapse, at once: they mostly wait."""
LONGEST = 90.0
"""Seconds for one check."""

assert checks.__all__  # noqa: S101 (to import them is to have them in CHECKS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What came of a check."""

    check: Check
    broken: str = ""
    """What was seen of the rule that is not kept; empty: it passed."""
    output: str = ""
    """The end of what the worker wrote, if it did not pass."""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the worker keeps the rule."""
        return not self.broken


def chosen(patterns: Sequence[str], *, quick: bool) -> list[Check]:
    """Return the checks whose ids match one of the patterns (all, if there is none), in the order of the report."""
    return [
        each
        for each in sorted(CHECKS, key=lambda each: (each.after_all, _number(each.rule)))
        if (each.quick or not quick) and (not patterns or any(fnmatchcase(each.id, pattern) for pattern in patterns))
    ]


async def results(command: Sequence[str], wanted: Sequence[Check], folder: Path | None) -> AsyncIterator[Result]:
    """Run checks against a worker, and yield what came of them, in the order of ``wanted``.

    Args:
        command: Starts a worker with the kit's handlers.
        wanted: The checks.
        folder: Where logs and journals are kept; None keeps none.

    Raises:
        CannotServe, CannotRun: if the kit's server, or the command, cannot be started.
    """
    async with AsyncExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="worker-check-")))
        server = Server(place.absolute() / "server")
        stack.push_async_callback(server.kill)
        await server.start()
        run = _Run(Place(command=command, folder=place.absolute(), server=server), wanted)
        going = asyncio.create_task(run.all())
        stack.push_async_callback(_over, going)
        for each in wanted:
            done = run.done[each.id]
            await asyncio.wait((done, going), return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                await going
            yield await done


class _Run:
    """One run of checks."""

    def __init__(self, place: Place, wanted: Sequence[Check]) -> None:
        self._place = place
        self._wanted = wanted
        self.done: dict[str, asyncio.Future[Result]] = {
            each.id: asyncio.get_running_loop().create_future() for each in wanted
        }

    async def all(self) -> None:
        """Run every check; those about all calls last."""
        shared = deque(each for each in self._wanted if not each.apart and not each.after_all)
        own = deque(each for each in self._wanted if each.apart and each.quick)
        waiting = deque(each for each in self._wanted if not each.quick)
        lanes = [self._shared_lane(f"shared-{n}", shared) for n in range(min(SHARED_LANES, len(shared)))]
        lanes += [self._own_lane(own) for _ in range(min(OWN_LANES, len(own)))]
        lanes += [self._own_lane(waiting) for _ in range(min(WAITING_LANES, len(waiting)))]
        async with asyncio.TaskGroup() as group:
            for lane in lanes:
                group.create_task(lane)
        last = [each for each in self._wanted if each.after_all]
        if last:
            async with opened(self._place, "last") as stage:
                for each in last:
                    await self._run(each, stage)

    async def _shared_lane(self, name: str, queue: deque[Check]) -> None:
        async with opened(self._place, name) as stage:
            while queue:
                await self._run(queue.popleft(), stage)

    async def _own_lane(self, queue: deque[Check]) -> None:
        while queue:
            each = queue.popleft()
            async with opened(self._place, each.id, lease=each.lease, own_server=each.own_server) as stage:
                await self._run(each, stage)

    async def _run(self, each: Check, stage: Stage) -> None:
        began = CLOCK.monotonic()
        broken = await broken_by(each, stage)
        result = Result(check=each, seconds=CLOCK.monotonic() - began)
        if broken:
            result = Result(check=each, broken=broken, output=stage.output, seconds=result.seconds)
        if not each.apart and not each.after_all:
            await stage.tidy()
            if broken:
                await stage.kill()  # the next check gets a process that has seen nothing
        self.done[each.id].set_result(result)


async def broken_by(each: Check, stage: Stage) -> str:
    """Run a check on a stage, and return what its worker has broken; empty if it has kept the rule."""
    try:
        async with CLOCK.timeout(LONGEST):
            if each.starts and not each.after_all and not stage.is_working():
                await stage.start_working()
            await each.body(stage)
    except Broken as broken:
        return str(broken)
    except TimeoutError:
        return f"it is not over after {LONGEST:.0f} s"
    except (ScheduleError, grpc.RpcError) as error:
        return f"the server does not answer the kit: {error}"
    return ""


async def _over(going: "asyncio.Task[None]") -> None:
    going.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await going


def _number(rule: str) -> int:
    return int(rule.removeprefix("W"))
