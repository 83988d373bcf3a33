"""The checks, by subject; to import this package is to have them all in `check.CHECKS`."""

from schedule_grpc.conformance.checks import always, connections, ends, losses, payloads, processes, pulling, statuses

__all__ = ["always", "connections", "ends", "losses", "payloads", "processes", "pulling", "statuses"]
