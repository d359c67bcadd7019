"""The watch over one world: sees all that happens, and knows what was promised to its users."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from penstock.agent.events import RunKey
from penstock.domain import changes as c
from penstock.domain.records import NodeRecord, TaskRecord
from penstock.domain.states import TaskResult, TaskState
from penstock.engine.engine import Engine
from penstock.engine.state import State
from penstock.engine.turn import Turn
from penstock.messages import NumberedReport, RunTask, TaskEnded
from tests.sim import records
from tests.sim.disk import Disk
from tests.sim.invariants import Broken, Invariant
from tests.sim.machine import Process
from tests.sim.memory import memory_is_true
from tests.sim.picture import Picture
from tests.sim.placing import Placing
from tests.sim.records import TaskName

T = TypeVar("T")

JobName = tuple[str, str]
"""Account and job id."""

_HEARD_KEPT = 200


class Watch:
    """What is known beside the records, and the checks that need it."""

    def __init__(self, silent_us: int) -> None:
        self.store: Disk
        self.now_us = 0  # of the turn that is being taken
        self.passed_us: Callable[[], int]  # the server's clock that nobody sets
        self.acked: dict[TaskName, None] = {}  # what a user may rely on
        self.doomed_jobs: set[JobName] = set()  # their deletion was asked for
        self.doomed_tasks: set[TaskName] = set()
        self.reactivated: set[TaskName] = set()
        self.forced_jobs: set[JobName] = set()
        self.completions: Counter[int] = Counter()  # by task number
        self.begun: defaultdict[RunKey, list[Process]] = defaultdict(list)
        self.working: defaultdict[int, dict[tuple[str, int], Process]] = defaultdict(dict)
        self.forgotten: list[set[RunKey]] = []  # per host: begun, and its note lost with a disk
        self.given_up: set[RunKey] = set()  # the server rightly believed them lost
        self.attempts: dict[int, int] = {}  # the newest that was ever committed
        self.turns = 0
        self.placing = Placing()
        self._silent_us = silent_us
        self._turn_us = 0  # of the turn that is being taken, by the clock that nobody sets
        self._heard: defaultdict[str, deque[int]] = defaultdict(lambda: deque(maxlen=_HEARD_KEPT))
        self._looked_at = -1  # the revision that the memory was compared with
        self._picture: Picture | None = None

    @property
    def picture(self) -> Picture:
        """The records as they are now."""
        if self._picture is None or self._picture.revision != self.store.revision:
            self._picture = Picture(self.store)
        return self._picture

    def at_once(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that waits for nothing but the store."""
        self.store.instant = True
        try:
            work.send(None)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            self.store.instant = False
        raise AssertionError("it waits")

    # --- promises ------------------------------------------------------------------------------

    def acknowledged(self, job: JobName, task_id: str) -> None:
        """A user was told that this task is there."""
        if job not in self.doomed_jobs and (*job, task_id) not in self.doomed_tasks:
            self.acked[*job, task_id] = None

    def job_doomed(self, job: JobName) -> None:
        self.doomed_jobs.add(job)
        for name in [name for name in self.acked if name[:2] == job]:
            del self.acked[name]

    def task_doomed(self, job: JobName, task_id: str) -> None:
        self.doomed_tasks.add((*job, task_id))
        self.acked.pop((*job, task_id), None)

    def _job_name(self, task: TaskRecord) -> JobName:
        job = self.store.jobs[task.job_no]
        return job.account, job.id

    # --- hosts ---------------------------------------------------------------------------------

    def heard(self, host: str) -> None:
        """The server got a sign of life."""
        self._heard[host].append(self.passed_us())

    def _silent(self, host: str | None) -> bool:
        """Whether the server, in this turn, had heard nothing of a host for too long."""
        heard = [at_us for at_us in self._heard[host or ""] if at_us <= self._turn_us]
        return not heard or self._turn_us - heard[-1] >= self._silent_us

    def turn_begins(self, now_us: int) -> None:
        self.now_us = now_us
        self._turn_us = self.passed_us()

    def reported(self, turn: Turn, report: NumberedReport) -> None:
        """A report is about to be believed."""
        if isinstance(report, TaskEnded):
            task = turn.state.given.get(report.task_no)
            if task is not None and task.attempt == report.attempt:
                key = RunKey(report.task_no, report.attempt)
                alive = [p for p in self.working.get(task.no, {}).values() if p.key == key]
                if alive:
                    raise Broken(Invariant.TRUTH, f"{key} is reported as over and runs")
                if report.killed and task.ending is None:
                    what = f"{key} was killed, and nobody had asked for it"
                    raise Broken(Invariant.TRUTH, what)

    def process_began(self, process: Process) -> None:
        """A host started a process."""
        key = process.key
        earlier, beside = list(self.begun[key]), list(self.working[key.number].values())
        self.begun[key].append(process)
        self.working[key.number][process.host, process.pid] = process
        if key.number > 0:
            if self.attempts.get(key.number, 0) < key.attempt:
                raise Broken(Invariant.COMMITTED, f"{key} runs and was never committed")
            if earlier and not any(key in host for host in self.forgotten):
                raise Broken(Invariant.COMMITTED, f"{key} is started twice")
        for other in beside:
            away = other.host != process.host
            given_up = key.number < 0 or bool({key, other.key} & self.given_up)
            if not (away and given_up):
                what = f"{key} starts on {process.host} while {other.key} runs: two at once"
                raise Broken(Invariant.ALONE, what)
        self._slots_suffice(process)

    def _slots_suffice(self, process: Process) -> None:
        node = process.run.node
        beside = [
            other.run.order.slots
            for at_work in self.working.values()
            for other in at_work.values()
            if other.run.node.node_no == node.node_no
            and isinstance(other.run.order, RunTask)
            and other.key not in self.given_up
        ]
        if sum(beside) > node.slots:
            what = f"node {node.node_no} has {node.slots} slots, and {beside} are at work"
            raise Broken(Invariant.SLOTS, what)

    def process_ended(self, process: Process) -> None:
        at_work = self.working[process.key.number]
        del at_work[process.host, process.pid]
        if not at_work:
            del self.working[process.key.number]

    # --- commits -------------------------------------------------------------------------------

    def before_commit(self, changes: Sequence[c.Change]) -> list[TaskRecord]:
        """Look at each change against what the store has until now; give what gets a node."""
        placed: list[TaskRecord] = []
        for change in changes:
            if isinstance(change, c.AddTask | c.SetTask):
                before = self.store.tasks.get(change.task.no)
                self._task_changes(change.task, before)
                if before is not None and change.task.attempt > before.attempt:
                    placed.append(replace(change.task, depends=before.depends))
            elif isinstance(change, c.KeepSatisfied):
                self.placing.ended_well(self.picture, change)
            elif isinstance(change, c.DropTask):
                self._task_goes(change.task)
        return placed

    def _task_changes(self, task: TaskRecord, before: TaskRecord | None) -> None:
        self.attempts[task.no] = max(task.attempt, self.attempts.get(task.no, 0))
        if before is None:
            return
        if task.state is not TaskState.RUNNING or task.attempt != before.attempt:
            if before.state is TaskState.RUNNING:
                self._leaves(before)
            elif before.ahead and not task.ahead and self._is_given_up(before):
                self.given_up.add(RunKey(before.no, before.attempt))
        if task.state is TaskState.COMPLETED:
            self._completes(task, before)
        elif before.state is TaskState.COMPLETED:
            name = (*self._job_name(task), task.id)
            if name not in self.reactivated:
                what = f"task {name} was completed and is {task.state.wire_name}"
                raise Broken(Invariant.ONCE, what)
            self.completions[task.no] = 0

    def _completes(self, task: TaskRecord, before: TaskRecord) -> None:
        if before.state is not TaskState.COMPLETED:
            self.completions[task.no] += 1
            self._ended_truly(task)
        elif _end_of(task) != _end_of(before):
            raise Broken(Invariant.ONCE, f"task {task.id} was completed and is so once more")

    def _ended_truly(self, task: TaskRecord) -> None:
        """What the record says of the end is what happened."""
        if task.exit_code is None:
            if task.result is TaskResult.SUCCESS:
                raise Broken(Invariant.TRUTH, f"task {task.id} succeeded without an exit code")
            return
        codes = {p.exit_code for p in self.begun[RunKey(task.no, task.attempt)]}
        if task.exit_code not in codes:
            what = f"task {task.id} ended with {codes}, not {task.exit_code}"
            raise Broken(Invariant.TRUTH, what)

    def _leaves(self, task: TaskRecord) -> None:
        """An attempt is over by the record: nothing runs of it, or its host was silent."""
        key = RunKey(task.no, task.attempt)
        if self._is_given_up(task):
            self.given_up.add(key)
        elif any(process.key == key for process in self.working.get(task.no, {}).values()):
            what = f"{key} is over by the record, and runs on a host that is there"
            raise Broken(Invariant.TRUTH, what)

    def _is_given_up(self, task: TaskRecord) -> bool:
        """Whether the server need not wait for the word of the task's host."""
        node = self.store.nodes.get(task.node_no or 0)
        forced = self._job_name(task) in self.forced_jobs
        return forced or node is None or self._silent(node.host)

    def _task_goes(self, task: TaskRecord) -> None:
        before = self.store.tasks.get(task.no)
        if before is None:
            return
        if before.state is TaskState.RUNNING:
            self._leaves(before)
        elif before.ahead and self._is_given_up(before):
            self.given_up.add(RunKey(before.no, before.attempt))
        job = self._job_name(task)
        if (*job, task.id) not in self.doomed_tasks and job not in self.doomed_jobs:
            what = f"task {task.id} of {job} is dropped, and nobody had asked for it"
            raise Broken(Invariant.KEPT, what)

    def after_commit(self, placed: list[TaskRecord]) -> None:
        """The store is in a state that a restart would meet."""
        records.nothing_is_lost(self.store, self.acked)
        records.counts_are_true(self.store)
        records.nodes_are_not_overfull(self.picture)
        self.placing.committed(self.picture, placed)

    # --- turns ---------------------------------------------------------------------------------

    def moved(self, state: State, change: c.Change) -> None:
        """A decision is about to change something."""
        records.move_is_legal(state, change)

    def after_turn(self, engine: Engine) -> None:
        """Nothing was left undone, and the memory is what a restart would read."""
        self.turns += 1
        state, picture = engine._state, self.picture
        there = {link.host for link in engine._links.values() if not link.lost}
        steady = engine._commands.empty() and not engine._pause.is_on
        if steady and state.linked != there:
            what = f"connected are {there}, known as such {state.linked}"
            raise Broken(Invariant.MEMORY, what)
        self.placing.no_room_is_left(picture, state)
        self.placing.rules(picture, state)
        if self.store.revision == self._looked_at:
            return
        self._looked_at = self.store.revision
        memory_is_true(state, self.at_once(self.store.load()))
        records.nothing_stands_still(picture)
        self.placing.reasons(picture, engine, self.now_us, self.at_once)

    def waited(self, undisturbed: Iterable[NodeRecord], now_s: float) -> None:
        """Some time has passed; on these nodes nothing keeps tasks from running."""
        self.placing.waited(self.picture, undisturbed, now_s)


def _end_of(task: TaskRecord) -> tuple[object, ...]:
    return task.attempt, task.exit_code, task.result, task.failure, task.end_us, task.start_us
