"""Groups of options that many commands have."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def takes(**groups: Callable[..., Any]) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Give a command the options of whole groups.

    Args:
        groups: By the name of the command's argument, a function whose parameters are the options; its result becomes
            the argument.
    """
    options = {name: inspect.signature(group).parameters for name, group in groups.items()}

    def given(command: Callable[..., T]) -> Callable[..., T]:
        own = inspect.signature(command).parameters

        @functools.wraps(command)
        def run(**values: Any) -> T:
            arguments = {
                name: groups[name](**{each: values[each] for each in options[name]}) if name in groups else values[name]
                for name in own
            }
            return command(**arguments)

        parameters = [each for name in own for each in (options[name].values() if name in groups else (own[name],))]
        del run.__wrapped__  # or typer would see the command without its groups
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return given
