"""Pools that are made for jobs and schedules, and go with them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from penstock.domain.conditions import ANY
from penstock.domain.instants import Duration
from penstock.domain.queries import Query
from penstock.domain.records import JobRecord, PoolRecord
from penstock.domain.refusals import (
    InvalidCertificateReferences,
    InvalidPropertyValue,
    OperationInvalidForCurrentState,
    PoolQuotaReached,
    Refusal,
)
from penstock.domain.specs.common import ResourceFile
from penstock.domain.specs.job import AutoPool, JobPatch, JobSpec, JobTemplate, PoolInfo
from penstock.domain.specs.pool import PoolTemplate, StartTask
from penstock.domain.specs.schedule import JobSchedulePatch, JobScheduleSpec, Schedule
from penstock.domain.states import JobState, PoolState, ScheduleState
from penstock.engine import pools
from penstock.engine.settings import Quotas
from tests.records import ACCOUNT
from tests.unit.engine.house import House, play

HOURLY = Schedule(recurrence_interval=Duration.of_seconds(3600))


def template(**spec: Any) -> PoolTemplate:
    return PoolTemplate(
        vm_size="standard_d4_v3", target_dedicated_nodes=1, task_slots_per_node=2, **spec
    )


def auto(lifetime: str = "job", pool: PoolTemplate | None = None, **more: Any) -> PoolInfo:
    more = {"keep_alive": False, "pool": pool or template(), **more}
    return PoolInfo(auto_pool_specification=AutoPool(pool_lifetime_option=lifetime, **more))


async def add(house: House, info: PoolInfo | None = None, name: str = "job") -> JobRecord:
    await house.engine.add_job(ACCOUNT, JobSpec(id=name, pool_info=info or auto()))
    return await record(house, name)


async def schedule(house: House, info: PoolInfo, **spec: Any) -> None:
    jobs = JobTemplate(pool_info=info, **spec)
    wanted = JobScheduleSpec(id="s", schedule=HOURLY, job_specification=jobs)
    await house.engine.add_schedule(ACCOUNT, wanted)


async def record(house: House, name: str = "job") -> JobRecord:
    job = await house.job_record(name)
    assert job is not None
    return job


async def end(house: House, name: str = "job") -> None:
    await house.engine.terminate_job(ACCOUNT, name, None, ANY, force=False)


async def all_pools(house: House) -> list[PoolRecord]:
    return list(await house.store.list_pools(ACCOUNT, Query()))


async def next_hour(house: House) -> None:
    house.now_us += 3_600_000_000
    await house.engine._submit(house.engine._tick)


def test_a_job_gets_its_pool_with_it_and_runs_there() -> None:
    async def scenario(house: House) -> None:
        await house.host.connect()
        job = await add(house, auto(auto_pool_id_prefix="mine"))
        (pool,) = await all_pools(house)
        guid = r"[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}"
        assert re.fullmatch(f"mine_{guid}", pool.id)
        assert job.pool_id == pool.id
        assert job.spec.pool_info.pool_id is None, "what was asked for is shown as it was"
        await house.add("t")
        await house.host.settle()
        assert list(await house.runs()) == ["t"]

        without = await add(house, name="without")
        assert re.fullmatch(guid, without.pool_id)

    play(scenario)


def test_the_pool_goes_when_the_job_is_completed() -> None:
    async def scenario(house: House) -> None:
        await house.host.connect()
        await add(house)
        await house.host.settle()
        await end(house)
        assert (await record(house)).state is JobState.COMPLETED
        await house.host.settle()
        assert await all_pools(house) == []
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=False)
        assert await house.job_record() is None

    play(scenario)


def test_the_pool_goes_when_the_job_is_deleted() -> None:
    async def scenario(house: House) -> None:
        await house.host.connect()
        await add(house)
        await house.host.settle()
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=False)
        await house.host.settle()
        assert await house.job_record() is None
        assert await all_pools(house) == []

    play(scenario)


def test_a_pool_that_is_to_be_kept_is() -> None:
    async def scenario(house: House) -> None:
        await add(house, auto(keep_alive=True))
        await end(house)
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=False)
        (pool,) = await all_pools(house)
        assert pool.state is PoolState.ACTIVE

    play(scenario)


def test_a_pool_that_a_user_deleted_is_no_hindrance() -> None:
    async def scenario(house: House) -> None:
        job = await add(house)
        await house.engine.delete_pool(ACCOUNT, job.pool_id, ANY)
        await end(house)
        assert (await record(house)).state is JobState.COMPLETED

    play(scenario)


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (PoolQuotaReached(Quota=1), "AutoPoolCreationFailedWithQuotaReached"),
        (InvalidCertificateReferences(), "InvalidCertificatesInAutoPool"),
        (InvalidPropertyValue(PropertyName="vmSize"), "InvalidAutoPoolSettings"),
    ],
)
def test_a_job_whose_pool_cannot_be_made_is_over(
    refusal: Refusal, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise refusal

    monkeypatch.setattr(pools, "add_pool", refuse)

    async def scenario(house: House) -> None:
        job = await add(house)
        assert (job.state, job.previous_state) == (JobState.COMPLETED, JobState.ACTIVE)
        assert (job.end_us, job.pool_id) == (house.now_us, "")
        assert job.scheduling_error is not None
        assert (job.scheduling_error.category, job.scheduling_error.code) == ("usererror", code)
        details = {detail.name: detail.value for detail in job.scheduling_error.details}
        assert details == {"PoolError": refusal.code, **refusal.values}

        await schedule(house, auto("jobschedule"))
        await next_hour(house)
        for number in (1, 2):
            of_schedule = await record(house, f"s:job-{number}")
            assert of_schedule.state is JobState.COMPLETED
            assert of_schedule.scheduling_error is not None, "each job tries anew"

    play(scenario)


def test_the_quota_of_pools_is_one_of_auto_pools_too() -> None:
    async def scenario(house: House) -> None:
        first = await add(house)
        second = await add(house, name="second")
        assert first.scheduling_error is None
        assert second.scheduling_error is not None
        assert second.scheduling_error.code == "AutoPoolCreationFailedWithQuotaReached"
        await end(house)
        assert (await add(house, name="third")).scheduling_error is None

    play(scenario, quotas=Quotas(pools=1))


def test_settings_that_only_the_engine_can_refuse_end_the_job() -> None:
    async def scenario(house: House) -> None:
        files = [ResourceFile(auto_storage_container_name="input")]
        start = StartTask(command_line="true", resource_files=files)
        job = await add(house, auto(pool=template(start_task=start)))
        assert job.scheduling_error is not None
        assert job.scheduling_error.code == "InvalidAutoPoolSettings"
        assert await all_pools(house) == []

    play(scenario)


def test_jobs_of_a_schedule_share_a_pool_until_it_ends() -> None:
    async def scenario(house: House) -> None:
        await schedule(house, auto("jobschedule", auto_pool_id_prefix="s"))
        await end(house, "s:job-1")
        await next_hour(house)
        (pool,) = await all_pools(house)
        assert pool.state is PoolState.ACTIVE
        assert {(await record(house, f"s:job-{n}")).pool_id for n in (1, 2)} == {pool.id}
        await house.engine.terminate_schedule(ACCOUNT, "s", ANY, force=False)
        assert await all_pools(house) == []

    play(scenario)


def test_the_shared_pool_goes_with_a_deleted_schedule() -> None:
    async def scenario(house: House) -> None:
        await house.host.connect()
        await schedule(house, auto("jobschedule"))
        await house.host.settle()
        await house.engine.delete_schedule(ACCOUNT, "s", ANY, force=False)
        await house.host.settle()
        assert await house.store.schedule(ACCOUNT, "s") is None
        assert await all_pools(house) == []

    play(scenario)


def test_a_shared_pool_that_is_to_be_kept_is() -> None:
    async def scenario(house: House) -> None:
        await schedule(house, auto("jobschedule", keep_alive=True))
        await house.engine.delete_schedule(ACCOUNT, "s", ANY, force=False)
        assert len(await all_pools(house)) == 1

    play(scenario)


def test_a_shared_pool_that_somebody_deleted_is_made_anew() -> None:
    async def scenario(house: House) -> None:
        await schedule(house, auto("jobschedule"), on_all_tasks_complete="terminatejob")
        (first,) = await all_pools(house)
        await house.engine.delete_pool(ACCOUNT, first.id, ANY)
        await next_hour(house)
        (second,) = await all_pools(house)
        assert second.id != first.id
        kept = await house.store.schedule(ACCOUNT, "s")
        assert kept is not None
        assert kept.auto_pool == second.id

    play(scenario)


def test_each_job_of_a_schedule_may_have_a_pool_of_its_own() -> None:
    async def scenario(house: House) -> None:
        await schedule(house, auto("job"))
        (first,) = await all_pools(house)
        await end(house, "s:job-1")
        assert await all_pools(house) == []
        await next_hour(house)
        (second,) = await all_pools(house)
        assert second.id != first.id

    play(scenario)


def test_a_shared_pool_goes_though_later_jobs_have_another() -> None:
    async def scenario(house: House) -> None:
        await schedule(house, auto("jobschedule"), on_all_tasks_complete="terminatejob")
        patch = JobSchedulePatch(job_specification=JobTemplate(pool_info=PoolInfo(pool_id="p")))
        await house.engine.patch_schedule(ACCOUNT, "s", patch, ANY)
        await next_hour(house)
        assert (await record(house, "s:job-2")).pool_id == "p"
        assert len(await all_pools(house)) == 1
        await house.engine.terminate_schedule(ACCOUNT, "s", ANY, force=False)
        assert await all_pools(house) == []

    play(scenario)


def kept(info: PoolInfo, keep: bool = True) -> JobPatch:
    spec = info.auto_pool_specification
    assert spec is not None
    return JobPatch(pool_info=auto(spec.pool_lifetime_option, spec.pool, keep_alive=keep))


def test_only_whether_it_is_kept_can_be_changed_of_an_auto_pool() -> None:
    async def scenario(house: House) -> None:
        info = auto()
        job = await add(house, info)
        engine = house.engine
        await engine.patch_job(ACCOUNT, "job", kept(info, False), ANY)  # as it is
        with pytest.raises(OperationInvalidForCurrentState):
            await engine.patch_job(ACCOUNT, "job", kept(info), ANY)
        await engine.disable_job(ACCOUNT, "job", "wait", ANY)
        short = AutoPool(pool_lifetime_option="job", keep_alive=True)
        for bad in (
            PoolInfo(pool_id="p"),
            auto(pool=template(display_name="other")),
            auto(auto_pool_id_prefix="x"),
            auto("jobschedule"),
        ):
            with pytest.raises(InvalidPropertyValue):
                await engine.patch_job(ACCOUNT, "job", JobPatch(pool_info=bad), ANY)
        patch = JobPatch(pool_info=PoolInfo(auto_pool_specification=short))
        await engine.patch_job(ACCOUNT, "job", patch, ANY)
        changed = await record(house)
        assert changed.spec.pool_info == kept(info).pool_info
        assert (changed.pool_id, changed.moved) == (job.pool_id, False)
        await end(house)
        assert len(await all_pools(house)) == 1

    play(scenario)


def test_a_shared_pool_is_kept_or_not_by_its_schedule_alone() -> None:
    async def scenario(house: House) -> None:
        info = auto("jobschedule")
        await schedule(house, info)
        await house.engine.disable_job(ACCOUNT, "s:job-1", "wait", ANY)
        await house.engine.patch_job(ACCOUNT, "s:job-1", kept(info, False), ANY)
        with pytest.raises(InvalidPropertyValue):
            await house.engine.patch_job(ACCOUNT, "s:job-1", kept(info), ANY)

    play(scenario)


def test_a_job_does_not_get_an_auto_pool_later() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        await house.engine.disable_job(ACCOUNT, "job", "wait", ANY)
        with pytest.raises(InvalidPropertyValue):
            await house.engine.patch_job(ACCOUNT, "job", JobPatch(pool_info=auto()), ANY)

    play(scenario)


def test_a_job_and_its_pool_survive_a_crash_together() -> None:
    async def scenario(house: House) -> None:
        await schedule(house, auto("jobschedule"), on_all_tasks_complete="noaction")
        before = await all_pools(house)
        await house.crash()
        await house.host.connect()
        await house.host.settle()
        (pool,) = await all_pools(house)
        assert [pool.id] == [each.id for each in before]
        await house.add("t", job="s:job-1")
        assert list(await house.runs()) == ["t"]
        await house.engine.terminate_schedule(ACCOUNT, "s", ANY, force=True)
        await house.crash()
        await house.host.connect()
        await house.host.settle()
        assert await all_pools(house) == [], "it is let go of after the crash too"
        ended = await house.store.schedule(ACCOUNT, "s")
        assert ended is not None
        assert ended.state is ScheduleState.COMPLETED

    play(scenario)
