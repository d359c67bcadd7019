"""How the number of nodes of a pool changes. Each function is one decision within a turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.conditions import Conditions
from penstock.domain.instants import MINUTE_US
from penstock.domain.records import Failure, NodeRecord, PoolRecord, Removal
from penstock.domain.refusals import (
    NodeNotFound,
    OperationInvalidForCurrentState,
    PoolBeingDeleted,
    PoolBeingResized,
)
from penstock.domain.specs.pool import NodeRemoval, PoolSpec, Resize
from penstock.domain.states import (
    ALLOCATION_MOVES,
    AllocationEvent,
    AllocationState,
    NodeState,
    PoolState,
    after,
)
from penstock.engine import departures, nodes
from penstock.engine.quotas import nodes_that_fit
from penstock.engine.roster import is_coming
from penstock.engine.settings import EngineSettings
from penstock.engine.turn import Turn

DEFAULT_RESIZE_US: Final = 15 * MINUTE_US

REMOVED_FIRST: Final = (
    NodeState.LEAVING_POOL,
    NodeState.CREATING,
    NodeState.DEALLOCATED,
    NodeState.DEALLOCATING,
    NodeState.PREEMPTED,
    NodeState.UNUSABLE,
    NodeState.UNKNOWN,
    NodeState.START_TASK_FAILED,
    NodeState.OFFLINE,
    NodeState.STARTING,
    NodeState.WAITING_FOR_START_TASK,
    NodeState.REIMAGING,
    NodeState.REBOOTING,
    NodeState.IDLE,
    NodeState.RUNNING,
)
"""Which nodes a shrinking pool gives up first."""

_KINDS: Final = {True: "dedicated", False: "low priority"}
_CORE_QUOTAS: Final = {
    True: "AccountCoreQuotaReached",
    False: "AccountLowPriorityCoreQuotaReached",
}
_CORE_QUOTA_MESSAGES: Final = {
    True: "The specified account has reached core quota",
    False: "The specified account has reached low priority core quota",
}


def resize_pool(
    turn: Turn,
    settings: EngineSettings,
    account: str,
    pool_id: str,
    resize: Resize,
    when: Conditions,
) -> PoolRecord:
    """Move to new targets; a target that was not given stays."""
    pool = _steady(turn, account, pool_id, when)
    new: dict[str, Any] = {}
    if resize.target_dedicated_nodes is not None:
        new["target_dedicated_nodes"] = resize.target_dedicated_nodes
    if resize.target_low_priority_nodes is not None:
        new["target_low_priority_nodes"] = resize.target_low_priority_nodes
    if resize.resize_timeout is not None:
        new["resize_timeout"] = resize.resize_timeout
    how = Removal(resize.node_deallocation_option or "requeue")
    return begin(turn, settings, pool, replace(pool.spec, **new), how)


def remove_nodes(
    turn: Turn, account: str, pool_id: str, removal: NodeRemoval, when: Conditions
) -> PoolRecord:
    """Let the named nodes leave, and lower the targets by their number."""
    pool = _steady(turn, account, pool_id, when)
    found: dict[int, NodeRecord] = {}
    for node_id in removal.node_list:
        node = turn.state.node(pool.no, node_id)
        if node is None:
            raise NodeNotFound(NodeId=node_id)
        found[node.no] = node
    dedicated = sum(node.dedicated for node in found.values())
    spec = replace(
        pool.spec,
        target_dedicated_nodes=max(0, (pool.spec.target_dedicated_nodes or 0) - dedicated),
        target_low_priority_nodes=max(
            0, (pool.spec.target_low_priority_nodes or 0) - (len(found) - dedicated)
        ),
        resize_timeout=removal.resize_timeout or pool.spec.resize_timeout,
    )
    how = Removal(removal.node_deallocation_option or "requeue")
    pool = _resizing(turn, pool, spec, how)
    for no in found:
        departures.remove_node(turn, turn.state.nodes[no], how)
    return pool


def begin(
    turn: Turn, settings: EngineSettings, pool: PoolRecord, spec: PoolSpec, how: Removal
) -> PoolRecord:
    """Let nodes come as far as the quota has room for them, or go."""
    pool = _resizing(turn, pool, spec, how)
    errors = []
    for dedicated in (True, False):
        present = list(_staying(turn, pool, dedicated))
        more = _target(spec, dedicated) - len(present)
        fits = nodes_that_fit(
            turn, settings, pool.account, spec.vm_size, dedicated=dedicated, wanted=max(0, more)
        )
        for _ in range(fits):
            nodes.create_node(turn, pool, dedicated=dedicated)
        if fits < more:
            message = _CORE_QUOTA_MESSAGES[dedicated]
            errors.append(Failure("usererror", _CORE_QUOTAS[dedicated], message))
        going = sorted(present, key=lambda node: _gives_up(turn, node))[: max(0, -more)]
        for node in going:
            departures.remove_node(turn, turn.state.nodes[node.no], how)
    if errors:  # clients see them when the pool is steady
        pool = replace(pool, resize_errors=tuple(errors))
        turn.put(c.PutPool(pool))
    return pool


def _staying(turn: Turn, pool: PoolRecord, dedicated: bool) -> Iterator[NodeRecord]:
    for node in turn.state.roster.of_pool(pool.no):
        if node.dedicated is dedicated and node.state is not NodeState.LEAVING_POOL:
            yield node


def _target(spec: PoolSpec, dedicated: bool) -> int:
    return (spec.target_dedicated_nodes if dedicated else spec.target_low_priority_nodes) or 0


def _gives_up(turn: Turn, node: NodeRecord) -> tuple[bool, int, int]:
    given = turn.state.given_to(node.no)
    manages = any(task.manager for task in given)
    return manages, REMOVED_FIRST.index(node.state), len(given)


def _resizing(turn: Turn, pool: PoolRecord, spec: PoolSpec, how: Removal) -> PoolRecord:
    shrinks = (spec.target_dedicated_nodes or 0) < pool.dedicated_nodes or (
        spec.target_low_priority_nodes or 0
    ) < pool.low_priority_nodes
    timeout = spec.resize_timeout
    limit_us = DEFAULT_RESIZE_US if timeout is None else timeout.micros
    return put_pool(
        turn,
        pool,
        spec=spec,
        allocation=after(ALLOCATION_MOVES, pool.allocation, AllocationEvent.RESIZED),
        allocation_us=turn.now_us,
        resize_errors=(),
        resize_due_us=None if limit_us is None else turn.now_us + limit_us,
        resize_us=turn.now_us,
        removal=how if shrinks else None,
    )


# --- giving up -------------------------------------------------------------------------------


def stop_resize(turn: Turn, account: str, pool_id: str, when: Conditions) -> PoolRecord:
    """Give up what is not there yet; the targets stay as they are."""
    pool = changeable(turn, account, pool_id, when)
    if pool.allocation is not AllocationState.RESIZING:
        raise OperationInvalidForCurrentState(Reason="the pool is not being resized")
    pool = put_pool(
        turn,
        pool,
        allocation=after(ALLOCATION_MOVES, pool.allocation, AllocationEvent.STOPPED),
        allocation_us=turn.now_us,
    )
    return _give_up(turn, pool, "ResizeStopped", "the resize was stopped")


def time_out(turn: Turn, pool_no: int) -> None:
    """A resize took too long: what is missing is given up, and an error says so."""
    pool = turn.state.pools.get(pool_no)
    if pool is None or pool.allocation is not AllocationState.RESIZING:
        return
    if pool.resize_due_us is None or pool.resize_due_us > turn.now_us:
        return
    _give_up(turn, pool, "AllocationTimedout", "the resize timeout was reached")


def _give_up(turn: Turn, pool: PoolRecord, code: str, why: str) -> PoolRecord:
    """Let go of what is not there, keep what has not left; an error for each kind says so."""
    for node in turn.state.roster.of_pool(pool.no):
        if is_coming(node):
            departures.remove_node(turn, node, Removal.REQUEUE)
    for node in turn.state.roster.of_pool(pool.no):
        if node.leaving is not None and node.state is not NodeState.LEAVING_POOL:
            turn.put(c.PutNode(replace(node, leaving=None)))
            turn.touch_node(node.no)
    errors = list(pool.resize_errors)
    told = {error.code for error in errors}
    for dedicated, kind in _KINDS.items():
        staying = sum(1 for _ in _staying(turn, pool, dedicated))
        missed = staying != _target(pool.spec, dedicated)
        if missed and _CORE_QUOTAS[dedicated] not in told:
            message = f"Desired number of {kind} nodes could not be allocated as {why}"
            errors.append(Failure("usererror", code, message))
    if pool.allocation is AllocationState.STOPPING and not errors:
        errors.append(Failure("usererror", code, "The resize was stopped"))
    pool = replace(pool, resize_errors=tuple(errors), resize_due_us=None)
    turn.put(c.PutPool(pool))
    turn.touch_pool(pool.no)
    return pool


def is_settled(turn: Turn, pool: PoolRecord) -> bool:
    """Whether a resize has nothing left to add or to remove."""
    moving = turn.state.roster.members(pool.no).moving
    return pool.allocation is not AllocationState.STEADY and not moving


# --- changing pools --------------------------------------------------------------------------


def changeable(turn: Turn, account: str, pool_id: str, when: Conditions) -> PoolRecord:
    """Find a pool that is to stay, or refuse."""
    pool = turn.pool(account, pool_id)
    when.check(pool.modified_us)
    if pool.state is PoolState.DELETING:
        raise PoolBeingDeleted
    return pool


def _steady(turn: Turn, account: str, pool_id: str, when: Conditions) -> PoolRecord:
    pool = changeable(turn, account, pool_id, when)
    if pool.allocation is not AllocationState.STEADY:
        raise PoolBeingResized
    return pool


def put_pool(turn: Turn, pool: PoolRecord, **new: Any) -> PoolRecord:
    """Change a pool as a user asked, so that its entity tag changes too."""
    changed = replace(pool, modified_us=turn.modified(pool.modified_us), **new)
    turn.put(c.PutPool(changed))
    turn.touch_pool(pool.no)
    return changed
