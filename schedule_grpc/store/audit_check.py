"""Checks the chains of an audit log without a server, on one state of the database, changing nothing."""

from pathlib import Path

from schedule_grpc.database import read_file
from schedule_grpc.domain.access.audit import ChainReport
from schedule_grpc.errors import DatabaseRefused
from schedule_grpc.runtime.paths import SQLITE
from schedule_grpc.store.opening import found_version, is_shared, postgres, shown
from schedule_grpc.store.operations.audit import check_chains
from schedule_grpc.store.schema import MIGRATIONS

AUDIT_SINCE = 12
"""The schema version of the first databases that have an audit log."""


async def check_audit(url: str) -> tuple[ChainReport, ...]:
    """Return what a check of each chain found, in the order of their names; a server may be using the database.

    Raises:
        DatabaseRefused: if the database cannot be read, or has no audit log yet.
    """
    version = await found_version(url)
    if version is None or version < AUDIT_SINCE:
        raise DatabaseRefused(f"{shown(url)}: has no audit log: {_state(version)}")
    if is_shared(url):
        reports: tuple[ChainReport, ...] = await postgres().read_alone(url, check_chains)
        return reports
    return read_file(Path(url.removeprefix(SQLITE)), check_chains)


def _state(version: int | None) -> str:
    return "it is empty" if version is None else f"it has schema version {version} of {len(MIGRATIONS)}"
