"""The settings of telemetry, beside the standard variables of OpenTelemetry, which fill in what they leave out.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. The SDK reads most of them by itself;
here are those that decide whether anything is sent, and by which protocol and sampler.
"""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from schedule_grpc.errors import ConfigurationError
from schedule_grpc.settings.values import NUMBER, OFF, duration, is_url_of_host, table

Protocol: TypeAlias = Literal["http/protobuf", "grpc"]
PROTOCOLS: tuple[Protocol, ...] = ("http/protobuf", "grpc")
SHORTEST = timedelta(seconds=1)
LONGEST = timedelta(hours=1)
_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
_SAMPLERS: Mapping[str, tuple[bool, float | None]] = {
    "always_on": (False, 1.0),
    "always_off": (False, 0.0),
    "traceidratio": (False, None),
    "parentbased_always_on": (True, 1.0),
    "parentbased_always_off": (True, 0.0),
    "parentbased_traceidratio": (True, None),
}
"""By OTEL_TRACES_SAMPLER: whether callers decide, and the share of the other traces; None: OTEL_TRACES_SAMPLER_ARG."""


def _checked_endpoint(endpoint: str) -> str:
    if not is_url_of_host(endpoint):
        raise ValueError(
            f"is not {OFF}, http://HOST[:PORT][/PATH] or https://...; credentials belong into otel.headers"
        )
    return endpoint


def _none_if_off(value: object) -> object:
    return "" if value == OFF else value


class OtelOptions(BaseModel):
    """Where traces and metrics are sent, and how many traces."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: Annotated[
        str | None, BeforeValidator(_none_if_off), AfterValidator(lambda url: url and _checked_endpoint(url))
    ] = None
    """Empty: nothing is sent, whatever the environment says; None: the environment decides."""
    protocol: Protocol | None = None
    headers: Annotated[dict[str, SecretStr], table("headers")] = Field(default_factory=dict)
    traces: bool = True
    metrics: bool = True
    sampling: Annotated[float | None, NUMBER, Field(ge=0, le=1)] = None
    service_name: str | None = None
    resource: Annotated[dict[str, str], table("resource")] = Field(default_factory=dict)
    metrics_every: Annotated[timedelta | None, BeforeValidator(duration), Field(ge=SHORTEST, le=LONGEST)] = None

    def __str__(self) -> str:
        return OFF if not self.endpoint else self.endpoint

    def is_on(self, environment: Mapping[str, str]) -> bool:
        """Return whether anything is sent."""
        if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or not (self.traces or self.metrics):
            return False
        if self.endpoint is not None:
            return self.endpoint != ""
        return any(environment.get(name) for name in _ENDPOINTS)

    def sends(self, signal: Literal["traces", "metrics"], environment: Mapping[str, str]) -> bool:
        """Return whether a signal is sent, if anything is.

        Raises:
            ConfigurationError: for an exporter that is neither ``otlp`` nor ``none``.
        """
        variable = f"OTEL_{signal.upper()}_EXPORTER"
        exporter = environment.get(variable, "").strip() or "otlp"
        if exporter not in ("otlp", "none"):
            raise ConfigurationError(f"{variable}: {exporter!r} is neither otlp nor none")
        wanted = self.traces if signal == "traces" else self.metrics
        if self.endpoint is None:
            named = (_ENDPOINTS[0], f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
            wanted = wanted and any(environment.get(name) for name in named)
        return wanted and exporter == "otlp"

    def protocol_of(self, signal: Literal["traces", "metrics"], environment: Mapping[str, str]) -> Protocol:
        """Return how a signal is sent.

        Raises:
            ConfigurationError: for a protocol in the environment that is none of ours.
        """
        if self.protocol is not None:
            return self.protocol
        for variable in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            if named := environment.get(variable, "").strip():
                found = next((each for each in PROTOCOLS if each == named), None)
                if found is None:
                    raise ConfigurationError(f"{variable}: {named!r} is neither {' nor '.join(PROTOCOLS)}")
                return found
        return PROTOCOLS[0]

    def sampler(self, environment: Mapping[str, str]) -> tuple[bool, float]:
        """Return whether callers decide about their traces, and the share of the others that are sampled.

        Raises:
            ConfigurationError: for a sampler in the environment that is none of ours, or its share.
        """
        if self.sampling is not None:
            return True, self.sampling
        name = environment.get("OTEL_TRACES_SAMPLER", "").strip() or "parentbased_always_on"
        if name not in _SAMPLERS:
            raise ConfigurationError(f"OTEL_TRACES_SAMPLER: {name!r} is none of {', '.join(_SAMPLERS)}")
        follows, ratio = _SAMPLERS[name]
        return follows, _share(environment) if ratio is None else ratio


def _share(environment: Mapping[str, str]) -> float:
    text = environment.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1"
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ConfigurationError(f"OTEL_TRACES_SAMPLER_ARG: {text!r} is no number from 0 to 1")
    return share
