"""Queues of brokers, through kombu: a real Redis-compatible server, files on disk, and a broker that is not there."""

import asyncio
import json
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kombu
import pytest

from schedule_grpc.bindings import Environment
from schedule_grpc.errors import BindingError
from schedule_grpc.testing import FakeClock

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
HOUR = 3_600_000


def port_of(redis) -> int:
    """Return the server's port."""
    port: int = redis.connection_pool.connection_kwargs["port"]
    return port


def environment(port: int, *, user: str = "", **options: Any) -> Environment:
    """Return an environment whose QUEUE is there; the clock stands still, so only the broker's own errors come."""
    return Environment({"QUEUE": {"url": f"redis://{user}127.0.0.1:{port}/0", **options}}, clock=FakeClock(NOW))


@pytest.fixture
async def env(redis):
    """An environment whose QUEUE is the server."""
    made = environment(port_of(redis))
    yield made
    await made.aclose()


def taken(port: int, queue: str = "jobs") -> Iterator[kombu.Message]:
    """Take the messages as a consumer does."""
    with kombu.Connection(f"redis://127.0.0.1:{port}/0") as connection, closing(connection.channel()) as channel:
        waiting = kombu.Queue(queue, channel=channel)
        while message := waiting.get():
            message.ack()
            yield message


async def take(redis, queue: str = "jobs") -> list[Any]:
    """Return the bodies of the messages, in the order in which a consumer gets them."""
    return await asyncio.to_thread(lambda: [json.loads(message.body) for message in taken(port_of(redis), queue)])


async def test_a_job_is_a_message_of_json(redis, env: Environment):
    """With an id of its own, the key, and the time at which it was queued."""
    assert await env.QUEUE.enqueue("resize", {"x": 1.0, "name": "größer"}, priority=5, dedupe_key="k") is True
    [job] = await take(redis)
    assert len(job.pop("id")) == 36
    assert job == {
        "type": "resize",
        "payload": {"x": 1, "name": "größer"},
        "priority": 5,
        "dedupe_key": "k",
        "created_at": "2026-01-31T10:00:00.000Z",
    }
    await env.ping("QUEUE")


async def test_a_higher_priority_comes_first(redis, env: Environment):
    """Beyond 9 and below 0 there is no more."""
    for priority in (0, 5, 100, 3, -7, 9):
        await env.QUEUE.enqueue("a", {}, priority=priority)
    assert [job["priority"] for job in await take(redis)] == [100, 9, 5, 3, 0, -7]


async def test_a_queue_has_the_name_that_the_option_says(redis):
    """Jobs of another one are not in its way."""
    env = environment(port_of(redis), queue="mail")
    await env.QUEUE.enqueue("a", {}, dedupe_key="k")
    assert (len(await take(redis, "mail")), await take(redis)) == (1, [])
    assert redis.exists("schedule-grpc:queued:mail:k")
    await env.aclose()


async def test_a_key_is_queued_once_until_its_consumer_forgets_it(redis, env: Environment):
    """The message's header says what is to be deleted; by itself it goes after a day, or as the option says."""
    assert await env.QUEUE.enqueue("a", {}, dedupe_key="k") is True
    assert await env.QUEUE.enqueue("a", {}, dedupe_key="k") is False
    assert await env.QUEUE.enqueue("a", {}, dedupe_key="l") is True
    assert await env.QUEUE.enqueue("a", {}) is True
    assert 23 * HOUR < redis.pttl("schedule-grpc:queued:jobs:k") <= 24 * HOUR
    messages = await asyncio.to_thread(lambda: list(taken(port_of(redis))))
    assert [message.headers.get("dedupe") for message in messages] == [
        "schedule-grpc:queued:jobs:k", "schedule-grpc:queued:jobs:l", None,
    ]  # fmt: skip
    redis.delete(messages[0].headers["dedupe"])
    short = environment(port_of(redis), dedupe_for="1h")
    assert await short.QUEUE.enqueue("a", {}, dedupe_key="k") is True
    assert 0 < redis.pttl("schedule-grpc:queued:jobs:k") <= HOUR
    await short.aclose()


