"""``schedule-grpc namespaces ...``: create, change, list and delete namespaces."""

import inspect
from typing import TYPE_CHECKING, Annotated

import typer

from schedule_grpc.cli.connection import Caller, connection
from schedule_grpc.cli.option_groups import takes
from schedule_grpc.cli.options import DEFAULT, Etag

if TYPE_CHECKING:
    from schedule_grpc.client import AsyncClient, Namespace

app = typer.Typer(
    help="Create, change, list and delete namespaces; needs admin@*.", no_args_is_help=True, rich_markup_mode=None
)

NONE = "none"
"""The text of a limit's option that takes the limit away."""
HANDLERS = "Handlers that tasks may name, such as send-report or reports.*; repeatable"
LIMITS = {
    "max_tasks": "Tasks [1000]",
    "max_open_executions": "Executions that are pending or running [10000]",
    "runs_per_minute": "Executions in a minute that callers ask for [600]",
    "writes_per_minute": "Calls in a minute that may change tasks [300]",
    "max_streams": "Watches at a time [50]",
    "running_share": "Part of a server's slots that attempts may take at once, above 0, at most 1 [0.5]",
}

NamespaceName = Annotated[str, typer.Argument(help="Name of the namespace")]


def limits(**texts: str | None) -> dict[str, float | None]:
    """Return the limits that the options give, by name; None is no limit."""
    return {name: _limit(name, text) for name, text in texts.items() if text is not None}


def _limit(name: str, text: str) -> float | None:
    from schedule_grpc.domain.access.namespace import Limits

    if text == NONE:
        return None
    if text == DEFAULT:
        value: float | None = getattr(Limits(), name)
        return value
    try:
        return float(text) if name == "running_share" else int(text)
    except ValueError:
        message = f"{text!r} is neither a number, nor {NONE}, nor {DEFAULT}"
        raise typer.BadParameter(message, param_hint=_option(name)) from None


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parameter(name: str, meaning: str) -> inspect.Parameter:
    option = typer.Option(_option(name), help=meaning, metavar="NUMBER|none")
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=None, annotation=Annotated[str | None, option])


limits.__signature__ = inspect.Signature([_parameter(*each) for each in LIMITS.items()])  # type: ignore[attr-defined]


@app.command()
@takes(limits=limits, call=connection)
def create(
    name: NamespaceName,
    *,
    handlers: Annotated[list[str] | None, typer.Option(help=f"{HANDLERS} [*]")] = None,
    limits: dict[str, float | None],
    call: Caller,
) -> None:
    """Create a namespace. A built-in handler is allowed by its whole name only."""
    _show(call, call.ask(lambda client: client.create_namespace(name, handlers=handlers or ("*",), limits=limits)))


@app.command()
@takes(limits=limits, call=connection)
def update(
    name: NamespaceName,
    *,
    handlers: Annotated[list[str] | None, typer.Option(help=f"{HANDLERS}; in place of the present ones")] = None,
    limits: dict[str, float | None],
    etag: Etag = "",
    call: Caller,
) -> None:
    """Change the given settings of a namespace. The others stay as they are; `default` restores a limit's default."""
    if handlers is None and not limits:
        raise typer.BadParameter("nothing to change was given")
    changed = call.ask(lambda client: client.update_namespace(name, handlers=handlers, limits=limits, etag=etag))
    _show(call, changed)


@app.command("list")
@takes(call=connection)
def list_(*, call: Caller) -> None:
    """List namespaces in the order of their names."""
    from schedule_grpc.cli import tables
    from schedule_grpc.cli.answers import show
    from schedule_grpc.formats.json_answers import namespace_json

    async def question(client: "AsyncClient") -> "list[Namespace]":
        return [namespace async for namespace in client.namespaces()]

    show(call, call.ask(question), json=lambda each: list(map(namespace_json, each)), people=tables.print_namespaces)


@app.command()
@takes(call=connection)
def delete(name: NamespaceName, *, etag: Etag = "", call: Caller) -> None:
    """Delete a namespace in which nothing is left. Neither tasks, nor the history of deleted ones."""
    from schedule_grpc.cli.answers import show

    call.ask(lambda client: client.delete_namespace(name, etag=etag))
    show(
        call,
        name,
        json=lambda each: {"name": each, "deleted": True},
        people=lambda each: print(f"Namespace {each} deleted"),
    )


def _show(call: Caller, namespace: "Namespace") -> None:
    from schedule_grpc.cli import tables
    from schedule_grpc.cli.answers import show
    from schedule_grpc.formats.json_answers import namespace_json

    show(call, namespace, json=namespace_json, people=tables.print_namespace)
