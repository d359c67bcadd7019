"""What the store has at one revision, arranged for the questions of the checks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from penstock.domain.records import JobRecord, NodeRecord, PoolRecord, TaskRecord, key_of
from penstock.domain.specs.task import Dependencies
from penstock.domain.states import TaskState
from penstock.engine.state import QueueKey, queue_key
from penstock.scheduler.dependencies import number_of
from tests.sim.disk import Disk

Wanted = str | int
"""A dependency: the lower-case id of a task, or the number that an id has to spell."""


class Picture:
    """One revision. Built from the records alone, as none of the engine's own structures is."""

    def __init__(self, store: Disk) -> None:
        self.store = store
        self.revision = store.revision
        self.waiting: list[TaskRecord] = []  # for a node, and not sent ahead to any
        self.ahead: list[TaskRecord] = []
        self.running: list[TaskRecord] = []
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
            self.slots_given[task.node_no or 0] += task.slots
        self.pools = {(pool.account, key_of(pool.id)): pool for pool in store.pools.values()}

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

    def is_capped(self, job: JobRecord) -> bool:
        cap = job.spec.max_parallel_tasks
        return cap is not None and 0 <= cap <= self.given_of[job.no]

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