async def test_of_fifty_that_enqueue_one_key_at_once_one_does(redis, env: Environment):
    """From two servers."""
    second = environment(port_of(redis))
    asked = [each.QUEUE.enqueue("a", {"n": n}, dedupe_key="k") for n in range(25) for each in (env, second)]
    assert sorted(await asyncio.gather(*asked)) == [False] * 49 + [True]
    assert len(await take(redis)) == 1
    await second.aclose()


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_broker_that_is_full_refuses_and_later_takes_the_job(redis, env: Environment, key: str | None):
    """The error is the broker's own; the key is not taken for queued."""
    await env.ping("QUEUE")
    redis.config_set("maxmemory", 1)
    with pytest.raises(BindingError, match=r"^QUEUE: .*OOM|^QUEUE: command not allowed when used memory"):
        await env.QUEUE.enqueue("a", {}, dedupe_key=key)
    redis.config_set("maxmemory", 0)
    assert await env.QUEUE.enqueue("a", {}, dedupe_key=key) is True
    assert len(await take(redis)) == 1


async def test_a_key_whose_job_was_refused_is_free_again(redis):
    """It was remembered before its job was published; the broker takes the one and refuses the other."""
    redis.acl_setuser(
        "half", enabled=True, passwords=["+geheim1"], keys=["*"], categories=["+@all"], commands=["-lpush"]
    )
    env = environment(port_of(redis), user="half:geheim1@")
    with pytest.raises(BindingError, match=r"^QUEUE: .*no permissions to run the 'lpush' command"):
        await env.QUEUE.enqueue("a", {}, dedupe_key="k")
    assert redis.keys() == []
    await env.aclose()
    redis.acl_deluser("half")


async def test_a_wrong_password_is_told_without_it(redis):
    """Neither in the error nor in its traceback."""
    redis.acl_setuser("ana", enabled=True, passwords=["+geheim1"], keys=["*"], categories=["+@all"])
    env = environment(port_of(redis), user="ana:wrong-w0rd@")
    for ask in (env.ping("QUEUE"), env.QUEUE.enqueue("a", {})):
        with pytest.raises(BindingError, match=r"^QUEUE: invalid username-password pair") as caught:
            await ask
        assert "w0rd" not in "".join(traceback.format_exception(caught.value))
    await env.aclose()
    right = environment(port_of(redis), user="ana:geheim1@")
    await right.ping("QUEUE")
    await right.aclose()
    redis.acl_deluser("ana")


async def test_a_broker_that_is_down_at_first_use_and_back_later(redis, relay):
    """The error names the binding; the next call connects."""
    way = await relay(port_of(redis))
    await way.close()
    env = environment(way.port)
    for ask in (env.ping("QUEUE"), env.QUEUE.enqueue("a", {}, dedupe_key="k")):
        with pytest.raises(BindingError, match=r"^QUEUE: Error 111 connecting to 127.0.0.1:.* Connection refused"):
            await ask
    await way.open()
    assert await env.QUEUE.enqueue("a", {}, dedupe_key="k") is True
    await env.ping("QUEUE")
    await env.aclose()


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_connection_that_is_lost_heals_unnoticed(redis, relay, key: str | None):
    """While it is idle; and between the key and its job, which is then queued once, and not taken for queued before."""
    way = await relay(port_of(redis))
    env = environment(way.port)
    await env.ping("QUEUE")
    await way.cut()
    await env.ping("QUEUE")
    way.cut_before = b"LPUSH"
    assert await env.QUEUE.enqueue("a", {}, dedupe_key=key) is True
    assert way.cut_before is None
    assert len(await take(redis)) == 1
    await env.aclose()


