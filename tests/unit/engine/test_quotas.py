"""What accounts may have at most."""

from __future__ import annotations

import pytest

from penstock.domain.conditions import ANY
from penstock.domain.records import NodeWork, Removal
from penstock.domain.refusals import (
    ActiveJobAndScheduleQuotaReached,
    JobExists,
    OperationInvalidForCurrentState,
    PoolExists,
    PoolQuotaReached,
)
from penstock.domain.specs.pool import PoolSpec, Resize
from penstock.domain.states import AllocationState, NodeState
from penstock.engine.settings import Quotas
from tests.records import ACCOUNT
from tests.unit.engine.house import House, play


async def add(house: House, name: str = "pool", account: str = ACCOUNT, **targets: int) -> None:
    spec = PoolSpec(id=name, vm_size="standard_d2_v3", **targets)  # type: ignore[arg-type]
    await house.engine.add_pool(account, spec)
    if house.host.link is None:
        await house.host.connect()
    await house.host.settle()


async def errors(house: House, name: str = "pool") -> list[tuple[str, str]]:
    pool = await house.pool_record(name)
    assert pool is not None
    assert pool.allocation is AllocationState.STEADY
    return [(error.code, error.message) for error in pool.resize_errors]


CORES = Quotas(dedicated_cores=5, low_priority_cores=2)


def test_nodes_come_as_far_as_the_cores_reach() -> None:
    async def scenario(house: House) -> None:
        await add(house, target_dedicated_nodes=4, target_low_priority_nodes=3)
        pool = await house.pool_record()
        assert pool is not None
        assert (pool.dedicated_nodes, pool.low_priority_nodes) == (2, 1)
        assert (pool.spec.target_dedicated_nodes, pool.spec.target_low_priority_nodes) == (4, 3)
        assert await errors(house) == [
            ("AccountCoreQuotaReached", "The specified account has reached core quota"),
            (
                "AccountLowPriorityCoreQuotaReached",
                "The specified account has reached low priority core quota",
            ),
        ]
        await add(house, "other", target_dedicated_nodes=1)
        assert [code for code, _ in await errors(house, "other")] == ["AccountCoreQuotaReached"]
        assert await house.nodes("other") == []
        smaller = Resize(target_dedicated_nodes=1, target_low_priority_nodes=1)
        await house.engine.resize_pool(ACCOUNT, "pool", smaller, ANY)
        await house.host.settle()
        assert await errors(house) == [], "the next resize has other errors, or none"
        await house.engine.resize_pool(ACCOUNT, "other", Resize(target_dedicated_nodes=1), ANY)
        await house.host.settle()
        assert len(await house.nodes("other")) == 1

    play(scenario, quotas=CORES)


def test_an_error_of_a_quota_outlives_a_timeout() -> None:
    async def scenario(house: House) -> None:
        spec = PoolSpec(id="pool", vm_size="standard_d2_v3", target_dedicated_nodes=4)
        await house.engine.add_pool(ACCOUNT, spec)  # and no host is there
        await house.pass_time(15 * 60)
        assert [code for code, _ in await errors(house)] == ["AccountCoreQuotaReached"]

    play(scenario, quotas=CORES)


def test_each_account_has_its_own() -> None:
    async def scenario(house: House) -> None:
        await add(house, target_dedicated_nodes=2)
        await add(house, account="rich", target_dedicated_nodes=5)
        assert await errors(house) == []
        rich = await house.store.pool("rich", "pool")
        assert rich is not None
        assert rich.dedicated_nodes == 5

    play(scenario, quotas=CORES, account_quotas={"rich": Quotas()})


def test_a_deallocated_node_uses_no_cores() -> None:
    async def scenario(house: House) -> None:
        await add(house, target_dedicated_nodes=2)
        node = (await house.nodes())[0]
        await house.engine.work_on_node(
            ACCOUNT, "pool", node.id, NodeWork.DEALLOCATE, Removal.REQUEUE
        )
        await house.host.settle()
        await add(house, "other", target_dedicated_nodes=1)
        assert await errors(house, "other") == []
        with pytest.raises(OperationInvalidForCurrentState):
            await house.engine.start_node(ACCOUNT, "pool", node.id)
        await house.engine.delete_pool(ACCOUNT, "other", ANY)
        await house.host.settle()
        await house.engine.start_node(ACCOUNT, "pool", node.id)
        await house.engine._submit(lambda _turn: None)
        await house.host.settle()
        assert {node.state for node in await house.nodes()} == {NodeState.IDLE}

    play(scenario, quotas=CORES)


def test_cores_are_counted_after_a_restart_too() -> None:
    async def scenario(house: House) -> None:
        await add(house, target_dedicated_nodes=2)
        await house.crash()
        await house.host.connect([node.no for node in await house.nodes()])
        await add(house, "other", target_dedicated_nodes=1)
        assert [code for code, _ in await errors(house, "other")] == ["AccountCoreQuotaReached"]

    play(scenario, quotas=CORES)


def test_pools_are_counted() -> None:
    async def scenario(house: House) -> None:
        await add(house, "one")
        await add(house, "two")
        with pytest.raises(PoolQuotaReached):
            await add(house, "three")
        with pytest.raises(PoolExists):
            await add(house, "two")
        await add(house, "one", account="other")
        await house.engine.delete_pool(ACCOUNT, "one", ANY)
        await add(house, "three")

    play(scenario, quotas=Quotas(pools=2))


def test_jobs_are_counted_until_they_are_completed() -> None:
    async def scenario(house: House) -> None:
        await house.job("one")
        await house.job("two")
        with pytest.raises(ActiveJobAndScheduleQuotaReached):
            await house.job("three")
        with pytest.raises(JobExists):
            await house.job("two")
        await house.engine.terminate_job(ACCOUNT, "one", None, ANY, force=False)
        await house.job("three")
        await house.engine.disable_job(ACCOUNT, "three", "requeue", ANY)
        with pytest.raises(ActiveJobAndScheduleQuotaReached):
            await house.job("four")

    play(scenario, quotas=Quotas(active_jobs=2))
