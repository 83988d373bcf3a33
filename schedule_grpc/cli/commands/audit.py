"""``schedule-grpc audit ...``: list the audit log, and check that it is whole."""

from typing import TYPE_CHECKING, Annotated

import typer

from schedule_grpc.cli.connection import AsJson, Caller, connection, first
from schedule_grpc.cli.exits import FAILED, exiting_on_refusals
from schedule_grpc.cli.option_groups import takes
from schedule_grpc.cli.options import ConfigFile, DatabaseUrl, instant

if TYPE_CHECKING:
    from schedule_grpc.client import AsyncClient, AuditEvent
    from schedule_grpc.domain.access.audit import ChainReport

app = typer.Typer(
    help="List who changed what, and check that the list is whole.", no_args_is_help=True, rich_markup_mode=None
)
MAX_PAGE = 1000
"""Rows in one page of a server, at most."""


@app.command("list")
@takes(call=connection)
def list_(
    *,
    since: Annotated[str | None, typer.Option(help="From this time on: 2026-01-31T10:00:00Z, or 7d ago")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time")] = None,
    principal: Annotated[str, typer.Option(help="Only rows of this caller, such as key:reports-ci")] = "",
    method: Annotated[str, typer.Option(help="Only rows of this rpc, such as DeleteTask")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Rows shown, at most")] = 100,
    call: Caller,
) -> None:
    """List rows of the audit log, newest first. All with admin@*; --namespace: those of one that you administer."""
    from schedule_grpc.cli import tables
    from schedule_grpc.cli.answers import show
    from schedule_grpc.client import AuditFilter
    from schedule_grpc.formats.json_answers import audit_event_json

    chosen = AuditFilter(
        principal=principal,
        method=method,
        start_time=None if since is None else instant("--since", since),
        end_time=None if until is None else instant("--until", until),
    )

    async def question(client: "AsyncClient") -> "list[AuditEvent]":
        return await first(limit, client.audit_events(chosen, page_size=min(limit, MAX_PAGE)))

    show(call, call.ask(question), json=lambda rows: list(map(audit_event_json, rows)), people=tables.print_audit)


@app.command()
def verify(*, database: DatabaseUrl = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Check every chain of the audit log. Reads the database itself, and trusts no server; one may be using it."""
    import asyncio

    from schedule_grpc.settings.config import load
    from schedule_grpc.store import check_audit

    with exiting_on_refusals():
        reports = asyncio.run(check_audit(load({"database": database}, file=config).database))
    if as_json:
        from schedule_grpc.cli.print_json import print_json

        print_json([_json(each) for each in reports])
    else:
        for each in reports:
            print(_shown(each))
        if not reports:
            print("The audit log is empty")
    if any(each.trouble for each in reports):
        raise typer.Exit(FAILED)


def _json(report: "ChainReport") -> dict[str, object]:
    return {
        "replica": report.replica,
        "first": report.first,
        "wholeTo": report.whole_to,
        "hash": report.hash,
        "trouble": report.trouble,
    }


def _shown(report: "ChainReport") -> str:
    from schedule_grpc.text.terminal import plain

    rows = f"rows {report.first} to {report.whole_to}" if report.whole_to >= report.first else "no rows"
    state = f"whole: {rows}" if not report.trouble else f"BROKEN: {report.trouble}; whole are {rows}"
    return plain(f"{report.replica}: {state}, hash {report.hash or 'none'}")
