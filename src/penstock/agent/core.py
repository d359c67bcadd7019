"""The node host's mind: events in, actions out.

Pure: no clock, no chance, no I/O; the time comes in with each event. A run goes through
*preparing* (its files), *held* (the machine had no room, or a retry waits), *running*,
*uploading*, and is over. Two promises stand above all: of a task at most one attempt is at
work at any time, and each attempt that the server asked for is answered with its ending.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum, auto
from heapq import heapify, heappop, heappush
from typing import Any, Final

import msgspec

from penstock.agent import failures
from penstock.agent.events import (
    Action,
    ClearNode,
    Coordinated,
    Event,
    Exited,
    Forget,
    Forgive,
    Kill,
    MakeDirectories,
    NewServer,
    NodeCleared,
    NodeFailed,
    NodeMade,
    Overrun,
    Prepare,
    Prepared,
    PrepareFailed,
    Reboot,
    RemoveTree,
    Run,
    RunKey,
    Send,
    SendAgain,
    Spawn,
    SpawnBusy,
    SpawnFailed,
    StopTransfer,
    Terminate,
    Tick,
    TooLate,
    TreeRemoved,
    Upload,
    Uploaded,
)
from penstock.agent.layout import job_directory, run_directory, task_directory
from penstock.agent.ledger import Ledger, Saved
from penstock.agent.patterns import wanted_after
from penstock.domain.records import Failure
from penstock.messages import (
    ChoreDone,
    Confirm,
    DropNode,
    KillTask,
    MakeNode,
    NodeBroken,
    NodeGone,
    NodeHosted,
    NodeReady,
    NumberedReport,
    RemoveJob,
    RemoveTask,
    ReturnTask,
    RunTask,
    StartTaskBegan,
    StartTaskEnded,
    StartTaskOrder,
    TaskBegan,
    TaskCoordinated,
    TaskEnded,
    Welcome,
)

_FIRST_HOLD_US: Final = 50_000
_LONGEST_HOLD_US: Final = 2_000_000
_LONGEST_RETRY_US: Final = 10_000_000


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
    DROPPED = auto()  # its node goes, or a newer attempt takes its place


class _Active:
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
        "wake_us",
    )

    def __init__(self, run: Run, start_us: int, deadline_us: int | None) -> None:
        self.run = run
        self.stage = Stage.RUNNING
        self.start_us = start_us
        self.deadline_us = deadline_us  # of the wall clock
        self.wake_us: int | None = None  # the only entry of the heap that counts
        self.cause: Cause | None = None
        self.missed: Cause | None = None  # came too late for the process, not for what it left
        self.coordinated_us: int | None = None  # since when it lingers
        self.exit_code: int | None = None
        self.failure: Failure | None = None
        self.holds = 0
        self.silent = False  # the server does not want to hear of it


class _Node:
    """A node of this host. It is up while it has an address."""

    def __init__(self, order: MakeNode) -> None:
        self.order = order
        self.address: str | None = None
        self.made = False  # its directories are there, of whatever boot
        self.building: MakeNode | None = None  # for this its directories are being made
        self.next: MakeNode | None = None  # a later boot, once all that runs is over
        self.active: set[RunKey] = set()
        self.slots_used = 0  # by what is active
        self.ahead: deque[RunKey] = deque()  # sent ahead; those that still wait are `_waiting`
        self.hushed: set[RunKey] = set()  # active, and the server does not count them
        self.crowded: deque[RunKey] = deque()  # have no room for as long as those; like `ahead`
        self.ready = False
        self.dropping = False
        self.silent = False  # nobody asked for the drop: no `NodeGone`
        self.remake: MakeNode | None = None  # to be made once the drop is through
        self.began: StartTaskBegan | None = None
        self.ended: StartTaskEnded | None = None

    def target(self) -> MakeNode:
        """What the node is or is about to be."""
        return self.next or self.building or self.order


class _Chore:
    """A directory that goes when these runs are over."""

    def __init__(self, action: RemoveTree, waits_for: set[RunKey]) -> None:
        self.action = action
        self.waits_for = waits_for


class AgentCore:
    """All nodes, runs and chores of one host."""

    def __init__(self, saved: Saved, *, grace_us: int) -> None:
        self._grace_us = grace_us
        self._server = saved.server
        self._ledger = Ledger(saved)
        self._nodes: dict[int, _Node] = {}
        self._active: dict[RunKey, _Active] = {}
        self._current: dict[int, RunKey] = {}  # task number to the attempt at work
        self._waiting: dict[int, Run] = {}  # task number to the attempt that is next
        self._chores: dict[int, _Chore] = {}
        self._heap: list[tuple[int, RunKey]] = []
        self._saved = saved
        self._handlers: dict[type, Callable[[Any, int], list[Action]]] = {
            RunTask: self._run_task,
            Exited: self._exited,
            Coordinated: self._coordinated,
            Confirm: self._confirm,
            KillTask: self._kill_task,
            ReturnTask: self._return_task,
            Prepared: self._prepared,
            PrepareFailed: self._prepare_failed,
            SpawnFailed: self._spawn_failed,
            SpawnBusy: self._spawn_busy,
            TooLate: self._too_late,
            Overrun: self._overrun,
            Uploaded: self._uploaded,
            Tick: self._tick,
            RemoveTask: self._remove_task,
            RemoveJob: self._remove_job,
            TreeRemoved: self._tree_removed,
            MakeNode: self._make_node,
            NodeMade: self._node_made,
            NodeFailed: self._node_failed,
            DropNode: self._drop_node,
            NodeCleared: self._node_cleared,
            Welcome: self._welcome,
        }

    # --- what the outside asks ---------------------------------------------------------------

    def restore(self, now_us: int) -> list[Action]:
        """Begin where the last life of this host ended. Its processes are dead by now."""
        actions: list[Action] = []
        for saved in self._saved.nodes.values():
            node = self._nodes[saved.order.node_no] = _Node(saved.order)
            node.address, node.ended, node.made = saved.address, saved.start_ended, True
            node.ready = _fit(node)
            if node.order.start_task is not None and node.ended is None:
                actions += self._begin_start(node, 0, None, now_us)
        for begun in self._saved.begun.values():
            if begun.number < 0:
                actions.insert(0, Forget(begun.key))
            else:
                lost = TaskEnded(
                    report=self._ledger.number(),
                    task_no=begun.number,
                    attempt=begun.attempt,
                    start_us=begun.start_us,
                    end_us=now_us,
                    lost=True,
                )
                actions.append(self._send(lost))
        self._saved = Saved()
        return actions

    def handle(self, event: Event, now_us: int) -> list[Action]:
        """Take in what happened and say what to do."""
        return self._handlers[type(event)](event, now_us)

    def due_us(self) -> int | None:
        """When to send the next `Tick`."""
        while self._heap:
            at_us, key = self._heap[0]
            active = self._active.get(key)
            if active is not None and active.wake_us == at_us:
                return at_us
            heappop(self._heap)
        return None

    def shift(self, by_us: int) -> None:
        """The clock was set: move all instants, so that every span keeps its length."""
        for active in self._active.values():
            active.start_us += by_us
            if active.deadline_us is not None:
                active.deadline_us += by_us
            if active.wake_us is not None:
                active.wake_us += by_us
            if active.coordinated_us is not None:
                active.coordinated_us += by_us
        self._rebuild_heap()

    def attempts(self) -> tuple[tuple[int, int], ...]:
        """The attempts that are not over."""
        known = [key for key, run in self._active.items() if key.number > 0 and not run.silent]
        return (*known, *(run.key for run in self._waiting.values()))

    def known_attempts(self) -> tuple[tuple[int, int], ...]:
        """The attempts that the server does not know to be over."""
        return (*self.attempts(), *self._ledger.unconfirmed_attempts())

    def nodes(self) -> tuple[int, ...]:
        return tuple(no for no, node in self._nodes.items() if not node.dropping)

    def node(self, node_no: int) -> MakeNode | None:
        """The node, when its directories are there."""
        node = self._nodes.get(node_no)
        return None if node is None or node.address is None else node.order

    # --- tasks ---------------------------------------------------------------------------------

    def _run_task(self, order: RunTask, now_us: int) -> list[Action]:
        key = RunKey(order.task_no, order.attempt)
        ending = self._ledger.ending(key)
        if ending is not None:
            return [self._again(ending)]
        active = self._active.get(key)
        if active is not None:
            actions = self._hear(active, now_us)
            if active.coordinated_us is not None:
                actions.append(self._send_coordinated(active))
            return actions
        waiting = self._waiting.get(key.number)
        if waiting is not None and waiting.key == key:
            return []
        node = self._nodes.get(order.node_no)
        if node is None or node.address is None or key.attempt < self._newest(key.number):
            return [self._lost(key, now_us)]
        return self._admit(Run(key, node.order, order), now_us)

    def _newest(self, task_no: int) -> int:
        """The newest attempt of a task that this host has heard of, or 0."""
        newest = self._ledger.newest(task_no)
        current = self._current.get(task_no)
        waiting = self._waiting.get(task_no)
        if current is not None:
            newest = max(newest, current.attempt)
        return newest if waiting is None else max(newest, waiting.key.attempt)

    def _admit(self, run: Run, now_us: int) -> list[Action]:
        """Begin the run, or let it wait until an older attempt has left the stage."""
        actions: list[Action] = []
        passed = self._waiting.pop(run.key.number, None)
        if passed is not None:
            actions.append(self._lost(passed.key, now_us))
        current = self._current.get(run.key.number)
        if current is None:
            return actions + self._begin_or_queue(run, now_us)
        self._waiting[run.key.number] = run
        return actions + self._end(self._active[current], Cause.DROPPED, now_us)

    def _begin_or_queue(self, run: Run, now_us: int) -> list[Action]:
        """Begin a run; one that was sent ahead waits for its slots.

        So does any other, but only beside runs of which the server knows nothing any more.
        """
        node = self._nodes[run.node.node_no]
        if _is_ahead(run):
            self._waiting[run.key.number] = run
            node.ahead.append(run.key)
            return self._begin_ahead(node, now_us)
        if node.hushed and self._is_crowded(node, run):
            self._waiting[run.key.number] = run
            node.crowded.append(run.key)
            return []
        return self._begin(run, now_us)

    def _is_crowded(self, node: _Node, run: Run) -> bool:
        """Whether a run has no room beside the hushed ones: no slots, or not its directory.

        One that joins another has its slots and directory from that.
        """
        order = run.order
        assert isinstance(order, RunTask)
        if order.joins:
            return False
        if order.slots and node.slots_used + order.slots > node.order.slots:
            return True
        path = task_directory(order.job_id, order.task_id)
        others = (self._active[key].run.order for key in node.hushed)
        return any(
            isinstance(other, RunTask) and task_directory(other.job_id, other.task_id) == path
            for other in others
        )

    def _begin_crowded(self, node: _Node, now_us: int) -> list[Action]:
        """Begin what had no room, as far as there is some now."""
        actions: list[Action] = []
        for _ in range(len(node.crowded)):
            key = node.crowded.popleft()
            run = self._waiting.get(key.number)
            if run is None or run.key != key:
                continue
            if node.hushed and self._is_crowded(node, run):
                node.crowded.append(key)
                continue
            del self._waiting[key.number]
            actions += self._begin(run, now_us)
        return actions

    def _hush(self, active: _Active) -> None:
        """The server wants to hear nothing of this run."""
        active.silent = True
        self._nodes[active.run.node.node_no].hushed.add(active.run.key)

    def _hear(self, active: _Active, now_us: int) -> list[Action]:
        """The server does want to hear of it, and counts it."""
        if not active.silent:
            return []
        active.silent = False
        node = self._nodes[active.run.node.node_no]
        node.hushed.discard(active.run.key)
        return self._begin_crowded(node, now_us)

    def _begin_ahead(self, node: _Node, now_us: int) -> list[Action]:
        """Begin what was sent ahead, in the order it came, as far as slots are free."""
        actions: list[Action] = self._begin_crowded(node, now_us) if node.crowded else []
        while node.ahead and not node.crowded and node.address is not None:
            run = self._waiting.get(node.ahead[0].number)
            if run is None or run.key != node.ahead[0]:
                node.ahead.popleft()
                continue
            if node.slots_used + _slots(run) > node.order.slots:
                break
            if node.hushed and self._is_crowded(node, run):
                break
            node.ahead.popleft()
            del self._waiting[run.key.number]
            actions += self._begin(run, now_us)
        return actions

    def _begin(self, run: Run, now_us: int) -> list[Action]:
        order = run.order
        limit_us = order.wall_clock_us if isinstance(order, RunTask) else None
        active = _Active(run, now_us, None if limit_us is None else now_us + limit_us)
        self._active[run.key] = active
        self._current[run.key.number] = run.key
        node = self._nodes[run.node.node_no]
        node.active.add(run.key)
        node.slots_used += _slots(run)
        if active.deadline_us is not None:
            self._wake(active, active.deadline_us)
        actions: list[Action] = [self._send(self._began(active))] if _is_ahead(run) else []
        if _has_files(order):
            active.stage = Stage.PREPARING
            return [*actions, Prepare(run)]
        return [*actions, Spawn(run, fresh=run.key.number > 0, start_us=now_us)]

    def _began(self, active: _Active) -> TaskBegan:
        key = active.run.key
        return TaskBegan(
            report=self._ledger.number(),
            task_no=key.number,
            attempt=key.attempt,
            start_us=active.start_us,
        )

    def _prepared(self, event: Prepared, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.PREPARING:
            return []
        if active.cause is not None:
            return self._over(active, now_us)
        return self._spawn(active)

    def _spawn(self, active: _Active) -> list[Action]:
        fresh = active.run.key.number > 0 and not _has_files(active.run.order)
        active.stage = Stage.RUNNING
        return [Spawn(active.run, fresh=fresh, start_us=active.start_us)]

    def _prepare_failed(self, event: PrepareFailed, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.PREPARING:
            return []
        return self._failed(active, event.failure, now_us)

    def _spawn_failed(self, event: SpawnFailed, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.RUNNING:
            return []
        return self._failed(active, event.failure, now_us)

    def _failed(self, active: _Active, failure: Failure, now_us: int) -> list[Action]:
        if active.cause is None:
            active.failure = failure
        return self._over(active, now_us)

    def _spawn_busy(self, event: SpawnBusy, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.RUNNING:
            return []
        if active.cause is not None:
            return self._over(active, now_us)
        active.stage = Stage.HELD
        pause_us = min(_FIRST_HOLD_US << min(active.holds, 16), _LONGEST_HOLD_US)
        active.holds += 1
        at_us = now_us + pause_us
        self._wake(active, at_us if active.deadline_us is None else min(at_us, active.deadline_us))
        return []

    def _exited(self, event: Exited, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.RUNNING:
            return []
        active.exit_code = event.exit_code
        order = active.run.order
        failed = event.exit_code != 0 or active.cause is not None
        if (
            isinstance(order, RunTask)
            and order.output_files
            and active.cause not in (Cause.KILLED, Cause.DROPPED)
            and wanted_after(order.output_files, failed=failed)
        ):
            active.stage = Stage.UPLOADING
            active.wake_us = None
            return [Upload(active.run, failed)]
        return self._over(active, now_us)

    def _coordinated(self, event: Coordinated, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.RUNNING:
            return []
        active.exit_code = 0
        active.coordinated_us = now_us
        actions = [] if active.silent else [self._send_coordinated(active)]
        if active.missed is None:
            return actions
        return actions + self._end(active, active.missed, now_us)

    def _send_coordinated(self, active: _Active) -> Action:
        assert active.coordinated_us is not None
        told = TaskCoordinated(
            report=self._ledger.number(),
            task_no=active.run.key.number,
            attempt=active.run.key.attempt,
            at_us=active.coordinated_us,
        )
        return self._send(told)

    def _uploaded(self, event: Uploaded, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.UPLOADING:
            return []
        if active.cause is None:
            active.failure = event.failure
        return self._over(active, now_us)

    # --- ending runs ---------------------------------------------------------------------------

    def _kill_task(self, order: KillTask, now_us: int) -> list[Action]:
        key = RunKey(order.task_no, order.attempt)
        active = self._active.get(key)
        if active is not None:
            return self._hear(active, now_us) + self._end(active, Cause.KILLED, now_us)
        ending = self._ledger.ending(key)
        if ending is not None:
            return [self._again(ending)]
        waiting = self._waiting.get(key.number)
        if waiting is not None and waiting.key == key:
            del self._waiting[key.number]
        return [self._never_began(key, now_us)]

    def _return_task(self, order: ReturnTask, now_us: int) -> list[Action]:
        key = RunKey(order.task_no, order.attempt)
        ending = self._ledger.ending(key)
        if ending is not None:
            return [self._again(ending)]
        active = self._active.get(key)
        if active is not None:
            return self._hear(active, now_us)
        waiting = self._waiting.get(key.number)
        if waiting is not None and waiting.key == key:
            del self._waiting[key.number]
        elif key.attempt < self._newest(key.number):
            return [self._lost(key, now_us)]  # it may have begun before what we know of
        return [self._send(msgspec.structs.replace(self._unbegun(key, now_us), returned=True))]

    def _unbegun(self, key: RunKey, now_us: int) -> TaskEnded:
        return TaskEnded(
            report=self._ledger.number(),
            task_no=key.number,
            attempt=key.attempt,
            start_us=now_us,
            end_us=now_us,
        )

    def _never_began(self, key: RunKey, now_us: int) -> Action:
        never = msgspec.structs.replace(
            self._unbegun(key, now_us), failure=failures.ended_by_user(), killed=True
        )
        return self._send(never)

    def _lost(self, key: RunKey, now_us: int) -> Action:
        return self._send(msgspec.structs.replace(self._unbegun(key, now_us), lost=True))

    def _overrun(self, event: Overrun, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.RUNNING or active.cause is not None:
            return []
        active.failure = event.failure
        return self._end(active, Cause.OVERRUN, now_us, force=True)

    def _end(
        self, active: _Active, cause: Cause, now_us: int, *, force: bool = False
    ) -> list[Action]:
        """Bring a run to its end; the first cause is the one that is reported."""
        key = active.run.key
        if active.cause is not None:
            return [Kill(key)] if force and active.stage is Stage.RUNNING else []
        active.cause = cause
        if active.stage is Stage.HELD:
            return self._over(active, now_us)
        if active.stage is not Stage.RUNNING:
            active.wake_us = None
            return [StopTransfer(key)]
        self._wake(active, now_us + self._grace_us)
        return [Kill(key) if force else Terminate(key)]

    def _too_late(self, event: TooLate, now_us: int) -> list[Action]:  # noqa: ARG002
        """It ended by itself before our signal, so its own end is what we report.

        But what a run leaves that lingers is to end all the same.
        """
        active = self._active.get(event.key)
        if active is None:
            return []
        if _lingers(active.run):
            active.missed = active.cause
        if active.cause in (Cause.KILLED, Cause.WALL_CLOCK) or active.missed is not None:
            active.cause = None
            active.deadline_us = None
        return []

    def _tick(self, event: Tick, now_us: int) -> list[Action]:  # noqa: ARG002
        actions: list[Action] = []
        while (due := self.due_us()) is not None and due <= now_us:
            _, key = heappop(self._heap)
            active = self._active[key]
            active.wake_us = None
            actions += self._woken(active, now_us)
        return actions

    def _woken(self, active: _Active, now_us: int) -> list[Action]:
        if active.cause is not None:
            if active.stage is not Stage.RUNNING:
                return []
            self._wake(active, now_us + self._grace_us)
            return [Kill(active.run.key)]
        if active.deadline_us is not None and now_us >= active.deadline_us:
            return self._end(active, Cause.WALL_CLOCK, now_us)
        if active.stage is not Stage.HELD:
            return []
        if active.deadline_us is not None:
            self._wake(active, active.deadline_us)
        if active.run.key.number < 0 and active.holds == 0:
            return self._begin_start_run(active, now_us)
        return self._spawn(active)

    def _wake(self, active: _Active, at_us: int) -> None:
        active.wake_us = at_us
        heappush(self._heap, (at_us, active.run.key))
        if len(self._heap) > 64 + 4 * len(self._active):
            self._rebuild_heap()

    def _rebuild_heap(self) -> None:
        """Keep only the entries that count; the others would pile up until they are due."""
        self._heap = [
            (run.wake_us, key) for key, run in self._active.items() if run.wake_us is not None
        ]
        heapify(self._heap)

    def _over(self, active: _Active, now_us: int) -> list[Action]:
        """The run is over: report it, then let go on what waited for it."""
        run = active.run
        key = run.key
        node = self._nodes[run.node.node_no]
        del self._active[key]
        del self._current[key.number]
        node.active.discard(key)
        node.slots_used -= _slots(run)
        if key.number < 0:
            actions = self._start_over(node, active, now_us)
        elif active.silent:
            node.hushed.discard(key)
            self._ledger.settle(self._ending(active, now_us, report=0))
            actions = [Forget(key)]
        else:
            actions = [self._send(self._ending(active, now_us, report=self._ledger.number()))]
        if self._chores:
            actions += self._released_chores((key,))
        following = self._waiting.pop(key.number, None)
        if following is not None:
            actions += self._begin_or_queue(following, now_us)
        if node.ahead or node.crowded:
            actions += self._begin_ahead(node, now_us)
        if node.address is None and not node.active:
            actions += self._proceed(node)
        return actions

    def _ending(self, active: _Active, now_us: int, *, report: int) -> TaskEnded:
        key, cause, exit_code = active.run.key, active.cause, active.exit_code
        return TaskEnded(
            report=report,
            task_no=key.number,
            attempt=key.attempt,
            start_us=active.start_us,
            end_us=now_us,
            exit_code=None if cause is Cause.DROPPED else exit_code,
            failure=None if cause is Cause.DROPPED else _why(active),
            killed=cause is Cause.KILLED,
            lost=cause is Cause.DROPPED,
        )

    # --- directories to remove -----------------------------------------------------------------

    def _remove_task(self, order: RemoveTask, now_us: int) -> list[Action]:
        """Of a multi-instance task several runs, each with a number of its own, live there."""
        path = task_directory(order.job_id, order.task_id)
        job, name = order.job_id.lower(), order.task_id.lower()

        def concerned(task: RunTask) -> bool:
            return task.task_no == order.task_no or (
                task.task_id.lower() == name and task.job_id.lower() == job
            )

        return self._remove(order, path, concerned, now_us)

    def _remove_job(self, order: RemoveJob, now_us: int) -> list[Action]:
        job, path = order.job_id.lower(), job_directory(order.job_id)
        return self._remove(order, path, lambda task: task.job_id.lower() == job, now_us)

    def _remove(
        self,
        chore: RemoveTask | RemoveJob,
        path: str,
        concerned: Callable[[RunTask], bool],
        now_us: int,
    ) -> list[Action]:
        """Remove a tree. Numbers tell what it is about: a task with a higher number than the
        chore's was added later under the same name, and is left alone."""
        if chore.chore in self._chores:
            return []
        node = self._nodes.get(chore.node_no)
        if node is None or node.dropping or self._ledger.is_done(chore.chore):
            return [self._chore_done(chore.chore)]

        def is_concerned(run: Run) -> bool:
            order = run.order
            return (
                isinstance(order, RunTask)
                and order.node_no == chore.node_no
                and order.task_no < chore.chore
                and concerned(order)
            )

        actions: list[Action] = []
        for run in [run for run in self._waiting.values() if is_concerned(run)]:
            del self._waiting[run.key.number]
            actions.append(self._never_began(run.key, now_us))
        keys = sorted(key for key in node.active if is_concerned(self._active[key].run))
        remove = RemoveTree(chore.chore, node.order, path)
        self._chores[chore.chore] = _Chore(remove, set(keys))
        for key in keys:
            actions += self._end(self._active[key], Cause.KILLED, now_us, force=True)
        return actions if keys else [*actions, self._remove_tree(remove)]

    def _remove_tree(self, action: RemoveTree) -> Action:
        """Remove what a chore names, unless something newer lives there by now."""
        if any(self._lives_in(action, key) for key in self._nodes[action.node.node_no].active):
            del self._chores[action.chore]
            return self._chore_done(action.chore)
        return action

    def _lives_in(self, action: RemoveTree, key: RunKey) -> bool:
        order = self._active[key].run.order
        if not isinstance(order, RunTask) or order.task_no < action.chore:
            return False
        return f"{run_directory(order)}/".startswith(f"{action.path}/")

    def _chore_done(self, chore: int) -> Action:
        return self._send(ChoreDone(report=self._ledger.number(), chore=chore))

    def _released_chores(self, over: Iterable[RunKey]) -> list[Action]:
        released = []
        for chore in self._chores.values():
            if chore.waits_for:
                chore.waits_for.difference_update(over)
                if not chore.waits_for:
                    released.append(chore.action)
        return [self._remove_tree(action) for action in released]

    def _tree_removed(self, event: TreeRemoved, now_us: int) -> list[Action]:  # noqa: ARG002
        if self._chores.pop(event.chore, None) is None:
            return []
        return [self._chore_done(event.chore)]

    # --- nodes ---------------------------------------------------------------------------------

    def _make_node(self, order: MakeNode, now_us: int) -> list[Action]:
        node = self._nodes.get(order.node_no)
        if node is None:
            node = self._nodes[order.node_no] = _Node(order)
            node.building = order
            return [MakeDirectories(order)]
        if node.dropping:
            known = node.remake or (None if node.silent else node.target())
            if known is None or order.boot >= known.boot:
                node.remake = order
            return []
        boot = node.target().boot
        if order.boot > boot:
            return self._reboot(node, order, now_us)
        if order.boot < boot or node.target() is not node.order:
            return []  # of the past, or under way
        node.order = order
        return [self._send(report) for report in self._node_reports(node)]

    def _reboot(self, node: _Node, order: MakeNode, now_us: int) -> list[Action]:
        """End all that runs, then begin with the directories. What is over by now of the boot
        before has been reported; of the node itself that boot has nothing to say any more."""
        node.next = order
        node.ready, node.began, node.ended = False, None, None
        return self._take_down(node, now_us)

    def _take_down(self, node: _Node, now_us: int) -> list[Action]:
        """Let nothing run on the node, and go on when that is so."""
        node.address = None
        actions: list[Action] = []
        for task_no, run in list(self._waiting.items()):
            if run.node.node_no == node.order.node_no:
                del self._waiting[task_no]
                actions.append(Forget(run.key) if node.silent else self._lost(run.key, now_us))
        if not node.active:
            return actions + self._proceed(node)
        for key in sorted(node.active):
            active = self._active[key]
            if node.silent and key.number > 0:
                self._hush(active)
            actions += self._end(active, Cause.DROPPED, now_us, force=True)
        return actions

    def _proceed(self, node: _Node) -> list[Action]:
        """Nothing runs on the node, which is not up: take the next step of its making or end."""
        if node.building is not None:
            return []
        if node.dropping:
            return [ClearNode(node.order)]
        if node.next is None:
            return []
        node.building, node.next = node.next, None
        return [Reboot(node.building, wipe=node.order.boot < node.building.wiped)]

    def _node_reports(self, node: _Node) -> list[NumberedReport]:
        """All that was reported of the node until now, once more."""
        number, no = self._ledger.number, node.order.node_no
        if node.address is None:
            return []
        reports: list[NumberedReport] = [
            NodeHosted(report=number(), node_no=no, address=node.address, boot=node.order.boot)
        ]
        if node.ended is not None:
            reports.append(msgspec.structs.replace(node.ended, report=number()))
        elif node.began is not None:
            reports.append(msgspec.structs.replace(node.began, report=number()))
        if node.ready:
            reports.append(NodeReady(report=number(), node_no=no, boot=node.order.boot))
        return reports

    def _node_made(self, event: NodeMade, now_us: int) -> list[Action]:
        node = self._built(event)
        if node is None:
            return []
        assert node.building is not None
        node.order, node.building, node.made = node.building, None, True
        if node.dropping or node.next is not None:
            return self._proceed(node)
        node.address = event.address
        hosted = NodeHosted(
            report=self._ledger.number(),
            node_no=event.node_no,
            address=event.address,
            boot=node.order.boot,
        )
        actions: list[Action] = [self._send(hosted)]
        if node.order.start_task is not None:
            actions += self._begin_start(node, 0, None, now_us)
        if _fit(node):
            actions.append(self._node_ready(node))
        return actions

    def _built(self, event: NodeMade | NodeFailed) -> _Node | None:
        """The node whose directories were being made for this boot."""
        node = self._nodes.get(event.node_no)
        if node is None or node.building is None or node.building.boot != event.boot:
            return None
        return node

    def _node_ready(self, node: _Node) -> Action:
        node.ready = True
        order = node.order
        return self._send(
            NodeReady(report=self._ledger.number(), node_no=order.node_no, boot=order.boot)
        )

    def _node_failed(self, event: NodeFailed, now_us: int) -> list[Action]:  # noqa: ARG002
        """A node that had directories stays known by its last good boot, so that whoever asks
        again for the failed one gets another try, and a wipe that is due."""
        node = self._built(event)
        if node is None:
            return []
        node.building = None
        if node.dropping or node.next is not None:
            return self._proceed(node)
        if not node.made:
            del self._nodes[event.node_no]
        broken = NodeBroken(
            report=self._ledger.number(),
            node_no=event.node_no,
            error=event.failure,
            boot=event.boot,
        )
        return [self._send(broken)]

    def _drop_node(self, order: DropNode, now_us: int) -> list[Action]:
        node = self._nodes.get(order.node_no)
        if node is None:
            gone = NodeGone(report=self._ledger.number(), node_no=order.node_no)
            return [self._send(gone)]
        node.silent = False
        node.remake = None
        return [] if node.dropping else self._drop(node, now_us)

    def _drop(self, node: _Node, now_us: int) -> list[Action]:
        node.dropping = True
        return self._take_down(node, now_us)

    def _node_cleared(self, event: NodeCleared, now_us: int) -> list[Action]:
        node = self._nodes.get(event.node_no)
        if node is None or not node.dropping:
            return []
        del self._nodes[event.node_no]
        actions: list[Action] = []
        for chore in [
            chore for chore in self._chores.values() if chore.action.node.node_no == event.node_no
        ]:
            actions += self._tree_removed(TreeRemoved(chore.action.chore), now_us)
        if not node.silent:
            gone = NodeGone(report=self._ledger.number(), node_no=event.node_no)
            actions.append(self._send(gone))
        if node.remake is not None:
            actions += self._make_node(node.remake, now_us)
        return actions

    # --- start tasks -----------------------------------------------------------------------------

    def _begin_start(
        self, node: _Node, retry: int, last_retry_us: int | None, now_us: int
    ) -> list[Action]:
        assert node.order.start_task is not None
        node.began = StartTaskBegan(
            report=self._ledger.number(),
            node_no=node.order.node_no,
            start_us=now_us,
            retry_count=retry,
            last_retry_us=last_retry_us,
            boot=node.order.boot,
        )
        run = Run(RunKey(-node.order.node_no, retry), node.order, node.order.start_task)
        return [self._send(node.began), *self._begin(run, now_us)]

    def _begin_start_run(self, active: _Active, now_us: int) -> list[Action]:
        """A retry whose pause is over."""
        key = active.run.key
        node = self._nodes[active.run.node.node_no]
        del self._active[key]
        del self._current[key.number]
        node.active.discard(key)
        return self._begin_start(node, key.attempt, now_us, now_us)

    def _start_over(self, node: _Node, active: _Active, now_us: int) -> list[Action]:
        order = node.order.start_task
        if node.dropping or node.began is None or order is None:
            return [Forget(active.run.key)]
        failure = _why(active)
        again = order.max_retries < 0 or node.began.retry_count < order.max_retries
        if failure is not None and failure.code == "FailureExitCode" and again:
            return [Forget(active.run.key), *self._hold_start(node, now_us)]
        node.ended = StartTaskEnded(
            report=self._ledger.number(),
            node_no=node.order.node_no,
            start_us=active.start_us,
            end_us=now_us,
            exit_code=active.exit_code,
            failure=failure,
            retry_count=node.began.retry_count,
            last_retry_us=node.began.last_retry_us,
            boot=node.order.boot,
        )
        actions = [Forget(active.run.key), self._send(node.ended)]
        if not node.ready and _fit(node):
            actions.append(self._node_ready(node))
        return actions

    def _hold_start(self, node: _Node, now_us: int) -> list[Action]:
        """Let the next try wait a little, so that a failing start task does not spin."""
        assert node.order.start_task is not None
        assert node.began is not None
        retry = node.began.retry_count + 1
        run = Run(RunKey(-node.order.node_no, retry), node.order, node.order.start_task)
        active = _Active(run, now_us, None)
        active.stage = Stage.HELD
        self._active[run.key] = active
        self._current[run.key.number] = run.key
        node.active.add(run.key)
        self._wake(active, now_us + min(_FIRST_HOLD_US << min(retry, 16), _LONGEST_RETRY_US))
        return []

    # --- the server ------------------------------------------------------------------------------

    def _confirm(self, message: Confirm, now_us: int) -> list[Action]:  # noqa: ARG002
        self._ledger.confirm(message.report)
        return [Forgive(message.report)]

    def _welcome(self, message: Welcome, now_us: int) -> list[Action]:
        if self._server is not None and self._server != message.server:
            return self._change_server(message.server, now_us)
        actions: list[Action] = []
        if self._server is None:
            self._server = message.server
            actions.append(NewServer(message.server, other=False))
        actions += self._confirm(Confirm(report=message.confirmed), now_us)
        actions += [SendAgain(report) for report in self._ledger.unconfirmed.values()]
        return actions + self._drop_unlisted(set(message.attempts), set(message.nodes), now_us)

    def _drop_unlisted(
        self, attempts: set[tuple[int, int]], nodes: set[int], now_us: int
    ) -> list[Action]:
        actions: list[Action] = []
        for task_no, run in list(self._waiting.items()):
            if run.key not in attempts:
                del self._waiting[task_no]
                actions.append(Forget(run.key))
        for key, active in list(self._active.items()):
            if key.number > 0 and key not in attempts and key in self._active:
                self._hush(active)
                actions += self._end(active, Cause.DROPPED, now_us)
        for no, node in list(self._nodes.items()):
            if no not in nodes and not node.dropping:
                node.silent = True
                actions += self._drop(node, now_us)
        return actions

    def _change_server(self, server: str, now_us: int) -> list[Action]:
        """Numbers of another server mean other things: begin with nothing."""
        self._server = server
        self._ledger.clear()
        self._chores.clear()
        for node in self._nodes.values():
            node.silent, node.remake = True, None
        actions: list[Action] = [NewServer(server, other=True)]
        return actions + self._drop_unlisted(set(), set(), now_us)

    # --- reports ---------------------------------------------------------------------------------

    def _send(self, report: NumberedReport) -> Action:
        self._ledger.keep(report)
        return Send(report)

    def _again(self, ending: TaskEnded) -> Action:
        """Answer once more, with a new number: the server may have confirmed the old one."""
        return self._send(msgspec.structs.replace(ending, report=self._ledger.number()))


