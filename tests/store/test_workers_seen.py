"""Workers as callers see them: which there are, what they have, and which handlers they offer to whom."""

from datetime import timedelta

import pytest
from support.rigs.rig import START, Rig
from support.rigs.worker_rows import worker_there, written

from schedule_grpc.domain.task import Handler
from schedule_grpc.store.replica import Replica

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
DAY = 24 * HOUR


async def listed(rig: Rig, namespace: str = "default", handler: str = "") -> list[str]:
    """Return the sessions of the workers that a list shows."""
    workers = await rig.store.list_workers(namespace, handler=handler, since=START - DAY)
    return [worker.session for worker in workers]


async def test_a_worker_is_read_as_it_was_written(rig: Rig):
    """All that it says of itself, and how many attempts it has."""
    await worker_there(rig.store, "s", START, "b", "a", started=HOUR, seen=5 * SECOND)
    (worker,) = await rig.store.list_workers("default", handler="", since=START - DAY)
    assert (worker.session, worker.name, worker.version, worker.labels) == ("s", "host-s", "1", {"zone": "eu"})
    assert (worker.handlers, worker.slots, worker.lease) == ({"a", "b"}, 4, timedelta(seconds=30))
    assert (worker.start_time, worker.seen_time, worker.end_time) == (START - HOUR, START - 5 * SECOND, None)
    assert (worker.beat, worker.draining, worker.registered_by, worker.running) == (1, False, "key:workers", 0)


async def test_a_worker_is_listed_in_its_namespace_and_one_of_all_in_each(rig: Rig):
    """The newest session first."""
    await worker_there(rig.store, "own", START, "a", started=2 * HOUR)
    await worker_there(rig.store, "all", START, "b", namespace="*", started=HOUR)
    await worker_there(rig.store, "other", START, "a", namespace="reports", started=3 * HOUR)
    assert await listed(rig) == ["all", "own"]
    assert await listed(rig, "reports") == ["all", "other"]
    assert await listed(rig, handler="a") == ["own"]
    assert await listed(rig, handler="nothing") == []


async def test_the_name_of_a_handler_is_compared_whole(rig: Rig):
    """Neither a part of a name nor another case finds a worker."""
    await worker_there(rig.store, "s", START, "send-mail")
    assert [await listed(rig, handler=name) for name in ("send-mail", "send", "mail", "Send-mail", '","', "%")] == [
        ["s"],
        *([[]] * 5),
    ]


async def test_a_session_that_ended_is_listed_for_a_day(rig: Rig):
    """With its end."""
    await worker_there(rig.store, "lately", START, "a", ended=DAY - SECOND, started=2 * DAY)
    await worker_there(rig.store, "long-ago", START, "a", ended=DAY + SECOND, started=2 * DAY)
    assert await listed(rig) == ["lately"]
    (worker,) = await rig.store.list_workers("default", handler="", since=START - DAY)
    assert worker.end_time == START - DAY + SECOND


async def test_living_workers_are_listed_before_a_thousand_that_ended(rig: Rig):
    """However new these are: a worker that fails at once and is restarted leaves many."""
    await worker_there(rig.store, "living", START, "a", started=HOUR)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1005) "
    await written(
        rig.store,
        "INSERT INTO workers (session, namespace, name, version, labels, handlers, offers, slots, lease, start_time, "
        "seen_time, end_time, registered_by) "
        f"{numbers} SELECT 'ended-' || i, namespace, name, version, labels, handlers, offers, slots, lease, "
        "seen_time, seen_time, seen_time, '' FROM workers CROSS JOIN n WHERE session = 'living'",
    )
    found = await listed(rig)
    assert (len(found), found[-1]) == (1000, "living")


