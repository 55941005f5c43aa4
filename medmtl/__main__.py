"""``python -m medmtl`` is the command ``medmtl``."""

from __future__ import annotations

from medmtl.cli import main

if __name__ == "__main__":
    main()
