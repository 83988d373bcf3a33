"""What callers send: JSON bodies, and what they ask the service for."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from schedule_grpc.domain import durations
from schedule_grpc.domain.policy import DEFAULT
from schedule_grpc.domain.policy_reading import policy_value
from schedule_grpc.domain.registration import Registration, TaskUpdate
from schedule_grpc.domain.task import FIELDS, define

MILLISECONDS = "_ms"
READ_ONLY = frozenset(
    {"id", "lastRun", "nextRun", "createdAt", "updatedAt", "scheduleDescription", "stats", "note", "trouble", "uid"}
)
"""Fields of a task that only the service writes: what was read may be sent back as it is."""


def _instant(value: object) -> object:
    """Read ``2026-01-31T10:00:00Z``; without an offset it is UTC."""
    try:
        read = datetime.fromisoformat(value if isinstance(value, str) else "")
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not an RFC 3339 time such as 2026-01-31T10:00:00Z") from None


Instant = Annotated[datetime, BeforeValidator(_instant)]


def _milliseconds(value: object) -> object:
    """Read ``5m`` as 300000. A number in a text has no unit of its own, and is refused."""
    if not isinstance(value, str) or value.strip()[-1:].isdecimal():
        return value
    return durations.read(value) / durations.MILLISECOND


def _word(path: str) -> BeforeValidator:
    """Return what reads a policy's word in any spelling; what is none stays as it is, and is refused later."""

    def read(value: object) -> object:
        try:
            return policy_value(path, value).value
        except ValueError:
            return value

    return BeforeValidator(read)


Milliseconds = Annotated[
    float,
    BeforeValidator(_milliseconds),
    Field(ge=0, le=3.2e11),  # ten years; the policies' own bounds are narrower
]


class Body(BaseModel):
    """A JSON object with no other fields than these."""

    overlooked: ClassVar[frozenset[str]] = frozenset()
    """Fields that may be there all the same."""

    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel, populate_by_name=False)


def _example(**fields: Any) -> ConfigDict:
    """Return what shows a body in the description that is accepted as it is: /docs offers it to be sent."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class RetryBody(Body):
    """After which pauses failed attempts are made again."""

    max_retries: int | None = None
    initial_backoff_ms: Milliseconds | None = None
    multiplier: float | None = None
    max_backoff_ms: Milliseconds | None = None


class WindowBody(Body):
    """Occurrences in [startTime, endTime) count."""

    start_time: Instant | None = None
    end_time: Instant | None = None


class RetentionBody(Body):
    """How long ended executions are kept."""

    max_age_ms: Milliseconds | None = None
    max_count: int | None = None


class PolicyBody(Body):
    """How a task's executions are treated; what is not there is the default.

    A duration may be a text with its unit, such as `"5m"`; words may be written in any case, and with dashes.
    """

    timeout_ms: Milliseconds | None = Field(default=None, description="For one attempt")
    retry: RetryBody | None = None
    overlap: Annotated[Literal["SKIP", "BUFFER_ONE", "CANCEL_OTHER", "ALLOW_ALL"], _word("overlap")] | None = None
    catch_up: Annotated[Literal["LATEST", "ALL", "NONE"], _word("catch_up")] | None = None
    catch_up_window_ms: Milliseconds | None = None
    jitter_ms: Milliseconds | None = None
    window: WindowBody | None = None
    start_deadline_ms: Milliseconds | None = None
    retention: RetentionBody | None = None
    alert_after: int | None = None
    overdue_grace_ms: Milliseconds | None = None

    def by_path(self) -> dict[str, Any]:
        """Return what was said, by the policy's paths such as ``retry.max_retries``; None stands for the default."""
        return dict(_by_path(self, ""))


class _TaskBody(Body):
    overlooked: ClassVar = READ_ONLY

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_read_only(cls, told: object) -> object:
        if not isinstance(told, Mapping):
            return told
        return {name: value for name, value in told.items() if name not in READ_ONLY}


