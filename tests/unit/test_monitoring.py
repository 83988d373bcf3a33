"""What is given away for monitoring: rules, a dashboard and a document about metrics that there are."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from support.callers.promtool import promtool
from support.rigs.every_metric import every_metric

from schedule_grpc.metrics import exposition

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
GROUPS = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"]: rule for rule in RULES if "record" in rule}
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "schedule-grpc.json").read_text())
PANELS = DASHBOARD["panels"]
TARGETS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel.get("targets", ())]
VARIABLES = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
MONITORING = (ROOT / "docs" / "monitoring.md").read_text()
OF_PROMETHEUS = {"job", "instance"}
"""Labels that a scrape gives to all series."""
SEVERITIES = {"critical", "warning", "info"}
COLUMNS = 24
"""The width of a dashboard."""


def shown() -> dict[str, tuple[str, frozenset[str]]]:
    """Return the kind and the labels of each sample of a scrape in which nothing is missing, by its name."""
    text = exposition(every_metric().registry).decode()
    return {
        sample.name: (family.type, frozenset(sample.labels))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


SHOWN = shown()


def parsed(text: str) -> Any:
    """Return an expression, with something in the place of each variable of the dashboard."""
    for name, value in (("$__rate_interval", "5m"), ("$__range", "6h"), *((f"${name}", "x") for name in VARIABLES)):
        text = text.replace(name, value)
    assert "$" not in text
    return promql.parse(text)


def selectors(expression: Any) -> Iterator[Any]:
    """Yield the selectors of an expression."""
    found: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)
        elif isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)

    promql.walk(expression, visit)
    yield from found


def labels_used(expression: Any) -> set[str]:
    """Return the labels by which an expression sums and matches."""
    found: set[str] = set()

    def visit(node: Any) -> None:
        modifier = getattr(node, "modifier", None)
        for part in (modifier, getattr(modifier, "matching", None), getattr(modifier, "group_labels", None)):
            found.update(getattr(part, "labels", None) or ())

    promql.walk(expression, visit)
    return found


def labels_of(name: str) -> frozenset[str]:
    """Return the labels of a metric, or of what a rule records."""
    if name in RECORDS:
        return frozenset(labels_used(promql.parse(RECORDS[name]["expr"])) - {"le"})
    if name == "up":
        return frozenset(OF_PROMETHEUS)
    assert name in SHOWN, f"{name} is not in a scrape"
    return SHOWN[name][1] | OF_PROMETHEUS


EXPRESSIONS = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES] + TARGETS


@pytest.mark.parametrize(("place", "text"), EXPRESSIONS, ids=lambda value: value[:40])
def test_every_expression_asks_for_metrics_and_labels_that_there_are(place: str, text: str):
    """Of a scrape, or recorded by a rule; a label by which it sums is one of what it asks for."""
    expression = parsed(text)
    asked = list(selectors(expression))
    assert asked, place
    known: set[str] = set()
    for selector in asked:
        labels = labels_of(selector.name)
        assert {each.name for each in selector.matchers.matchers} <= labels, (place, selector.name)
        known |= labels
    assert labels_used(expression) <= known, place


def test_variables_ask_for_labels_that_there_are():
    """Each by a metric that has the label."""
    for name, variable in VARIABLES.items():
        if variable["type"] == "query":
            query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert query is not None, name
            (selector,) = selectors(parsed(query[1]))
            assert {query[2], *(each.name for each in selector.matchers.matchers)} <= labels_of(selector.name)


def test_counters_are_read_as_rates_only():
    """A sum of a counter tells when servers started, and nothing else."""
    for place, text in EXPRESSIONS:
        counted = {each.name for each in selectors(parsed(text)) if SHOWN.get(each.name, ("",))[0] == "counter"}
        for name in counted - {"schedule_executions_total"}:
            reads = len(re.findall(name, text))
            assert len(re.findall(rf"(?:rate|increase)\({name}\b", text)) == reads, place


# -- rules


def test_each_alert_says_how_bad_it_is_and_what_to_do():
    """In a section of the document, which has no other ones; and the document counts right."""
    sections = re.findall(r"^### (Schedule\w+)$", MONITORING, re.MULTILINE)
    assert sections == list(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in SEVERITIES
        assert rule["annotations"] == {
            "summary": rule["annotations"]["summary"],
            "runbook": f"docs/monitoring.md#{name.lower()}",
        }
    assert f"has three recording rules and {len(ALERTS)} alerts" in MONITORING
    assert len(RECORDS) == 3


def test_summaries_name_labels_that_the_alert_has():
    """A label that its expression sums away would be empty."""
    for name, rule in ALERTS.items():
        named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        asked = [labels_of(selector.name) for selector in selectors(promql.parse(rule["expr"]))]
        left = labels_used(promql.parse(rule["expr"])) - {"state"}
        assert named <= (left or frozenset.union(*asked)), name


def test_the_rules_pass_their_tests():
    """By promtool: each alert fires in one test, and is silent in another."""
    tests = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())["tests"]
    checks = [check for test in tests for check in test["alert_rule_test"]]
    assert {check["alertname"] for check in checks if check["exp_alerts"]} == ALERTS.keys()
    assert {check["alertname"] for check in checks if not check["exp_alerts"]} == ALERTS.keys()
    promtool("check", "rules", "alerts.yaml", folder=FOLDER)
    promtool("test", "rules", "alerts_test.yaml", folder=FOLDER)


def test_promtool_accepts_every_expression_of_the_dashboard(tmp_path: Path):
    """As rules that record them."""
    rules = [{"record": f"panel_{number}", "expr": str(parsed(text))} for number, (_, text) in enumerate(TARGETS)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", file.name, folder=tmp_path)


# -- the dashboard


def test_the_dashboard_names_no_data_source_of_its_own():
    """Its first variable chooses one."""
    assert next(iter(VARIABLES)) == "datasource"
    assert VARIABLES["datasource"]["type"] == "datasource"
    found = re.findall(r'"uid": "([^"]*)"', json.dumps(DASHBOARD))
    assert set(found) == {"${datasource}", DASHBOARD["uid"]}
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in PANELS:
        assert panel["type"] == "row" or all(each["datasource"] == chosen for each in (panel, *panel["targets"]))
    assert {"namespace", "task"} <= VARIABLES.keys()


def test_panels_have_their_places():
    """Each an id of its own, within the width, none over another, and each says what it shows."""
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        assert panel["type"] == "row" or panel["description"]
        references = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(references)) == len(references)
    for one, other in combinations((panel["gridPos"] for panel in PANELS), 2):
        apart_across = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_down = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_across or apart_down


def test_every_metric_is_on_the_dashboard():
    """What is worth a series is worth a line."""
    asked = {selector.name for _, text in TARGETS for selector in selectors(parsed(text))}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked}
    measured = {re.sub(r"_(bucket|count|sum)$", "", name) for name in SHOWN}
    assert measured - families == {"process_start_time_seconds", "process_virtual_memory_bytes"}


# -- the document


def test_the_table_of_metrics_is_the_codes_own():
    """Every name with its kind and labels, and no other."""
    rows = re.findall(r"^\| `(schedule_\w+)` \| (\w+) \| ([\w, ]*)\s*\| .+ \|$", MONITORING, re.MULTILINE)
    told = {name: (kind, frozenset(filter(None, re.split(r"[, ]+", labels)))) for name, kind, labels in rows}
    assert len(told) == len(rows)
    measured: dict[str, tuple[str, frozenset[str]]] = {}
    for name, (kind, labels) in SHOWN.items():
        family = re.sub(r"_(bucket|count|sum)$", "", name) if kind == "histogram" else name
        if family.startswith("schedule_"):
            measured[family] = kind, labels - {"le"}
    assert told == measured
