"""The statements of the .sql files beside this module, by name."""

from schedule_grpc.database import load_queries

QUERIES = load_queries(
    __package__,
    "sql/namespaces.sql",
    "sql/tasks.sql",
    "sql/listing.sql",
    "sql/summary.sql",
    "sql/upcoming.sql",
    "sql/why.sql",
    "sql/executions.sql",
    "sql/queue.sql",
    "sql/alerts.sql",
    "sql/replicas.sql",
    "sql/workers.sql",
    "sql/workers_seen.sql",
    "sql/clock.sql",
    "sql/retention.sql",
    "sql/keys.sql",
    "sql/browser_sessions.sql",
    "sql/audit.sql",
    "sql/logs.sql",
    "sql/census.sql",
)
