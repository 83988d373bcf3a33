"""Options that several commands share, in groups: the options of a group become one argument of the command."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schedule_grpc.cli.completion import handler_names, states, task_names

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from schedule_grpc.domain.execution import ExecutionFilter

DEFAULT = "default"
"""The text of a policy's option that restores the default."""
MAX_PAGE = 1000
"""Executions in one page of a server, at most."""

TaskName = Annotated[str, typer.Argument(help="Name of the task", autocompletion=task_names)]
ExecutionId = Annotated[str, typer.Argument(help="Id of the execution")]
Etag = Annotated[str, typer.Option(help="Refuse unless the task still has this etag (see tasks get --json)")]
ValidateOnly = Annotated[bool, typer.Option("--validate-only", help="Check and show, but store nothing")]
AllowUnknownHandler = Annotated[
    bool, typer.Option("--allow-unknown-handler", help="Accept a handler that no server or worker offers yet")
]
HandlerName = Annotated[str, typer.Option(help="Name of the handler that does the work", autocompletion=handler_names)]
ConfigFile = Annotated[Path | None, typer.Option(help="TOML file [schedule.toml, if there is one]")]
DatabaseUrl = Annotated[
    str | None, typer.Option(help="sqlite:///PATH or postgresql://USER@HOST/DATABASE [sqlite:///schedule.db]")
]
Patience = Annotated[float, typer.Option(min=0, help="Seconds to look for a server that is gone; 0: end with it")]


@dataclass(frozen=True, slots=True)
class PolicyOption:
    """An option that sets the policy at a path of the contract; ``default`` is how that reads."""

    name: str
    path: str
    default: str
    help: str

    @property
    def key(self) -> str:
        """The option's name as a parameter."""
        return self.name.replace("-", "_")

    def parameter(self) -> inspect.Parameter:
        """Return the option as a parameter of a group."""
        option = typer.Option(f"--{self.name}", help=f"{self.help} [{self.default}]", metavar=self._form())
        kind = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(self.key, kind, default=None, annotation=Annotated[str | None, option])

    def read(self, text: str) -> Any:
        """Return the value that the option's text means, None for the default.

        Raises:
            typer.BadParameter: if the policy has no such value.
        """
        from schedule_grpc.domain.policy_reading import policy_value

        if text == DEFAULT:
            return None
        try:
            return policy_value(self.path, _number(text) if self._form() == "NUMBER" else text)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=f"--{self.name}") from None

    def _form(self) -> str:
        if self.path in ("overlap", "catch_up"):
            return "WORD"
        if self.path.startswith("window."):
            return "INSTANT"
        if self.default in ("true", "false"):
            return "BOOLEAN"
        return "DURATION" if self.default[-1].isalpha() else "NUMBER"


POLICY_OPTIONS = (
    PolicyOption("timeout", "timeout", "29s", "Longest time one attempt may take"),
    PolicyOption("max-retries", "retry.max_retries", "3", "Attempts after the first"),
    PolicyOption("initial-backoff", "retry.initial_backoff", "1s", "Wait before the first retry"),
    PolicyOption("multiplier", "retry.multiplier", "2", "Factor from each wait to the next"),
    PolicyOption("max-backoff", "retry.max_backoff", "10s", "Longest wait before a retry"),
    PolicyOption(
        "overlap", "overlap", "skip", "If the last run is not over: skip, buffer-one, cancel-other or allow-all"
    ),
    PolicyOption(
        "catch-up", "catch_up", "latest", "Which occurrences that no server looked for run: latest, all, none"
    ),
    PolicyOption("catch-up-window", "catch_up_window", "365d", "Occurrences older than this are not caught up"),
    PolicyOption("jitter", "jitter", "0s", "Occurrences start up to this much later"),
    PolicyOption("window-start", "window.start_time", "none", "No occurrence before this instant"),
    PolicyOption("window-end", "window.end_time", "none", "No occurrence at or after this instant"),
    PolicyOption(
        "start-deadline", "start_deadline", "1h", "Executions not started this long after they were due end MISSED"
    ),
    PolicyOption("retention-age", "retention.max_age", "30d", "How long ended executions are kept"),
    PolicyOption("retention-count", "retention.max_count", "10000", "How many ended executions are kept"),
    PolicyOption("alert-after", "alert_after", "0", "Failures in a row after which an alert is sent; 0: never"),
    PolicyOption("overdue-grace", "overdue_grace", "0s", "Lateness of a start after which an alert is sent; 0s: never"),
    PolicyOption(
        "payload-override", "payload_override", "false", "Whether callers with scope run may give a run a payload"
    ),
)


