"""What the store has at one revision, arranged for the questions of the checks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from penstock.domain.records import (
    JobNodeRecord,
    JobRecord,
    NodeRecord,
    PoolRecord,
    SubtaskRecord,
    TaskRecord,
    key_of,
)
from penstock.domain.specs.task import Dependencies
from penstock.domain.states import TaskState
from penstock.engine.memory import QueueKey, queue_key
from penstock.scheduler.dependencies import number_of
from tests.sim.disk import Disk

Wanted = str | int
"""A dependency: the lower-case id of a task, or the number that an id has to spell."""


class Picture:
    """One revision. Built from the records alone, as none of the engine's own structures is."""

    def __init__(self, store: Disk) -> None:
        self.store = store
        self.revision = store.revision
        self.parts: defaultdict[int, list[SubtaskRecord]] = defaultdict(list)  # by task
        for _, part in sorted(store.parts.items()):
            self.parts[part.task_no].append(part)
        self.job_nodes: dict[tuple[int, int], JobNodeRecord] = {
            (at.job_no, at.node_no): at for at in store.job_nodes.values()
        }
        self.waiting: list[TaskRecord] = []  # for a node, and not sent ahead to any
        self.ahead: list[TaskRecord] = []
        self.running: list[TaskRecord] = []  # or on nodes that are prepared for it
        self.slots_given: Counter[int] = Counter()  # by node: running, or sent ahead
        self.given_of: Counter[int] = Counter()  # by job: tasks running, or sent ahead
        self._by_job: defaultdict[int, list[TaskRecord]] | None = None
        self._met: dict[int, set[Wanted]] = {}
        self._keys: dict[int, QueueKey] = {}  # by job
        for task in store.tasks.values():
            if task.state is TaskState.COMPLETED:
                continue
            if task.state is TaskState.ACTIVE and not task.ahead:
                self.waiting.append(task)
                continue
            (self.ahead if task.ahead else self.running).append(task)
            self.given_of[task.job_no] += 1
            for node_no in self.nodes_of(task):
                self.slots_given[node_no] += task.held or task.slots
        self.pools = {(pool.account, key_of(pool.id)): pool for pool in store.pools.values()}

    def nodes_of(self, task: TaskRecord) -> list[int]:
        """The nodes that have a task, the primary's first."""
        if task.instances:
            return [part.node_no for part in self.parts[task.no] if part.attempt == task.attempt]
        return [] if task.node_no is None else [task.node_no]

    def manager_of(self, job: JobRecord) -> TaskRecord | None:
        """The manager of a job, while it waits."""
        if job.manager_no is None:
            return None
        task = self.store.tasks.get(job.manager_no)
        waits = task is not None and task.state is TaskState.ACTIVE and not task.ahead
        return task if waits else None

    def is_barred(self, job: JobRecord, node: NodeRecord) -> bool:
        """Whether the preparation of a node has failed for good, in this boot of it."""
        wanted, at = job.spec.job_preparation_task, self.job_nodes.get((job.no, node.no))
        run = None if at is None else at.preparation
        if wanted is None or wanted.wait_for_success is False or at is None or run is None:
            return False
        failed = run.failure is not None and run.failure.code != "NodeLost"
        return failed and not run.running and at.boot == node.boot

    def job(self, task: TaskRecord) -> JobRecord:
        return self.store.jobs[task.job_no]

    def key_of_job(self, job: JobRecord) -> QueueKey:
        key = self._keys.get(job.no)
        if key is None:
            key = self._keys[job.no] = queue_key(job)
        return key

    def pool_of(self, job: JobRecord) -> PoolRecord | None:
        return self.pools.get(self.key_of_job(job))

    def key_of_node(self, node: NodeRecord) -> QueueKey:
        pool = self.store.pools[node.pool_no]
        return pool.account, key_of(pool.id)

    def free(self, node: NodeRecord) -> int:
        """Slots that no task has, and for which none was sent ahead."""
        return node.slots - self.slots_given[node.no]

    def is_capped(self, job: JobRecord, held_for: int = 0) -> bool:
        """Whether no other task of a job may run; `held_for` others are as good as running."""
        cap = job.spec.max_parallel_tasks
        return cap is not None and 0 <= cap <= self.given_of[job.no] + held_for

    # --- dependencies ----------------------------------------------------------------------------

    def tasks_of(self, job_no: int) -> list[TaskRecord]:
        if self._by_job is None:
            self._by_job = defaultdict(list)
            for task in self.store.tasks.values():
                self._by_job[task.job_no].append(task)
        return self._by_job[job_no]

    def met(self, job_no: int) -> set[Wanted]:
        """All that a dependent of the job may count on."""
        found = self._met.get(job_no)
        if found is None:
            found = self._met[job_no] = set()
            for task in self.tasks_of(job_no):
                if task.satisfies:
                    found |= names_of(task.id)
        return found


def names_of(task_id: str) -> set[Wanted]:
    """What a dependent may call a task."""
    number = number_of(task_id)
    return {key_of(task_id)} if number is None else {key_of(task_id), number}


def wants(depends: Dependencies) -> Iterator[Wanted]:
    for name in depends.task_ids or ():
        yield key_of(name)
    for span in depends.task_id_ranges or ():
        yield from range(span.start, span.end + 1)
