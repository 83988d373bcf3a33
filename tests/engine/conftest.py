"""These suites run over each engine."""

from engines import place

__all__ = ["place"]
