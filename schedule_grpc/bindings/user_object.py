"""A user's own binding: what a function of his, ``package.module:factory``, makes of the binding's name and options."""

import copy
import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

from schedule_grpc.bindings.setting import Setting

FACTORY = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<factory>[^\W\d]\w*(?:\.[^\W\d]\w*)*)")


def find_factory(setting: Setting) -> Callable[..., Any]:
    """Return the function that a binding's URL names.

    Raises:
        ConfigurationError: if it is not there.
    """
    match = FACTORY.fullmatch(setting.url)
    if match is None:
        raise setting.refused(f"{setting.url!r} is not package.module:factory")
    try:
        found: Any = importlib.import_module(match["module"])
    except Exception as error:
        raise setting.refused(f"cannot import {match['module']}: {type(error).__name__}: {error}") from error
    for name in match["factory"].split("."):
        found = getattr(found, name, None)
    factory: Callable[..., Any] | None = found if callable(found) else None
    if factory is None:
        raise setting.refused(f"{match['module']} has no function {match['factory']}")
    return factory


async def make(factory: Callable[..., Any], setting: Setting) -> Any:
    """Call the function, which may be async, with the binding's name and its options; return what it made."""
    made = factory(setting.name, copy.deepcopy(dict(setting.options)))  # the next opening gets them unchanged
    return await made if inspect.isawaitable(made) else made
