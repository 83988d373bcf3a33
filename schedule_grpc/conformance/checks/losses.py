"""Answers that are lost on their way, sessions that are forgotten, connections that are cut."""

import grpc

from schedule_grpc.conformance.check import CLOCK, check, expect, until, wait
from schedule_grpc.conformance.middleman import SESSION_UNKNOWN, Dropped, Refused
from schedule_grpc.conformance.stage import AT_ONCE, Stage
from schedule_grpc.conformance.tape import PULL, REGISTER, REPORT, Seen
from schedule_grpc.pb import worker_pb2 as pb

LOST = 3
"""Answers, one after the other."""
BACK_WITHIN = 20.0
"""Seconds in which a worker has made good what was lost: its back-off is 5 s at most, and it may meet it again."""
CUTS = 20
CUTS_EVERY = 0.25
"""Seconds."""
CALLS_A_SECOND = 8.0
"""While calls fail: 5 a second, and some room for the Report beside the Pull."""


@check("pull-answer-lost", "W1", "an assignment whose answer is lost comes again, and runs once")
async def pull_answer_lost(stage: Stage) -> None:
    """The server believes that the worker has it; the held list says that it has not."""
    lost: list[str] = []

    def lose(seen: Seen) -> None:
        if seen.method == PULL and seen.answer.assignments and len(lost) < LOST:
            lost.extend(each.lease_token for each in seen.answer.assignments)
            raise Dropped

    with stage.middle.trick(after=lose):
        execution_id = await stage.run("echo", note="lost")
        await until(lambda: len(lost) >= LOST, within=BACK_WITHIN, otherwise="the lost assignment is not fetched again")
        await stage.succeeds(execution_id, within=BACK_WITHIN)
    stage.ran_once(execution_id)
    expect(len(set(lost)) == 1, "it was assigned under several tokens")


@check("report-answer-lost", "W5", "an outcome whose acknowledgement is lost is reported again: one outcome, one run")
async def report_answer_lost(stage: Stage) -> None:
    """The server has it already, and says REPEATED."""
    lost: list[int] = []

    def lose(seen: Seen) -> None:
        if seen.method == REPORT and len(lost) < LOST:
            lost.append(seen.number)
            raise Dropped

    with stage.middle.trick(after=lose):
        execution_id = await stage.run("echo", note="lost")
        await until(lambda: len(lost) >= LOST, within=BACK_WITHIN, otherwise="the Report is not made again")
        await stage.succeeds(execution_id)
        await until(
            lambda: any(told.verdict is not None for told in stage.tape.outcomes(execution_id)),
            within=BACK_WITHIN,
            otherwise="the outcome is not reported until it is acknowledged",
        )
    stage.ran_once(execution_id)
    kinds = {told.end for told in stage.tape.outcomes(execution_id)}
    expect(kinds == {"succeeded"}, f"different outcomes are reported: {', '.join(sorted(kinds))}")


@check("report-lost", "W5", "an outcome that does not reach the server is reported again")
async def report_lost(stage: Stage) -> None:
    """The call itself is lost."""
    lost: list[int] = []

    def lose(seen: Seen) -> None:
        if seen.method == REPORT and len(lost) < LOST:
            lost.append(seen.number)
            raise Dropped

    with stage.middle.trick(before=lose):
        execution_id = await stage.run("echo", note="lost")
        await stage.succeeds(execution_id, within=BACK_WITHIN)
    stage.ran_once(execution_id)
    expect(lost, "no Report was made")


@check("cut", "W5", "a handler goes on when the connection is cut, and its outcome counts")
async def cut(stage: Stage) -> None:
    """As the same attempt."""
    execution_id = await stage.running("sleep", seconds=1.5)
    stage.wire.cut()
    await stage.succeeds(execution_id, within=BACK_WITHIN)
    stage.ran_once(execution_id)


@check("refused", "W5", "a handler goes on while no connection can be made, for less than the lease")
async def refused(stage: Stage) -> None:
    """Three seconds of a lease of ten; the handler ends meanwhile."""
    execution_id = await stage.running("sleep", seconds=1)
    stage.wire.refuse()
    await wait(2.5)
    stage.wire.pass_on()
    await stage.succeeds(execution_id, within=BACK_WITHIN)
    stage.ran_once(execution_id)


