"""`python -m sipreg_cli` is `sipreg`."""

from __future__ import annotations

from sipreg_cli.main import main

if __name__ == "__main__":
    main()
