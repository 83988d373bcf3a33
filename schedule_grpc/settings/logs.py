"""Settings of the log lines that executions keep."""

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from schedule_grpc.domain.durations import written
from schedule_grpc.domain.execution.log_lines import DEFAULT_LOG_RETENTION, Keep
from schedule_grpc.settings.values import duration

SHORTEST = timedelta(hours=1)
LONGEST = timedelta(days=3650)


class LogOptions(BaseModel):
    """Which attempts' lines are kept, and how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep: Keep = Keep.ALL
    max_age: Annotated[timedelta, BeforeValidator(duration), Field(ge=SHORTEST, le=LONGEST)] = DEFAULT_LOG_RETENTION

    def __str__(self) -> str:
        return f"keep {self.keep.value}, max_age {written(self.max_age)}"
