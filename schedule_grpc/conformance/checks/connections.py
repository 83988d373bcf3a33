"""Servers that die, and servers that are away."""

from collections.abc import Callable

from schedule_grpc.conformance.check import CLOCK, SHORT_LEASE, check, expect, until, wait
from schedule_grpc.conformance.stage import SOON, Stage

BACK_WITHIN = 25.0
"""Seconds in which an attempt ends that outlives its server: the start of the server, and a back-off of 5 s."""
LETS_GO = 5.0
"""Seconds before the end of its lease at which a worker stops its handlers."""
LATE = 2.5
"""Seconds that it may be late with that."""
RESCUED_AFTER = 12.0
"""Seconds after the end of a lease after which a server has certainly ended the session: 5, and its next look."""
TAKES_OVER = 25.0
"""Seconds from the return of the network in which the next attempt has ended."""


@check("server-killed", "W5", "a handler outlives kill -9 and restart of the server: one attempt", own_server=True)
async def server_killed(stage: Stage) -> None:
    """The new server has nothing but its file."""
    execution_id = await stage.running("sleep", seconds=3)
    stage.wire.refuse()
    await stage.server.kill()
    await stage.server.start()
    stage.wire.pass_on()
    await stage.succeeds(execution_id, within=BACK_WITHIN)
    stage.ran_once(execution_id)
    await stage.echoes()


@check(
    "silent-network",
    "W4",
    "when nothing comes any more it stops its handlers 5 s before its lease ends, and reports nothing of them",
    quick=False,
    lease=SHORT_LEASE,
    apart=True,
)
async def silent_network(stage: Stage) -> None:
    """The connection stands, and nothing passes; after the lease the next attempt runs."""
    await _away(stage, stage.wire.fall_silent)


@check(
    "no-network",
    "W4",
    "when no connection can be made it stops its handlers 5 s before its lease ends, and reports nothing of them",
    quick=False,
    lease=SHORT_LEASE,
    apart=True,
)
async def no_network(stage: Stage) -> None:
    """Each connection is ended at once; after the lease the next attempt runs."""
    await _away(stage, stage.wire.refuse)


async def _away(stage: Stage, go: Callable[[], None]) -> None:
    execution_id = await stage.running("sleep", retries=1, seconds=8)
    token = await stage.token(execution_id)
    await wait(0.3)  # the Pull that names it is on its way
    gone = CLOCK.monotonic()
    go()
    renewed = stage.tape.last_pull()
    since = renewed.arrived if renewed else gone
    latest = gone + stage.lease - LETS_GO + LATE
    took = await stage.stopped(
        execution_id, since=since, within=latest - since, why=f"{latest - gone:.1f} s without a Pull"
    )
    expect(took > 1, f"it was stopped {took:.1f} s after the last Pull: a lease of {stage.lease} s allows more")
    reported = len(list(stage.tape.updates(token)))
    await until(
        lambda: CLOCK.monotonic() > gone + stage.lease + RESCUED_AFTER,
        within=2 * (stage.lease + RESCUED_AFTER),
        otherwise="",
    )
    stage.wire.cut()
    stage.wire.pass_on()
    await stage.succeeds(execution_id, within=TAKES_OVER + SOON, attempts=2)
    expect(len(list(stage.tape.updates(token))) == reported, "something is reported of the attempt that was dropped")
    begins = [note.attempt for note in stage.journal.notes(execution_id) if note.event == "begin"]
    expect(begins == [1, 2], f"the handler was called for attempts {begins}")
