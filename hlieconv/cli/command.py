"""What a command is."""

import argparse
from abc import ABC, abstractmethod


class AbstractCommand(ABC):
    """A command: what it does, its options, and its work.

    Options have the names of the keywords that they become. Only `run` imports torch, so that every ``--help`` is
    instant.
    """

    help: str
    """What the command does: a phrase that begins with a verb."""

    @abstractmethod
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments of the command to its parser."""

    @abstractmethod
    def run(self, arguments: argparse.Namespace) -> int | None:
        """Do the work, and return an exit code: 1 where the work was done but did not succeed."""
