"""Backups of databases: made while they are written to, opened again before they count, and rotated.

::

    settings = BackupSettings(sources={"DB": "sqlite:///platform.db"}, root="./backups")
    backup = await back_up(Order(source="DB"), settings, now=clock.now(), report=print)
    verify_backup(Path(backup.file))
"""

from schedule_grpc.backup.errors import BackupFailed
from schedule_grpc.backup.make import DEFAULT_KEEP, Backup, Order, back_up
from schedule_grpc.backup.names import is_backup
from schedule_grpc.backup.settings import SERVICE, BackupSettings
from schedule_grpc.backup.verify import Content, Verified, verify_backup

__all__ = [
    "DEFAULT_KEEP",
    "SERVICE",
    "Backup",
    "BackupFailed",
    "BackupSettings",
    "Content",
    "Order",
    "Verified",
    "back_up",
    "is_backup",
    "verify_backup",
]
