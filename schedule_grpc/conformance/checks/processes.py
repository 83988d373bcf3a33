"""Signals to the worker's process, and ends of the process that no signal asked for."""

from schedule_grpc.conformance.check import CLOCK, SHORT_LEASE, check, expect, until, wait
from schedule_grpc.conformance.stage import AT_ONCE, DRAIN_TIMEOUT, SOON, Stage
from schedule_grpc.conformance.tape import PULL, UNREGISTER, Seen

ENDS_WITHIN = 10.0
"""Seconds from the end of its work to the end of a process."""
TAKES_OVER = 40.0
"""Seconds from the death of a worker to the end of the next attempt: a lease, 5 s, and the attempt."""
RESCUED_AFTER = 12.0
"""Seconds after the end of a lease after which a server has certainly ended the session: 5, and its next look."""
EXIT_CODE = 7


@check("sigterm-idle", "W7", "SIGTERM ends a worker without work at once: it unregisters, and exits with 0", apart=True)
async def sigterm_idle(stage: Stage) -> None:
    """The Pull that waits does not hold it up for 20 s."""
    stage.program.terminate()
    code = await stage.program.ended(within=ENDS_WITHIN)
    expect(code == 0, f"it exited with {code}")
    expect(_unregistered(stage), "it does not unregister")


@check("sigterm-busy", "W7", "SIGTERM: nothing new is taken, what runs ends and is reported", apart=True)
async def sigterm_busy(stage: Stage) -> None:
    """Pulls go on, with draining; then it unregisters, and exits with 0."""
    execution_id = await stage.running("sleep", seconds=2)
    before = len(stage.tape.calls)
    stage.program.terminate()
    await until(
        lambda: [seen for seen in stage.tape.of(PULL, since=before) if seen.request.draining],
        within=SOON,
        otherwise="no Pull says draining",
    )
    late = await stage.run("echo", note="late")
    await stage.succeeds(execution_id)
    code = await stage.program.ended(within=ENDS_WITHIN)
    expect(code == 0, f"it exited with {code}")
    expect(_unregistered(stage), "it does not unregister")
    expect(stage.journal.begins(late) == 0, "it took new work after SIGTERM")
    draining = [seen.request.draining for seen in stage.tape.of(PULL, since=before)]
    expect(draining == sorted(draining), "a Pull without draining came after one with it")


@check("sigterm-long", "W7", "what does not end within the drain timeout after SIGTERM is released", apart=True)
async def sigterm_long(stage: Stage) -> None:
    """It does not count as an attempt, and the next worker gets it at once."""
    execution_id = await stage.running("sleep", retries=1, seconds=60)
    stage.program.terminate()
    told = await stage.outcome(execution_id, within=DRAIN_TIMEOUT + SOON)
    expect(told.end == "released", f"it is reported as {told.end}, not as released")
    expect(told.outcome.released.began, "it does not say that the handler began")
    code = await stage.program.ended(within=ENDS_WITHIN)
    expect(code == 0, f"it exited with {code}")
    left = _unregistered(stage)
    expect(left and left[0].number > told.seen.number, "it does not unregister after the report")
    await stage.start_working()
    await until(
        lambda: stage.journal.begins(execution_id) > 1, within=SOON, otherwise="the next worker does not get it at once"
    )


@check(
    "sigkill",
    "W4",
    "when a worker is killed another one takes over after its lease",
    quick=False,
    lease=SHORT_LEASE,
    apart=True,
)
async def sigkill(stage: Stage) -> None:
    """The attempt of the dead one counts as lost."""
    execution_id = await stage.running("sleep", retries=1, seconds=3)
    await stage.program.kill()
    await stage.start_working()
    await stage.succeeds(execution_id, within=TAKES_OVER, attempts=2)
    await _twice(stage, execution_id)


@check(
    "exit",
    "W4",
    "when a handler ends the process another worker takes over after the lease",
    quick=False,
    lease=SHORT_LEASE,
    apart=True,
)
async def exits(stage: Stage) -> None:
    """The process ends with the handler's code, and reports nothing."""
    execution_id = await stage.running("exit", retries=1, code=EXIT_CODE)
    code = await stage.program.ended(within=ENDS_WITHIN)
    expect(code == EXIT_CODE, f"it exited with {code}, not {EXIT_CODE}")
    expect(not stage.tape.outcomes(execution_id), "an outcome is reported")
    await stage.start_working()
    await stage.began(execution_id, attempt=2, within=TAKES_OVER)


@check(
    "paused",
    "W4",
    "a process that stood still for longer than its lease stops what it had, and works on",
    quick=False,
    lease=SHORT_LEASE,
    apart=True,
)
async def paused(stage: Stage) -> None:
    """SIGSTOP and SIGCONT: its own clock shows how much time went by."""
    execution_id = await stage.running("sleep", retries=1, seconds=120)
    stage.program.pause()
    await wait(stage.lease + RESCUED_AFTER)
    woken = CLOCK.monotonic()
    stage.program.go_on()
    await stage.stopped(execution_id, since=woken, within=AT_ONCE, why="its lease was over when it went on")
    await stage.began(execution_id, attempt=2, within=TAKES_OVER)
    told = [each for each in stage.tape.outcomes(execution_id) if each.end == "succeeded"]
    expect(not told, "the attempt that it had lost is reported as succeeded")


async def _twice(stage: Stage, execution_id: str) -> None:
    begins = [note.attempt for note in stage.journal.notes(execution_id) if note.event == "begin"]
    expect(begins == [1, 2], f"the handler was called for attempts {begins}")


def _unregistered(stage: Stage) -> list[Seen]:
    return [seen for seen in stage.tape.of(UNREGISTER) if seen.answer is not None]
