"""What the engine keeps of usage: of tasks, jobs, schedules, pools and accounts."""

from __future__ import annotations

from penstock.domain.conditions import ANY
from penstock.domain.metering import INTERVAL_US, KEPT_US, Cores, Sample
from penstock.domain.queries import UsageQuery
from penstock.domain.records import NodeWork, Removal
from penstock.domain.specs.common import TaskConstraints
from penstock.domain.specs.job import JobTemplate, PoolInfo
from penstock.domain.specs.pool import NodeRemoval, Resize
from penstock.domain.specs.schedule import JobScheduleSpec, Schedule
from penstock.domain.specs.special import JobPreparationTask
from penstock.domain.states import TaskState
from penstock.domain.usage import Totals, Usage
from penstock.messages import Heartbeat, KillTask, TaskCoordinated
from tests.records import ACCOUNT, NOW_US
from tests.unit.engine.house import House, play
from tests.unit.engine.test_gangs import add_gang, gang_pool

SECOND_US = 1_000_000
CORES = 4  # of the size that the house's pools have
USED = Usage(user_us=10, kernel_us=20, reads=3, writes=4, read_bytes=50, written_bytes=60)
SAMPLE = Sample(10.0, 1000, 2000, 1, 2, 3, 4, 5, 6)


async def totals(house: House, name: str = "job") -> Totals:
    job = await house.job_record(name)
    assert job is not None
    return (await house.store.totals([job.no])).get(job.no, Totals())


async def used(house: House, name: str) -> Usage:
    found = (await house.task(name)).usage
    assert found is not None
    return found


async def run(house: House, name: str, exit_code: int = 0, seconds: float = 5) -> None:
    """Let a task that was placed end after so long."""
    order = (await house.runs())[name]
    house.elapse(seconds)
    await house.host.end(order, exit_code, usage=USED)


# --- tasks and jobs ------------------------------------------------------------------------------


def test_a_task_has_what_its_run_used() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        await house.add("t")
        assert (await house.task("t")).usage is None
        house.elapse(2)
        await house.pool()
        await run(house, "t")
        whole = USED + Usage(wall_us=5 * SECOND_US, wait_us=2 * SECOND_US)
        assert await used(house, "t") == whole
        assert await totals(house) == Totals(whole, succeeded=1, changed_us=house.now_us)

    play(scenario)


def test_runs_add_up_and_the_wait_ends_with_the_last_start() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t", constraints=TaskConstraints(max_task_retry_count=1))
        await run(house, "t", 1, seconds=3)
        house.elapse(0)
        await run(house, "t", 1, seconds=4)
        whole = await used(house, "t")
        assert whole == USED + USED + Usage(wall_us=7 * SECOND_US, wait_us=3 * SECOND_US)
        found = await totals(house)
        assert (found.usage, found.failed, found.retries) == (whole, 1, 1)

        house.elapse(100)
        await house.engine.reactivate_task(ACCOUNT, "job", "t", ANY)
        assert (await totals(house)).failed == 0
        await run(house, "t", seconds=1)
        more = USED + Usage(wall_us=SECOND_US)
        assert await used(house, "t") == whole + more, "it did not wait while it was completed"
        found = await totals(house)
        assert (found.succeeded, found.failed, found.retries) == (1, 0, 1)

    play(scenario)


def test_the_preparation_of_a_node_is_part_of_the_wait() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job(job_preparation_task=JobPreparationTask(command_line="before"))
        await house.add("t")
        for exit_code in (1, 0):
            (prepares,) = [r for r in (await house.runs()).values() if r.task_id != "t"]
            house.elapse(3)
            await house.host.end(prepares, exit_code, usage=USED)
            if exit_code:
                assert await used(house, "t") == Usage(wait_us=3 * SECOND_US)
                node = (await house.nodes())[0]
                house.elapse(4)
                await house.engine.work_on_node(
                    ACCOUNT, "pool", node.id, NodeWork.REBOOT, Removal.REQUEUE
                )
                await house.host.settle()
        await run(house, "t", seconds=1)
        waited = Usage(wall_us=SECOND_US, wait_us=(3 + 4 + 3) * SECOND_US)
        assert await used(house, "t") == USED + waited, "special tasks do not count"
        assert (await totals(house)).usage == USED + waited

    play(scenario)


