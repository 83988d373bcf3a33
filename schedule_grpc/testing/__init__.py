"""Tests of your own handlers and schedules: the real parts of the service, and a clock that the test moves.

`run` calls one handler once, as the service would::

    ran = await run(import_invoices, payload={"batch": 10}, env={"DB": fake})
    assert ran.succeeded and ran.result == {"processed": 10}

`manual_service` is a whole service, with store and engine on a file, that acts only when the test lets it::

    async with manual_service(import_invoices, env={"DB": fake}) as service:
        await service.register("invoices", "@daily", "import-invoices")
        await service.advance(timedelta(days=2))
        assert await service.states("invoices") == ["SUCCEEDED", "SUCCEEDED"]

No test framework is needed, and no plugin of one; `run_sync` is for tests that are not async.
"""

from schedule_grpc.domain.condition import Condition
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.engine import EngineOptions
from schedule_grpc.testing.fake_clock import FakeClock
from schedule_grpc.testing.manual import ManualService, manual_service
from schedule_grpc.testing.running import Ran, run, run_sync

__all__ = [
    "Condition",
    "EngineOptions",
    "FailureKind",
    "FakeClock",
    "ManualService",
    "Ran",
    "manual_service",
    "run",
    "run_sync",
]
