"""The settings in force, as the dashboard tells them: no secret, and no value that could hold one."""

from collections.abc import Mapping

from schedule_grpc.domain.durations import written
from schedule_grpc.settings.config import Settings
from schedule_grpc.settings.listeners import addresses
from schedule_grpc.text.secrets import shown


def facts_of(settings: Settings) -> Mapping[str, str]:
    """Return settings by their names; of URLs, no password; of bindings, only the names."""
    return {
        "database": shown(settings.database),
        "grpc": addresses(settings.grpc),
        "http.address": addresses(settings.http.address),
        "http.path_prefix": settings.http.path_prefix or "none",
        "http.changes": _yes_or_no(settings.http.changes),
        "ui.frame_ancestors": ", ".join(settings.ui.frame_ancestors) or "none",
        "engine": _yes_or_no(settings.engine),
        "concurrency": f"{settings.concurrency:,}",
        "handlers": ", ".join(settings.handlers) or "built-in ones only",
        "handler_concurrency": ", ".join(f"{name}={most}" for name, most in settings.handler_concurrency.items())
        or "none",
        "drain_timeout": written(settings.drain_timeout),
        "auth.mode": settings.auth.mode or "unset: required as soon as there is a key",
        "logs.keep": settings.logs.keep,
        "audit.retention": written(settings.audit.retention),
        "backup.root": shown(settings.backup.root),
        "bindings": ", ".join(sorted(settings.bindings)),
        "event_loop": settings.event_loop,
        "log_level": settings.log_level,
    }


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
