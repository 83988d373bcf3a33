"""Pulls: what they name, how many attempts run, and what answers mean that a server seldom gives."""

from itertools import pairwise

from google.protobuf.duration_pb2 import Duration

from schedule_grpc.conformance.check import CLOCK, LEASE, SHORT_LEASE, check, expect, until
from schedule_grpc.conformance.middleman import Answered
from schedule_grpc.conformance.stage import AT_ONCE, HANDLERS, SLOTS, SOON, Stage
from schedule_grpc.conformance.tape import PULL, REGISTER, REPORT, Seen
from schedule_grpc.pb import worker_pb2 as pb

QUEUED = 40
NAP = 0.2
"""Seconds."""
ROUNDS = 3
BUSY = 6
"""Answers of a draining server that a worker gets, one after the other."""
PAUSES = 0.25
"""Seconds that a worker takes at least for `BUSY` Pulls: it pauses between them, 0.1 s and more."""
BEYOND = b"\xfa\x7f\x07unknown\xd8\x7e\x2a"
"""Two fields that no message has: a text of number 2047, an integer of number 2027."""
UNKNOWN_REASON = 99
GRANTED = Duration(seconds=LEASE)


@check("register", "W1", "it registers with its slots, its lease, the protocol and the kit's handlers")
async def register(stage: Stage) -> None:
    """All of them as it was told by the environment."""
    request = stage.tape.of(REGISTER)[-1].request
    expect(request.protocol == 1, f"protocol is {request.protocol}, not 1")
    expect(request.slots == SLOTS, f"slots is {request.slots}, not SCHEDULE_SLOTS = {SLOTS}")
    lease = request.lease.ToTimedelta().total_seconds()
    expect(lease == stage.lease, f"lease is {lease:g} s, not SCHEDULE_LEASE = {stage.lease} s")
    missing = {f"conformance.{name}" for name in HANDLERS} - {each.name for each in request.handlers}
    expect(not missing, f"it does not offer {', '.join(sorted(missing))}")


@check("slots", "W1", "with many queued, as many run at once as there are slots, and never more")
async def slots(stage: Stage) -> None:
    """Handlers that wait do not keep others from beginning."""
    queued = {await stage.run("sleep", seconds=NAP) for _ in range(QUEUED)}
    for execution_id in queued:
        await stage.succeeds(execution_id, within=4 * SOON)
    most = stage.journal.most_at_once(queued)
    expect(most <= SLOTS, f"{most} handlers ran at once, with {SLOTS} slots")
    expect(most == SLOTS, f"only {most} handlers ran at once, with {SLOTS} slots and {QUEUED} queued")
    stage.ran_once(*queued)


@check("heartbeat", "W3", "Pulls go on while every slot is taken", lease=SHORT_LEASE)
async def heartbeat(stage: Stage) -> None:
    """The server answers in a quarter of the lease."""
    began = CLOCK.monotonic()
    running = [await stage.run("sleep" if n % 2 else "deaf", seconds=6) for n in range(SLOTS)]
    for execution_id in running:
        await stage.succeeds(execution_id, within=2 * SOON)
    times = [seen.arrived for seen in stage.tape.of(PULL) if seen.arrived > began]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    longest = max(gaps, default=stage.lease)
    expect(longest < stage.lease / 2, f"{longest:.1f} s passed between two Pulls")


@check("redelivered", "W2", "an assignment that comes again while it is held is not run again")
async def redelivered(stage: Stage) -> None:
    """In every answer, as long as its outcome is not reported."""

    def again(seen: Seen) -> None:
        if seen.method == PULL:
            named = [each.lease_token for each in seen.request.held]
            reported = {told.token for told in stage.tape.told()}
            seen.answer.assignments.extend(stage.tape.assignments[token] for token in named if token not in reported)

    with stage.middle.trick(after=again):
        execution_id = await stage.running("sleep", seconds=1.5)
        for _ in range(ROUNDS):
            await stage.succeeds(await stage.run("echo"))
        await stage.succeeds(execution_id)
    await stage.echoes()
    stage.ran_once(execution_id)
    expect(len(stage.tape.outcomes(execution_id)) == 1, "its outcome is reported more than once")


@check("lost-tokens", "W4", "a lost token's handler is stopped, and nothing is reported of it")
async def lost_tokens(stage: Stage) -> None:
    """The server says that the attempt is another's; it is not named any more either."""
    execution_id = await stage.running("sleep", seconds=30)
    token = await stage.token(execution_id)

    def lose(seen: Seen) -> None:
        if seen.method == PULL:
            kept = [each for each in seen.answer.assignments if each.lease_token != token]
            del seen.answer.assignments[:]
            seen.answer.assignments.extend(kept)
            if token in [each.lease_token for each in seen.request.held]:
                seen.answer.lost_tokens.append(token)

    stage.middle.believed.add(token)
    with stage.middle.trick(after=lose):
        await stage.pull_again()
        said = CLOCK.monotonic()
        await stage.stopped(execution_id, since=said, within=AT_ONCE, why="its token is in lost_tokens")
        await stage.echoes()
        await stage.echoes()
        last = stage.tape.last_pull()
        named = [each.lease_token for each in last.request.held] if last else []
        expect(token not in named, "a Pull still names it")
        expect(not list(stage.tape.updates(token)), "something is reported of it")
        session = stage.tape.of(PULL)[-1].session
        over = pb.Update(lease_token=token, outcome=pb.Update.Outcome(failed=pb.Update.Outcome.Failed(error="lost")))
        await stage.middle.server.Report(pb.ReportRequest(session_id=session, updates=[over]))
        stage.middle.believed.clear()
        await stage.ended(execution_id)


