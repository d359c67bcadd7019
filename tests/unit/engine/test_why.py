"""Why a task waits: each cause is found, and says what would change it."""

from __future__ import annotations

from penstock.domain.conditions import ANY
from penstock.domain.specs.pool import PoolSpec, Resize
from penstock.domain.specs.task import Dependencies, TaskIdRange
from tests.records import ACCOUNT
from tests.unit.engine.house import House, play


async def codes(house: House, task: str) -> list[str]:
    return [reason.code for reason in await house.engine.why(ACCOUNT, "job", task)]


def test_from_a_missing_pool_to_a_running_task() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        await house.add("t")
        assert await codes(house, "t") == ["PoolMissing"]
        await house.engine.add_pool(ACCOUNT, PoolSpec(id="pool", vm_size="standard_d2_v3"))
        assert await codes(house, "t") == ["PoolEmpty"]
        await house.engine.resize_pool(ACCOUNT, "pool", Resize(target_dedicated_nodes=1), ANY)
        assert await codes(house, "t") == ["NodesNotReady"]
        await house.host.connect()
        await house.host.settle()
        assert await codes(house, "t") == []

    play(scenario)


def test_a_pool_whose_resize_was_stopped_is_empty_too() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        await house.add("t")
        spec = PoolSpec(id="pool", vm_size="standard_d2_v3", target_dedicated_nodes=2)
        await house.engine.add_pool(ACCOUNT, spec)
        await house.engine.stop_resize(ACCOUNT, "pool", ANY)
        (reason,) = await house.engine.why(ACCOUNT, "job", "t")
        assert reason.code == "PoolEmpty"
        assert "none of its 2 nodes" in reason.message

    play(scenario)


def test_slots_and_parallelism() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=2)
        await house.job(max_parallel_tasks=1)
        await house.add("runs", "capped")
        await house.add("large", required_slots=9)
        assert await codes(house, "capped") == ["MaxParallelTasks"]
        assert "TooManySlots" in await codes(house, "large")
        await house.job("other")
        await house.add("fills", job="other")
        await house.add("waits", job="other")
        (reason,) = await house.engine.why(ACCOUNT, "other", "waits")
        assert reason.code == "SlotsTaken"
        assert "none has more than 0 free" in reason.message

    play(scenario)


def test_dependencies_are_named() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=2)
        await house.job(uses_task_dependencies=True)
        await house.add("Parent")
        await house.add("child", depends_on=Dependencies(task_ids=["parent"]))
        wish = Dependencies(task_id_ranges=[TaskIdRange(start=4, end=5)])
        await house.add("heir", depends_on=wish)
        (reason,) = await house.engine.why(ACCOUNT, "job", "child")
        assert reason.code == "DependencyUnfinished"
        assert "'Parent'" in reason.message
        assert await codes(house, "heir") == ["DependencyMissing"]
        await house.add("005", required_slots=2)
        (reason,) = await house.engine.why(ACCOUNT, "job", "heir")
        assert "'005', which is active" in reason.message
        await house.host.end((await house.runs())["Parent"], exit_code=1)
        assert (await codes(house, "child"))[0] == "DependencyFailed"

    play(scenario)


def test_a_disabled_job_and_a_host_that_is_away() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.engine.disable_job(ACCOUNT, "job", "wait", ANY)
        await house.add("t")
        assert await codes(house, "t") == ["JobDisabled"]
        await house.host.cut()
        await house.engine.enable_job(ACCOUNT, "job", ANY)
        assert await codes(house, "t") == ["NodesAway"]

    play(scenario)
