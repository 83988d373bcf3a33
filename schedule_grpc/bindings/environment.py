"""The bindings of a server, as handlers see them: ``ctx.env.DB``."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import structlog

from schedule_grpc.database.sqlite_file import SqliteFile
from schedule_grpc.errors import BindingError, ConfigurationError, ScheduleError

log = structlog.get_logger(__name__)

SQLITE = "sqlite:///"
PLATFORM_SCHEMA = "platform.sql"


class Binding(Protocol):
    """What every opened binding offers beside its own methods."""

    async def ping(self) -> None:
        """Return if the service answers."""

    async def aclose(self) -> None:
        """Let go of the service."""


Opener = Callable[[str, str], Coroutine[Any, Any, Binding]]
"""Opens a binding from its name and its URL."""


async def _open_sqlite(name: str, url: str) -> Binding:
    schema = files(__package__).joinpath(PLATFORM_SCHEMA).read_text("utf-8")
    file = await SqliteFile.connect(name, Path(url.removeprefix(SQLITE)), schema=schema)
    log.info("binding.opened", binding=name)
    return file


OPENERS: Mapping[str, Opener] = {SQLITE: _open_sqlite}
"""By the beginning of the URL."""


class Environment:
    """Bindings by name. Each is opened when it is first used, once, and closed with the environment, for good."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        """Take bindings by name.

        Raises:
            ConfigurationError: for a name that is not an upper-case identifier, and for a URL that no binding is opened
                from; what stands behind it is tried at first use.
        """
        for name in urls:
            if not name.isidentifier() or name != name.upper():
                raise ConfigurationError(f"bindings: {name!r} is not an upper-case name such as DB")
        self._bindings = {name: LazyBinding(name, url, _opener(name, url)) for name, url in urls.items()}

    def __getattr__(self, name: str) -> "LazyBinding":
        if name.startswith("__") or name == "_bindings":  # what Python itself looks for, before __init__ too
            raise AttributeError(name)
        try:
            return self._bindings[name]
        except KeyError:
            names = ", ".join(sorted(self._bindings)) or "none"
            raise ConfigurationError(f"no binding is named {name} (bindings: {names})") from None

    async def aclose(self) -> None:
        """Close what was opened."""
        for binding in self._bindings.values():
            await binding.aclose()


class LazyBinding:
    """A binding that opens itself at the first call of one of its methods."""

    def __init__(self, name: str, url: str, opener: Opener) -> None:
        self._name = name
        self._url = url
        self._opener = opener
        self._opening: asyncio.Task[Binding] | None = None
        self._closed = False

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)
        if method == "transaction":
            return self._transaction

        async def call(*arguments: Any, **parameters: Any) -> Any:
            return await getattr(await self._open(), method)(*arguments, **parameters)

        return call

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        binding: Any = await self._open()
        async with binding.transaction() as transaction:
            yield transaction

    async def aclose(self) -> None:
        """Close the binding if it was opened; whoever still calls it (an abandoned handler) gets a BindingError."""
        self._closed = True
        opening, self._opening = self._opening, None
        if opening is None:
            return
        try:
            binding = await opening
        except ScheduleError:
            return
        await binding.aclose()

    async def _open(self) -> Binding:
        if self._closed:
            raise BindingError(self._name, "is closed")
        if self._opening is None or _failed(self._opening):
            self._opening = asyncio.create_task(self._opener(self._name, self._url), name=f"open {self._name}")
        # A caller who gives up neither takes the others with him nor leaves a half-opened file behind.
        return await asyncio.shield(self._opening)


def _failed(task: "asyncio.Task[Binding]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _opener(name: str, url: str) -> Opener:
    if ":memory:" in url:
        raise ConfigurationError(f"bindings.{name}: a database in memory keeps nothing: name a file")
    for beginning, opener in OPENERS.items():
        if url.startswith(beginning) and url != beginning:
            return opener
    raise ConfigurationError(f"bindings.{name}: {url!r} is not {SQLITE}PATH")
