"""What becomes of a task whose run is over, or that a node is not to run."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.records import Ending, Failure, JobRecord, TaskRecord
from penstock.domain.states import (
    TASK_MOVES,
    JobState,
    TaskEvent,
    TaskResult,
    TaskState,
    after,
)
from penstock.engine import usage
from penstock.engine.occupancy import task_left
from penstock.engine.turn import Turn
from penstock.messages import RemoveTask
from penstock.scheduler.outcomes import exit_options, may_retry

ENDED_BY_USER = Failure("usererror", "TaskEnded", "The task was ended by user request")

FOR_EVER_US: Final = 2**62
"""An instant that no clock reaches."""

MANAGER_DONE = "manager"
"""What the end of a job manager asks of its job."""

ENDING_JOBS: Final = (JobState.TERMINATING, JobState.DELETING)

ON_NODE = (TaskState.PREPARING, TaskState.RUNNING)


def nodes_of(turn: Turn, task: TaskRecord) -> list[int]:
    """The nodes that have a task, the primary's first."""
    parts = turn.state.subtasks.of(task.no)
    if parts:
        return [part.node_no for part in parts]
    return [] if task.node_no is None else [task.node_no]


def _left(turn: Turn, task: TaskRecord, nodes: list[int], *, ran: bool) -> None:
    """Count a task off its nodes."""
    for index, node_no in enumerate(nodes):
        task_left(turn, replace(task, node_no=node_no), ran=ran, subtask=index or None)


def finish(
    turn: Turn, task: TaskRecord, end_us: int, exit_code: int | None, failure: Failure | None
) -> None:
    """A run ended, and how: the task is completed, or waits for its next try."""
    nodes = nodes_of(turn, task)
    again = (
        task.ending is not Ending.TERMINATED
        and not is_ending(turn, task)
        and may_retry(task.max_retries, task.retry_count, failure)
    )
    if not again:
        task = complete(turn, task, TaskEvent.EXITED, end_us, exit_code, failure)
        _left(turn, task, nodes, ran=True)
        return
    task = turn.put_task(
        task,
        state=after(TASK_MOVES, task.state, TaskEvent.RETRIED),
        usage=usage.ended(turn, task, end_us, again=True),
        retry_count=task.retry_count + 1,
        last_retry_us=turn.now_us,
        ending=None,
        start_us=None,
        end_us=None,
        exit_code=None,
        failure=None,
        held=0,
    )
    _left(turn, replace(task, exit_code=exit_code), nodes, ran=True)
    turn.growth_of(task.job_no).retries += 1
    turn.touch_job(task.job_no)


def complete(
    turn: Turn,
    task: TaskRecord,
    event: TaskEvent,
    end_us: int,
    exit_code: int | None,
    failure: Failure | None,
) -> TaskRecord:
    """Let a task be completed; what it means for its job is looked at after the decision."""
    end_us = max(end_us, task.start_us or end_us)
    _touch_if_ahead(turn, task)
    options = exit_options(task.exit_conditions, exit_code, failure)
    job = turn.state.jobs[task.job_no]
    until_us = FOR_EVER_US if task.retention_us is None else end_us + task.retention_us
    task = turn.put_task(
        task,
        state=after(TASK_MOVES, task.state, event),
        end_us=end_us,
        usage=usage.ended(turn, task, end_us, again=False),
        exit_code=exit_code,
        failure=failure,
        result=TaskResult.SUCCESS if failure is None else TaskResult.FAILURE,
        ahead=False,
        ending=None,
        satisfies=options.dependency_action == "satisfy",
        files_until_us=None if task.node_no is None else until_us,
        held=0,
    )
    growth = turn.growth_of(task.job_no)
    growth.succeeded += failure is None
    growth.failed += failure is not None
    acts = acts_on_failure(job) and (failure is not None or task.exit_conditions is not None)
    turn.touch_job(task.job_no, options.job_action if acts else None)
    if task.manager and _ends_with_manager(job):
        turn.touch_job(task.job_no, MANAGER_DONE)
    return task


def acts_on_failure(job: JobRecord) -> bool:
    """Whether the job does as the exit conditions of its failed tasks say."""
    return (job.spec.on_task_failure or "").lower() == "performexitoptionsjobaction"


