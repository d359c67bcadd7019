"""Questions about the files of nodes, and the answers on their way to who asked.

The question goes over the link; the answer comes as a request of the node host, whose body is
handed on piece by piece. A slow reader slows that request down and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from penstock.domain.refusals import NodeStateUnusable, ServerBusy
from penstock.engine.service import FileAnswer
from penstock.messages import AskFile, FileInfo

PIECES_AHEAD: Final = 4


class Answer(FileAnswer):
    """One answer, filled by the node host's request and emptied by the client's."""

    def __init__(self) -> None:
        self.status = ""
        self.info: FileInfo | None = None
        self.begun = asyncio.Event()
        self.closed = asyncio.Event()
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(PIECES_AHEAD)
        self._whole = False

    async def body(self) -> AsyncIterator[bytes]:
        """See `FileAnswer.body`."""
        while (piece := await self._pieces.get()) is not None:
            yield piece
        if not self._whole:
            raise ConnectionError("the node went away in the middle of the file")

    async def close(self) -> None:
        """See `FileAnswer.close`."""
        self.closed.set()

    async def put(self, piece: bytes | None) -> bool:
        """Hand a piece on, None at the end; False when nobody reads on."""
        if self.closed.is_set():
            return False
        putting = asyncio.ensure_future(self._pieces.put(piece))
        closing = asyncio.ensure_future(self.closed.wait())
        done, late = await asyncio.wait({putting, closing}, return_when=asyncio.FIRST_COMPLETED)
        for task in late:
            task.cancel()
        return putting in done

    async def end(self, *, whole: bool) -> None:
        """The node host's request is over; `whole` says that it was not cut off."""
        self._whole = whole
        await self.put(None)


class FileBroker:
    """Questions that wait for an answer."""

    def __init__(self, most: int, wait_s: float) -> None:
        self._most = most
        self._wait_s = wait_s
        self._asked: dict[str, Answer] = {}

    def expect(self, question: AskFile) -> Answer:
        """Note a question that is about to be sent. Raises ServerBusy when too many wait."""
        if len(self._asked) >= self._most:
            raise ServerBusy
        answer = self._asked[question.request] = Answer()
        return answer

    async def answer(self, question: AskFile, answer: Answer) -> Answer:
        """Wait until the answer begins. Raises NodeStateUnusable when it does not in time."""
        try:
            await asyncio.wait_for(answer.begun.wait(), self._wait_s)
        except TimeoutError:
            answer.closed.set()
            raise NodeStateUnusable(Reason="the node did not answer in time") from None
        finally:
            self._asked.pop(question.request, None)
        return answer

    def begin(self, request: str, status: str, info: FileInfo | None) -> Answer | None:
        """An answer comes in: who waits for it, or None when nobody does (any more)."""
        answer = self._asked.pop(request, None)
        if answer is not None:
            answer.status, answer.info = status, info
            answer.begun.set()
        return answer
