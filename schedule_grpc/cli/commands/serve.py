"""``schedule-grpc serve``."""

import gc
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schedule_grpc.cli.options import ConfigFile, DatabaseUrl

if TYPE_CHECKING:
    from schedule_grpc.app import RunningServer
    from schedule_grpc.runtime.listeners import Bound

CANNOT_START = 1
CONFIGURATION = 2
_NEVER = datetime.max.replace(tzinfo=UTC)


def serve(
    *,
    database: DatabaseUrl = None,
    grpc: Annotated[
        str | None, typer.Option(help="Where gRPC listens: HOST:PORT or unix:PATH [127.0.0.1:50051]")
    ] = None,
    http: Annotated[
        str | None, typer.Option(help="Where HTTP listens: HOST:PORT, unix:PATH or off [127.0.0.1:8787]")
    ] = None,
    config: ConfigFile = None,
    handlers: Annotated[list[str] | None, typer.Option(help="Module whose handlers are offered; repeatable")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Attempts that run at once [100]")] = None,
    drain_timeout: Annotated[str | None, typer.Option(help="How long running work may end when stopping [30s]")] = None,
    drain_delay: Annotated[
        str | None, typer.Option(help="How long to answer calls after health says that it stops [0s]")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, console or json [auto]")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error [info]")] = None,
    insecure_bind: Annotated[
        bool,
        typer.Option(
            "--insecure-bind", help="Allow an address that others can reach although callers prove nothing there"
        ),
    ] = False,
    engine: Annotated[
        bool | None, typer.Option("--engine/--no-engine", help="Fire and run tasks, or only answer calls (PostgreSQL)")
    ] = None,
    api: Annotated[
        bool | None, typer.Option("--api/--no-api", help="Answer calls, or only serve health and metrics")
    ] = None,
    ui: Annotated[bool | None, typer.Option("--ui/--no-ui", help="Show the dashboard below /ui, or not")] = None,
    bootstrap_key_file: Annotated[
        Path | None,
        typer.Option(help="Write the first key, which may do everything, to this new file, unless there is a key"),
    ] = None,
    init: Annotated[bool, typer.Option("--init", help="Register the built-in tasks that are not there")] = False,
) -> None:
    """Run the server until SIGTERM, SIGINT or SIGHUP."""
    gc.disable()  # until `_begun`: nearly all objects of a start live as long as the server
    import os
    import sys

    from schedule_grpc.cli.exits import fail, warn

    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # before gRPC is loaded: its fork handlers crash children
    if os.environ.pop("GRPC_TRACE", ""):
        warn("GRPC_TRACE is ignored: gRPC would write callers' keys to the log")
    from schedule_grpc import app
    from schedule_grpc.errors import CannotStart, ConfigurationError, ScheduleError
    from schedule_grpc.log import set_up as log
    from schedule_grpc.runtime import event_loop
    from schedule_grpc.settings.config import WrongSettings, load

    flags = {
        "database": database,
        "grpc": grpc,
        "http": http,
        "handlers": handlers or None,
        "concurrency": concurrency,
        "drain_timeout": drain_timeout,
        "drain_delay": drain_delay,
        "log_format": log_format,
        "log_level": log_level,
        "insecure_bind": insecure_bind or None,
        "engine": engine,
        "api": api,
        "ui": None if ui is None else {"enabled": ui},
        "auth": None if bootstrap_key_file is None else {"bootstrap_key_file": bootstrap_key_file},
    }
    log.open_standard_streams()
    try:
        settings = load(flags, file=config)
        sys.path.insert(0, str(Path.cwd()))  # handler modules are found there, as with `python -m`
        log.configure(style=settings.log_format, level=settings.log_level)
        _allow_many_connections()
        with log.never_waiting():
            event_loop.run(app.serve(settings, init=init, ready=_begun), kind=settings.event_loop)
    except WrongSettings as error:
        fail("\n".join(f"cannot start: {complaint}" for complaint in error.complaints), code=CONFIGURATION)
    except ConfigurationError as error:
        fail(f"cannot start: {error}", code=CANNOT_START if isinstance(error, CannotStart) else CONFIGURATION)
    except ScheduleError as error:
        fail(f"cannot start: {error}", code=CANNOT_START)
    finally:
        gc.enable()


def _allow_many_connections() -> None:
    """Raise this process's own limit of open files: each connection is one, and the usual 1,024 is for `select`."""
    import resource
    from contextlib import suppress

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS reports no limit, and allows less
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _begun(running: "RunningServer") -> None:
    """Freeze the objects made so far, whose collection would stop the server for 60 ms, and print the addresses."""
    gc.freeze()
    gc.enable()
    _greet(running)


def _greet(running: "RunningServer") -> None:
    """Print the addresses of the server, its tasks, and commands to try."""
    from schedule_grpc.cli import tables

    print(f"gRPC on {', '.join(map(_shown, running.grpc_addresses))}")
    if running.http_addresses:
        documented = f"documentation at {running.path_prefix}/docs"
        if running.ui:
            documented = f"dashboard at {running.path_prefix}/ui, {documented}"
        offered = documented if running.api else "/health and /metrics"
        print(f"HTTP on {', '.join(map(_url, running.http_addresses))} ({offered})")
    if not running.api:
        print("Answers no calls: health and metrics only.\n", flush=True)
        return
    if running.tasks:
        tables.print_tasks(running.tasks)
        if running.more:
            print("... and more: schedule-grpc tasks list")
    else:
        print("No tasks yet.")
    print("Try, with your key in place of KEY:" if running.asks_callers else "Try:")
    proof = ("-H 'authorization: Bearer KEY'",) if running.asks_callers else ()
    first = running.grpc_addresses[0]
    print(f"  {_grpcurl(first, *proof)} list")
    if running.tasks:
        call = "schedule.v1.ScheduleService/RunTaskNow"
        name = min(running.tasks, key=lambda task: (task.next_run_time or _NEVER, task.name)).name  # the next to run
        data = f"-d '{json.dumps({'name': name})}'"
        print(f"  {_grpcurl(first, *proof, data)} {call}")
    if running.http_addresses:
        print(f"  {_curl(running.http_addresses[0], f'{running.path_prefix}/tasks', *proof)}")
    print(flush=True)


def _grpcurl(bound: "Bound", *options: str) -> str:
    """Return the beginning of a command that calls the server; CA.pem stands for the reader's own file."""
    way = "-cacert CA.pem" if bound.encrypted else "-plaintext"
    unix = ("-unix",) if bound.path else ()
    return " ".join(("grpcurl", way, *options, *unix, bound.path or bound.address))


def _curl(bound: "Bound", path: str, *options: str) -> str:
    """Return a command that asks the server for what is at a path."""
    ways = ["--cacert CA.pem"] if bound.encrypted else []
    ways += [f"--unix-socket {bound.path}"] if bound.path else []
    host = "localhost" if bound.path else bound.address
    return " ".join(("curl", *ways, *options, f"{_scheme(bound)}://{host}{path}"))


def _shown(bound: "Bound") -> str:
    return f"{bound} (TLS)" if bound.encrypted else str(bound)


def _url(bound: "Bound") -> str:
    return _shown(bound) if bound.path else f"{_scheme(bound)}://{bound}"


def _scheme(bound: "Bound") -> str:
    return "https" if bound.encrypted else "http"
