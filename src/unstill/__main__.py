"""The way in, for ``unstill`` and ``python -m unstill`` alike."""

from __future__ import annotations

import sys


def main() -> None:
    """Load the command line and run it; Ctrl-C while it loads exits 130 like any other."""
    try:
        from unstill.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
