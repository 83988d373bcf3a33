"""What is sent, where to, and how much of it: values, whoever read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias

Protocol: TypeAlias = Literal["http/protobuf", "grpc"]
Signal: TypeAlias = Literal["traces", "metrics"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """Where one signal is sent."""

    endpoint: str | None
    """The URL; over HTTP without the signal's path. None: the standard variables of the environment name it."""
    protocol: Protocol
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent along; may be secrets. Empty: those of the standard variables."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TelemetryOptions:
    """How a process sends its telemetry."""

    traces: Destination | None
    """None: it sends none."""
    metrics: Destination | None
    """None: it sends none."""
    ratio: float = 1.0
    """The share of traces that begin here and are sampled, from 0 to 1."""
    follows_callers: bool = True
    """Whether a caller that has decided about its trace decides."""
    service_name: str
    """Where neither ``resource`` nor the standard variables name the service."""
    resource: Mapping[str, str] = field(default_factory=dict)
    """Attributes of the process, beside those of OTEL_RESOURCE_ATTRIBUTES."""
    metrics_every: timedelta | None = None
    """None: as OTEL_METRIC_EXPORT_INTERVAL says, or each minute."""
