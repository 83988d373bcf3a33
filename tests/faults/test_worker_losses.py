"""What gets lost between a worker and its server: answers of Pull, reports and their answers, calls that take long."""

import logging
from pathlib import Path

import pytest
from support.callers.load import Load, settled
from support.patience import calling, until
from support.servers.call_proxy import CallProxy
from support.servers.crew import workers
from support.servers.process import served
from support.stories import story
from support.witnesses import effects
from support.witnesses.checker.reading import rows

from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.execution import State
from schedule_grpc.pb import worker_pb2 as pb

LOST = ("Pull answer", "Report request", "Report answer")
EACH = "SELECT state, attempt, failed_attempts, hand_backs FROM task_executions"
log = logging.getLogger(__name__)
pytestmark = pytest.mark.keyless  # proxies hide which server a worker calls, and raw workers show no key


async def succeeds(client: AsyncClient) -> None:
    """Run the task once."""
    assert (await client.run_task_now("task")).execution.state is State.SUCCEEDED


class Losing:
    """Loses what a worker needs once: the answers that assign, reports of outcomes, or the answers to those."""

    def __init__(self, what: str) -> None:
        self._rpc, _, self._part = what.partition(" ")
        self._known: set[str] = set()

    def __call__(self, rpc: str, request: bytes, answer: bytes | None) -> bool:
        """Return whether to lose a call, or its answer: if all that it names is new."""
        if rpc != self._rpc or (answer is None) is not (self._part == "request"):
            return False
        if rpc == "Pull":
            named = {each.lease_token for each in pb.PullResponse.FromString(answer or b"").assignments}
        else:
            updates = pb.ReportRequest.FromString(request).updates
            named = {each.lease_token for each in updates if each.HasField("outcome")}
        is_new = bool(named) and named.isdisjoint(self._known)
        self._known |= named
        return is_new


@story
async def test_every_answer_and_every_report_is_lost_once(tmp_path: Path, long: bool):
    """The attempt is given again under its token, the report is repeated: one attempt, one outcome, nothing lost."""
    number = 100 if long else 12
    async with (
        served(tmp_path, handlers=None) as server,
        CallProxy(server.address).open() as proxy,
        workers(tmp_path) as crew,
        calling(server.address) as client,
    ):
        worker = await crew.start(proxy.address, slots=1, lease="30s")
        await client.register_task(name="task", schedule="@manual", handler="quick")
        for what in LOST:
            proxy.loses = Losing(what)
            while proxy.lost[what] < number:
                await succeeds(client)
        await crew.stop(worker)
        found = await settled(server.address, tmp_path / "schedule.db", Load().log, replicas=tmp_path)
    ends = rows(tmp_path / "schedule.db", EACH)
    log.info("%d executions: lost %s, of %s calls", len(ends), dict(proxy.lost), dict(proxy.calls))
    assert found == []
    assert len(effects.begun(tmp_path)) == len(ends) >= 3 * number
    for row in ends:
        assert (row["state"], row["attempt"], row["hand_backs"]) == ("SUCCEEDED", 1, 0)
    assert min(proxy.lost[what] for what in LOST) >= number


@story
async def test_a_proxy_that_ends_every_call(tmp_path: Path, long: bool):
    """After 15 s, or less: an idle worker comes to wait for less, and what runs meanwhile runs once."""
    limit = 15.0 if long else 3.0
    async with (
        served(tmp_path, handlers=None) as server,
        CallProxy(server.address).open() as proxy,
        workers(tmp_path) as crew,
        calling(server.address) as client,
    ):
        proxy.limit = limit
        worker = await crew.start(proxy.address, lease="60s")

        async def has_adapted() -> bool:
            return proxy.answered_late >= 2

        await until(has_adapted)
        cut_off = proxy.cut_off
        await client.register_task(name="task", schedule="@manual", handler="quick")
        for _ in range(50):
            await succeeds(client)
        written = await crew.stop(worker)
        found = await settled(server.address, tmp_path / "schedule.db", Load().log, replicas=tmp_path)
    log.info("limit of %g s: %d calls were ended until the worker waited for less", limit, cut_off)
    assert found == []
    assert "worker.lease_lost" not in written
    assert len(effects.begun(tmp_path)) == 50
    assert cut_off >= 2
