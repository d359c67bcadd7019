"""Places and who waits for them: what must hold of scheduling after each turn and commit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator
from random import Random
from typing import Any, Final

from penstock.domain import changes as c
from penstock.domain.records import Ending, NodeRecord, TaskRecord
from penstock.domain.states import JobState, PoolState, TaskState
from penstock.engine.engine import Engine
from penstock.engine.memory import QueueKey
from penstock.engine.state import State
from penstock.engine.turn import Turn
from penstock.engine.why import why
from penstock.scheduler.demands import Reserved
from penstock.scheduler.reasons import Reason
from tests.sim.invariants import Broken, Invariant
from tests.sim.picture import Picture, Wanted, names_of, wants
from tests.sim.places import Places, is_enabled, priority, takes_tasks, wanted
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
        self.came_back: set[int] = set()  # tasks that wait again by that commit
        self._free_since: dict[tuple[int, int], float] = {}  # task and node that fit
        self._held: dict[QueueKey, Reserved] = {}  # by the last turn

    def server_died(self) -> None:
        """The turn that was being taken is never over."""
        self.placed, self._held = [], {}

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
        for name in wants(task.depends):
            if name in now:
                met.add(name)
            elif name not in met:
                left.append(name)
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
        return _could_start(picture, self, task) and picture.free(node) >= task.slots

    # --- turns -----------------------------------------------------------------------------------

    def rules(self, picture: Picture, state: State) -> None:
        """What was placed in the last commit may be where it is."""
        placed, self.placed = self.placed, []
        places = Places(picture, state)
        self._nobody_is_passed_on_held_nodes(places, placed)
        for task in placed:
            _may_be_placed(places, task)
        best: dict[QueueKey, list[TaskRecord]] = defaultdict(list)
        for task in placed:
            best[picture.key_of_job(picture.job(task))].append(task)
        for waiting in picture.waiting if best else ():
            job = picture.job(waiting)
            key = picture.key_of_job(job)
            holding = state.queue(key).holding
            if holding is not None and holding.task_no == waiting.no:
                continue  # the others go on beside what is held for it
            for task in best.get(key, ()):
                if (
                    priority(job) > priority(picture.job(task))
                    and waiting.slots <= (task.held or task.slots)
                    and waiting.no not in self.came_back
                    and wanted(job, waiting).is_plain
                    and _might_have(places, waiting, task)
                    and self._may_start(places, waiting)
                ):
                    what = f"task {task.id} of {picture.job(task).id} is placed before {waiting.id}"
                    raise Broken(Invariant.RULES, f"{what} of {job.id}, which has priority")

    def _nobody_is_passed_on_held_nodes(self, places: Places, placed: Iterable[TaskRecord]) -> None:
        """What is held for a task was given to nobody else, but for one of more weight."""
        picture, before = places.picture, self._held
        queues = places.state.queues.items()
        self._held = {key: queue.holding for key, queue in queues if queue.holding is not None}
        for task in placed:
            job = picture.job(task)
            key = picture.key_of_job(job)
            was, now = before.get(key), self._held.get(key)
            if was is None or now is None or was.task_no != now.task_no:
                continue
            holder = picture.job(picture.store.tasks[now.task_no])
            for node_no in picture.nodes_of(task):
                kept = node_no in was.held and node_no in now.held
                if kept and priority(job) < priority(holder):
                    what = f"task {task.id} of {job.id} is on a node held for one of {holder.id}"
                    raise Broken(Invariant.HELD, what)

    def no_room_is_left(self, picture: Picture, state: State) -> None:
        """No task waits that could be placed now, by the records."""
        places, known = Places(picture, state), dict[tuple[object, ...], bool]()
        startable: defaultdict[QueueKey, list[TaskRecord]] = defaultdict(list)
        for task in picture.waiting if any(places.open.values()) else ():
            job = picture.job(task)
            key = picture.key_of_job(job)
            if key in state.hot or not places.open.get(key):
                continue
            holding = state.queue(key).holding
            mine = holding is not None and holding.task_no == task.no
            kind = (job.no, task.slots, task.instances, task.manager, mine)
            if kind not in known:
                known[kind] = places.fits(task)
            if known[kind] and self._may_start(places, task):
                what = f"task {task.id} of {job.id} could run and was left"
                raise Broken(Invariant.PLACES, what)
            startable[key].append(task)
        for key, tasks in startable.items():
            self._nodes_are_held(places, key, tasks)

    def _nodes_are_held(self, places: Places, key: QueueKey, tasks: list[TaskRecord]) -> None:
        """For a task that wants more than slots, and comes before all others, nodes are held."""
        picture, queue = places.picture, places.state.queue(key)
        demanding = [task for task in tasks if not wanted(picture.job(task), task).is_plain]
        if queue.holding is not None or not demanding:
            return
        may = [task for task in demanding if self._may_start(places, task)]
        best = max((t for t in may if places.is_possible(t)), key=_weight_in(picture), default=None)
        if best is None:
            return
        rivals = (task for task in tasks if task not in demanding)
        weight = priority(picture.job(best))
        if not any(
            priority(picture.job(task)) >= weight and self._may_start(places, task)
            for task in rivals
        ):
            what = f"nothing is held for task {best.id} of {picture.job(best).id}"
            raise Broken(Invariant.HELD, f"{what}, which comes before all others")

    def _may_start(self, places: Places, task: TaskRecord) -> bool:
        return places.may_start(task) and not self.unmet(places.picture, task)

    def reasons(self, picture: Picture, engine: Engine, now_us: int, at_once: AtOnce) -> None:
        """Every task that waits can be told why, and that is true.

        Tasks of a job that need as many slots and wait for no other share all facts, so one of
        them speaks for all.
        """
        spoken: set[tuple[object, ...]] = set()
        turn = Turn(engine._state, picture.store, now_us, Random(0), engine.settings)
        for task in (*picture.waiting, *picture.ahead):
            if task.ahead or not self.unmet(picture, task):
                kind = (task.job_no, task.slots, task.instances, task.manager, task.attempt > 0)
                if kind in spoken:
                    continue
                spoken.add(kind)
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
        open_nodes = [node for node in nodes if is_enabled(node)]
        since = self._free_since
        self._free_since = {}
        kept = {picture.key_of_job(job) for job in map(picture.job, _demanding(picture))}
        for task in (*picture.waiting, *picture.ahead) if open_nodes else ():
            job = picture.job(task)
            key = picture.key_of_job(job)
            if key in kept or not _could_start(picture, self, task):
                continue
            for node in open_nodes:
                if picture.key_of_node(node) == key and _fits(picture, task, node):
                    began_s = since.get((task.no, node.no), now_s)
                    self._free_since[task.no, node.no] = began_s
                    if now_s - began_s > PLACED_WITHIN_S:
                        what = f"task {task.id} of {job.id} waits, and node {node.no} has room"
                        raise Broken(Invariant.BOUND, f"{what} since {began_s:.0f} s")


def _demanding(picture: Picture) -> Iterator[TaskRecord]:
    """Tasks for which nodes may be held, or others have to make room."""
    for task in (*picture.waiting, *picture.running, *picture.ahead):
        waits = task.state is TaskState.ACTIVE and not task.ahead
        if task.ending is Ending.REQUEUED or (
            waits and not wanted(picture.job(task), task).is_plain
        ):
            yield task


def _could_start(picture: Picture, placing: Placing, task: TaskRecord) -> bool:
    """Whether nothing but the want of a node keeps the task from running, by the records."""
    job = picture.job(task)
    if job.state is not JobState.ACTIVE or task.ending is not None:
        return False
    if not task.ahead and picture.is_capped(job):
        return False
    return not placing.unmet(picture, task)


def _weight_in(picture: Picture) -> Callable[[TaskRecord], int]:
    return lambda task: priority(picture.job(task))


def _fits(picture: Picture, task: TaskRecord, node: NodeRecord) -> bool:
    if picture.is_barred(picture.job(task), node) or (task.ahead and task.node_no == node.no):
        return False
    return picture.free(node) >= task.slots


def _might_have(places: Places, waiting: TaskRecord, placed: TaskRecord) -> bool:
    """Whether a task that waits might have what another was given."""
    picture, job = places.picture, places.picture.job(waiting)
    node = picture.store.nodes.get(placed.node_no or 0)
    if node is None or picture.is_barred(job, node):
        return False
    if placed.ahead and job.spec.job_preparation_task is not None:
        return False  # such tasks are not sent to nodes that are not ready for them
    return places.state.queue(picture.key_of_job(job)).may_use(job.no, node.no)


def _may_be_placed(places: Places, task: TaskRecord) -> None:
    picture, job = places.picture, places.picture.job(task)
    cap, nodes = job.spec.max_parallel_tasks, picture.nodes_of(task)
    wrong = ""
    if job.state is not JobState.ACTIVE:
        wrong = f"the job is {job.state}"
    elif cap is not None and 0 <= cap < picture.given_of[job.no]:
        wrong = f"the job may have {cap} at once and has {picture.given_of[job.no]}"
    elif len(set(nodes)) != wanted(job, task).nodes:
        wrong = f"it has the nodes {nodes}"
    for node_no in nodes:
        wrong = wrong or _wrong_with(places, task, picture.store.nodes.get(node_no))
    if wrong:
        raise Broken(Invariant.RULES, f"task {task.id} of {job.id} is placed: {wrong}")


def _wrong_with(places: Places, task: TaskRecord, node: NodeRecord | None) -> str:
    picture, job = places.picture, places.picture.job(task)
    pool, want = picture.pool_of(job), wanted(job, task)
    if node is None or pool is None or node.pool_no != pool.no:
        return "that is no node of the job's pool"
    if pool.state is PoolState.DELETING or not takes_tasks(node):
        return f"the node is {node.state}, and leaves: {node.leaving}, {node.wish}"
    if node.host not in places.state.linked:
        return "its host is away"
    if picture.is_barred(job, node):
        return "its preparation has failed there"
    if want.dedicated and not node.dedicated:
        return "its node may be preempted"
    if want.whole and picture.free(node) > 0:
        return "others may come to its node"
    return ""
