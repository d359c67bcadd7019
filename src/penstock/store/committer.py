"""Where the COMMIT runs: in a thread of its own, as long as it takes time.

Where the file system makes a sync in microseconds, handing it to a thread and back costs several
times the commit itself; so after many quick ones in a row it is called at once. The first that is
not quick ends that.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Final

QUICK_S: Final = 0.000_2
"""What holds up the loop no more than the rows that were written before it."""

SLOW_S: Final = 0.001
QUICK_IN_A_ROW: Final = 50

_Job = tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]


class Committer:
    """Calls `commit`, one call at a time."""

    def __init__(self, commit: Callable[[], None]) -> None:
        self._commit = commit
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._quick = 0  # how many in a row were
        self._thread = threading.Thread(target=self._work, name="commit", daemon=True)
        self._thread.start()

    @property
    def is_direct(self) -> bool:
        """Whether the next call is made on the loop's thread."""
        return self._quick >= QUICK_IN_A_ROW

    async def __call__(self) -> None:
        """Commit; raises what that raised. Goes on to its end when nobody waits any more."""
        if self.is_direct:
            self._timed(SLOW_S)
            return
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._jobs.put((loop, done))
        await done

    def _timed(self, limit_s: float) -> None:
        began = time.perf_counter()
        self._commit()
        self._quick = self._quick + 1 if time.perf_counter() - began < limit_s else 0

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, done = job
            failure: BaseException | None = None
            try:
                self._timed(QUICK_S)
            except BaseException as error:
                failure = error
            with suppress(RuntimeError):  # the loop is closed: nobody is there to be told
                loop.call_soon_threadsafe(_settle, done, failure)

    def close(self) -> None:
        """End the thread, after the call that it may be in."""
        self._jobs.put(None)
        self._thread.join()


def _settle(done: asyncio.Future[None], failure: BaseException | None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)