async def test_attempts_are_counted_by_their_owner(rig: Rig):
    """Those in progress under the worker's session."""
    await worker_there(rig.store, "s", START, "a")
    await rig.register("task", "@manual", policy={"overlap": "ALLOW_ALL"})
    for _ in range(3):
        await rig.service.run_now("task", detach=True)
    await written(
        rig.store,
        "UPDATE task_executions SET state = 'RUNNING', lease_owner = 's', lease_token = 't', attempt = 1, "
        "start_time = create_time, attempt_start_time = create_time",
    )
    (worker,) = await rig.store.list_workers("default", handler="", since=START - DAY)
    assert worker.running == 3
    await written(
        rig.store,
        "UPDATE task_executions SET state = 'PENDING', lease_owner = NULL, lease_token = NULL, attempt = 0, "
        "start_time = NULL, attempt_start_time = NULL",
    )


@pytest.mark.parametrize(
    ("offers", "changes"),
    [
        (True, {}),
        (True, {"seen": 44 * SECOND}),
        (False, {"seen": 46 * SECOND}),
        (False, {"draining": True}),
        (False, {"ended": SECOND}),
    ],
)
async def test_a_worker_offers_while_it_lives_and_does_not_stop(rig: Rig, offers: bool, changes: dict[str, timedelta]):
    """And was seen within its lease of 30 s and 15 s more."""
    await worker_there(rig.store, "s", START, "a", **changes)
    assert [worker.session for worker in await rig.store.offering_workers(now=START)] == ["s"] * offers
    assert await rig.store.offered_elsewhere("default", now=START) == ({"a"} if offers else set())
    assert len(await rig.store.handlers_of_workers("default", now=START)) == offers


async def test_handlers_are_offered_within_a_namespace(rig: Rig):
    """A worker of all namespaces offers its own in each."""
    await worker_there(rig.store, "own", START, "a")
    await worker_there(rig.store, "all", START, "b", namespace="*")
    assert await rig.store.offered_elsewhere("default", now=START) == {"a", "b"}
    assert await rig.store.offered_elsewhere("reports", now=START) == {"b"}
    assert [handler.name for handler in await rig.store.handlers_of_workers("reports", now=START)] == ["b"]


async def test_servers_of_a_shared_database_offer_to_every_namespace(rig: Rig):
    """In a file no other server does: what a row says of one is not read."""
    replica = Replica(id="r", start_time=START, handlers=frozenset({"there"}))
    await rig.store.renew_lease(replica, now=START)
    offered = {"there"} if rig.store.is_shared else set()
    assert await rig.store.offered_elsewhere("reports", now=START) == offered
    await rig.store.leave("r")


async def test_a_handler_is_described_by_its_newest_worker(rig: Rig):
    """The others are counted, with their versions in order."""
    await worker_there(rig.store, "old", START, "a", "b", version="2", started=HOUR, schemas={"a": "{}", "b": "{}"})
    await worker_there(rig.store, "new", START, "a", version="10", started=SECOND, schemas={"a": '{"type":"object"}'})
    await worker_there(rig.store, "third", START, "a", version="", started=2 * HOUR)
    assert await rig.store.handlers_of_workers("default", now=START) == (
        Handler(
            name="a",
            description="Does a",
            payload_schema='{"type":"object"}',
            worker_count=3,
            worker_versions=("10", "2"),
        ),
        Handler(name="b", description="Does b", payload_schema="{}", worker_count=1, worker_versions=("2",)),
    )


async def test_what_a_newer_program_wrote_in_another_form_is_left_out(rig: Rig):
    """The rest of the worker is read all the same."""
    await worker_there(rig.store, "s", START, "a", "b", offers=["a", {"name": "b", "description": 3}])
    await worker_there(rig.store, "t", START, "c", offers=[])
    await written(rig.store, "UPDATE workers SET handlers = '{', labels = '[]', slots = -1 WHERE session = 't'")
    assert [(each.name, each.description) for each in await rig.store.handlers_of_workers("default", now=START)] == [
        ("a", ""),
        ("b", ""),
    ]
    found = {each.session: each for each in await rig.store.list_workers("default", handler="", since=START)}
    assert (found["t"].handlers, found["t"].labels, found["t"].slots) == (set(), {}, 0)
