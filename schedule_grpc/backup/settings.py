"""An operator's settings for the backups of all tasks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schedule_grpc.domain.read_only import read_only

DEFAULT_ROOT = "./backups"
SERVICE = "schedule"
"""As a source: the service's own database."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackupSettings:
    """Where backups may come from and go to. Handlers find it as ``ctx.env.BACKUP``."""

    sources: Mapping[str, str] = field(repr=False)
    """URLs of databases by name: those of the bindings, and under `SERVICE` that of the service's own database."""
    root: str = DEFAULT_ROOT
    """A folder, or an obstore URL; a task's target lies inside of it."""
    allow_urls: tuple[str, ...] = ()
    """URLs beside the root at or below which a task may name its own target: data goes to no other bucket."""
    pg_dump: str = "pg_dump"
    """The program, found on PATH or named with its path; not older than the server it dumps."""
    store_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Options of obstore's stores (``endpoint``, ``region`` …), beside those in the environment."""

    def __post_init__(self) -> None:
        """Keep one handler from changing the settings of the others."""
        object.__setattr__(self, "sources", read_only(dict(self.sources)))
        object.__setattr__(self, "store_options", read_only(dict(self.store_options)))
