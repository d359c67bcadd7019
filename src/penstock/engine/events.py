"""What there is to tell of a change: the one place where events are made.

A change is looked at beside the record that it replaces, before the memory has taken it in. So
an event says no more than what is committed with it, and each change tells what it is once. The
names and fields of Azure's events are `docs/events.md`'s, as are ours that Azure does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from penstock.domain import changes as c
from penstock.domain.instants import MINUTE_US, instant_text
from penstock.domain.records import (
    Detail,
    Failure,
    JobNodeRecord,
    JobRecord,
    NodeRecord,
    PoolRecord,
    SpecialRun,
    StartTaskInfo,
    TaskRecord,
)
from penstock.domain.states import AllocationState, NodeState, PoolState, TaskResult, TaskState
from penstock.engine import event_bodies as b
from penstock.engine.event_bodies import capital, encoded, scheduling_error, time_text
from penstock.engine.state import State
from penstock.scheduler.pool_reasons import of_fit

Told = tuple[str, str, bytes]
"""The account that it is told to, the name of the event, its body."""

_DEFAULT_RESIZE_MS: Final = 15 * MINUTE_US // 1000
_SUCCESS: Final = "Success"
_FAILURE: Final = "Failure"
_RESULTS: Final = {TaskResult.SUCCESS: _SUCCESS, TaskResult.FAILURE: _FAILURE, None: None}
_ONE_NODE: Final = b.MultiInstanceSettings(1)

_AT_WORK: Final = (NodeState.IDLE, NodeState.RUNNING)
"""Between these two a node goes with its tasks, whose events tell it."""

_ANY_NUMBER: Final = 2**31
"""Of nodes: a pool may grow."""

_NOT_PREPARED: Final = Failure(
    "usererror", "JobPreparationTaskFailed", "The job preparation task of the node failed"
)


def events_of(change: c.Change, state: State, now_us: int) -> Sequence[Told]:
    """Give what a change has to tell, to be asked before `state` has it."""
    tell = _TELL.get(type(change))
    return () if tell is None else tell(change, state, now_us)


# --- tasks -----------------------------------------------------------------------------------


def _set_task(change: c.SetTask, state: State, now_us: int) -> Sequence[Told]:
    """Two of these are made for each task that runs, so they are made with few words."""
    task = change.task
    now = task.state
    if now is change.was:
        before = state.given.get(task.no)
        if before is None or task.requeue_count == before.requeue_count:
            return ()
        return (_ran("TaskRequeueEvent", state, task, None, now_us),)
    if now is TaskState.RUNNING:
        job = state.jobs[task.job_no]
        body = b.TaskStarted(*_head(job, task), b.StartInfo(task.retry_count))
        return ((job.account, "TaskStartEvent", encoded(body)),)
    if now is TaskState.COMPLETED:
        done = _ran("TaskCompleteEvent", state, task, task.start_us, task.end_us)
        if task.result is TaskResult.FAILURE:
            return (done, (done[0], "TaskFailEvent", done[2]))
        return (done,)
    if now is TaskState.ACTIVE:
        return _active_again(change, state, now_us)
    return ()


def _add_task(change: c.AddTask, state: State, _now_us: int) -> Sequence[Told]:
    """Of a task that no node of its pool can run, whatever their number: why."""
    task = change.task
    job = state.jobs[task.job_no]
    pool = state.pool(job.account, job.pool_id)
    if pool is None or (task.slots <= (pool.spec.task_slots_per_node or 1) and not task.instances):
        return ()
    reason = next(of_fit(pool, _ANY_NUMBER, task.slots, state.demand_of(task)), None)
    if reason is None:
        return ()
    failure = Failure(
        "usererror",
        "TaskSchedulingConstraintFailed",
        reason.message,
        (Detail("Reason", reason.code), *reason.details),
    )
    body = b.TaskNotScheduled(*_head(job, task), scheduling_error(failure))
    return ((job.account, "TaskScheduleFailEvent", encoded(body)),)


def _active_again(change: c.SetTask, state: State, now_us: int) -> Sequence[Told]:
    task = change.task
    job = state.jobs[task.job_no]
    if change.was is TaskState.COMPLETED:
        head = b.TaskHeader(*_head(job, task))
        return ((job.account, "TaskReactivateEvent", encoded(head)),)
    before = state.given[task.no]
    if change.was is TaskState.PREPARING and _preparation_failed(state, before):
        body = b.TaskNotScheduled(*_head(job, task), scheduling_error(_NOT_PREPARED))
        return ((job.account, "TaskScheduleFailEvent", encoded(body)),)
    if task.requeue_count > before.requeue_count:
        return (_ran("TaskRequeueEvent", state, task, before.start_us, now_us),)
    if task.retry_count > before.retry_count:
        return (_ran("TaskRetryEvent", state, task, before.start_us, now_us),)
    return ()


def _preparation_failed(state: State, task: TaskRecord) -> bool:
    at = None if task.node_no is None else state.job_nodes.get(task.job_no, task.node_no)
    return at is not None and at.preparation is not None and at.preparation.failure is not None


_Head = tuple[str, str, str, int, int, b.MultiInstanceSettings, b.Constraints, b.NodeInfo | None]


def _head(job: JobRecord, task: TaskRecord) -> _Head:
    """The fields of a `TaskHeader`, in order."""
    return (
        job.spec.id,
        task.id,
        "JobManager" if task.manager else "User",
        task.attempt,
        task.slots,
        b.MultiInstanceSettings(task.instances) if task.instances else _ONE_NODE,
        b.Constraints(task.max_retries),
        b.NodeInfo(task.pool_id or "", task.node_id) if task.node_id else None,
    )


def _ran(
    name: str, state: State, task: TaskRecord, start_us: int | None, end_us: int | None
) -> Told:
    job = state.jobs[task.job_no]
    info = b.RunInfo(
        task.retry_count,
        task.requeue_count,
        time_text(start_us),
        time_text(end_us),
        task.exit_code,
        _RESULTS[task.result],
        scheduling_error(task.failure),
    )
    return job.account, name, encoded(b.TaskRan(*_head(job, task), info))


def _drop_task(change: c.DropTask, state: State, _now_us: int) -> Sequence[Told]:
    job = state.jobs[change.task.job_no]
    return ((job.account, "TaskDeleteEvent", encoded(b.TaskNamed(job.id, change.task.id))),)


# --- special tasks ---------------------------------------------------------------------------


def _put_job_node(change: c.PutJobNode, state: State, _now_us: int) -> Iterator[Told]:
    new = change.job_node
    before = state.job_nodes.of_run(new.no)
    job = state.jobs.get(new.job_no)
    if before is None or job is None:
        return
    runs = (
        ("JobPrep", job.spec.job_preparation_task, before.preparation, new.preparation),
        ("JobRelease", job.spec.job_release_task, before.release, new.release),
    )
    for kind, spec, old_run, run in runs:
        if run is not None and not run.running and _is_new_end(old_run, run):
            name = (spec.id if spec is not None else None) or _USUAL_NAMES[kind]
            yield job.account, "SpecialTaskEvent", _special(job, kind, name, new, run)


_USUAL_NAMES: Final = {"JobPrep": "jobpreparation", "JobRelease": "jobrelease"}


def _is_new_end(before: SpecialRun | None, run: SpecialRun) -> bool:
    return before is None or before.running or before.attempt != run.attempt


def _special(job: JobRecord, kind: str, name: str, at: JobNodeRecord, run: SpecialRun) -> bytes:
    return encoded(
        b.SpecialTaskRan(
            job_id=job.id,
            task_name=name,
            task_type=kind,
            node_info=b.NodeInfo(at.pool_id, at.node_id),
            execution_info=_special_info(run),
        )
    )


def _special_info(run: SpecialRun | StartTaskInfo) -> b.SpecialRunInfo:
    return b.SpecialRunInfo(
        instant_text(run.start_us),
        _SUCCESS if run.failure is None else _FAILURE,
        time_text(run.end_us),
        run.exit_code,
        scheduling_error(run.failure),
    )


# --- nodes -----------------------------------------------------------------------------------


def _put_node(change: c.PutNode, state: State, _now_us: int) -> Iterator[Told]:
    node = change.node
    before = state.nodes.get(node.no)
    pool_id = state.pools[node.pool_no].id
    if before is None or before.state is not node.state:
        was = None if before is None else before.state
        if was not in _AT_WORK or node.state not in _AT_WORK:
            yield node.account, "NodeStateChangeEvent", _changed(node, pool_id, was)
    run = node.start_task
    if run is None or run.running or before is None or run == before.start_task:
        return
    info = b.NodeInfo(pool_id, node.id)
    body = b.SpecialTaskRan(
        task_name="startup",
        task_type="StartTask",
        node_info=info,
        execution_info=_special_info(run),
    )
    yield node.account, "SpecialTaskEvent", encoded(body)


def _changed(node: NodeRecord, pool_id: str, was: NodeState | None) -> bytes:
    errors = (scheduling_error(error) for error in node.errors)
    return encoded(
        b.NodeChanged(
            id=node.id,
            pool_id=pool_id,
            is_dedicated=node.dedicated,
            previous_state=None if was is None else was.value,
            state=node.state.value,
            errors=tuple(error for error in errors if error is not None),
        )
    )


def _drop_node(change: c.DropNode, state: State, _now_us: int) -> Iterator[Told]:
    node = state.nodes[change.no]
    body = b.NodeGone(id=node.id, pool_id=state.pools[node.pool_no].id)
    yield node.account, "NodeDeleteCompleteEvent", encoded(body)


# --- pools -----------------------------------------------------------------------------------


def _put_pool(change: c.PutPool, state: State, now_us: int) -> Iterator[Told]:
    pool = change.pool
    before = state.pools.get(pool.no)
    if before is None:
        yield pool.account, "PoolCreateEvent", encoded(_created(pool))
    elif pool.state is PoolState.DELETING and before.state is not PoolState.DELETING:
        yield pool.account, "PoolDeleteStartEvent", encoded(b.Named(pool.id))
    was = AllocationState.STEADY if before is None else before.allocation
    if was is pool.allocation:
        return
    if was is AllocationState.STEADY:
        resizing = encoded(b.Resizing(**_resize(pool, before or pool)))
        yield pool.account, "PoolResizeStartEvent", resizing
    elif pool.allocation is AllocationState.STEADY and before is not None:
        yield pool.account, "PoolResizeCompleteEvent", encoded(_resized(pool, before, now_us))


def _created(pool: PoolRecord) -> b.PoolCreated:
    spec = pool.spec
    policy, timeout = spec.task_scheduling_policy, spec.resize_timeout
    network, cloud = spec.network_configuration, spec.cloud_service_configuration
    limit_us = None if timeout is None else timeout.micros
    return b.PoolCreated(
        id=spec.id,
        display_name=spec.display_name,
        vm_size=spec.vm_size,
        image_type="VirtualMachineConfiguration" if cloud is None else "CloudServiceConfiguration",
        cloud_service_configuration=b.CloudService(cloud.os_family, cloud.os_version)
        if cloud
        else None,
        network_configuration=b.Network(network.subnet_id) if network else None,
        virtual_machine_configuration=_machine(pool),
        resize_timeout=str(_DEFAULT_RESIZE_MS if limit_us is None else limit_us // 1000),
        target_dedicated_nodes=spec.target_dedicated_nodes or 0,
        target_low_priority_nodes=spec.target_low_priority_nodes or 0,
        task_slots_per_node=spec.task_slots_per_node or 1,
        vm_fill_type=capital((policy and policy.node_fill_type) or "spread"),
        enable_auto_scale=bool(spec.enable_auto_scale),
        enable_inter_node_communication=bool(spec.enable_inter_node_communication),
        is_auto_pool=pool.auto,
    )


def _machine(pool: PoolRecord) -> b.Machine | None:
    machine = pool.spec.virtual_machine_configuration
    if machine is None:
        return None
    image, windows = machine.image_reference, machine.windows_configuration
    return b.Machine(
        b.Image(image.publisher, image.offer, image.sku, image.version) if image else b.Image(),
        machine.node_agent_sku_id,
        b.Windows(windows.enable_automatic_updates) if windows else None,
    )


def _resize(pool: PoolRecord, before: PoolRecord) -> dict[str, Any]:
    dedicated, low_priority = before.dedicated_nodes, before.low_priority_nodes
    target_dedicated = pool.spec.target_dedicated_nodes or 0
    target_low_priority = pool.spec.target_low_priority_nodes or 0
    return {
        "id": pool.id,
        "node_deallocation_option": _how(pool),
        "current_dedicated_nodes": dedicated,
        "target_dedicated_nodes": target_dedicated,
        "current_low_priority_nodes": low_priority,
        "target_low_priority_nodes": target_low_priority,
        "enable_auto_scale": bool(pool.spec.enable_auto_scale),
        "is_auto_pool": pool.auto,
    }


def _how(pool: PoolRecord) -> str:
    return "Invalid" if pool.removal is None else capital(pool.removal.value)


def _resized(pool: PoolRecord, before: PoolRecord, now_us: int) -> b.Resized:
    start_us = before.allocation_us if pool.resize_us is None else pool.resize_us
    error = pool.resize_errors[0] if pool.resize_errors else None
    return b.Resized(
        **_resize(pool, pool),
        start_time=instant_text(start_us),
        end_time=instant_text(now_us),
        result_code=_SUCCESS if error is None else error.code,
        result_message="The operation succeeded" if error is None else error.message,
    )


def _drop_pool(change: c.DropPool, state: State, now_us: int) -> Iterator[Told]:
    pool = state.pools[change.no]
    body = b.Deleted(pool.id, instant_text(pool.state_us), instant_text(now_us))
    yield pool.account, "PoolDeleteCompleteEvent", encoded(body)


# --- jobs and schedules ----------------------------------------------------------------------


def _put_job(change: c.PutJob, state: State, _now_us: int) -> Iterator[Told]:
    job = change.job
    before = state.jobs.get(job.no)
    error = scheduling_error(job.scheduling_error)
    if before is None:
        schedule = state.schedules.get(job.schedule_no or 0)
        created = b.JobCreated(
            id=job.id,
            pool_id=job.pool_id or None,
            state=job.state.value,
            priority=job.spec.priority or 0,
            job_schedule_id=None if schedule is None else schedule.id,
            scheduling_error=error,
        )
        yield job.account, "JobCreateEvent", encoded(created)
    elif before.state is not job.state:
        changed = b.JobChanged(
            id=job.id,
            pool_id=job.pool_id or None,
            previous_state=before.state.value,
            state=job.state.value,
            terminate_reason=job.terminate_reason,
            scheduling_error=error,
        )
        yield job.account, "JobStateChangeEvent", encoded(changed)


def _drop_job(change: c.DropJob, state: State, now_us: int) -> Iterator[Told]:
    job = state.jobs[change.no]
    body = b.Deleted(job.id, instant_text(job.state_us), instant_text(now_us))
    yield job.account, "JobDeleteCompleteEvent", encoded(body)


def _put_schedule(change: c.PutSchedule, state: State, _now_us: int) -> Iterator[Told]:
    schedule = change.schedule
    before = state.schedules.get(schedule.no)
    now = schedule.state.value
    if before is None:
        next_run = time_text(schedule.next_run_us)
        created = b.ScheduleCreated(id=schedule.id, state=now, next_run_time=next_run)
        yield schedule.account, "JobScheduleCreateEvent", encoded(created)
    elif before.state is not schedule.state:
        was = before.state.value
        changed = b.ScheduleChanged(id=schedule.id, previous_state=was, state=now)
        yield schedule.account, "JobScheduleStateChangeEvent", encoded(changed)


def _drop_schedule(change: c.DropSchedule, state: State, now_us: int) -> Iterator[Told]:
    schedule = state.schedules[change.no]
    body = b.Deleted(schedule.id, instant_text(schedule.state_us), instant_text(now_us))
    yield schedule.account, "JobScheduleDeleteCompleteEvent", encoded(body)


def _all(
    tell: Callable[[Any, State, int], Iterator[Told]],
) -> Callable[[Any, State, int], Sequence[Told]]:
    return lambda change, state, now_us: tuple(tell(change, state, now_us))


_TELL: Final[Mapping[type, Callable[[Any, State, int], Sequence[Told]]]] = {
    c.AddTask: _add_task,
    c.SetTask: _set_task,
    c.DropTask: _drop_task,
    c.PutJobNode: _all(_put_job_node),
    c.PutNode: _all(_put_node),
    c.DropNode: _all(_drop_node),
    c.PutPool: _all(_put_pool),
    c.DropPool: _all(_drop_pool),
    c.PutJob: _all(_put_job),
    c.DropJob: _all(_drop_job),
    c.PutSchedule: _all(_put_schedule),
    c.DropSchedule: _all(_drop_schedule),
}
"""Changes that are not here are told by others: that a node takes a task, by the task's."""
