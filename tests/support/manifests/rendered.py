"""Manifests as they reach a cluster: kustomizations built by kubectl, the chart rendered by Helm's own engine.

kubectl has kustomize built in. Neither of them asks a cluster.
"""

import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from support.manifests import helm

DEPLOY = Path(__file__).parents[3] / "deploy"
BASE = DEPLOY / "kubernetes" / "base"
EXAMPLE = DEPLOY / "kubernetes" / "overlays" / "example"
CHART = DEPLOY / "helm" / "schedule-grpc"
NAME = "schedule-grpc"
KUBECTL = str(Path(sys.executable).with_name("kubectl"))

Manifest: TypeAlias = dict[str, Any]


@cache
def kustomized(folder: Path) -> tuple[Manifest, ...]:
    """Return what `kubectl apply --kustomize FOLDER` would send."""
    built = subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True, check=True)
    return tuple(yaml.safe_load_all(built.stdout))


def charted(values: Mapping[str, Any] | None = None, *, name: str = NAME) -> tuple[Manifest, ...]:
    """Return what `helm install NAME` would send, in the namespace ``schedule``.

    Raises:
        HelmRefusedError: if the values do not fit the chart's schema.
    """
    found = [yaml.safe_load_all(text) for file, text in rendered(values, name=name).items() if file.endswith(".yaml")]
    return tuple(each for manifests in found for each in manifests if each)


def rendered(values: Mapping[str, Any] | None = None, *, name: str = NAME) -> dict[str, str]:
    """Return the text of each template, rendered; errors as `charted`."""
    found: dict[str, str] = helm.asked(do="render", chart=str(CHART), values=dict(values or {}), name=name)
    return found


def only(manifests: tuple[Manifest, ...], kind: str, name: str = "") -> Manifest:
    """Return the one manifest of a kind, or of a kind and a name."""
    (found,) = (each for each in manifests if each["kind"] == kind and name in ("", each["metadata"]["name"]))
    return found


def pod_of(manifests: tuple[Manifest, ...]) -> Manifest:
    """Return the pod's specification in the one Deployment."""
    found: Manifest = only(manifests, "Deployment")["spec"]["template"]["spec"]
    return found


def container_of(manifests: tuple[Manifest, ...], kind: str = "containers") -> Manifest:
    """Return the one container of the pod, or the one of its ``initContainers``."""
    (found,) = pod_of(manifests)[kind]
    container: Manifest = found
    return container
