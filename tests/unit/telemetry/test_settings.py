"""What the settings and the standard variables of OpenTelemetry ask for."""

import logging
from typing import Any

import pytest
from pydantic import ValidationError

from schedule_grpc.errors import ConfigurationError
from schedule_grpc.settings.otel import OtelOptions
from schedule_grpc.telemetry import exporters
from schedule_grpc.telemetry.configured import SERVER, telemetry_options
from schedule_grpc.telemetry.exporters import tell_rarely

HERE = "http://127.0.0.1:4318"


def _options(**settings: Any):
    return telemetry_options(OtelOptions(**settings), service=SERVER)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_TRACES_SAMPLER"):
        monkeypatch.delenv(name, raising=False)


def test_nothing_is_sent_unless_something_asks_for_it(monkeypatch: pytest.MonkeyPatch):
    """By a setting or a variable; `off` and OTEL_SDK_DISABLED go before both."""
    assert _options() is None
    assert _options(endpoint=HERE) is not None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", HERE)
    assert _options() is not None
    assert _options(endpoint="off") is None
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert _options(endpoint=HERE) is None


def test_signals_are_chosen_one_by_one(monkeypatch: pytest.MonkeyPatch):
    """By our settings, by the endpoints of the environment, and by its exporters."""
    only_traces = _options(endpoint=HERE, metrics=False)
    assert only_traces is not None
    assert only_traces.traces is not None
    assert only_traces.metrics is None
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    only_metrics = _options(endpoint=HERE)
    assert only_metrics is not None
    assert only_metrics.traces is None
    assert only_metrics.metrics is not None
    monkeypatch.delenv("OTEL_TRACES_EXPORTER")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", HERE + "/v1/traces")
    by_variable = _options()
    assert by_variable is not None
    assert by_variable.traces is not None
    assert by_variable.traces.endpoint is None  # the exporter reads it
    assert by_variable.metrics is None


@pytest.mark.parametrize(
    ("sampler", "argument", "follows", "ratio"),
    [
        ("", "", True, 1.0),
        ("always_off", "", False, 0.0),
        ("traceidratio", "0.25", False, 0.25),
        ("parentbased_traceidratio", "0.5", True, 0.5),
        ("parentbased_always_on", "", True, 1.0),
    ],
)
def test_the_sampler_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, sampler: str, argument: str, follows: bool, ratio: float
):
    """Unless our settings name a share, of traces that begin here."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    found = _options(endpoint=HERE)
    assert found is not None
    assert (found.follows_callers, found.ratio) == (follows, ratio)
    ours = _options(endpoint=HERE, sampling=0.75)
    assert ours is not None
    assert (ours.follows_callers, ours.ratio) == (True, 0.75)


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "OTEL_TRACES_SAMPLER: 'jaeger_remote' is none of always_on, "),
        ("OTEL_TRACES_SAMPLER_ARG", "half", "OTEL_TRACES_SAMPLER_ARG: 'half' is no number from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan", "OTEL_TRACES_SAMPLER_ARG: 'nan' is no number from 0 to 1"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' is neither "),
        ("OTEL_METRICS_EXPORTER", "prometheus", "OTEL_METRICS_EXPORTER: 'prometheus' is neither otlp nor none"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
):
    """Rather than send something else than what was meant."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        _options(endpoint=HERE)
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "collector:4317"},
        {"endpoint": "http://"},
        {"endpoint": "http://user:password@collector"},
        {"endpoint": "http://collector?x=1"},
        {"protocol": "http/json"},
        {"sampling": 1.5},
        {"sampling": True},
        {"metrics_every": "1ms"},
        {"exporter": "jaeger"},
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(wrong: dict[str, Any]):
    """When the settings are read."""
    with pytest.raises(ValidationError):
        OtelOptions(**wrong)


def test_headers_are_shown_to_nobody():
    """They may be secrets."""
    options = OtelOptions(endpoint=HERE, headers={"authorization": "Bearer secret"})
    made = telemetry_options(options, service=SERVER)
    assert "secret" not in repr(options) + repr(made) + str(options)
    assert made is not None
    assert made.traces is not None
    assert made.traces.headers == {"authorization": "Bearer secret"}


def test_troubles_of_the_sdk_are_one_line_a_minute(monkeypatch: pytest.MonkeyPatch):
    """Each with the number of those before it; an exporter whose receiver is away has several a second."""
    now, lines = [0.0], []
    monkeypatch.setattr(exporters.log, "warning", lambda event, **fields: lines.append((event, fields["before"])))
    logger = logging.getLogger("opentelemetry")
    before = logger.handlers[:], logger.propagate
    try:
        tell_rarely(lambda: now[0])
        exporter = logging.getLogger("opentelemetry.exporter.otlp.proto.http")
        for _ in range(5):
            exporter.error("Failed to export span batch")
        assert lines == [("telemetry.trouble", 0)]
        now[0] = 61.0
        exporter.error("Failed to export span batch")
        assert lines == [("telemetry.trouble", 0), ("telemetry.trouble", 4)]
    finally:
        logger.handlers[:], logger.propagate = before