def test_a_host_that_measures_nothing_tells_the_time_all_the_same() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t")
        order = (await house.runs())["t"]
        house.elapse(5)
        await house.host.end(order)
        assert await used(house, "t") == Usage(wall_us=5 * SECOND_US)

    play(scenario)


def test_a_report_that_is_repeated_counts_once() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t")
        order = (await house.runs())["t"]
        house.elapse(5)
        for _ in range(2):
            await house.host.end(order, usage=USED)
        assert (await totals(house)).usage == USED + Usage(wall_us=5 * SECOND_US)

    play(scenario)


def test_what_a_killed_run_used_counts_though_it_runs_again() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t")
        await house.runs()
        house.elapse(5)
        await house.engine.disable_job(ACCOUNT, "job", "requeue", ANY)
        (kill,) = house.host.take(KillTask)
        await house.host.end(kill, None, killed=True, usage=USED)
        task = await house.task("t")
        assert task.state is TaskState.ACTIVE
        both = Usage(wall_us=5 * SECOND_US, wait_us=5 * SECOND_US)
        assert task.usage == USED + both

    play(scenario)


def test_a_job_keeps_what_deleted_tasks_used_and_so_does_the_account() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("done", "runs")
        orders = await house.runs()
        house.elapse(5)
        await house.host.end(orders["done"], usage=USED)
        await house.engine.delete_task(ACCOUNT, "job", "done", ANY)
        await house.engine.delete_task(ACCOUNT, "job", "runs", ANY)
        await house.host.end(orders["runs"], None, killed=True, usage=USED)
        await house.host.settle()
        whole = USED + USED + Usage(wall_us=10 * SECOND_US)
        assert (await totals(house)).usage == whole

        await house.crash()
        await house.host.connect()
        assert (await totals(house)).usage == whole
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=True)
        assert not house.store.all_totals
        lifetime = await house.store.lifetime(ACCOUNT)
        assert lifetime is not None
        assert lifetime.since_us == NOW_US
        assert lifetime.jobs.usage == whole
        assert lifetime.jobs.succeeded == 1, "what was deleted while it ran had no end"

    play(scenario)


def test_the_parts_of_a_task_add_up_but_not_their_clocks() -> None:
    async def scenario(house: House) -> None:
        await gang_pool(house, 2)
        await house.job()
        await add_gang(house, instances=2)
        parts = await house.told("t")
        house.elapse(2)
        for part in parts:
            told = TaskCoordinated(
                report=house.host.number(),
                task_no=part.task_no,
                attempt=part.attempt,
                at_us=house.now_us,
            )
            await house.host.report(told)
        (command,) = await house.told("t")
        house.elapse(3)
        await house.host.end(command, usage=USED)
        for kill in house.host.take(KillTask):
            await house.host.end(kill, None, killed=True, usage=USED)
        task = await house.task("t")
        assert task.state is TaskState.COMPLETED
        assert task.usage == USED + USED + USED + Usage(wall_us=5 * SECOND_US)
        assert (await totals(house)).usage == task.usage

    play(scenario)


def test_a_schedule_has_what_all_its_jobs_used() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        spec = JobScheduleSpec(
            id="s",
            schedule=Schedule(),
            job_specification=JobTemplate(pool_info=PoolInfo(pool_id="pool")),
        )
        schedule = await house.engine.add_schedule(ACCOUNT, spec)
        await house.add("t", job="s:job-1")
        await run(house, "t", 1)
        of_job = await totals(house, "s:job-1")
        assert of_job.failed == 1
        assert (await house.store.totals([schedule.no]))[schedule.no] == of_job
        await house.engine.delete_job(ACCOUNT, "s:job-1", ANY, force=True)
        assert (await house.store.totals([schedule.no]))[schedule.no] == of_job
        await house.engine.delete_schedule(ACCOUNT, "s", ANY, force=True)
        assert not house.store.all_totals

    play(scenario)


