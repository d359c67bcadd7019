"""How the engine's memory changes.

`State` is built by applying changes: those of each turn as they are decided, and at start those
that amount to what the store has kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice

from penstock.domain import changes as c
from penstock.domain.records import (
    Chore,
    JobNodeRecord,
    JobRecord,
    NodeRecord,
    PoolRecord,
    SubtaskRecord,
    TaskRecord,
    WaitingTask,
    key_of,
)
from penstock.domain.states import JobState, NodeState, SchedulingState, TaskResult, TaskState
from penstock.engine.memory import Memory, QueueKey, queue_key
from penstock.engine.readiness import Readiness, readiness, waits_for_success
from penstock.engine.tally import Tally
from penstock.scheduler.ahead import slots_ahead
from penstock.scheduler.demands import Demand
from penstock.scheduler.dependencies import DependencyBook
from penstock.scheduler.nodes import Fill
from penstock.store.contract import Saved

OPEN_NODE_STATES = frozenset({NodeState.IDLE, NodeState.RUNNING})

LIVE_JOB_STATES = frozenset(
    {JobState.ACTIVE, JobState.DISABLING, JobState.DISABLED, JobState.ENABLING}
)

RESTORED_AT_ONCE = 5_000
"""Waiting tasks that are taken in without a pause: some milliseconds."""

PACE_WEIGHT = 0.2
"""How much the newest task counts in the pace of a node."""


class State(Memory):
    """The engine's memory. Nothing but the engine's own turn changes it."""

    @classmethod
    def restored(cls, saved: Saved) -> State:
        """Build the memory from what a store kept."""
        state = cls()
        for _ in state.restore(saved):
            pass
        return state

    def restore(self, saved: Saved) -> Iterator[None]:
        """Take in what a store kept; pauses now and then, to be continued."""
        self.next_no = saved.next_no
        for pool in saved.pools:
            self.apply(c.PutPool(pool))
        for node in saved.nodes:
            self.apply(c.PutNode(node))
        for job in saved.jobs:
            self.tallies[job.no] = Tally(saved.counts.get(job.no))
            self.apply(c.PutJob(job))
        for job_no, satisfied in saved.satisfied.items():
            once = saved.satisfied_once.get(job_no, {})
            self.books[job_no] = DependencyBook(satisfied, once)
        waiting = iter(saved.waiting)
        while part := list(islice(waiting, RESTORED_AT_ONCE)):
            self._wait_all(part)
            yield
        for task in saved.given:
            self._give(task)
        for subtask in saved.subtasks:
            self.apply(c.PutSubtask(subtask))
        for task in saved.given:
            self._count_given(task)
        for chore in saved.chores:
            self.apply(c.PutChore(chore))
        self.dropped.update(saved.dropped)
        for job_node in saved.job_nodes:
            self.apply(c.PutJobNode(job_node))
        for schedule in saved.schedules:
            self.apply(c.PutSchedule(schedule))
        for certificate in saved.certificates:
            self.apply(c.PutCertificate(certificate))
        for user in saved.node_users:
            self.apply(c.PutNodeUser(user))
        self.clock_offset_us = saved.clock_offset_us
        self.totals.update(saved.totals)
        self.lifetimes.update(saved.lifetimes)
        self.meters.update(saved.meters)

    # --- applying ----------------------------------------------------------------------------

    def apply(self, change: c.Change) -> None:
        """Let one change be so."""
        match change:
            case c.SetTask(task, was, _):
                self._set_task(task, was)
            case c.AddTask(task, _):
                self.tallies[task.job_no].count(task.state, task.slots, +1)
                self._wait(task)
            case c.OccupyNode(node):
                self._put_node(node)
            case c.PutNode(node):
                self._put_node(node)
            case c.DropNode(no):
                self._drop_node(no)
            case c.PutJob(job):
                self._put_job(job)
            case c.DropJob(no, left):
                self._drop_job(no)
                if left:
                    self.dropped[no] = left
            case c.SweepJob(no, most):
                self.dropped[no] -= most
                if self.dropped[no] <= 0:
                    del self.dropped[no]
            case c.KeepSatisfied(job_no, task_id, before_no):
                self.books[job_no].unsatisfy(task_id, before_no)
            case c.DropTask(task):
                self._drop_task(task)
            case c.PutPool(pool):
                self._put_pool(pool)
            case c.DropPool(no):
                pool = self.pools.pop(no)
                self.roster.drop_pool(no)
                del self._pool_nos[pool.account, key_of(pool.id)]
            case c.PutChore(chore):
                self._put_chore(chore)
            case c.DropChore(no):
                self._drop_chore(no)
            case c.SetCounts() | c.RanOn() | c.AddEvent() | c.TrimEvents():
                pass  # made from the tallies themselves; of no concern to scheduling
            case _:
                self._apply_more(change)

    def _apply_more(self, change: c.Change) -> None:
        match change:
            case c.PutSubtask(subtask):
                self._put_subtask(subtask)
            case c.DropSubtasks(task_no):
                self.subtasks.drop(task_no)
            case c.PutJobNode(job_node):
                self._put_job_node(job_node)
            case c.PutSchedule(schedule):
                self.timetable.put(schedule)
            case c.DropSchedule(no):
                self.timetable.drop(no)
                self.totals.pop(no, None)
            case c.PutCertificate(certificate):
                self.certificates.put(certificate)
            case c.DropCertificate(no):
                self.certificates.drop(no)
            case c.PutNodeUser(user):
                self.node_users.put(user)
            case c.DropNodeUser(no):
                self.node_users.drop(no)
            case c.SetClock(offset_us):
                self.clock_offset_us = offset_us
            case c.SetTotals(no, totals):
                self.totals[no] = totals
            case c.SetLifetime(account, lifetime):
                self.lifetimes[account] = lifetime
            case c.PutMeter(meter):
                self.meters[meter.pool_no] = meter
            case c.DropMeter(pool_no):
                del self.meters[pool_no]

    def _put_subtask(self, subtask: SubtaskRecord) -> None:
        if subtask.task_no in self.given:  # the others are of interest to clients alone
            self.subtasks.put(subtask)
            self.node_given.setdefault(subtask.node_no, {})[subtask.task_no] = None

    def _count_given(self, task: TaskRecord) -> None:
        """Count a task that its nodes have, as after a restart."""
        nodes = self._nodes_of(task)
        if nodes:
            self.queue_of(task.job_no).began(
                task.job_no,
                nodes[0],
                task.held or task.slots,
                task_no=task.no,
                others=tuple(nodes[1:]),
                demand=self.demand_of(task),
            )

    def _nodes_of(self, task: TaskRecord) -> list[int]:
        """The nodes that have a task, the primary's first."""
        parts = self.subtasks.of(task.no)
        if parts:
            return [part.node_no for part in parts]
        return [] if task.node_no is None else [task.node_no]

    def _put_job_node(self, job_node: JobNodeRecord) -> None:
        job, node = self.jobs.get(job_node.job_no), self.nodes.get(job_node.node_no)
        if job is not None and job.end_us is None and node is not None:
            self.job_nodes.put(job_node)
            self._let_use(job, node)

    def _let_use(self, job: JobRecord, node: NodeRecord) -> None:
        """Say what the preparation of a node means for the tasks of a job."""
        found = readiness(job, node, self.job_nodes.get(job.no, node.no))
        queue = self.queue(queue_key(job))
        bar = found is Readiness.FAILED and waits_for_success(job)
        (queue.bar if bar else queue.unbar)(job.no, node.no)
        ready = found is Readiness.READY
        (queue.prepared if ready else queue.unprepared)(job.no, node.no)
        self.hot[queue_key(job)] = None

    def _put_pool(self, pool: PoolRecord) -> None:
        key = (pool.account, key_of(pool.id))
        before = self.pools.get(pool.no)
        if before is None or before.spec.vm_size != pool.spec.vm_size:
            self.roster.measure[pool.no] = None
        self.pools[pool.no] = pool
        self._pool_nos[key] = pool.no
        policy = pool.spec.task_scheduling_policy
        queue = self.queue(key)
        queue.fill = Fill(((policy and policy.node_fill_type) or "spread").lower())
        alone = (pool.spec.task_slots_per_node or 1) == 1
        queue.gangs_allowed = alone and bool(pool.spec.enable_inter_node_communication)
        queue.oldest_first = bool(policy and policy.job_default_order == "creationtime")

    def _put_node(self, node: NodeRecord) -> None:
        before = self.nodes.get(node.no)
        self.roster.put(node)
        self.open_or_close(node)
        if before is not None and (before.boot, before.wiped) != (node.boot, node.wiped):
            for job_node in self.job_nodes.of_node(node.no):
                self._let_use(self.jobs[job_node.job_no], node)

    def open_or_close(self, node: NodeRecord) -> None:
        """Let the node be given tasks or not, as its state and its host's link say."""
        key = self._key_of_node(node)
        queue = self.queue(key)
        is_open = (
            node.state in OPEN_NODE_STATES
            and node.scheduling is SchedulingState.ENABLED
            and node.leaving is None
            and node.wish is None
            and node.host in self.linked
        )
        if is_open and not queue.has_node(node.no):
            used = sum(task.held or task.slots for task in self.given_to(node.no))
            queue.open_node(
                node.no,
                node.slots - used,
                self._ahead_slots(node),
                dedicated=node.dedicated,
                capacity=node.slots,
            )
            self.hot[key] = None
        elif not is_open and queue.has_node(node.no):
            queue.close_node(node.no)
            self.hot[key] = None  # what was held for a task that has too few nodes now is free

    def _ahead_slots(self, node: NodeRecord) -> int:
        return slots_ahead(node.slots, self.pace_us.get(node.no))

    def took(self, node: NodeRecord, length_us: int) -> None:
        """Note how long a task took on a node; short ones are sent ahead of their slots."""
        before = self.pace_us.get(node.no, float(length_us))
        self.pace_us[node.no] = before + (length_us - before) * PACE_WEIGHT
        key = self._key_of_node(node)
        if self.queue(key).has_node(node.no):
            self.queue(key).set_ahead(node.no, self._ahead_slots(node))
            self.hot[key] = None

    def _key_of_node(self, node: NodeRecord) -> QueueKey:
        pool = self.pools[node.pool_no]
        return pool.account, key_of(pool.id)

    def _drop_node(self, no: int) -> None:
        node = self.roster.drop(no)
        self.queue(self._key_of_node(node)).forget_node(no)
        self.pace_us.pop(no, None)
        self.job_nodes.drop_node(no)
        self.node_users.drop_node(no)
        for chore_no in list(self._node_chores.get(no, ())):
            self._drop_chore(chore_no)

    def _put_chore(self, chore: Chore) -> None:
        self.chores[chore.no] = chore
        self._node_chores.setdefault(chore.node_no, {})[chore.no] = None
        self._job_chores.setdefault(chore.job_no, {})[chore.no] = None

    def _drop_chore(self, no: int) -> None:
        chore = self.chores.pop(no, None)
        if chore is None:
            return
        for index, key in ((self._node_chores, chore.node_no), (self._job_chores, chore.job_no)):
            numbers = index[key]
            del numbers[no]
            if not numbers:
                del index[key]

    def _put_job(self, job: JobRecord) -> None:
        before = self.jobs.get(job.no)
        self.jobs[job.no] = job
        self._job_nos[job.account, key_of(job.id)] = job.no
        self.timetable.put_job(job)
        self.tallies.setdefault(job.no, Tally())
        if job.spec.uses_task_dependencies:
            self.books.setdefault(job.no, DependencyBook())
        key = queue_key(job)
        queue = self.queue(key)
        if before is not None and queue_key(before) != key:
            waiting = self.queue(queue_key(before)).release(job.no)
            if waiting is not None:
                queue.adopt(waiting)
        spec = job.spec
        limit = spec.constraints.max_wall_clock_time if spec.constraints else None
        if job.state in LIVE_JOB_STATES and limit is not None and limit.micros is not None:
            self.job_due_us[job.no] = job.created_us + limit.micros
        else:
            self.job_due_us.pop(job.no, None)
        cap = -1 if spec.max_parallel_tasks is None else spec.max_parallel_tasks
        if job.state is JobState.ENABLING:
            self.enabling[job.no] = None
        else:
            self.enabling.pop(job.no, None)
        if job.state is JobState.COMPLETED:
            self.job_nodes.drop_job(job.no)
        queue.put_job(
            job.no,
            spec.priority or 0,
            cap,
            open_=job.state is JobState.ACTIVE,
            preemptible=bool(spec.allow_task_preemption),
            prepares=spec.job_preparation_task is not None,
        )
        self.hot[key] = None

    def _drop_job(self, no: int) -> None:
        job = self.jobs.pop(no)
        self.queue(queue_key(job)).release(no)
        del self._job_nos[job.account, key_of(job.id)]
        self.timetable.drop_job(job)
        self.tallies.pop(no, None)
        self.totals.pop(no, None)
        self.books.pop(no, None)
        self.releasing.pop(no, None)
        self.job_given.pop(no, None)
        self.job_due_us.pop(no, None)
        self.enabling.pop(no, None)
        self.job_nodes.drop_job(no)

    def _set_task(self, task: TaskRecord, was: TaskState) -> None:
        if task.state is not was:
            # Only failed tasks leave the completed state, so one that does was among those.
            tally = self.tallies[task.job_no]
            tally.count(was, task.slots, -1, failed=True)
            tally.count(task.state, task.slots, +1, failed=_failed(task))
        had, has = task.no in self.given, _is_given(task)
        if had and has:
            self._keep(task)
        elif had:
            self._take_back(task.no)
        elif has:
            self._give(task)
        elif was is TaskState.ACTIVE and task.state is TaskState.COMPLETED:
            self._forget_waiting(task)
        if task.state is TaskState.ACTIVE and not has and (had or was is not TaskState.ACTIVE):
            self._wait(task)
        elif task.state is TaskState.COMPLETED and was is not TaskState.COMPLETED:
            self._release_dependents(task)

    def _release_dependents(self, task: TaskRecord) -> None:
        if task.satisfies and task.job_no in self.books:
            self.books[task.job_no].satisfy(task.id)
            self.releasing[task.job_no] = None

    def release(self, most: int) -> None:
        """Let tasks wait for nodes whose dependencies are met, over about so many edges."""
        while self.releasing and most > 0:
            job_no = next(iter(self.releasing))
            del self.releasing[job_no]
            book = self.books[job_no]
            released, took = book.release(most)
            most -= took
            for task_no, then in released:
                self.enqueue(job_no, task_no, *then)
            if book.may_release:
                self.releasing[job_no] = None

    def _drop_task(self, task: TaskRecord) -> None:
        self.tallies[task.job_no].count(task.state, task.slots, -1, failed=_failed(task))
        if task.no in self.given:
            self._take_back(task.no)
        elif task.state is TaskState.ACTIVE:
            self._forget_waiting(task)

    def _wait(self, task: TaskRecord | WaitingTask) -> None:
        demand = self.demand_of(task)
        then = (task.slots, task.affinity, demand)
        if task.depends is None or self.books[task.job_no].add(task.no, task.depends, then):
            self.enqueue(task.job_no, task.no, task.slots, task.affinity, demand)

    def demand_of(self, task: TaskRecord | WaitingTask) -> Demand | None:
        """What a task asks for beyond slots."""
        if task.instances:
            return Demand(nodes=task.instances, gang=True)
        if not task.manager:
            return None
        manager = self.jobs[task.job_no].spec.job_manager_task
        return Demand(
            whole=manager is None or manager.run_exclusive is not False,
            dedicated=manager is not None and manager.allow_low_priority_node is False,
            first=True,
            displaces=task.again if isinstance(task, WaitingTask) else task.attempt > 0,
        )

    def _wait_all(self, tasks: Iterable[WaitingTask]) -> None:
        """Let many wait; those that want nothing but slots together, as most do."""
        for (job_no, slots, plain), group in groupby(tasks, _kind):
            if plain:
                key = queue_key(self.jobs[job_no])
                self.queue(key).add_many(job_no, [task.no for task in group], slots)
                self.hot[key] = None
            else:
                for task in group:
                    self._wait(task)

    def enqueue(
        self,
        job_no: int,
        task_no: int,
        slots: int,
        affinity: str | None,
        demand: Demand | None = None,
    ) -> None:
        """Let an active task wait for a node: it waits for no other task any more."""
        key = queue_key(self.jobs[job_no])
        self.queue(key).add(job_no, task_no, slots, self._hint(key, affinity), demand)
        self.hot[key] = None

    def _hint(self, key: QueueKey, affinity: str | None) -> int | None:
        """The node that an affinity id names (``TVM:`` and the node's id), if it is there."""
        if affinity is None:
            return None
        pool_no = self._pool_nos.get(key, 0)
        return self.roster.number_of(pool_no, key_of(affinity).removeprefix("tvm:"))

    def _forget_waiting(self, task: TaskRecord) -> None:
        book = self.books.get(task.job_no)
        if book is None or not book.remove(task.no):
            demand, key = self.demand_of(task), queue_key(self.jobs[task.job_no])
            self.queue(key).remove(task.job_no, task.no, task.slots, demand)
            self.hot[key] = None  # nodes may have been held for it, or are to be for the next

    def _give(self, task: TaskRecord) -> None:
        self.job_given.setdefault(task.job_no, {})[task.no] = None
        if task.node_no is not None:
            self.node_given.setdefault(task.node_no, {})[task.no] = None
        self._keep(task)

    def _keep(self, task: TaskRecord) -> None:
        self.given[task.no] = task
        if task.ahead:
            self.ahead_since_us.setdefault(task.no, 0)
        else:
            self.ahead_since_us.pop(task.no, None)

    def _take_back(self, task_no: int) -> None:
        task = self.given.pop(task_no)
        nodes = self._nodes_of(task)
        self.subtasks.drop(task_no)
        self.ahead_since_us.pop(task_no, None)
        del self.job_given[task.job_no][task_no]
        key = queue_key(self.jobs[task.job_no])
        for node_no in nodes:
            on_node = self.node_given[node_no]
            del on_node[task_no]
            if not on_node:
                del self.node_given[node_no]
        if nodes:
            held, others = task.held or task.slots, tuple(nodes[1:])
            self.queue(key).ended(task.job_no, nodes[0], held, task_no=task_no, others=others)
            self.hot[key] = None


def _kind(task: WaitingTask) -> tuple[int, int, bool]:
    plain = task.depends is None and task.affinity is None
    return task.job_no, task.slots, plain and not task.instances and not task.manager


def _failed(task: TaskRecord) -> bool:
    return task.result is TaskResult.FAILURE


def _is_given(task: TaskRecord) -> bool:
    return task.ahead or task.state in (TaskState.RUNNING, TaskState.PREPARING)
