"""Quotas over gRPC: RESOURCE_EXHAUSTED, with RetryInfo where it is known when to come back; clients read it."""

import asyncio
from datetime import timedelta

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_status import rpc_status
from support.patience import until
from support.servers.live import Code, Live

from schedule_grpc.client import AsyncClient, Limits
from schedule_grpc.errors import ResourceExhausted
from schedule_grpc.pb import schedule_pb2 as pb


async def limited(live: Live, **limits: int) -> AsyncClient:
    """Return a client of a namespace with these limits, in which there is one task."""
    await live.client.create_namespace("reports", limits=Limits(**limits))
    client = live.client.in_namespace("reports")
    await client.register_task(name="task", schedule="@manual", handler="steps")
    return client


async def test_a_refusal_says_when_to_come_back(live: Live):
    """In google.rpc.RetryInfo, beside the quota and its limit in ErrorInfo."""
    client = await limited(live, runs_per_minute=1)
    await client.run_task_now("task", detach=True)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.RunTaskNow(pb.RunTaskNowRequest(name="task", namespace="reports", detach=True))
    status = rpc_status.from_call(caught.value)
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED
    assert status is not None
    info, retry = ErrorInfo(), RetryInfo()
    assert [status.details[0].Unpack(info), status.details[1].Unpack(retry)] == [True, True]
    assert (info.reason, dict(info.metadata)) == (
        "QUOTA_EXCEEDED",
        {"namespace": "reports", "quota": "runs_per_minute", "limit": "1"},
    )
    assert 0 < retry.retry_delay.ToTimedelta().total_seconds() <= 60
    with pytest.raises(ResourceExhausted, match="runs_per_minute is 1; try again in") as error:
        await client.run_task_now("task", detach=True)
    assert error.value.retry_after is not None
    assert timedelta(0) < error.value.retry_after <= timedelta(minutes=1)
    assert (error.value.code, error.value.details["quota"]) == ("QUOTA_EXCEEDED", "runs_per_minute")


async def test_without_a_rate_no_time_is_named(live: Live):
    """Nobody knows when a task is deleted, or a stream ends."""
    client = await limited(live, max_tasks=1)
    with pytest.raises(ResourceExhausted, match="max_tasks is 1") as error:
        await client.register_task(name="another", schedule="@manual", handler="steps")
    assert error.value.retry_after is None


async def test_streams_of_a_namespace(live: Live):
    """One too many is refused as it begins; the end of another one makes room."""
    await limited(live, max_streams=1)
    asked = pb.WatchExecutionsRequest(namespace="reports")
    first = live.stub.WatchExecutions(asked)
    await first.initial_metadata()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.WatchExecutions(asked).read()
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED
    elsewhere = live.stub.WatchExecutions(pb.WatchExecutionsRequest())
    await elsewhere.initial_metadata()
    first.cancel()

    async def begins() -> bool:
        again = live.stub.WatchExecutions(asked)
        try:
            async with asyncio.timeout(0.2):
                await again.read()
        except TimeoutError:
            return True  # it is open, and nothing happens
        except grpc.aio.AioRpcError:
            return False
        finally:
            again.cancel()
        return False

    await until(begins)


async def test_refusals_are_counted(live: Live):
    """By namespace and quota."""
    client = await limited(live, max_open_executions=0)
    for _ in range(2):
        with pytest.raises(ResourceExhausted):
            await client.run_task_now("task", detach=True)
    labels = {"namespace": "reports", "quota": "max_open_executions"}
    registry = live.parts.metrics.registry
    assert registry.get_sample_value("schedule_quota_refused_total", labels) == 2
