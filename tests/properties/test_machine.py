"""Anything that callers, clocks and crashes can do, in any order: after each step every promise holds.

MACHINE_EXAMPLES=2000 (or FAULTS=long) makes it longer; each run of one length is the same. MACHINE_SHRINK=1 looks for
the shortest story that breaks a promise, which takes many minutes.
"""

import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.rigs.world import World

from schedule_grpc.domain.policy import CatchUp, Overlap, Policy
from schedule_grpc.domain.registration import TaskUpdate
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.errors import InvalidArgument, TaskDisabled, TaskNotFound

pytestmark = [pytest.mark.timeout(1800), pytest.mark.slow]

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "600" if os.environ.get("FAULTS") == "long" else "10"))
PHASES = (Phase.generate, Phase.shrink) if os.environ.get("MACHINE_SHRINK") else (Phase.generate,)
STEPS = 25

names = st.sampled_from(["a", "b", "c"])
schedules = st.sampled_from(
    ["@manual", "every 10 seconds", "every 90 minutes", "* * * * *", "*/7 * * * *", "30 2 * * *", "@weekly"]
)
zones = st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"])
handlers = st.sampled_from(["fate", "fate", "fate", "waits", "deaf"])
fates = st.sampled_from(
    [
        {},
        {"fate": "raise"},
        {"fate": "fail-at-first", "times": 2},
        {"fate": "false"},
        {"fate": "reject"},
        {"fate": "exit"},
        {"fate": "not-json"},
    ]
)
policies = st.builds(
    Policy,
    timeout=st.sampled_from([timedelta(seconds=29), timedelta(seconds=3)]),
    retry=st.builds(RetryPolicy, max_retries=st.sampled_from([0, 1, 3])),
    overlap=st.sampled_from(list(Overlap)),
    catch_up=st.sampled_from(list(CatchUp)),
    jitter=st.sampled_from([timedelta(0), timedelta(seconds=20)]),
    start_deadline=st.sampled_from([timedelta(hours=1), timedelta(seconds=15)]),
)


