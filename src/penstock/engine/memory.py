"""What the engine holds in memory, and how it is found. `State` says how it changes.

A waiting task is a number in a queue; only tasks that nodes have are here with their records.
"""

from __future__ import annotations

from penstock.domain.metering import Lifetime, Meter
from penstock.domain.records import (
    Chore,
    JobRecord,
    NodeRecord,
    PoolRecord,
    ScheduleRecord,
    TaskRecord,
    key_of,
)
from penstock.domain.usage import Totals
from penstock.engine.entrusted import Certificates, NodeUsers
from penstock.engine.parts import JobNodes, Subtasks
from penstock.engine.roster import Roster
from penstock.engine.tally import Tally
from penstock.engine.timetable import Timetable
from penstock.scheduler.dependencies import DependencyBook
from penstock.scheduler.queue import PoolQueue

QueueKey = tuple[str, str]
"""Account and lower-case pool id. A queue is there before its pool, for jobs may be."""


class Memory:
    """All that scheduling needs to know."""

    def __init__(self) -> None:
        self.next_no = 1
        self.pools: dict[int, PoolRecord] = {}
        self.roster = Roster()
        self.nodes = self.roster.nodes
        self.jobs: dict[int, JobRecord] = {}
        self.tallies: dict[int, Tally] = {}
        self.given: dict[int, TaskRecord] = {}  # tasks that nodes have: running, or sent ahead
        self.chores: dict[int, Chore] = {}
        self.queues: dict[QueueKey, PoolQueue] = {}
        self.books: dict[int, DependencyBook] = {}
        self.releasing: dict[int, None] = {}  # jobs with tasks that may have to wait no more
        self.dropped: dict[int, int] = {}  # jobs that are gone: their tasks still to be removed
        self.job_due_us: dict[int, int] = {}  # live jobs with a wall clock limit: when it ends them
        self.hot: dict[QueueKey, None] = {}  # queues in which something may be placed, in order
        self.linked: set[str] = set()  # node hosts that are connected now
        self.host_versions: dict[str, str] = {}  # of those that were since the start
        self.job_given: dict[int, dict[int, None]] = {}
        self.node_given: dict[int, dict[int, None]] = {}
        self.ahead_since_us: dict[int, int] = {}  # tasks sent ahead: when this server did so
        self.pace_us: dict[int, float] = {}  # by node: how long tasks take there of late
        self.subtasks = Subtasks()  # of the given tasks
        self.job_nodes = JobNodes()
        self.certificates = Certificates()
        self.node_users = NodeUsers()
        self.timetable = Timetable()
        self.schedules = self.timetable.schedules
        self.enabling: dict[int, None] = {}  # jobs that are to be active from the next turn on
        self.clock_offset_us = 0
        self.totals: dict[int, Totals] = {}  # of jobs and schedules
        self.lifetimes: dict[str, Lifetime] = {}  # by account
        self.meters: dict[int, Meter] = {}  # by pool
        self._pool_nos: dict[QueueKey, int] = {}
        self._job_nos: dict[QueueKey, int] = {}
        self._node_chores: dict[int, dict[int, None]] = {}
        self._job_chores: dict[int, dict[int, None]] = {}

    def pool(self, account: str, pool_id: str) -> PoolRecord | None:
        """Find a pool; the id in any case."""
        return self.pools.get(self._pool_nos.get((account, key_of(pool_id)), 0))

    def job(self, account: str, job_id: str) -> JobRecord | None:
        """Find a job; the id in any case."""
        return self.jobs.get(self._job_nos.get((account, key_of(job_id)), 0))

    def node(self, pool_no: int, node_id: str) -> NodeRecord | None:
        """Find a node; the id in any case."""
        return self.nodes.get(self.roster.number_of(pool_no, node_id) or 0)

    def schedule(self, account: str, schedule_id: str) -> ScheduleRecord | None:
        """Find a job schedule; the id in any case."""
        return self.timetable.find(account, schedule_id)

    def queue(self, key: QueueKey) -> PoolQueue:
        """The queue of a pool, whether the pool is there or not."""
        queue = self.queues.get(key)
        if queue is None:
            queue = self.queues[key] = PoolQueue()
        return queue

    def queue_of(self, job_no: int) -> PoolQueue:
        """The queue that a job's tasks wait in."""
        return self.queue(queue_key(self.jobs[job_no]))

    def given_to(self, node_no: int) -> list[TaskRecord]:
        """The tasks that a node has."""
        return [self.given[no] for no in self.node_given.get(node_no, ())]

    def given_of(self, job_no: int) -> list[TaskRecord]:
        """The tasks of a job that nodes have."""
        return [self.given[no] for no in self.job_given.get(job_no, ())]

    def chores_on(self, node_no: int) -> list[Chore]:
        """What a node still has to do, oldest first."""
        return [self.chores[no] for no in self._node_chores.get(node_no, ())]

    def chores_of(self, job_no: int) -> list[Chore]:
        """What nodes still have to do for a job, oldest first."""
        return [self.chores[no] for no in self._job_chores.get(job_no, ())]


def queue_key(job: JobRecord) -> QueueKey:
    """The queue that a job's tasks wait in."""
    return job.account, key_of(job.pool_id)
