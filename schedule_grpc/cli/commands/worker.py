"""``schedule-grpc worker``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schedule_grpc.cli.connection import Caller, connection
from schedule_grpc.cli.exits import FAILED, USAGE, fail
from schedule_grpc.cli.option_groups import takes
from schedule_grpc.cli.options import ConfigFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from schedule_grpc.runtime.listeners import Bound
    from schedule_grpc.settings.config import Settings
    from schedule_grpc.worker.core import Core


@takes(call=connection)
def worker(
    *,
    modules: Annotated[list[str], typer.Argument(metavar="MODULE...", help="Modules whose handlers are offered")],
    call: Caller,
    slots: Annotated[int, typer.Option(envvar="SCHEDULE_SLOTS", min=1, max=1000, help="Attempts that run at once")] = 8,
    name: Annotated[str, typer.Option(help="Name for people [the host's, and the process id]")] = "",
    version: Annotated[str, typer.Option(help="Version of your program, for people")] = "",
    lease: Annotated[
        str,
        typer.Option(
            envvar="SCHEDULE_LEASE", help="How long attempts stay with this worker while the server is away: 10s to 10m"
        ),
    ] = "30s",
    label: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Shown to people; repeatable")] = None,
    drain_timeout: Annotated[
        str | None, typer.Option(help="How long running attempts may end when stopping [30s]")
    ] = None,
    health: Annotated[
        str | None, typer.Option(help="Where GET /healthz is answered: HOST:PORT or unix:PATH [nowhere]")
    ] = None,
    config: ConfigFile = None,
    log_format: Annotated[str | None, typer.Option(help="auto, console or json [auto]")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error [info]")] = None,
) -> None:
    """Run handlers for a server until SIGTERM, SIGINT or SIGHUP; a second signal does not wait for running attempts."""
    import os
    import sys

    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # before gRPC is loaded: its fork handlers crash children
    from schedule_grpc.cli.options import duration
    from schedule_grpc.errors import ConfigurationError
    from schedule_grpc.log import set_up as log
    from schedule_grpc.runtime import event_loop
    from schedule_grpc.settings.config import WrongSettings, load

    flags = {"drain_timeout": drain_timeout, "log_format": log_format, "log_level": log_level}
    log.open_standard_streams()
    try:
        settings = load(flags, file=config)
        sys.path.insert(0, str(Path.cwd()))  # handler modules are found there, as with `python -m`
        log.configure(style=settings.log_format, level=settings.log_level)
        core = _core(
            call,
            settings,
            modules,
            slots=slots,
            name=name,
            version=version,
            lease=duration("--lease", lease),
            labels=_labels(label or ()),
        )
    except WrongSettings as error:
        fail("\n".join(f"cannot start: {complaint}" for complaint in error.complaints), code=USAGE)
    except ConfigurationError as error:
        fail(f"cannot start: {error}", code=_code(error))
    with log.never_waiting(), call.exiting_on_errors():
        try:
            event_loop.run(_run(core, slots, health, as_json=call.as_json), kind=settings.event_loop)
        except ConfigurationError as error:
            fail(f"cannot start: {error}", code=_code(error))


def _code(error: Exception) -> int:
    from schedule_grpc.errors import CannotStart

    return FAILED if isinstance(error, CannotStart) else USAGE


def _core(
    call: Caller,
    settings: "Settings",
    modules: list[str],
    *,
    slots: int,
    name: str,
    version: str,
    lease: "timedelta",
    labels: "Mapping[str, str]",
) -> "Core":
    """Return the worker.

    Raises:
        ConfigurationError: if a module, a binding or an option cannot be used.
        typer.BadParameter: if the address, the key or the certificate authority cannot be used.
    """
    from functools import partial

    from schedule_grpc.runtime.clock import SystemClock
    from schedule_grpc.settings.handler_bindings import handler_bindings
    from schedule_grpc.telemetry.configured import WORKER, telemetry_options, tracing
    from schedule_grpc.worker.calls import way_to
    from schedule_grpc.worker.core import Core
    from schedule_grpc.worker.worker import introduced, registry_of

    clock = SystemClock()
    try:
        way = way_to(call.server, tls=call.tls(), token=call.token, token_file=call.token_file)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from None
    introduction = introduced(
        name=name, version=version, slots=slots, lease=lease, namespace=call.namespace, labels=labels
    )
    return Core(
        introduction,
        way=way,
        registry=registry_of(modules, limits=settings.handler_concurrency),
        bindings=partial(handler_bindings, settings, clock),
        drain_timeout=settings.drain_timeout,
        clock=clock,
        tracing=partial(tracing, telemetry_options(settings.otel, service=WORKER), clock=clock),
    )


async def _run(core: "Core", slots: int, health: str | None, *, as_json: bool) -> None:
    """Run the worker, its signals and its health."""
    from contextlib import AsyncExitStack
    from functools import partial

    from schedule_grpc.runtime import signals
    from schedule_grpc.runtime.clock import SystemClock
    from schedule_grpc.worker.health import answering_health

    async with AsyncExitStack() as stack:
        bound = None
        if health is not None:
            serving = answering_health(health, core.troubles, SystemClock())
            bound = await stack.enter_async_context(serving)
        stack.enter_context(signals.hearing(core.stop))
        greet = _print_json if as_json else _greet
        await core.run(ready=partial(greet, core, slots, bound))


def _greet(core: "Core", slots: int, health: "Bound | None") -> None:
    """Print what the worker offers, and where."""
    print(f"Worker of {core.address} with {slots} slots, offering:")
    for handler in core.handlers:
        print(f"  {handler.name}  {handler.description}".rstrip())
    if health is not None:
        print(f"Health on {health}/healthz" if health.path else f"Health on http://{health}/healthz")
    print(flush=True)


def _print_json(core: "Core", slots: int, health: "Bound | None") -> None:
    """Print the same on one line, for programs."""
    import json

    offered = [{"name": each.name, "description": each.description} for each in core.handlers]
    bound = None if health is None else str(health)
    print(json.dumps({"server": core.address, "slots": slots, "handlers": offered, "health": bound}), flush=True)


def _labels(texts: "list[str] | tuple[str, ...]") -> dict[str, str]:
    labels = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{text!r} is not K=V", param_hint="--label")
        labels[key] = value
    return labels
