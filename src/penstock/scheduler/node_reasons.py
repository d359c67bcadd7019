"""Why nodes take no tasks: how many in which way, and one of them by name."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from penstock.domain.instants import instant_text
from penstock.domain.records import NodeRecord, NodeWish, SpecialRun
from penstock.domain.states import NodeState, SchedulingState
from penstock.scheduler.reasons import Code, Reason, because, counted, some_are

_OF_STATES: Final[Mapping[NodeState, Code]] = {
    NodeState.CREATING: Code.NODES_CREATING,
    NodeState.STARTING: Code.NODES_STARTING,
    NodeState.WAITING_FOR_START_TASK: Code.START_TASK_RUNNING,
    NodeState.START_TASK_FAILED: Code.START_TASK_FAILED,
    NodeState.OFFLINE: Code.NODES_CLOSED,
    NodeState.REBOOTING: Code.NODES_REBOOTING,
    NodeState.REIMAGING: Code.NODES_REIMAGING,
    NodeState.UNKNOWN: Code.NODES_UNKNOWN,
    NodeState.UNUSABLE: Code.NODES_UNUSABLE,
    NodeState.PREEMPTED: Code.NODES_PREEMPTED,
    NodeState.DEALLOCATING: Code.NODES_DEALLOCATED,
    NodeState.DEALLOCATED: Code.NODES_DEALLOCATED,
    NodeState.LEAVING_POOL: Code.NODES_LEAVING,
}
_NEED_THEIR_HOST: Final = (
    NodeState.CREATING,
    NodeState.STARTING,
    NodeState.WAITING_FOR_START_TASK,
    NodeState.REBOOTING,
    NodeState.REIMAGING,
    NodeState.DEALLOCATING,
)


def cause_of(node: NodeRecord, linked: Container[str | None]) -> Code:
    """Why a node takes no tasks. `linked` are the node hosts that are connected."""
    code = _OF_STATES.get(node.state)
    if code in (Code.NODES_LEAVING, Code.NODES_UNKNOWN, Code.NODES_UNUSABLE):
        return code
    if node.leaving is not None:
        return Code.NODES_LEAVING
    if code is not None:
        lost = node.host is not None and node.host not in linked
        return Code.NODES_AWAY if lost and node.state in _NEED_THEIR_HOST else code
    if node.host not in linked:
        return Code.NODES_AWAY
    if node.scheduling is not SchedulingState.ENABLED:
        return Code.NODES_CLOSED
    return Code.NODES_CLOSING


class Unready(msgspec.Struct, frozen=True):
    """Nodes that take no tasks for the same cause."""

    code: Code
    nodes: Sequence[NodeRecord]


class Census(msgspec.Struct, frozen=True):
    """The nodes of a pool: those that take tasks, and the others by cause, the most first."""

    total: int
    takers: Sequence[NodeRecord]
    unready: Sequence[Unready]


def census(
    nodes: Iterable[NodeRecord], takes: Callable[[int], bool], linked: Container[str | None]
) -> Census:
    """Look over the nodes of a pool once; `takes` says whether one may be given tasks."""
    takers: list[NodeRecord] = []
    groups: dict[Code, list[NodeRecord]] = {}
    total = 0
    for node in nodes:
        total += 1
        if takes(node.no):
            takers.append(node)
        else:
            groups.setdefault(cause_of(node, linked), []).append(node)
    order = sorted(groups.items(), key=lambda pair: -len(pair[1]))
    return Census(total, takers, [Unready(code, found) for code, found in order])


def of_nodes(census: Census) -> Iterator[Reason]:
    """Why those nodes of a pool that take no tasks do not."""
    for unready in census.unready:
        first = unready.nodes[0]
        told, remedy = _TOLD[unready.code](first)
        count = len(unready.nodes)
        where = f" (node {first.id!r})" if count == 1 else f" (the first is {first.id!r})"
        yield because(
            unready.code,
            f"{some_are(count, census.total)} {told}{where}.",
            remedy,
            count=count,
            nodes=census.total,
            node=first.id,
            node_state=first.state,
            **_details(first),
        )


def _details(node: NodeRecord) -> dict[str, object]:
    told: dict[str, object] = {"since": instant_text(node.state_us)}
    run = node.start_task
    if run is not None and node.state is NodeState.START_TASK_FAILED:
        told["exit_code"] = run.exit_code
        told["failure"] = run.failure and run.failure.code
    if node.state is NodeState.UNUSABLE and node.errors:
        told["error"] = node.errors[0].code
    if node.state is NodeState.PREEMPTED and node.back_us is not None:
        told["back_at"] = instant_text(node.back_us)
    return told


_Told = tuple[str, str]


def _creating(node: NodeRecord) -> _Told:
    if node.host is None:
        told = "being created: no node host has taken them yet"
        return told, "Start a node host that is connected (penstock agent)."
    return "being created by their node host", "They will be ready soon."


def _start_task_runs(node: NodeRecord) -> _Told:
    run = node.start_task
    since = instant_text(node.state_us if run is None else run.start_us)
    return f"running the start task, since {since}", "They take tasks when it has succeeded."


def _start_task_failed(node: NodeRecord) -> _Told:
    run, how = node.start_task, ""
    if run is not None and run.exit_code is not None:
        how = f" with exit code {run.exit_code}"
    elif run is not None and run.failure is not None:
        how = f" ({run.failure.code})"
    remedy = "See stderr.txt in the node's startup directory; correct the start task, and reboot."
    return f"without a start task that succeeded: it failed{how}", remedy


def _unusable(node: NodeRecord) -> _Told:
    errors = [f"{error.code}: {error.message.rstrip('.')}" for error in node.errors[:1]]
    told = f"unusable, {errors[0]}" if errors else "unusable"
    return told, "Mend what the node's errors name, then reimage or remove it."


def _preempted(node: NodeRecord) -> _Told:
    back = "" if node.back_us is None else f", until {instant_text(node.back_us)} at least"
    return f"preempted{back}", "They return by themselves; dedicated nodes are not preempted."


def _deallocated(node: NodeRecord) -> _Told:
    return node.state.value, "Start them."


def _closing(node: NodeRecord) -> _Told:
    wish: NodeWish | None = node.wish
    work = "something" if wish is None else f"a {wish.work}"
    return f"waiting for their tasks before {work}", "They take tasks when that is done."


_AWAY: Final = "Start their node host again, or mend its connection."

_TOLD: Final[Mapping[Code, Callable[[NodeRecord], _Told]]] = {
    Code.NODES_CREATING: _creating,
    Code.NODES_STARTING: lambda _: ("starting", "They will be ready soon."),
    Code.START_TASK_RUNNING: _start_task_runs,
    Code.START_TASK_FAILED: _start_task_failed,
    Code.NODES_CLOSED: lambda _: ("disabled for scheduling", "Enable scheduling on them."),
    Code.NODES_CLOSING: _closing,
    Code.NODES_REBOOTING: lambda _: ("rebooting", "They will be ready soon."),
    Code.NODES_REIMAGING: lambda _: ("being reimaged", "They will be ready soon."),
    Code.NODES_UNKNOWN: lambda _: ("unknown: their node host fell silent", _AWAY),
    Code.NODES_AWAY: lambda _: ("on a node host that is not connected", _AWAY),
    Code.NODES_UNUSABLE: _unusable,
    Code.NODES_PREEMPTED: _preempted,
    Code.NODES_DEALLOCATED: _deallocated,
    Code.NODES_LEAVING: lambda _: ("leaving the pool", "Resize the pool."),
}


def unprepared(runs: Sequence[tuple[str, SpecialRun]], usable: int) -> Reason:
    """Preparation failed for good on these nodes, by id; `usable` others take tasks."""
    node_id, run = runs[0]
    how = "" if run.exit_code is None else f" with exit code {run.exit_code}"
    if run.exit_code is None and run.failure is not None:
        how = f" ({run.failure.code})"
    left = "no other takes tasks" if not usable else f"{counted(usable, 'other')} may run it"
    return because(
        Code.PREPARATION_FAILED,
        f"The preparation task of its job failed on {counted(len(runs), 'node')}{how}"
        f" (node {node_id!r}); {left}.",
        "Correct what it needs and reboot the node, or use other nodes: it is not run there again.",
        count=len(runs),
        node=node_id,
        exit_code=run.exit_code,
        failure=run.failure and run.failure.code,
    )
