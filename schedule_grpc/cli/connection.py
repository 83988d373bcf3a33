"""The server that a command asks, the options that name it, and the end of the command if a call fails."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from schedule_grpc.cli.exits import FAILED, INTERRUPTED, UNREACHABLE, USAGE, fail

if TYPE_CHECKING:
    from schedule_grpc.client import AsyncClient

T = TypeVar("T")

LOCAL = "127.0.0.1:50051"
PATIENCE = 60.0
"""Seconds for which a watch or a waiting run looks for a server that is gone; the clients' own default."""

AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs instead of a table for people")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """The server to ask, the key and certificate to ask it with, and the form of the output."""

    server: str
    token: str | None = None
    tls_ca: Path | None = None
    as_json: bool = False

    def client(self, *, deadline: float = 10.0, attempts: int = 4, patience: float = PATIENCE) -> "AsyncClient":
        """Return a client of the server; ``deadline`` in seconds, for a call over all its attempts.

        ``patience``: seconds for which a watch or a waiting run looks for a server that is gone.

        Raises:
            typer.BadParameter: if the key or the certificate authority cannot be used.
        """
        from schedule_grpc.client import AsyncClient, Tls

        tls = None if self.tls_ca is None else Tls(ca=self.tls_ca)
        try:
            return AsyncClient(
                self.server, tls=tls, token=self.token, deadline=deadline, attempts=attempts, patience=patience
            )
        except (ValueError, OSError) as error:
            raise typer.BadParameter(str(error)) from None

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
        from schedule_grpc.errors import InvalidArgument, ScheduleError, Unavailable

        try:
            yield
        except Unavailable as error:
            fail(f"{self._address()}: {error.message}", code=UNREACHABLE)
        except InvalidArgument as error:
            fail("\n".join(map(str, error.violations)) or error.message, code=FAILED)
        except ScheduleError as error:
            fail(error.message, code=FAILED)
        except UnicodeEncodeError as error:
            fail(f"{error.object!r} is not Unicode text", code=USAGE)
        except KeyboardInterrupt:
            fail("interrupted", code=INTERRUPTED)

    def _address(self) -> str:
        """Return the server's address, with the port that gRPC uses."""
        from schedule_grpc.client.address import target

        return target(self.server, encrypted=self.tls_ca is not None)


def connection(
    *,
    server: Annotated[
        str, typer.Option(envvar="SCHEDULE_SERVER", help="Address of a running server, HOST[:PORT] or unix:PATH")
    ] = LOCAL,
    token: Annotated[
        str | None, typer.Option(envvar="SCHEDULE_TOKEN", help="Key that the server asks for", show_default=False)
    ] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(envvar="SCHEDULE_TLS_CA", help="Speak TLS, and trust the authority of this PEM file"),
    ] = None,
    as_json: AsJson = False,
) -> Caller:
    """Return the caller of the server that the options name."""
    import os

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read when gRPC is imported; we print errors ourselves
    return Caller(server=server, token=token or None, tls_ca=tls_ca, as_json=as_json)


async def first(limit: int, items: AsyncIterator[T]) -> list[T]:
    """Return the first items, at most ``limit``."""
    found: list[T] = []
    async for item in items:
        found.append(item)
        if len(found) == limit:
            break
    return found
