"""What handlers find in ``ctx.env`` beside the bindings: settings that the server hands them."""

from typing import Any

from schedule_grpc.errors import ConfigurationError
from schedule_grpc.handlers import Env


class Equipped:
    """Bindings, and objects of the server's own under further names: ``ctx.env.BACKUP``, ``ctx.env.HTTP``.

    These are no bindings: nothing is opened, pinged or closed. Whatever else is asked for is asked of the bindings.
    All handlers share it, so none of them can put something else under a name.
    """

    __slots__ = ("_bindings", "_equipment")

    def __init__(self, bindings: Env, /, **equipment: object) -> None:
        """Put objects beside bindings.

        Raises:
            ConfigurationError: if a binding has the name of one of them.
        """
        self._bindings = bindings
        self._equipment = equipment
        for name in sorted(equipment.keys() & set(bindings.names())):
            raise ConfigurationError(f"bindings.{name}: this name is the server's own; take another one")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what Python itself looks for, before __init__ too
            raise AttributeError(name)
        return self._equipment[name] if name in self._equipment else getattr(self._bindings, name)
