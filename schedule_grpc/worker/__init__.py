"""A worker: a process beside the server that runs handlers for it. The command ``schedule-grpc worker`` is one.

::

    worker = Worker("schedule.internal", handlers=["my_company.tasks"], slots=8)
    await worker.run()

Handlers are what they are in a server: the same decorator, the same context, the same event loops and threads. Of the
context these parts differ, because a server does not send them:

- ``ctx.task`` has the name, the namespace, the handler, the payload, the metadata and the timeout of the task. Its
  schedule is ``@manual``, its other policies are the defaults, its uid is empty, its times are 1970-01-01, and its
  statistics are zero.
- ``ctx.now()``, ``ctx.deadline`` and ``ctx.clock`` are by the clock of the worker's machine.
- ``ctx.env`` has the bindings of the worker's own configuration.

docs/workers.md has the rules that a worker keeps, and what to expect at faults.
"""

from schedule_grpc.worker.worker import Worker

__all__ = ["Worker"]
