"""What a node host has said and the server has not confirmed, and what outlives the process.

Pure. `journal` writes these values to disk and reads them back; `core` starts from them.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from penstock.agent.events import RunKey
from penstock.messages import ChoreDone, MakeNode, NumberedReport, StartTaskEnded, TaskEnded

_KEPT_ENDINGS: Final = 4096  # confirmed ones, kept to answer an instruction that was late
_KEPT_CHORES: Final = 4096  # likewise


class BegunRun(msgspec.Struct, frozen=True, array_like=True):
    """A run whose process was started, or is about to be while `pid` is 0.

    `ticks` is the kernel's clock just after the start.
    """

    number: int
    attempt: int
    node_no: int
    pid: int
    ticks: int
    start_us: int

    @property
    def key(self) -> RunKey:
        return RunKey(self.number, self.attempt)


class SavedNode(msgspec.Struct, frozen=True):
    """A node with directories. `start_ended` is set once its start task is over."""

    order: MakeNode
    address: str
    start_ended: StartTaskEnded | None = None


class Saved(msgspec.Struct):
    """All that one life of a host leaves to the next."""

    server: str | None = None
    nodes: dict[int, SavedNode] = {}
    begun: dict[RunKey, BegunRun] = {}
    reports: dict[int, NumberedReport] = {}  # unconfirmed
    highest: int = 0  # report number ever used
    addresses: int = 0  # node addresses ever given


class Ledger:
    """Numbers reports, keeps the unconfirmed, knows how attempts ended."""

    def __init__(self, saved: Saved) -> None:
        self._highest = saved.highest
        self.unconfirmed: dict[int, NumberedReport] = {}
        self._ended: dict[RunKey, TaskEnded] = {}
        self._newest: dict[int, int] = {}
        self._settled: deque[RunKey] = deque()
        self._done: dict[int, int] = {}  # chores, and the last report that each is done
        for number in sorted(saved.reports):
            self.keep(saved.reports[number])

    def number(self) -> int:
        """Give the number of the next report."""
        self._highest += 1
        return self._highest

    def keep(self, report: NumberedReport) -> None:
        self.unconfirmed[report.report] = report
        if isinstance(report, TaskEnded):
            self._ended[RunKey(report.task_no, report.attempt)] = report
            if report.attempt > self._newest.get(report.task_no, 0):
                self._newest[report.task_no] = report.attempt
        elif isinstance(report, ChoreDone):
            self._done.pop(report.chore, None)
            self._done[report.chore] = report.report

    def settle(self, ending: TaskEnded) -> None:
        """Know how an attempt ended that nobody is told of, in case it is asked for."""
        key = RunKey(ending.task_no, ending.attempt)
        self._ended[key] = ending
        if ending.attempt > self._newest.get(ending.task_no, 0):
            self._newest[ending.task_no] = ending.attempt
        self._settled.append(key)
        self._forget_oldest()

    def is_done(self, chore: int) -> bool:
        """Whether the server was told that a chore is done, as far as that is still known."""
        return chore in self._done

    def confirm(self, number: int) -> None:
        """Drop the reports up to `number`; what they said of attempts and chores stays known."""
        done: list[int] = []
        for held in self.unconfirmed:  # in the order of their numbers
            if held > number:
                break
            done.append(held)
        for held in done:
            report = self.unconfirmed.pop(held)
            if isinstance(report, TaskEnded):
                self._settled.append(RunKey(report.task_no, report.attempt))
        self._forget_oldest()
        while len(self._done) > _KEPT_CHORES:
            chore, told = next(iter(self._done.items()))
            if told in self.unconfirmed:
                break
            del self._done[chore]

    def clear(self) -> None:
        """Forget everything but which numbers were used."""
        self.unconfirmed.clear()
        self._ended.clear()
        self._newest.clear()
        self._settled.clear()
        self._done.clear()

    def ending(self, key: RunKey) -> TaskEnded | None:
        """Tell how an attempt ended, if that is still known."""
        return self._ended.get(key)

    def newest(self, task_no: int) -> int:
        """The newest attempt of the task that is known to have ended, or 0."""
        return self._newest.get(task_no, 0)

    def unconfirmed_attempts(self) -> list[RunKey]:
        return [
            RunKey(report.task_no, report.attempt)
            for report in self.unconfirmed.values()
            if isinstance(report, TaskEnded)
        ]

    def _forget_oldest(self) -> None:
        while len(self._settled) > _KEPT_ENDINGS:
            self._forget(self._settled.popleft())

    def _forget(self, key: RunKey) -> None:
        held = self._ended.get(key)
        if held is None or held.report in self.unconfirmed:
            return
        del self._ended[key]
        if self._newest.get(key.number) == key.attempt:
            del self._newest[key.number]
