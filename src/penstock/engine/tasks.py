"""What users ask of tasks. Each function is one decision within a turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.conditions import Conditions
from penstock.domain.records import Ending, JobRecord, TaskRecord, key_of
from penstock.domain.refusals import (
    InvalidPropertyValue,
    JobBeingDeleted,
    JobBeingTerminated,
    JobCompleted,
    Refusal,
    TaskCompleted,
    TaskDependenciesNotSpecifiedOnJob,
    TaskExists,
    TaskIdSameAsJobPreparationTask,
    TaskIdSameAsJobReleaseTask,
    TaskNotCompleted,
    TaskSucceeded,
)
from penstock.domain.specs.common import TaskConstraints, encode_spec, stored_spec
from penstock.domain.specs.task import ExitConditions, ExitOptions, TaskSpec
from penstock.domain.states import (
    TASK_MOVES,
    JobState,
    TaskEvent,
    TaskResult,
    TaskState,
    after,
)
from penstock.engine import ends
from penstock.engine.ends import ENDED_BY_USER, acts_on_failure, complete
from penstock.engine.orders import RELEASE_ID, preparation_id
from penstock.engine.runs import stop_running
from penstock.engine.settings import EngineSettings
from penstock.engine.storage import need_storage
from penstock.engine.turn import Turn


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


def lasting_job(turn: Turn, account: str, job_id: str) -> JobRecord:
    """Find a job that is not about to vanish with its tasks, or refuse."""
    job = turn.job(account, job_id)
    if job.state is JobState.DELETING:
        raise JobBeingDeleted
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
        answers.append(add_task(turn, job, spec))
    return answers


def _check(job: JobRecord, settings: EngineSettings, spec: TaskSpec, taken: set[str]) -> None:
    _check_special_ids(job, spec)
    if key_of(spec.id) in taken:
        raise TaskExists
    depends = spec.depends_on
    wants = depends is not None and (depends.task_ids or depends.task_id_ranges)
    if wants and not job.spec.uses_task_dependencies:
        raise TaskDependenciesNotSpecifiedOnJob(
            PropertyName="dependsOn", Reason="usesTaskDependencies of the job is not true"
        )
    if spec.exit_conditions is not None and not acts_on_failure(job):
        _refuse_job_actions(spec.exit_conditions)
    if not settings.has_storage(job.account):
        several = spec.multi_instance_settings
        need_storage(spec.resource_files, "resourceFiles")
        need_storage(
            several.common_resource_files if several else None,
            "multiInstanceSettings.commonResourceFiles",
        )


def _check_special_ids(job: JobRecord, spec: TaskSpec) -> None:
    release = job.spec.job_release_task
    if _is_named(spec, preparation_id(job)):
        raise TaskIdSameAsJobPreparationTask(PropertyName="id", PropertyValue=spec.id)
    if release is not None and _is_named(spec, release.id or RELEASE_ID):
        raise TaskIdSameAsJobReleaseTask(PropertyName="id", PropertyValue=spec.id)


def _is_named(spec: TaskSpec, name: str | None) -> bool:
    return name is not None and key_of(spec.id) == key_of(name)


def _refuse_job_actions(conditions: ExitConditions) -> None:
    for name, options in _exit_options(conditions):
        if options is not None and options.job_action is not None:
            raise InvalidPropertyValue(
                PropertyName=f"exitConditions.{name}.jobAction",
                PropertyValue=options.job_action,
                Reason="a job action needs onTaskFailure performexitoptionsjobaction on the job",
            )


def _exit_options(conditions: ExitConditions) -> Iterator[tuple[str, ExitOptions | None]]:
    """All options, each with where it stands."""
    for at, mapping in enumerate(conditions.exit_codes or ()):
        yield f"exitCodes[{at}].exitOptions", mapping.exit_options
    for at, span in enumerate(conditions.exit_code_ranges or ()):
        yield f"exitCodeRanges[{at}].exitOptions", span.exit_options
    yield "preProcessingError", conditions.pre_processing_error
    yield "fileUploadError", conditions.file_upload_error
    yield "default", conditions.default


def add_task(turn: Turn, job: JobRecord, spec: TaskSpec, *, manager: bool = False) -> TaskRecord:
    """Add a task that was checked; `manager` says that it is to direct its job."""
    constraints = spec.constraints or TaskConstraints()
    if constraints.max_task_retry_count is None:
        constraints = _retried_as(job, constraints)
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
        instances=_instances(spec),
        manager=manager,
    )
    turn.put(c.AddTask(task, encode_spec(spec)))
    return task


def _retried_as(job: JobRecord, constraints: TaskConstraints) -> TaskConstraints:
    """Who does not say how often a task may be retried means what its job says."""
    of_job = job.spec.constraints.max_task_retry_count if job.spec.constraints else 0
    return replace(constraints, max_task_retry_count=of_job or 0)


def _instances(spec: TaskSpec) -> int:
    settings = spec.multi_instance_settings
    return 0 if settings is None else settings.number_of_instances or 1


def _retention_us(constraints: TaskConstraints) -> int | None:
    retention = constraints.retention_time
    return None if retention is None else retention.micros


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
        constraints = _retried_as(job, constraints)
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
    job = lasting_job(turn, account, job_id)
    task, _ = await turn.task(job, task_id)
    when.check(task.modified_us)
    if task.state is TaskState.COMPLETED:
        raise TaskCompleted
    if task.no in turn.state.given:
        return stop_running(turn, task, Ending.TERMINATED)
    return complete(turn, task, TaskEvent.TERMINATED, turn.now_us, None, ENDED_BY_USER)


async def delete_task(
    turn: Turn, account: str, job_id: str, task_id: str, when: Conditions
) -> TaskRecord:
    """Forget a task: at once, or when it has stopped."""
    job = lasting_job(turn, account, job_id)
    task, _ = await turn.task(job, task_id)
    when.check(task.modified_us)
    if task.no in turn.state.given:
        return stop_running(turn, task, Ending.DELETED)
    ends.forget(turn, task, await _nodes_with_files(turn, task))
    return task


async def expire_files(turn: Turn, task: TaskRecord) -> None:
    """The retention time of a completed task is over: its directory goes."""
    for node_no in await _nodes_with_files(turn, task):
        ends.remove_directory(turn, task, node_no)
    turn.put_task(task, files_until_us=None, files_gone=True)


async def _nodes_with_files(turn: Turn, task: TaskRecord) -> list[int]:
    """The nodes that have directories of a task that runs nowhere."""
    if not task.instances:
        return [] if task.node_no is None else [task.node_no]
    return [part.node_no for part in await turn.subtasks(task.no)]


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
    ends.ends_well_no_more(turn, task)
    turn.growth_of(job.no).failed -= 1
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
