"""A service that obeys at once: no nodes to wait for, no scheduler, everything in memory.

It carries out just enough of what an engine does for every operation to have an answer, so that
the REST edge can be tested alone. Files are a dictionary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random
from typing import Any

import msgspec
from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.conditions import Conditions
from penstock.domain.instants import SECOND_US
from penstock.domain.metering import Cores, Lifetime, Meter, Resources, Sample
from penstock.domain.queries import Query
from penstock.domain.records import (
    CertificateRecord,
    Counts,
    Detail,
    Failure,
    JobNodeRecord,
    JobRecord,
    NodeRecord,
    NodeUserRecord,
    NodeWork,
    PoolRecord,
    Removal,
    ScheduleRecord,
    SpecialRun,
    SubtaskRecord,
    TaskRecord,
    certificate_id,
)
from penstock.domain.refusals import (
    CertificateExists,
    CertificateNotFound,
    CertificateStateActive,
    JobExists,
    JobNotFound,
    JobScheduleExists,
    JobScheduleNotFound,
    NodeAlreadyInTargetSchedulingState,
    NodeNotFound,
    NodeStateUnusable,
    NodeUserExists,
    NodeUserNotFound,
    OperationNotValidOnNode,
    PoolBeingDeleted,
    PoolExists,
    PoolNotFound,
    Refusal,
    TaskCompleted,
    TaskDependenciesNotSpecifiedOnJob,
    TaskExists,
    TaskNotCompleted,
    TaskNotFound,
)
from penstock.domain.specs.certificate import NewCertificate
from penstock.domain.specs.common import TaskConstraints, encode_spec
from penstock.domain.specs.job import JobPatch, JobSpec, JobTemplate
from penstock.domain.specs.node import NodeLogin
from penstock.domain.specs.pool import NodeRemoval, PoolPatch, PoolReplacement, PoolSpec, Resize
from penstock.domain.specs.schedule import JobSchedulePatch, JobScheduleSpec
from penstock.domain.specs.task import TaskSpec
from penstock.domain.states import (
    AllocationState,
    CertificateState,
    JobState,
    NodeState,
    PoolState,
    ScheduleState,
    SchedulingState,
    SubtaskState,
    TaskResult,
    TaskState,
)
from penstock.domain.usage import Totals, Usage
from penstock.engine.clock import EngineClock
from penstock.engine.event_log import EventLog
from penstock.engine.roster import NodeCounts
from penstock.engine.service import FileAnswer
from penstock.engine.settings import EngineSettings
from penstock.engine.state import State
from penstock.engine.turn import Turn
from penstock.messages import FileInfo, FilesPage
from penstock.scheduler.reasons import Code, Group, Reason, Summary, because
from penstock.store.contract import Store
from penstock.store.memory import MemoryStore

NO_POOL = because(
    Code.POOL_MISSING, "There is no pool 'pool'.", "Create it, or move the job.", pool="pool"
)

NOON_US = 1_704_110_400 * SECOND_US
"""2024-01-01T12:00:00Z, when the fake's time begins."""

AUTO_POOL = "nightly_00000000-0000-4000-8000-0000000000A0"
"""The id of every auto pool."""