class TaskBody(_TaskBody):
    """A task to be registered: created, or made what is said here."""

    model_config = _example(
        name="custom-task",
        schedule="@hourly",
        handler="cleanup-expired-sessions",
        policy={"timeoutMs": 60_000, "retry": {"maxRetries": 5}},
        metadata={"category": "custom"},
    )

    name: str
    schedule: str
    handler: str
    time_zone: str = "UTC"
    payload: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    description: str = ""
    enabled: bool | None = Field(default=None, description="Unset: an operator's pause stays, a new task is enabled")
    policy: PolicyBody | None = None
    etag: str = Field(default="", description="The task must still have it")
    validate_only: bool = Field(default=False, description="Store nothing")
    allow_unknown_handler: bool = False

    def registration(self) -> Registration:
        """Return what is asked for.

        Raises:
            InvalidArgument, InvalidSchedule: as `task.define`.
        """
        definition = define(
            name=self.name,
            **{name: getattr(self, name) for name in FIELDS},
            policy=DEFAULT.with_fields(self.policy.by_path() if self.policy else {}),
        )
        return Registration(
            definition=definition,
            enabled=self.enabled,
            validate_only=self.validate_only,
            etag=self.etag,
            allow_unknown_handler=self.allow_unknown_handler,
        )


class TaskPatch(_TaskBody):
    """Fields of a task to be changed; null means the default."""

    model_config = _example(schedule="30 2 * * *", timeZone="Europe/Berlin", policy={"jitterMs": 30_000})

    schedule: str | None = None
    handler: str | None = None
    time_zone: str | None = None
    payload: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    description: str | None = None
    enabled: bool | None = None
    policy: PolicyBody | None = Field(default=None, description="Merged: what is not named stays; null: all defaults")
    etag: str = Field(default="", description="The task must still have it")
    validate_only: bool = Field(default=False, description="Store nothing")
    allow_unknown_handler: bool = False

    def update(self, name: str) -> TaskUpdate:
        """Return what is asked for of a task."""
        told = self.model_fields_set
        fields = {field: getattr(self, field) for field in FIELDS if field in told}
        if "policy" in told:
            policy = dict.fromkeys(DEFAULT.fields()) if self.policy is None else self.policy.by_path()
        else:
            policy = {}
        return TaskUpdate(
            name=name,
            fields=fields,
            policy=policy,
            enabled=self.enabled,
            etag=self.etag,
            validate_only=self.validate_only,
            allow_unknown_handler=self.allow_unknown_handler,
        )


class SwitchBody(Body):
    """Beside enabling or disabling."""

    model_config = _example(note="until the migration is over")

    note: str = Field(default="", description="Why; shown with the disabled task")
    etag: str = Field(default="", description="The task must still have it")


class RunBody(Body):
    """What a run by hand is given."""

    model_config = _example(payload={})

    payload: dict[str, Any] | None = Field(default=None, description="Instead of the task's own")


class BackfillBody(Body):
    """Occurrences in [startTime, endTime) are recorded."""

    model_config = _example(startTime="2026-01-01T10:00:00Z", endTime="2026-01-01T12:00:00Z")

    start_time: Instant
    end_time: Instant


class CancelBody(Body):
    """Why an execution shall end."""

    model_config = _example(note="no longer wanted")

    note: str = ""


def _by_path(body: Body, prefix: str) -> Iterator[tuple[str, Any]]:
    for name in sorted(body.model_fields_set):
        value = getattr(body, name)
        path = prefix + name.removesuffix(MILLISECONDS)
        nested = [each for each in DEFAULT.fields() if each.startswith(f"{path}.")]
        if isinstance(value, Body):
            yield from _by_path(value, f"{path}.")
        elif nested:  # null for a whole part
            yield from ((each, None) for each in nested)
        elif value is not None and name.endswith(MILLISECONDS):
            yield path, timedelta(milliseconds=value)
        else:
            yield path, None if value is None else policy_value(path, value)