async def test_a_broker_that_does_not_answer_is_given_up_in_time(redis, relay):
    """After half the binding's timeout by the broker's own socket; it heals when it answers again."""
    way = await relay(port_of(redis))
    env = environment(way.port, timeout="100ms")
    await env.ping("QUEUE")
    way.hold()
    with pytest.raises(BindingError, match=r"^QUEUE: Timeout"):
        await env.QUEUE.enqueue("a", {})
    way.go_on()
    await way.cut()
    await env.ping("QUEUE")
    await env.aclose()


async def test_a_caller_who_waits_too_long_is_told_by_the_clock(redis, relay):
    """Whatever the broker's socket does meanwhile; what waits behind it and is given up never happens."""
    way = await relay(port_of(redis))
    clock = FakeClock(NOW)
    env = Environment({"QUEUE": {"url": f"redis://127.0.0.1:{way.port}/0", "timeout": "20s"}}, clock=clock)
    await env.ping("QUEUE")
    way.hold()
    asking = [asyncio.create_task(env.QUEUE.enqueue(name, {})) for name in ("first", "second")]
    await way.held.wait()
    await clock.advance(20)
    for each in asking:
        with pytest.raises(BindingError, match=r"^QUEUE: no answer within 20s$"):
            await each
    way.go_on()
    assert await env.QUEUE.enqueue("third", {}) is True
    assert "second" not in [job["type"] for job in await take(redis)]
    await env.aclose()


async def test_closing_ends_what_is_in_use_and_its_thread(redis, relay):
    """Callers get an error that says so."""
    way = await relay(port_of(redis))
    env = environment(way.port, timeout="200ms")
    await env.ping("QUEUE")
    way.hold()
    asking = [asyncio.create_task(env.QUEUE.enqueue(name, {})) for name in ("first", "second")]
    await way.held.wait()
    await env.aclose()
    for each in asking:
        with pytest.raises(BindingError, match=r"^QUEUE: is closed$"):
            await each
    assert "binding QUEUE" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(BindingError, match=r"^QUEUE: is closed$"):
        await env.QUEUE.enqueue("a", {})


async def test_a_payload_that_is_not_json_is_refused(redis, env: Environment):
    """The part is named, nothing is queued."""
    with pytest.raises(BindingError, match=r"^QUEUE: the payload is not JSON: \.n: nan is not JSON$"):
        await env.QUEUE.enqueue("a", {"n": float("nan")}, dedupe_key="k")
    assert redis.keys() == []


async def test_another_broker_takes_every_job(tmp_path: Path):
    """Files in a folder, which know no keys: each job is queued, so that none is lost."""
    options = {f"data_folder_{way}": str(tmp_path) for way in ("in", "out")}
    told = {"url": "filesystem://", "transport_options": {**options, "control_folder": str(tmp_path / "control")}}
    env = Environment({"QUEUE": told}, clock=FakeClock(NOW))
    await env.ping("QUEUE")
    for number in range(2):
        assert await env.QUEUE.enqueue("a", {"n": number}, priority=7, dedupe_key="k") is True
    await env.aclose()

    def consumed() -> list[Any]:
        with kombu.Connection("filesystem://", transport_options=told["transport_options"]) as connection:
            waiting = kombu.Queue("jobs", channel=connection.channel())
            return [(m.properties["priority"], json.loads(m.body)) for m in iter(waiting.get, None)]

    assert sorted((priority, job["payload"]["n"]) for priority, job in await asyncio.to_thread(consumed)) == [
        (7, 0),
        (7, 1),
    ]


async def test_a_rabbitmq_that_is_not_there_is_told_without_the_password(relay, redis):
    """Nobody listens, or something else answers."""
    way = await relay(port_of(redis))
    env = Environment({"QUEUE": {"url": f"amqp://ana:geheim1@127.0.0.1:{way.port}//", "timeout": "400ms"}})
    for _ in range(2):
        with pytest.raises(BindingError, match=r"^QUEUE: ") as caught:
            await env.ping("QUEUE")
        assert "geheim1" not in "".join(traceback.format_exception(caught.value))
        await way.close()
    assert "refused" in str(caught.value)
    await env.aclose()
