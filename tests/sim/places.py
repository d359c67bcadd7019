"""Which nodes a task could be given now: a plain reading of the records."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from penstock.domain.records import JobRecord, NodeRecord, TaskRecord
from penstock.domain.states import JobState, SchedulingState
from penstock.engine.memory import QueueKey
from penstock.engine.state import OPEN_NODE_STATES, State
from tests.sim.picture import Picture


class Want(NamedTuple):
    """What a task asks for beside slots."""

    nodes: int = 1
    whole: bool = False  # with nothing else on them
    dedicated: bool = False

    @property
    def is_plain(self) -> bool:
        return self == Want()


def wanted(job: JobRecord, task: TaskRecord) -> Want:
    """What a task asks for, as its user said it."""
    if task.instances:
        return Want(nodes=task.instances, whole=True)
    manager = job.spec.job_manager_task
    if not task.manager or manager is None:
        return Want()
    return Want(
        whole=manager.run_exclusive is not False,
        dedicated=manager.allow_low_priority_node is False,
    )


def takes_tasks(node: NodeRecord) -> bool:
    """Whether the node may be given tasks, as far as its record goes."""
    return node.state in OPEN_NODE_STATES and is_enabled(node)


def is_enabled(node: NodeRecord) -> bool:
    """Whether nobody wants the node to take no more tasks."""
    stays = node.leaving is None and node.wish is None
    return stays and node.scheduling is SchedulingState.ENABLED


def priority(job: JobRecord) -> int:
    return job.spec.priority or 0


class Places:
    """The nodes that take tasks now, and who may have them."""

    def __init__(self, picture: Picture, state: State) -> None:
        self.picture = picture
        self.state = state
        self.open: defaultdict[QueueKey, list[NodeRecord]] = defaultdict(list)
        for node in picture.store.nodes.values():
            if takes_tasks(node) and node.host in state.linked:
                self.open[picture.key_of_node(node)].append(node)

    def usable(self, task: TaskRecord) -> list[NodeRecord]:
        """The nodes on which a task may run, though they be busy."""
        job = self.picture.job(task)
        want, pool = wanted(job, task), self.picture.pool_of(job)
        if pool is None:
            return []
        talks = pool.spec.enable_inter_node_communication and pool.spec.task_slots_per_node == 1
        if task.instances and not talks:
            return []
        return [
            node
            for node in self.open[self.picture.key_of_job(job)]
            if node.slots >= task.slots
            and (node.dedicated or not want.dedicated)
            and not self.picture.is_barred(job, node)
        ]

    def is_possible(self, task: TaskRecord) -> bool:
        """Whether there are as many nodes as a task wants."""
        return len(self.usable(task)) >= wanted(self.picture.job(task), task).nodes

    def fits(self, task: TaskRecord) -> bool:
        """Whether a task has room on nodes that are kept for nobody of more weight."""
        picture, job = self.picture, self.picture.job(task)
        queue, want = self.state.queue(picture.key_of_job(job)), wanted(job, task)
        usable = self.usable(task)
        if want.is_plain:
            return any(
                picture.free(node) >= task.slots and queue.may_use(job.no, node.no)
                for node in usable
            )
        holding = queue.holding
        if holding is not None and holding.task_no == task.no:
            held = [node for node in usable if node.no in holding.held]
            if len(held) == want.nodes and all(self._has_room(node, task, want) for node in held):
                return True
        free = [
            node
            for node in usable
            if queue._room.rank(node.no) is None and self._has_room(node, task, want)
        ]
        return len(free) >= want.nodes

    def _has_room(self, node: NodeRecord, task: TaskRecord, want: Want) -> bool:
        return self.picture.free(node) >= (node.slots if want.whole else task.slots)

    def may_start(self, task: TaskRecord) -> bool:
        """Whether nothing but nodes and dependencies keeps the task from running."""
        picture, job = self.picture, self.picture.job(task)
        if job.state is not JobState.ACTIVE or task.ending is not None:
            return False
        holding = self.state.queue(picture.key_of_job(job)).holding
        other = holding is not None and holding.job_no == job.no and holding.task_no != task.no
        if not task.ahead and picture.is_capped(job, held_for=int(other)):
            return False
        manager = picture.manager_of(job)
        return manager is None or manager.no == task.no or not self.is_possible(manager)
