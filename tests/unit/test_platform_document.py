"""docs/platform.md says what the bindings and the built-in tasks do."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from schedule_grpc import builtin
from schedule_grpc.bindings import Environment
from schedule_grpc.builtin.http_request.payload import FIELDS
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.settings.config import Settings
from schedule_grpc.testing import run

FOLDER = Path(__file__).parents[2] / "docs"
DOCUMENT = (FOLDER / "platform.md").read_text()
TASKS = {definition.name for definition in builtin.default_definitions()}
KINDS = {
    "sqlite:///PATH": "sqlite:///x.db",
    "postgresql://...": "postgresql://host/name",
    "table://BINDING/TABLE": "table://DB/jobs",
    "redis://...": "redis://host",
    "http://...": "http://host",
    "grpc://HOST:PORT": "grpcs://host:1",
}
"""An URL of each kind whose options we know."""


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the tables under a heading."""
    part = DOCUMENT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", part, re.MULTILINE)
    ]


def names(text: str) -> set[str]:
    """Return what a cell names, without the values in brackets."""
    return set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", text)))


@pytest.mark.parametrize("task", sorted(TASKS))
async def test_every_field_of_a_payload_is_described(task: str):
    """Those that a run with a field of no task names as the known ones."""
    handlers = {
        function.__name__.replace("_", "-"): function for function in vars(builtin).values() if callable(function)
    }
    ran = await run(handlers[task], payload={"nonsense": 1}, env={"BACKUP": object()})
    known = re.fullmatch(r"payload\.nonsense: there is no such field \((.*)\)", str(ran.error))
    assert known is not None
    described = {name for row in rows("Built-in tasks") if row[0] == task and len(row) == 4 for name in names(row[1])}
    assert described == (set() if known[1] == "it takes none" else set(known[1].split(", ")))


def test_every_field_of_http_request_is_described():
    """In the order of its payload or not."""
    assert {name for row in rows("http-request") for name in names(row[0])} == set(FIELDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_option_of_a_binding_is_described(kind: str):
    """Those that one with an option of none names as the known ones."""
    bindings: dict[str, Any] = {"DB": "sqlite:///p.db", "X": {"url": KINDS[kind], "nonsense": 1}}
    with pytest.raises(ConfigurationError, match=r"has no option nonsense \(options: .*\)") as caught:
        Environment(bindings)
    known = set(str(caught.value).partition("(options: ")[2].rstrip(")").split(", "))
    (row,) = [row for row in rows("Bindings") if row[0].startswith(f"`{kind}`")]
    assert names(row[1]) == known - {"timeout"}


def test_every_piece_of_configuration_is_right():
    """As the server reads it."""
    for block in re.findall(r"^```toml\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL):
        told = Settings(**tomllib.loads(block))
        if "[bindings]" in block:
            Environment({name: url for name, url in told.bindings.items() if name != "SEARCH"})


def test_every_link_leads_somewhere():
    """To a heading of this document, or of one beside it."""
    for target in re.findall(r"\]\(([^)]+)\)", DOCUMENT):
        path, _, heading = target.partition("#")
        text = (FOLDER / path).read_text() if path else DOCUMENT
        headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
        assert heading in {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
