"""What `deploy/` has, read as Docker, Compose and systemd read it: variables put in, commands split, lines joined."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?P<sign>:[-?])?(?P<rest>[^{}]*)\}|\$(?P<bare>\w+)")


def substituted(value: Any, variables: Mapping[str, str]) -> Any:
    """Return a part of a compose file with its variables put in, as Compose does.

    Raises:
        KeyError: naming a variable that has no value and no default, with what the file says of it.
    """
    if isinstance(value, dict):
        return {key: substituted(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [substituted(each, variables) for each in value]
    if not isinstance(value, str):
        return value

    def put_in(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        name = found["name"] or found["bare"]
        if variables.get(name):
            return variables[name]
        if found["sign"] == ":-":
            return found["rest"]
        raise KeyError(f"{name}: {found['rest']}")

    return _VARIABLE.sub(put_in, value)


def compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the compose file with its anchors and variables resolved."""
    read: dict[str, Any] = substituted(yaml.safe_load((DEPLOY / "compose.yaml").read_text()), variables)
    return read


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile: ``COPY --from=build a b`` has the name COPY."""

    name: str
    text: str

    @property
    def words(self) -> Sequence[str]:
        """Its words without options; of the form with brackets, its items."""
        if self.text.startswith("["):
            items: list[str] = json.loads(self.text)
            return items
        return [word for word in shlex.split(self.text) if not word.startswith("--")]

    @property
    def options(self) -> Mapping[str, str]:
        """Its options, such as ``from`` of ``--from=build``."""
        return dict(re.findall(r"--([\w-]+)=(\S+)", self.text.partition(" CMD ")[0]))


def dockerfile(path: Path = DEPLOY / "Dockerfile") -> list[list[Instruction]]:
    """Return the instructions of each stage of a Dockerfile, the FROM first."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    stages: list[list[Instruction]] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, _, text = line.partition(" ")
        if name == "FROM":
            stages.append([])
        stages[-1].append(Instruction(name, text.strip()))
    return stages


def unit(path: Path = DEPLOY / "schedule-grpc.service") -> dict[str, list[str]]:
    """Return the values of each key of a systemd unit, from all of its sections."""
    values: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if line.strip() and line[0] not in "#[":
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


def environment_file(path: Path) -> dict[str, str]:
    """Return the variables of a file that systemd's EnvironmentFile names."""
    found = {}
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            found[name] = "".join(shlex.split(value)) if value[:1] in "'\"" else value
    return found


def mapped(value: str, places: Mapping[str, str]) -> str:
    """Return a text with the places of a machine or container replaced by those of a test."""
    for place, instead in places.items():
        value = value.replace(place, instead)
    return value


def in_seconds(text: str) -> float:
    """Return ``60s``, ``10s`` or ``60`` as seconds."""
    return float(text.removesuffix("s"))
