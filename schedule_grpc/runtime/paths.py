"""Paths as they are meant when settings are read: a handler that changes the working directory changes none of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

SQLITE = "sqlite:///"
POSTGRESQL = ("postgresql://", "postgres://")
_FILES = frozenset({"sslcert", "sslkey", "sslrootcert", "sslcrl", "passfile", "servicefile"})
"""Options of PostgreSQL's URLs that name files."""


def absolute(path: str) -> str:
    """Return a file's or folder's path, absolute; the empty text as it is."""
    return str(Path.cwd() / path) if path else path


def absolute_place(place: str) -> str:
    """Return a folder's path, absolute; a URL as it is."""
    return place if "://" in place else absolute(place)


def absolute_program(program: str) -> str:
    """Return a program's path, absolute; a bare name as it is, for it is looked for on PATH."""
    return absolute(program) if "/" in program else program


def absolute_url(url: str) -> str:
    """Return a URL in which paths are absolute: that of a SQLite file, and the files that PostgreSQL's options name."""
    if url.startswith(SQLITE):
        return SQLITE + absolute(url.removeprefix(SQLITE))
    if not url.startswith(POSTGRESQL):
        return url
    bare, question, options = url.partition("?")
    return bare + question + "&".join(map(_absolute_option, options.split("&")))


def absolute_binding(binding: str | Mapping[str, Any]) -> str | dict[str, Any]:
    """Return a binding's configuration, with the paths of its URL and of its options ``..._file`` absolute."""
    if isinstance(binding, str):
        return absolute_url(binding)
    return {option: _absolute_value(option, value) for option, value in binding.items()}


def shown(path: str) -> str:
    """Return a path for display: relative to the working directory, if it is in there."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _absolute_option(option: str) -> str:
    name, sign, value = option.partition("=")
    file = unquote(value)
    if name not in _FILES or not file or file.startswith("~"):
        return option
    return f"{name}{sign}{quote(absolute(file))}"


def _absolute_value(option: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if option == "url":
        return absolute_url(value)
    return absolute(value) if option.endswith("_file") else value
