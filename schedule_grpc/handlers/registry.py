"""The `handler` decorator, and the registry in which an engine finds handlers."""

import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, TypeVar

from schedule_grpc.domain.task import NAME, Handler
from schedule_grpc.errors import CannotStart, ConfigurationError, HandlerNotFound
from schedule_grpc.handlers.context import TaskContext
from schedule_grpc.text.unicode import readable

ENTRY_POINTS = "schedule_grpc.handlers"
MARK = "__schedule_handler__"

HandlerFunction = Callable[[TaskContext], Any]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A handler as the decorator describes it."""

    name: str
    description: str
    function: HandlerFunction
    is_async: bool
    concurrency: int | None = None


def handler(name: str, *, description: str = "", concurrency: int | None = None) -> Callable[[F], F]:
    """Offer a function ``(ctx: TaskContext) -> JSON`` (async, or sync: then run in a thread) as the handler ``name``.

    Args:
        name: The name by which tasks refer to it.
        description: Its purpose, shown in lists; by default the first line of the function's docstring.
        concurrency: How many of its attempts one server runs at once; None leaves it to the server's own limit.

    Raises:
        ConfigurationError: if the name is not valid, or the concurrency less than 1.
    """
    if concurrency is not None and concurrency < 1:
        raise ConfigurationError(f"the handler {name} cannot run {concurrency} attempts at once: at least 1")
    if NAME.fullmatch(name) is None:
        raise ConfigurationError(f"{name!r} is not a handler's name: letters, digits, '.', '_' and '-'")

    def mark(function: F) -> F:
        text = readable(description or (inspect.getdoc(function) or "").partition("\n")[0])
        offer = Offer(
            name=name,
            description=text,
            function=function,
            is_async=inspect.iscoroutinefunction(function),
            concurrency=concurrency,
        )
        setattr(function, MARK, offer)
        return function

    return mark


@dataclass(frozen=True, kw_only=True, slots=True)
class Offered:
    """The handlers that a registry has at one moment."""

    names: frozenset[str] = frozenset()
    limits: Mapping[str, int] = field(default_factory=dict)
    """Attempts at once, by handler, where they are limited: by configuration, else by the decorator."""


class Registry:
    """The handlers that this process offers, by name."""

    def __init__(self, offers: Iterable[Offer] = (), *, limits: Mapping[str, int] | None = None) -> None:
        self._offers: dict[str, Offer] = {}
        self._limits = dict(limits or {})
        self.offered = Offered(limits=self._limits)
        """The handlers of this moment, for any thread; replaced when one is added, so a reader sees it by identity."""
        for offer in offers:
            self.add(offer)

    def add(self, offer: Offer) -> None:
        """Offer a handler.

        Raises:
            ConfigurationError: if another function has that name already.
        """
        present = self._offers.setdefault(offer.name, offer)
        if present.function is not offer.function:
            raise ConfigurationError(
                f"two handlers are named {offer.name}: {_place(present.function)} and {_place(offer.function)}"
            )
        own = {each.name: each.concurrency for each in self if each.concurrency is not None}
        self.offered = Offered(names=frozenset(self._offers), limits=own | self._limits)

    def add_function(self, function: Callable[..., Any]) -> None:
        """Offer a function decorated with `handler`.

        Raises:
            ConfigurationError: if it is not decorated, or its name is taken.
        """
        offer = _offer_of(function)
        if offer is None:
            raise ConfigurationError(f"{_place(function)} is not decorated with @handler")
        self.add(offer)

    def add_module(self, module: ModuleType | str) -> None:
        """Offer every decorated function of a module, which is given as such or by its dotted name.

        Raises:
            CannotStart: if it cannot be imported.
            ConfigurationError: if it offers nothing.
        """
        if isinstance(module, str):
            module = _imported(module)
        offers = [found for value in vars(module).values() if (found := _offer_of(value)) is not None]
        if not offers:
            raise ConfigurationError(f"the module {module.__name__} has no function decorated with @handler")
        for offer in offers:
            self.add(offer)

    def add_entry_points(self) -> None:
        """Offer the handlers that installed distributions name in the entry-point group ``schedule_grpc.handlers``.

        Raises:
            CannotStart: if one cannot be loaded.
            ConfigurationError: if one offers nothing.
        """
        for entry in entry_points(group=ENTRY_POINTS):
            try:
                loaded = entry.load()
            except (Exception, SystemExit) as error:
                raise CannotStart(f"entry point {entry.name} = {entry.value}: {error!r}") from error
            if isinstance(loaded, ModuleType):
                self.add_module(loaded)
            else:
                self.add_function(loaded)

    def get(self, name: str) -> Offer:
        """Return the handler of that name.

        Raises:
            HandlerNotFound: if this process does not offer it.
        """
        try:
            return self._offers[name]
        except KeyError:
            raise HandlerNotFound(name, self.names()) from None

    def handlers(self) -> tuple[Handler, ...]:
        """Return the handlers as callers may list them."""
        limits = self.offered.limits
        return tuple(
            Handler(name=offer.name, description=offer.description, concurrency=limits.get(offer.name))
            for offer in self
        )

    def names(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        return tuple(sorted(self._offers))

    def __contains__(self, name: str) -> bool:
        return name in self._offers

    def __iter__(self) -> Iterator[Offer]:
        return iter(self._offers.values())


def _offer_of(value: object) -> Offer | None:
    found = inspect.getattr_static(value, MARK, None)  # runs no __getattr__ of a stranger
    return found if isinstance(found, Offer) else None


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # a script without a guard around its main() exits when imported
        raise CannotStart(f"the handler module {name} cannot be imported: {error!r}") from error


def _place(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"
