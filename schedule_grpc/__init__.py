"""A durable schedule service: register tasks, fire every occurrence, keep the history.

Handler modules import from here; the server, the clients and the contract's stubs are modules of their own::

    from schedule_grpc import PermanentFailure, TaskContext, handler
    from schedule_grpc.client import AsyncClient
    from schedule_grpc.pb import schedule_pb2, schedule_pb2_grpc
"""

from schedule_grpc.handlers import PermanentFailure, TaskContext, handler

__all__ = ["PermanentFailure", "TaskContext", "handler"]
