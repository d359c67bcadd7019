"""The memory that request bodies may take together, while they are read and decided."""

from __future__ import annotations

from penstock.domain.refusals import ServerBusy


class Room:
    """So many bytes; a request that would take more is refused, and its client comes again."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._used_bytes = 0

    @property
    def used_bytes(self) -> int:
        """What is taken now."""
        return self._used_bytes

    def take(self, size_bytes: int) -> None:
        """Take room. Raises ServerBusy when there is not so much left."""
        if self._used_bytes + size_bytes > self._most_bytes:
            raise ServerBusy(Reason="too many request bodies at once")
        self._used_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Let others have it."""
        self._used_bytes -= size_bytes
