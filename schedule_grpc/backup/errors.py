"""What goes wrong with a backup and may go right the next time."""

from schedule_grpc.errors import ScheduleError


class BackupFailed(ScheduleError):
    """No good backup was written, or a file is not one; the message names the reason. No older backup was removed."""

    code = "BACKUP_FAILED"
    status = "UNAVAILABLE"
