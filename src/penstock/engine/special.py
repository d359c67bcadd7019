"""Job preparation and job release: what a job runs on a node before its tasks and after them.

A record per job and node says how the last run of each went; its numbers name the runs on the
link. A node's boot number tells whether a preparation still counts.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.records import (
    JobNodeRecord,
    JobRecord,
    NodeRecord,
    SpecialRun,
)
from penstock.domain.states import NodeState
from penstock.engine import orders
from penstock.engine.ends import ENDED_BY_USER, ENDING_JOBS
from penstock.engine.readiness import LOST, Readiness, readiness, waits_for_success
from penstock.engine.turn import Turn
from penstock.messages import Instruction, KillTask, TaskEnded
from penstock.scheduler.outcomes import may_retry

RELEASED_IN = frozenset(
    {NodeState.IDLE, NodeState.RUNNING, NodeState.OFFLINE, NodeState.START_TASK_FAILED}
)
"""A node in another state is on its way to or from something, and has nothing to release."""


def prepare(turn: Turn, job: JobRecord, node: NodeRecord) -> bool:
    """Have a node prepared for a job, unless it is; True when tasks may run there now."""
    job_node = turn.state.job_nodes.get(job.no, node.no)
    found = readiness(job, node, job_node)
    if found is Readiness.TO_PREPARE:
        _begin_preparation(turn, job, node, job_node)
    return found is Readiness.READY or not waits_for_success(job)


def _begin_preparation(
    turn: Turn,
    job: JobRecord,
    node: NodeRecord,
    job_node: JobNodeRecord | None,
) -> None:
    if job_node is None:
        job_node = JobNodeRecord(
            no=turn.new_no(),
            release_no=turn.new_no(),
            job_no=job.no,
            pool_id=turn.state.pools[node.pool_no].id,
            node_no=node.no,
            node_id=node.id,
            boot=node.boot,
        )
    before = job_node.preparation
    run = SpecialRun(
        attempt=before.attempt + 1 if before else 1, running=True, start_us=turn.now_us
    )
    _run_preparation(turn, job, replace(job_node, boot=node.boot), run)


def _run_preparation(
    turn: Turn,
    job: JobRecord,
    job_node: JobNodeRecord,
    run: SpecialRun,
) -> None:
    job_node = _put(turn, job_node, preparation=run)
    turn.send(job_node.node_no, orders.preparation_order(turn, job, job_node, run))


def ended(turn: Turn, job_node: JobNodeRecord, report: TaskEnded) -> JobNodeRecord | None:
    """A host says that a special run is over.

    Gives the record when that was a preparation which decides about the tasks that wait for it.
    """
    if report.task_no == job_node.release_no:
        _release_ended(turn, job_node, report)
        return None
    run = job_node.preparation
    if run is None or not run.running or run.attempt != report.attempt:
        return None
    job = turn.state.jobs[job_node.job_no]
    turn.touch_job(job.no)
    task = job.spec.job_preparation_task
    node = turn.node(job_node.node_no)
    if task is None or node is None:
        return None
    if not run.stopping and job.state not in ENDING_JOBS and job_node.boot == node.boot:
        if report.lost and node.state in RELEASED_IN:
            again = replace(run, attempt=run.attempt + 1, start_us=turn.now_us)
            _run_preparation(turn, job, job_node, again)
            return None
        most = task.constraints.max_task_retry_count if task.constraints else 0
        if may_retry(most or 0, run.retry_count, report.failure):
            again = replace(
                run,
                attempt=run.attempt + 1,
                start_us=turn.now_us,
                retry_count=run.retry_count + 1,
                last_retry_us=turn.now_us,
            )
            _run_preparation(turn, job, job_node, again)
            return None
    return _put(turn, job_node, preparation=_over(turn, run, report))


def _over(turn: Turn, run: SpecialRun, report: TaskEnded) -> SpecialRun:
    failure = report.failure
    if report.lost:
        failure = LOST
    elif run.stopping and report.killed:
        failure = failure or ENDED_BY_USER
    return replace(
        run,
        running=False,
        end_us=max(run.start_us, turn.now_us if report.lost else report.end_us),
        exit_code=None if report.lost else report.exit_code,
        failure=failure,
        stopping=False,
    )


# --- the end of a job ----------------------------------------------------------------------------


def release(turn: Turn, job: JobRecord) -> None:
    """Begin the release task on the nodes that began to be prepared for a job."""
    if job.spec.job_release_task is None:
        return
    for job_node in turn.state.job_nodes.of_job(job.no):
        node = turn.node(job_node.node_no)
        if node is None or node.state not in RELEASED_IN or job_node.preparation is None:
            continue
        if job_node.boot < node.wiped:
            continue
        run = SpecialRun(attempt=1, running=True, start_us=turn.now_us)
        begun = _put(turn, job_node, release=run)
        turn.send(node.no, orders.release_order(turn, job, begun, run))


def _release_ended(turn: Turn, job_node: JobNodeRecord, report: TaskEnded) -> None:
    run = job_node.release
    if run is None or not run.running or run.attempt != report.attempt:
        return
    node = turn.node(job_node.node_no)
    if report.lost and not run.stopping and node is not None and node.state in RELEASED_IN:
        run = replace(run, attempt=run.attempt + 1)
        job_node = _put(turn, job_node, release=run)
        job = turn.state.jobs[job_node.job_no]
        turn.send(job_node.node_no, orders.release_order(turn, job, job_node, run))
        return
    _put(turn, job_node, release=_over(turn, run, report))
    turn.touch_job(job_node.job_no)


def stop_preparations(turn: Turn, job: JobRecord) -> bool:
    """Have the preparations that run for a job ended; True while any does."""
    found = False
    for job_node in turn.state.job_nodes.of_job(job.no):
        run = job_node.preparation
        if run is None or not run.running:
            continue
        found = True
        if not run.stopping:
            _put(turn, job_node, preparation=replace(run, stopping=True))
            turn.send(job_node.node_no, _kill(job_node, job_node.no, run))
    return found


def is_releasing(turn: Turn, job_no: int) -> bool:
    """Whether a release task runs for a job."""
    return any(
        job_node.release is not None and job_node.release.running
        for job_node in turn.state.job_nodes.of_job(job_no)
    )


def give_up(turn: Turn, job: JobRecord) -> None:
    """Kill what still runs of a job's special tasks, and wait for none of it."""
    for job_node in turn.state.job_nodes.of_job(job.no):
        for run_no, run in _running(job_node):
            turn.send(job_node.node_no, _kill(job_node, run_no, run))
        _cut_off(turn, job_node)