@check("stale", "W4", "what is answered STALE is dropped, and not reported again")
async def stale(stage: Stage) -> None:
    """The server has given the attempt to another worker."""
    execution_id = await stage.run("echo")
    refused: list[str] = []

    def refuse(seen: Seen) -> None:
        if seen.method == REPORT and seen.request.updates[0].WhichOneof("news") == "outcome":
            refused.extend(update.lease_token for update in seen.request.updates)
            seen.answer.verdicts[:] = [pb.ReportResponse.STALE] * len(seen.request.updates)

    with stage.middle.trick(after=refuse):
        await until(lambda: refused, within=SOON, otherwise="no outcome is reported")
        await stage.ended(execution_id)
    await stage.pull_again()
    await stage.pull_again()
    expect(len(stage.tape.outcomes(execution_id)) == 1, "the outcome is reported again")
    named = [each.lease_token for each in stage.tape.of(PULL)[-1].request.held]
    expect(refused[0] not in named, "a Pull still names it")


@check("invalid", "W9", "an outcome that the server cannot read is followed by one that says so")
async def invalid(stage: Stage) -> None:
    """Not by the same again, and not by silence."""
    execution_id = await stage.run("echo", note="unreadable")
    refused: list[str] = []

    def refuse(seen: Seen) -> None:
        news = (
            [update for update in seen.request.updates if update.WhichOneof("news") == "outcome"]
            if (seen.method == REPORT)
            else []
        )
        if news and not refused:
            refused.append(news[0].lease_token)
            verdicts = [
                pb.ReportResponse.INVALID if update.lease_token == refused[0] else pb.ReportResponse.STALE
                for update in seen.request.updates
            ]
            raise Answered(pb.ReportResponse(verdicts=verdicts, reasons={0: "result_json: is not JSON"}))

    with stage.middle.trick(before=refuse):
        execution = await stage.ended(execution_id)
    told = stage.tape.outcomes(execution_id)
    expect(len(told) > 1, "no second outcome is reported")
    expect(told[1].end == "failed", f"the second outcome is {told[1].end}")
    expect(execution.state == "FAILED" and execution.error, f"{execution.state}, error {execution.error!r}")
    await stage.echoes()


@check("draining-server", "W5", "a draining server is asked again, without haste")
async def draining_server(stage: Stage) -> None:
    """It answers at once; the worker pauses before the next Pull, and works on."""
    answered: list[float] = []

    def drain(seen: Seen) -> None:
        if seen.method == PULL and len(answered) < BUSY:
            answered.append(CLOCK.monotonic())
            raise Answered(pb.PullResponse(server_draining=True, lease=GRANTED))

    with stage.middle.trick(before=drain):
        await stage.pull_again()
        execution_id = await stage.run("echo")
        await until(
            lambda: len(answered) == BUSY,
            within=2 * SOON,
            otherwise=lambda: f"a draining server is asked {len(answered)} times in {2 * SOON:.0f} s",
        )
    took = answered[-1] - answered[0]
    expect(took >= PAUSES, f"a draining server is asked {BUSY} times in {took:.2f} s")
    await stage.succeeds(execution_id, within=3 * SOON)


@check("unknown-fields", "W10", "fields that it does not know are passed over")
async def unknown_fields(stage: Stage) -> None:
    """In every answer, and in what answers hold."""

    def add(seen: Seen) -> None:
        for message in (seen.answer, *getattr(seen.answer, "assignments", ()), *getattr(seen.answer, "stops", ())):
            message.MergeFromString(BEYOND)

    with stage.middle.trick(after=add):
        await stage.pull_again()
        await stage.echoes()
        execution_id = await stage.running("sleep", seconds=1)
        await stage.succeeds(execution_id)


@check("unknown-reason", "W10", "a stop for a reason that it does not know is a stop")
async def unknown_reason(stage: Stage) -> None:
    """As CANCELLED would be."""
    execution_id = await stage.running("sleep", seconds=30)
    token = await stage.token(execution_id)

    def stop(seen: Seen) -> None:
        if seen.method == PULL and token in [each.lease_token for each in seen.request.held]:
            seen.answer.stops.add(lease_token=token, reason=UNKNOWN_REASON)

    with stage.middle.trick(after=stop):
        await stage.pull_again()
        said = CLOCK.monotonic()
        await stage.stopped(execution_id, since=said, within=AT_ONCE, why="a stop for reason 99")
        await stage.outcome(execution_id)
    await stage.ended(execution_id)
