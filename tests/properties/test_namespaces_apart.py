"""Two namespaces with the same names: what one sees is what it sees where the other does nothing.

Both do random things in one store, one after the other. Then the things that the first one did are done again, alone in
a fresh store by the same clock, and each answer and each event must be the same. NAMESPACES_EXAMPLES=300 (or
FAULTS=long) makes it longer.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs
from support.rigs.rig import Rig, new_rig
from support.servers.postgres import Postgres
from support.witnesses.checker import check

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import Execution, ExecutionFilter, State
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.registration import Registration, TaskUpdate
from schedule_grpc.domain.task import Task, TaskFilter, define
from schedule_grpc.errors import ScheduleError
from schedule_grpc.events import Subscription, Transition
from schedule_grpc.service import Service

pytestmark = [pytest.mark.timeout(1800), pytest.mark.slow]

LONG = os.environ.get("FAULTS") == "long"
EXAMPLES = int(os.environ.get("NAMESPACES_EXAMPLES", "600" if LONG else "40"))
ON_POSTGRESQL = max(EXAMPLES // 6, 5)
REPORTS = "reports"
FOREIGN = "exec_task_0_foreign"
"""The id of an execution of the other one, as answers name it: alone there is none, and it must not show."""
OWN = {"id", "uid", "task_uid", "lease_token", "namespace"}
"""Fields by which two runs of the same things differ."""

names = st.sampled_from(["a", "b", "c"])
schedules = st.sampled_from(["@manual", "every 10 seconds", "* * * * *", "*/7 * * * *"])
payloads = st.sampled_from([{}, {"fate": "raise"}, {"fate": "reject"}])
requests = st.sampled_from(["", "r1", "r2"])
numbers = st.integers(0, 50)
runs = st.tuples(st.just("run"), names, requests, payloads)
things = st.one_of(
    st.tuples(st.just("register"), names, schedules, payloads),
    st.tuples(st.just("register_both"), names, names, schedules),
    st.tuples(st.just("update"), names, schedules),
    st.tuples(st.sampled_from(["delete", "enable", "disable", "get_task", "history", "backfill"]), names),
    runs,
    st.tuples(st.sampled_from(["get", "cancel"]), numbers),
    st.tuples(st.sampled_from(["get_foreign", "cancel_foreign", "list_tasks", "executions", "handlers"])),
    st.tuples(st.just("in_state"), st.sampled_from(list(State))),
    st.tuples(st.just("trigger"), st.sampled_from(["* * * * *", "*/7 * * * *"])),
)
who = st.sampled_from(["us", "them"])
some = st.lists(
    st.tuples(who, things) | st.tuples(who, runs) | st.tuples(st.just("time"), st.sampled_from([0, 1, 10, 70])),
    min_size=20,
    max_size=40,
)
BEGINNING = tuple(
    (who, ("register", name, schedule, {}))
    for name, schedule in (("a", "@manual"), ("b", "every 10 seconds"))
    for who in ("us", "them")
)
"""Both have tasks of the same names."""
ENDING = (
    ("them", ("register", "c", "@manual", {})),
    ("them", ("run", "c", "", {})),
    ("time", 0),
    *(("them", ("delete", name)) for name in ("a", "b", "c")),
)
"""The other one leaves, and its history stays."""
steps = some.map(lambda told: (*BEGINNING, *told, *ENDING))


@dataclass
class Caller:
    """Who does things in one namespace, and all that is answered."""

    rig: Rig
    service: Service
    watch: Subscription
    found: dict[str, int] = field(default_factory=dict)
    """Ids of executions, by the order in which they were seen."""
    seen: list[Any] = field(default_factory=list)

    async def do(self, thing: Sequence[Any], other: "Caller | None") -> None:
        """Do something, and keep what is answered."""
        foreign = next(reversed(other.found), FOREIGN) if other is not None else FOREIGN
        what, *arguments = thing
        try:
            answer = await THINGS[what](self, foreign, *arguments)
        except ScheduleError as error:
            answer = (error.code, self._without_ids(error.message, foreign))
        self.seen.append((what, answer))

    def hear(self) -> None:
        """Keep what was told since: its order among several executions that run together is nobody's promise."""
        told = list(self.watch._kept)
        self.watch._kept.clear()
        for event in told:
            assert isinstance(event, Transition)
            self.number(event.execution)
        moves = [(self.number(each.execution), str(each.previous_state), shown(each.execution)) for each in told]
        self.seen.append(("told", sorted(moves, key=repr)))

    def number(self, execution: Execution) -> int:
        """Return by which an execution is known."""
        return self.found.setdefault(execution.id, len(self.found))

    def known(self, number: int) -> str:
        """Return the id of an execution that was seen."""
        return list(self.found)[number % len(self.found)] if self.found else "exec_task_0_none"

    def executions(self, found: Sequence[Execution]) -> list[Any]:
        """Return executions as they are compared."""
        return [(self.number(each), shown(each)) for each in found]

    def _without_ids(self, message: str, foreign: str) -> str:
        for execution_id, number in self.found.items():
            message = message.replace(execution_id, f"#{number}")
        return message.replace(foreign, FOREIGN)


