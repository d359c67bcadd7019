"""The refusal that is no client's fault: what the service has stored can not be read back."""

from __future__ import annotations

from penstock.domain.refusals import ServerBusy


class Unreadable(ServerBusy):
    """A row or a page makes no sense. `cause` is for the log, and not for the client."""

    def __init__(self, cause: str, *, damaged: bool) -> None:
        super().__init__(Reason="the server cannot read its database")
        self.cause = cause
        self.damaged = damaged  # to ask again is in vain, and to write might make it worse
