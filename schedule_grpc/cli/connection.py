"""Calls of a running server from the command line, and what becomes of their errors."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from schedule_grpc.text.terminal import plain

if TYPE_CHECKING:
    from schedule_grpc.client import AsyncClient

T = TypeVar("T")

FAILED = 1
USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130
PATIENCE = 60.0
"""Seconds for which who watches or waits looks for a server that is gone; as the clients have it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Which server to ask, how, and in which form to show what it says."""

    server: str
    token: str | None = None
    tls_ca: Path | None = None
    as_json: bool = False

    def client(self, *, deadline: float = 10.0, attempts: int = 4, patience: float = PATIENCE) -> "AsyncClient":
        """Return a client of the server; ``deadline`` in seconds, for a call over all its attempts.

        ``patience``: seconds for which it looks for a server that is gone, where it watches or waits.

        Raises:
            typer.BadParameter: if the key or the certificate authority cannot be used.
        """
        import typer

        from schedule_grpc.client import AsyncClient, Tls

        tls = None if self.tls_ca is None else Tls(ca=self.tls_ca)
        try:
            return AsyncClient(
                self.server, tls=tls, token=self.token, deadline=deadline, attempts=attempts, patience=patience
            )
        except (ValueError, OSError) as error:
            raise typer.BadParameter(str(error)) from None

    def ask(self, question: Callable[["AsyncClient"], Awaitable[T]], *, patience: float = PATIENCE) -> T:
        """Return a server's answer, or end the process with a message and the exit code that fits."""
        import asyncio

        from schedule_grpc.cli.lookup import with_suggestion
        from schedule_grpc.errors import TaskNotFound

        async def call() -> T:
            async with self.client(patience=patience) as client:
                try:
                    return await question(client)
                except TaskNotFound as error:
                    raise await with_suggestion(client, error) from None

        with self.errors_told():
            return asyncio.run(call())

    @contextmanager
    def errors_told(self) -> Iterator[None]:
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
        """Return the address that was asked, its port included."""
        from schedule_grpc.client.address import target

        return target(self.server, encrypted=self.tls_ca is not None)


def fail(message: str, *, code: int) -> NoReturn:
    """End the process with a message on standard error."""
    print(plain(message), file=sys.stderr)
    raise SystemExit(code)


async def first(limit: int, items: AsyncIterator[T]) -> list[T]:
    """Return the first items, at most ``limit``."""
    found: list[T] = []
    async for item in items:
        found.append(item)
        if len(found) == limit:
            break
    return found
