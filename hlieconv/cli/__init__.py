"""The command line: every command, its options and its help. Nothing else parses arguments."""

from hlieconv.cli.entry import COMMANDS, main

__all__ = ["COMMANDS", "main"]
