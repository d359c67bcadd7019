"""Tasks wait for 180 days at most, by the engine's clock."""

from __future__ import annotations

import pytest

from penstock.domain.conditions import ANY
from penstock.domain.specs.task import Dependencies
from penstock.domain.states import JobState, TaskResult, TaskState
from penstock.engine import lives
from penstock.engine.lives import DAY_US, LIFE_US, LOOKED_AT, Lives
from penstock.messages import KillTask
from tests.records import ACCOUNT, a_task
from tests.unit.engine.house import KILLED, House, play

DAY = 86_400.0


async def later(house: House, days: float) -> None:
    """The clock goes on, and the engine looks at what lasts only for a time."""
    await house.advance(days * DAY)
    await house.engine.sweep()


def test_a_task_that_waits_is_ended_after_its_life() -> None:
    async def scenario(house: House) -> None:
        await house.job(uses_task_dependencies=True)
        await house.add("old", "blocked", depends_on=Dependencies(task_ids=["none"]))
        await later(house, 100)
        await house.add("young")
        await later(house, 79.9)
        assert (await house.task("old")).state is TaskState.ACTIVE
        await later(house, 0.2)
        for name in ("old", "blocked"):
            task = await house.task(name)
            assert (task.state, task.result) == (TaskState.COMPLETED, TaskResult.FAILURE)
            assert task.failure is not None
            assert (task.failure.code, task.exit_code) == ("TaskEnded", None)
            assert task.end_us == house.now_us
        assert (await house.task("young")).state is TaskState.ACTIVE
        await house.pool()
        assert list(await house.runs()) == ["young"]

    play(scenario)


def test_one_that_runs_goes_on_and_is_ended_when_it_waits_again() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await house.job()
        await house.add("t", "waits")
        run = (await house.runs())["t"]
        await later(house, 181)
        assert (await house.task("t")).state is TaskState.RUNNING
        assert (await house.task("waits")).state is TaskState.COMPLETED
        await house.engine.disable_job(ACCOUNT, "job", "requeue", ANY)
        assert len(house.host.take(KillTask)) == 1
        await house.host.end(run, exit_code=None, failure=KILLED, killed=True)
        assert (await house.task("t")).state is TaskState.ACTIVE
        await later(house, 1)
        assert (await house.task("t")).state is TaskState.COMPLETED

    play(scenario)


def test_many_are_ended_some_at_a_time() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        count = LOOKED_AT + 3
        await house.add(*(f"t{number}" for number in range(count)))
        await later(house, 181)
        job = await house.job_record()
        assert job is not None
        assert (await house.store.counts(job.no)).tasks.failed == LOOKED_AT
        await house.engine.sweep()
        assert (await house.store.counts(job.no)).tasks.failed == count

    play(scenario)


def test_what_waits_in_a_job_that_is_over_hides_nothing() -> None:
    async def scenario(house: House) -> None:
        await house.job("over")
        await house.add(*(f"t{number}" for number in range(LOOKED_AT)), job="over")
        await house.engine.terminate_job(ACCOUNT, "over", None, ANY, force=False)
        await house.job()
        await house.add("t")
        await later(house, 181)
        await house.engine.sweep()
        assert (await house.task("t")).state is TaskState.COMPLETED
        job = await house.job_record("over")
        assert job is not None
        assert job.state is JobState.COMPLETED

    play(scenario)


def test_a_look_comes_once_a_day_or_when_the_first_is_over() -> None:
    looks = Lives()
    assert looks.is_due(5)
    looks.looked([], 5)
    assert not looks.is_due(4 + DAY_US)
    assert looks.is_due(5 + DAY_US)
    now_us = LIFE_US
    looks.looked([a_task(created_us=10)], now_us)
    assert not looks.is_due(now_us + 9)
    assert looks.is_due(now_us + 10)


@pytest.mark.parametrize(("created_us", "found"), [(0, [4]), (1, [])])
def test_whose_time_is_over(created_us: int, found: list[int]) -> None:
    assert lives.over([a_task(created_us=created_us)], LIFE_US) == found
