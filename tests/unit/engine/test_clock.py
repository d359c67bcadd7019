"""The time of the service: moved on, kept, and as if it had passed."""

from __future__ import annotations

import asyncio
import logging

import pytest

from penstock.domain.instants import Duration
from penstock.domain.refusals import ServerBusy
from penstock.domain.specs.common import TaskConstraints
from penstock.domain.specs.job import JobConstraints
from penstock.domain.states import AllocationState, JobState, TaskState
from penstock.engine import clock as clock_module
from penstock.engine.clock import MOST_ADVANCES
from penstock.messages import KillTask, RemoveTask, TaskBegan, TaskEnded
from tests.records import NOW_US
from tests.unit.engine.house import House, play

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_module, "STILL_S", 0.02)


def limited(limit: str) -> JobConstraints:
    return JobConstraints(max_wall_clock_time=Duration.parse(limit))


def kept_for(time: str) -> TaskConstraints:
    return TaskConstraints(retention_time=Duration.parse(time))


def test_it_is_ahead_of_the_machine_from_then_on_and_after_a_restart() -> None:
    async def scenario(house: House) -> None:
        clock = house.engine.clock
        await clock.advance(6 * HOUR_US)
        assert clock.now_us() == NOW_US + 6 * HOUR_US
        await clock.advance(HOUR_US)
        await house.crash()
        assert house.engine.clock.offset_us == 7 * HOUR_US
        await house.job()
        job = await house.job_record()
        assert job is not None
        assert job.created_us == NOW_US + 7 * HOUR_US

    play(scenario)


def test_what_is_due_on_the_way_happens_at_its_time() -> None:
    async def scenario(house: House) -> None:
        await house.job("soon", constraints=limited("PT2H"))
        await house.job("later", constraints=limited("PT5H"))
        await house.job("never", constraints=limited("P2D"))
        await house.engine.clock.advance(DAY_US)
        ends = {}
        for name in ("soon", "later", "never"):
            job = await house.job_record(name)
            assert job is not None
            ends[name] = (job.terminate_reason, job.end_us)
        assert ends == {
            "soon": ("MaxWallClockTimeExpiry", NOW_US + 2 * HOUR_US),
            "later": ("MaxWallClockTimeExpiry", NOW_US + 5 * HOUR_US),
            "never": (None, None),
        }

    play(scenario)


def test_a_resize_times_out() -> None:
    async def scenario(house: House) -> None:
        await house.host.connect()
        house.host.obedient = False
        await house.pool()
        await house.engine.clock.advance(15 * 60_000_000)
        pool = await house.pool_record()
        assert pool is not None
        assert [error.code for error in pool.resize_errors] == ["AllocationTimedout"]
        house.host.obedient = True
        await house.host.settle()
        pool = await house.pool_record()
        assert pool is not None
        assert pool.allocation is AllocationState.STEADY

    play(scenario)


def test_directories_go_when_their_time_is_over() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("one", constraints=kept_for("P1D"))
        await house.add("two", constraints=kept_for("P3D"))
        for run in (await house.runs()).values():
            await house.host.end(run)
        await house.engine.clock.advance(2 * DAY_US)
        assert [order.task_id for order in house.host.take(RemoveTask)] == ["one"]
        assert (await house.task("one")).files_gone
        await house.engine.clock.advance(DAY_US)
        assert [order.task_id for order in house.host.take(RemoveTask)] == ["two"]

    play(scenario)


def test_a_running_task_is_not_harmed_and_has_run_for_as_long() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("one")
        run = (await house.runs())["one"]
        await house.engine.clock.advance(DAY_US)
        await house.pass_time(1)
        assert not house.host.take(KillTask)
        assert (await house.task("one")).state is TaskState.RUNNING
        at_us = house.now_us  # what its host reports is the machine's time
        ended = TaskEnded(
            report=house.host.number(),
            task_no=run.task_no,
            attempt=run.attempt,
            start_us=at_us - 1_000_000,
            end_us=at_us,
            exit_code=0,
        )
        await house.host.report(ended)
        task = await house.task("one")
        assert (task.start_us, task.end_us) == (NOW_US, at_us + DAY_US)

    play(scenario)


def test_what_is_known_to_be_slow_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("slow")
        await house.runs()
        await house.engine.clock.advance(HOUR_US)
        for bound in ("STILL_S", "LONGEST_REST_S"):
            monkeypatch.setattr(clock_module, bound, 3600.0)
        await asyncio.wait_for(house.engine.clock.advance(HOUR_US), 10)
        assert (await house.task("slow")).state is TaskState.RUNNING

    play(scenario)


