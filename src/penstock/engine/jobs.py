"""How jobs come, change and end. Each function is one decision within a turn."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.conditions import Conditions
from penstock.domain.instants import INFINITE
from penstock.domain.records import (
    Ending,
    Failure,
    JobRecord,
    NodeRecord,
    ScheduleRecord,
    key_of,
)
from penstock.domain.refusals import (
    InvalidPropertyValue,
    JobBeingDeleted,
    JobExists,
    JobScheduleWithSameIdExists,
    OperationInvalidForCurrentState,
)
from penstock.domain.specs.job import JobConstraints, JobPatch, JobSpec, JobTemplate, PoolInfo
from penstock.domain.specs.special import JobManagerTask
from penstock.domain.specs.task import TaskSpec
from penstock.domain.states import JOB_MOVES, JobEvent, JobState, NodeState, after
from penstock.engine import auto_pools, runs, special, tasks
from penstock.engine.ends import MANAGER_DONE
from penstock.engine.state import LIVE_JOB_STATES
from penstock.engine.storage import need_storage
from penstock.engine.tasks import live_job
from penstock.engine.turn import Turn
from penstock.messages import RemoveJob

TERMINATE_WHEN_DONE = "terminatejob"

HAVE_NO_FILES = frozenset(
    {
        NodeState.CREATING,
        NodeState.LEAVING_POOL,
        NodeState.PREEMPTED,
        NodeState.DEALLOCATING,
        NodeState.DEALLOCATED,
    }
)

_DEFAULTS: dict[str, Any] = {
    "priority": 0,
    "max_parallel_tasks": -1,
    "allow_task_preemption": False,
    "on_all_tasks_complete": "noaction",
    "metadata": None,
}
"""What PUT makes of a part that was not sent; the network stays, as clients cannot put it back."""


def add_job(turn: Turn, account: str, spec: JobSpec) -> JobRecord:
    """Create a job as a user asked."""
    found = turn.state.job(account, spec.id)
    if found is not None:
        raise JobBeingDeleted if found.state is JobState.DELETING else JobExists
    if turn.state.schedule(account, spec.id) is not None:
        raise JobScheduleWithSameIdExists
    check_storage(turn, account, spec)
    return make_job(turn, account, spec)


def check_storage(turn: Turn, account: str, spec: JobTemplate, prefix: str = "") -> None:
    """Refuse files for special tasks from a linked storage that is not there.

    `prefix` leads to the job in what was sent.
    """
    if turn.settings.has_storage(account):
        return
    for task, name in (
        (spec.job_manager_task, "jobManagerTask"),
        (spec.job_preparation_task, "jobPreparationTask"),
        (spec.job_release_task, "jobReleaseTask"),
    ):
        if task is not None:
            need_storage(task.resource_files, f"{prefix}{name}.resourceFiles")


def make_job(
    turn: Turn, account: str, spec: JobSpec, schedule: ScheduleRecord | None = None
) -> JobRecord:
    """Create a job that nothing stands against, and its auto pool; without that it is over."""
    pool = auto_pools.make(turn, account, spec.pool_info, schedule)
    job = JobRecord(
        no=turn.new_no(),
        account=account,
        spec=replace(spec, constraints=_filled(spec.constraints)),
        state=JobState.ACTIVE,
        state_us=turn.now_us,
        created_us=turn.now_us,
        modified_us=turn.now_us,
        auto_pool=pool if isinstance(pool, str) else None,
        schedule_no=schedule.no if schedule else None,
    )
    turn.put(c.PutJob(job))
    if spec.job_manager_task is not None and not isinstance(pool, Failure):
        manager = tasks.add_task(turn, job, _manager_spec(spec.job_manager_task), manager=True)
        job = replace(job, manager_no=manager.no)
        turn.put(c.PutJob(job))
    turn.touch_job(job.no)
    if isinstance(pool, Failure):
        job = _move(turn, job, JobEvent.NO_POOL, end_us=turn.now_us, scheduling_error=pool)
        _over(turn, job)
    return job


def _manager_spec(manager: JobManagerTask) -> TaskSpec:
    """The job manager as the task that clients see; what it alone has stays with its job."""
    return TaskSpec(
        id=manager.id,
        display_name=manager.display_name,
        command_line=manager.command_line,
        container_settings=manager.container_settings,
        resource_files=manager.resource_files,
        output_files=manager.output_files,
        environment_settings=manager.environment_settings,
        constraints=manager.constraints,
        required_slots=manager.required_slots,
        user_identity=manager.user_identity,
        application_package_references=manager.application_package_references,
        authentication_token_settings=manager.authentication_token_settings,
    )


def _filled(constraints: JobConstraints | None) -> JobConstraints:
    given = constraints or JobConstraints()
    return JobConstraints(
        max_wall_clock_time=given.max_wall_clock_time or INFINITE,
        max_task_retry_count=given.max_task_retry_count or 0,
    )


def patch_job(
    turn: Turn, account: str, job_id: str, patch: JobPatch, when: Conditions
) -> JobRecord:
    """Merge what was sent."""
    job = live_job(turn, account, job_id)
    when.check(job.modified_us)
    new = {
        name: value
        for name in patch.__struct_fields__
        if (value := getattr(patch, name)) is not None
    }
    return _update(turn, job, new)


def replace_job(
    turn: Turn, account: str, job_id: str, new: JobPatch, when: Conditions
) -> JobRecord:
    """Replace what may be replaced; a part that was not sent takes its default."""
    job = live_job(turn, account, job_id)
    when.check(job.modified_us)
    parts = {
        name: default if getattr(new, name) is None else getattr(new, name)
        for name, default in _DEFAULTS.items()
    }
    parts["constraints"] = new.constraints or JobConstraints()
    parts["pool_info"] = new.pool_info or job.spec.pool_info
    if new.network_configuration is not None:
        parts["network_configuration"] = new.network_configuration
    return _update(turn, job, parts)


def _update(turn: Turn, job: JobRecord, new: dict[str, Any]) -> JobRecord:
    moved = job.moved
    if "pool_info" in new:
        info = new["pool_info"] = auto_pools.changed(job, new["pool_info"])
        _may_move(job, info)
        moved = moved or (job.auto_pool is None and _is_other(job, info))
    ends = new.get("on_all_tasks_complete")
    if ends is not None and _ends_when_done(job) and ends != TERMINATE_WHEN_DONE:
        raise InvalidPropertyValue(
            PropertyName="onAllTasksComplete",
            PropertyValue=ends,
            Reason="once set to terminatejob it cannot be changed back",
        )
    if "constraints" in new:
        new["constraints"] = _filled(new["constraints"])
    return _put(turn, job, spec=replace(job.spec, **new), moved=moved)


def _may_move(job: JobRecord, info: PoolInfo) -> None:
    if _is_other(job, info) and job.state is not JobState.DISABLED:
        raise OperationInvalidForCurrentState(
            PropertyName="poolInfo",
            PropertyValue=info.pool_id or job.pool_id,
            Reason="the pool of a job can be changed only while the job is disabled",
        )


def _is_other(job: JobRecord, info: PoolInfo) -> bool:
    if info.auto_pool_specification is not None:
        return info != job.spec.pool_info
    return key_of(info.pool_id or "") != key_of(job.pool_id)


def _ends_when_done(job: JobRecord) -> bool:
    return (job.spec.on_all_tasks_complete or "").lower() == TERMINATE_WHEN_DONE


def disable_job(turn: Turn, account: str, job_id: str, how: str, when: Conditions) -> JobRecord:
    """Schedule no task any more, and do with the running ones as `how` says."""
    job = live_job(turn, account, job_id)
    when.check(job.modified_us)
    return _disable(turn, job, how)


def _disable(turn: Turn, job: JobRecord, how: str) -> JobRecord:
    job = _move(turn, job, JobEvent.DISABLED, disable_how=how)
    for task in turn.state.given_of(job.no):
        if how == "terminate" and not task.ahead:
            runs.stop_running(turn, task, Ending.TERMINATED)
        elif how != "wait":
            runs.stop_running(turn, task, Ending.REQUEUED)
        elif task.ahead:
            runs.give_back(turn, task)
    return job


def enable_job(turn: Turn, account: str, job_id: str, when: Conditions) -> JobRecord:
    """Schedule tasks again, from the next turn on."""
    job = live_job(turn, account, job_id)
    when.check(job.modified_us)
    if job.state in (JobState.ACTIVE, JobState.ENABLING):
        return job
    return _move(turn, job, JobEvent.ENABLED, disable_how=None)


def resume(turn: Turn, job_no: int) -> None:
    """A job that was enabled is active, unless something else was asked of it meanwhile."""
    job = turn.state.jobs.get(job_no)
    if job is not None and job.state is JobState.ENABLING:
        _put(turn, job, **_moved(turn, job, JobEvent.RESUMED))


def terminate_job(
    turn: Turn, account: str, job_id: str, reason: str | None, when: Conditions, *, force: bool
) -> JobRecord:
    """Kill what runs; tasks that wait stay as they are.

    With `force` a job that is being terminated waits no more for what it still waited for.
    """
    job = turn.job(account, job_id)
    if force and job.state is JobState.TERMINATING:
        when.check(job.modified_us)
        return _stop_tasks(turn, job, force=True)
    job = live_job(turn, account, job_id)
    when.check(job.modified_us)
    return _terminate(turn, job, reason or "UserTerminate", force=force)


def _terminate(turn: Turn, job: JobRecord, reason: str, *, force: bool = False) -> JobRecord:
    job = _move(turn, job, JobEvent.TERMINATED, terminate_reason=reason)
    return _stop_tasks(turn, job, force=force)


def _stop_tasks(turn: Turn, job: JobRecord, *, force: bool) -> JobRecord:
    """Have all that runs of a job ended; with `force` nothing is waited for, nor released."""
    for task in turn.state.given_of(job.no):
        # What was only sent ahead has not run, and stays as active as what waits.
        ending = Ending.REQUEUED if task.ahead else Ending.TERMINATED
        stopped = runs.stop_running(turn, task, ending)
        if force and stopped.no in turn.state.given:  # do not wait for the word of its nodes
            runs.give_up(turn, stopped)
    if force:
        special.give_up(turn, job)
        job = _keep(turn, job, released=True)
    return job


def delete_job(
    turn: Turn, account: str, job_id: str, when: Conditions, *, force: bool
) -> JobRecord:
    """Kill what runs and remove the directories; then the job is forgotten with its tasks.

    With `force` a job that is being deleted waits no more for what it still waited for.
    """
    job = turn.job(account, job_id)
    when.check(job.modified_us)
    if job.state is not JobState.DELETING:
        ended = job.state is JobState.COMPLETED
        job = _move(turn, job, JobEvent.DELETED, released=job.released or ended)
    elif not force:
        raise JobBeingDeleted
    for chore in turn.state.chores_of(job.no) if force else ():
        turn.put(c.DropChore(chore.no))
    job = _stop_tasks(turn, job, force=force)
    if force or job.spec.job_preparation_task is None:
        job = _remove_directories(turn, job, wait=not force)
    return job


def _remove_directories(turn: Turn, job: JobRecord, *, wait: bool = True) -> JobRecord:
    """Have the directories of a job removed; `wait` says that it is there until they are."""
    for node in _nodes_with_files(turn, job):
        if node.state not in HAVE_NO_FILES:
            order = RemoveJob(chore=turn.new_no(), node_no=node.no, job_id=job.id)
            turn.put_chore(node.no, job.no if wait else 0, order)
    return _keep(turn, job, removing=True)


def _nodes_with_files(turn: Turn, job: JobRecord) -> list[NodeRecord]:
    """The nodes that may have directories of the job."""
    if job.moved:
        return [node for node in turn.state.nodes.values() if node.account == job.account]
    pool = turn.state.pool(job.account, job.pool_id)
    return turn.state.roster.of_pool(pool.no) if pool else []


def time_out(turn: Turn, job_no: int) -> None:
    """The wall clock limit of a job is reached."""
    job = turn.state.jobs.get(job_no)
    if job is not None and job.state in LIVE_JOB_STATES:
        _terminate(turn, job, "MaxWallClockTimeExpiry")


def settle(turn: Turn, job_no: int, action: str | None) -> None:
    """See what the end of tasks means for their job."""
    job = turn.state.jobs.get(job_no)
    if job is None:
        return
    if job.state is JobState.ACTIVE:
        _settle_active(turn, job, action)
        return
    if action == MANAGER_DONE and job.state in LIVE_JOB_STATES:
        _terminate(turn, job, "JMComplete")
        return
    if action == "terminate" and job.state in LIVE_JOB_STATES and job.disable_how != "terminate":
        _terminate(turn, job, "TaskFailed")  # those that it killed itself do not count
        return
    if turn.state.job_given.get(job_no):
        return
    if job.state is JobState.DISABLING:
        _put(turn, job, **_moved(turn, job, JobEvent.QUIET))
    elif job.state in (JobState.TERMINATING, JobState.DELETING):
        _settle_ending(turn, job)


def _settle_ending(turn: Turn, job: JobRecord) -> None:
    """No task of the job runs any more: release its nodes, then let it be over."""
    if not job.released:
        if special.stop_preparations(turn, job):
            return
        special.release(turn, job)
        job = _keep(turn, job, released=True)
    if special.is_releasing(turn, job.no):
        return
    if job.state is JobState.TERMINATING:
        _over(turn, _move(turn, job, JobEvent.QUIET, end_us=turn.now_us))
        return
    if not job.removing:
        _remove_directories(turn, job)
    if not _has_chores(turn, job.no):
        turn.put(c.DropJob(job.no, turn.state.tallies[job.no].all))
        _over(turn, job)


def _over(turn: Turn, job: JobRecord) -> None:
    """A job is completed or forgotten: see what that means for its pool and its schedule."""
    auto_pools.job_over(turn, job)
    if job.schedule_no is not None:
        turn.touch_schedule(job.schedule_no)


def _settle_active(turn: Turn, job: JobRecord, action: str | None) -> None:
    tally = turn.state.tallies[job.no]
    if action == MANAGER_DONE:
        _terminate(turn, job, "JMComplete")
    elif action == "terminate":
        _terminate(turn, job, "TaskFailed")
    elif action == "disable":
        _disable(turn, job, "requeue")
    elif _ends_when_done(job) and not tally.active and not tally.running:
        _terminate(turn, job, "AllTasksComplete")


def _has_chores(turn: Turn, job_no: int) -> bool:
    """Whether a node that is there still has to remove directories of the job."""
    return any(_answers(turn, chore.node_no) for chore in turn.state.chores_of(job_no))


def _answers(turn: Turn, node_no: int) -> bool:
    node = turn.node(node_no)
    return node is not None and node.state is not NodeState.UNKNOWN


def _moved(turn: Turn, job: JobRecord, event: JobEvent) -> dict[str, Any]:
    return {
        "state": after(JOB_MOVES, job.state, event),
        "state_us": turn.now_us,
        "previous_state": job.state,
        "previous_state_us": job.state_us,
    }


def _move(turn: Turn, job: JobRecord, event: JobEvent, **new: Any) -> JobRecord:
    return _put(turn, job, **_moved(turn, job, event), **new)


def _put(turn: Turn, job: JobRecord, **new: Any) -> JobRecord:
    """Change a job as its users see it, so that its entity tag changes too."""
    return _keep(turn, job, modified_us=turn.modified(job.modified_us), **new)


def _keep(turn: Turn, job: JobRecord, **new: Any) -> JobRecord:
    """Note something of a job that users do not see."""
    changed = replace(job, **new)
    turn.put(c.PutJob(changed))
    turn.touch_job(job.no)
    return changed
