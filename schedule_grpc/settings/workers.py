"""Settings of workers."""

from pydantic import BaseModel, ConfigDict


class WorkersOptions(BaseModel):
    """What workers may do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow_builtin: bool = False
    """Whether workers may offer handlers that are built into the servers."""

    def __str__(self) -> str:
        return "allow_builtin" if self.allow_builtin else "none"
