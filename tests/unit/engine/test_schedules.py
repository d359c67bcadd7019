"""The life of job schedules."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.conditions import ANY, Conditions
from penstock.domain.instants import MINUTE_US, Duration, etag_text, instant_text
from penstock.domain.queries import Query
from penstock.domain.records import JobRecord, ScheduleRecord
from penstock.domain.refusals import (
    ActiveJobAndScheduleQuotaReached,
    ConditionNotMet,
    JobScheduleBeingDeleted,
    JobScheduleBeingTerminated,
    JobScheduleCompleted,
    JobScheduleDisabled,
    JobScheduleExists,
    JobScheduleNotFound,
    JobScheduleWithSameIdExists,
    JobWithSameIdExists,
)
from penstock.domain.specs.common import TaskConstraints
from penstock.domain.specs.job import JobPatch, JobTemplate, PoolInfo
from penstock.domain.specs.schedule import JobSchedulePatch, JobScheduleSpec, Schedule
from penstock.domain.specs.special import JobManagerTask
from penstock.domain.states import JobState, ScheduleState
from penstock.engine import schedules
from penstock.engine.due import next_due_us
from penstock.engine.settings import Quotas
from penstock.messages import KillTask, RemoveJob, RunTask
from tests.records import ACCOUNT, NOW_US
from tests.unit.engine.house import KILLED, House, play

HOUR_S = 3600
HOUR_US = 60 * MINUTE_US
WEEK_US = 7 * 24 * HOUR_US
HOURLY = Schedule(recurrence_interval=Duration.of_seconds(HOUR_S))
TEN_MINUTES = Schedule(
    recurrence_interval=Duration.of_seconds(HOUR_S), start_window=Duration.of_seconds(600)
)


def on_pool(pool: str = "pool", **spec: Any) -> JobTemplate:
    return JobTemplate(pool_info=PoolInfo(pool_id=pool), **spec)


async def add(
    house: House, schedule: Schedule = HOURLY, name: str = "s", **spec: Any
) -> ScheduleRecord:
    return await house.engine.add_schedule(
        ACCOUNT, JobScheduleSpec(id=name, schedule=schedule, job_specification=on_pool(**spec))
    )


async def record(house: House, name: str = "s") -> ScheduleRecord:
    schedule = await house.store.schedule(ACCOUNT, name)
    assert schedule is not None
    return schedule


async def jobs_of(house: House, name: str = "s") -> list[JobRecord]:
    return list(await house.store.list_jobs_of((await record(house, name)).no, Query()))


async def ids(house: House) -> dict[str, str]:
    return {job.id: job.state.value for job in await jobs_of(house)}


async def end_job(house: House, number: int) -> None:
    await house.engine.terminate_job(ACCOUNT, f"s:job-{number}", None, ANY, force=False)


async def look(house: House) -> None:
    await house.engine._submit(house.engine._tick)


async def walk(house: House, seconds: float) -> None:
    """Let time pass from due instant to due instant, as an advanced clock does."""
    end_us = house.now_us + int(seconds * 1_000_000)
    while (due_us := next_due_us(house.engine._state)) is not None and due_us <= end_us:
        house.now_us = due_us
        await look(house)
        assert next_due_us(house.engine._state) != due_us, "what was due is done"
    house.now_us = end_us
    await look(house)


def test_the_first_job_is_made_at_once_with_its_schedule() -> None:
    async def scenario(house: House) -> None:
        made = await add(house, display_name="shown", priority=7)
        (job,) = await jobs_of(house)
        schedule = await record(house)
        assert (job.id, job.schedule_no, job.created_us) == ("s:job-1", made.no, NOW_US)
        assert (job.spec.display_name, job.spec.priority) == ("shown", 7)
        assert (schedule.recent_job, schedule.job_no) == ("s:job-1", job.no)
        assert schedule.next_run_us == NOW_US + HOUR_US
        assert schedule.modified_us == NOW_US, "a job changes nothing of its schedule's tag"
        assert schedule.previous_state is None
        assert (await house.job_record("S:JOB-1")) == job, "it is a job as any other"

    play(scenario)


def test_one_job_at_a_time_and_the_next_one_waits_in_the_window() -> None:
    async def scenario(house: House) -> None:
        await add(house, TEN_MINUTES)
        await walk(house, HOUR_S + 300)
        assert await ids(house) == {"s:job-1": "active"}
        assert (await record(house)).next_run_us == NOW_US + HOUR_US, "it waits"
        await end_job(house, 1)
        assert await ids(house) == {"s:job-1": "completed", "s:job-2": "active"}
        assert (await jobs_of(house))[1].created_us == NOW_US + HOUR_US + 5 * MINUTE_US
        assert (await record(house)).next_run_us == NOW_US + 2 * HOUR_US, "by the clock, not by it"

        await walk(house, HOUR_S + 300)
        assert (await record(house)).next_run_us == NOW_US + 3 * HOUR_US, "this one is lost"
        await end_job(house, 2)
        assert len(await ids(house)) == 2
        await walk(house, HOUR_S)
        assert (await ids(house))["s:job-3"] == "active"

    play(scenario)


def test_without_a_window_the_next_job_waits_for_as_long_as_it_takes() -> None:
    async def scenario(house: House) -> None:
        await add(house)
        await walk(house, 5.5 * HOUR_S)
        await end_job(house, 1)
        assert await ids(house) == {"s:job-1": "completed", "s:job-2": "active"}
        assert (await record(house)).next_run_us == NOW_US + 6 * HOUR_US, "nothing is carried over"

    play(scenario)


def test_a_schedule_that_does_not_recur_ends_with_its_job() -> None:
    async def scenario(house: House) -> None:
        await add(house, Schedule(do_not_run_until=instant_text(NOW_US + HOUR_US)))
        assert await ids(house) == {}
        await walk(house, HOUR_S - 1)
        assert await ids(house) == {}
        assert (await record(house)).next_run_us == NOW_US + HOUR_US
        await walk(house, 1)
        assert await ids(house) == {"s:job-1": "active"}
        assert (await record(house)).next_run_us is None
        await walk(house, HOUR_S)
        assert (await record(house)).state is ScheduleState.ACTIVE
        await end_job(house, 1)
        schedule = await record(house)
        assert schedule.state is ScheduleState.COMPLETED
        assert schedule.previous_state is ScheduleState.ACTIVE
        assert schedule.end_us == house.now_us

    play(scenario)


def test_an_end_completes_the_schedule_when_no_job_is_active() -> None:
    async def scenario(house: House) -> None:
        end = Schedule(
            do_not_run_after=instant_text(NOW_US + 90 * MINUTE_US),
            recurrence_interval=Duration.of_seconds(HOUR_S),
        )
        await add(house, end)
        await add(house, end, "idle", on_all_tasks_complete="terminatejob")
        await walk(house, HOUR_S)
        assert (await record(house, "idle")).next_run_us is None, "the next would come too late"
        await walk(house, 1800)
        assert (await record(house, "idle")).state is ScheduleState.ACTIVE
        await walk(house, 1)
        assert (await record(house, "idle")).state is ScheduleState.COMPLETED
        assert (await record(house, "idle")).jobs_made == 2
        assert (await record(house)).state is ScheduleState.ACTIVE, "its job goes on"
        await end_job(house, 1)
        assert (await record(house)).state is ScheduleState.COMPLETED
        assert len(await ids(house)) == 1

    play(scenario)


def test_a_disabled_schedule_makes_no_job_and_makes_none_up() -> None:
    async def scenario(house: House) -> None:
        tag = (await add(house, TEN_MINUTES, on_all_tasks_complete="terminatejob")).modified_us
        changed = await house.engine.disable_schedule(ACCOUNT, "S", ANY)
        assert changed.modified_us > tag
        assert changed.previous_state is ScheduleState.ACTIVE
        with pytest.raises(JobScheduleDisabled):
            await house.engine.disable_schedule(ACCOUNT, "s", ANY)
        await walk(house, 3 * HOUR_S + 900)
        await house.engine.enable_schedule(ACCOUNT, "s", ANY)
        assert len(await ids(house)) == 1, "the window of the last one is closed"
        assert (await record(house)).next_run_us == NOW_US + 4 * HOUR_US
        await house.engine.disable_schedule(ACCOUNT, "s", ANY)
        await walk(house, HOUR_S)
        await house.engine.enable_schedule(ACCOUNT, "s", ANY)
        assert len(await ids(house)) == 1
        await house.engine.disable_schedule(ACCOUNT, "s", ANY)
        await walk(house, HOUR_S - 600)
        await house.engine.enable_schedule(ACCOUNT, "s", ANY)
        assert list(await ids(house)) == ["s:job-1", "s:job-2"], "one is due, and its window open"
        again = await house.engine.enable_schedule(ACCOUNT, "s", ANY)
        assert again == await record(house), "nothing to do"

    play(scenario)


def test_a_disabled_schedule_lets_its_job_go_on_and_does_not_end() -> None:
    async def scenario(house: House) -> None:
        await add(house, Schedule())
        await house.engine.disable_schedule(ACCOUNT, "s", ANY)
        assert await ids(house) == {"s:job-1": "active"}
        await end_job(house, 1)
        assert (await record(house)).state is ScheduleState.DISABLED
        await house.engine.enable_schedule(ACCOUNT, "s", ANY)
        assert (await record(house)).state is ScheduleState.COMPLETED

    play(scenario)


def test_terminating_ends_the_active_job_too() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await add(house)
        await house.add("t", job="s:job-1")
        await house.runs()
        await house.engine.terminate_schedule(ACCOUNT, "s", ANY, force=False)
        schedule = await record(house)
        assert (schedule.state, schedule.next_run_us) == (ScheduleState.TERMINATING, None)
        (job,) = await jobs_of(house)
        assert (job.state, job.terminate_reason) == (JobState.TERMINATING, "TerminateJobSchedule")
        for change in (
            house.engine.terminate_schedule(ACCOUNT, "s", ANY, force=False),
            house.engine.disable_schedule(ACCOUNT, "s", ANY),
            house.engine.enable_schedule(ACCOUNT, "s", ANY),
            house.engine.patch_schedule(ACCOUNT, "s", JobSchedulePatch(), ANY),
        ):
            with pytest.raises(JobScheduleBeingTerminated):
                await change
        for kill in house.host.take(KillTask):
            await house.host.end(kill, exit_code=137, failure=KILLED, killed=True)
        schedule = await record(house)
        assert (schedule.state, schedule.end_us) == (ScheduleState.COMPLETED, house.now_us)
        assert schedule.previous_state is ScheduleState.TERMINATING
        await walk(house, 2 * HOUR_S)
        assert await ids(house) == {"s:job-1": "completed"}
        with pytest.raises(JobScheduleCompleted):
            await house.engine.terminate_schedule(ACCOUNT, "s", ANY, force=False)

    play(scenario)


def test_a_forced_termination_waits_for_no_node() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await add(house)
        await house.add("t", job="s:job-1")
        await house.runs()
        await house.engine.terminate_schedule(ACCOUNT, "s", ANY, force=True)
        assert (await record(house)).state is ScheduleState.COMPLETED

    play(scenario)


def test_force_ends_a_termination_that_was_begun_without_it() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await add(house)
        await house.add("t", job="s:job-1")
        await house.runs()
        await house.engine.terminate_schedule(ACCOUNT, "s", ANY, force=False)
        await house.engine.terminate_schedule(ACCOUNT, "s", ANY, force=True)
        assert (await record(house)).state is ScheduleState.COMPLETED
        assert await ids(house) == {"s:job-1": "completed"}

    play(scenario)


def test_deleting_takes_all_jobs_along() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        house.host.obedient = False
        await add(house)
        await end_job(house, 1)
        await walk(house, HOUR_S)
        await house.engine.delete_schedule(ACCOUNT, "s", ANY, force=False)
        assert await ids(house) == {"s:job-1": "deleting", "s:job-2": "deleting"}
        assert (await record(house)).state is ScheduleState.DELETING
        with pytest.raises(JobScheduleBeingDeleted):
            await house.engine.delete_schedule(ACCOUNT, "s", ANY, force=False)
        with pytest.raises(JobScheduleBeingDeleted):
            await add(house)
        house.host.obedient = True
        await house.host.settle()
        assert await house.store.schedule(ACCOUNT, "s") is None
        assert await house.job_record("s:job-1") is None
        with pytest.raises(JobScheduleNotFound):
            await house.engine.delete_schedule(ACCOUNT, "s", ANY, force=False)
        await add(house)
        assert list(await ids(house)) == ["s:job-1"], "a new schedule counts anew"

    play(scenario)


def test_a_forced_deletion_waits_for_no_node() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        house.host.obedient = False
        await add(house)
        await house.engine.delete_schedule(ACCOUNT, "s", ANY, force=True)
        assert await house.store.schedule(ACCOUNT, "s") is None
        await house.engine._submit(lambda _turn: None)
        assert house.host.take(RemoveJob), "the directories go all the same"

    play(scenario)


def test_force_ends_a_deletion_that_was_begun_without_it() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        house.host.obedient = False
        await add(house)
        await end_job(house, 1)
        await walk(house, HOUR_S)
        await house.engine.delete_schedule(ACCOUNT, "s", ANY, force=False)
        assert await ids(house) == {"s:job-1": "deleting", "s:job-2": "deleting"}
        await house.engine.delete_schedule(ACCOUNT, "s", ANY, force=True)
        assert await house.store.schedule(ACCOUNT, "s") is None
        assert await house.job_record("s:job-1") is None
        assert await house.job_record("s:job-2") is None

    play(scenario)


def test_many_jobs_are_deleted_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "DELETED_AT_ONCE", 2)

    async def scenario(house: House) -> None:
        await add(house, on_all_tasks_complete="terminatejob")
        await walk(house, 4 * HOUR_S)
        assert len(await ids(house)) == 5
        await house.engine.delete_schedule(ACCOUNT, "s", ANY, force=False)
        assert list(await ids(house)) == ["s:job-1", "s:job-2", "s:job-3"], "the newest first"
        assert house.engine._something_due()
        await house.crash()
        await house.pass_time(1)
        assert list(await ids(house)) == ["s:job-1"]
        await house.pass_time(1)
        assert await house.store.schedule(ACCOUNT, "s") is None
        assert not house.engine._something_due()

    play(scenario)


def test_a_job_that_is_deleted_by_hand_leaves_its_schedule_alive() -> None:
    async def scenario(house: House) -> None:
        await add(house, TEN_MINUTES)
        await house.engine.delete_job(ACCOUNT, "s:job-1", ANY, force=False)
        schedule = await record(house)
        assert (schedule.state, schedule.job_no) == (ScheduleState.ACTIVE, None)
        assert schedule.recent_job == "s:job-1"
        await walk(house, HOUR_S)
        assert await ids(house) == {"s:job-2": "active"}

    play(scenario)


def test_ids_are_shared_with_jobs() -> None:
    async def scenario(house: House) -> None:
        await add(house, name="One")
        with pytest.raises(JobScheduleExists):
            await add(house, name="oNE")
        with pytest.raises(JobScheduleWithSameIdExists):
            await house.job("ONE")
        await house.job("Two")
        with pytest.raises(JobWithSameIdExists):
            await add(house, name="two")
        with pytest.raises(JobScheduleNotFound):
            await house.engine.enable_schedule(ACCOUNT, "none", ANY)

    play(scenario)


def test_a_new_specification_is_for_the_jobs_to_come() -> None:
    async def scenario(house: House) -> None:
        before = await add(house, priority=1)
        patch = JobSchedulePatch(job_specification=on_pool(priority=2))
        changed = await house.engine.patch_schedule(ACCOUNT, "s", patch, ANY)
        assert changed.modified_us > before.modified_us
        assert changed.next_run_us == NOW_US + HOUR_US, "the times are as before"
        await walk(house, HOUR_S)
        await end_job(house, 1)
        assert [job.spec.priority for job in await jobs_of(house)] == [1, 2]

    play(scenario)


def test_a_new_schedule_is_planned_from_the_last_job_on() -> None:
    async def scenario(house: House) -> None:
        await add(house, on_all_tasks_complete="terminatejob")
        await walk(house, 1200)
        half = Schedule(recurrence_interval=Duration.of_seconds(1800))
        patch = JobSchedulePatch(schedule=half)
        changed = await house.engine.patch_schedule(ACCOUNT, "s", patch, ANY)
        assert changed.next_run_us == NOW_US + 30 * MINUTE_US
        await walk(house, 600)
        assert len(await ids(house)) == 2
        once = JobSchedulePatch(schedule=Schedule())
        await house.engine.patch_schedule(ACCOUNT, "s", once, ANY)
        assert (await record(house)).state is ScheduleState.COMPLETED, "it had its job"
        with pytest.raises(JobScheduleCompleted):
            await house.engine.patch_schedule(ACCOUNT, "s", patch, ANY)

    play(scenario)


def test_put_replaces_what_was_not_sent() -> None:
    async def scenario(house: House) -> None:
        await add(house)
        new = JobSchedulePatch(schedule=HOURLY, job_specification=on_pool("other"))
        await house.engine.replace_schedule(ACCOUNT, "s", new, ANY)
        schedule = await record(house)
        assert schedule.spec.metadata == []
        assert schedule.spec.job_specification.pool_info.pool_id == "other"
        assert schedule.next_run_us == NOW_US + HOUR_US, "the same schedule is no new one"

    play(scenario)


def test_a_schedule_that_stays_the_same_is_not_planned_anew() -> None:
    async def scenario(house: House) -> None:
        begin = Schedule(
            do_not_run_until=instant_text(NOW_US + HOUR_US),
            start_window=Duration.of_seconds(600),
        )
        await add(house, begin)
        await house.engine.disable_schedule(ACCOUNT, "s", ANY)
        await walk(house, 2 * HOUR_S)
        new = JobSchedulePatch(schedule=begin, job_specification=on_pool())
        await house.engine.replace_schedule(ACCOUNT, "s", new, ANY)
        await house.engine.enable_schedule(ACCOUNT, "s", ANY)
        schedule = await record(house)
        assert (schedule.state, schedule.jobs_made) == (ScheduleState.COMPLETED, 0)

    play(scenario)


def test_conditions_are_heeded() -> None:
    async def scenario(house: House) -> None:
        made = await add(house)
        stale = Conditions(if_match=("0x1",))
        engine = house.engine
        for change in (
            engine.patch_schedule(ACCOUNT, "s", JobSchedulePatch(), stale),
            engine.disable_schedule(ACCOUNT, "s", stale),
            engine.enable_schedule(ACCOUNT, "s", stale),
            engine.terminate_schedule(ACCOUNT, "s", stale, force=False),
            engine.delete_schedule(ACCOUNT, "s", stale, force=False),
        ):
            with pytest.raises(ConditionNotMet):
                await change
        fresh = Conditions(if_match=(etag_text(made.modified_us),))
        await engine.disable_schedule(ACCOUNT, "s", fresh)

    play(scenario)


def minutes_of_job(number: int) -> int:
    """Most jobs are short; some end within the next window, and some after it."""
    return 75 if number % 5 == 0 else 65 if number % 7 == 0 else 20


def test_a_week_of_an_hourly_schedule_with_retention() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await add(house, TEN_MINUTES, on_all_tasks_complete="noaction")
        ends: dict[int, RunTask] = {}
        working = 0
        while (count := (await record(house)).jobs_made) and house.now_us < NOW_US + WEEK_US:
            if count > working:
                working, name = count, f"s:job-{count}"
                kept = TaskConstraints(retention_time=Duration.of_seconds(24 * HOUR_S))
                await house.add("t", job=name, constraints=kept)
                patch = JobPatch(on_all_tasks_complete="terminatejob")
                await house.engine.patch_job(ACCOUNT, name, patch, ANY)
                run = (await house.runs())["t"]
                assert run.job_id == name
                ends[house.now_us + minutes_of_job(count) * MINUTE_US] = run
            due_us = next_due_us(house.engine._state) or 0
            house.now_us = min([due_us, *ends])
            if house.now_us in ends:
                await house.host.end(ends.pop(house.now_us))
            await look(house)
            await house.engine.sweep()
            await house.host.settle()

        made = {job.id: (job.created_us - NOW_US) // MINUTE_US for job in await jobs_of(house)}
        expected, end = [], 0
        for due in range(0, 7 * 24 * 60 + 1, 60):
            if max(due, end) < due + 10:
                expected.append(max(due, end))
                end = expected[-1] + minutes_of_job(len(expected))
        assert made == {f"s:job-{n}": at for n, at in enumerate(expected, 1)}
        assert 100 < len(made) < 168
        for n, at in enumerate(expected[:-1], 1):
            over_us = NOW_US + (at + minutes_of_job(n)) * MINUTE_US
            task = await house.task("t", f"s:job-{n}")
            assert task.end_us == over_us
            assert task.files_gone == (over_us + 24 * HOUR_US <= house.now_us), n

    play(scenario)


def test_a_server_that_was_away_makes_up_nothing() -> None:
    async def scenario(house: House) -> None:
        await add(house, TEN_MINUTES, on_all_tasks_complete="terminatejob")
        await add(house, HOURLY, "wide", on_all_tasks_complete="terminatejob")
        await house.crash()
        assert (await record(house)).jobs_made == 1, "none is made twice"
        house.elapse(5 * HOUR_S + 1800)
        await house.crash()
        await look(house)
        assert (await record(house)).jobs_made == 1
        assert (await record(house)).next_run_us == NOW_US + 6 * HOUR_US
        assert (await record(house, "wide")).jobs_made == 2
        assert (await record(house, "wide")).next_run_us == NOW_US + 6 * HOUR_US

    play(scenario)


def test_a_job_and_its_schedule_are_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(house: House) -> None:
        written: list[set[str]] = []
        commit = house.store.commit

        async def watched(changes: Any, *more: Any) -> Any:
            written.append({type(change).__name__ for change in changes})
            return await commit(changes, *more)

        monkeypatch.setattr(house.store, "commit", watched)
        await add(house, Schedule(do_not_run_until=instant_text(NOW_US + HOUR_US)))
        await house.pass_time(HOUR_S)
        (firing,) = [kinds for kinds in written if "PutJob" in kinds]
        assert "PutSchedule" in firing

    play(scenario)


def test_many_that_are_due_at_once_are_made_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "MOST_AT_ONCE", 3)

    async def scenario(house: House) -> None:
        begin = Schedule(do_not_run_until=instant_text(NOW_US + HOUR_US))
        for n in range(7):
            await add(house, begin, f"s{n}")
        assert not house.engine._something_due()
        await house.pass_time(HOUR_S)
        made = [3, 6, 7]
        for count in made:
            assert len(await house.store.list_jobs(ACCOUNT, Query())) == count
            assert house.engine._something_due() == (count < 7)
            await house.pass_time(0)

    play(scenario)


def test_a_timetable_keeps_little_more_than_counts() -> None:
    async def scenario(house: House) -> None:
        table = house.engine._state.timetable
        for n in range(300):
            begin = Schedule(do_not_run_until=instant_text(NOW_US + (300 - n) * HOUR_US))
            if n == 0:
                await add(house, begin)
            patch = JobSchedulePatch(schedule=begin)
            await house.engine.patch_schedule(ACCOUNT, "s", patch, ANY)
            assert table.next_us() == NOW_US + (300 - n) * HOUR_US
        assert len(table._heap) <= 70
        await house.engine.delete_schedule(ACCOUNT, "s", ANY, force=True)
        assert table.next_us() is None

    play(scenario)


def test_a_quota_refuses_schedules_but_not_their_jobs() -> None:
    async def scenario(house: House) -> None:
        begin = Schedule(do_not_run_until=instant_text(NOW_US + HOUR_US))
        await add(house, begin)
        await house.job("job")
        with pytest.raises(ActiveJobAndScheduleQuotaReached):
            await add(house, begin, "more")
        await walk(house, HOUR_S)
        assert await ids(house) == {"s:job-1": "active"}
        for name in ("job", "s:job-1"):
            await house.engine.terminate_job(ACCOUNT, name, None, ANY, force=False)
        await add(house, begin, "more")

    play(scenario, quotas=Quotas(active_jobs=2))


def test_a_job_manager_ends_each_job_and_lets_the_next_one_come() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await add(house, job_manager_task=JobManagerTask(id="manager", command_line="true"))
        for number in (1, 2, 3):
            run = (await house.runs())["manager"]
            assert run.job_id == f"s:job-{number}"
            await house.host.end(run)
            (*_, job) = await jobs_of(house)
            assert (job.state, job.terminate_reason) == (JobState.COMPLETED, "JMComplete")
            await walk(house, HOUR_S)

    play(scenario)


def test_jobs_of_a_schedule_are_changed_as_others() -> None:
    async def scenario(house: House) -> None:
        await add(house)
        await house.engine.patch_job(ACCOUNT, "s:job-1", JobPatch(priority=3), ANY)
        await house.engine.disable_job(ACCOUNT, "s:job-1", "wait", ANY)
        assert await ids(house) == {"s:job-1": "disabled"}
        await walk(house, 2 * HOUR_S)
        assert await ids(house) == {"s:job-1": "disabled"}, "it is not over"

    play(scenario)
