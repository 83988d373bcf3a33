"""What was registered can be read and registered again, and nothing changes: a tool may always write back what it read.

ROUND_TRIPS=10000 in the environment makes it longer; each run of one length is the same.
"""

import os
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from support.servers.live import Live

from schedule_grpc.domain.policy import CatchUp, Overlap, Policy, Retention, Window
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.domain.task import Definition, define
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import schedule_pb2 as pb

COUNT = int(os.environ.get("ROUND_TRIPS", "300"))
AT_ONCE = 500
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia", "Australia/Lord_Howe"]
TEXTS = ["", "x", "ü", "\U0001f600", "a\nb", "\t", '"', "\\", "'; DROP TABLE scheduled_tasks; --", "%s", "null"]


def text(dice: random.Random) -> str:
    """Return a text with something in it that was forgotten somewhere."""
    return "".join(dice.choice(TEXTS) for _ in range(dice.randrange(4)))


def value(dice: random.Random, depth: int = 3) -> Any:
    """Return a JSON value."""
    plain = [
        lambda: None,
        lambda: dice.random() < 0.5,
        lambda: dice.randrange(-(2**53), 2**53),
        lambda: dice.uniform(-1e300, 1e300),
        lambda: float(dice.randrange(1000)),
        lambda: text(dice),
    ]
    nested = [
        lambda: [value(dice, depth - 1) for _ in range(dice.randrange(4))],
        lambda: {text(dice) + str(number): value(dice, depth - 1) for number in range(dice.randrange(4))},
    ]
    return dice.choice(plain + nested * (depth > 0))()


def schedule(dice: random.Random) -> str:
    """Return a schedule of any kind."""

    def field(low: int, high: int) -> str:
        one, other = sorted((dice.randint(low, high), dice.randint(low, high)))
        return dice.choice(["*", str(one), f"{one}-{other}", f"*/{dice.randint(1, high - low)}", f"{one},{other}"])

    return dice.choice(
        [
            lambda: dice.choice(["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@manual"]),
            lambda: f"every {dice.randint(1, 90)} {dice.choice(['seconds', 'minutes', 'Hours', 'days', 'weeks'])}",
            lambda: f"20{dice.randint(30, 99)}-0{dice.randint(1, 9)}-{dice.randint(10, 28)}T23:59:59+05:30",
            lambda: f" {field(0, 59)}  {field(0, 23)} * * {field(0, 6)} ",
            lambda: f"{field(0, 59)} {field(0, 23)} {dice.randint(1, 28)} {field(1, 12)} *",
        ]
    )()


def duration(dice: random.Random, least: float, most: float) -> timedelta:
    """Return a duration, often a limit."""
    seconds = dice.choice([least, most, dice.uniform(least, most), float(dice.randint(int(least) + 1, int(most)))])
    return timedelta(seconds=seconds)


def policy(dice: random.Random) -> Policy:
    """Return a policy with every field anywhere within its bounds."""
    start = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=dice.randrange(10**15))
    ends = [(None, None), (start, None), (None, start), (start, start + timedelta(microseconds=1))]
    start_time, end_time = dice.choice(ends)
    return Policy(
        timeout=duration(dice, 1, 86400),
        retry=RetryPolicy(
            max_retries=dice.randint(0, 100),
            initial_backoff=duration(dice, 0, 86400),
            multiplier=dice.choice([1.0, 100.0, dice.uniform(1, 100)]),
            max_backoff=duration(dice, 0, 86400),
        ),
        overlap=dice.choice(list(Overlap)),
        catch_up=dice.choice(list(CatchUp)),
        catch_up_window=duration(dice, 0, 3650 * 86400),
        jitter=duration(dice, 0, 86400),
        window=Window(start_time=start_time, end_time=end_time),
        start_deadline=duration(dice, 1, 365 * 86400),
        retention=Retention(max_age=duration(dice, 3600, 3650 * 86400), max_count=dice.randint(1, 1_000_000)),
    )


def definition(dice: random.Random, number: int) -> Definition:
    """Return a definition that nobody would write."""
    metadata = {"category": text(dice), "description": text(dice), "more": value(dice)}
    return define(
        name=f"{dice.choice(LETTERS)}{dice.choice(['-', '_', '.', 'x']) * dice.randrange(100)}{number}",
        schedule=schedule(dice),
        time_zone=dice.choice(ZONES),
        handler=dice.choice(["note", "block", "fail", "steps"]),
        payload={"a": value(dice), "b": value(dice)},
        metadata=dice.choice([{}, metadata]),
        description=dice.choice(["", metadata["description"], text(dice)]),
        policy=dice.choice([Policy(), policy(dice)]),
    )


async def test_what_was_read_can_be_registered_again(live: Live):
    """The same revision, the same next run, every field the same; and it is what was meant at first."""
    live.parts.engine.stop()  # what is due every second would run between two reads
    dice = random.Random(20260131)  # noqa: S311 (a test's dice)
    for first in range(0, COUNT, AT_ONCE):
        meant = [definition(dice, number) for number in range(first, min(first + AT_ONCE, COUNT))]
        enabled = [dice.choice([None, True, False]) for _ in meant]
        wanted = [Registration(definition=each, enabled=on) for each, on in zip(meant, enabled, strict=True)]
        requests = [protobuf.registration_to(each) for each in wanted]
        registered = await live.stub.BatchRegisterTasks(pb.BatchRegisterTasksRequest(requests=requests))
        assert len(registered.tasks) == len(meant)
        for told, each in zip(registered.tasks, meant, strict=True):
            read = await live.stub.GetTask(pb.GetTaskRequest(name=told.name))
            assert read == told
            assert protobuf.task_from(read).definition.policy == each.policy
            again = await live.stub.RegisterTask(written_back(read))
            assert again == read, told.name
            assert again.etag == "1"


def written_back(task: pb.Task) -> pb.RegisterTaskRequest:
    """Return the request that a tool makes of what it read, field by field."""
    return pb.RegisterTaskRequest(
        name=task.name,
        schedule=task.schedule,
        handler=task.handler,
        enabled=task.enabled,
        metadata=task.metadata,
        time_zone=task.time_zone,
        payload=task.payload,
        description=task.description,
        policy=task.policy,
    )