# --- pools ---------------------------------------------------------------------------------------


def test_core_time_counts_from_a_node_s_coming_to_its_going() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2)
        pool = await house.pool_record()
        assert pool is not None
        house.elapse(10)
        node = (await house.nodes())[0]
        removal = NodeRemoval(node_list=[node.id])
        await house.engine.remove_nodes(ACCOUNT, "pool", removal, ANY)
        await house.host.settle()
        house.elapse(5)
        meter = (await house.store.meters([pool.no]))[pool.no]
        assert meter.cores == Cores(dedicated=CORES)
        assert meter.at(house.now_us)[0].dedicated_s == (2 * 10 + 5) * CORES

    play(scenario)


def test_usage_is_told_by_half_hours_and_outlives_the_pool() -> None:
    async def scenario(house: House) -> None:
        house.now_us = NOW_US - NOW_US % INTERVAL_US + 600 * SECOND_US  # ten past
        await house.pool(nodes=1)
        assert await spans(house) == []
        house.elapse(3 * 3600)
        await house.engine.resize_pool(ACCOUNT, "pool", Resize(target_low_priority_nodes=1), ANY)
        await house.host.settle()
        first_us = house.now_us - house.now_us % INTERVAL_US - 6 * INTERVAL_US
        assert await spans(house) == [
            (first_us, 1, 1200.0 * CORES),
            (first_us + INTERVAL_US, 5, 5 * 1800.0 * CORES),
        ]
        house.elapse(60)
        await house.engine.delete_pool(ACCOUNT, "pool", ANY)
        await house.host.settle()
        last = (first_us + 6 * INTERVAL_US, 1, (600.0 + 2 * 60) * CORES)
        assert (await spans(house))[2:] == [last]
        assert not house.store.all_meters
        lifetime = await house.store.lifetime(ACCOUNT)
        assert lifetime is not None
        assert lifetime.dedicated_s == (3 * 3600 + 60) * CORES, "low priority is not dedicated"

        await house.advance(KEPT_US / SECOND_US + 2 * 1800)
        await house.engine.sweep()
        assert await spans(house) == []

    play(scenario)


async def spans(house: House) -> list[tuple[int, int, float]]:
    """Where each span begins, its intervals, and its core time."""
    query = UsageQuery(from_us=0, until_us=2**62)
    return [
        (span.start_us, (span.end_us - span.start_us) // INTERVAL_US, span.core_s)
        for span in await house.store.pool_usage(ACCOUNT, query)
    ]


def test_samples_count_for_each_pool_with_nodes_on_the_host() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=3)
        await house.pool(nodes=1, name="other")
        await house.host.report(Heartbeat(sample=SAMPLE))
        twice = Sample(40.0, 3000, 1000, 10, 20, 30, 40, 50, 60)
        house.elapse(30)
        await house.host.report(Heartbeat(sample=twice), Heartbeat())
        for name, nodes in (("pool", 3), ("other", 1)):
            pool = await house.pool_record(name)
            assert pool is not None
            found = (await house.store.meters([pool.no]))[pool.no].resources
            assert (found.since_us, found.changed_us) == (NOW_US, house.now_us)
            assert found.weight == 2 * nodes
            assert found.cpu / found.weight == 25.0
            assert found.memory / found.weight == 2000.0
            assert (found.most_memory, found.most_disk) == (3000, 2000)
            assert (found.disk_reads, found.sent_bytes) == (11, 66), "a machine works once"

    play(scenario)


def test_a_pool_that_an_older_release_made_is_metered_from_now_on() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=1)
        house.store.all_meters.clear()
        await house.crash()
        await house.host.connect()
        (meter,) = house.store.all_meters.values()
        assert (meter.since_us, meter.cores) == (house.now_us, Cores(dedicated=CORES))

    play(scenario)
