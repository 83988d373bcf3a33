"""What Kubernetes gives a container's process: its variables, with references resolved."""

import re
from collections.abc import Mapping
from typing import Any

SECRETS = {
    ("schedule-grpc", "database"): "postgresql://schedule:word@postgres.example/schedule",
    ("schedule-grpc", "platform"): "postgresql://schedule:word@postgres.example/platform",
}
"""Values of secrets, by their names and keys."""


def variables_of(
    container: Mapping[str, Any], *, secrets: Mapping[tuple[str, str], str] = SECRETS, namespace: str = "schedule"
) -> dict[str, str]:
    """Return the environment of a container, as the kubelet makes it.

    Raises:
        KeyError: if a secret, or one of its keys, is not there, or a field is not that of the namespace.
    """
    found: dict[str, str] = {}
    for variable in container["env"]:
        found[variable["name"]] = _value(variable, found, secrets, {"metadata.namespace": namespace})
    return found


def _value(
    variable: Mapping[str, Any],
    before: Mapping[str, str],
    secrets: Mapping[tuple[str, str], str],
    fields: Mapping[str, str],
) -> str:
    source = variable.get("valueFrom", {})
    if "secretKeyRef" in source:
        reference = source["secretKeyRef"]
        return secrets[reference["name"], reference["key"]]
    if "fieldRef" in source:
        return fields[source["fieldRef"]["fieldPath"]]
    # $(NAME) is a variable that stands before this one; else it stays as it is written.
    return re.sub(r"\$\((\w+)\)", lambda found: before.get(found[1], found[0]), variable.get("value", ""))