def shown(value: Execution | Task) -> dict[str, Any]:
    """Return a value without what no two stores have alike."""
    fields = {name: each for name, each in structs.asdict(value).items() if name not in OWN}
    if isinstance(value, Task):
        fields["definition"] = shown(value.definition)  # type: ignore[arg-type]
    return fields


def wanted(name: str, schedule: str, payload: dict[str, Any] | None = None) -> Registration:
    """Return a registration, of which a caller names no namespace."""
    return Registration(definition=define(name=name, schedule=schedule, handler="fate", payload=payload))


async def _register(caller: Caller, _: str, name: str, schedule: str, payload: dict[str, Any]) -> Any:
    return shown(await caller.service.register(wanted(name, schedule, payload)))


async def _register_both(caller: Caller, _: str, one: str, two: str, schedule: str) -> Any:
    return [shown(task) for task in await caller.service.register_all([wanted(one, schedule), wanted(two, schedule)])]


async def _update(caller: Caller, _: str, name: str, schedule: str) -> Any:
    return shown(await caller.service.update(TaskUpdate(name=name, fields={"schedule": schedule}, policy={})))


async def _run(caller: Caller, _: str, name: str, request_id: str, payload: dict[str, Any]) -> Any:
    ran = await caller.service.run_now(name, payload=payload or None, detach=True, request_id=request_id)
    return caller.executions([ran])


async def _backfill(caller: Caller, _: str, name: str) -> Any:
    now = caller.rig.clock.now()
    recorded = await caller.service.backfill(name, now - timedelta(seconds=30), now)
    return caller.executions(recorded.executions), recorded.existing_count


async def _list_tasks(caller: Caller, _: str) -> Any:
    """Every page, of two tasks each."""
    listed, token = [], ""
    while True:
        page = await caller.service.list_tasks(TaskFilter(), Page(size=2, token=token))
        listed.append([shown(task) for task in page.tasks])
        token = page.next_page_token
        if not token:
            return listed


async def _executions(caller: Caller, _: str) -> Any:
    """Every page, of three executions each."""
    listed, token = [], ""
    while True:
        page = await caller.service.executions(ExecutionFilter(), Page(size=3, token=token))
        listed.append(caller.executions(page.executions))
        token = page.next_page_token
        if not token:
            return listed


async def _in_state(caller: Caller, _: str, state: State) -> Any:
    chosen = ExecutionFilter(states=frozenset({state, State.PENDING}))
    return caller.executions((await caller.service.executions(chosen, Page(size=5))).executions)


async def _history(caller: Caller, _: str, name: str) -> Any:
    return caller.executions((await caller.service.history(name, ExecutionFilter(), Page())).executions)


