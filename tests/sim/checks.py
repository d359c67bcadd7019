"""What must hold: at each commit, at each process, after each turn, and at the end."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Coroutine, Mapping, Sequence
from enum import Enum
from random import Random
from typing import Any, TypeVar

from penstock.agent.events import RunKey
from penstock.domain import changes as c
from penstock.domain.records import (
    Counts,
    JobRecord,
    NodeRecord,
    TaskRecord,
    key_of,
)
from penstock.domain.states import (
    ALLOCATION_MOVES,
    JOB_MOVES,
    NODE_MOVES,
    TASK_MOVES,
    AllocationState,
    JobState,
    NodeState,
    PoolState,
    SchedulingState,
    TaskResult,
    TaskState,
)
from penstock.engine.engine import Engine
from penstock.engine.state import OPEN_NODE_STATES, State, queue_key
from penstock.engine.turn import Turn
from penstock.engine.why import why
from penstock.messages import NumberedReport, TaskEnded
from penstock.scheduler.dependencies import number_of
from tests.sim.disk import Disk
from tests.sim.machine import Process

T = TypeVar("T")
S = TypeVar("S", bound=Enum)

_HEARD_KEPT = 200
_WHYS_PER_TURN = 2


class Broken(AssertionError):
    """Something that must hold does not."""


class Watch:
    """Sees all that happens in one world, and knows what was promised to its users."""

    def __init__(self, silent_us: int, random: Random) -> None:
        self.store: Disk
        self.now_us = 0  # of the turn that is being taken
        self.passed_us = 0  # likewise, by the clock that nobody sets
        self.acked: dict[tuple[str, str], None] = {}  # job and task ids that a user may rely on
        self.doomed_jobs: set[str] = set()  # their deletion was asked for
        self.doomed_tasks: set[tuple[str, str]] = set()
        self.reactivated: set[tuple[str, str]] = set()
        self.forced_jobs: set[str] = set()
        self.completions: Counter[int] = Counter()  # by task number
        self.begun: defaultdict[RunKey, list[Process]] = defaultdict(list)
        self.working: defaultdict[int, dict[tuple[str, int], Process]] = defaultdict(dict)
        self.unwritten: list[set[RunKey]] = []  # per host: begun, and its note lost
        self.given_up: set[RunKey] = set()  # the server rightly believed them lost
        self.attempts: dict[int, int] = {}  # the newest that was ever committed
        self.turns = 0
        self._silent_us = silent_us
        self._random = random
        self._heard: defaultdict[str, deque[int]] = defaultdict(lambda: deque(maxlen=_HEARD_KEPT))
        self._revision = -1

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

    def acknowledged(self, job_id: str, task_id: str) -> None:
        """A user was told that this task is there."""
        if job_id not in self.doomed_jobs and (job_id, task_id) not in self.doomed_tasks:
            self.acked[job_id, task_id] = None

    def job_doomed(self, job_id: str) -> None:
        self.doomed_jobs.add(job_id)
        for pair in [pair for pair in self.acked if pair[0] == job_id]:
            del self.acked[pair]

    def task_doomed(self, job_id: str, task_id: str) -> None:
        self.doomed_tasks.add((job_id, task_id))
        self.acked.pop((job_id, task_id), None)

    # --- hosts ---------------------------------------------------------------------------------

    def heard(self, host: str, passed_us: int) -> None:
        """The server got a sign of life."""
        self._heard[host].append(passed_us)

    def _silent(self, host: str | None) -> bool:
        """Whether the server, in this turn, had heard nothing of a host for too long."""
        heard = [at_us for at_us in self._heard[host or ""] if at_us <= self.passed_us]
        return not heard or self.passed_us - heard[-1] >= self._silent_us

    def reported(self, turn: Turn, report: NumberedReport) -> None:
        """A report is about to be believed."""
        if isinstance(report, TaskEnded):
            task = turn.state.given.get(report.task_no)
            if task is not None and task.attempt == report.attempt:
                key = RunKey(report.task_no, report.attempt)
                alive = [p for p in self.working[task.no].values() if p.key == key]
                if alive:
                    raise Broken(f"{key} is reported as over and runs")
                if report.killed and task.ending is None:
                    raise Broken(f"{key} was killed, and nobody had asked for it")

    def process_began(self, process: Process) -> None:
        """A host started a process."""
        key = process.key
        earlier, beside = list(self.begun[key]), list(self.working[key.number].values())
        self.begun[key].append(process)
        self.working[key.number][process.host, process.pid] = process
        if key.number > 0:
            if self.attempts.get(key.number, 0) < key.attempt:
                raise Broken(f"{key} runs and was never committed")
            if earlier and not any(key in host for host in self.unwritten):
                raise Broken(f"{key} is started twice")
        for other in beside:
            away = other.host != process.host
            given_up = key.number < 0 or bool({key, other.key} & self.given_up)
            if not (away and given_up):
                raise Broken(f"{key} starts on {process.host} while {other.key} runs: two at once")

    def process_ended(self, process: Process) -> None:
        del self.working[process.key.number][process.host, process.pid]

    # --- commits -------------------------------------------------------------------------------

    def before_commit(self, changes: Sequence[c.Change]) -> None:
        """Look at each change against what the store has until now."""
        for change in changes:
            if isinstance(change, c.AddTask | c.SetTask):
                self._task_changes(change.task, self.store.tasks.get(change.task.no))
            elif isinstance(change, c.DropTask):
                self._task_goes(change.task)

    def _task_changes(self, task: TaskRecord, before: TaskRecord | None) -> None:
        self.attempts[task.no] = max(task.attempt, self.attempts.get(task.no, 0))
        if before is None:
            return
        if before.state is TaskState.RUNNING and (
            task.state is not TaskState.RUNNING or task.attempt != before.attempt
        ):
            self._leaves(before)
        if task.state is TaskState.COMPLETED and before.state is not TaskState.COMPLETED:
            self.completions[task.no] += 1
            self._ended_truly(task)
        if before.state is TaskState.COMPLETED and task.state is not TaskState.COMPLETED:
            pair = (self.store.jobs[task.job_no].id, task.id)
            if pair not in self.reactivated:
                raise Broken(f"task {pair} was completed and is {task.state.wire_name}")
            self.completions[task.no] = 0

    def _ended_truly(self, task: TaskRecord) -> None:
        """What the record says of the end is what happened."""
        if task.exit_code is None:
            if task.result is TaskResult.SUCCESS:
                raise Broken(f"task {task.id} succeeded without an exit code")
            return
        codes = {p.exit_code for p in self.begun[RunKey(task.no, task.attempt)]}
        if task.exit_code not in codes:
            raise Broken(f"task {task.id} ended with {codes}, not {task.exit_code}")

    def _leaves(self, task: TaskRecord) -> None:
        """An attempt is over by the record: nothing runs of it, or its host was silent."""
        key = RunKey(task.no, task.attempt)
        node = self.store.nodes.get(task.node_no or 0)
        forced = self.store.jobs[task.job_no].id in self.forced_jobs
        if forced or node is None or self._silent(node.host):
            self.given_up.add(key)
            return
        if any(process.key == key for process in self.working[task.no].values()):
            raise Broken(f"{key} is over by the record, and runs on a host that is there")

    def _task_goes(self, task: TaskRecord) -> None:
        before = self.store.tasks.get(task.no)
        if before is None:
            return
        if before.state is TaskState.RUNNING:
            self._leaves(before)
        pair = (self.store.jobs[task.job_no].id, task.id)
        if pair not in self.doomed_tasks and pair[0] not in self.doomed_jobs:
            raise Broken(f"task {pair} is dropped, and nobody had asked for it")

    def after_commit(self) -> None:
        """The store is in a state that a restart would meet."""
        self._nothing_lost()
        self._counts_are_true()
        self._nodes_are_not_overfull()

    def _nothing_lost(self) -> None:
        jobs = {job.id: job.no for job in self.store.jobs.values()}
        for job_id, task_id in self.acked:
            no = jobs.get(job_id)
            if no is None or (no, key_of(task_id)) not in self.store.by_key:
                raise Broken(f"task {task_id} of {job_id} was acknowledged and is not there")

    def _counts_are_true(self) -> None:
        found: defaultdict[int, list[int]] = defaultdict(lambda: [0] * 8)
        for task in self.store.tasks.values():
            place = 0 if task.state is TaskState.ACTIVE else 1
            if task.state is TaskState.COMPLETED:
                place = 2 if task.result is TaskResult.SUCCESS else 3
            row = found[task.job_no]
            row[place] += 1
            row[place + 4] += task.slots
        for no, job in self.store.jobs.items():
            kept = self.store.job_counts.get(no)
            if kept is None:
                if no in found:
                    raise Broken(f"job {job.id} has tasks and no counts")
            elif [*_row(kept.tasks), *_row(kept.slots)] != found[no]:
                raise Broken(f"job {job.id}: counts {kept} are not {found[no]}")

    def _nodes_are_not_overfull(self) -> None:
        used: defaultdict[int, list[int]] = defaultdict(list)
        for task in self.store.tasks.values():
            if task.state is TaskState.RUNNING and task.node_no is not None:
                used[task.node_no].append(task.slots)
        for no, slots in used.items():
            node = self.store.nodes.get(no)
            if node is None:
                raise Broken(f"a task runs on the node {no}, which is not there")
            if sum(slots) > node.slots:
                raise Broken(f"node {no} has {node.slots} slots and {slots} are used")
        for no, node in self.store.nodes.items():
            if (node.running_tasks, node.running_slots) != (len(used[no]), sum(used[no])):
                raise Broken(f"node {no} counts {node.running_tasks} tasks and has {used[no]}")

    # --- turns ---------------------------------------------------------------------------------

    def moved(self, state: State, change: c.Change) -> None:
        """A decision is about to change something: the tables must allow it."""
        match change:
            case c.SetTask(task, was):
                held = state.given.get(task.no)
                ran = held is not None and held.state is TaskState.RUNNING
                if ran != (was is TaskState.RUNNING):
                    raise Broken(f"task {task.id} is said to have been {was.wire_name}")
                _legal(TASK_MOVES, was, task.state)
            case c.PutJob(job) if job.no in state.jobs:
                _legal(JOB_MOVES, state.jobs[job.no].state, job.state)
            case c.PutNode(node) if node.no in state.nodes:
                _legal(NODE_MOVES, state.nodes[node.no].state, node.state)
            case c.PutNode(node) if node.state is not NodeState.CREATING:
                raise Broken(f"a node begins as {node.state}")
            case c.PutPool(pool) if pool.no in state.pools:
                before = state.pools[pool.no]
                _legal(ALLOCATION_MOVES, before.allocation, pool.allocation)
                if before.state is PoolState.DELETING and pool.state is not before.state:
                    raise Broken(f"pool {pool.id} came back")
            case c.PutPool(pool) if pool.allocation is not AllocationState.STEADY:
                raise Broken(f"a pool begins as {pool.allocation}")

    def after_turn(self, engine: Engine) -> None:
        """The memory is what a restart would read, and nothing was left undone."""
        self.turns += 1
        state = engine._state
        there = {link.host for link in engine._links.values() if not link.lost}
        steady = engine._commands.empty() and not engine._pause.is_on
        if steady and state.linked != there:
            raise Broken(f"connected are {there}, known as such {state.linked}")
        self._work_is_given_out(state)
        if self.store.revision == self._revision:
            return
        self._revision = self.store.revision
        self._memory_is_true(state)
        self._nothing_waits_in_vain()
        self._waiting_has_reasons(engine)

    def _memory_is_true(self, believed: State) -> None:
        rebuilt = State.restored(self.at_once(self.store.load()))
        rebuilt.linked = believed.linked
        for node in rebuilt.nodes.values():
            rebuilt.open_or_close(node)
        for part in ("given", "nodes", "pools", "jobs", "chores", "job_due_us", "node_given"):
            _same(part, getattr(believed, part), getattr(rebuilt, part))
        for job_no, job in believed.jobs.items():
            ours, theirs = believed.tallies[job_no], rebuilt.tallies[job_no]
            _same(f"counts of {job.id}", (ours.tasks, ours.slots), (theirs.tasks, theirs.slots))
            _same(f"queue of {job.id}", _queued(believed, job), _queued(rebuilt, job))
            _same(f"dependents of {job.id}", _blocked(believed, job), _blocked(rebuilt, job))
        for key in believed.queues.keys() | rebuilt.queues.keys():
            mine, yours = believed.queue(key).nodes._free, rebuilt.queue(key).nodes._free
            _same(f"free slots of {key}", mine, yours)

    def _nothing_waits_in_vain(self) -> None:
        """Jobs and pools went on, as far as nothing holds them."""
        store = self.store
        held = {task.job_no for task in store.tasks.values() if _is_given(task)}
        chored = {
            chore.job_no
            for chore in store.chores.values()
            if store.nodes[chore.node_no].state is not NodeState.UNKNOWN
        }
        for job in store.jobs.values():
            quiet = job.state in (JobState.DISABLING, JobState.TERMINATING)
            quiet = quiet or (job.state is JobState.DELETING and job.no not in chored)
            if quiet and job.no not in held:
                raise Broken(f"job {job.id} is {job.state}, and nothing holds it")
        moving = {
            node.pool_no
            for node in store.nodes.values()
            if node.leaving or node.state in (NodeState.CREATING, NodeState.LEAVING_POOL)
        }
        for pool in store.pools.values():
            resizing = pool.allocation is not AllocationState.STEADY
            if resizing and pool.state is PoolState.ACTIVE and pool.no not in moving:
                raise Broken(f"pool {pool.id} is {pool.allocation}, and nothing moves")

    def _work_is_given_out(self, state: State) -> None:
        """No task waits that could run now, by the records alone."""
        room: dict[tuple[str, str], int] = {}
        ahead: Counter[int] = Counter()  # slots, by node and (negative) by job the tasks
        for task in self.store.tasks.values():
            if task.ahead and task.node_no is not None:
                ahead[task.node_no] += task.slots
                ahead[-task.job_no] += 1
        for node in self.store.nodes.values():
            if _is_open(node, state):
                pool = self.store.pools[node.pool_no]
                key = (pool.account, key_of(pool.id))
                free = node.slots - node.running_slots - ahead[node.no]
                room[key] = max(room.get(key, 0), free)
        if not any(room.values()):
            return
        for task in self.store.tasks.values():
            if task.state is not TaskState.ACTIVE or task.ahead:
                continue
            job = self.store.jobs[task.job_no]
            key = queue_key(job)
            if job.state is not JobState.ACTIVE or key in state.hot:
                continue
            cap = job.spec.max_parallel_tasks
            running = self.store.job_counts[job.no].tasks.running + ahead[-job.no]
            if cap is not None and 0 <= cap <= running:
                continue
            if task.slots <= room.get(key, 0) and self._released(task):
                raise Broken(f"task {task.id} of {job.id} could run and was left")

    def _released(self, task: TaskRecord) -> bool:
        if task.depends is None:
            return True
        ended = {
            key_of(other.id)
            for other in self.store.tasks.values()
            if other.job_no == task.job_no and other.satisfies
        }
        numbers = {number_of(name) for name in ended}
        ids = all(key_of(name) in ended for name in task.depends.task_ids or ())
        return ids and all(
            number in numbers
            for span in task.depends.task_id_ranges or ()
            for number in range(span.start, span.end + 1)
        )

    def _waiting_has_reasons(self, engine: Engine) -> None:
        waiting = [t for t in self.store.tasks.values() if t.state is TaskState.ACTIVE]
        if not waiting:
            return
        for task in self._random.choices(waiting, k=_WHYS_PER_TURN):
            job = self.store.jobs[task.job_no]
            turn = Turn(engine._state, self.store, self.now_us, self._random)
            if not self.at_once(why(turn, job.account, job.id, task.id)):
                raise Broken(f"task {task.id} of {job.id} waits and there is no reason")


def _row(counts: Counts) -> list[int]:
    return [counts.active, counts.running, counts.succeeded, counts.failed]


def _legal(table: Mapping[S, Mapping[Any, S]], before: S, after: S) -> None:
    if after is not before and after not in table[before].values():
        raise Broken(f"{type(before).__name__} went from {before.name} to {after.name}")


def _same(what: str, believed: object, rebuilt: object) -> None:
    if believed != rebuilt:
        raise Broken(f"memory: {what}\n  believed: {believed}\n  rebuilt:  {rebuilt}")


def _is_open(node: NodeRecord, state: State) -> bool:
    return (
        node.state in OPEN_NODE_STATES
        and node.scheduling is SchedulingState.ENABLED
        and node.leaving is None
        and node.host in state.linked
    )


def _queued(state: State, job: JobRecord) -> tuple[Any, ...]:
    mine = state.queue_of(job.no).jobs[job.no]
    tasks = {slots: sorted(_in_line(line)) for slots, line in mine.lines.items()}
    found = {slots: numbers for slots, numbers in tasks.items() if numbers}
    return mine.waiting, mine.running, mine.priority, mine.cap, mine.open, found


def _in_line(line: Any) -> list[int]:
    """The tasks of a line, of which the first places of some are void."""
    void, found = Counter(line._gone), list[int]()
    for task_no in line._tasks:
        if void[task_no]:
            void[task_no] -= 1
        else:
            found.append(task_no)
    return found


def _blocked(state: State, job: JobRecord) -> set[int]:
    book = state.books.get(job.no)
    return set(book._wishes) if book is not None else set()


def _is_given(task: TaskRecord) -> bool:
    return task.ahead or task.state is TaskState.RUNNING
