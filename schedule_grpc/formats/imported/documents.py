"""Decoded documents of others, taken apart with errors that name the place."""

import re
from collections.abc import Mapping
from typing import Any

from schedule_grpc.formats.imported.values import NotReadable

_LINE = re.compile(r"line \d+")


class Table:
    """A mapping at a place of a document; what is asked of it is of the right type, or the place is named."""

    def __init__(self, value: object, place: str) -> None:
        """Take a value.

        Raises:
            NotReadable: if it is no mapping with texts as keys.
        """
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise NotReadable("is not an object", place=place)
        self.value: Mapping[str, Any] = value
        self.place = place

    def at(self, key: str) -> str:
        """Return the place of a key."""
        if not self.place:
            return key
        return f"{self.place}, {key}" if _LINE.fullmatch(self.place) else f"{self.place}.{key}"

    def table(self, key: str) -> "Table":
        """Return the object at a key; an empty one if there is none."""
        value = self.value.get(key)
        return Table({} if value is None else value, self.at(key))

    def tables(self, key: str) -> "list[Table]":
        """Return the objects in the list at a key; none if there is no list."""
        return [Table(each, f"{self.at(key)}[{number}]") for number, each in enumerate(self.list(key))]

    def list(self, key: str) -> "list[Any]":
        """Return the list at a key; an empty one if there is none."""
        value = self.value.get(key)
        if value is not None and not isinstance(value, list):
            raise NotReadable("is not a list", place=self.at(key))
        return value or []

    def text(self, key: str, *, needed: bool = False) -> str:
        """Return the text at a key; an empty one if there is none and none is needed."""
        value = self.value.get(key)
        if value is None and not needed:
            return ""
        if not isinstance(value, str) or (needed and not value):
            raise NotReadable("is not a text" if value is not None else "is missing", place=self.at(key))
        return value

    def whole(self, key: str, *, least: int = 0) -> int | None:
        """Return the whole number at a key; None if there is none."""
        value = self.value.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 2**53:
            raise NotReadable(f"is not a whole number from {least} on", place=self.at(key))
        return value

    def number(self, key: str) -> float | None:
        """Return the number at a key; None if there is none."""
        value = self.value.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 2**53:
            raise NotReadable("is not a number from 0 on", place=self.at(key))
        return value

    def flag(self, key: str) -> bool | None:
        """Return the truth value at a key; None if there is none."""
        value = self.value.get(key)
        if value is not None and not isinstance(value, bool):
            raise NotReadable("is neither true nor false", place=self.at(key))
        return value