class FakeFile(FileAnswer):
    """What a node says; remembers whether it was closed."""

    def __init__(
        self,
        status: str,
        info: FileInfo | None = None,
        chunks: Sequence[bytes] = (),
        error: Exception | None = None,
    ) -> None:
        self.status, self.info = status, info
        self.chunks, self.error = chunks, error
        self.closed = False

    async def body(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        self.closed = True


class FakeClocked:
    """An engine in which nothing is ever due."""

    is_deciding = False

    def __init__(self, store: Store, machine_us: Callable[[], int]) -> None:
        self.store = store
        self.state = State()
        self.machine_us = machine_us

    async def submit(self, decide: Callable[[Turn], Any]) -> Any:
        settings = EngineSettings(server_id="fake")
        return decide(Turn(self.state, self.store, self.machine_us(), Random(1), settings))

    def tick(self, turn: Turn) -> None:
        pass

    async def sweep(self) -> bool:
        return False

    async def turned(self, within_s: float) -> None:
        pass


class FakeService:
    """A `Service`."""

    def __init__(self, now_us: int = NOON_US) -> None:
        self.memory = MemoryStore()
        self.store: Store = self.memory
        self.events = EventLog(self.store, 100)
        self.clock = EngineClock(FakeClocked(self.store, self.now))
        self.heard: list[tuple[Any, ...]] = []  # arguments that change nothing here
        self.now_us = now_us
        self.files: dict[str, bytes] = {}
        self.directories: set[str] = set()
        self.given: list[FakeFile] = []
        self.tokens: dict[str, JobRecord] = {}
        self.node_away = False
        self.cut_after: int | None = None
        self._last_no = 0

    def now(self) -> int:
        """The pretended time; it moves by a second with each change."""
        return self.now_us

    def _no(self) -> int:
        self._last_no += 1
        return self._last_no

    async def _keep(self, *changes: c.Change) -> None:
        self.now_us += SECOND_US
        await self.memory.commit(changes, self.memory.revision, self._last_no + 1)

    # --- tokens of tasks

    def job_of_token(self, token: str) -> JobRecord | None:
        return self.tokens.get(token)

    # --- pools

    async def add_pool(self, account: str, spec: PoolSpec) -> PoolRecord:
        if await self.store.pool(account, spec.id):
            raise PoolExists
        at = self.now_us
        pool = PoolRecord(
            no=self._no(),
            account=account,
            spec=spec,
            state=PoolState.ACTIVE,
            state_us=at,
            allocation=AllocationState.STEADY,
            allocation_us=at,
            created_us=at,
            modified_us=at,
            dedicated_nodes=spec.target_dedicated_nodes or 0,
            low_priority_nodes=spec.target_low_priority_nodes or 0,
        )
        nodes = [self._node(pool, index, True) for index in range(pool.dedicated_nodes)]
        nodes += [self._node(pool, index, False) for index in range(pool.low_priority_nodes)]
        await self._keep(c.PutPool(pool), *(c.PutNode(node) for node in nodes))
        return pool

    def _node(self, pool: PoolRecord, index: int, dedicated: bool) -> NodeRecord:
        return NodeRecord(
            no=self._no(),
            pool_no=pool.no,
            account=pool.account,
            id=f"node-{index}-{'d' if dedicated else 'p'}",
            dedicated=dedicated,
            slots=pool.spec.task_slots_per_node or 1,
            vm_size=pool.spec.vm_size,
            state=NodeState.IDLE,
            state_us=self.now_us,
            allocated_us=self.now_us,
            booted_us=self.now_us,
            address="127.1.0.1",
            agent_version="0.1.0",
        )

    async def pool(self, account: str, pool_id: str, when: Conditions) -> PoolRecord:
        pool = await self.store.pool(account, pool_id)
        if pool is None:
            raise PoolNotFound
        when.check(pool.modified_us)
        return pool

    async def _change_pool(self, pool: PoolRecord, **changed: Any) -> PoolRecord:
        new = replace(pool, modified_us=self.now_us, **changed)
        await self._keep(c.PutPool(new))
        return new

    async def patch_pool(
        self, account: str, pool_id: str, patch: PoolPatch, when: Conditions
    ) -> PoolRecord:
        pool = await self.pool(account, pool_id, when)
        return await self._change_pool(pool, spec=merged(pool.spec, patch))

    async def replace_pool_properties(
        self, account: str, pool_id: str, new: PoolReplacement
    ) -> PoolRecord:
        pool = await self.pool(account, pool_id, Conditions())
        parts = {name: getattr(new, name) for name in new.__struct_fields__}
        spec = replace(pool.spec, **parts)
        return await self._change_pool(pool, spec=spec)

    async def delete_pool(self, account: str, pool_id: str, when: Conditions) -> None:
        pool = await self.pool(account, pool_id, when)
        if pool.state is PoolState.DELETING:
            raise PoolBeingDeleted
        await self._change_pool(pool, state=PoolState.DELETING)

    async def resize_pool(
        self, account: str, pool_id: str, resize: Resize, when: Conditions
    ) -> PoolRecord:
        pool = await self.pool(account, pool_id, when)
        spec = replace(
            pool.spec,
            target_dedicated_nodes=resize.target_dedicated_nodes or 0,
            target_low_priority_nodes=resize.target_low_priority_nodes or 0,
        )
        return await self._change_pool(pool, spec=spec, allocation=AllocationState.RESIZING)

    async def stop_resize(self, account: str, pool_id: str, when: Conditions) -> PoolRecord:
        pool = await self.pool(account, pool_id, when)
        failure = Failure("usererror", "ResizeStopped", "The resize was stopped.")
        return await self._change_pool(
            pool, allocation=AllocationState.STEADY, resize_errors=(failure,)
        )

    async def remove_nodes(
        self, account: str, pool_id: str, removal: NodeRemoval, when: Conditions
    ) -> PoolRecord:
        pool = await self.pool(account, pool_id, when)
        for name in removal.node_list:
            node = await self.store.node(pool.no, name)
            if node is None:
                raise NodeNotFound
            await self._keep(c.DropNode(node.no))
        left = pool.dedicated_nodes - len(removal.node_list)
        return await self._change_pool(pool, dedicated_nodes=left)

    # --- nodes

    async def node(self, account: str, pool_id: str, node_id: str) -> NodeRecord:
        pool = await self.pool(account, pool_id, Conditions())
        node = await self.store.node(pool.no, node_id)
        if node is None:
            raise NodeNotFound
        return node

    async def _change_node(self, node: NodeRecord, **changed: Any) -> NodeRecord:
        new = replace(node, **changed)
        await self._keep(c.PutNode(new))
        return new

    async def work_on_node(
        self, account: str, pool_id: str, node_id: str, work: NodeWork, how: Removal
    ) -> NodeRecord:
        self.heard.append(("work_on_node", work, how))
        states = {
            NodeWork.REBOOT: NodeState.REBOOTING,
            NodeWork.REIMAGE: NodeState.REIMAGING,
            NodeWork.DEALLOCATE: NodeState.DEALLOCATING,
        }
        node = await self.node(account, pool_id, node_id)
        return await self._change_node(node, state=states[work])

    async def start_node(self, account: str, pool_id: str, node_id: str) -> NodeRecord:
        node = await self.node(account, pool_id, node_id)
        return await self._change_node(node, state=NodeState.STARTING)

    async def disable_node(
        self, account: str, pool_id: str, node_id: str, how: Removal
    ) -> NodeRecord:
        self.heard.append(("disable_node", how))
        node = await self.node(account, pool_id, node_id)
        if node.scheduling is SchedulingState.DISABLED:
            raise NodeAlreadyInTargetSchedulingState
        return await self._change_node(node, scheduling=SchedulingState.DISABLED)

    async def enable_node(self, account: str, pool_id: str, node_id: str) -> NodeRecord:
        node = await self.node(account, pool_id, node_id)
        return await self._change_node(node, scheduling=SchedulingState.ENABLED)

    async def count_nodes(self, pool_nos: Sequence[int]) -> Sequence[NodeCounts]:
        lists = [await self.store.list_nodes(no, Query()) for no in pool_nos]
        return [Counter((node.dedicated, node.state) for node in nodes) for nodes in lists]

    async def preempt_node(self, account: str, pool_id: str, node_id: str) -> NodeRecord:
        node = await self.node(account, pool_id, node_id)
        if node.dedicated:
            raise OperationNotValidOnNode
        return await self._change_node(node, state=NodeState.PREEMPTED)

    async def add_node_user(
        self,
        account: str,
        pool_id: str,
        node_id: str,
        name: str,
        login: NodeLogin,
        *,
        admin: bool,
    ) -> NodeUserRecord:
        node = await self.node(account, pool_id, node_id)
        if self._user(node, name) is not None:
            raise NodeUserExists
        user = NodeUserRecord(
            no=self._no(), node_no=node.no, name=name, admin=admin, expiry_us=self.now_us
        )
        await self._keep(c.PutNodeUser(user))
        self.heard.append((name, login))
        return user

    async def replace_node_user(
        self, account: str, pool_id: str, node_id: str, name: str, login: NodeLogin
    ) -> NodeUserRecord:
        user = self._user(await self.node(account, pool_id, node_id), name)
        if user is None:
            raise NodeUserNotFound
        self.heard.append((name, login))
        return user

    async def delete_node_user(self, account: str, pool_id: str, node_id: str, name: str) -> None:
        user = self._user(await self.node(account, pool_id, node_id), name)
        if user is None:
            raise NodeUserNotFound
        await self._keep(c.DropNodeUser(user.no))

    def _user(self, node: NodeRecord, name: str) -> NodeUserRecord | None:
        users = self.memory.node_users.values()
        return next((it for it in users if (it.node_no, it.name) == (node.no, name)), None)

    # --- certificates

    async def add_certificate(self, account: str, new: NewCertificate) -> CertificateRecord:
        name = certificate_id(new.algorithm, new.thumbprint)
        if await self.store.certificate(account, name):
            raise CertificateExists
        certificate = CertificateRecord(
            no=self._no(),
            account=account,
            thumbprint=new.thumbprint,
            algorithm=new.algorithm,
            format=new.format,
            public_data=new.public_data,
            state=CertificateState.ACTIVE,
            state_us=self.now_us,
        )
        await self._keep(c.PutCertificate(certificate))
        return certificate

    async def delete_certificate(self, account: str, certificate_id: str) -> None:
        certificate = await self._certificate(account, certificate_id)
        for pool in self.memory.pools.values():
            if pool.spec.certificate_references:
                error = Failure(
                    "usererror",
                    "PoolsReferencingCertificate",
                    "The specified certificate is being used by the below mentioned pool(s)",
                    (Detail("Pools", pool.id),),
                )
                failed = replace(
                    certificate,
                    state=CertificateState.DELETE_FAILED,
                    previous_state=CertificateState.DELETING,
                    previous_state_us=self.now_us,
                    delete_error=error,
                )
                await self._keep(c.PutCertificate(failed))
                return
        await self._keep(c.DropCertificate(certificate.no))

    async def keep_certificate(self, account: str, certificate_id: str) -> CertificateRecord:
        certificate = await self._certificate(account, certificate_id)
        if certificate.state is CertificateState.ACTIVE:
            raise CertificateStateActive
        kept = replace(certificate, state=CertificateState.ACTIVE, delete_error=None)
        await self._keep(c.PutCertificate(kept))
        return kept

    async def _certificate(self, account: str, certificate_id: str) -> CertificateRecord:
        certificate = await self.store.certificate(account, certificate_id)
        if certificate is None:
            raise CertificateNotFound
        return certificate

    # --- jobs

    async def add_job(self, account: str, spec: JobSpec) -> JobRecord:
        if await self.store.job(account, spec.id):
            raise JobExists
        at = self.now_us
        job = JobRecord(
            no=self._no(),
            account=account,
            spec=spec,
            state=JobState.ACTIVE,
            state_us=at,
            created_us=at,
            modified_us=at,
            auto_pool=AUTO_POOL if spec.pool_info.auto_pool_specification else None,
        )
        await self._keep(c.PutJob(job))
        return job

    async def fail_job(self, account: str, job_id: str, error: Failure) -> None:
        """Pretend that the auto pool of a job could not be made."""
        job = await self.job(account, job_id, Conditions())
        await self._move_job(
            job,
            JobState.COMPLETED,
            end_us=self.now_us,
            scheduling_error=error,
            auto_pool=None,
        )

    async def job(self, account: str, job_id: str, when: Conditions) -> JobRecord:
        job = await self.store.job(account, job_id)
        if job is None:
            raise JobNotFound
        when.check(job.modified_us)
        return job

    async def _change_job(self, job: JobRecord, **changed: Any) -> JobRecord:
        new = replace(job, modified_us=self.now_us, **changed)
        await self._keep(c.PutJob(new))
        return new

    async def _move_job(self, job: JobRecord, state: JobState, **changed: Any) -> JobRecord:
        return await self._change_job(
            job,
            state=state,
            state_us=self.now_us,
            previous_state=job.state,
            previous_state_us=job.state_us,
            **changed,
        )

    async def patch_job(
        self, account: str, job_id: str, patch: JobPatch, when: Conditions
    ) -> JobRecord:
        job = await self.job(account, job_id, when)
        return await self._change_job(job, spec=merged(job.spec, patch))

    async def replace_job(
        self, account: str, job_id: str, new: JobPatch, when: Conditions
    ) -> JobRecord:
        return await self.patch_job(account, job_id, replace(new, priority=new.priority or 0), when)

    async def delete_job(self, account: str, job_id: str, when: Conditions, *, force: bool) -> None:
        self.heard.append(("delete_job", force))
        await self._keep(c.DropJob((await self.job(account, job_id, when)).no, 0))

    async def terminate_job(
        self, account: str, job_id: str, reason: str | None, when: Conditions, *, force: bool
    ) -> JobRecord:
        self.heard.append(("terminate_job", reason, force))
        job = await self.job(account, job_id, when)
        return await self._move_job(
            job,
            JobState.COMPLETED,
            end_us=self.now_us,
            terminate_reason=reason or "UserTerminate",
        )

    async def disable_job(self, account: str, job_id: str, how: str, when: Conditions) -> JobRecord:
        self.heard.append(("disable_job", how))
        return await self._move_job(await self.job(account, job_id, when), JobState.DISABLED)

    async def enable_job(self, account: str, job_id: str, when: Conditions) -> JobRecord:
        return await self._move_job(await self.job(account, job_id, when), JobState.ACTIVE)

    # --- job schedules

    async def add_schedule(self, account: str, spec: JobScheduleSpec) -> ScheduleRecord:
        if await self.store.schedule(account, spec.id):
            raise JobScheduleExists
        at = self.now_us
        parts = {
            name: getattr(spec.job_specification, name) for name in JobTemplate.__struct_fields__
        }
        job = JobRecord(
            no=self._no(),
            account=account,
            spec=JobSpec(id=f"{spec.id}:job-1", **parts),
            state=JobState.ACTIVE,
            state_us=at,
            created_us=at,
            modified_us=at,
            auto_pool=AUTO_POOL if spec.job_specification.pool_info.pool_id is None else None,
            schedule_no=self._last_no + 1,
        )
        interval = spec.schedule.recurrence_interval
        schedule = ScheduleRecord(
            no=self._no(),
            account=account,
            spec=spec,
            state=ScheduleState.ACTIVE,
            state_us=at,
            created_us=at,
            modified_us=at,
            next_run_us=at + (interval.micros or 0) if interval else None,
            jobs_made=1,
            job_no=job.no,
            recent_job=job.id,
        )
        await self._keep(c.PutJob(job), c.PutSchedule(schedule))
        return schedule

    async def schedule(self, account: str, schedule_id: str, when: Conditions) -> ScheduleRecord:
        schedule = await self.store.schedule(account, schedule_id)
        if schedule is None:
            raise JobScheduleNotFound
        when.check(schedule.modified_us)
        return schedule

    async def _move_schedule(
        self,
        account: str,
        schedule_id: str,
        when: Conditions,
        state: ScheduleState,
        **changed: Any,
    ) -> ScheduleRecord:
        schedule = await self.schedule(account, schedule_id, when)
        new = replace(
            schedule,
            modified_us=self.now_us,
            state=state,
            state_us=self.now_us,
            previous_state=schedule.state,
            previous_state_us=schedule.state_us,
            **changed,
        )
        await self._keep(c.PutSchedule(new))
        return new

    async def patch_schedule(
        self, account: str, schedule_id: str, patch: JobSchedulePatch, when: Conditions
    ) -> ScheduleRecord:
        schedule = await self.schedule(account, schedule_id, when)
        spec = merged(schedule.spec, patch)
        new = replace(schedule, modified_us=self.now_us, spec=spec)
        await self._keep(c.PutSchedule(new))
        return new

    async def replace_schedule(
        self, account: str, schedule_id: str, new: JobSchedulePatch, when: Conditions
    ) -> ScheduleRecord:
        return await self.patch_schedule(account, schedule_id, new, when)

    async def delete_schedule(
        self, account: str, schedule_id: str, when: Conditions, *, force: bool
    ) -> None:
        self.heard.append(("delete_schedule", force))
        schedule = await self.schedule(account, schedule_id, when)
        await self._keep(c.DropJob(schedule.job_no or 0, 0), c.DropSchedule(schedule.no))

    async def disable_schedule(
        self, account: str, schedule_id: str, when: Conditions
    ) -> ScheduleRecord:
        return await self._move_schedule(account, schedule_id, when, ScheduleState.DISABLED)

    async def enable_schedule(
        self, account: str, schedule_id: str, when: Conditions
    ) -> ScheduleRecord:
        return await self._move_schedule(account, schedule_id, when, ScheduleState.ACTIVE)

    async def terminate_schedule(
        self, account: str, schedule_id: str, when: Conditions, *, force: bool
    ) -> ScheduleRecord:
        self.heard.append(("terminate_schedule", force))
        return await self._move_schedule(
            account,
            schedule_id,
            when,
            ScheduleState.COMPLETED,
            end_us=self.now_us,
            next_run_us=None,
        )

    # --- tasks

    async def add_tasks(
        self, account: str, job_id: str, specs: Sequence[TaskSpec]
    ) -> Sequence[TaskRecord | Refusal]:
        job = await self.job(account, job_id, Conditions())
        return [await self._add_task(job, spec) for spec in specs]

    async def _add_task(self, job: JobRecord, spec: TaskSpec) -> TaskRecord | Refusal:
        if spec.depends_on is not None and not job.spec.uses_task_dependencies:
            return TaskDependenciesNotSpecifiedOnJob()
        if await self.store.task(job.no, spec.id):
            return TaskExists()
        at = self.now_us
        constraints = spec.constraints or TaskConstraints()
        retries = constraints.max_task_retry_count or 0
        several = spec.multi_instance_settings
        task = TaskRecord(
            no=self._no(),
            job_no=job.no,
            id=spec.id,
            state=TaskState.ACTIVE,
            state_us=at,
            created_us=at,
            modified_us=at,
            slots=spec.required_slots or 1,
            max_retries=retries,
            instances=several.number_of_instances or 1 if several else 0,
        )
        filled = replace(spec, constraints=replace(constraints, max_task_retry_count=retries))
        counts = (await self.store.counts(job.no)).tasks
        counts = replace(counts, active=counts.active + 1)
        await self._keep(c.AddTask(task, encode_spec(filled)), c.SetCounts(job.no, counts, counts))
        return task

    async def task(
        self, account: str, job_id: str, task_id: str, when: Conditions
    ) -> tuple[TaskRecord, bytes]:
        job = await self.job(account, job_id, Conditions())
        found = await self.store.task(job.no, task_id)
        if found is None:
            raise TaskNotFound
        when.check(found[0].modified_us)
        return found

    async def put_task(self, old: TaskRecord, spec: bytes, **changed: Any) -> TaskRecord:
        """Replace a task's record, as a run would."""
        new = replace(old, **changed)
        await self._keep(c.DropTask(old), c.AddTask(new, spec))
        return new

    async def run(self, account: str, job_id: str, task_id: str, exit_code: int = 0) -> TaskRecord:
        """Pretend that the task ran on the first node of its job's pool."""
        job = await self.job(account, job_id, Conditions())
        old, spec = await self.task(account, job_id, task_id, Conditions())
        pool = await self.store.pool(account, job.pool_id)
        assert pool is not None
        node = await self.store.node(pool.no, "node-0-d")
        assert node is not None
        at = self.now_us
        counts = Counts(succeeded=int(exit_code == 0), failed=int(exit_code != 0))
        await self._keep(c.SetCounts(job.no, counts, counts))
        return await self.put_task(
            old,
            spec,
            state=TaskState.COMPLETED,
            state_us=at + SECOND_US,
            previous_state=TaskState.RUNNING,
            previous_state_us=at,
            start_us=at,
            end_us=at + SECOND_US,
            exit_code=exit_code,
            result=TaskResult.FAILURE if exit_code else TaskResult.SUCCESS,
            failure=exit_failure(exit_code) if exit_code else None,
            attempt=1,
            pool_id=pool.id,
            node_id=node.id,
            node_no=node.no,
        )

    async def use_all(self, account: str) -> None:
        """Pretend that all that there is has used something."""
        at, used = self.now_us, Usage(1_500_000, 250_000, 12, 34, 1 << 29, 1 << 28, SECOND_US, 7)
        totals = Totals(used, succeeded=3, failed=1, retries=2, changed_us=at + SECOND_US)
        sample = Sample(12.5, 3 << 30, 5 << 30, 10, 20, 1 << 30, 1 << 29, 1 << 28, 1 << 27)
        resources = Resources().sampled(sample, 2, at - SECOND_US)
        meter = Meter(
            pool_no=0,
            account=account,
            pool_id="",
            vm_size="standard_d2s_v3",
            since_us=at - 100 * 60 * SECOND_US,
            cores=Cores(4, 2),
            dedicated_s=3600.0,
            interval_s=60.0,
            resources=resources,
        )
        for pool in self.memory.pools.values():
            await self._keep(c.PutMeter(replace(meter, pool_no=pool.no, pool_id=pool.id)))
        for no in (*self.memory.jobs, *self.memory.schedules):
            await self._keep(c.SetTotals(no, totals))
        for task in list(self.memory.tasks.values()):
            if task.state is TaskState.COMPLETED:
                await self._keep(c.SetTask(replace(task, usage=used), task.state))
        lifetime = Lifetime(
            since_us=at - 86_400 * SECOND_US, jobs=totals, dedicated_s=7200.0, resources=resources
        )
        await self._keep(c.SetLifetime(account, lifetime))

    async def run_parts(self, account: str, job_id: str, task_id: str) -> None:
        """Pretend that a task has parts: one that is over, one that failed, one that runs."""
        job = await self.job(account, job_id, Conditions())
        task, _ = await self.task(account, job_id, task_id, Conditions())
        pool = await self.store.pool(account, job.pool_id)
        assert pool is not None
        at = self.now_us
        ran = {
            "state": SubtaskState.COMPLETED,
            "previous_state": SubtaskState.RUNNING,
            "previous_state_us": at,
            "end_us": at + SECOND_US,
        }
        failed = {"exit_code": 2, "failure": exit_failure(2)}
        outcomes: tuple[dict[str, Any], ...] = (
            {**ran, "exit_code": 0},
            {**ran, **failed},
            {"previous_state": SubtaskState.PREPARING, "previous_state_us": at},
        )
        for index, outcome in enumerate(outcomes):
            name = ("node-0-d", "node-1-d", "node-0-p")[index]
            node = await self.store.node(pool.no, name)
            assert node is not None
            values: dict[str, Any] = {
                "no": self._no(),
                "task_no": task.no,
                "job_no": job.no,
                "attempt": task.attempt,
                "index": index,
                "node_no": node.no,
                "node_id": node.id,
                "pool_id": pool.id,
                "state": SubtaskState.RUNNING,
                "state_us": at + SECOND_US,
                "start_us": at,
            }
            await self._keep(c.PutSubtask(SubtaskRecord(**values | outcome)))

    async def prepare_nodes(self, account: str, job_id: str) -> None:
        """Pretend that a job has prepared nodes: well, badly, and one that it prepares."""
        job = await self.job(account, job_id, Conditions())
        at = self.now_us
        over: dict[str, Any] = {"running": False, "end_us": at + SECOND_US}
        preparations = (
            SpecialRun(attempt=1, start_us=at, exit_code=0, **over),
            SpecialRun(
                attempt=4,
                start_us=at,
                exit_code=1,
                failure=exit_failure(1),
                retry_count=3,
                last_retry_us=at,
                **over,
            ),
            SpecialRun(attempt=1, running=True, start_us=at),
        )
        for index, preparation in enumerate(preparations):
            name = ("node-0-d", "node-gone", "node-0-p")[index]
            kept = JobNodeRecord(
                no=self._no(),
                release_no=self._no(),
                job_no=job.no,
                pool_id=job.pool_id,
                node_no=900 + index,
                node_id=name,
                boot=0,
                preparation=preparation,
                release=SpecialRun(attempt=1, start_us=at, exit_code=0, **over)
                if index == 0
                else None,
            )
            await self._keep(c.PutJobNode(kept))

    async def update_task(
        self,
        account: str,
        job_id: str,
        task_id: str,
        constraints: TaskConstraints,
        when: Conditions,
    ) -> TaskRecord:
        old, spec = await self.task(account, job_id, task_id, when)
        document = msgspec.json.decode(spec)
        document["constraints"] = msgspec.json.decode(encode_spec(constraints))
        return await self.put_task(old, msgspec.json.encode(document), modified_us=self.now_us)

    async def delete_task(self, account: str, job_id: str, task_id: str, when: Conditions) -> None:
        task, _ = await self.task(account, job_id, task_id, when)
        await self._keep(c.DropTask(task))

    async def terminate_task(
        self, account: str, job_id: str, task_id: str, when: Conditions
    ) -> TaskRecord:
        old, spec = await self.task(account, job_id, task_id, when)
        if old.state is TaskState.COMPLETED:
            raise TaskCompleted
        failure = Failure("usererror", "TaskEnded", "The task was ended by user request")
        return await self.put_task(
            old,
            spec,
            state=TaskState.COMPLETED,
            state_us=self.now_us,
            previous_state=old.state,
            previous_state_us=old.state_us,
            end_us=self.now_us,
            result=TaskResult.FAILURE,
            failure=failure,
        )

    async def reactivate_task(
        self, account: str, job_id: str, task_id: str, when: Conditions
    ) -> TaskRecord:
        old, spec = await self.task(account, job_id, task_id, when)
        if old.state is not TaskState.COMPLETED:
            raise TaskNotCompleted
        return await self.put_task(
            old,
            spec,
            state=TaskState.ACTIVE,
            state_us=self.now_us,
            previous_state=old.state,
            previous_state_us=old.state_us,
            end_us=None,
            result=None,
            failure=None,
        )

    async def why(self, account: str, job_id: str, task_id: str) -> Sequence[Reason]:
        self.heard.append((account, job_id, task_id))
        return [NO_POOL]

    async def why_job(self, account: str, job_id: str, most: int) -> Summary:
        job = await self.store.job(account, job_id)
        if job is None:
            raise JobNotFound
        return Summary(job.id, job.state, 2000, most, [Group(NO_POOL, most, "Waiting")])

    # --- files

    async def ask_file(
        self,
        node: NodeRecord,
        root: str,
        what: str,
        path: str = "",
        *,
        recursive: bool = False,
        start: int | None = None,
        end: int | None = None,
        modified_since_us: int | None = None,
        unmodified_since_us: int | None = None,
        page: FilesPage | None = None,
    ) -> FileAnswer:
        self.heard.append((what, node.id, root, path, recursive, start, end))
        if self.node_away:
            raise NodeStateUnusable
        answer = self._look(root, what, path, recursive, start, end, page)
        if answer.status == "ok" and path:
            if modified_since_us is not None and modified_since_us >= NOON_US:
                answer = FakeFile("notmodified")
            elif unmodified_since_us is not None and unmodified_since_us < NOON_US:
                answer = FakeFile("condition")
        self.given.append(answer)
        return answer

    def _page(self, root: str, recursive: bool, page: FilesPage) -> list[FileInfo]:
        found = sorted(self._below(root, recursive), key=lambda info: info.name)
        wanted = (it for it in found if it.name.lower().startswith(page.prefixes))
        return [info for info in wanted if info.name > page.after][: page.limit]

    def _look(
        self,
        root: str,
        what: str,
        path: str,
        recursive: bool,
        start: int | None,
        end: int | None,
        page: FilesPage | None,
    ) -> FakeFile:
        if page is not None:
            return FakeFile("ok", None, [msgspec.json.encode(self._page(root, recursive, page))])
        full = f"{root}/{path}" if root else path
        if full in self.directories:
            return self._look_at_directory(what, path, recursive)
        if full not in self.files:
            return FakeFile("notfound")
        content = self.files[full]
        if what == "delete":
            del self.files[full]
            return FakeFile("ok")
        if what == "stat":
            return FakeFile("ok", _info(path, content))
        if start is not None and start >= len(content):
            return FakeFile("range")
        part = content[start or 0 : len(content) if end is None else end + 1]
        info = replace(_info(path, content), start=start or 0, length=len(part))
        chunks = [part[at : at + 65536] for at in range(0, len(part), 65536)]
        if self.cut_after is None:
            return FakeFile("ok", info, chunks)
        return FakeFile("ok", info, chunks[: self.cut_after], ConnectionResetError("gone"))

    def _look_at_directory(self, what: str, path: str, recursive: bool) -> FakeFile:
        if what == "stat":
            info = FileInfo(name=path, directory=True, modified_us=NOON_US, mode=0o40755)
            return FakeFile("ok", info)
        if what == "delete" and recursive:
            return FakeFile("ok")
        return FakeFile("directory")

    def _below(self, root: str, recursive: bool) -> list[FileInfo]:
        start = f"{root}/" if root else ""
        found = [
            _info(full.removeprefix(start), content)
            for full, content in self.files.items()
            if full.startswith(start)
        ]
        found += [
            FileInfo(name=name.removeprefix(start), directory=True, modified_us=NOON_US)
            for name in self.directories
            if name.startswith(start)
        ]
        return [info for info in found if recursive or "/" not in info.name]


def exit_failure(exit_code: int) -> Failure:
    """Why a task failed that ended with this exit code."""
    return Failure(
        "usererror",
        "FailureExitCode",
        "The task exited with an exit code representing a failure",
        (Detail("Message", f"exit code {exit_code}"),),
    )


def _info(name: str, content: bytes) -> FileInfo:
    size = len(content)
    return FileInfo(
        name=name, directory=False, size=size, length=size, modified_us=NOON_US, mode=0o100644
    )


def merged(spec: Any, patch: PoolPatch | JobPatch | JobSchedulePatch) -> Any:
    """The specification with all that the patch sets."""
    values = {name: getattr(patch, name) for name in patch.__struct_fields__}
    return replace(spec, **{name: value for name, value in values.items() if value is not None})
