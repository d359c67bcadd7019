"""Automatic scaling of pools: as no pool can have a formula yet, all but one end in a refusal."""

from __future__ import annotations

from penstock.domain.conditions import ANY, Conditions
from penstock.domain.records import PoolRecord
from penstock.domain.refusals import OperationNotValidOnPool, PoolBeingDeleted, PoolBeingResized
from penstock.domain.states import AllocationState, PoolState
from penstock.wire.answers import Answer, done
from penstock.wire.conditional import conditions
from penstock.wire.pools import pool_of
from penstock.wire.request import Request
from penstock.wire.specs.bodies import missing
from penstock.wire.specs.scaling import FORMULA, auto_scaling_from_wire, formula_from_wire
from penstock.wire.specs.unsupported import refuse_unsupported


async def enable_auto_scale(request: Request) -> Answer:
    """POST /pools/{pool}/enableautoscale: a pool without a formula needs one."""
    when = conditions(request)
    settings = auto_scaling_from_wire(await request.json_body())
    pool = await _active(request, when)
    if pool.allocation is not AllocationState.STEADY:
        raise PoolBeingResized
    refuse_unsupported("autoscale settings", settings)
    raise missing(FORMULA)


async def disable_auto_scale(request: Request) -> Answer:
    """POST /pools/{pool}/disableautoscale: nothing changes where it is off."""
    pool = await _active(request, conditions(request))
    return done(request, 200, pool.modified_us)


async def evaluate_auto_scale(request: Request) -> Answer:
    """POST /pools/{pool}/evaluateautoscale: only where automatic scaling is on."""
    formula_from_wire(await request.json_body())
    await _active(request, ANY)
    raise OperationNotValidOnPool(Reason="automatic scaling is not enabled on the pool")


async def _active(request: Request, when: Conditions) -> PoolRecord:
    """Find a pool that is to stay, or refuse."""
    pool = await pool_of(request)
    when.check(pool.modified_us)
    if pool.state is PoolState.DELETING:
        raise PoolBeingDeleted
    return pool
