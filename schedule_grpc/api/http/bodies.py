"""The JSON bodies that callers send, and the requests to the service that they make."""

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
from schedule_grpc.errors import InvalidArgument

MILLISECONDS = "_ms"
READ_ONLY = frozenset(
    {
        "id",
        "lastRun",
        "nextRun",
        "createdAt",
        "updatedAt",
        "scheduleDescription",
        "stats",
        "note",
        "trouble",
        "uid",
        "changedBy",
    }
)
"""Fields of a task that only the service writes. A body may have them: a task can be sent back as it was read."""

SCHEDULE = "Such as */5 * * * *, @daily, every 90 minutes, 2026-01-31T10:00:00Z or @manual"
HANDLER = "Name of the handler that does the work"
TIME_ZONE = "IANA name of the zone in which a cron expression is read"
PAYLOAD = "Passed to the handler with each execution; at most 64 KiB of JSON"
METADATA = "The caller's own data; at most 16 KiB of JSON"
DESCRIPTION = "What the task is for"
ETAG = "If given, the call is refused unless the task still has this etag"
NAMESPACE = "If given, it must be the namespace of the call"
VALIDATE_ONLY = "Validate and return the result without storing anything"
ALLOW_UNKNOWN_HANDLER = "Accept a handler that no server or worker offers or ever offered; executions wait for it"


def _instant(value: object) -> object:
    """Read a time such as ``2026-01-31T10:00:00Z``; one without an offset is in UTC."""
    try:
        read = datetime.fromisoformat(value if isinstance(value, str) else "")
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not an RFC 3339 time such as 2026-01-31T10:00:00Z") from None


Instant = Annotated[datetime, BeforeValidator(_instant)]


def _milliseconds(value: object) -> object:
    """Read ``5m`` as 300000. A text without a unit stays as it is, and is refused later."""
    if not isinstance(value, str) or value.strip()[-1:].isdecimal():
        return value
    return durations.read(value) / durations.MILLISECOND


def _word(path: str) -> BeforeValidator:
    """Return the validator that reads a policy's word in any spelling; another text stays, and is refused later."""

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
    """A JSON object; a field that its model does not have is refused."""

    overlooked: ClassVar[frozenset[str]] = frozenset()
    """Fields that are ignored instead of refused."""

    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel, populate_by_name=False)


