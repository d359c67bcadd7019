"""Log lines of the node host: the name of an event, then its fields."""

from __future__ import annotations

import logging
import sys

_LOGGER = logging.getLogger("penstock.agent")


def configure(level: int = logging.INFO) -> None:
    """Write log lines to stderr. For the process that does nothing but host nodes."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(level)
    _LOGGER.propagate = False


def _line(event: str, fields: dict[str, object]) -> str:
    words = [event]
    for name, value in fields.items():
        text = str(value)
        words.append(f"{name}={text!r}" if " " in text or not text else f"{name}={text}")
    return " ".join(words)


def info(event: str, **fields: object) -> None:
    if _LOGGER.isEnabledFor(logging.INFO):
        _LOGGER.info("%s", _line(event, fields))


def warning(event: str, **fields: object) -> None:
    _LOGGER.warning("%s", _line(event, fields))


def error(event: str, *, trace: BaseException | None = None, **fields: object) -> None:
    """Log a fault; with `trace` when it is a bug of ours, so that it can be found."""
    _LOGGER.error("%s", _line(event, fields), exc_info=trace)
