"""``ctx.env`` of the server: the bindings, and settings that the server gives to built-in handlers."""

from typing import Any

from schedule_grpc.errors import ConfigurationError
from schedule_grpc.handlers import Env


class Equipped:
    """Bindings, and objects of the server under further names: ``ctx.env.BACKUP``, ``ctx.env.HTTP``.

    The objects are no bindings: they are not opened, pinged or closed. Every other name is a binding's.
    All handlers share the instance, so no handler can replace what is under a name.
    """

    __slots__ = ("_bindings", "_equipment")

    def __init__(self, bindings: Env, /, **equipment: object) -> None:
        """Add objects to bindings.

        Raises:
            ConfigurationError: if a binding has the name of an object.
        """
        self._bindings = bindings
        self._equipment = equipment
        for name in sorted(equipment.keys() & set(bindings.names())):
            raise ConfigurationError(f"bindings.{name}: this name is the server's own; take another one")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # names that Python itself looks up, before __init__ too
            raise AttributeError(name)
        return self._equipment[name] if name in self._equipment else getattr(self._bindings, name)
