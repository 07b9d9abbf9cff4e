"""``python -m hlieconv``: the same as the command ``hlieconv``."""

import sys

from hlieconv.cli import main

if __name__ == "__main__":
    sys.exit(main())
