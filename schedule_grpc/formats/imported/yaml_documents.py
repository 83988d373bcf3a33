"""The documents of a YAML file, by PyYAML's safe loader, with what can be used against a reader refused.

Kubernetes itself refuses a key that stands twice. Merge keys (``<<``) are refused: a few lines of them mean more pairs
than fit into memory. Aliases are kept, for they share their values; `values.bounded` counts what they mean. The depth
is checked before the loader, which recurses, is asked.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from schedule_grpc.formats.imported.values import MAX_DEPTH, NotReadable, bounded

_MERGE = "tag:yaml.org,2002:merge"
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_REFUSED = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError)
"""What PyYAML raises for odd values of tags, too: `!!int ""`, `!!bool x`, `!!timestamp x`."""


class _Loader(_BASE):  # type: ignore[misc]
    """The safe loader without merge keys, and without keys that stand twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping."""
        seen: set[object] = set()
        for key, _ in node.value:
            if key.tag == _MERGE:
                raise NotReadable("a merge key (<<) is not read: write the values out", place=_line(key.start_mark))
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise NotReadable(f"the key {key.value[:80]} is given twice", place=_line(key.start_mark))
                seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


def yaml_documents(text: str) -> Iterator[tuple[str, object]]:
    """Yield the documents that are not empty, each with the line at which it begins.

    Raises:
        NotReadable: if it is no YAML, has a merge key or a key twice, or is nested too deep.
    """
    place = ""
    try:
        _check_depth(text)
        loader = _Loader(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                place = _line(node.start_mark)
                document = bounded(loader.construct_document(node))
                if document is not None:
                    yield place, document
        finally:
            loader.dispose()
    except NotReadable:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise NotReadable(f"is no YAML: {error.problem}", place=_line(mark) if mark else place) from None
    except _REFUSED as error:
        raise NotReadable(f"is no YAML: {str(error)[:200]}", place=place) from None


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_BASE):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise NotReadable(f"is nested more than {MAX_DEPTH} deep", place=_line(event.start_mark))


def _line(mark: Any) -> str:
    return f"line {mark.line + 1}"
