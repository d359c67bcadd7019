"""How tasks come, run and end. Each function is one decision within a turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.conditions import Conditions
from penstock.domain.records import (
    Ending,
    Failure,
    JobRecord,
    NodeRecord,
    Removal,
    TaskRecord,
    key_of,
)
from penstock.domain.refusals import (
    InvalidPropertyValue,
    JobBeingDeleted,
    JobBeingTerminated,
    JobCompleted,
    Refusal,
    TaskCompleted,
    TaskDependenciesNotSpecifiedOnJob,
    TaskExists,
    TaskNotCompleted,
    TaskSucceeded,
)
from penstock.domain.specs.common import TaskConstraints, encode_spec, stored_spec
from penstock.domain.specs.task import ExitConditions, TaskSpec
from penstock.domain.states import (
    TASK_MOVES,
    JobState,
    TaskEvent,
    TaskResult,
    TaskState,
    after,
)
from penstock.engine.occupancy import task_began, task_left
from penstock.engine.settings import EngineSettings
from penstock.engine.storage import need_storage
from penstock.engine.turn import Turn
from penstock.messages import KillTask, RemoveTask, ReturnTask, RunTask, TaskBegan, TaskEnded
from penstock.scheduler.outcomes import exit_options, may_retry
from penstock.scheduler.queue import Placement

ENDED_BY_USER = Failure("usererror", "TaskEnded", "The task was ended by user request")


def live_job(turn: Turn, account: str, job_id: str) -> JobRecord:
    """Find a job that has not begun to end, or refuse."""
    job = turn.job(account, job_id)
    if job.state is JobState.TERMINATING:
        raise JobBeingTerminated
    if job.state is JobState.DELETING:
        raise JobBeingDeleted
    if job.state is JobState.COMPLETED:
        raise JobCompleted
    return job


# --- adding ----------------------------------------------------------------------------------


async def add_tasks(
    turn: Turn, settings: EngineSettings, account: str, job_id: str, specs: Sequence[TaskSpec]
) -> list[TaskRecord | Refusal]:
    """Add tasks, each for itself."""
    job = live_job(turn, account, job_id)
    taken = await turn.existing(job, [key_of(spec.id) for spec in specs])
    answers: list[TaskRecord | Refusal] = []
    for spec in specs:
        try:
            _check(job, settings, spec, taken)
        except Refusal as refusal:
            answers.append(refusal)
            continue
        taken.add(key_of(spec.id))
        answers.append(_add(turn, job, spec))
    return answers


def _check(job: JobRecord, settings: EngineSettings, spec: TaskSpec, taken: set[str]) -> None:
    if key_of(spec.id) in taken:
        raise TaskExists
    depends = spec.depends_on
    wants = depends is not None and (depends.task_ids or depends.task_id_ranges)
    if wants and not job.spec.uses_task_dependencies:
        raise TaskDependenciesNotSpecifiedOnJob(
            PropertyName="dependsOn", Reason="usesTaskDependencies of the job is not true"
        )
    if spec.exit_conditions is not None and not _acts_on_failure(job):
        _refuse_job_actions(spec.exit_conditions)
    if not settings.has_storage(job.account):
        need_storage(spec.resource_files, "resourceFiles")


def _acts_on_failure(job: JobRecord) -> bool:
    return (job.spec.on_task_failure or "").lower() == "performexitoptionsjobaction"


def _refuse_job_actions(conditions: ExitConditions) -> None:
    options = [mapping.exit_options for mapping in conditions.exit_codes or []]
    options += [span.exit_options for span in conditions.exit_code_ranges or []]
    for single in (
        conditions.pre_processing_error,
        conditions.file_upload_error,
        conditions.default,
    ):
        options += [single] if single is not None else []
    for option in options:
        if option.job_action is not None:
            raise InvalidPropertyValue(
                PropertyName="exitConditions.jobAction",
                PropertyValue=option.job_action,
                Reason="a job action needs onTaskFailure performexitoptionsjobaction on the job",
            )


def _add(turn: Turn, job: JobRecord, spec: TaskSpec) -> TaskRecord:
    constraints = spec.constraints or TaskConstraints()
    if constraints.max_task_retry_count is None:
        of_job = job.spec.constraints.max_task_retry_count if job.spec.constraints else 0
        constraints = replace(constraints, max_task_retry_count=of_job or 0)
        spec = replace(spec, constraints=constraints)
    depends = spec.depends_on
    task = TaskRecord(
        no=turn.new_no(),
        job_no=job.no,
        id=spec.id,
        state=TaskState.ACTIVE,
        state_us=turn.now_us,
        created_us=turn.now_us,
        modified_us=turn.now_us,
        slots=spec.required_slots or 1,
        max_retries=constraints.max_task_retry_count or 0,
        retention_us=_retention_us(constraints),
        affinity=spec.affinity_info.affinity_id if spec.affinity_info else None,
        depends=depends if depends and (depends.task_ids or depends.task_id_ranges) else None,
        exit_conditions=spec.exit_conditions,
    )
    turn.put(c.AddTask(task, encode_spec(spec)))
    return task


def _retention_us(constraints: TaskConstraints) -> int | None:
    retention = constraints.retention_time
    return None if retention is None else retention.micros


# --- running ---------------------------------------------------------------------------------


async def start(turn: Turn, settings: EngineSettings, placements: Sequence[Placement]) -> None:
    """Give placed tasks to their nodes."""
    found = await turn.tasks([placement.task_no for placement in placements])
    for placement in placements:
        before, spec = found[placement.task_no]
        node = turn.state.nodes[placement.node_no]
        # Its dependencies were met once; should one of them be deleted, it runs again all the same.
        given = {"attempt": before.attempt + 1, "node_no": node.no, "depends": None}
        if placement.ahead:
            task = turn.put_task(before, ahead=True, **given)
            turn.state.ahead_since_us[task.no] = turn.now_us
        else:
            task = _begin(turn, before, node, turn.now_us, **given)
        turn.send(node.no, order_for(turn, task, spec, settings))
        if before.node_no is not None and before.node_no != node.no:
            _remove_directory(turn, before)


def _begin(
    turn: Turn, task: TaskRecord, node: NodeRecord, start_us: int, **more: Any
) -> TaskRecord:
    task = turn.put_task(
        task,
        state=after(TASK_MOVES, task.state, TaskEvent.ASSIGNED),
        ahead=False,
        start_us=start_us,
        end_us=None,
        exit_code=None,
        node_id=node.id,
        pool_id=turn.state.pools[node.pool_no].id,
        **more,
    )
    task_began(turn, task, node)
    return task


def began(turn: Turn, report: TaskBegan) -> None:
    """A node host says that an attempt which was sent ahead begins."""
    task = turn.state.given.get(report.task_no)
    node = turn.node(task.node_no) if task is not None else None
    if task is not None and node is not None and task.ahead and task.attempt == report.attempt:
        _begin(turn, task, node, report.start_us)


def order_for(turn: Turn, task: TaskRecord, spec: bytes, settings: EngineSettings) -> RunTask:
    """What a host is told of an attempt."""
    job = turn.state.jobs[task.job_no]
    wanted = stored_spec(TaskSpec, spec)
    limit = wanted.constraints.max_wall_clock_time if wanted.constraints else None
    files = wanted.resource_files or []
    settings_of_job = job.spec.common_environment_settings or []
    environment = [*settings_of_job, *(wanted.environment_settings or [])]
    return RunTask(
        node_no=task.node_no or 0,
        task_no=task.no,
        attempt=task.attempt,
        job_id=job.id,
        task_id=task.id,
        command_line=wanted.command_line,
        environment={item.name: item.value or "" for item in environment},
        resource_files=tuple(files),
        output_files=tuple(wanted.output_files or ()),
        wall_clock_us=None if limit is None else limit.micros,
        container_urls=settings.container_urls(job.account, files),
        slots=task.slots,
        ahead=task.ahead,
    )


async def ended(turn: Turn, report: TaskEnded) -> None:
    """A node host says that an attempt is over. Late and repeated reports change nothing."""
    task = turn.state.given.get(report.task_no)
    if task is None or task.attempt != report.attempt:
        return
    if task.ending is Ending.DELETED:
        _forget(turn, task)
    elif (
        task.ahead
        or report.lost
        or report.returned  # a host that lost its power gives back what it does not know it began
        or (report.killed and task.ending is not Ending.TERMINATED)
    ):
        taken_off(turn, task, requeue=runs_again(turn, task))
    else:
        _note_length(turn, task, report)
        _finish(turn, task, report)


def _note_length(turn: Turn, task: TaskRecord, report: TaskEnded) -> None:
    node = turn.node(task.node_no)
    if node is not None:
        turn.state.took(node, max(0, report.end_us - report.start_us))


def _finish(turn: Turn, task: TaskRecord, report: TaskEnded) -> None:
    again = (
        task.ending is not Ending.TERMINATED
        and not _is_ending(turn, task)
        and may_retry(task.max_retries, task.retry_count, report.failure)
    )
    if again:
        task = turn.put_task(
            task,
            state=after(TASK_MOVES, task.state, TaskEvent.RETRIED),
            retry_count=task.retry_count + 1,
            last_retry_us=turn.now_us,
            ending=None,
            start_us=None,
            end_us=None,
        )
        task_left(turn, replace(task, exit_code=report.exit_code), ran=True)
        turn.touch_job(task.job_no)
        return
    task = _complete(turn, task, TaskEvent.EXITED, report.end_us, report.exit_code, report.failure)
    task_left(turn, task, ran=True)


def _complete(
    turn: Turn,
    task: TaskRecord,
    event: TaskEvent,
    end_us: int,
    exit_code: int | None,
    failure: Failure | None,
) -> TaskRecord:
    end_us = max(end_us, task.start_us or end_us)
    _touch_if_ahead(turn, task)
    options = exit_options(task.exit_conditions, exit_code, failure)
    job = turn.state.jobs[task.job_no]
    kept_for = task.retention_us if task.node_no is not None else None
    task = turn.put_task(
        task,
        state=after(TASK_MOVES, task.state, event),
        end_us=end_us,
        exit_code=exit_code,
        failure=failure,
        result=TaskResult.SUCCESS if failure is None else TaskResult.FAILURE,
        ahead=False,
        ending=None,
        satisfies=options.dependency_action == "satisfy",
        files_until_us=None if kept_for is None else end_us + kept_for,
    )
    acts = _acts_on_failure(job) and (failure is not None or task.exit_conditions is not None)
    turn.touch_job(task.job_no, options.job_action if acts else None)
    return task


def runs_again(turn: Turn, task: TaskRecord) -> bool:
    """Whether a task that loses its node is to run on another: not if its node left with it."""
    node = turn.node(task.node_no)
    return node is None or node.leaving is not Removal.TERMINATE


def taken_off(turn: Turn, task: TaskRecord, *, requeue: bool, heard_of: bool = True) -> None:
    """A task runs no more because its node is gone or it was told to leave it.

    It runs again unless a user ended it meanwhile. Every such return is counted, whatever its
    cause, so that the record says how often the command may have run; one that was only sent
    ahead has not run, unless its node may have begun it while it was not `heard_of`.
    """
    was_running = task.state is TaskState.RUNNING
    if task.ending is Ending.DELETED:
        _forget(turn, task)
    elif task.ahead and task.ending is not Ending.TERMINATED:
        _put_back(turn, task, counted=not heard_of)
    elif task.ending is Ending.TERMINATED or not requeue or _is_ending(turn, task):
        task = _complete(turn, task, TaskEvent.TERMINATED, turn.now_us, None, ENDED_BY_USER)
        if was_running:
            task_left(turn, task, ran=True)
    else:
        task = turn.put_task(
            task,
            state=after(TASK_MOVES, task.state, TaskEvent.REQUEUED),
            requeue_count=task.requeue_count + 1,
            last_requeue_us=turn.now_us,
            start_us=None,
            end_us=None,
            exit_code=None,
            ending=None,
        )
        task_left(turn, task, ran=False)
        turn.touch_job(task.job_no)


def _put_back(turn: Turn, task: TaskRecord, *, counted: bool) -> None:
    """A task that was sent ahead waits for any node again."""
    _touch_if_ahead(turn, task)
    count: dict[str, Any] = {
        "requeue_count": task.requeue_count + 1,
        "last_requeue_us": turn.now_us,
    }
    turn.put_task(task, ahead=False, node_no=None, ending=None, **(count if counted else {}))
    turn.touch_job(task.job_no)


def _touch_if_ahead(turn: Turn, task: TaskRecord) -> None:
    """A node that is leaving may have waited for nothing but this."""
    if task.ahead and task.node_no is not None:
        turn.touch_node(task.node_no)


def _is_ending(turn: Turn, task: TaskRecord) -> bool:
    return turn.state.jobs[task.job_no].state in (JobState.TERMINATING, JobState.DELETING)


def stop_running(turn: Turn, task: TaskRecord, ending: Ending) -> TaskRecord:
    """Have a task that a node has killed; what becomes of it is decided when it has stopped.

    A wish that is already there gives way only to a stronger one: deletion before termination
    before another run.
    """
    strength = [None, Ending.REQUEUED, Ending.TERMINATED, Ending.DELETED]
    if strength.index(task.ending) < strength.index(ending):
        task = turn.put_task(task, ending=ending)
    if task.node_no is not None:
        turn.send(
            task.node_no, KillTask(node_no=task.node_no, task_no=task.no, attempt=task.attempt)
        )
    return task


def give_back(turn: Turn, task: TaskRecord) -> None:
    """Have a task that was sent ahead given back, unless it begins first."""
    turn.state.ahead_since_us.pop(task.no, None)
    if task.node_no is not None:
        order = ReturnTask(node_no=task.node_no, task_no=task.no, attempt=task.attempt)
        turn.send(task.node_no, order)


# --- what users ask --------------------------------------------------------------------------


async def update_task(
    turn: Turn,
    account: str,
    job_id: str,
    task_id: str,
    constraints: TaskConstraints,
    when: Conditions,
) -> TaskRecord:
    """Replace the constraints of a task; a running one keeps its wall clock limit."""
    job = live_job(turn, account, job_id)
    task, document = await turn.task(job, task_id)
    when.check(task.modified_us)
    if task.state is TaskState.COMPLETED:
        raise TaskCompleted
    if constraints.max_task_retry_count is None:
        constraints = replace(constraints, max_task_retry_count=0)
    spec = replace(stored_spec(TaskSpec, document), constraints=constraints)
    task = replace(
        task,
        modified_us=turn.modified(task.modified_us),
        max_retries=constraints.max_task_retry_count or 0,
        retention_us=_retention_us(constraints),
    )
    turn.put(c.SetTask(task, task.state, encode_spec(spec)))
    return task


async def terminate_task(
    turn: Turn, account: str, job_id: str, task_id: str, when: Conditions
) -> TaskRecord:
    """End a task as a failure: at once where it waits, after its kill where it runs."""
    job = turn.job(account, job_id)
    task, _ = await turn.task(job, task_id)
    when.check(task.modified_us)
    if task.state is TaskState.COMPLETED:
        raise TaskCompleted
    if task.no in turn.state.given:
        return stop_running(turn, task, Ending.TERMINATED)
    return _complete(turn, task, TaskEvent.TERMINATED, turn.now_us, None, ENDED_BY_USER)


async def delete_task(
    turn: Turn, account: str, job_id: str, task_id: str, when: Conditions
) -> TaskRecord:
    """Forget a task: at once, or when it has stopped."""
    job = turn.job(account, job_id)
    task, _ = await turn.task(job, task_id)
    when.check(task.modified_us)
    if task.no in turn.state.given:
        return stop_running(turn, task, Ending.DELETED)
    _forget(turn, task)
    return task


def _forget(turn: Turn, task: TaskRecord) -> None:
    chore = _remove_directory(turn, task)
    _touch_if_ahead(turn, task)
    _ends_well_no_more(turn, task)
    turn.put(c.DropTask(task))
    turn.removals[task.no] = chore
    if task.state is TaskState.RUNNING:
        task_left(turn, task, ran=False)
    turn.touch_job(task.job_no)


def _ends_well_no_more(turn: Turn, task: TaskRecord) -> None:
    """A task is about to go or to run again; what it released stays so, after a restart too."""
    if task.satisfies and task.job_no in turn.state.books:
        turn.put(c.KeepSatisfied(task.job_no, task.id, turn.state.next_no))


def _remove_directory(turn: Turn, task: TaskRecord) -> int | None:
    """Have the directory of a task's last run removed, where its node is still there."""
    if task.files_gone or task.node_no not in turn.state.nodes:
        return None
    job = turn.state.jobs[task.job_no]
    order = RemoveTask(
        chore=turn.new_no(),
        node_no=task.node_no,
        task_no=task.no,
        job_id=job.id,
        task_id=task.id,
    )
    turn.put_chore(task.node_no, job.no, order)
    return order.chore


def expire_files(turn: Turn, task: TaskRecord) -> None:
    """The retention time of a completed task is over: its directory goes."""
    _remove_directory(turn, task)
    turn.put_task(task, files_until_us=None, files_gone=True)


async def reactivate_task(
    turn: Turn, account: str, job_id: str, task_id: str, when: Conditions
) -> TaskRecord:
    """Let a failed task wait again, with a retry count of 0."""
    job = live_job(turn, account, job_id)
    task, _ = await turn.task(job, task_id)
    when.check(task.modified_us)
    if task.state is not TaskState.COMPLETED:
        raise TaskNotCompleted
    if task.result is TaskResult.SUCCESS or task.exit_code == 0:
        raise TaskSucceeded
    _ends_well_no_more(turn, task)
    return turn.put_task(
        task,
        state=after(TASK_MOVES, task.state, TaskEvent.REACTIVATED),
        modified_us=turn.modified(task.modified_us),
        retry_count=0,
        last_retry_us=None,
        requeue_count=0,
        last_requeue_us=None,
        start_us=None,
        end_us=None,
        exit_code=None,
        result=None,
        failure=None,
        satisfies=False,
        files_until_us=None,
        files_gone=False,
        node_no=None if task.files_gone else task.node_no,
    )
