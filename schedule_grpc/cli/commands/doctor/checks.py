"""The checks of `doctor`. Each gives a finding, a verdict, and advice."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from schedule_grpc import builtin
from schedule_grpc.alerts import open_targets, read_secret
from schedule_grpc.bindings import Environment
from schedule_grpc.bindings.platform import missing_tables, tables
from schedule_grpc.cli.commands.doctor.access_checks import access_asked, access_configured
from schedule_grpc.cli.commands.doctor.check import Check, Verdict, bad, ok, warn
from schedule_grpc.cli.commands.doctor.file_checks import open_files
from schedule_grpc.cli.commands.doctor.health import serving
from schedule_grpc.cli.commands.doctor.offer_checks import offers_asked
from schedule_grpc.cli.connection import LOCAL, Caller
from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.durations import human
from schedule_grpc.domain.examination import LOOKED_AT, examined_task
from schedule_grpc.domain.execution import ExecutionFilter
from schedule_grpc.errors import BindingError, ConfigurationError, DatabaseRefused, ScheduleError, TaskNotFound
from schedule_grpc.handlers import Registry
from schedule_grpc.runtime import paths
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.settings.config import DEFAULT_FILE, SQLITE, AlertSettings, Settings, load
from schedule_grpc.store import NEWEST, found_version, shown

TABLE = "table://"
PLATFORM = "DB"
"""The binding whose database has the platform's tables."""
MAKE_TABLES = (
    "the server's first use creates missing tables where [bindings] DB has create_tables = true (SQLite: unless it is "
    "false); or create them yourself: docs/platform.md"
)
PATIENCE = 5.0
"""Seconds for each question to a server or a binding."""


async def examined(call: Caller, *, task: str, database: str | None, config: Path | None) -> Sequence[Check]:
    """Return every check: of this machine's configuration, of a server, and of a task if one is named."""
    checks: list[Check] = []
    settings = None
    try:
        settings = load({"database": database}, file=config)
    except ConfigurationError as error:
        checks.append(bad("configuration", str(error), "correct it; the server would not start"))
    else:
        file = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
        checks.append(ok("configuration", f"{file or 'no file, defaults and environment'} can be read"))
        checks += _handler_modules(settings)
        checks += _files(settings, file, call.token_file)
        checks += access_configured(settings)
        checks.append(await _database(settings))
        checks += await _bindings(settings.bindings)
        checks.append(await _alerts(settings.alerts))
        if call.server == LOCAL and (address := _callable(settings)):
            call = replace(call, server=address)
    server = await _server(call)
    checks.append(server)
    if server.verdict is not Verdict.FAIL:
        checks += await access_asked(call, settings, deadline=PATIENCE)
        checks += await offers_asked(call, deadline=PATIENCE)
    if task and server.verdict is Verdict.FAIL:
        checks.append(bad("task", f"{task} cannot be looked at", "make the server answer first"))
    elif task:
        checks += await _task(call, task)
    return checks


def _callable(settings: Settings) -> str:
    """Return an address at which the server that is configured answers without TLS; empty if there is none."""
    plain = (each.address for each in settings.grpc if each.tls_cert is None and not each.address.endswith(":0"))
    return next(plain, "")


def _handler_modules(settings: Settings) -> Iterator[Check]:
    sys.path.insert(0, "")  # as `serve` does
    registry = Registry()
    with redirect_stdout(sys.stderr):  # a module's own output is not our answer
        registry.add_module(builtin)
        for module in settings.handlers:
            before = len(registry.names())
            try:
                registry.add_module(module)
            except ConfigurationError as error:
                yield bad(
                    "handlers", str(error), "correct `handlers`, or install the module; the server would not start"
                )
            else:
                yield ok("handlers", f"{module} offers {len(registry.names()) - before}")
        try:
            registry.add_entry_points()
        except ConfigurationError as error:
            yield bad("handlers", str(error), "correct or uninstall that distribution; the server would not start")
    yield ok("handlers", f"{len(registry.names())} in all, the built-in ones included")


def _files(settings: Settings, config: Path | None, token_file: Path | None) -> Iterator[Check]:
    exposed = list(open_files(settings, config, token_file))
    for place, readers in exposed:
        yield warn("files", f"{place} can be read by {readers}", "take it from them: chmod go= FILE")
    if not exposed:
        yield ok("files", "files with secrets can be read by their owner only")


