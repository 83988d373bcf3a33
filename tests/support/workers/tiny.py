"""A small worker that keeps the rules of docs/worker-conformance.md, or breaks the one that `BREAKS` names.

The kit's own tests run it: a check that no worker can fail is worth nothing. It knows nothing of the package but the
generated stubs.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.unknown_fields import UnknownFieldSet
from support.workers.tiny_handlers import HANDLERS, Rejected

from schedule_grpc.pb import schedule_pb2, worker_pb2_grpc
from schedule_grpc.pb import worker_pb2 as pb

BREAKS = os.environ.get("BREAKS", "")
LEASE, SLOTS, DRAIN = (os.environ[f"SCHEDULE_{name}"] for name in ("LEASE", "SLOTS", "DRAIN_TIMEOUT"))
FATAL = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED")
GRACE, LETS_GO, MAX_RESULT, LOG_BURST = 10.0, 5.0, 64 * 1024, 200
Failed, Outcome, Kind = pb.Update.Outcome.Failed, pb.Update.Outcome, schedule_pb2.Execution


@dataclass
class Held:
    """An attempt of this worker."""

    assignment: pb.Assignment
    ends: float
    call: "asyncio.Task[Any] | None" = None
    why: str = ""
    lines: list[pb.Update.LogLine] = field(default_factory=list)
    progress: tuple[float, str] | None = None

    def stop(self, why: str) -> None:
        """Ask the handler to stop, for the first reason only."""
        if not self.why:
            self.why = why
            if self.call is not None:
                self.call.cancel()

    def log(self, text: str) -> None:
        """Keep a line, if there is room."""
        if len(self.lines) < LOG_BURST or BREAKS == "floods":
            self.lines.append(pb.Update.LogLine(sequence=len(self.lines) + 1, level="info", text=text))


class Worker:
    """The loop of Pull, and the attempts beside it."""

    def __init__(self) -> None:
        channel = grpc.aio.insecure_channel(
            os.environ["SCHEDULE_SERVER"], options=[("grpc.max_reconnect_backoff_ms", 1000)]
        )
        self.stub = worker_pb2_grpc.WorkerServiceStub(channel)
        self.held: dict[str, Held] = {}
        self.session = ""
        self.failures = 0
        self.turn = asyncio.Lock()
        self.stopping = asyncio.Event()
        self.until = float("inf")
        self.pulling: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Work until SIGTERM, and what is held then has ended."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        watching = asyncio.create_task(self.watch())
        if BREAKS == "pulls-twice":
            await self.register()
            self.second = asyncio.create_task(self.turns())
        await self.turns()
        watching.cancel()
        if BREAKS != "leaves-without-a-word":
            with suppress(grpc.RpcError):
                await self.stub.UnregisterWorker(pb.UnregisterWorkerRequest(session_id=self.session), timeout=5)

    def stop(self) -> None:
        """Take nothing new."""
        if BREAKS == "ignores-sigterm":
            return
        self.stopping.set()
        self.until = time.monotonic() + float(DRAIN.removesuffix("s"))
        if self.pulling is not None:
            self.pulling.cancel()
        if BREAKS == "drops-at-sigterm":
            os._exit(0)

    async def turns(self) -> None:
        """Pull again and again."""
        while not self.stopping.is_set() or self.held:
            try:
                if not self.session:
                    await self.register()
                self.pulling = asyncio.ensure_future(self.pull())
                with suppress(asyncio.CancelledError):
                    await self.pulling
                self.failures = 0
            except grpc.RpcError as error:
                await self.failed(error)

    async def failed(self, error: grpc.RpcError) -> None:
        """Register again, try again after a pause, or end."""
        code = error.code()
        if code is grpc.StatusCode.NOT_FOUND:
            self.session = ""
        elif code.name in FATAL or BREAKS == "gives-up":
            if BREAKS == "tries-for-ever":
                await asyncio.sleep(0.5)
                return
            if BREAKS != "exits-without-a-word":
                sys.stderr.write(f"the server answers {code.name}: {error.details()}\n")
            os._exit(0 if BREAKS == "exits-with-0" else 1)
        await self.pause()

    async def pause(self) -> None:
        """Wait longer after each failure, by a part of it that is a throw of dice."""
        longest = min(0.2 * 2**self.failures, 5.0)
        self.failures += 1
        await asyncio.sleep(0.02 if BREAKS == "storms" else random.uniform(0.1, max(longest, 0.1)))  # noqa: S311

    async def register(self) -> None:
        """Begin a session."""
        request = pb.RegisterWorkerRequest(
            name="tiny",
            protocol=1,
            slots=int(SLOTS),
            lease=Duration(seconds=60 if BREAKS == "leases-longer" else int(LEASE.removesuffix("s"))),
            handlers=[pb.OfferedHandler(name=f"conformance.{name}") for name in HANDLERS],
            held_tokens=[] if BREAKS == "forgets-at-register" else list(self.held),
        )
        answer = await self.stub.RegisterWorker(request, timeout=10)
        self.session = answer.session_id
        self.lose(answer.lost_tokens)

    async def pull(self) -> None:
        """Name what is held, and take what comes."""
        sent = time.monotonic()
        asks = 0 if self.stopping.is_set() else max(int(SLOTS) - len(self.held), 0)
        request = pb.PullRequest(
            session_id=self.session,
            capacity=int(SLOTS) if BREAKS == "asks-for-more" and not self.stopping.is_set() else asks,
            held=[] if BREAKS == "names-nothing" else [self.named(token) for token in self.held],
            wait=Duration(seconds=1 if self.stopping.is_set() else 20),
            draining=self.stopping.is_set() and BREAKS != "hides-draining",
        )
        timeout = {"waits-for-ever": None, "hurries": 2.0}.get(BREAKS, request.wait.seconds + 10)
        answer = await self.stub.Pull(request, timeout=timeout)
        if BREAKS == "is-strict" and len(UnknownFieldSet(answer)):
            os._exit(3)
        lease = answer.lease.ToTimedelta().total_seconds()
        for mine in self.held.values():
            mine.ends = sent + lease
        self.lose(answer.lost_tokens)
        for stop in answer.stops:
            if stop.lease_token in self.held and BREAKS != "ignores-stops":
                known = stop.reason in (pb.Stop.CANCELLED, pb.Stop.TIMEOUT)
                if known or BREAKS != "wants-known-reasons":
                    self.held[stop.lease_token].stop("TIMEOUT" if stop.reason == pb.Stop.TIMEOUT else "CANCELLED")
        for each in answer.assignments:
            if BREAKS == "runs-first-attempts-only" and each.attempt > 1:
                continue
            if each.lease_token not in self.held or BREAKS == "runs-again":
                self.held[each.lease_token] = mine = Held(each, sent + lease)
                asyncio.get_running_loop().call_soon(self.begin, mine)
        if answer.server_draining and BREAKS != "hurries-a-draining-server":
            await asyncio.sleep(0.2)

    def named(self, token: str) -> pb.PullRequest.Held:
        """Return an entry of the held list."""
        progress = self.held[token].progress
        if progress is None:
            return pb.PullRequest.Held(lease_token=token)
        return pb.PullRequest.Held(lease_token=token, progress=progress[0], progress_text=progress[1])

    def lose(self, tokens: Any) -> None:
        """Stop attempts that are another's."""
        for token in tokens:
            if BREAKS != "keeps-lost-tokens" and (mine := self.held.pop(token, None)) is not None:
                mine.stop("LOST")

    async def watch(self) -> None:
        """Let go 5 s before a lease ends, and of everything at the end of the drain."""
        while True:
            await asyncio.sleep(0.2)
            for token, mine in tuple(self.held.items()):
                if mine.ends - LETS_GO < time.monotonic() and BREAKS != "trusts-its-lease":
                    self.lose([token])
                elif time.monotonic() > self.until and BREAKS != "never-releases":
                    mine.stop("RELEASED")

    def begin(self, mine: Held) -> None:
        """Perform an attempt beside the loop."""
        task = asyncio.get_running_loop().create_task(self.perform(mine))
        BACKGROUND.add(task)
        task.add_done_callback(BACKGROUND.discard)

    async def perform(self, mine: Held) -> None:
        """Call the handler, and report its end until that is acknowledged."""
        given = mine.assignment
        if BREAKS == "blocks":
            time.sleep(6)  # noqa: ASYNC251 (that is the fault)
        if BREAKS == "runs-one-at-a-time":
            await self.turn.acquire()
        mine.call = asyncio.create_task(HANDLERS[given.handler.removeprefix("conformance.")](mine, BREAKS))
        if mine.why:
            mine.call.cancel()
        began = time.monotonic()
        timer = asyncio.get_running_loop().call_later(given.timeout.ToTimedelta().total_seconds(), mine.stop, "TIMEOUT")
        if BREAKS == "trusts-the-server":
            timer.cancel()
        while not mine.call.done():
            await asyncio.wait((mine.call,), timeout=0.1)
            if mine.why and mine.call.cancelling() and time.monotonic() - began > GRACE + 1:
                break
        timer.cancel()
        if BREAKS == "runs-one-at-a-time":
            self.turn.release()
        outcome = outcome_of(mine, abandoned=not mine.call.done())
        await self.tell(given.lease_token, [pb.Update.Log(lines=mine.lines)] if mine.lines else [], outcome)

    async def tell(self, token: str, logs: list[Any], outcome: pb.Update.Outcome) -> None:
        """Report until there is a verdict."""
        pause = 0.2
        while token in self.held or BREAKS == "keeps-lost-tokens":
            if BREAKS == "bounds-nothing" or not logs:
                updates = [pb.Update(lease_token=token, log=each) for each in logs]
            else:
                updates = [pb.Update(lease_token=token, log=logs[0])]
            updates.append(pb.Update(lease_token=token, outcome=outcome))
            if BREAKS == "logs-after-the-outcome":
                updates.reverse()
            request = pb.ReportRequest(session_id=self.session, updates=updates)
            try:
                answer = await self.stub.Report(request, timeout=10)
            except grpc.RpcError as error:
                if BREAKS == "reports-once" or error.code().name in FATAL:
                    break
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311
                pause = min(pause * 2, 5)
                continue
            if answer.verdicts[-1] == pb.ReportResponse.INVALID and BREAKS != "is-silent-about-invalid":
                outcome = Outcome(failed=Failed(error=f"the result is refused: {dict(answer.reasons)}"))
                continue
            if answer.verdicts[-1] == pb.ReportResponse.STALE and BREAKS == "insists":
                await asyncio.sleep(0.3)
                continue
            break
        self.held.pop(token, None)


