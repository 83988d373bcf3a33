"""The server that a command asks, the options that name it, and the end of the command if a call fails."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from schedule_grpc.cli.exits import FAILED, INTERRUPTED, UNREACHABLE, USAGE, fail, warn

if TYPE_CHECKING:
    from schedule_grpc.client import AsyncClient, Tls

T = TypeVar("T")

NO_INVOCATION: Any = None
"""Of calls that are no command's, such as those of completion; typer finds its own parameter by the type."""
LOCAL = "127.0.0.1:50051"
PATIENCE = 60.0
"""Seconds for which a watch or a waiting run looks for a server that is gone; the clients' own default."""

AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs instead of a table for people")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """The server to ask, the key and certificate to ask it with, and the form of the output."""

    server: str
    token: str | None = None
    token_file: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    namespace: str = ""
    as_json: bool = False

    def client(self, *, deadline: float = 10.0, attempts: int = 4, patience: float = PATIENCE) -> "AsyncClient":
        """Return a client of the server; ``deadline`` in seconds, for a call over all its attempts.

        ``patience``: seconds for which a watch or a waiting run looks for a server that is gone.

        Raises:
            typer.BadParameter: if the key or the certificate authority cannot be used.
        """
        from schedule_grpc.client import AsyncClient

        try:
            return AsyncClient(
                self.server,
                tls=self.tls(),
                token=self.token,
                token_file=self.token_file,
                deadline=deadline,
                attempts=attempts,
                patience=patience,
                namespace=self.namespace,
            )
        except (ValueError, OSError) as error:
            raise typer.BadParameter(str(error)) from None

    def tls(self) -> "Tls | None":
        """Return the certificates that the options name; None without any of them: the call is not encrypted."""
        from schedule_grpc.client import Tls

        if self.tls_ca is None and self.tls_cert is None and self.tls_key is None:
            return None
        return Tls(ca=self.tls_ca, certificate=self.tls_cert, key=self.tls_key)

    def ask(self, question: Callable[["AsyncClient"], Awaitable[T]], *, patience: float = PATIENCE) -> T:
        """Return the server's answer; an error ends the process with a message and its exit code."""
        import asyncio

        from schedule_grpc.cli.lookup import with_suggestion
        from schedule_grpc.errors import TaskNotFound

        async def call() -> T:
            async with self.client(patience=patience) as client:
                try:
                    return await question(client)
                except TaskNotFound as error:
                    raise await with_suggestion(client, error) from None

        with self.exiting_on_errors():
            return asyncio.run(call())

    @contextmanager
    def exiting_on_errors(self) -> Iterator[None]:
        """Within this context an error of a call ends the process."""
        from schedule_grpc.errors import InvalidArgument, ScheduleError, Unauthenticated, Unavailable

        try:
            yield
        except Unavailable as error:
            fail(f"{self._address()}: {error.message}", code=UNREACHABLE)
        except InvalidArgument as error:
            fail("\n".join(map(str, error.violations)) or error.message, code=FAILED)
        except Unauthenticated as error:
            fail(f"{error.message}: {self._proof()}", code=FAILED)
        except ScheduleError as error:
            fail(error.message, code=FAILED)
        except UnicodeEncodeError as error:
            fail(f"{error.object!r} is not Unicode text", code=USAGE)
        except KeyboardInterrupt:
            fail("interrupted", code=INTERRUPTED)

    def _proof(self) -> str:
        if self.token is None and self.token_file is None:
            return "give a key by --token-file (SCHEDULE_TOKEN_FILE)"
        return "the server does not accept this key: it is unknown, expired or revoked"

    def _address(self) -> str:
        """Return the server's address, with the port that gRPC uses."""
        from schedule_grpc.client.address import target

        return target(self.server, encrypted=self.tls() is not None)


def connection(
    *,
    server: Annotated[
        str, typer.Option(envvar="SCHEDULE_SERVER", help="Address of a running server, HOST[:PORT] or unix:PATH")
    ] = LOCAL,
    token: Annotated[
        str | None, typer.Option(envvar="SCHEDULE_TOKEN", help="Key that the server asks for", show_default=False)
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(envvar="SCHEDULE_TOKEN_FILE", help="File with that key; read again whenever it changes"),
    ] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(envvar="SCHEDULE_TLS_CA", help="Speak TLS, and trust the authority of this PEM file"),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(envvar="SCHEDULE_TLS_CERT", help="Speak TLS, and show the certificate of this PEM file"),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(envvar="SCHEDULE_TLS_KEY", help="PEM file with the key of that certificate")
    ] = None,
    namespace: Annotated[
        str,
        typer.Option(
            envvar="SCHEDULE_NAMESPACE", help="Namespace of the call [the key's own, or default]", show_default=False
        ),
    ] = "",
    context: Annotated[
        str, typer.Option(envvar="SCHEDULE_CONTEXT", help="Name in contexts.toml of server, namespace and token")
    ] = "",
    as_json: AsJson = False,
    invocation: typer.Context = NO_INVOCATION,
) -> Caller:
    """Return the caller of the server that the options name."""
    import os

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read when gRPC is imported; we print errors ourselves
    given = _options_given(invocation)
    if token and token_file is not None:
        fail("--token and --token-file exclude each other (SCHEDULE_TOKEN, SCHEDULE_TOKEN_FILE)", code=USAGE)
    if "token" in given:
        warn("--token shows the key to every user of this machine (ps): use --token-file or SCHEDULE_TOKEN_FILE")
    named = Caller(
        server=server,
        token=token or None,
        token_file=token_file,
        tls_ca=tls_ca,
        tls_cert=tls_cert,
        tls_key=tls_key,
        namespace=namespace,
        as_json=as_json,
    )
    return _in_context(named, context, given) if context else named


def _options_given(invocation: typer.Context | None) -> frozenset[str]:
    """Return the names of the parameters that were given on the command line, not by a variable."""
    if invocation is None:
        return frozenset()
    sources = {name: invocation.get_parameter_source(name) for name in invocation.params}
    return frozenset(name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE")


def _in_context(caller: Caller, name: str, given: frozenset[str]) -> Caller:
    """Return the caller as a context has it; an option on the command line comes before the context.

    A variable of the environment does not: a context that is named means its own server, with its own token.
    """
    from schedule_grpc.cli.contexts import WrongContext, context_named, contexts_file

    try:
        context = context_named(name, contexts_file())
        settings: dict[str, Any] = {
            "server": context.server or LOCAL,
            "tls_ca": context.tls_ca,
            "tls_cert": context.tls_cert,
            "tls_key": context.tls_key,
            "namespace": context.namespace or "",
        }
        if not given & {"token", "token_file"}:
            settings |= {"token": None, "token_file": context.checked_token_file()}
    except WrongContext as error:
        fail(str(error), code=USAGE)
    chosen = {key: value for key, value in settings.items() if key not in given}
    return replace(caller, **chosen)


async def first(limit: int, items: AsyncIterator[T]) -> list[T]:
    """Return the first items, at most ``limit``."""
    found: list[T] = []
    async for item in items:
        found.append(item)
        if len(found) == limit:
            break
    return found
