"""A task file of what was imported, in TOML with notes as comments, or in JSON, which has no comments."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from schedule_grpc.formats.imported.values import SHOWN, Imported, ImportedTask, Left
from schedule_grpc.text.terminal import plain

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH = 118


def toml_text(imported: Imported, *, title: str, owner: str, allow_unknown_handler: bool = False) -> str:
    """Return the task file in TOML, of what `without_nulls` returns."""
    lines = [*_commented(title), *(line for note in imported.notes for line in _commented(f"note: {note}"))]
    lines += [f"set = {_toml(owner)}"]
    for entry in imported.entries:
        lines += ["", *_entry(entry, allow_unknown_handler=allow_unknown_handler)]
    return "\n".join(lines) + "\n"


def json_text(imported: Imported, *, owner: str, allow_unknown_handler: bool = False) -> str:
    """Return the task file in JSON, in ASCII."""
    tables = [_json_table(task, allow_unknown_handler=allow_unknown_handler) for task in imported.tasks]
    return json.dumps({"set": owner, "tasks": tables}, indent=2) + "\n"


def without_nulls(imported: Imported) -> Imported:
    """Return what TOML can say: a task with a null in its payload is left out."""
    entries = (
        Left(
            place=each.place, source=each.source, reason="its payload has a null, which TOML lacks: import with --json"
        )
        if isinstance(each, ImportedTask) and _has_null(each.payload)
        else each
        for each in imported.entries
    )
    return Imported(entries=tuple(entries), notes=imported.notes)


def _entry(entry: ImportedTask | Left, *, allow_unknown_handler: bool) -> Iterator[str]:
    if isinstance(entry, Left):
        yield from _commented(f"not imported: {entry.place}: {_cut(entry.source)}")
        yield from _commented(f"  {entry.reason}")
        return
    yield from _commented(f"from {entry.place}: {_cut(entry.source)}")
    for note in entry.notes:
        yield from _commented(f"note: {note}")
    yield "[[tasks]]"
    for key, value in _table(entry, allow_unknown_handler=allow_unknown_handler).items():
        yield f"{key} = {_toml(value)}"


def _table(task: ImportedTask, *, allow_unknown_handler: bool) -> dict[str, Any]:
    table: dict[str, Any] = {"name": task.name, "schedule": task.schedule}
    if task.time_zone != "UTC":
        table["time_zone"] = task.time_zone
    table["handler"] = task.handler
    if allow_unknown_handler:
        table["allow_unknown_handler"] = True
    if task.payload:
        table["payload"] = task.payload
    if task.enabled is not None:
        table["enabled"] = task.enabled
    table["policy"] = task.policy
    return table


def _json_table(task: ImportedTask, *, allow_unknown_handler: bool) -> Any:
    return _plain_json(_table(task, allow_unknown_handler=allow_unknown_handler))


def _plain_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_json(each) for each in value]
    return _instant(value) if isinstance(value, datetime) else value


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_toml(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, str):
        return _quoted(value)
    return repr(value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _quoted(key)


def _quoted(text: str) -> str:
    """Return a basic string of TOML: its escapes are JSON's; what a terminal would obey or hide is escaped, too."""
    written = json.dumps(text, ensure_ascii=False)
    return written if plain(written) == written else "".join(map(_escaped, written))


def _escaped(character: str) -> str:
    if plain(character) == character:
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 (what four digits hold)


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _commented(text: str) -> Iterator[str]:
    """Yield a text as lines of comments, wrapped between words, without anything that a terminal would obey."""
    words = plain(text.replace("\n", " ").replace("\r", " ")).split(" ")
    line = "#"
    for word in words:
        if len(line) + len(word) + 1 > _WIDTH and line.strip("# "):
            yield line.rstrip()
            line = "#  "
        line = f"{line} {word}"
    yield line.rstrip()


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _has_null(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_null, value.values()))
    if isinstance(value, list):
        return any(map(_has_null, value))
    return value is None
