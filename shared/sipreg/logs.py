"""Log lines: events with ``name=value`` pairs, on standard error."""

from __future__ import annotations

import logging
import sys


def set_up_logging(level: str) -> None:
    """Write lines of at least this level, with their time, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Its start and stop are told by whoever runs it.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