BACKGROUND: set[Any] = set()


def outcome_of(mine: Held, *, abandoned: bool) -> pb.Update.Outcome:
    """Return the end of an attempt as it is reported."""
    if mine.why == "RELEASED":
        return Outcome(released=Outcome.Released(began=BREAKS != "denies-the-begin"))
    if abandoned:
        is_said = BREAKS != "hides-abandoned"
        return Outcome(failed=Failed(error="did not stop", failure_kind=Kind.TIMEOUT, abandoned=is_said))
    assert mine.call is not None
    if mine.call.cancelled() or mine.why == "TIMEOUT":
        return Outcome(
            failed=Failed(error="stopped", failure_kind=Kind.TIMEOUT if mine.why == "TIMEOUT" else Kind.ERROR)
        )
    error = mine.call.exception()
    return outcome_by_result(mine.call.result()) if error is None else outcome_by_error(error)


def outcome_by_error(error: BaseException) -> pb.Update.Outcome:
    """Return the outcome of a handler that raised."""
    rejected = isinstance(error, Rejected) and BREAKS != "retries-rejects"
    text = "it failed" if BREAKS == "keeps-no-text" else str(error)
    return Outcome(failed=Failed(error=text, failure_kind=Kind.REJECTED if rejected else Kind.ERROR))


def outcome_by_result(result: Any) -> pb.Update.Outcome:
    """Return the outcome of a handler that returned."""
    text = json.dumps(result, ensure_ascii=BREAKS == "is-ascii", separators=(",", ":"))
    if isinstance(result, dict) and result.get("success") is False and BREAKS != "believes-results":
        return Outcome(failed=Failed(error=result["error"], result_json=text))
    if len(text) > MAX_RESULT and BREAKS != "bounds-nothing":
        return Outcome(failed=Failed(error=f"the result has {len(text)} bytes"))
    return Outcome(succeeded=Outcome.Succeeded(result_json=text))


async def main() -> None:
    """Run a worker in this event loop."""
    await Worker().run()


if __name__ == "__main__":
    asyncio.run(main())
    sys.exit(0)
