"""What is public: the names that docs/stability.md promises, in full."""

import ast
import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
STABILITY = (ROOT / "docs" / "stability.md").read_text()

PUBLIC = {
    "schedule_grpc": ["PermanentFailure", "TaskContext", "handler"],
    "schedule_grpc.client": [
        *("AsyncClient", "AsyncWatch", "AuditEvent", "AuditFilter", "AuditPage", "Backfill", "CatchUp", "Client"),
        *("CoveredRange", "Definition", "Execution"),
        *("ExecutionFilter", "ExecutionPage", "FailedAttempt", "FailureKind", "Handler", "Identity", "KeptLog"),
        *("KeptProgress", "KeyInfo"),
        *(
            "KeyPage",
            "Limits",
            "LogLine",
            "Logged",
            "Lost",
            "Namespace",
            "NamespacePage",
            "NewKey",
            "Overlap",
            "Policy",
            "Preview",
        ),
        *("Progress", "Reason", "Registration"),
        *("RetryPolicy", "RunResult", "State", "Task", "TaskFilter", "TaskPage", "TaskStats", "TaskUpdate", "Tls"),
        *("Transition", "Trigger", "Watch", "Window", "WorkerInfo", "define"),
    ],
    "schedule_grpc.errors": [
        *("BindingError", "CannotStart", "ConfigurationError", "DatabaseRefused", "DatabaseUnavailable"),
        *("EtagMismatch", "ExecutionNotFound", "FailedPrecondition", "HandlerNotAllowed", "HandlerNotFound"),
        *("Internal", "InvalidArgument", "InvalidSchedule", "KeyExists", "KeyNotFound", "NamespaceExists"),
        *("NamespaceNotEmpty", "NamespaceNotFound", "NoWorker", "NotFound", "PermissionDenied", "ResourceExhausted"),
        *("ScheduleError", "SchedulePassed", "ShuttingDown", "TaskDisabled", "TaskNotFound", "TaskUnreadable"),
        *("Unauthenticated", "Unavailable", "Violation"),
    ],
    "schedule_grpc.schedule": ["Cron", "Interval", "Manual", "Once", "Schedule", "parse"],
    "schedule_grpc.testing": [
        *("Condition", "EngineOptions", "FailureKind", "FakeClock", "ManualService", "Ran", "manual_service", "run"),
        "run_sync",
    ],
    "schedule_grpc.worker": ["Worker"],
}
"""By module, in the order of ASCII. A new name is a promise: give it a place here, and a line in CHANGELOG.md."""
STUBS = ["access_pb2", "access_pb2_grpc", "schedule_pb2", "schedule_pb2_grpc", "worker_pb2", "worker_pb2_grpc"]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_has_these_names_and_no_others(name: str):
    """Its `__all__` is the list above, and each name of it can be imported."""
    module = importlib.import_module(name)
    assert list(module.__all__) == PUBLIC[name]
    assert all(getattr(module, each) is not None for each in module.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_what_a_public_module_defines_is_listed_or_begins_with_an_underscore(name: str):
    """A class, a function or a constant that is added there is promised, or looks internal."""
    module = importlib.import_module(name)
    assert set(_defined(module)) <= {*PUBLIC[name]}


def test_generated_stubs_are_two_modules_for_each_contract():
    """Their names are those of the contract, which buf compares with the newest release."""
    for stub in STUBS:
        assert importlib.import_module(f"schedule_grpc.pb.{stub}")


def test_the_page_names_every_public_module():
    """And no other one in its table."""
    rows = [line.split("`")[1] for line in STABILITY.splitlines() if line.startswith("| `schedule_grpc")]
    assert sorted(rows) == sorted([*PUBLIC, "schedule_grpc.pb"])
    assert all(f"`{stub}`" in STABILITY for stub in STUBS)


def _defined(module: ModuleType) -> list[str]:
    """Return the names without an underscore that a module's own statements define; imports are not among them."""
    names: list[str] = []
    for node in ast.parse(Path(str(module.__file__)).read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
    return [name for name in names if not name.startswith("_")]
