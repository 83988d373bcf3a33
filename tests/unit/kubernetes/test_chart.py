"""The chart says what the base of kustomize says, and refuses values that it does not know."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.manifests import helm
from support.manifests.container import variables_of
from support.manifests.rendered import BASE, CHART, DEPLOY, Manifest, charted, kustomized, rendered
from yaml import safe_load

OF_HELM = (
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
)
"""Labels that Helm's users expect, beside those of the base."""


def without_labels_of_helm(value: Any) -> Any:
    """Return a manifest without the labels that only the chart gives, wherever they stand."""
    if isinstance(value, dict):
        return {key: without_labels_of_helm(each) for key, each in value.items() if key not in OF_HELM}
    if isinstance(value, list):
        return [without_labels_of_helm(each) for each in value]
    return value


def compared(manifests: tuple[Manifest, ...]) -> Iterator[tuple[str, str, Any]]:
    """Yield kind, name and content of each, with its variables as a process gets them."""
    for manifest in manifests:
        content = without_labels_of_helm(manifest)
        if manifest["kind"] == "Deployment":
            pod = content["spec"]["template"]["spec"]
            for container in (*pod["containers"], *pod["initContainers"]):
                container["env"] = read(variables_of(container))
                container.setdefault("imagePullPolicy", "IfNotPresent")  # Kubernetes' default for a tag
        yield manifest["kind"], manifest["metadata"]["name"], content


def read(variables: dict[str, str]) -> dict[str, Any]:
    """Return variables with their JSON read; without the one that the base alone needs for its text."""
    return {name: safe_load(value) for name, value in variables.items() if name != "POD_NAMESPACE"}


def test_the_chart_makes_what_the_base_makes():
    """With its default values, every field of every resource, whatever way it is written."""
    base = sorted(compared(kustomized(BASE)), key=lambda each: each[:2])
    chart = sorted(compared(charted()), key=lambda each: each[:2])
    assert [each[:2] for each in chart] == [each[:2] for each in base]
    for (kind, _, made), (_, _, expected) in zip(chart, base, strict=True):
        assert made == expected, kind


def test_the_monitor_is_that_of_the_component():
    """Once it is asked for."""
    (monitor,) = (each for each in charted({"serviceMonitor": {"enabled": True}}) if each["kind"] == "ServiceMonitor")
    component = safe_load((DEPLOY / "kubernetes/components/prometheus/service-monitor.yaml").read_text())
    assert without_labels_of_helm(monitor)["spec"] == component["spec"]


def test_helm_finds_nothing_to_complain_of():
    """`helm lint --strict`; an icon is a recommendation."""
    report = helm.asked(do="lint", chart=str(CHART))
    assert report["errors"] == []
    assert [each["error"] for each in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replica": 3}, "replica"),
        ({"replicas": 0}, "replicas"),
        ({"drain": {"delaySeconds": "30s"}}, "delaySeconds"),
        ({"database": {"url": "postgresql://"}}, "url"),
        ({"handlers": ["my-module"]}, "handlers"),
        ({"serviceMonitor": {"interval": "often"}}, "interval"),
    ],
)
def test_values_that_mean_nothing_are_refused(values: dict[str, Any], named: str):
    """By the chart's schema, before anything is installed; the place is named."""
    with pytest.raises(helm.HelmRefusedError, match=named):
        charted(values)


def test_two_releases_have_nothing_in_common():
    """Each has names and selectors of its own."""
    first, second = (charted(name=name) for name in ("schedule-grpc", "nightly"))
    names = [{(each["kind"], each["metadata"]["name"]) for each in manifests} for manifests in (first, second)]
    assert names[0].isdisjoint(names[1])
    assert {name for _, name in names[1]} == {"nightly-schedule-grpc", "nightly-schedule-grpc-headless"}
    selectors = [
        each["spec"]["selector"] for manifests in (first, second) for each in manifests if each["kind"] == "Service"
    ]
    assert {each["app.kubernetes.io/instance"] for each in selectors} == {"schedule-grpc", "nightly"}
    assert "deployment/nightly-schedule-grpc" in rendered(name="nightly")["schedule-grpc/templates/NOTES.txt"]
