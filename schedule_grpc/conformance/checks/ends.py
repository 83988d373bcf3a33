"""How attempts end: failures of each kind, timeouts, cancellations; and what handlers say on the way."""

from schedule_grpc.conformance.check import CLOCK, SHORT_LEASE, check, expect, until
from schedule_grpc.conformance.stage import AT_ONCE, SOON, Stage
from schedule_grpc.conformance.tape import PULL, REPORT, Seen, Told
from schedule_grpc.pb import schedule_pb2
from schedule_grpc.pb import worker_pb2 as pb

TEXT = "the pump is dry: 世界"
TIMEOUT = 1.0
"""Seconds."""
GRACE = 10.0
"""Seconds that a handler gets to stop before it is abandoned."""
ON_ITS_WAY = 3.0
"""Seconds that an outcome may take from the worker's decision to the server, on a busy machine."""
LINES, MAX_SENT = 10_000, 2_000
"""Log lines of a flood, and those of them that may be sent: 200 at once, 50 more a second, and much to spare."""
MAX_LINE_BYTES = 4096
STEPS = 4


def _kind(told: Told) -> str:
    """Return the kind of a failure as it was reported."""
    kind = told.outcome.failed.failure_kind
    return schedule_pb2.Execution.FailureKind.Name(kind) if kind else "ERROR"


def _fails(told: Told, kind: str, text: str = "") -> None:
    expect(told.end == "failed", f"it is reported as {told.end or 'nothing'}, not as failed")
    expect(_kind(told) == kind, f"the kind of the failure is {_kind(told)}, not {kind}")
    expect(text in told.outcome.failed.error, f"the error is {told.outcome.failed.error!r}, without {text!r}")


@check("fail-text", "W9", "the text of a failure reaches the history")
async def fail_text(stage: Stage) -> None:
    """Of an ordinary error, which is retried."""
    execution_id = await stage.run("fail", retries=1, text=TEXT)
    _fails(await stage.outcome(execution_id), "ERROR", TEXT)
    execution = await stage.ended(execution_id)
    expect(execution.state == "FAILED" and execution.attempt == 2, f"{execution.state} at attempt {execution.attempt}")  # noqa: PLR2004
    expect(TEXT in (execution.error or ""), f"the history has {execution.error!r}")


@check("reject", "W9", "a permanent failure is REJECTED, and not retried")
async def reject(stage: Stage) -> None:
    """Neither by the worker nor by the server."""
    execution_id = await stage.run("reject", retries=2, text=TEXT)
    _fails(await stage.outcome(execution_id), "REJECTED", TEXT)
    execution = await stage.ended(execution_id)
    expect(execution.state == "FAILED" and execution.attempt == 1, f"{execution.state} at attempt {execution.attempt}")
    stage.ran_once(execution_id)


@check("soft-fail", "W8", "success: false is a failure, with its text")
async def soft_fail(stage: Stage) -> None:
    """A handler that returns so has failed."""
    execution_id = await stage.run("soft_fail", text=TEXT)
    _fails(await stage.outcome(execution_id), "ERROR", TEXT)
    expect((await stage.ended(execution_id)).state == "FAILED", "the history does not say FAILED")


@check("timeout", "W4", "a timeout stops the handler and is TIMEOUT, without help of the server")
async def timeout(stage: Stage) -> None:
    """The server would order it 2 s later; that order is withheld."""
    with stage.middle.trick(after=_without_stops):
        execution_id = await stage.run("sleep", timeout=TIMEOUT, seconds=30)
        await stage.began(execution_id)
        began = CLOCK.monotonic()
        most = TIMEOUT + ON_ITS_WAY
        took = await stage.stopped(execution_id, since=began, within=most, why="the timeout of 1 s is over")
        expect(took > TIMEOUT / 2, f"it was stopped after {took:.1f} s, before its timeout of {TIMEOUT:.0f} s")
        _fails(await stage.outcome(execution_id, within=ON_ITS_WAY), "TIMEOUT")


def _without_stops(seen: Seen) -> None:
    if seen.method == PULL:
        del seen.answer.stops[:]


@check("cancel", "W4", "a cancelled execution's handler is stopped within a second")
async def cancel(stage: Stage) -> None:
    """The order comes with the answer of a Pull."""
    execution_id = await stage.running("sleep", seconds=30)
    asked = CLOCK.monotonic()
    await stage.client.cancel_execution(execution_id)
    await stage.stopped(execution_id, since=asked, within=AT_ONCE, why="cancelled")
    execution = await stage.ended(execution_id, within=ON_ITS_WAY)
    expect(execution.state == "CANCELLED", f"it ended {execution.state}")
    expect(stage.tape.outcomes(execution_id), "its outcome is not reported")


