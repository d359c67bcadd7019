"""What a node host knows of its nodes and runs, for the parts of its mind to share.

Pure. `admission` decides when a run begins, `runs` leads it to its end, `nodes`, `starts` and
`chores` ask for ends; each changes only what its docstrings say.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

import msgspec

from penstock.agent.events import Action, Run, RunKey, Send
from penstock.agent.ledger import Ledger
from penstock.domain.records import Failure
from penstock.domain.usage import Usage
from penstock.messages import (
    MakeNode,
    NumberedReport,
    RunTask,
    StartTaskBegan,
    StartTaskEnded,
    TaskEnded,
)


class Stage(Enum):
    PREPARING = auto()
    HELD = auto()
    RUNNING = auto()
    UPLOADING = auto()


class Cause(Enum):
    """Why we end a run that did not end by itself."""

    KILLED = auto()  # the server said so
    WALL_CLOCK = auto()
    OVERRUN = auto()
    DROPPED = auto()  # its node goes or boots, or a newer attempt takes its place


class Active:
    """A run that is not over."""

    __slots__ = (
        "cause",
        "coordinated_us",
        "deadline_us",
        "exit_code",
        "failure",
        "holds",
        "missed",
        "run",
        "silent",
        "stage",
        "start_us",
        "usage",
        "wake_us",
    )

    def __init__(self, run: Run, start_us: int) -> None:
        self.run = run
        self.stage = Stage.RUNNING
        self.start_us = start_us
        self.deadline_us: int | None = None  # of the wall clock
        self.wake_us: int | None = None  # the only entry of the heap that counts
        self.cause: Cause | None = None
        self.missed: Cause | None = None  # came too late for the process, not for what it left
        self.coordinated_us: int | None = None  # since when it lingers
        self.exit_code: int | None = None
        self.failure: Failure | None = None
        self.usage: Usage | None = None
        self.holds = 0
        self.silent = False  # the server does not want to hear of it


class Node:
    """A node of this host. It is up while it has an address."""

    def __init__(self, order: MakeNode) -> None:
        self.order = order
        self.address: str | None = None
        self.made = False  # its directories are there, of whatever boot
        self.building: MakeNode | None = None  # for this its directories are being made
        self.next: MakeNode | None = None  # a later boot, once all that runs is over
        self.active: set[RunKey] = set()
        self.slots_used = 0  # by what is active
        self.ahead: deque[RunKey] = deque()  # sent ahead; those that still wait are `waiting`
        self.hushed: set[RunKey] = set()  # active, and the server does not count them
        self.crowded: deque[RunKey] = deque()  # have no room for as long as those; like `ahead`
        self.ready = False
        self.dropping = False
        self.silent = False  # nobody asked for the drop: no `NodeGone`
        self.remake: MakeNode | None = None  # to be made once the drop is through
        self.drop_boot = 0  # the boot that it was asked to leave in
        self.began: StartTaskBegan | None = None
        self.ended: StartTaskEnded | None = None

    def target(self) -> MakeNode:
        """What the node is or is about to be."""
        return self.next or self.building or self.order

    def is_fit(self) -> bool:
        """Whether it may take tasks as far as its start task goes."""
        start = self.order.start_task
        if start is None or not start.wait_for_success:
            return True
        return self.ended is not None and self.ended.failure is None


class State:
    """All nodes and runs of one host, and what was said of them."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.nodes: dict[int, Node] = {}
        self.active: dict[RunKey, Active] = {}
        self.current: dict[int, RunKey] = {}  # task number to the attempt at work
        self.waiting: dict[int, Run] = {}  # task number to the attempt that is next

    def newest(self, task_no: int) -> int:
        """The newest attempt of a task that this host has heard of, or 0."""
        newest = self.ledger.newest(task_no)
        current = self.current.get(task_no)
        waiting = self.waiting.get(task_no)
        if current is not None:
            newest = max(newest, current.attempt)
        return newest if waiting is None else max(newest, waiting.key.attempt)

    def send(self, report: NumberedReport) -> Action:
        self.ledger.keep(report)
        return Send(report)

    def again(self, ending: TaskEnded) -> Action:
        """Answer once more, with a new number: the server may have confirmed the old one."""
        return self.send(msgspec.structs.replace(ending, report=self.ledger.number()))

    def unbegun(self, key: RunKey, now_us: int) -> TaskEnded:
        """The end of an attempt that never began, or of which nothing else is known."""
        return TaskEnded(
            report=self.ledger.number(),
            task_no=key.number,
            attempt=key.attempt,
            start_us=now_us,
            end_us=now_us,
        )

    def lost(self, key: RunKey, now_us: int) -> Action:
        return self.send(msgspec.structs.replace(self.unbegun(key, now_us), lost=True))


def slots_of(run: Run) -> int:
    """The slots that a run takes; a start task takes none."""
    return run.order.slots if isinstance(run.order, RunTask) else 0


def is_ahead(run: Run) -> bool:
    return isinstance(run.order, RunTask) and run.order.ahead