@check("session-unknown", "W5", "a forgotten session is registered again, with the tokens that are held")
async def session_unknown(stage: Stage) -> None:
    """The attempt under way goes on, and is reported in the new session."""
    execution_id = await stage.running("sleep", seconds=2)
    token = await stage.token(execution_id)
    before = len(stage.tape.calls)
    session = stage.tape.of(PULL)[-1].session

    def forget(seen: Seen) -> None:
        if seen.session == session:
            raise Refused(grpc.StatusCode.NOT_FOUND, "the session is not known", reason=SESSION_UNKNOWN)

    with stage.middle.trick(before=forget):
        stage.wire.cut()  # the Pull in progress ends, and the next one is refused
        await until(
            lambda: any(seen.answer is not None for seen in stage.tape.of(REGISTER, since=before)),
            within=BACK_WITHIN,
            otherwise="it does not register again",
        )
        registered = stage.tape.of(REGISTER, since=before)
        expect(token in registered[-1].request.held_tokens, "held_tokens does not name what it runs")
        await stage.succeeds(execution_id, within=BACK_WITHIN)
    stage.ran_once(execution_id)
    told = stage.tape.outcomes(execution_id)[-1]
    expect(told.seen.session != session, "the outcome is reported in the session that is gone")
    expect(len(registered) == 1, f"it registered {len(registered)} times")


@check("lost-at-register", "W4", "a token that is lost when it registers again is dropped")
async def lost_at_register(stage: Stage) -> None:
    """Its handler is stopped, and nothing is reported of it."""
    execution_id = await stage.running("sleep", seconds=30)
    token = await stage.token(execution_id)
    session = stage.tape.of(PULL)[-1].session
    lost: list[float] = []

    def forget(seen: Seen) -> None:
        if seen.session == session:
            raise Refused(grpc.StatusCode.NOT_FOUND, "the session is not known", reason=SESSION_UNKNOWN)

    def lose(seen: Seen) -> None:
        if seen.method == REGISTER:
            seen.answer.lost_tokens.append(token)
            lost.append(CLOCK.monotonic())
            stage.middle.believed.add(token)
        elif seen.method == PULL:
            kept = [each for each in seen.answer.assignments if each.lease_token != token]
            del seen.answer.assignments[:]
            seen.answer.assignments.extend(kept)

    with stage.middle.trick(before=forget, after=lose):
        stage.wire.cut()
        await until(lambda: lost, within=BACK_WITHIN, otherwise="it does not register again")
        await stage.stopped(execution_id, since=lost[0], within=AT_ONCE, why="lost_tokens of RegisterWorker names it")
        await stage.echoes(within=BACK_WITHIN)
        expect(not list(stage.tape.updates(token)), "something is reported of it")
        new = stage.tape.of(PULL)[-1].session
        over = pb.Update(lease_token=token, outcome=pb.Update.Outcome(failed=pb.Update.Outcome.Failed(error="lost")))
        await stage.middle.server.Report(pb.ReportRequest(session_id=new, updates=[over]))
        stage.middle.believed.clear()


@check("many-cuts", "W5", "many cuts make no storm of calls, and the worker is back after them", apart=True)
async def many_cuts(stage: Stage) -> None:
    """A cut each quarter of a second, and then none."""
    execution_id = await stage.running("sleep", seconds=CUTS * CUTS_EVERY)
    before = len(stage.tape.calls)
    began = CLOCK.monotonic()
    for _ in range(CUTS):
        stage.wire.cut()
        await wait(CUTS_EVERY)
    took = CLOCK.monotonic() - began
    made = len(stage.tape.calls) - before
    expect(made <= CALLS_A_SECOND * took, f"{made} calls in {took:.0f} s of cuts")
    await stage.succeeds(execution_id, within=BACK_WITHIN)
    stage.ran_once(execution_id)
    await stage.echoes()