def _ends_with_manager(job: JobRecord) -> bool:
    manager = job.spec.job_manager_task
    return manager is not None and manager.kill_job_on_completion is not False


def taken_off(turn: Turn, task: TaskRecord, *, requeue: bool, heard_of: bool = True) -> None:
    """A task runs no more because its node is gone or it was told to leave it.

    It runs again unless a user ended it meanwhile. Every such return of one that was running is
    counted, whatever its cause, so that the record says how often the command may have run; one
    that was only sent ahead has not run, unless its node may have begun it while it was not
    `heard_of`.
    """
    nodes = nodes_of(turn, task)
    was_on_node, ran = task.state in ON_NODE, task.state is TaskState.RUNNING
    if task.ending is Ending.DELETED:
        forget(turn, task)
    elif task.ahead and task.ending is not Ending.TERMINATED:
        _put_back(turn, task, counted=not heard_of)
    elif task.ending is Ending.TERMINATED or not requeue or is_ending(turn, task):
        task = complete(turn, task, TaskEvent.TERMINATED, turn.now_us, None, ENDED_BY_USER)
        if was_on_node:
            _left(turn, task, nodes, ran=ran)
    else:
        task = turn.put_task(
            task,
            state=after(TASK_MOVES, task.state, TaskEvent.REQUEUED),
            usage=usage.ended(turn, task, turn.now_us, again=True),
            start_us=None,
            end_us=None,
            exit_code=None,
            failure=None,
            ending=None,
            held=0,
            **(_one_more(turn, task) if ran else {}),
        )
        _left(turn, task, nodes, ran=False)
        turn.touch_job(task.job_no)


def _one_more(turn: Turn, task: TaskRecord) -> dict[str, Any]:
    return {"requeue_count": task.requeue_count + 1, "last_requeue_us": turn.now_us}


def _put_back(turn: Turn, task: TaskRecord, *, counted: bool) -> None:
    """A task that was sent ahead waits for any node again."""
    _touch_if_ahead(turn, task)
    count = _one_more(turn, task) if counted else {}
    turn.put_task(task, ahead=False, node_no=None, ending=None, **count)
    turn.touch_job(task.job_no)


def _touch_if_ahead(turn: Turn, task: TaskRecord) -> None:
    """A node that is leaving may have waited for nothing but this."""
    if task.ahead and task.node_no is not None:
        turn.touch_node(task.node_no)


def is_ending(turn: Turn, task: TaskRecord) -> bool:
    """Whether the job of a task is about to end."""
    return turn.state.jobs[task.job_no].state in ENDING_JOBS


def forget(turn: Turn, task: TaskRecord, nodes: list[int] | None = None) -> None:
    """Forget a task; its directory goes from `nodes`, which are those that have it now."""
    on_nodes = nodes_of(turn, task)
    chores = [remove_directory(turn, task, no) for no in nodes or on_nodes]
    task = replace(task, usage=usage.ended(turn, task, turn.now_us, again=False))
    _touch_if_ahead(turn, task)
    ends_well_no_more(turn, task)
    turn.put(c.DropTask(task))
    if task.instances:  # only now: its parts say which nodes have it
        turn.put(c.DropSubtasks(task.no))
    turn.removals[task.no] = chores[0] if chores else None
    if task.state in ON_NODE:
        _left(turn, task, on_nodes, ran=False)
    turn.touch_job(task.job_no)


def ends_well_no_more(turn: Turn, task: TaskRecord) -> None:
    """A task is about to go or to run again; what it released stays so, after a restart too."""
    if task.satisfies and task.job_no in turn.state.books:
        turn.put(c.KeepSatisfied(task.job_no, task.id, turn.state.next_no))


def remove_directory(turn: Turn, task: TaskRecord, node_no: int | None) -> int | None:
    """Have the directory of a task removed from a node, where that is still there."""
    if task.files_gone or node_no is None or node_no not in turn.state.nodes:
        return None
    job = turn.state.jobs[task.job_no]
    order = RemoveTask(
        chore=turn.new_no(), node_no=node_no, task_no=task.no, job_id=job.id, task_id=task.id
    )
    turn.put_chore(node_no, job.no, order)
    return order.chore
