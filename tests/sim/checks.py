"""The watch over one world: sees all that happens, and knows what was promised to its users."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from penstock.agent.events import RunKey
from penstock.domain import changes as c
from penstock.domain.records import (
    JobNodeRecord,
    NodeRecord,
    SpecialRun,
    SubtaskRecord,
    TaskRecord,
)
from penstock.domain.states import SubtaskState, TaskResult, TaskState
from penstock.engine.engine import Engine
from penstock.engine.settings import Quotas
from penstock.engine.state import State
from penstock.engine.turn import Turn
from penstock.messages import NumberedReport, RunTask, TaskEnded
from tests.sim import records
from tests.sim.beside import Beside, is_over
from tests.sim.disk import Disk
from tests.sim.event_replay import Replay
from tests.sim.invariants import Broken, Invariant
from tests.sim.machine import Process
from tests.sim.memory import memory_is_true
from tests.sim.picture import Picture
from tests.sim.placing import Placing
from tests.sim.quotas import quotas_are_kept
from tests.sim.records import TaskName
from tests.sim.schedules import Schedules
from tests.sim.used import Used

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
        self.beside = Beside(self._that_count)
        self.schedules = Schedules()
        self.replay = Replay()
        self.used = Used()
        self.quotas = Quotas()
        self._silent_us = silent_us
        self._turn_us = 0  # of the turn that is being taken, by the clock that nobody sets
        self._heard: defaultdict[str, deque[int]] = defaultdict(lambda: deque(maxlen=_HEARD_KEPT))
        self._changes: Sequence[c.Change] = ()  # of the commit under way
        self._known_jobs: set[int] = set()
        self._looked_at = -1  # the revision that the memory was compared with
        self._picture: Picture | None = None

    def opened(self, store: Disk) -> None:
        """This is where everything is written."""
        self.store = self.beside.store = store
        self.schedules.store = self.replay.store = self.used.store = store

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
            self.beside.reported(report)
            key = RunKey(report.task_no, report.attempt)
            if self._is_at_work(key) and key not in self.given_up:
                raise Broken(Invariant.TRUTH, f"{key} is reported as over and runs")
            task = turn.state.given.get(report.task_no)
            mine = task is not None and task.attempt == report.attempt
            if task is not None and mine and report.killed and task.ending is None:
                what = f"{key} was killed, and nobody had asked for it"
                raise Broken(Invariant.TRUTH, what)

    def _is_at_work(self, key: RunKey) -> bool:
        return any(process.key == key for process in self.working.get(key.number, {}).values())

    def _that_count(self) -> Iterator[Process]:
        """What is at work, but for what was given up."""
        for at_work in self.working.values():
            for process in at_work.values():
                if process.key not in self.given_up:
                    yield process

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
        if key not in self.given_up:
            self.beside.began(process)

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
        """It did so by itself, or was ended."""
        self.beside.ended(process)
        at_work = self.working[process.key.number]
        del at_work[process.host, process.pid]
        if not at_work:
            del self.working[process.key.number]

    def node_boots(self, root: str, *, old: bool, wipe: bool, sure: bool) -> None:
        """A node starts anew on its host; `old` says that it has files which must not stay."""
        if old and not wipe:
            raise Broken(Invariant.BOOTS, f"files of {root} outlive a boot that is to wipe them")
        if wipe and not old and sure:
            raise Broken(Invariant.BOOTS, f"files of {root} go with a boot that is to keep them")

    # --- commits -------------------------------------------------------------------------------

    def before_commit(self, changes: Sequence[c.Change]) -> list[TaskRecord]:
        """Look at each change against what the store has until now; give what gets a node."""
        placed: list[TaskRecord] = []
        self._changes, self.placing.came_back = changes, set()
        self.schedules.commits(changes, self.now_us)
        self.replay.commits(changes)
        self.used.commits(changes)
        for change in changes:
            self.beside.commits(change)
            if isinstance(change, c.AddTask | c.SetTask):
                before = self.store.tasks.get(change.task.no)
                self._task_changes(change.task, before)
                if before is not None and change.task.attempt > before.attempt:
                    placed.append(replace(change.task, depends=before.depends))
                elif before is not None and (before.ahead or before.state is not TaskState.ACTIVE):
                    self.placing.came_back.add(before.no)
            elif isinstance(change, c.PutSubtask):
                self._part_changes(change.subtask, self.store.parts.get(change.subtask.no))
            elif isinstance(change, c.DropSubtasks):
                for part in [p for p in self.store.parts.values() if p.task_no == change.task_no]:
                    self._part_changes(None, part)
            elif isinstance(change, c.PutJobNode):
                self._special_changes(change.job_node)
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

    def _part_changes(self, part: SubtaskRecord | None, before: SubtaskRecord | None) -> None:
        if part is not None:
            sent = part.state is SubtaskState.RUNNING
            self.attempts[part.no] = part.attempt if sent else self.attempts.get(part.no, 0)
        if before is None or before.state is not SubtaskState.RUNNING:
            return
        if part is None or part.state is not SubtaskState.RUNNING:
            job = self.store.jobs[before.job_no]
            node = self.store.nodes.get(before.node_no)
            forced = (job.account, job.id) in self.forced_jobs
            gone = forced or node is None or self._silent(node.host)
            self._run_leaves(RunKey(before.no, before.attempt), given_up=gone)

    def _special_changes(self, at: JobNodeRecord) -> None:
        before, job = self.store.job_nodes.get(at.no), self.store.jobs.get(at.job_no)
        node = self._node_after(at.node_no)
        forced = job is not None and (job.account, job.id) in self.forced_jobs
        gone = forced or node is None or is_over(node, at) or self._silent(node.host)
        pairs: tuple[tuple[int, SpecialRun | None, SpecialRun | None], ...] = (
            (at.no, at.preparation, before.preparation if before else None),
            (at.release_no, at.release, before.release if before else None),
        )
        for run_no, run, was in pairs:
            if run is not None:
                self.attempts[run_no] = max(run.attempt, self.attempts.get(run_no, 0))
            goes_on = run is not None and was is not None and run.attempt == was.attempt
            if was is not None and was.running and not (goes_on and run and run.running):
                self._run_leaves(RunKey(run_no, was.attempt), given_up=gone)

    def _node_after(self, node_no: int) -> NodeRecord | None:
        """A node as the commit that is being looked at leaves it."""
        found = self.store.nodes.get(node_no)
        for change in self._changes:
            if isinstance(change, c.PutNode | c.OccupyNode) and change.node.no == node_no:
                found = change.node
            elif isinstance(change, c.DropNode) and change.no == node_no:
                return None
        return found

    def _run_leaves(self, key: RunKey, *, given_up: bool) -> None:
        if given_up:
            self.given_up.add(key)
        elif self._is_at_work(key):
            what = f"{key} is over by the record, and runs on a host that is there"
            raise Broken(Invariant.TRUTH, what)

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
        runs = [RunKey(task.no, task.attempt)]
        runs += [RunKey(part.no, task.attempt) for part in self.picture.parts[task.no]]
        codes = {process.exit_code for key in runs for process in self.begun[key]}
        if task.exit_code not in codes:
            what = f"task {task.id} ended with {codes}, not {task.exit_code}"
            raise Broken(Invariant.TRUTH, what)

    def _leaves(self, task: TaskRecord) -> None:
        """An attempt is over by the record: nothing runs of it, or its host was silent."""
        self._run_leaves(RunKey(task.no, task.attempt), given_up=self._is_given_up(task))

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
        self.beside.committed(self.picture, self._changes)
        self.schedules.committed()
        self.replay.committed(self._changes)
        self.used.committed()
        quotas_are_kept(self.store, self.quotas, self._changes, self._known_jobs)
        self._known_jobs = set(self.store.jobs)

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
