"""Bindings: outside services by name, opened from URLs when a handler first asks for one."""

from schedule_grpc.bindings.environment import Environment

__all__ = ["Environment"]
