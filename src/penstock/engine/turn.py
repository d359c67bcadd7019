"""One turn of the engine: commands decided one after the other, then committed together."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.queries import Compare, Query
from penstock.domain.records import (
    Chore,
    EventRecord,
    JobRecord,
    NodeRecord,
    PoolRecord,
    ScheduleRecord,
    SubtaskRecord,
    TaskRecord,
    key_of,
)
from penstock.domain.refusals import (
    JobNotFound,
    JobScheduleNotFound,
    PoolNotFound,
    TaskNotFound,
)
from penstock.domain.states import TaskResult
from penstock.domain.usage import Growth
from penstock.engine import metering, totals
from penstock.engine.changeset import ChangeSet
from penstock.engine.events import events_of
from penstock.engine.settings import EngineSettings
from penstock.engine.state import State
from penstock.messages import Instruction, RemoveJob, RemoveTask, encode
from penstock.store.contract import Store


class Turn:
    """What one turn may look at, and all that it wants done.

    Decisions read `state`, the store, `now_us` and `random`, and call `put` for each change; a
    decision that refuses does so before its first `put`. What is put is applied to the state at
    once, so the next decision of the turn sees it; the world sees it after the commit.
    """

    def __init__(
        self, state: State, store: Store, now_us: int, random: Random, settings: EngineSettings
    ) -> None:
        self.state = state
        self.now_us = now_us
        self.random = random
        self.settings = settings
        self.sends: list[tuple[int, Instruction]] = []  # node number, what to tell its host
        self.greetings: list[tuple[str, list[Instruction]]] = []  # to hosts, before all else
        self.answers: list[tuple[str, Instruction]] = []  # to hosts, for what they reported
        self.lost_hosts: list[str] = []  # that were silent for too long
        self.puts = 0
        self.touched_jobs: dict[int, str | None] = {}  # to settle; with an action on the job
        self.touched_nodes: dict[int, None] = {}
        self.touched_pools: dict[int, None] = {}
        self.touched_schedules: dict[int, None] = {}
        self.boots: dict[int, None] = {}  # nodes whose hosts are to be told of a new boot
        self.removals: dict[int, int | None] = {}  # task dropped: the chore for its directory
        self.tells = True  # whether events are kept
        self.told = 0  # events
        self.last_event_no = 0
        self._store = store
        self._changes = ChangeSet()
        self._growths: dict[int, tuple[JobRecord, Growth]] = {}  # by job
        self._counted: dict[int, None] = {}  # jobs whose counts are to be written
        self._tasks: dict[int, tuple[TaskRecord, bytes]] = {}  # as this turn left them
        self._keys: dict[tuple[int, str], int | None] = {}  # None: dropped in this turn

    # --- changing ----------------------------------------------------------------------------

    def new_no(self) -> int:
        """A number that nothing else has or had."""
        no = self.state.next_no
        self.state.next_no += 1
        return no

    def changes(self) -> list[c.Change]:
        """All that is to be committed, each thing once, with the counts of the jobs touched and
        what was used by them and by pools."""
        for job_no in self._counted:
            tally = self.state.tallies.get(job_no)
            if tally is not None:  # else the job was dropped too
                self._changes.keep(tally.change(job_no))
        self._counted.clear()
        for change in totals.grown(self.state, self._growths.values(), self.now_us):
            self._note(change)
        self._growths.clear()
        for change in metering.measured(self.state, self.now_us):
            self._note(change)
        return self._changes.all()

    def _note(self, change: c.Change) -> None:
        self.state.apply(change)
        self._changes.keep(change)

    def growth_of(self, job_no: int) -> Growth:
        """What the totals of a job grow by in this turn, to be added to."""
        found = self._growths.get(job_no)
        if found is None:
            found = self._growths[job_no] = (self.state.jobs[job_no], Growth())
        return found[1]

    def put(self, change: c.Change) -> None:
        """Let this be so, and commit it with the turn."""
        self.puts += 1
        told = events_of(change, self.state, self.now_us) if self.tells else ()
        self.state.apply(change)
        self._changes.keep(change)
        for event in told:
            self._tell(*event)
        match change:
            case c.SetTask(task, _, spec):
                self._counted[task.job_no] = None
                if task.no in self._tasks:
                    self._remember(task, spec if spec is not None else self._tasks[task.no][1])
            case c.AddTask(task, spec):
                self._counted[task.job_no] = None
                self._remember(task, spec)
            case c.DropTask(task):
                self._counted[task.job_no] = None
                self._keys[task.job_no, key_of(task.id)] = None
                self._tasks.pop(task.no, None)

    def _tell(self, account: str, name: str, body: bytes) -> None:
        self.told += 1
        no = self.last_event_no = self.new_no()
        self._changes.keep(c.AddEvent(EventRecord(no, self.now_us, account, name, body)))

    def _remember(self, task: TaskRecord, spec: bytes) -> None:
        self._tasks[task.no] = (task, spec)
        self._keys[task.job_no, key_of(task.id)] = task.no

    def send(self, node_no: int, instruction: Instruction) -> None:
        """Tell the host of a node, once all is durable. May be repeated after a crash."""
        self.sends.append((node_no, instruction))

    def touch_job(self, job_no: int, action: str | None = None) -> None:
        """Have the job looked at after this decision; `action` is ``terminate`` or ``disable``."""
        self.touched_jobs[job_no] = action or self.touched_jobs.get(job_no)

    def touch_node(self, node_no: int) -> None:
        """Have the node looked at after this decision."""
        self.touched_nodes[node_no] = None

    def touch_pool(self, pool_no: int) -> None:
        """Have the pool looked at after this decision."""
        self.touched_pools[pool_no] = None

    def touch_schedule(self, schedule_no: int) -> None:
        """Have the job schedule looked at after this decision."""
        self.touched_schedules[schedule_no] = None

    def put_chore(self, node_no: int, job_no: int, instruction: RemoveTask | RemoveJob) -> None:
        """Have something done on a node, repeated until the node says that it is done.

        A node that no host has, has no directories either.
        """
        node = self.state.nodes.get(node_no)
        if node is not None and node.host is None:
            return
        self.put(
            c.PutChore(
                Chore(
                    no=instruction.chore,
                    node_no=node_no,
                    job_no=job_no,
                    message=encode([instruction]),
                )
            )
        )
        self.send(node_no, instruction)

    def put_task(self, before: TaskRecord, **new: Any) -> TaskRecord:
        """Change a task; a new state takes its time from the turn and keeps the previous one."""
        if "state" in new and new["state"] is not before.state:
            new |= {
                "state_us": self.now_us,
                "previous_state": before.state,
                "previous_state_us": before.state_us,
            }
        task = replace(before, **new)
        self.put(c.SetTask(task, before.state))
        return task

    def modified(self, before_us: int) -> int:
        """The time of a user's change: later than the last one, so that the tag differs."""
        return max(self.now_us, before_us + 1)

    # --- finding -----------------------------------------------------------------------------

    def pool(self, account: str, pool_id: str) -> PoolRecord:
        """Find a pool, or refuse."""
        pool = self.state.pool(account, pool_id)
        if pool is None:
            raise PoolNotFound
        return pool

    def job(self, account: str, job_id: str) -> JobRecord:
        """Find a job, or refuse."""
        job = self.state.job(account, job_id)
        if job is None:
            raise JobNotFound
        return job

    def schedule(self, account: str, schedule_id: str) -> ScheduleRecord:
        """Find a job schedule, or refuse."""
        schedule = self.state.schedule(account, schedule_id)
        if schedule is None:
            raise JobScheduleNotFound
        return schedule

    def node(self, no: int | None) -> NodeRecord | None:
        """Find a node by its number."""
        return None if no is None else self.state.nodes.get(no)

    async def task(self, job: JobRecord, task_id: str) -> tuple[TaskRecord, bytes]:
        """Find a task as this turn has it, or refuse."""
        key = (job.no, key_of(task_id))
        if key in self._keys:
            no = self._keys[key]
            if no is None:
                raise TaskNotFound
            return self._tasks[no]
        found = await self._store.task(job.no, task_id)
        if found is None:
            raise TaskNotFound
        return self._current(*found)

    def _current(self, task: TaskRecord, spec: bytes) -> tuple[TaskRecord, bytes]:
        """A task as the store has it, brought up to what this turn did to it."""
        if task.no not in self._tasks:
            kept = self._changes.set_of(task.no)
            if kept is not None:
                task = kept.task
                spec = kept.spec if kept.spec is not None else spec
            self._remember(task, spec)
        return self._tasks[task.no]

    async def tasks(self, numbers: Sequence[int]) -> dict[int, tuple[TaskRecord, bytes]]:
        """Find tasks by number, as this turn has them: without those that went in it."""
        missing = [no for no in numbers if no not in self._tasks and not self._changes.drops(no)]
        found = await self._store.tasks_by_no(missing) if missing else {}
        for no in missing:
            if no in found:
                self._current(*found[no])
        there = {no: self._tasks[no] for no in numbers if no in self._tasks}
        return {no: both for no, both in there.items() if both[0].job_no in self.state.jobs}

    async def subtasks(self, task_no: int) -> Sequence[SubtaskRecord]:
        """The parts of a multi-instance task, as its last run left them, or has them."""
        parts = self.state.subtasks.of(task_no)
        if parts:
            return parts
        stored = (
            () if self._changes.drops_subtasks(task_no) else await self._store.subtasks(task_no)
        )
        found = {part.no: part for part in (*stored, *self._changes.subtasks_of(task_no))}
        return [found[no] for no in sorted(found)]

    async def failed_tasks(self, job: JobRecord, limit: int) -> list[TaskRecord]:
        """Tasks of a job that failed, up to so many of those that are durable, as this turn has
        them."""
        failed = Compare("executionInfo/result", "eq", "failure")
        found = await self._store.list_tasks(job.no, Query(filter=failed, limit=limit))
        there = [self._current(*both)[0] for both in found if not self._changes.drops(both[0].no)]
        return [task for task in there if task.result is TaskResult.FAILURE]

    async def existing(self, job: JobRecord, keys: Sequence[str]) -> set[str]:
        """Which of these keys the job has tasks for, as this turn has them."""
        found = await self._store.existing(job.no, keys)
        for key in keys:
            if (job.no, key) in self._keys:
                if self._keys[job.no, key] is None:
                    found.discard(key)
                else:
                    found.add(key)
        return found
