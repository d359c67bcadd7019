"""Where commits run, and who hears how they ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from penstock.store import committer as module
from penstock.store.committer import QUICK_IN_A_ROW, Committer


class Clock:
    """Each commit takes as long as it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.takes_s = 0.0
        self.threads: list[str] = []

    def perf_counter(self) -> float:
        return self.now_s

    def commit(self) -> None:
        self.threads.append(threading.current_thread().name)
        self.now_s += self.takes_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def used(commit: Callable[[], None], story: Callable[[Committer], object]) -> None:
    async def run() -> None:
        committer = Committer(commit)
        try:
            await story(committer)  # type: ignore[misc]
        finally:
            committer.close()

    asyncio.run(run())


def test_slow_commits_stay_in_their_thread(clock: Clock) -> None:
    async def story(committer: Committer) -> None:
        clock.takes_s = 0.0005
        for _ in range(3 * QUICK_IN_A_ROW):
            await committer()

    used(clock.commit, story)
    assert set(clock.threads) == {"commit"}


def test_quick_ones_are_called_at_once_until_one_is_slow(clock: Clock) -> None:
    async def story(committer: Committer) -> None:
        clock.takes_s = 0.0001
        for _ in range(QUICK_IN_A_ROW):
            await committer()
        clock.threads.clear()
        await committer()
        clock.takes_s = 0.002
        await committer()
        assert clock.threads == ["MainThread", "MainThread"]
        await committer()
        assert clock.threads[2] == "commit"

    used(clock.commit, story)


@pytest.mark.parametrize("direct", [False, True])
def test_a_failure_is_raised_where_the_call_was_made(direct: bool) -> None:
    calls = 0

    def commit() -> None:
        nonlocal calls
        calls += 1
        if calls > (QUICK_IN_A_ROW if direct else 1):
            raise ZeroDivisionError

    async def story(committer: Committer) -> None:
        committer._quick = QUICK_IN_A_ROW - 1 if direct else 0
        nonlocal calls
        calls = QUICK_IN_A_ROW if direct else 1
        with pytest.raises(ZeroDivisionError):
            await committer()

    used(commit, story)


def test_a_commit_that_nobody_waits_for_goes_on_to_its_end() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def commit() -> None:
        begun.set()
        go_on.wait(10)
        ended.set()

    async def story(committer: Committer) -> None:
        waiting = asyncio.ensure_future(committer())
        await asyncio.to_thread(begun.wait, 10)
        waiting.cancel()
        await asyncio.wait({waiting})
        go_on.set()

    used(commit, story)
    assert ended.is_set(), "closing waits for it"
