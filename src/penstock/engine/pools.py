"""How pools come, change and go. Each function is one decision within a turn."""

from __future__ import annotations

from typing import Any

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
    PoolExists,
)
from penstock.domain.specs.pool import (
    NodeRemoval,
    PoolPatch,
    PoolReplacement,
    PoolSpec,
    Resize,
    StartTask,
)
from penstock.domain.states import (
    ALLOCATION_MOVES,
    AllocationEvent,
    AllocationState,
    NodeState,
    PoolState,
    after,
)
from penstock.engine import nodes
from penstock.engine.settings import EngineSettings
from penstock.engine.storage import need_storage
from penstock.engine.turn import Turn

DEFAULT_RESIZE_US = 15 * MINUTE_US

REMOVED_FIRST = (
    NodeState.LEAVING_POOL,
    NodeState.CREATING,
    NodeState.UNUSABLE,
    NodeState.UNKNOWN,
    NodeState.START_TASK_FAILED,
    NodeState.STARTING,
    NodeState.WAITING_FOR_START_TASK,
    NodeState.IDLE,
    NodeState.RUNNING,
)
"""Which nodes a shrinking pool gives up first."""


def add_pool(turn: Turn, settings: EngineSettings, account: str, spec: PoolSpec) -> PoolRecord:
    """Create a pool; one with targets begins to grow at once."""
    found = turn.state.pool(account, spec.id)
    if found is not None:
        raise PoolBeingDeleted if found.state is PoolState.DELETING else PoolExists
    _need_storage(settings, account, spec.start_task)
    pool = PoolRecord(
        no=turn.new_no(),
        account=account,
        spec=spec,
        state=PoolState.ACTIVE,
        state_us=turn.now_us,
        allocation=AllocationState.STEADY,
        allocation_us=turn.now_us,
        created_us=turn.now_us,
        modified_us=turn.now_us,
    )
    turn.put(c.PutPool(pool))
    if (spec.target_dedicated_nodes or 0) + (spec.target_low_priority_nodes or 0):
        pool = _begin_resize(turn, pool, pool.spec, Removal.REQUEUE)
    return pool


def patch_pool(
    turn: Turn,
    settings: EngineSettings,
    account: str,
    pool_id: str,
    patch: PoolPatch,
    when: Conditions,
) -> PoolRecord:
    """Merge what was sent; most of it only while the pool has no nodes."""
    pool = _changeable(turn, account, pool_id, when)
    new = {
        name: value
        for name in patch.__struct_fields__
        if (value := getattr(patch, name)) is not None
    }
    always = {"start_task", "application_package_references", "metadata"}
    if new.keys() - always and turn.state.roster.members(pool.no).numbers:
        raise OperationInvalidForCurrentState(
            Reason="these properties can be changed only while the pool has no compute nodes"
        )
    _need_storage(settings, account, patch.start_task)
    return _put(turn, pool, spec=replace(pool.spec, **new))


def replace_properties(
    turn: Turn, settings: EngineSettings, account: str, pool_id: str, new: PoolReplacement
) -> PoolRecord:
    """Replace start task, package references and metadata."""
    pool = _changeable(turn, account, pool_id, Conditions())
    _need_storage(settings, account, new.start_task)
    spec = replace(
        pool.spec,
        start_task=new.start_task,
        application_package_references=new.application_package_references,
        metadata=new.metadata,
    )
    return _put(turn, pool, spec=spec)


def delete_pool(turn: Turn, account: str, pool_id: str, when: Conditions) -> None:
    """Let all nodes leave; the pool is forgotten when the last has left."""
    pool = _changeable(turn, account, pool_id, when)
    pool = _put(turn, pool, state=PoolState.DELETING, state_us=turn.now_us)
    for node in turn.state.roster.of_pool(pool.no):
        nodes.remove_node(turn, turn.state.nodes[node.no], Removal.REQUEUE)
    turn.touch_pool(pool.no)


def resize_pool(
    turn: Turn, account: str, pool_id: str, resize: Resize, when: Conditions
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
    return _begin_resize(turn, pool, replace(pool.spec, **new), how)


def stop_resize(turn: Turn, account: str, pool_id: str, when: Conditions) -> PoolRecord:
    """Give up what is not there yet; the targets stay as they are."""
    pool = _changeable(turn, account, pool_id, when)
    if pool.allocation is not AllocationState.RESIZING:
        raise OperationInvalidForCurrentState(Reason="the pool is not being resized")
    pool = _put(
        turn,
        pool,
        allocation=after(ALLOCATION_MOVES, pool.allocation, AllocationEvent.STOPPED),
        allocation_us=turn.now_us,
    )
    return _give_up(turn, pool, Failure("usererror", "ResizeStopped", "The resize was stopped"))


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
    )
    pool = _resizing(turn, pool, spec)
    how = Removal(removal.node_deallocation_option or "requeue")
    for no in found:
        nodes.remove_node(turn, turn.state.nodes[no], how)
    return pool


