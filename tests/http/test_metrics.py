"""What a scrape of a whole server shows, and that callers cannot make it long."""

import random
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from support.callers.promtool import promtool
from support.patience import AT_MOST, until
from support.rigs.every_metric import every_metric
from support.servers.live import Live, serving

from schedule_grpc.errors import ScheduleError
from schedule_grpc.metrics import exposition

ALERTS = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yaml"

UP = {"series": 'up{job="schedule-grpc",instance="server"}', "values": "1x30"}
"""What Prometheus adds to a scrape."""


async def scraped(caller: httpx2.AsyncClient) -> dict[str, float]:
    """Return the series of a scrape with their values, as Prometheus writes them."""
    answer = await caller.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines)}


async def test_a_server_shows_every_metric_of_the_documents(inside: Live, caller: httpx2.AsyncClient):
    """Those that count in the database, too, once it has counted."""

    async def has_counted() -> bool:
        return "schedule_due_oldest_seconds" in await scraped(caller)

    await until(has_counted)
    there = {family.name: family.type for family in text_string_to_metric_families((await caller.get("/metrics")).text)}
    text = exposition(every_metric().registry).decode()
    assert there == {family.name: family.type for family in text_string_to_metric_families(text)}


async def test_callers_cannot_make_series(inside: Live, caller: httpx2.AsyncClient):
    """By paths, methods, names of tasks and rpcs that are not there."""
    methods = ["GET", "POST", "PUT", "DELETE", "BREW", "PROPFIND"]

    async def called(number: int) -> None:
        for method in methods:
            await caller.request(method, f"/nothing-{number}/{random.random()}")  # noqa: S311 (any path will do)
            await caller.request(method, f"/tasks/nobody-{number}")
        await caller.post(f"/schedule.v1.ScheduleService/Nothing{number}", json={})
        await caller.request(f"BREW{number}", "/tasks")
        with pytest.raises(ScheduleError):
            await inside.client.get_task(f"nobody-{number}")
        async with grpc.aio.insecure_channel(inside.parts.address) as channel:
            for rpc in (f"/schedule.v1.ScheduleService/Nothing{number}", f"/nobody.v{number}/Nothing"):
                with pytest.raises(grpc.aio.AioRpcError):
                    await channel.unary_unary(rpc)(b"")

    await called(0)
    before = (await scraped(caller)).keys()
    for number in range(1, 10):
        await called(number)
    assert (await scraped(caller)).keys() - before <= {
        'schedule_http_requests_total{method="GET",route="/metrics",status="200"}'
    }


async def test_the_bounds_are_those_of_the_settings(database: Path):
    """One task has series of its own; what the others do is counted together."""
    async with serving(database, http="127.0.0.1:0", metrics={"max_tasks": 1}) as live:
        for name in ("a", "b", "c"):
            await live.client.register_task(name=name, schedule="@manual", handler="steps")
            await live.client.run_task_now(name)
        address = f"http://{live.parts.http_address}"
        async with httpx2.AsyncClient(base_url=address, timeout=AT_MOST, trust_env=False) as caller:
            ended = {
                series: value for series, value in (await scraped(caller)).items() if "_executions_total" in series
            }
    labels = 'state="SUCCEEDED",task="{}",trigger="MANUAL"'
    assert ended == {
        f'schedule_executions_total{{namespace="default",{labels.format("a")}}}': 1,
        f'schedule_executions_total{{namespace="default",{labels.format("(other)")}}}': 2,
    }


async def test_alerts_fire_by_what_a_server_shows(inside: Live, caller: httpx2.AsyncClient, tmp_path: Path):
    """Scraped while all is well, and after a task failed: promtool is given both, and finds the failure alone."""
    client, parts = inside.client, inside.parts
    policy = {"alert_after": 1, "retry": {"max_retries": 0}}
    broken = await client.register_task(name="broken", schedule="@manual", handler="fail", policy=policy)
    await client.register_task(name="sound", schedule="@manual", handler="steps")
    assert (await client.run_task_now("sound")).success
    before = await scraped(caller)
    assert not (await client.run_task_now("broken")).success
    parts.metrics.note_census(await parts.store.census(now=broken.create_time, own=frozenset()))
    after = await scraped(caller)
    summaries = {
        "ScheduleTaskFailing": "More than half of the runs of default/broken failed within an hour",
        "ScheduleTaskCondition": "The condition failing of default/broken holds",
    }
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    test = {
        "interval": "1m",
        "input_series": [series_of(each, before, after) for each in sorted(after.keys() | before.keys())] + [UP],
        "alert_rule_test": [expected(rule, summaries.get(rule["alert"])) for rule in rules if "alert" in rule],
    }
    whole = {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "scraped.yaml").write_text(yaml.safe_dump(whole))
    promtool("test", "rules", "scraped.yaml", folder=tmp_path)


def series_of(series: str, before: dict[str, float], after: dict[str, float]) -> dict[str, str]:
    """Return a series as promtool reads it: ten minutes as before, twenty as after."""
    name, _, labels = series.partition("{")
    own = f'job="schedule-grpc",instance="server",{labels.removesuffix("}")}'.rstrip(",")
    scrapes = ((before, 9), (after, 20))
    values = (f"{values[series]}x{more}" if series in values else f"_x{more + 1}" for values, more in scrapes)
    return {"series": f"{name}{{{own}}}", "values": " ".join(values)}


def expected(rule: dict[str, Any], summary: str | None) -> dict[str, Any]:
    """Return what promtool shall find of a rule after both scrapes: one alert about the task, or none."""
    labels = {"job": "schedule-grpc", "namespace": "default", "task": "broken", **rule["labels"]}
    if rule["alert"] == "ScheduleTaskCondition":
        labels["key"] = "failing"
    annotations = {"summary": summary, "runbook": rule["annotations"]["runbook"]}
    alerts = [{"exp_labels": labels, "exp_annotations": annotations}] if summary else []
    return {"alertname": rule["alert"], "eval_time": "25m", "exp_alerts": alerts}
