"""The names of `systems`, for ``hlieconv/__init__.pyi``: a stub of lazy_loader takes names of its own package only."""

from systems import *  # noqa: F403
from systems import open as open