def _begin_resize(turn: Turn, pool: PoolRecord, spec: PoolSpec, how: Removal) -> PoolRecord:
    pool = _resizing(turn, pool, spec)
    for dedicated in (True, False):
        target = spec.target_dedicated_nodes if dedicated else spec.target_low_priority_nodes
        present = [
            node
            for node in turn.state.roster.of_pool(pool.no)
            if node.dedicated is dedicated and node.state is not NodeState.LEAVING_POOL
        ]
        for _ in range((target or 0) - len(present)):
            nodes.create_node(turn, pool, dedicated=dedicated)
        spare = len(present) - (target or 0)
        for node in sorted(present, key=_gives_up)[: max(0, spare)]:
            nodes.remove_node(turn, turn.state.nodes[node.no], how)
    return pool


def _gives_up(node: NodeRecord) -> tuple[int, int]:
    return REMOVED_FIRST.index(node.state), node.running_tasks


def _resizing(turn: Turn, pool: PoolRecord, spec: PoolSpec) -> PoolRecord:
    timeout = spec.resize_timeout
    limit_us = DEFAULT_RESIZE_US if timeout is None else timeout.micros
    return _put(
        turn,
        pool,
        spec=spec,
        allocation=after(ALLOCATION_MOVES, pool.allocation, AllocationEvent.RESIZED),
        allocation_us=turn.now_us,
        resize_errors=(),
        resize_due_us=None if limit_us is None else turn.now_us + limit_us,
    )


def time_out(turn: Turn, pool_no: int) -> None:
    """A resize took too long: what is missing is given up, and an error says so."""
    pool = turn.state.pools.get(pool_no)
    if pool is None or pool.allocation is not AllocationState.RESIZING:
        return
    if pool.resize_due_us is None or pool.resize_due_us > turn.now_us:
        return
    message = "Desired number of nodes could not be allocated as the resize timeout was reached"
    _give_up(turn, pool, Failure("usererror", "AllocationTimedout", message))


def _give_up(turn: Turn, pool: PoolRecord, error: Failure) -> PoolRecord:
    pool = replace(pool, resize_errors=(error,), resize_due_us=None)
    turn.put(c.PutPool(pool))
    for node in turn.state.roster.of_pool(pool.no):
        if node.state is NodeState.CREATING:
            nodes.remove_node(turn, node, Removal.REQUEUE)
    for node in turn.state.roster.of_pool(pool.no):
        if node.leaving is not None and node.state is not NodeState.LEAVING_POOL:
            turn.put(c.PutNode(replace(node, leaving=None)))
    turn.touch_pool(pool.no)
    return pool


def settle(turn: Turn, pool_no: int) -> None:
    """See whether a pool is done with growing, shrinking or going."""
    pool = turn.state.pools.get(pool_no)
    if pool is None:
        return
    members = turn.state.roster.members(pool_no)
    dedicated, low_priority = members.dedicated, members.low_priority
    if (pool.dedicated_nodes, pool.low_priority_nodes) != (dedicated, low_priority):
        pool = replace(pool, dedicated_nodes=dedicated, low_priority_nodes=low_priority)
        turn.put(c.PutPool(pool))
    if pool.state is PoolState.DELETING:
        if not members.numbers:
            turn.put(c.DropPool(pool_no))
        return
    if pool.allocation is not AllocationState.STEADY and not members.moving:
        turn.put(
            c.PutPool(
                replace(
                    pool,
                    allocation=after(ALLOCATION_MOVES, pool.allocation, AllocationEvent.SETTLED),
                    allocation_us=turn.now_us,
                    resize_due_us=None,
                )
            )
        )


def _changeable(turn: Turn, account: str, pool_id: str, when: Conditions) -> PoolRecord:
    pool = turn.pool(account, pool_id)
    when.check(pool.modified_us)
    if pool.state is PoolState.DELETING:
        raise PoolBeingDeleted
    return pool


def _steady(turn: Turn, account: str, pool_id: str, when: Conditions) -> PoolRecord:
    pool = _changeable(turn, account, pool_id, when)
    if pool.allocation is not AllocationState.STEADY:
        raise PoolBeingResized
    return pool


def _put(turn: Turn, pool: PoolRecord, **new: Any) -> PoolRecord:
    """Change a pool as a user asked, so that its entity tag changes too."""
    changed = replace(pool, modified_us=turn.modified(pool.modified_us), **new)
    turn.put(c.PutPool(changed))
    turn.touch_pool(pool.no)
    return changed


def _need_storage(settings: EngineSettings, account: str, start_task: StartTask | None) -> None:
    if start_task is not None and not settings.has_storage(account):
        need_storage(start_task.resource_files, "startTask.resourceFiles")