def _is_ahead(run: Run) -> bool:
    return isinstance(run.order, RunTask) and run.order.ahead


def _lingers(run: Run) -> bool:
    return isinstance(run.order, RunTask) and run.order.lingers


def _has_files(order: RunTask | StartTaskOrder) -> bool:
    """Whether files are to be fetched first; those of a gang are there when a run joins."""
    if order.resource_files:
        return True
    if not isinstance(order, RunTask) or order.gang is None:
        return False
    return bool(order.gang.files) and not order.joins


def _slots(run: Run) -> int:
    """The slots that a run takes; a start task takes none."""
    return run.order.slots if isinstance(run.order, RunTask) else 0


def _fit(node: _Node) -> bool:
    """Whether the node may take tasks as far as its start task goes."""
    start = node.order.start_task
    if start is None or not start.wait_for_success:
        return True
    return node.ended is not None and node.ended.failure is None


def _why(active: _Active) -> Failure | None:
    """Why the run counts as failed, or None. A bad exit code outweighs a failed upload."""
    if active.cause is Cause.KILLED:
        return None if active.coordinated_us is not None else failures.ended_by_user()
    if active.cause is Cause.WALL_CLOCK:
        assert isinstance(active.run.order, RunTask)
        return failures.wall_clock(active.run.order.wall_clock_us or 0)
    if active.cause is None and active.exit_code:
        return failures.failed_exit(active.exit_code)
    return active.failure
