"""Log lines on standard error: an instant, a level, the name of an event, and its fields."""

from __future__ import annotations

import logging
import sys
import time


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


def set_up(level: str) -> None:
    """Log to standard error from `level` on; what others log matters from a warning on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("penstock").setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
