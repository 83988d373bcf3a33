"""Settings of the metrics."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schedule_grpc.settings.values import NUMBER

_Count = Annotated[int, NUMBER, Field(ge=0, le=100_000)]


class MetricsOptions(BaseModel):
    """How many tasks, handlers and namespaces have series of their own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tasks: _Count = 1000
    max_handlers: _Count = 100
    max_namespaces: _Count = 100

    def __str__(self) -> str:
        counts = self.max_tasks, self.max_handlers, self.max_namespaces
        return "max_tasks {:,}, max_handlers {:,}, max_namespaces {:,}".format(*counts)