def node_gone(turn: Turn, node: NodeRecord) -> None:
    """Nothing of what a node had runs any more, or can be heard of: that of jobs is over."""
    for job_node in turn.state.job_nodes.of_node(node.no):
        _cut_off(turn, job_node)
        turn.touch_job(job_node.job_no)


def _cut_off(turn: Turn, job_node: JobNodeRecord) -> None:
    """Let what runs on a node for a job be over: nobody will hear of it any more."""
    preparation, release = job_node.preparation, job_node.release
    if _running(job_node):
        _put(
            turn,
            job_node,
            preparation=preparation and _cut(turn, preparation),
            release=release and _cut(turn, release),
        )


def _cut(turn: Turn, run: SpecialRun) -> SpecialRun:
    if not run.running:
        return run
    return replace(run, running=False, end_us=turn.now_us, failure=LOST, stopping=False)


# --- hosts ---------------------------------------------------------------------------------------


def runs_on(turn: Turn, node_no: int) -> list[tuple[int, int]]:
    """The special runs that a node should have, as numbers and attempts."""
    return [(run_no, run.attempt) for _, run_no, run in _running_on(turn, node_no)]


def _running_on(turn: Turn, node_no: int) -> list[tuple[JobNodeRecord, int, SpecialRun]]:
    return [
        (job_node, run_no, run)
        for job_node in turn.state.job_nodes.of_node(node_no)
        for run_no, run in _running(job_node)
    ]


def _running(job_node: JobNodeRecord) -> list[tuple[int, SpecialRun]]:
    """What runs, with the numbers that name it."""
    pairs = (
        (job_node.no, job_node.preparation),
        (job_node.release_no, job_node.release),
    )
    return [(run_no, run) for run_no, run in pairs if run is not None and run.running]


def orders_again(turn: Turn, node_no: int, known: set[tuple[int, int]]) -> list[Instruction]:
    """What the host of a node is told when it connects: what it has not heard of."""
    first: list[Instruction] = []
    for job_node, run_no, run in _running_on(turn, node_no):
        job = turn.state.jobs[job_node.job_no]
        if run.stopping:
            first.append(_kill(job_node, run_no, run))
        elif (run_no, run.attempt) not in known:
            order = orders.preparation_order if run_no == job_node.no else orders.release_order
            first.append(order(turn, job, job_node, run))
    return first


def _kill(job_node: JobNodeRecord, run_no: int, run: SpecialRun) -> KillTask:
    return KillTask(node_no=job_node.node_no, task_no=run_no, attempt=run.attempt)


def _put(turn: Turn, job_node: JobNodeRecord, **new: Any) -> JobNodeRecord:
    changed = replace(job_node, **new)
    turn.put(c.PutJobNode(changed))
    return changed
