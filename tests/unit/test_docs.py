"""The documents say what the code does."""

import re
import tomllib
from pathlib import Path

from schedule_grpc.access.rules import RULES
from schedule_grpc.api.http.rpcs import RPCS
from schedule_grpc.client.rpcs import SERVICES
from schedule_grpc.domain.access.key_text import PATTERN, new_key
from schedule_grpc.domain.schedule import parse
from schedule_grpc.settings.config import keys

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
CODE = {path: path.read_text() for path in (ROOT / "schedule_grpc").rglob("*.py")}
DOCUMENTS = {path: path.read_text() for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))}
NONE = "\N{EN DASH}"
"""In a table, where a call has no route."""
FOLDERS = (ROOT, ROOT / "schedule_grpc")
"""A document names a file as it stands in one of these."""
TOLD_BY_NAME = {
    "attempt.raised",
    *("execution.recorded", "attempt.failed", "alert.started", "alert.ended", "log.lines_dropped"),
    *("auth.denied", "auth.would_refuse"),
}
"""Warnings whose name or level stands in a variable."""


def test_the_table_of_settings_is_the_codes_own():
    """Every key with its default and meaning, as settings/config.py has them."""
    for key in keys():
        assert f"| `{key.name}` | `{key.default}` | {key.meaning} |" in OPERATIONS


def test_the_table_of_what_each_call_needs_is_the_codes_own():
    """Every rpc, its routes of HTTP and its scope, as access/rules.py and api/http/rpcs.py have them."""
    table = OPERATIONS.partition("## What does each call need?")[2].partition("\n## ")[0]
    written = re.findall(r"^(\| .*? \| .*? \| .*? \|) ", table, re.MULTILINE)[1:]  # without the heading
    assert written == list(dict.fromkeys(map(_what_it_needs, RULES)))  # reflection's two versions share a row


def _what_it_needs(rpc: str) -> str:
    """Return an rpc's row, up to its note."""
    service, _, method = rpc.rpartition("/")
    name = f"`{'Health.' if service.endswith('Health') else ''}{method}`" if service else method
    routes = " · ".join(f"`{method} {path}`" for (method, path), each in RPCS.items() if each == rpc)
    rule = RULES[rpc]
    return f"| {name} | {routes or NONE} | {f'`{rule}`' if rule.scope else rule} |"


def test_scanners_are_given_the_pattern_of_keys():
    """In SECURITY.md as it is, and as a rule of gitleaks that finds a key within a line."""
    document = DOCUMENTS[ROOT / "SECURITY.md"]
    assert f"\n{PATTERN}\n" in document
    assert f"`{PATTERN}`" in OPERATIONS
    written = re.search(r"```toml\n(.*?)```", document, re.DOTALL)
    assert written is not None
    (rule,) = tomllib.loads(written[1])["rules"]
    assert PATTERN in rule["regex"]
    key = new_key().text
    found = re.search(rule["regex"], f'token = "{key}"')
    assert found is not None
    assert found[1] == key
    assert all(word in key for word in rule["keywords"])


def test_the_readme_names_every_rpc():
    """In the table of methods."""
    for service in SERVICES:
        for method in service.methods:
            assert f"| {method.name} |" in README


def test_every_make_target_of_the_readme_is_there():
    """`make X` in the README is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)\b", README)) <= targets


def test_every_schedule_of_the_readme_can_be_read():
    """The texts in the table of schedules parse."""
    table = README.partition("## Schedules")[2].partition("Where day of month")[0]
    texts = [
        text for cell in re.findall(r"^\| (.*?) \|", table, re.MULTILINE) for text in re.findall(r"`([^`]+)`", cell)
    ]
    assert len(texts) > 10
    assert all(parse(text) for text in texts)


def test_every_alarm_has_its_row():
    """What the code logs as a warning or an error, and nothing else, stands in the table of what the log warns of."""
    warned = {
        event
        for code in CODE.values()
        for event in re.findall(r"\blog\.(?:warning|error|exception|critical)\(\s*\"([a-z_.]+)\"", code)
    }
    table = OPERATIONS.partition("## What does it mean when the log warns?")[2].partition("| trouble in")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert {event for row in rows for event in re.findall(r"`([^`]+)`", row)} == warned | TOLD_BY_NAME
    assert all(any(f'"{event}"' in code for code in CODE.values()) for event in TOLD_BY_NAME)


def test_every_trouble_has_its_row():
    """Why health is red: each reason that the code gives."""
    for trouble in (
        *("the clock was set back", "nothing was looked for", "while looking for"),
        *("ignored that they were asked to stop", "holds no lease"),
    ):
        assert any(trouble in code for code in CODE.values())
        assert f"`{trouble}" in OPERATIONS


def test_every_file_the_documents_name_is_there():
    """`store/rows.py`, `tests/faults/test_kills.py`: in the package, or in the repository."""
    named = {
        name
        for text in DOCUMENTS.values()
        for name in re.findall(r"`((?:[a-z0-9_]+/)+[a-z0-9_]+\.(?:py|sql|proto))`", text)
    }
    assert len(named) > 50
    assert [name for name in sorted(named) if not any((folder / name).is_file() for folder in FOLDERS)] == []


def test_every_function_the_documents_name_is_there():
    """`engine/loop.py` `Loop.tick`: a file of the package, then what is defined in it."""
    missing = []
    for text in DOCUMENTS.values():
        for file, name in re.findall(r"`((?:\w+/)*\w+\.py)`\s+`([A-Za-z_.]+)`", text):
            defined = rf"^\s*(?:(?:async )?def|class) {name.rpartition('.')[2]}\b|^{name}\b"
            if not re.search(defined, CODE[ROOT / "schedule_grpc" / file], re.MULTILINE):
                missing.append(f"{file} {name}")
    assert missing == []


def test_every_link_of_the_documents_leads_somewhere():
    """A file that is there, and a heading in it."""
    broken = []
    for path, text in DOCUMENTS.items():
        for target in re.findall(
            r"\]\(([^)\s]+)\)", re.sub(r"^\s*```.*?^\s*```", "", text, flags=re.MULTILINE | re.DOTALL)
        ):
            file, _, heading = target.partition("#")
            place = path if not file else (path.parent / file).resolve()
            if "://" not in target and (not place.exists() or (heading and heading not in _headings(place))):
                broken.append(f"{path.name}: {target}")
    assert broken == []


def _headings(path: Path) -> set[str]:
    """Return the anchors of a document, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", DOCUMENTS[path], re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}
