"""``python -m unstill`` is ``unstill``."""

from unstill.cli import main

if __name__ == "__main__":
    main()
