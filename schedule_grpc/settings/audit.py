"""Settings of the audit log."""

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from schedule_grpc.domain.access.audit import DEFAULT_RETENTION
from schedule_grpc.domain.durations import written
from schedule_grpc.settings.values import duration

SHORTEST = timedelta(days=1)
LONGEST = timedelta(days=36_500)


class AuditOptions(BaseModel):
    """How long rows are kept, whether reads have rows, and whether each row is a line of the log, too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    retention: Annotated[timedelta, BeforeValidator(duration), Field(ge=SHORTEST, le=LONGEST)] = DEFAULT_RETENTION
    reads: bool = False
    log: bool = True

    def __str__(self) -> str:
        return f"retention {written(self.retention)}"