class Machine(RuleBasedStateMachine):
    """What can be asked of the service, and what can happen to it."""

    @initialize(schedule=schedules, policy=policies, others=policies)
    def begin(self, schedule, policy, others) -> None:
        """A service with three tasks: one of every kind of handler, two that run long."""
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.world = World(self.folder / "schedule.db")
        self.service = lambda: self.world.rig.service
        self.register(name="a", schedule=schedule, zone="UTC", handler="fate", payload={}, policy=policy)
        self.register(name="b", schedule="every 10 seconds", zone="UTC", handler="waits", payload={}, policy=others)
        self.register(name="c", schedule="@manual", zone="UTC", handler="deaf", payload={}, policy=others)

    @rule(name=names, schedule=schedules, zone=zones, handler=handlers, payload=fates, policy=policies)
    def register(self, name, schedule, zone, handler, payload, policy):
        """Create or replace a task."""
        world = self.world
        asked = {"time_zone": zone, "handler": handler, "payload": payload, "policy": policy}
        world.do(world.rig.register(name, schedule, **asked))
        world.tasks.add(name)

    @rule(name=names, schedule=schedules, zone=zones)
    def update(self, name, schedule, zone):
        """Change when a task fires."""
        self._on(
            name,
            lambda: self.service().update(
                TaskUpdate(name=name, fields={"schedule": schedule, "time_zone": zone}, policy={})
            ),
        )

    @rule(name=names, handler=handlers)
    def change_handler(self, name, handler):
        """Change what a task runs."""
        self._on(name, lambda: self.service().update(TaskUpdate(name=name, fields={"handler": handler}, policy={})))

    @rule(name=names)
    def disable(self, name):
        """Nothing fires from here on."""
        self._on(name, lambda: self.service().disable(name))

    @rule(name=names)
    def enable(self, name):
        """It fires again, counting from now."""
        self._on(name, lambda: self.service().enable(name))

    @rule(name=names)
    def delete(self, name):
        """The task goes, its history stays."""
        self._on(name, lambda: self.service().delete(name))
        self.world.tasks.discard(name)

    @rule(name=names, payload=st.none() | fates, request=st.none() | st.sampled_from(["r1", "r2"]))
    def run_now(self, name, payload, request):
        """By hand; the same request is the same execution, whatever happened in between."""
        asked = {"payload": payload, "detach": True, "request_id": f"{name}-{request}" if request else ""}
        execution = self._on(name, lambda: self.service().run_now(name, **asked))
        if execution is not None:
            self.world.told(execution)
            if request:
                assert self.world.requests.setdefault(asked["request_id"], execution.id) == execution.id

    @rule(cron=st.sampled_from(["* * * * *", "*/7 * * * *", "0 0 * * 0"]))
    def trigger(self, cron):
        """The manual cron trigger."""
        for execution in self.world.do(self.service().trigger_cron(cron)):
            self.world.told(execution)

    @rule(name=names, hours=st.sampled_from([1, 30]))
    def backfill(self, name, hours):
        """A stretch of time that is past."""
        now = self.world.clock.now()
        recorded = self._on(name, lambda: self.service().backfill(name, now - timedelta(hours=hours), now))
        for execution in recorded.executions if recorded else ():
            self.world.told(execution)

    @rule(which=st.integers(0, 1000))
    def cancel(self, which):
        """One of those that somebody was told of."""
        if self.world.executions:
            chosen = self.world.executions[which % len(self.world.executions)]
            self.world.do(self.service().cancel(chosen, note="enough"))

    @rule(seconds=st.sampled_from([1, 4, 13, 45]))
    def time_passes(self, seconds):
        """Seconds."""
        self.world.do(self.world.advance(seconds))

    @rule(by=st.sampled_from([-86400, -3600, -20, 20, 600, 7200, 86400, 10 * 86400]))
    def clock_jumps(self, by):
        """Minutes to days, forward and back."""
        self.world.do(self.world.jump(timedelta(seconds=by)))

    @rule()
    def let_go(self):
        """Handlers that wait go on."""
        self.world.do(self.world.release())

    @rule()
    def hold(self):
        """Handlers wait again."""
        self.world.do(self.world.hold())

    @rule()
    def crash(self):
        """kill -9, and a start."""
        self.world.do(self.world.crash())

    @rule()
    def restart(self):
        """An orderly stop, and a start."""
        self.world.do(self.world.restart())

    @rule()
    def prune(self):
        """Retention's round."""
        self.world.do(self.world.rig.engine.prune())

    @invariant()
    def every_promise_holds(self):
        """The checker finds nothing; what had ended is as it was."""
        if hasattr(self, "world"):
            assert self.world.broken() == []

    def teardown(self) -> None:
        """Let everything go and time pass: nothing stays open, and every promise holds still."""
        if not hasattr(self, "world"):
            return
        world = self.world
        try:
            world.do(world.release())
            for name in sorted(world.tasks):
                world.do(world.rig.service.disable(name))
            world.do(world.set_right())
            for _ in range(6):
                world.do(world.advance(30))
            assert world.broken(at_rest=True) == []
        finally:
            world.close()
            shutil.rmtree(self.folder)

    def _on(self, name, ask):
        """Ask something of a task; it may not be there, or not be able to."""
        try:
            done = self.world.do(ask())
        except TaskNotFound:
            assert name not in self.world.tasks
            return None
        except TaskDisabled:
            used = False
        except InvalidArgument as refusal:
            # A request id is remembered beyond its task: a deleted one's, with another payload, is refused for that.
            used = [violation.field for violation in refusal.violations] == ["request_id"]
        else:
            return done
        assert used or name in self.world.tasks
        return None


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=True,
    database=None,
    phases=PHASES,
    suppress_health_check=list(HealthCheck),
)
