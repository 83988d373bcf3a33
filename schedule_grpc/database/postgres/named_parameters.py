"""PostgreSQL's ``$1`` for our ``:name``, outside of literals, quoted names, comments and ``::`` casts."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_TOKEN = re.compile(
    r"""
      (?P<escaped>   \b[eE]'(?:[^'\\]|\\.|'')*' )        # E'it\'s'
    | (?P<literal>   '(?:[^']|'')*' )
    | (?P<quoted>    "(?:[^"]|"")*" )
    | (?P<line>      --[^\n]* )
    | (?P<block>     /\* )                               # they nest: its end is looked for by hand
    | (?P<dollars>   (?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$ )
    | (?P<number>    (?<![\w$])\$\d+ )
    | (?P<cast>      :: | := )
    | (?P<parameter> :(?P<name>[^\W\d]\w*) )
    """,
    re.VERBOSE | re.DOTALL,
)
_EDGE = re.compile(r"/\*|\*/")


class UnknownParameter(ValueError):
    """A statement cannot be run with the given parameters; the message names the reason."""


def numbered(sql: str, parameters: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return a statement with numbered parameters, and their values; what it does not name is left out.

    Raises:
        UnknownParameter: if it names one that is not given, or has numbered ones already.
    """
    text, names = _rewritten(sql)
    missing = [name for name in names if name not in parameters]
    if missing:
        raise UnknownParameter(f"no value was given for :{missing[0]}")
    return text, [parameters[name] for name in names]


def names_of(sql: str) -> tuple[str, ...]:
    """Return a statement's parameters in the order of their numbers."""
    return _rewritten(sql)[1]


@lru_cache(maxsize=512)
def _rewritten(sql: str) -> tuple[str, tuple[str, ...]]:
    pieces: list[str] = []
    numbers: dict[str, int] = {}
    at = 0
    while match := _TOKEN.search(sql, at):
        end = match.end()
        if match["number"]:
            raise UnknownParameter(f"parameters are written :name, not {match['number']}")
        pieces.append(sql[at : match.start()])
        if match["parameter"]:
            pieces.append(f"${numbers.setdefault(match['name'], len(numbers) + 1)}")
        else:
            end = _end_of_comment(sql, match.end()) if match["block"] else match.end()
            pieces.append(sql[match.start() : end])
        at = end
    return "".join([*pieces, sql[at:]]), tuple(numbers)


def _end_of_comment(sql: str, at: int) -> int:
    depth = 1
    for edge in _EDGE.finditer(sql, at):
        depth += 1 if edge[0] == "/*" else -1
        if not depth:
            return edge.end()
    return len(sql)
