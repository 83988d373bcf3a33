"""A task's zone is changed around daylight saving time: each occurrence runs once, in the zone of its time."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.rigs.rig import Rig, at, new_rig

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.registration import TaskUpdate
from schedule_grpc.domain.schedule import parse
from schedule_grpc.testing import FakeClock

SPRING, AUTUMN = at("2026-03-29T01:00:00"), at("2026-10-25T01:00:00")
"""Berlin's clocks skip from 02:00 to 03:00, and go from 03:00 back to 02:00."""

GRANULARITIES = {
    "every 10 seconds": (timedelta(minutes=4), timedelta(seconds=10)),
    "* * * * *": (timedelta(minutes=40), timedelta(minutes=1)),
    "*/5 * * * *": (timedelta(hours=3), timedelta(minutes=5)),
    "30 * * * *": (timedelta(hours=8), timedelta(minutes=30)),
    "30 2 * * *": (timedelta(days=3), timedelta(hours=1)),
    "30 2 * * 0": (timedelta(days=15), timedelta(hours=6)),
    "30 2 29 * *": (timedelta(days=65), timedelta(days=1)),
    "30 2 29 3 *": (timedelta(days=400), timedelta(days=7)),
}
"""How long it is looked at on each side of the change of the clocks, and how often the engine looks."""


def due(schedule: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    """Return the occurrences of a stretch of time, one by one."""
    parsed, found = parse(schedule, zone), []
    occurrence = parsed.next_after(after)
    while occurrence is not None and occurrence <= until:
        found.append(occurrence)
        occurrence = parsed.next_after(occurrence)
    return found


async def accounted(rig: Rig) -> list[datetime]:
    """Return every occurrence that ran, in order."""
    found = []
    for execution in await rig.history():
        assert execution.state is State.SUCCEEDED
        assert execution.covers is None  # the engine looked often enough
        assert execution.scheduled_time is not None
        found.append(execution.scheduled_time)
    return sorted(found)


@pytest.mark.parametrize("schedule", GRANULARITIES)
@pytest.mark.parametrize("change", [SPRING, AUTUMN], ids=["spring", "autumn"])
@pytest.mark.parametrize("zones", [("Europe/Berlin", "America/New_York"), ("UTC", "Europe/Berlin")], ids="-".join)
@pytest.mark.parametrize("side", [-1, 1], ids=["before", "after"])
@pytest.mark.slow
async def test_a_zone_is_changed_around_daylight_saving_time(
    tmp_path: Path, schedule: str, change: datetime, zones: tuple[str, str], side: int
):
    """Just before the clocks change, and just after: what was due until then under the old zone, then the new one."""
    reach, step = GRANULARITIES[schedule]
    clock = FakeClock(change - reach)
    async with new_rig(tmp_path / "schedule.db", clock=clock) as rig:
        await rig.register("task", schedule, time_zone=zones[0])
        switch = change + side * min(step, timedelta(minutes=30)) + timedelta(seconds=5)
        await played(rig, switch, step)
        switched = rig.clock.now()
        await rig.service.update(TaskUpdate(name="task", fields={"time_zone": zones[1]}, policy={}))
        await played(rig, change + reach, step)
        expected = due(schedule, zones[0], change - reach, switched) + due(schedule, zones[1], switched, clock.now())
        assert await accounted(rig) == sorted(expected)


async def played(rig: Rig, until: datetime, step: timedelta) -> None:
    """Let time pass until an instant, step by step."""
    while rig.clock.now() < until:
        await rig.skip(min(step, until - rig.clock.now()).total_seconds())
