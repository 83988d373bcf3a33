"""The manifests are what Kubernetes' schemas say, and their parts name each other."""

from typing import Any

import kubernetes_validate
import pytest
import yaml
from support.manifests.rendered import BASE, DEPLOY, EXAMPLE, Manifest, charted, kustomized, only, pod_of

EVERYTHING: dict[str, Any] = {
    "replicas": 5,
    "imagePullSecrets": [{"name": "registry"}],
    "handlers": ["invoices"],
    "platform": {"key": "platform"},
    "config": "concurrency = 5\n",
    "extraEnv": [{"name": "SCHEDULE_CONCURRENCY", "value": "50"}],
    "podAnnotations": {"note": "yes"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
}
"""Values of the chart that render every branch of its templates."""
OLDEST, NEWEST = "1.27", "1.37"
"""The oldest version of Kubernetes that the chart asks for, and the newest that the schemas know."""
MADE = {
    "base": lambda: kustomized(BASE),
    "example": lambda: kustomized(EXAMPLE),
    "secrets": lambda: tuple(yaml.safe_load_all((DEPLOY / "kubernetes" / "secret.example.yaml").read_text())),
    "chart": charted,
    "chart with everything": lambda: charted(EVERYTHING),
}
OWN = "monitoring.coreos.com/v1"
"""The resources of the Prometheus operator: Kubernetes' schemas do not have them."""


def manifests_of(made: str) -> tuple[Manifest, ...]:
    """Return the manifests that are built in one way."""
    return MADE[made]()


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("made", MADE)
def test_each_resource_is_valid(made: str, version: str):
    """Strictly: an unknown field is an error. The chart's bound is the oldest version that is tried."""
    manifests = manifests_of(made)
    assert manifests
    for manifest in manifests:
        if manifest["apiVersion"] != OWN:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_an_unknown_field_is_found():
    """Such as one that stands a level too high."""
    deployment = only(kustomized(BASE), "Deployment")
    broken = {**deployment, "spec": {**deployment["spec"], "terminationGracePeriodSeconds": 90}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, NEWEST, strict=True)


def test_the_chart_names_the_oldest_version():
    """Helm refuses to install it on an older one."""
    chart = yaml.safe_load((DEPLOY / "helm" / "schedule-grpc" / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"


@pytest.mark.parametrize("made", ["base", "example", "chart", "chart with everything"])
def test_selectors_and_ports_find_their_pods(made: str):
    """Of the Deployment itself, services, the budget, the policy and the spread; each port by its name."""
    manifests = manifests_of(made)
    template = only(manifests, "Deployment")["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    (container,) = template["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    policy = only(manifests, "NetworkPolicy")["spec"]
    services = [each for each in manifests if each["kind"] == "Service"]
    for selector in (
        only(manifests, "Deployment")["spec"]["selector"]["matchLabels"],
        only(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        policy["podSelector"]["matchLabels"],
        *(each["spec"]["selector"] for each in services),
        *(each["labelSelector"]["matchLabels"] for each in template["spec"]["topologySpreadConstraints"]),
    ):
        assert selector
        assert selector.items() <= labels
    assert {port["targetPort"] for each in services for port in each["spec"]["ports"]} == ports
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == ports
    assert {
        container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    } <= ports


@pytest.mark.parametrize("made", ["example", "chart with everything"])
def test_the_monitor_finds_one_service_and_its_port(made: str):
    """Its schema is the operator's own, which no package carries: what is used of it is compared with the service."""
    manifests = manifests_of(made)
    monitor = only(manifests, "ServiceMonitor")
    assert monitor["apiVersion"] == OWN
    assert set(monitor["spec"]) == {"selector", "endpoints"}
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [each for each in manifests if each["kind"] == "Service" and wanted <= each["metadata"]["labels"].items()]
    (service,) = found
    (endpoint,) = monitor["spec"]["endpoints"]
    assert set(endpoint) == {"port", "path", "interval"}
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert service["metadata"].get("namespace") == monitor["metadata"].get("namespace")


def test_without_the_operator_no_monitor_is_made():
    """`kubectl apply` would refuse a resource whose definition is not there."""
    assert {each["apiVersion"] for made in ("base", "chart") for each in manifests_of(made)}.isdisjoint({OWN})


@pytest.mark.parametrize("made", ["base", "example", "chart", "chart with everything"])
def test_pods_pass_the_strictest_security_standard(made: str):
    """Kubernetes' profile `restricted`, and beyond it a read-only file system, for each container."""
    pod = pod_of(manifests_of(made))
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert all(volume.keys() & {"secret", "configMap", "emptyDir"} for volume in pod["volumes"])


@pytest.mark.parametrize("made", ["base", "example", "chart", "chart with everything"])
def test_a_rollout_never_takes_a_server_before_another_is_ready(made: str):
    """One more than there are, none less; a drained node takes one at a time."""
    manifests = manifests_of(made)
    deployment = only(manifests, "Deployment")["spec"]
    assert deployment["replicas"] >= 3
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert only(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
