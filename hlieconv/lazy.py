"""Lazy packages, as those of `systems`."""

from systems.lazy import lazy

__all__ = ["lazy"]
