"""The exit codes of the command line, and the exception that carries one with its reason."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the command line answers to its caller."""

    STOPPED = 0  # as it was asked to
    FAILED = 1  # a bug, or an error of the machine; the log has the rest
    USAGE = 2  # options or settings that cannot be used
    IN_USE = 3  # another server lives in the data directory
    NO_PORT = 4  # an address or port cannot be had
    NO_STORAGE = 5  # Azurite cannot be had
    NO_STORE = 6  # the database cannot be used
    NO_BACKUP = 7  # the file is no backup that can be restored


class CannotStart(Exception):
    """What was asked for cannot be done; the message tells a person why."""

    def __init__(self, code: Exit, reason: str) -> None:
        super().__init__(reason)
        self.code = code
