"""The statements of the .sql files beside this module, by name."""

from schedule_grpc.database import load_queries

QUERIES = load_queries(
    __package__,
    "tasks.sql",
    "executions.sql",
    "queue.sql",
    "alerts.sql",
    "replicas.sql",
    "clock.sql",
    "retention.sql",
)