def policies(**texts: str | None) -> dict[str, Any]:
    """Return the policies that the options give, by path; None restores a default."""
    given = {option: texts[option.key] for option in POLICY_OPTIONS}
    values = {option.path: option.read(text) for option, text in given.items() if text is not None}
    if values:
        _check_bounds(values)
    return values


policies.__signature__ = inspect.Signature([option.parameter() for option in POLICY_OPTIONS])  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The executions to list, and how many of them at most."""

    chosen: "ExecutionFilter"
    limit: int

    @property
    def page_size(self) -> int:
        """Executions to ask for in one page."""
        return min(self.limit, MAX_PAGE)


def executions(
    *,
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only these: failed, missed, running ...; repeatable", autocompletion=states),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Recorded from then on: 2026-01-31T10:00Z, 2026-01-31, or 2h ago as 2h")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Recorded before then")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to show, newest first")] = 20,
) -> Listing:
    """Return the executions to list."""
    from schedule_grpc.domain.execution import ExecutionFilter

    chosen = ExecutionFilter(
        states=states_named(state or ()),
        start_time=None if since is None else instant("--since", since),
        end_time=None if until is None else instant("--until", until),
    )
    return Listing(chosen=chosen, limit=limit)


def states_named(texts: "list[str] | tuple[str, ...]") -> "frozenset[Any]":
    """Return the states that the texts name; one text may name several, separated by commas.

    Raises:
        typer.BadParameter: for a name that is not a state's.
    """
    from schedule_grpc.domain.execution import STATES

    names = [name.strip() for text in texts for name in text.split(",")]
    known = {state.lower(): state for state in STATES}
    try:
        return frozenset(known[name.lower()] for name in names)
    except KeyError:
        message = f"{', '.join(names)}: the states are {', '.join(known)}"
        raise typer.BadParameter(message, param_hint="--state") from None


def instant(option: str, text: str) -> "datetime":
    """Return the instant that a text means: an ISO 8601 date or time (UTC if it has no offset), or a duration ago.

    Raises:
        typer.BadParameter: if it is neither.
    """
    from datetime import UTC, datetime

    from schedule_grpc.domain import durations
    from schedule_grpc.runtime.clock import SystemClock

    try:
        return SystemClock().now() - durations.read(text)
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        form = "such as 2026-01-31T10:00:00Z or 2026-01-31, nor a time ago such as 2h or 7d"
        raise typer.BadParameter(f"{text!r} is neither a time {form}", param_hint=option) from None


def duration(option: str, text: str) -> "timedelta":
    """Return the duration that a text means.

    Raises:
        typer.BadParameter: if it means none.
    """
    from schedule_grpc.domain import durations

    try:
        return durations.read(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def json_object(option: str, text: str) -> Mapping[str, Any]:
    """Return the JSON object of an option; ``@FILE`` reads it from a file.

    Raises:
        typer.BadParameter: if the text is not a JSON object.
    """
    from schedule_grpc.domain.json_input import parsed, portable, text_of

    try:
        value = portable(parsed(text_of(Path(text[1:]).read_bytes()) if text.startswith("@") else text))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    if not isinstance(value, dict):
        raise typer.BadParameter("is not a JSON object", param_hint=option)
    return value


def _check_bounds(values: Mapping[str, Any]) -> None:
    from schedule_grpc.domain.policy import Policy

    names = {option.path: f"--{option.name}" for option in POLICY_OPTIONS}
    for violation in Policy().with_fields(values).violations():
        raise typer.BadParameter(violation.reason, param_hint=names[violation.field.removeprefix("policy.")])


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def one_of(option: str, text: str, words: "Iterable[str]") -> str:
    """Return the word that a text is, whatever its case, in small letters.

    Raises:
        typer.BadParameter: if it is none of them.
    """
    known = [word.lower() for word in words]
    if text.lower() not in known:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(known)}", param_hint=option)
    return text.lower()
