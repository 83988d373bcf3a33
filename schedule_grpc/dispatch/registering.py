"""Checks what a worker says of itself."""

from collections.abc import Collection, Iterator, Sequence

from schedule_grpc.dispatch.refusals import ProtocolUnknown
from schedule_grpc.dispatch.values import Registration
from schedule_grpc.domain.json_input import parsed
from schedule_grpc.domain.task import NAME
from schedule_grpc.domain.worker import (
    DEFAULT_LEASE,
    LONGEST_LEASE,
    MAX_DESCRIPTION,
    MAX_HANDLERS,
    MAX_LABEL,
    MAX_LABELS,
    MAX_SCHEMA_BYTES,
    MAX_SLOTS,
    SHORTEST_LEASE,
    OfferedHandler,
)
from schedule_grpc.errors import InvalidArgument, Violation
from schedule_grpc.text.unicode import text_violations


def check(wanted: Registration, *, kept: Collection[str]) -> None:
    """Check a worker's registration; ``kept`` are names of handlers that workers must not offer.

    Raises:
        InvalidArgument: naming each field that cannot be accepted, and why.
        ProtocolUnknown: if no version of the protocol is spoken by both.
    """
    violations = tuple(_violations(wanted, kept))
    if violations:
        raise InvalidArgument(*violations)
    if wanted.protocol < 1:
        raise ProtocolUnknown(wanted.protocol)


def _violations(wanted: Registration, kept: Collection[str]) -> Iterator[Violation]:
    for field in ("name", "version"):
        yield from text_violations(field, getattr(wanted, field), most=MAX_LABEL)
    if not 1 <= wanted.slots <= MAX_SLOTS:
        yield Violation(field="slots", reason=f"{wanted.slots} is not from 1 to {MAX_SLOTS}")
    lease = DEFAULT_LEASE if wanted.lease is None else wanted.lease
    if not SHORTEST_LEASE <= lease <= LONGEST_LEASE:
        yield Violation(field="lease", reason=f"{lease.total_seconds():g} s is not from 10 s to 10 min")
    if len(wanted.labels) > MAX_LABELS:
        yield Violation(field="labels", reason=f"has {len(wanted.labels)} pairs, of at most {MAX_LABELS}")
    for key, value in wanted.labels.items():
        yield from text_violations("labels", key, most=MAX_LABEL)
        yield from text_violations(f"labels.{key:.40}", value, most=MAX_LABEL)
    if len(wanted.held_tokens) > MAX_SLOTS:
        reason = f"has {len(wanted.held_tokens)} tokens, of at most {MAX_SLOTS}"
        yield Violation(field="held_tokens", reason=reason)
    yield from _handler_violations(wanted.handlers, kept)


def _handler_violations(handlers: Sequence[OfferedHandler], kept: Collection[str]) -> Iterator[Violation]:
    if not 1 <= len(handlers) <= MAX_HANDLERS:
        yield Violation(field="handlers", reason=f"has {len(handlers)} handlers, not 1 to {MAX_HANDLERS}")
        return
    names: set[str] = set()
    for number, offer in enumerate(handlers):
        place = f"handlers[{number}]"
        if NAME.fullmatch(offer.name) is None:
            reason = f"{offer.name!r:.200} is not a handler's name: letters, digits, '.', '_' and '-'"
            yield Violation(field=f"{place}.name", reason=reason)
        elif offer.name in kept:
            reason = f"{offer.name} is built into the servers; [workers] allow_builtin lets workers offer it"
            yield Violation(field=f"{place}.name", reason=reason)
        elif offer.name in names:
            yield Violation(field=f"{place}.name", reason=f"{offer.name} is there twice")
        names.add(offer.name)
        yield from text_violations(f"{place}.description", offer.description, most=MAX_DESCRIPTION)
        if offer.concurrency is not None and offer.concurrency < 1:
            yield Violation(field=f"{place}.concurrency", reason=f"{offer.concurrency} is less than 1")
        yield from _schema_violations(f"{place}.payload_schema_json", offer.payload_schema)


def _schema_violations(field: str, text: str) -> Iterator[Violation]:
    if not text:
        return
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_SCHEMA_BYTES:
        yield Violation(field=field, reason=f"has {size} bytes, of at most {MAX_SCHEMA_BYTES}")
        return
    yield from text_violations(field, text, most=MAX_SCHEMA_BYTES)
    try:
        schema = parsed(text)
    except ValueError as error:
        yield Violation(field=field, reason=f"is not JSON: {error}")
        return
    if not isinstance(schema, dict | bool):
        yield Violation(field=field, reason="is not a JSON Schema: neither an object nor true or false")
