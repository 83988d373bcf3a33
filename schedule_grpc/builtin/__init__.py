"""The built-in tasks: ordinary handlers, and the definitions that InitializeDefaultTasks registers."""

from schedule_grpc.builtin.cleanup import cleanup_expired_api_keys, cleanup_expired_sessions, cleanup_old_generations
from schedule_grpc.task import Definition, define

__all__ = [
    "cleanup_expired_api_keys",
    "cleanup_expired_sessions",
    "cleanup_old_generations",
    "default_definitions",
]

_DEFAULTS = (
    ("cleanup-expired-sessions", "@hourly", "cleanup", "Delete expired user sessions from database"),
    ("cleanup-expired-api-keys", "@daily", "cleanup", "Delete expired API keys"),
    ("cleanup-old-generations", "@weekly", "cleanup", "Delete AI generations older than 30 days"),
)


def default_definitions() -> tuple[Definition, ...]:
    """Return the built-in tasks; each is named like its handler."""
    return tuple(
        define(
            name=name,
            schedule=schedule,
            handler=name,
            metadata={"description": description, "category": category},
        )
        for name, schedule, category, description in _DEFAULTS
    )
