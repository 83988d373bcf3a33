"""These tests run on both databases."""

from support.databases.place import place

__all__ = ["place"]
