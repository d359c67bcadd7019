"""The facts about one waiting task, from the structures that schedule it."""

from __future__ import annotations

from collections import Counter

from penstock.domain.records import JobRecord, TaskRecord
from penstock.domain.states import PoolState, TaskResult, TaskState
from penstock.engine.state import OPEN_NODE_STATES, queue_key
from penstock.engine.turn import Turn
from penstock.scheduler.reasons import Blocker, Facts, Reason, next_on, reasons


async def why(turn: Turn, account: str, job_id: str, task_id: str) -> list[Reason]:
    """Why a task does not run; empty for one that runs or is over."""
    job = turn.job(account, job_id)
    task, _ = await turn.task(job, task_id)
    if task.state is not TaskState.ACTIVE:
        return []
    node = turn.node(task.node_no) if task.ahead else None
    if node is not None:
        return [next_on(node.id)]
    return reasons(_facts(turn, job, task, await _blocker(turn, job, task)))


async def _blocker(turn: Turn, job: JobRecord, task: TaskRecord) -> Blocker | None:
    book = turn.state.books.get(job.no)
    unmet = book.blocked_by(task.no) if book is not None else None
    if unmet is None:
        return None
    name = str(unmet)
    # A range asks for a number; the ids that spell it may begin with zeros.
    spellings = [name] if isinstance(unmet, str) else [name.zfill(n) for n in range(1, 65)]
    there = await turn.existing(job, spellings)
    if not there:
        return Blocker(name)
    found, _ = await turn.task(job, min(there))
    return Blocker(found.id, found.state.wire_name, found.result is TaskResult.FAILURE)


def _facts(turn: Turn, job: JobRecord, task: TaskRecord, blocker: Blocker | None) -> Facts:
    state = turn.state
    queue = state.queue(queue_key(job))
    waiting = queue.jobs[job.no]
    pool = state.pool(job.account, job.pool_id)
    nodes = state.roster.of_pool(pool.no) if pool else []
    ready = [node for node in nodes if node.state in OPEN_NODE_STATES]
    away = sum(node.host not in state.linked for node in ready)
    spec = pool.spec if pool else None
    return Facts(
        job_state=job.state,
        pool_id=job.pool_id,
        slots=task.slots,
        blocker=blocker,
        pool_there=pool is not None,
        pool_leaving=pool is not None and pool.state is PoolState.DELETING,
        target_nodes=(
            (spec.target_dedicated_nodes or 0) + (spec.target_low_priority_nodes or 0)
            if spec
            else 0
        ),
        slots_per_node=(spec.task_slots_per_node or 1) if spec else 1,
        nodes=Counter(node.state for node in nodes),
        nodes_away=away,
        nodes_closed=len(ready) - away - sum(node.no in queue.nodes for node in ready),
        most_free=queue.nodes.most,
        running_of_job=waiting.running,
        most_parallel=waiting.cap,
        waiting_before=sum(other.waiting for other in queue.jobs.values()) - 1,
    )