async def _database(settings: Settings) -> Check:
    place = paths.shown(shown(settings.database).removeprefix(SQLITE))
    try:
        version = await found_version(settings.database)
    except (DatabaseRefused, ConfigurationError) as error:
        return bad("database", str(error), "restore a copy, or correct `database`; see docs/operations.md")
    if version is None:
        return warn("database", f"{place} is not there", "`schedule-grpc migrate` or the server's start creates it")
    if version < NEWEST:
        advice = "stop the server and run `schedule-grpc migrate`, or start this version of it"
        return warn("database", f"{place} has schema version {version}, the newest is {NEWEST}", advice)
    return ok("database", f"{place} is whole, schema version {version}")


async def _bindings(bindings: Mapping[str, str | dict[str, Any]]) -> list[Check]:
    urls = {
        name: binding if isinstance(binding, str) else str(binding.get("url")) for name, binding in bindings.items()
    }
    checks = []
    for name, url in urls.items():
        needed = {each: binding for each, binding in bindings.items() if each in (name, _table_of(url))}
        try:
            env = Environment(needed, creates=False)
        except ConfigurationError as error:  # a binding that cannot be used must not hide the others
            checks.append(bad(f"binding {name}", error.message, f"correct [bindings] {name}"))
            continue
        checks.append(_not_there(name, urls) or await _binding(env, name))
        await env.aclose()
    return checks


def _table_of(url: str) -> str | None:
    """Return the binding in whose database a queue has its table; None for another kind of URL."""
    return url.removeprefix(TABLE).partition("/")[0] if url.startswith(TABLE) else None


def _not_there(name: str, urls: Mapping[str, str]) -> Check | None:
    """Return the check of a binding whose file is not there: opening would create it, and doctor creates no file."""
    url = urls.get(_table_of(urls[name]) or name, urls[name])
    path = Path(url.removeprefix(SQLITE))
    if not url.startswith(SQLITE) or path.exists():
        return None
    return warn(f"binding {name}", f"{path} is not there", "its first use creates it, with its tables")


async def _binding(env: Environment, name: str) -> Check:
    subject = f"binding {name}"
    began = SystemClock().monotonic()
    try:
        async with SystemClock().timeout(PATIENCE):
            await env.ping(name)
            lacking = await missing_tables(getattr(env, name)) if name == PLATFORM else ()
    except ScheduleError as error:
        if isinstance(error, BindingError) and error.missing_table in tables():
            return warn(subject, error.message, MAKE_TABLES)
        return bad(subject, error.message, f"correct its URL ([bindings] {name}), or start its server")
    except TimeoutError:
        return bad(subject, f"no answer in {PATIENCE:g} s", "is its server running, and reachable from here?")
    if lacking:
        return warn(subject, f"has no table {', '.join(lacking)}", MAKE_TABLES)
    return ok(subject, f"answered in {human(timedelta(seconds=SystemClock().monotonic() - began))}")


async def _alerts(alerts: AlertSettings) -> Check:
    try:
        targets = open_targets(alerts.urls, secret=read_secret(alerts.secret_file), clock=SystemClock())
    except ConfigurationError as error:
        return bad("alerts", error.message, "correct [alerts]; the server would not start")
    for target in targets:
        await target.aclose()
    names = ", ".join(target.name for target in targets)
    return ok("alerts", f"told to {names}" if names else "told to the log only")


async def _server(call: Caller) -> Check:
    try:
        status = await serving(call, deadline=PATIENCE)
    except ScheduleError as error:
        finding = f"{call.server}: {error.message}"
        return bad("server", finding, "start it with `schedule-grpc serve`, or name its address with --server")
    except (ValueError, OSError) as error:
        return bad("server", f"{call.server}: {error}", "correct --token, the --tls options, or the address")
    if status != "SERVING":
        advice = "it is stopping, its database does not answer, or its loop stands still: see its log"
        return bad("server", f"{call.server}: {status}", advice)
    return ok("server", f"{call.server}: {status}")


async def _task(call: Caller, name: str) -> Sequence[Check]:
    try:
        async with call.client(deadline=PATIENCE, attempts=1) as client:
            try:
                task = await client.get_task(name)
            except TaskNotFound as error:
                return [bad("task", error.message, await _names_like(client, name))]
            handlers = await client.list_handlers()
            page = await client.get_task_history(name, ExecutionFilter(), page_size=LOOKED_AT)
    except ScheduleError as error:
        return [bad("task", error.message, "ask again")]
    offered = {handler.name: handler.offered for handler in handlers}
    return examined_task(task, page.executions, offered=offered.get(task.handler), now=SystemClock().now())


async def _names_like(client: AsyncClient, name: str) -> str:
    names = [task.name async for task in client.tasks()]
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else "`schedule-grpc tasks list` shows what is registered"