async def _trigger(caller: Caller, _: str, cron: str) -> Any:
    return caller.executions(sorted(await caller.service.trigger_cron(cron), key=lambda each: each.task_name))


async def _get(caller: Caller, _: str, number: int) -> Any:
    return caller.executions([await caller.service.execution(caller.known(number))])


async def _cancel(caller: Caller, _: str, number: int) -> Any:
    return caller.executions([await caller.service.cancel(caller.known(number), note="enough")])


async def _task(caller: Caller, _: str, name: str) -> Any:
    return shown(await caller.service.get_task(name))


async def _enable(caller: Caller, _: str, name: str) -> Any:
    return shown(await caller.service.enable(name))


async def _disable(caller: Caller, _: str, name: str) -> Any:
    return shown(await caller.service.disable(name, note="so"))


THINGS: dict[str, Callable[..., Awaitable[Any]]] = {
    "register": _register,
    "register_both": _register_both,
    "update": _update,
    "delete": lambda caller, _, name: caller.service.delete(name),
    "enable": _enable,
    "disable": _disable,
    "get_task": _task,
    "history": _history,
    "backfill": _backfill,
    "run": _run,
    "get": _get,
    "cancel": _cancel,
    "get_foreign": lambda caller, foreign: caller.service.execution(foreign),
    "cancel_foreign": lambda caller, foreign: caller.service.cancel(foreign),
    "list_tasks": _list_tasks,
    "executions": _executions,
    "handlers": lambda caller, _: caller.service.handlers(),
    "in_state": _in_state,
    "trigger": _trigger,
}


async def seen_by_us(place: Path | str, ours: str, told: Sequence[Any], *, alone: bool) -> list[Any]:
    """Return all that was answered to us while the other one did its things, too, or nothing."""
    theirs = REPORTS if ours == DEFAULT_NAMESPACE else DEFAULT_NAMESPACE
    async with new_rig(place) as rig:
        # Without an engine that begins runs as they are asked for: those of others would go first, which is no secret.
        service = Service(store=rig.store, clock=rig.clock, hub=rig.hub, registry=rig.registry)
        await rig.store.offer_handlers(rig.registry.handlers(), now=rig.clock.now())
        await service.create_namespace(REPORTS)
        with ExitStack() as stack:
            us, them = (
                Caller(rig, there, stack.enter_context(there.watching()))
                for there in map(service.in_namespace, (ours, theirs))
            )
            for who, what in told:
                if who == "time":
                    await rig.skip(what)
                elif who == "us":
                    await us.do(what, them)
                elif not alone:
                    await them.do(what, us)
                us.hear()
                them.hear()
            for thing in (("list_tasks",), ("executions",), *(("history", name) for name in ("a", "b", "c"))):
                await us.do(thing, them)
    assert check(place) == []
    return us.seen


def examples(count: int) -> settings:
    """Return so many examples, the same in each run."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


@examples(EXAMPLES)
@given(ours=st.sampled_from([DEFAULT_NAMESPACE, REPORTS]), told=steps)
def test_one_sees_nothing_of_the_other(ours: str, told: Sequence[Any]):
    """In a file."""

    def seen(*, alone: bool) -> list[Any]:
        with tempfile.TemporaryDirectory(prefix="namespaces-") as folder:
            return asyncio.run(seen_by_us(Path(folder) / "schedule.db", ours, told, alone=alone))

    assert seen(alone=False) == seen(alone=True)


@examples(ON_POSTGRESQL)
@given(ours=st.sampled_from([DEFAULT_NAMESPACE, REPORTS]), told=steps)
def test_one_sees_nothing_of_the_other_on_postgresql(postgres: Postgres, ours: str, told: Sequence[Any]):
    """In a database with several connections."""

    def seen(*, alone: bool) -> list[Any]:
        with postgres.lent_database() as url:
            return asyncio.run(seen_by_us(url, ours, told, alone=alone))

    assert seen(alone=False) == seen(alone=True)
