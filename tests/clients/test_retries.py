"""What is tried again, how often, and how long a caller waits: against a server that fails as it is told."""

import threading

import grpc
import pytest

from schedule_grpc import errors
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import define
from schedule_grpc.pb import schedule_pb2 as pb

UNAVAILABLE, CANCELLED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED
MADE_AGAIN = (UNAVAILABLE, CANCELLED)
RUN = pb.RunTaskNowResponse(success=True, execution=pb.Execution(state="SUCCEEDED", trigger="MANUAL"))
STARTED = pb.RunTaskNowResponse(execution=pb.Execution(id="exec_1", state="RUNNING", trigger="MANUAL"))
HANDLERS = pb.ListHandlersResponse()


@pytest.mark.parametrize("code", MADE_AGAIN)
async def test_a_call_is_made_again_while_the_server_is_unavailable(asker, scripted, code: grpc.StatusCode):
    """Three failures, then the answer: four attempts are the default, and none after a success."""
    scripted.answer("ListHandlers", code, code, code, HANDLERS)
    assert await asker.ask(asker(scripted.address), "list_handlers") == ()
    assert len(scripted.seen) == 4


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_the_number_of_attempts_is_the_callers(attempts: int, asker, scripted):
    """After so many the error is raised, with the reason that the server gave."""
    scripted.answer("ListHandlers", errors.DatabaseUnavailable("the disk is full"))
    with pytest.raises(errors.DatabaseUnavailable, match="the disk is full"):
        await asker.ask(asker(scripted.address, attempts=attempts), "list_handlers")
    assert len(scripted.seen) == attempts


@pytest.mark.parametrize("attempts", [0, 6, -1])
def test_other_numbers_of_attempts_are_refused(attempts: int, asker):
    """GRPC itself would cut them in silence."""
    with pytest.raises(ValueError, match="attempts must be 1 to 5"):
        asker("127.0.0.1:1", attempts=attempts)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code not in (grpc.StatusCode.OK, *MADE_AGAIN)])
async def test_no_other_failure_is_tried_again(code: grpc.StatusCode, asker, scripted):
    """Only UNAVAILABLE, and the CANCELLED of a server that stops, say that the same call may succeed later."""
    scripted.answer("ListHandlers", code)
    with pytest.raises(errors.ScheduleError):
        await asker.ask(asker(scripted.address), "list_handlers")
    assert len(scripted.seen) == 1


async def test_a_run_that_is_tried_again_is_the_same_run(asker, scripted):
    """Every attempt carries the same request id, so the server runs the task once."""
    scripted.answer("RunTaskNow", UNAVAILABLE, UNAVAILABLE, RUN)
    assert (await asker.ask(asker(scripted.address), "run_task_now", "report")).success
    first, *others = [seen.request for seen in scripted.seen]
    assert first.request_id
    assert others == [first, first]


@pytest.mark.parametrize("code", MADE_AGAIN)
async def test_the_manual_cron_trigger_is_never_tried_again(asker, scripted, code: grpc.StatusCode):
    """It would run everything once more."""
    scripted.answer("TriggerCron", code)
    with pytest.raises(errors.Unavailable):
        await asker.ask(asker(scripted.address), "trigger_cron", "* * * * *")
    assert len(scripted.seen) == 1


async def test_a_large_batch_is_tried_again_as_well(asker, scripted):
    """GRPC forgets requests of more than 256 KiB unless it is told to keep them."""
    scripted.answer("BatchRegisterTasks", UNAVAILABLE, pb.BatchRegisterTasksResponse())
    batch = [
        Registration(definition=define(name=f"t{number}", schedule="@daily", handler="h", payload={"a": "x" * 60_000}))
        for number in range(10)
    ]
    await asker.ask(asker(scripted.address), "batch_register_tasks", batch)
    assert [len(seen.request.requests) for seen in scripted.seen] == [10, 10]


# -- deadlines


async def test_a_call_has_ten_seconds(asker, scripted):
    """A detached run too; only who waits for an end that may be far has no deadline."""
    scripted.answer("ListHandlers", HANDLERS)
    scripted.answer("RunTaskNow", STARTED, STARTED, RUN)
    client = asker(scripted.address)
    await asker.ask(client, "list_handlers")
    await asker.ask(client, "run_task_now", "report", detach=True)
    await asker.ask(client, "run_task_now", "report")
    *limited, waiting = (seen.timeout for seen in scripted.seen)
    assert limited == [pytest.approx(10, abs=2)] * 3
    assert waiting is None


async def test_the_deadline_is_the_callers(asker, scripted):
    """A server that does not answer in time is one that is not available, and is not asked again."""
    over = threading.Event()
    scripted.answer("ListHandlers", lambda context: (context.add_callback(over.set), over.wait(60), HANDLERS)[-1])
    with pytest.raises(errors.Unavailable, match="Deadline Exceeded"):
        await asker.ask(asker(scripted.address, deadline=0.2), "list_handlers")
    assert over.wait(60)
    assert len(scripted.seen) == 1


@pytest.mark.parametrize("deadline", [0, -1.0])
def test_a_deadline_that_is_over_before_the_call_is_refused(deadline: float, asker):
    """No call could ever succeed."""
    with pytest.raises(ValueError, match="deadline must be positive"):
        asker("127.0.0.1:1", deadline=deadline)


async def test_nobody_there_is_unavailable(asker):
    """After all attempts, within seconds."""
    with pytest.raises(errors.Unavailable):
        await asker.ask(asker("127.0.0.1:1"), "get_task", "report")
