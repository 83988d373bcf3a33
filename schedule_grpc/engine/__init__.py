"""The engine: fires what is due, claims what can start, runs it, and keeps its leases."""

from schedule_grpc.engine.absent import AbsentEngine
from schedule_grpc.engine.blocked_loop import Watchdog
from schedule_grpc.engine.engine import Engine, EngineOptions
from schedule_grpc.engine.handler_loops import Bindings, HandlerLoops

__all__ = ["AbsentEngine", "Bindings", "Engine", "EngineOptions", "HandlerLoops", "Watchdog"]
