"""What is sent, when, and what happens when nothing can be: servers as processes."""

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.patience import AT_MOST
from support.rigs.traced_scene import QUICK
from support.servers import launched
from support.servers.collector import collecting
from support.servers.launched import environment
from support.servers.process import run, serving
from support.servers.worker_process import started

from schedule_grpc.client import Client

TRACED = "support.handlers.traced"
pytestmark = pytest.mark.keyless


@contextmanager
def _silent() -> Iterator[int]:
    """Listen, and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@contextmanager
def _closed() -> Iterator[int]:
    """Give a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    yield port


def test_receivers_that_are_away_hold_up_nothing(tmp_path: Path):
    """One never answers, the other is not there: executions end, the log has no storm, the server stops as usual."""
    with _silent() as silent, _closed() as closed:
        told = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{silent}/v1/traces",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://127.0.0.1:{closed}",
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc",
            **QUICK,
        }
        with serving(tmp_path, handlers=TRACED, **told) as server:
            with Client(server.address, deadline=AT_MOST) as client:
                client.register_task(name="plain", schedule="@manual", handler="traced.plain")
                assert all(client.run_task_now("plain").success for _ in range(20))
            code, log = server.terminate()
    assert code == 0
    lines = re.findall('"telemetry.trouble".*', log)
    assert len(lines) <= 4  # of each part of the SDK that complains, one a minute
    assert "server.stopped" in log
    assert "Traceback" not in log


def test_the_standard_variables_are_enough(tmp_path: Path):
    """Endpoint, protocol, headers, name, attributes and sampler as OpenTelemetry names them."""
    with collecting() as collector:
        told = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.grpc_port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=reports",
            "OTEL_SERVICE_NAME": "nightly",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
            "OTEL_TRACES_SAMPLER": "parentbased_always_on",
            **QUICK,
        }
        with serving(tmp_path, handlers=TRACED, **told) as server:
            with Client(server.address, deadline=AT_MOST) as client:
                client.register_task(name="plain", schedule="@manual", handler="traced.plain")
                client.run_task_now("plain")
            assert server.terminate()[0] == 0
    [execution] = collector.named("execution plain")
    assert execution.service == "nightly"
    assert execution.resource["deployment.environment.name"] == "test"
    assert all(headers["x-tenant"] == "reports" for headers in collector.headers)
    assert "schedule_rpcs" in collector.metrics


def test_a_sampler_that_takes_none_leaves_the_metrics(tmp_path: Path):
    """Sampling is of traces; a server that stops sends the last of all."""
    with collecting() as collector:
        endpoint = f"http://127.0.0.1:{collector.http_port}"
        told = {
            "SCHEDULE_OTEL__ENDPOINT": endpoint,
            "SCHEDULE_OTEL__SAMPLING": "0",
            "SCHEDULE_OTEL__HEADERS": '{"X-A": "b"}',
        }
        with serving(tmp_path, handlers=TRACED, **told) as server:
            with Client(server.address, deadline=AT_MOST) as client:
                client.register_task(name="plain", schedule="@manual", handler="traced.plain")
                result = client.run_task_now("plain").execution.result
            assert server.terminate()[0] == 0
    assert result.endswith("-00")
    assert collector.spans == []
    [point] = collector.metrics["schedule_executions"].sum.data_points
    assert point.as_double == 1
    assert all(headers["x-a"] == "b" for headers in collector.headers)


def test_without_telemetry_nothing_of_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither the SDK nor its API by us; HTTP is off, for FastAPI imports the API by itself."""
    monkeypatch.setattr(launched, "forks", False)
    with (
        serving(tmp_path, handlers="support.handlers.ordinary,support.handlers.imports") as server,
        Client(server.address, deadline=AT_MOST) as client,
    ):
        client.register_task(name="imports", schedule="@manual", handler="imports", payload={"of": "opentelemetry"})
        assert client.run_task_now("imports").execution.result == {"modules": [], "traceparent": None}


@pytest.mark.parametrize("command", [("serve", "--grpc", "127.0.0.1:0", "--http", "off"), ("worker", TRACED)])
def test_settings_that_ask_for_it_need_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command):
    """One line with the command that installs it, and exit code 2."""
    _hide_opentelemetry(tmp_path, monkeypatch)
    monkeypatch.setattr("support.servers.process.environment", _with(SCHEDULE_OTEL__ENDPOINT="http://127.0.0.1:4318"))
    handlers = ("support.handlers.far",) if command[0] == "worker" else command[1:]
    done = run(command[0], *handlers, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "cannot start: otel: OpenTelemetry is not installed: pip install 'schedule-grpc[otel]'"
    )


def test_variables_meant_for_other_programs_keep_no_server_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A platform may set them for every container: without the extra, a warning says that nothing is sent."""
    _hide_opentelemetry(tmp_path, monkeypatch)
    with serving(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318") as server:
        assert "telemetry.not_installed" in server.written()


def test_a_program_with_a_worker_sends_by_its_own_provider(tmp_path: Path):
    """`Worker(traces=True)` adds spans to what the program has set up."""
    with collecting() as collector:
        endpoint = f"http://127.0.0.1:{collector.http_port}"
        with serving(tmp_path, SCHEDULE_OTEL__ENDPOINT=endpoint, **QUICK) as server:
            program = [sys.executable, "-m", "support.workers.traced_program", server.address, endpoint]
            made = started(program)
            try:
                with Client(server.address, deadline=AT_MOST) as client:
                    client.register_task(name="own", schedule="@manual", handler="own")
                    assert client.run_task_now("own").success
                collector.until(lambda: collector.named("handler own") and collector.named("attempt own"))
            finally:
                made.close()
    handler, attempt = collector.one("handler own"), collector.one("attempt own")
    assert handler.parent_id == attempt.span_id
    assert handler.service == "a program"


def _hide_opentelemetry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes find a package of that name without the SDK, as where only FastAPI has installed its API."""
    package = folder / "hidden" / "opentelemetry"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(folder / "hidden"), prepend=":")


def _with(**variables: str):
    return lambda **more: environment(**(variables | more))