def test_what_hosts_report_is_never_before_its_task_was_made() -> None:
    async def scenario(house: House) -> None:
        await house.pool(1, 1)
        await house.job()
        await house.engine.clock.advance(DAY_US)
        await house.add("short")  # teaches the pace of the node, so that others are sent ahead
        run = (await house.runs())["short"]
        await house.host.report(
            TaskEnded(
                report=house.host.number(),
                task_no=run.task_no,
                attempt=run.attempt,
                start_us=house.now_us,
                end_us=house.now_us + 1000,
                exit_code=0,
            )
        )
        await house.add("one", "two")
        runs = await house.runs()
        assert runs["two"].ahead
        await house.host.report(
            TaskEnded(
                report=house.host.number(),
                task_no=runs["one"].task_no,
                attempt=runs["one"].attempt,
                start_us=house.now_us,
                end_us=house.now_us + 1000,
                exit_code=0,
            ),
            TaskBegan(
                report=house.host.number(),
                task_no=runs["two"].task_no,
                attempt=runs["two"].attempt,
                start_us=house.now_us + 2000,
            ),
        )
        two = await house.task("two")
        assert two.start_us == NOW_US + DAY_US + 2000
        one = await house.task("one")
        assert one.end_us is not None
        assert one.created_us <= (one.start_us or 0) <= one.end_us

    play(scenario)


def test_silences_of_hosts_are_measured_by_the_machine() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.engine.clock.advance(30 * DAY_US)
        await house.pass_time(1)
        assert [node.state for node in await house.nodes()] == ["idle"]

    play(scenario)


def test_what_an_instant_causes_has_its_time_before_the_next() -> None:
    """A job that ends at its limit has its task killed before the next limit comes."""

    async def scenario(house: House) -> None:
        await house.pool(1, 1)
        await house.job("first", constraints=limited("PT1H"))
        await house.job("second")
        await house.add("one", job="first")
        await house.add("two", job="second")
        await house.runs()

        async def obey() -> None:
            """Be a host that kills when it is told to, and runs what comes for no time at all."""
            while True:
                for kill in house.host.take(KillTask):
                    await house.host.report(
                        TaskEnded(
                            report=house.host.number(),
                            task_no=kill.task_no,
                            attempt=kill.attempt,
                            start_us=house.now_us,
                            end_us=house.now_us,
                            exit_code=137,
                            killed=True,
                        )
                    )
                for run in (await house.runs()).values():
                    await house.host.end(run, length_us=0)

        obeying = asyncio.create_task(obey())
        await house.engine.clock.advance(DAY_US)
        obeying.cancel()
        await asyncio.wait({obeying})
        first = await house.job_record("first")
        assert first is not None
        assert (first.state, first.end_us) == (JobState.COMPLETED, NOW_US + HOUR_US)
        two = await house.task("two", "second")
        assert two.state is TaskState.COMPLETED
        assert two.start_us == NOW_US + HOUR_US, "in the place that the first left"

    play(scenario)


def test_what_has_just_begun_has_its_time_before_the_first_instant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock_module, "STILL_S", 3600.0)
    monkeypatch.setattr(clock_module, "LONGEST_REST_S", 3600.0)

    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("one")
        (run,) = (await house.runs()).values()
        advance = asyncio.create_task(house.engine.clock.advance(HOUR_US))
        for _ in range(100):
            await asyncio.sleep(0)
        assert house.engine.clock.offset_us == 0
        await house.host.end(run, length_us=0)
        await asyncio.wait_for(advance, 10)
        assert house.engine.clock.offset_us == HOUR_US
        assert (await house.task("one")).end_us == NOW_US

    play(scenario)


def test_advances_are_made_one_after_the_other_and_are_bounded() -> None:
    async def scenario(house: House) -> None:
        clock = house.engine.clock
        advances = [asyncio.create_task(clock.advance(HOUR_US)) for _ in range(MOST_ADVANCES)]
        await asyncio.sleep(0)
        assert clock.is_advancing
        assert not clock.may_advance(1, MOST_ADVANCES * HOUR_US)
        with pytest.raises(ServerBusy):
            await clock.advance(HOUR_US)
        await asyncio.gather(*advances)
        assert clock.offset_us == MOST_ADVANCES * HOUR_US
        assert clock.may_advance(1, MOST_ADVANCES * HOUR_US + 1)

    play(scenario)


def test_an_advance_goes_on_when_nobody_waits_for_it() -> None:
    async def scenario(house: House) -> None:
        clock = house.engine.clock
        asking = asyncio.create_task(clock.advance(HOUR_US))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
        await clock.advance(HOUR_US)
        assert clock.offset_us == 2 * HOUR_US

    play(scenario)


def test_a_clock_that_cannot_be_kept_is_not_moved() -> None:
    async def scenario(house: House) -> None:
        house.store.full = True
        logging.getLogger("penstock.engine").disabled = True
        with pytest.raises(ServerBusy):
            await house.engine.clock.advance(HOUR_US)
        assert house.engine.clock.offset_us == 0
        assert not house.engine.clock.is_advancing
        house.store.full = False
        house.elapse(10)
        await house.engine.clock.advance(HOUR_US)
        assert house.engine.clock.offset_us == HOUR_US

    try:
        play(scenario)
    finally:
        logging.getLogger("penstock.engine").disabled = False
