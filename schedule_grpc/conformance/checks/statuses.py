"""Statuses: which are tried again, which end a worker, and how fast it tries."""

from collections.abc import Awaitable, Callable

from grpc import StatusCode

from schedule_grpc.conformance.check import CLOCK, check, expect, until
from schedule_grpc.conformance.middleman import Refused
from schedule_grpc.conformance.stage import REGISTERS_WITHIN, SOON, Stage
from schedule_grpc.conformance.tape import PULL, REPORT, Seen

TRANSIENT = (
    StatusCode.UNAVAILABLE,
    StatusCode.RESOURCE_EXHAUSTED,
    StatusCode.CANCELLED,
    StatusCode.UNKNOWN,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.ABORTED,
    StatusCode.INTERNAL,
)
FATAL = (
    StatusCode.UNAUTHENTICATED,
    StatusCode.PERMISSION_DENIED,
    StatusCode.INVALID_ARGUMENT,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.UNIMPLEMENTED,
)
ENDS_WITHIN = 10.0
"""Seconds in which a worker that cannot go on ends."""
BACK_WITHIN = 30.0
"""Seconds: seven failures in a row, each followed by up to 5 s."""
AWAY = 8.0
"""Seconds for which every call fails."""
AT_MOST_A_SECOND = 5.0
CAP_AND_MORE = 8.0
"""Seconds after which a worker calls again at the latest: its back-off is 5 s at most."""


@check("pull-statuses", "W5", "a Pull is tried again after every transient status", apart=True)
async def pull_statuses(stage: Stage) -> None:
    """One after the other, while a handler runs."""
    await _met(stage, PULL)


@check("report-statuses", "W5", "a Report is tried again after every transient status", apart=True)
async def report_statuses(stage: Stage) -> None:
    """One after the other, of one outcome."""
    await _met(stage, REPORT)


async def _met(stage: Stage, method: str) -> None:
    """Let calls of one rpc fail with each transient status; then an attempt must have ended well, once."""
    left = list(TRANSIENT)

    def refuse(seen: Seen) -> None:
        if seen.method == method and left:
            raise Refused(left.pop(0))

    with stage.middle.trick(before=refuse):
        if method == PULL:
            await stage.pull_again()
        execution_id = await stage.run("echo", note=method)
        await until(
            lambda: not left,
            within=BACK_WITHIN,
            otherwise=lambda: f"{method} is not made again; the last status was {TRANSIENT[-len(left) - 1].name}",
        )
        await stage.succeeds(execution_id, within=BACK_WITHIN)
    stage.ran_once(execution_id)
    expect(stage.program.code is None, f"the worker ended with code {stage.program.code}")


@check("back-off", "W5", "while every call fails the worker calls less and less, and is back soon after", apart=True)
async def back_off(stage: Stage) -> None:
    """At most five times a second; at least once in 5 s."""
    before = len(stage.tape.calls)
    times: list[float] = []
    end = CLOCK.monotonic() + AWAY

    def refuse(seen: Seen) -> None:
        if CLOCK.monotonic() < end:
            times.append(seen.arrived)
            raise Refused(StatusCode.UNAVAILABLE)

    with stage.middle.trick(before=refuse):
        stage.wire.cut()
        await until(lambda: CLOCK.monotonic() > end, within=2 * AWAY, otherwise="")
        expect(len(times) > 1, f"{len(stage.tape.calls) - before} calls in {AWAY:.0f} s: it does not try again")
        most = AT_MOST_A_SECOND * AWAY
        expect(len(times) <= most, f"{len(times)} calls in {AWAY:.0f} s, at most {most:.0f} are right")
        later = sum(each > end - AWAY / 2 for each in times)
        expect(later <= AWAY, f"{later} calls in the last {AWAY / 2:.0f} s: the pauses do not grow")
        await stage.echoes(within=CAP_AND_MORE + SOON)


def _ends_at(code: StatusCode, method: str) -> Callable[[Stage], Awaitable[None]]:
    """Return a check's body: a worker whose calls of one rpc get a fatal status ends, in words, and not with 0."""

    async def body(stage: Stage) -> None:
        met: list[int] = []

        def refuse(seen: Seen) -> None:
            if seen.method == method:
                met.append(seen.number)
                raise Refused(code, "this caller may not do that")

        with stage.middle.trick(before=refuse):
            program = await stage.start()
            await until(
                lambda: met or program.code is not None, within=REGISTERS_WITHIN, otherwise=f"it does not call {method}"
            )
            ended = await program.ended(within=ENDS_WITHIN)
        expect(met, f"it ended with code {ended} before it called {method}")
        expect(ended != 0, f"it ended with code 0 after {code.name}")
        expect(ended > 0, f"it was ended by signal {-ended}")
        expect(program.output.strip(), "it ended without a message")

    return body


for _code in FATAL:
    _name = _code.name.lower().replace("_", "-")
    check(f"fatal-{_name}", "W5", f"{_code.name} ends it with a message and a code other than 0", starts=False)(
        _ends_at(_code, "RegisterWorker")
    )
check("fatal-pull", "W5", "a key that is revoked while it works (UNAUTHENTICATED of Pull) ends it", starts=False)(
    _ends_at(StatusCode.UNAUTHENTICATED, PULL)
)