def _example(**fields: Any) -> ConfigDict:
    """Return the configuration of a body with an example; /docs offers to send it, so the service must accept it."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class RetryBody(Body):
    """Whether and when a failed attempt is retried."""

    max_retries: int | None = Field(default=None, description="Attempts after the first: 0 to 100, by default 3")
    initial_backoff_ms: Milliseconds | None = Field(
        default=None, description="The wait before the first retry; by default 1 s"
    )
    multiplier: float | None = Field(
        default=None, description="The factor by which each wait exceeds the one before; by default 2"
    )
    max_backoff_ms: Milliseconds | None = Field(
        default=None, description="The longest wait before a retry; by default 10 s"
    )


class WindowBody(Body):
    """The period within which a schedule has occurrences."""

    start_time: Instant | None = Field(default=None, description="No occurrence lies before this time")
    end_time: Instant | None = Field(default=None, description="No occurrence lies at or after this time")


class RetentionBody(Body):
    """How long ended executions are kept."""

    max_age_ms: Milliseconds | None = Field(
        default=None, description="An execution is removed this long after its end; by default 30 days"
    )
    max_count: int | None = Field(
        default=None, description="The number of newest executions that are kept; by default 10,000"
    )


class PolicyBody(Body):
    """How a task's executions are treated. An absent policy has its default.

    A duration is milliseconds, or a text with its unit, such as `"5m"`; words may be written in any case, and with
    dashes.
    """

    timeout_ms: Milliseconds | None = Field(
        default=None, description="The longest time that one attempt may take: 1 s to 24 h, by default 29 s"
    )
    retry: RetryBody | None = Field(default=None, description="Whether and when a failed attempt is retried")
    overlap: Annotated[Literal["SKIP", "BUFFER_ONE", "CANCEL_OTHER", "ALLOW_ALL"], _word("overlap")] | None = Field(
        default=None,
        description="What happens to an execution that is due while another one has not ended; by default SKIP",
    )
    catch_up: Annotated[Literal["LATEST", "ALL", "NONE"], _word("catch_up")] | None = Field(
        default=None,
        description="What happens to occurrences that were not recorded in time; by default LATEST",
    )
    catch_up_window_ms: Milliseconds | None = Field(
        default=None, description="Occurrences older than this end MISSED: 0 to 3,650 days, by default 365 days"
    )
    jitter_ms: Milliseconds | None = Field(
        default=None, description="The longest delay of an occurrence's start: 0 to 24 h, by default 0"
    )
    window: WindowBody | None = Field(default=None, description="The period within which the schedule has occurrences")
    start_deadline_ms: Milliseconds | None = Field(
        default=None,
        description="An execution not started within this time of becoming available ends MISSED: "
        "1 s to 365 days, by default 1 h",
    )
    retention: RetentionBody | None = Field(default=None, description="How long the history is kept")
    alert_after: int | None = Field(
        default=None,
        description="The failures in a row at which an alert is sent: 0 to 1,000, by default 0, which sends none",
    )
    overdue_grace_ms: Milliseconds | None = Field(
        default=None,
        description="An alert is sent when an occurrence has not started within this time of becoming available: "
        "0 to 365 days, by default 0, which sends none",
    )
    payload_override: bool | None = Field(
        default=None,
        description="Whether callers with the scope run may give a run by hand a payload; by default they may not",
    )

    def by_path(self) -> dict[str, Any]:
        """Return the policies of the body by their paths, such as ``retry.max_retries``; None is the default."""
        return dict(_by_path(self, ""))


class _TaskBody(Body):
    overlooked: ClassVar = READ_ONLY

    namespace: str | None = Field(default=None, description=NAMESPACE)

    def check_namespace(self, namespace: str) -> None:
        """Refuse a task of another namespace than the call's: it was read there, and would be changed here.

        Raises:
            InvalidArgument: naming both.
        """
        if self.namespace not in (None, namespace):
            reason = f"is {self.namespace}, but the call is of {namespace}: name it by the header Schedule-Namespace"
            raise InvalidArgument.of("namespace", reason)

    @model_validator(mode="before")
    @classmethod
    def _without_read_only_fields(cls, body: object) -> object:
        if not isinstance(body, Mapping):
            return body
        return {name: value for name, value in body.items() if name not in READ_ONLY}


class TaskBody(_TaskBody):
    """A task to be created, or the new definition of the task with this name."""

    model_config = _example(
        name="custom-task",
        schedule="@hourly",
        handler="cleanup-expired-sessions",
        policy={"timeoutMs": 60_000, "retry": {"maxRetries": 5}},
        metadata={"category": "custom"},
    )

    name: str = Field(description="A letter or digit, then up to 127 letters, digits, ., _ or -")
    schedule: str = Field(description=SCHEDULE)
    handler: str = Field(description=HANDLER)
    time_zone: str = Field(default="UTC", description=TIME_ZONE)
    payload: dict[str, Any] | None = Field(default=None, description=PAYLOAD)
    metadata: dict[str, Any] | None = Field(default=None, description=METADATA)
    description: str = Field(default="", description=DESCRIPTION)
    enabled: bool | None = Field(
        default=None, description="Whether the task fires; unset: an existing task stays as it is, a new one fires"
    )
    policy: PolicyBody | None = Field(default=None, description="How the task's executions are treated")
    etag: str = Field(default="", description=ETAG)
    validate_only: bool = Field(default=False, description=VALIDATE_ONLY)
    allow_unknown_handler: bool = Field(default=False, description=ALLOW_UNKNOWN_HANDLER)

    def registration(self) -> Registration:
        """Return the registration that the body asks for.

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
    """The fields of a task to be changed; null gives a field its default."""

    model_config = _example(schedule="30 2 * * *", timeZone="Europe/Berlin", policy={"jitterMs": 30_000})

    schedule: str | None = Field(default=None, description=SCHEDULE)
    handler: str | None = Field(default=None, description=HANDLER)
    time_zone: str | None = Field(default=None, description=TIME_ZONE)
    payload: dict[str, Any] | None = Field(default=None, description=PAYLOAD)
    metadata: dict[str, Any] | None = Field(default=None, description=METADATA)
    description: str | None = Field(default=None, description=DESCRIPTION)
    enabled: bool | None = Field(default=None, description="Whether the task fires; null changes nothing")
    policy: PolicyBody | None = Field(
        default=None, description="The policies to be changed; the others stay; null: all have their defaults"
    )
    etag: str = Field(default="", description=ETAG)
    validate_only: bool = Field(default=False, description=VALIDATE_ONLY)
    allow_unknown_handler: bool = Field(default=False, description=ALLOW_UNKNOWN_HANDLER)

    def update(self, name: str) -> TaskUpdate:
        """Return the update that the body asks for."""
        given = self.model_fields_set
        fields = {field: getattr(self, field) for field in FIELDS if field in given}
        if "policy" in given:
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
    """Why a task is disabled, and the etag that it must have."""

    model_config = _example(note="until the migration is over")

    note: str = Field(default="", description="Why the task is disabled; shown with it")
    etag: str = Field(default="", description=ETAG)


class RunBody(Body):
    """The payload of a run by hand."""

    model_config = _example(payload={})

    payload: dict[str, Any] | None = Field(
        default=None, description="Passed to the handler instead of the task's payload"
    )


class BackfillBody(Body):
    """The period, [startTime, endTime), whose occurrences are recorded."""

    model_config = _example(startTime="2026-01-01T10:00:00Z", endTime="2026-01-01T12:00:00Z")

    start_time: Instant = Field(description="The first occurrence lies at or after this time")
    end_time: Instant = Field(description="The last occurrence lies before this time")


class CancelBody(Body):
    """Why an execution is cancelled."""

    model_config = _example(note="no longer wanted")

    note: str = Field(default="", description="Why the execution is cancelled; kept as its error")


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
