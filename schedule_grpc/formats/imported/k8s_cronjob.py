"""CronJobs of Kubernetes (batch/v1), from decoded manifests: one, several, or lists as `kubectl get` prints them."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from schedule_grpc.domain.policy import MAX_RETAINED
from schedule_grpc.domain.retry import MAX_RETRIES
from schedule_grpc.formats.imported.documents import Table
from schedule_grpc.formats.imported.k8s_expression import apart, schedule_of
from schedule_grpc.formats.imported.policies import late_start, timeout
from schedule_grpc.formats.imported.values import (
    AS_ELSEWHERE,
    NO_TIMEOUT,
    SHOWN,
    Found,
    Imported,
    NotTheSame,
    clock_note,
    without_secrets,
)

HANDLER = "run-container"
_OVERLAPS = {"": "allow-all", "Allow": "allow-all", "Forbid": "skip", "Replace": "cancel-other"}
_BACKOFF_LIMIT = 6
_RETRY = {"initial_backoff": "10s", "multiplier": 2, "max_backoff": "6m"}
_READ = {
    "spec": {
        *("schedule", "timeZone", "concurrencyPolicy", "startingDeadlineSeconds", "suspend"),
        *("successfulJobsHistoryLimit", "failedJobsHistoryLimit", "jobTemplate"),
    },
    "job": {"backoffLimit", "activeDeadlineSeconds", "template"},
    "pod": {"containers", "activeDeadlineSeconds", "restartPolicy"},
    "container": {"name", "image", "command", "args", "env", "workingDir"},
}
"""The keys that are kept; each other one that a manifest has is named in a note."""


def read_k8s_cronjobs(
    documents: Iterable[tuple[str, object]], *, handler: str = "", time_zone: str = "", now: datetime
) -> Imported:
    """Return the CronJobs of manifests.

    Args:
        documents: Each with its place.
        handler: Of all tasks.
        time_zone: Of CronJobs without a timeZone: that of the cluster's controller.
        now: For notes on changes of the clocks.

    Raises:
        NotReadable: if a manifest is not of the form that Kubernetes accepts.
    """
    named = handler or HANDLER
    found = Found(
        notes=[
            (
                "Kubernetes runs containers, a schedule server runs handlers: each task names the handler "
                f"{named}, which is not built in, with image, command and arguments in its payload. "
                "A worker that may start containers can offer it; --handler names another"
            ),
            f"a backoffLimit that is not set is {_BACKOFF_LIMIT}; {NO_TIMEOUT}",
        ]
    )
    if not time_zone:
        found.notes.append(
            "a CronJob without timeZone is read in the zone of the cluster's controller, mostly UTC, which is written "
            "here: --zone names another"
        )
    for place, document in documents:
        for manifest in _manifests(Table(document, place)):
            if manifest.text("kind") == "CronJob":
                _add(found, manifest, named, time_zone or "UTC", now)
            else:
                kind = manifest.text("kind") or "no kind"
                found.leave(manifest.place, kind, "is not a CronJob")
    return found.imported()


def _manifests(document: Table) -> Iterator[Table]:
    if document.text("kind").endswith("List"):
        yield from document.tables("items")
    else:
        yield document


def _add(found: Found, manifest: Table, handler: str, time_zone: str, now: datetime) -> None:
    metadata, spec = manifest.table("metadata"), manifest.table("spec")
    name, text = metadata.text("name", needed=True), spec.text("schedule", needed=True)
    notes: list[str] = []
    inner, rest = apart(text)
    zone = inner or spec.text("timeZone") or time_zone
    try:
        schedule, note = schedule_of(rest)
    except NotTheSame as error:
        found.leave(manifest.place, f"{name}: {text}"[:SHOWN], str(error))
        return
    notes += [note] if note else []
    if (within := metadata.text("namespace")) not in ("", "default"):
        notes.append(f"was in the namespace {within} of the cluster")
    policy = _policy(spec, notes)
    payload = _payload(spec, notes)
    found.add(
        place=manifest.place,
        source=f"{name}: {text}",
        wanted_name=name,
        schedule=schedule,
        time_zone=zone,
        handler=handler,
        payload=payload,
        policy=policy,
        enabled=False if spec.flag("suspend") else None,
        notes=_with_clocks(notes, schedule, zone, now),
    )


def _with_clocks(notes: list[str], schedule: str, zone: str, now: datetime) -> Iterator[str]:
    yield from notes
    yield from clock_note(schedule, zone, now, program="Kubernetes")


def _policy(spec: Table, notes: list[str]) -> dict[str, Any]:
    job = spec.table("jobTemplate").table("spec")
    pod = job.table("template").table("spec")
    policy: dict[str, Any] = {**AS_ELSEWHERE, "catch_up": "latest"}
    concurrency = spec.text("concurrencyPolicy")
    policy["overlap"] = _OVERLAPS.get(concurrency, "skip")
    if concurrency not in _OVERLAPS:
        notes.append(f"concurrencyPolicy {concurrency[:40]} is none of Allow, Forbid, Replace: overlap is skip")
    if (deadline := spec.whole("startingDeadlineSeconds")) is not None:
        late_start("startingDeadlineSeconds", deadline, policy, notes)
    limits = [spec.whole(key) for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit")]
    if any(limit is not None for limit in limits):
        kept = sum(default if limit is None else limit for limit, default in zip(limits, (3, 1), strict=True))
        policy["retention"] = {"max_count": min(max(kept, 1), MAX_RETAINED)}
        notes.append("retention counts succeeded and failed executions together: both history limits added up")
    retries = job.whole("backoffLimit")
    wanted = _BACKOFF_LIMIT if retries is None else retries
    policy["retry"] = {"max_retries": min(wanted, MAX_RETRIES), **_RETRY} if wanted else {"max_retries": 0}
    if wanted > MAX_RETRIES:
        notes.append(f"backoffLimit is {wanted}; here at most {MAX_RETRIES} retries")
    whole = job.number("activeDeadlineSeconds")
    attempt = pod.number("activeDeadlineSeconds")
    if (limit := attempt or whole) is not None:
        timeout("activeDeadlineSeconds", limit, policy, notes)
    if whole is not None and wanted:
        notes.append("activeDeadlineSeconds ends a Job with all its retries; here a timeout ends one attempt")
    return policy


def _payload(spec: Table, notes: list[str]) -> dict[str, Any]:
    job = spec.table("jobTemplate").table("spec")
    pod = job.table("template").table("spec")
    containers = pod.tables("containers")
    if len(containers) != 1:
        notes.append(f"it has {len(containers)} containers: the payload has the first")
    container = containers[0] if containers else Table({}, pod.at("containers[0]"))
    parts = (("spec", spec), ("job", job), ("pod", pod), ("container", container))
    ignored = [key for part, table in parts for key in table.value if key not in _READ[part]]
    if ignored:
        notes.append(f"not kept: {', '.join(ignored)[:SHOWN]}")
    plain: dict[str, Any] = {}
    by_reference: list[str] = []
    for variable in container.tables("env"):
        name = variable.text("name", needed=True)
        if "valueFrom" in variable.value:
            by_reference.append(name)
        else:
            plain[name] = variable.text("value")
    if by_reference:
        notes.append(f"{', '.join(by_reference)[:SHOWN]}: values from elsewhere (valueFrom) are the worker's to give")
    variables, hidden = without_secrets(plain)
    notes += hidden
    return {
        "image": container.text("image"),
        "command": container.list("command"),
        "args": container.list("args"),
        "workingDir": container.text("workingDir"),
        "env": variables,
    }
