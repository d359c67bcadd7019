"""How pools come, change and go. Each function is one decision within a turn."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.conditions import Conditions
from penstock.domain.records import PoolRecord, Removal
from penstock.domain.refusals import (
    OperationInvalidForCurrentState,
    PoolBeingDeleted,
    PoolExists,
)
from penstock.domain.specs.pool import (
    ALWAYS_CHANGEABLE,
    PoolPatch,
    PoolReplacement,
    PoolSpec,
    StartTask,
)
from penstock.domain.states import (
    ALLOCATION_MOVES,
    POOL_MOVES,
    AllocationEvent,
    AllocationState,
    PoolEvent,
    PoolState,
    after,
)
from penstock.engine import departures, quotas
from penstock.engine.certificates import check_references
from penstock.engine.resizes import begin, changeable, is_settled, put_pool
from penstock.engine.settings import EngineSettings
from penstock.engine.storage import need_storage
from penstock.engine.turn import Turn


def add_pool(
    turn: Turn, settings: EngineSettings, account: str, spec: PoolSpec, *, auto: bool = False
) -> PoolRecord:
    """Create a pool; one with targets begins to grow at once."""
    found = turn.state.pool(account, spec.id)
    if found is not None:
        raise PoolBeingDeleted if found.state is PoolState.DELETING else PoolExists
    quotas.check_pools(turn, settings, account)
    _need_storage(settings, account, spec.start_task)
    check_references(turn, account, spec.certificate_references)
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
        auto=auto,
    )
    turn.put(c.PutPool(pool))
    if (spec.target_dedicated_nodes or 0) + (spec.target_low_priority_nodes or 0):
        pool = begin(turn, settings, pool, pool.spec, Removal.REQUEUE)
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
    pool = changeable(turn, account, pool_id, when)
    new = {
        name: value
        for name in patch.__struct_fields__
        if (value := getattr(patch, name)) is not None
    }
    if new.keys() - ALWAYS_CHANGEABLE and turn.state.roster.members(pool.no).numbers:
        raise OperationInvalidForCurrentState(
            Reason="these properties can be changed only while the pool has no compute nodes"
        )
    _need_storage(settings, account, patch.start_task)
    check_references(turn, account, patch.certificate_references)
    return put_pool(turn, pool, spec=replace(pool.spec, **new))


def replace_properties(
    turn: Turn, settings: EngineSettings, account: str, pool_id: str, new: PoolReplacement
) -> PoolRecord:
    """Replace what is replaced as a whole: start task, references, metadata."""
    pool = changeable(turn, account, pool_id, Conditions())
    _need_storage(settings, account, new.start_task)
    check_references(turn, account, new.certificate_references)
    spec = replace(
        pool.spec,
        start_task=new.start_task,
        certificate_references=new.certificate_references,
        application_package_references=new.application_package_references,
        metadata=new.metadata,
        target_node_communication_mode=new.target_node_communication_mode,
    )
    return put_pool(turn, pool, spec=spec)


def delete_pool(turn: Turn, account: str, pool_id: str, when: Conditions) -> None:
    """Let all nodes leave; the pool is forgotten when the last has left."""
    pool = changeable(turn, account, pool_id, when)
    deleting = after(POOL_MOVES, pool.state, PoolEvent.DELETED)
    pool = put_pool(turn, pool, state=deleting, state_us=turn.now_us)
    for node in turn.state.roster.of_pool(pool.no):
        departures.remove_node(turn, turn.state.nodes[node.no], Removal.REQUEUE)
    turn.touch_pool(pool.no)


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
    if is_settled(turn, pool):
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


def _need_storage(settings: EngineSettings, account: str, start_task: StartTask | None) -> None:
    if start_task is not None and not settings.has_storage(account):
        need_storage(start_task.resource_files, "startTask.resourceFiles")
