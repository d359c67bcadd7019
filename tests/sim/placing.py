"""Places and who waits for them: what must hold of scheduling after each turn and commit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any, Final

from penstock.domain import changes as c
from penstock.domain.records import JobRecord, NodeRecord, TaskRecord
from penstock.domain.states import JobState, PoolState, SchedulingState
from penstock.engine.engine import Engine
from penstock.engine.state import OPEN_NODE_STATES, QueueKey, State
from penstock.engine.turn import Turn
from penstock.engine.why import why
from penstock.scheduler.reasons import Reason
from tests.sim.invariants import Broken, Invariant
from tests.sim.picture import Picture, Wanted, names_of, wants
from tests.sim.reasons import Case, is_true

PLACED_WITHIN_S: Final = 30.0
"""The bound: for no longer may a task wait while a place for it is free on a host that nothing
disturbs. Most of it is for what a disturbance leaves behind: pauses before a host dials again,
and connections that are found dead by a missing answer to a ping come before it."""

AtOnce = Callable[[Coroutine[Any, Any, list[Reason]]], list[Reason]]


class Placing:
    """What is known of waiting tasks from one commit to the next."""

    def __init__(self) -> None:
        self._met: defaultdict[int, set[Wanted]] = defaultdict(set)  # by task: once, is enough
        self.placed: list[TaskRecord] = []  # by the commit of the turn that is being taken
        self._free_since: dict[tuple[int, int], float] = {}  # task and node that fit

    def server_died(self) -> None:
        """The turn that was being taken is never over."""
        self.placed = []

    # --- commits ---------------------------------------------------------------------------------

    def committed(self, picture: Picture, placed: list[TaskRecord]) -> None:
        """The store went on; these tasks got a node."""
        self.placed = placed
        for task in placed:
            if self.unmet(picture, task):
                raise Broken(
                    Invariant.RULES, f"task {task.id} is placed, and its dependencies are not met"
                )
        for task in picture.waiting:
            self.unmet(picture, task)
        for task_no, node_no in list(self._free_since):
            if not self._still(picture, task_no, node_no):
                del self._free_since[task_no, node_no]

    def unmet(self, picture: Picture, task: TaskRecord) -> list[Wanted]:
        """What a task waits for. What was met once stays so, though it be deleted."""
        if task.depends is None:
            return []
        met, now = self._met[task.no], picture.met(task.job_no)
        left: list[Wanted] = []
        for wanted in wants(task.depends):
            if wanted in now:
                met.add(wanted)
            elif wanted not in met:
                left.append(wanted)
        return left

    def ended_well(self, picture: Picture, gone: c.KeepSatisfied) -> None:
        """A task ended well and goes, or runs again, perhaps all in one commit."""
        for task in picture.tasks_of(gone.job_no):
            if task.depends is not None and task.no < gone.before_no:
                self._met[task.no] |= names_of(gone.task_id)

    def _still(self, picture: Picture, task_no: int, node_no: int) -> bool:
        task, node = picture.store.tasks.get(task_no), picture.store.nodes.get(node_no)
        if task is None or node is None:
            return False
        return may_start(picture, self, task) and picture.free(node) >= task.slots

    # --- turns -----------------------------------------------------------------------------------

    def rules(self, picture: Picture, state: State) -> None:
        """What was placed in the last commit may be where it is."""
        placed, self.placed = self.placed, []
        for task in placed:
            _may_be_placed(picture, state, task)
        best: dict[QueueKey, list[TaskRecord]] = defaultdict(list)
        for task in placed:
            best[picture.key_of_job(picture.job(task))].append(task)
        for waiting in picture.waiting if best else ():
            job = picture.job(waiting)
            for task in best.get(picture.key_of_job(job), ()):
                if (
                    _priority(job) > _priority(picture.job(task))
                    and waiting.slots <= task.slots
                    and may_start(picture, self, waiting)
                ):
                    what = f"task {task.id} of {picture.job(task).id} is placed before {waiting.id}"
                    raise Broken(Invariant.RULES, f"{what} of {job.id}, which has priority")

    def no_room_is_left(self, picture: Picture, state: State) -> None:
        """No task waits that could be placed now, by the records."""
        room: dict[QueueKey, int] = {}
        for node in picture.store.nodes.values():
            if takes_tasks(node) and node.host in state.linked:
                key = picture.key_of_node(node)
                room[key] = max(room.get(key, 0), picture.free(node))
        if not any(room.values()):
            return
        for task in picture.waiting:
            job = picture.job(task)
            key = picture.key_of_job(job)
            fits = task.slots <= room.get(key, 0) and key not in state.hot
            if fits and may_start(picture, self, task):
                what = f"task {task.id} of {job.id} could run and was left"
                raise Broken(Invariant.PLACES, what)

    def reasons(self, picture: Picture, engine: Engine, now_us: int, at_once: AtOnce) -> None:
        """Every task that waits can be told why, and that is true.

        Tasks of a job that need as many slots and wait for no other share all facts, so one of
        them speaks for all.
        """
        spoken: set[tuple[int, int]] = set()
        turn = Turn(engine._state, picture.store, now_us, Random(0), engine.settings)
        for task in (*picture.waiting, *picture.ahead):
            if task.ahead or not self.unmet(picture, task):
                if (task.job_no, task.slots) in spoken:
                    continue
                spoken.add((task.job_no, task.slots))
            job = picture.job(task)
            told = at_once(why(turn, job.account, job.id, task.id))
            case = Case(picture, engine._state, task, self.unmet(picture, task))
            wrong = [reason for reason in told if not is_true(case, reason)]
            if wrong or not told:
                what = f"task {task.id} of {job.id} waits: {wrong or 'no reason is given'}"
                raise Broken(Invariant.REASONS, what)

    # --- the bound -------------------------------------------------------------------------------

    def waited(self, picture: Picture, nodes: Iterable[NodeRecord], now_s: float) -> None:
        """Look for a task that waits for too long; `nodes` are those that nothing disturbs."""
        open_nodes = [node for node in nodes if node.leaving is None and _is_enabled(node)]
        since = self._free_since
        self._free_since = {}
        for task in (*picture.waiting, *picture.ahead) if open_nodes else ():
            job = picture.job(task)
            if not may_start(picture, self, task):
                continue
            for node in open_nodes:
                if picture.key_of_node(node) == picture.key_of_job(job) and _fits(
                    picture, task, node
                ):
                    began_s = since.get((task.no, node.no), now_s)
                    self._free_since[task.no, node.no] = began_s
                    if now_s - began_s > PLACED_WITHIN_S:
                        what = f"task {task.id} of {job.id} waits, and node {node.no} has room"
                        raise Broken(Invariant.BOUND, f"{what} since {began_s:.0f} s")


def may_start(picture: Picture, placing: Placing, task: TaskRecord) -> bool:
    """Whether nothing but the want of a node keeps the task from running."""
    job = picture.job(task)
    if job.state is not JobState.ACTIVE or task.ending is not None:
        return False
    if not task.ahead and picture.is_capped(job):
        return False
    return not placing.unmet(picture, task)


def takes_tasks(node: NodeRecord) -> bool:
    """Whether the node may be given tasks, as far as its record goes."""
    return node.state in OPEN_NODE_STATES and _is_enabled(node) and node.leaving is None


def _is_enabled(node: NodeRecord) -> bool:
    return node.scheduling is SchedulingState.ENABLED


def _fits(picture: Picture, task: TaskRecord, node: NodeRecord) -> bool:
    if task.ahead:
        return task.node_no != node.no and picture.free(node) >= task.slots
    return picture.free(node) >= task.slots


def _priority(job: JobRecord) -> int:
    return job.spec.priority or 0


def _may_be_placed(picture: Picture, state: State, task: TaskRecord) -> None:
    job, node = picture.job(task), picture.store.nodes.get(task.node_no or 0)
    pool = picture.pool_of(job)
    cap = job.spec.max_parallel_tasks
    wrong = ""
    if job.state is not JobState.ACTIVE:
        wrong = f"the job is {job.state}"
    elif cap is not None and 0 <= cap < picture.given_of[job.no]:
        wrong = f"the job may have {cap} at once and has {picture.given_of[job.no]}"
    elif node is None or pool is None or node.pool_no != pool.no:
        wrong = "that is no node of the job's pool"
    elif pool.state is PoolState.DELETING or not takes_tasks(node):
        wrong = f"the node is {node.state}, and leaves: {node.leaving}"
    elif node.host not in state.linked:
        wrong = "its host is away"
    if wrong:
        raise Broken(Invariant.RULES, f"task {task.id} of {job.id} is placed: {wrong}")
