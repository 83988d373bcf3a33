"""A durable schedule service: register tasks, fire every occurrence, keep the history.

Handler modules import from here; the server, the clients and the contract's stubs are modules of their own::

    from schedule_grpc import PermanentFailure, TaskContext, handler
    from schedule_grpc.client import AsyncClient
    from schedule_grpc.pb import schedule_pb2, schedule_pb2_grpc

Public are `__all__` of this module and of `client`, `errors`, `schedule` and `testing`, and the stubs in `pb`
(docs/stability.md); every other module below this one is internal.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from schedule_grpc.handlers import PermanentFailure, TaskContext, handler

__all__ = ["PermanentFailure", "TaskContext", "handler"]


def __getattr__(name: str) -> Any:
    """Load the names of `__all__` on first use: the command line and the clients need none of them."""
    if name in __all__:
        return getattr(importlib.import_module("schedule_grpc.handlers"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