@check("deaf", "W4", "a handler that does not stop keeps its lease, and is abandoned after 10 s", apart=True)
async def deaf(stage: Stage) -> None:
    """Its attempt is not retried: it may still run."""
    execution_id = await stage.running("deaf", timeout=TIMEOUT, retries=2, seconds=25)
    token = await stage.token(execution_id)
    told = await stage.outcome(execution_id, within=TIMEOUT + GRACE + ON_ITS_WAY)
    _fails(told, "TIMEOUT")
    expect(told.outcome.failed.abandoned, "the outcome does not say that the handler is abandoned")
    pulls = [seen for seen in stage.tape.of(PULL) if told.seen.arrived - GRACE < seen.arrived < told.seen.arrived]
    expect(pulls, "no Pull came while the handler did not stop")
    named = [seen for seen in pulls if token in [each.lease_token for each in seen.request.held]]
    expect(len(named) == len(pulls), f"{len(pulls) - len(named)} of {len(pulls)} Pulls meanwhile do not name it")
    execution = await stage.ended(execution_id)
    expect(execution.state == "FAILED" and execution.attempt == 1, f"{execution.state} at attempt {execution.attempt}")


@check("log-lines", "W9", "the lines that a handler logs come in order, before its outcome", must=False)
async def log_lines(stage: Stage) -> None:
    """Numbered from 1, at their level."""
    execution_id = await stage.run("log", lines=3, text=TEXT)
    told = await stage.outcome(execution_id)
    await stage.ended(execution_id)
    lines = _lines(stage, told.token, before_outcome=True)
    expect(
        [line.sequence for line in lines] == [1, 2, 3], f"the lines are numbered {[line.sequence for line in lines]}"
    )
    expect(all(TEXT in line.text and line.level == "info" for line in lines), f"the first is {lines[0].text!r}")


@check("log-flood", "W9", "of 10,000 lines as many as fit are sent, in order, and the outcome comes at once")
async def log_flood(stage: Stage) -> None:
    """A worker without logs passes: none is in order, too."""
    execution_id = await stage.run("log", lines=LINES, text="x" * 100)
    told = await stage.outcome(execution_id)
    execution = await stage.ended(execution_id)
    expect(execution.state == "SUCCEEDED", f"it ended {execution.state}: {execution.error}")
    lines = _lines(stage, told.token)
    numbers = [line.sequence for line in lines]
    expect(numbers == sorted(set(numbers)), "lines are sent twice, or not in order")
    expect(len(lines) <= MAX_SENT, f"{len(lines)} lines are sent, at most {MAX_SENT} are right")
    longest = max((len(line.text.encode()) for line in lines), default=0)
    expect(longest <= MAX_LINE_BYTES, f"a line has {longest} bytes, at most {MAX_LINE_BYTES} are right")


def _lines(stage: Stage, token: str, *, before_outcome: bool = False) -> list[pb.Update.LogLine]:
    """Return the lines of an attempt that reached the server: all, or those that came before its outcome."""
    found: list[pb.Update.LogLine] = []
    for seen, update in stage.tape.updates(token):
        if before_outcome and update.WhichOneof("news") == "outcome":
            break
        if seen.answer is not None:
            found += update.log.lines
    return found


@check("progress", "W9", "progress is shown, with its text, while the handler runs", must=False, lease=SHORT_LEASE)
async def progress(stage: Stage) -> None:
    """By Report or with the held list."""
    execution_id = await stage.running("progress", steps=STEPS, seconds=6)
    token = await stage.token(execution_id)
    await until(lambda: _shown(stage, token), within=SOON, otherwise="no progress is shown")
    await stage.ended(execution_id)
    shown = _shown(stage, token)
    fractions = [fraction for fraction, _ in shown]
    expect(all(0 <= each <= 1 for each in fractions), f"shown: {fractions}")
    expect(any(text.startswith("step ") for _, text in shown), f"the texts are {[text for _, text in shown]}")


def _shown(stage: Stage, token: str) -> list[tuple[float, str]]:
    """Return the progress of an attempt as it was shown."""
    found: list[tuple[float, str]] = []
    for seen in stage.tape.calls:
        if seen.method == PULL:
            found += [
                (each.progress, each.progress_text)
                for each in seen.request.held
                if each.lease_token == token and each.HasField("progress")
            ]
        elif seen.method == REPORT:
            found += [
                (each.progress.fraction, each.progress.text)
                for each in seen.request.updates
                if each.lease_token == token and each.WhichOneof("news") == "progress"
            ]
    return found
