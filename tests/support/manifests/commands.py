"""Commands in manifests and documents, read by the command line itself, and not run."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from schedule_grpc.cli.main import app


def commands_in(text: str) -> Iterator[list[str]]:
    """Yield the arguments of each command `schedule-grpc ...` of a text, with continued lines joined."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        for command in re.findall(r"(?:^\s*|--\s+|`)schedule-grpc (?=[a-z])([^#|;&)`]*)", line):
            yield shlex.split(re.sub(r"\s[<>].*$", "", command))


def check_command(arguments: list[str]) -> None:
    """Read a command as the command line would.

    Raises:
        Exception: a usage error of the command line, if it knows no such command, option or argument, or a value is
            wrong.
    """
    _read(typer.main.get_command(app), "schedule-grpc", arguments, None)


def _read(command: Any, name: str, arguments: list[str], parent: Any) -> None:
    with command.make_context(name, list(arguments), parent=parent) as context:
        if isinstance(command, TyperGroup):
            _, inner, left = command.resolve_command(context, [*context._protected_args, *context.args])
            assert inner is not None
            _read(inner, inner.name or "", left, context)


def variables_of_commands() -> set[str]:
    """Return the environment variables that options of commands are read from."""
    return set(_variables(typer.main.get_command(app)))


def _variables(command: Any) -> Iterator[str]:
    for parameter in command.params:
        known = parameter.envvar or ()
        yield from (known,) if isinstance(known, str) else known
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            yield from _variables(inner)
