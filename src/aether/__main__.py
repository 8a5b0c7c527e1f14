"""`python -m aether` is the `aether` command."""

from __future__ import annotations

from aether.cli.main import main

if __name__ == "__main__":
    main()
