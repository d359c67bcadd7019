"""Why a task that waits does not run: every cause, the weightiest first.

The engine gathers the facts from the very structures that schedule; this says what they mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from penstock.domain.states import JobState, NodeState


class Reason(msgspec.Struct, frozen=True, rename="camel"):
    """One cause. `code` is for programs; `remedy` says what would change it."""

    code: str
    message: str
    remedy: str


class Blocker(msgspec.Struct, frozen=True):
    """The dependency that a task waits for now."""

    task: str  # its id, or the number that a range asks for
    state: str | None = None  # wire name; None when there is no such task (yet)
    failed: bool = False


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that bears on one waiting task."""

    job_state: JobState
    pool_id: str
    slots: int
    blocker: Blocker | None = None
    pool_there: bool = True
    pool_leaving: bool = False
    target_nodes: int = 0
    slots_per_node: int = 1
    nodes: Mapping[NodeState, int] = {}
    nodes_away: int = 0  # idle or running, but their host is not connected
    nodes_closed: int = 0  # scheduling disabled, or about to leave
    most_free: int = 0  # the largest gap on a node that takes tasks
    running_of_job: int = 0
    most_parallel: int = -1
    waiting_before: int = 0  # tasks of the same queue that wait too


def reasons(facts: Facts) -> list[Reason]:
    """Every cause that keeps the task waiting. Never empty."""
    found = [
        *_of_job(facts),
        *_of_dependencies(facts),
        *_of_pool(facts),
        *_of_nodes(facts),
        *_of_slots(facts),
    ]
    if found:
        return found
    message = f"Other tasks are before it: {facts.waiting_before} wait for the same nodes."
    return [Reason("WaitsItsTurn", message, "It is placed when a slot is free and it is its turn.")]


def next_on(node_id: str) -> Reason:
    """The reason of a task that was sent ahead to a node."""
    message = f"It is among the next on node {node_id!r}."
    return Reason("NextOnNode", message, "It begins when a slot of the node is free.")


def _of_job(facts: Facts) -> Iterator[Reason]:
    if facts.job_state in (JobState.DISABLED, JobState.DISABLING):
        yield Reason("JobDisabled", f"The job is {facts.job_state}.", "Enable the job.")
    elif facts.job_state is JobState.ENABLING:
        yield Reason("JobEnabling", "The job is enabling.", "It is active in a moment.")
    elif facts.job_state is not JobState.ACTIVE:
        yield Reason(
            "JobEnding", f"The job is {facts.job_state}.", "Nothing: the task will not run."
        )
    if 0 <= facts.most_parallel <= facts.running_of_job:
        yield Reason(
            "MaxParallelTasks",
            f"The job runs {facts.running_of_job} tasks and may run {facts.most_parallel} at once.",
            "It may start when one of them ends, or raise maxParallelTasks.",
        )


def _of_dependencies(facts: Facts) -> Iterator[Reason]:
    blocker = facts.blocker
    if blocker is None:
        return
    name = f"task {blocker.task!r}"
    if blocker.state is None:
        yield Reason("DependencyMissing", f"It depends on {name}, which is not there.", "Add it.")
    elif blocker.failed:
        yield Reason(
            "DependencyFailed",
            f"It depends on {name}, which failed.",
            f"Reactivate {name}, or delete this task.",
        )
    else:
        yield Reason(
            "DependencyUnfinished",
            f"It depends on {name}, which is {blocker.state}.",
            f"It may start when {name} has succeeded.",
        )


def _of_pool(facts: Facts) -> Iterator[Reason]:
    if not facts.pool_there:
        yield Reason(
            "PoolMissing", f"There is no pool {facts.pool_id!r}.", "Create it, or move the job."
        )
    elif facts.pool_leaving:
        yield Reason("PoolDeleting", "The pool is being deleted.", "Create it anew.")
    elif not facts.nodes and not facts.target_nodes:
        yield Reason("PoolEmpty", "The pool has no nodes and its target is 0.", "Resize the pool.")
    elif not facts.nodes:
        message = f"The pool has none of its {facts.target_nodes} nodes, and adds none."
        yield Reason("PoolEmpty", message, "See its resize errors, and resize it.")
    elif facts.slots > facts.slots_per_node:
        yield Reason(
            "TooManySlots",
            f"It needs {facts.slots} slots and no node of the pool has more than"
            f" {facts.slots_per_node}.",
            "Use a pool with a larger taskSlotsPerNode.",
        )


_NOT_READY: Mapping[NodeState, tuple[str, str]] = {
    NodeState.CREATING: ("no node host has taken them yet", "Start a node host that is connected."),
    NodeState.STARTING: ("they are starting", "They will be ready soon."),
    NodeState.WAITING_FOR_START_TASK: ("their start task runs", "They are ready when it ends."),
    NodeState.START_TASK_FAILED: ("their start task failed", "See its stderr.txt in startup."),
    NodeState.UNKNOWN: ("their host fell silent", "They return with their host."),
    NodeState.UNUSABLE: ("they cannot work", "See their errors."),
    NodeState.LEAVING_POOL: ("they leave the pool", "Resize the pool."),
}


def _of_nodes(facts: Facts) -> Iterator[Reason]:
    for state, (why, remedy) in _NOT_READY.items():
        count = facts.nodes.get(state, 0)
        if count:
            yield Reason("NodesNotReady", f"{count} nodes take no tasks: {why}.", remedy)
    if facts.nodes_away:
        message = f"{facts.nodes_away} nodes take no tasks: their host is not connected."
        yield Reason("NodesAway", message, "Start the node host again.")
    if facts.nodes_closed:
        message = f"{facts.nodes_closed} nodes take no tasks: they were asked not to."
        yield Reason("NodesClosed", message, "Enable scheduling on them.")


def _of_slots(facts: Facts) -> Iterator[Reason]:
    open_nodes = facts.nodes.get(NodeState.IDLE, 0) + facts.nodes.get(NodeState.RUNNING, 0)
    open_nodes -= facts.nodes_away + facts.nodes_closed
    if open_nodes > 0 and facts.most_free < facts.slots <= facts.slots_per_node:
        message = (
            f"It needs {facts.slots} slots; of {open_nodes} nodes none has more than"
            f" {facts.most_free} free."
        )
        yield Reason("SlotsTaken", message, "It may start when running tasks end.")
