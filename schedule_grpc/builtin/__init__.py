"""The built-in tasks: ordinary handlers, and the definitions that InitializeDefaultTasks registers."""

from dataclasses import replace
from datetime import timedelta

from schedule_grpc.builtin.analytics import update_analytics
from schedule_grpc.builtin.backup_database import backup_database
from schedule_grpc.builtin.cleanup import cleanup_expired_api_keys, cleanup_expired_sessions, cleanup_old_generations
from schedule_grpc.builtin.embeddings import generate_missing_embeddings
from schedule_grpc.builtin.equipped import Equipped
from schedule_grpc.builtin.health_check import health_check_services
from schedule_grpc.builtin.http_request.handler import http_request
from schedule_grpc.builtin.http_request.settings import HttpSettings
from schedule_grpc.builtin.rate_limits import check_rate_limits
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.task import Definition, define

__all__ = [
    "Equipped",
    "HttpSettings",
    "backup_database",
    "check_rate_limits",
    "cleanup_expired_api_keys",
    "cleanup_expired_sessions",
    "cleanup_old_generations",
    "default_definitions",
    "generate_missing_embeddings",
    "health_check_services",
    "http_request",
    "update_analytics",
]

_ALERTED = Policy(alert_after=1, overdue_grace=timedelta(minutes=5))
"""An alert is sent at the first failure, and when a run is overdue."""
_LONG = replace(_ALERTED, timeout=timedelta(minutes=30))
_ALERTS_ITSELF = Policy()
"""These tasks send alerts of their own conditions; an alert of their failure would repeat them."""

_DEFAULTS = (
    ("cleanup-expired-sessions", "@hourly", "cleanup", "Delete expired user sessions from database", _ALERTED),
    ("cleanup-expired-api-keys", "@daily", "cleanup", "Delete expired API keys", _ALERTED),
    ("cleanup-old-generations", "@weekly", "cleanup", "Delete AI generations older than 30 days", _ALERTED),
    (
        "generate-missing-embeddings",
        "@daily",
        "ai",
        "Find entities without embeddings and queue them for generation",
        _ALERTED,
    ),
    ("update-analytics", "@hourly", "analytics", "Compute and store platform usage statistics", _ALERTED),
    ("backup-database", "@daily", "maintenance", "Back up the database to external storage", _LONG),
    (
        "health-check-services",
        "every 5 minutes",
        "monitoring",
        "Ping all services and alert if any are down",
        _ALERTS_ITSELF,
    ),
    (
        "check-rate-limits",
        "@hourly",
        "monitoring",
        "Monitor API rate limit usage and alert if nearing threshold",
        _ALERTS_ITSELF,
    ),
)


def default_definitions() -> tuple[Definition, ...]:
    """Return the built-in tasks; each is named like its handler."""
    return tuple(
        define(
            name=name,
            schedule=schedule,
            handler=name,
            metadata={"description": description, "category": category},
            policy=policy,
        )
        for name, schedule, category, description, policy in _DEFAULTS
    )
