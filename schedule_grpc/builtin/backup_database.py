"""backup-database: a verified backup of a database, into a folder or a bucket."""

from collections.abc import Mapping
from typing import Any

from schedule_grpc.backup import DEFAULT_KEEP, BackupSettings, Order, back_up
from schedule_grpc.builtin.reporting import check_fields, shown, whole_number
from schedule_grpc.errors import ConfigurationError, InvalidArgument
from schedule_grpc.handlers import PermanentFailure, TaskContext, handler

MAX_KEEP = 10_000
ROTATION = "rotation"
"""Key of the condition: old backups cannot be removed."""


@handler("backup-database", description="Back up a database, verified by opening it, and rotate older backups")
async def backup_database(ctx: TaskContext) -> dict[str, Any]:
    """Back up a database while it is written to.

    Payload: ``source`` (``DB``; the name of a binding, or ``schedule`` for the service's own database), ``target``
    (a folder inside the configured root, or an allowed URL), ``keep`` (7), ``compression`` (``zstd`` or ``gzip``).
    A verified backup is a success even if older ones cannot be removed: that causes an alert, until they can.
    """
    began = ctx.clock.monotonic()
    settings: BackupSettings = ctx.env.BACKUP
    try:
        made = await back_up(_order(ctx.payload), settings, now=ctx.now(), report=ctx.progress)
    except (InvalidArgument, ConfigurationError) as error:
        raise PermanentFailure(error.message) from error
    if made.not_rotated is None:
        ctx.recovered(ROTATION)
    else:
        ctx.log.warning("backup.not_rotated", file=made.file, error=made.not_rotated)
        ctx.alert("Old backups are not removed", made.not_rotated, key=ROTATION)
    return {
        "success": True,
        "file": made.file,
        "size": made.content.size,
        "compressedSize": made.compressed_size,
        "compression": made.compression,
        "sha256": made.sha256,
        "tables": dict(made.content.tables),
        "removed": list(made.removed),
        **({} if made.not_rotated is None else {"rotationError": made.not_rotated}),
        "duration": round((ctx.clock.monotonic() - began) * 1000),
        "message": "Database backup completed",
    }


def _order(payload: Mapping[str, Any]) -> Order:
    check_fields(payload, *Order.__slots__)
    for name in ("source", "target", "compression"):
        if not isinstance(payload.get(name, ""), str):
            raise PermanentFailure(f"payload.{name}: {shown(payload[name])} is not a text")
    whole_number(payload, "keep", DEFAULT_KEEP, MAX_KEEP)
    return Order(**payload)
