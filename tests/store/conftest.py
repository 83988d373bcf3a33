"""These suites run over each engine."""

from support.databases.place import place

__all__ = ["place"]
