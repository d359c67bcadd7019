"""Statistics through the SDK, beside what the commands measured themselves."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.batch import BatchClient
from azure.batch.models import (
    BatchJobScheduleConfiguration,
    BatchJobScheduleCreateOptions,
    BatchJobSpecification,
    BatchPoolInfo,
    BatchTaskConstraints,
    BatchTaskCreateOptions,
    BatchTaskStatistics,
    MultiInstanceSettings,
)

from tests.e2e.harness import Penstock
from tests.e2e.things import (
    add,
    completed,
    delete_pool,
    job_options,
    made_job,
    made_pool,
    nodes_ready,
    pool_options,
    running,
    shell,
    stdout,
    task_options,
    unique,
)
from tests.e2e.waiting import eventually

MEASURES = """
import json, os, sys
burn_s, mib, fails = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] == ["fails"]
block = b"x" * (1 << 20)
with open("big", "wb", buffering=0) as file:
    for _ in range(mib):
        file.write(block)
with open("big", "rb", buffering=0) as file:
    while file.read(1 << 20):
        pass
while os.times().user < burn_s:
    sum(range(10_000))
io = dict(line.split(": ") for line in open("/proc/self/io").read().splitlines())
used = os.times()
print(json.dumps({"user": used.user, "system": used.system,
    **{name: int(io[name]) for name in ("syscr", "syscw", "rchar", "wchar")}}), flush=True)
sys.exit(3 if fails else 0)
"""
SLACK_S = 0.3
"""What starting and ending an interpreter may take beside what it measures of itself."""
GIB = 1 << 30
SUMMED = (
    "user_cpu_time",
    "kernel_cpu_time",
    "wall_clock_time",
    "wait_time",
    "read_iops",
    "write_iops",
)


@pytest.fixture(scope="module")
def measures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of the tasks."""
    file = tmp_path_factory.mktemp("program") / "measures.py"
    file.write_text(MEASURES)
    return file


@pytest.fixture(scope="module")
def three(batch: BatchClient) -> Iterator[str]:
    """A pool of three nodes whose tasks may be several at once."""
    options = pool_options(unique("measured"), nodes=3)
    options.enable_inter_node_communication = True
    with made_pool(batch, options) as pool_id:
        nodes_ready(batch, pool_id, 3)
        yield pool_id


def command(program: Path, burn_s: float = 0.0, mib: int = 0, *more: str) -> str:
    return shlex.join([sys.executable, str(program), str(burn_s), str(mib), *more])


def measured(client: BatchClient, job: str, task: str) -> dict[str, Any]:
    """What the last run of a task found out about itself."""
    found: dict[str, Any] = json.loads(stdout(client, job, task).splitlines()[-1])
    return found


def stats_of(client: BatchClient, job: str, task: str) -> BatchTaskStatistics:
    found = client.get_task(job, task, expand=["stats"]).task_statistics
    assert found is not None
    return found


def seconds(length: timedelta) -> float:
    return length.total_seconds()


def test_a_task_that_burns_time(batch: BatchClient, three: str, measures: Path) -> None:
    with made_job(batch, job_options(unique("burns"), three)) as job:
        add(batch, job, task_options("t", command(measures, 0.5)))
        task = completed(batch, job, "t")
        own, stats = measured(batch, job, "t"), stats_of(batch, job, "t")

        assert own["user"] <= seconds(stats.user_cpu_time) + 0.02
        assert seconds(stats.user_cpu_time) < own["user"] + SLACK_S
        assert own["system"] <= seconds(stats.kernel_cpu_time) + 0.02
        assert seconds(stats.kernel_cpu_time) < own["system"] + SLACK_S
        info = task.execution_info
        assert info is not None
        assert info.start_time is not None
        assert info.end_time is not None
        assert stats.wall_clock_time == info.end_time - info.start_time
        assert stats.wait_time == info.start_time - task.creation_time
        assert (stats.start_time, stats.last_update_time) == (task.creation_time, info.end_time)


def test_a_task_that_writes_and_reads(batch: BatchClient, three: str, measures: Path) -> None:
    with made_job(batch, job_options(unique("copies"), three)) as job:
        add(batch, job, task_options("t", command(measures, 0.0, 64)))
        completed(batch, job, "t")
        own, stats = measured(batch, job, "t"), stats_of(batch, job, "t")

        assert 64 <= own["syscw"] <= stats.write_iops <= own["syscw"] + 10
        assert own["syscr"] <= stats.read_iops <= own["syscr"] + 10
        assert own["wchar"] / GIB <= stats.write_io_gib < 1.1 * 64 / 1024
        assert 64 / 1024 <= own["rchar"] / GIB <= stats.read_io_gib < 2 * 64 / 1024


def test_retries_add_up(batch: BatchClient, three: str, measures: Path) -> None:
    with made_job(batch, job_options(unique("retries"), three)) as job:
        add(batch, job, task_options("t", command(measures, 0.3, 1, "fails"), retries=2))
        task = completed(batch, job, "t")
        stats, found = (
            stats_of(batch, job, "t"),
            batch.get_job(job, expand=["stats"]).job_statistics,
        )

        assert found is not None
        assert 0.9 <= seconds(stats.user_cpu_time) < 0.9 + 3 * SLACK_S
        assert seconds(stats.wall_clock_time) >= 0.9
        assert stats.write_iops >= 3
        info = task.execution_info
        assert info is not None
        assert info.start_time is not None
        assert stats.wait_time == info.start_time - task.creation_time, "to the last run"
        counts = found.succeeded_tasks_count, found.failed_tasks_count, found.task_retries_count
        assert counts == (0, 1, 2)


def test_the_parts_of_a_task_add_up(batch: BatchClient, three: str, measures: Path) -> None:
    with made_job(batch, job_options(unique("parts"), three)) as job:
        task = BatchTaskCreateOptions(
            id="t",
            command_line=command(measures, 0.4),
            constraints=BatchTaskConstraints(max_task_retry_count=0),
            multi_instance_settings=MultiInstanceSettings(
                number_of_instances=3, coordination_command_line=command(measures, 0.3)
            ),
        )
        add(batch, job, task)
        assert completed(batch, job, "t").execution_info is not None
        stats = stats_of(batch, job, "t")

        assert 1.3 <= seconds(stats.user_cpu_time) < 1.3 + 4 * SLACK_S
        assert seconds(stats.wall_clock_time) >= 0.7


def test_what_is_known_of_a_task_that_runs(batch: BatchClient, three: str) -> None:
    with made_job(batch, job_options(unique("runs"), three)) as job:
        add(batch, job, task_options("t", shell("sleep 60")))
        running(batch, job, "t")
        first = stats_of(batch, job, "t").wall_clock_time

        def more() -> timedelta | None:
            now: timedelta = stats_of(batch, job, "t").wall_clock_time
            return now if now > first else None

        later = eventually(more, 5, "time that goes on")
        assert timedelta(0) <= first < later

        batch.terminate_task(job, "t")
        assert stats_of(batch, job, "t").wall_clock_time >= later


def test_statistics_come_only_where_they_are_asked_for(batch: BatchClient, three: str) -> None:
    with made_job(batch, job_options(unique("asked"), three)) as job:
        add(batch, job, task_options("t", "/bin/true"))
        completed(batch, job, "t")
        for thing, listed in (
            (lambda **o: batch.get_task(job, "t", **o), lambda **o: batch.list_tasks(job, **o)),
            (lambda **o: batch.get_job(job, **o), batch.list_jobs),
            (lambda **o: batch.get_pool(three, **o), batch.list_pools),
        ):
            assert "stats" not in thing()
            assert "stats" in thing(expand=["stats"])
            assert "stats" not in thing(expand=["stats"], select=["id"])
            both = set(thing(expand=["stats"], select=["id", "stats"]))
            assert both - {"odata.metadata"} == {"id", "stats"}
            assert all("stats" not in each for each in listed())
            assert all("stats" in each for each in listed(expand=["stats"]))


def test_a_pool_has_core_time_and_samples(batch: BatchClient, three: str) -> None:
    def sampled() -> Any:
        stats = batch.get_pool(three, expand=["stats"]).pool_statistics
        found = stats and stats.resource_statistics
        return stats if found and found.peak_memory_gib else None

    stats = eventually(sampled, 10, "a sample of the machine")

    resources, usage = stats.resource_statistics, stats.usage_statistics
    assert 0 < resources.avg_memory_gib <= resources.peak_memory_gib
    assert 0 < resources.avg_disk_gib <= resources.peak_disk_gib
    assert 0 <= resources.avg_cpu_percentage <= 100
    lived_s = seconds(usage.last_update_time - usage.start_time)
    assert 0 < seconds(usage.dedicated_core_time) <= 6 * lived_s


# --- what stays ----------------------------------------------------------------------------------


def test_totals_outlive_tasks_pools_and_servers(tmp_path: Path, measures: Path) -> None:
    with Penstock(tmp_path / "data") as service:
        batch, pool, schedule = service.client(), unique("pool"), unique("schedule")
        job = f"{schedule}:job-1"
        batch.create_pool(pool_options(pool, nodes=1, slots=2))
        batch.create_job_schedule(
            BatchJobScheduleCreateOptions(
                id=schedule,
                schedule=BatchJobScheduleConfiguration(recurrence_interval=timedelta(days=1)),
                job_specification=BatchJobSpecification(pool_info=BatchPoolInfo(pool_id=pool)),
            )
        )
        add(batch, job, task_options("good", command(measures, 0.2, 1)))
        add(batch, job, task_options("bad", command(measures, 0.2, 1, "fails"), retries=1))
        used = []
        for name in ("good", "bad"):
            completed(batch, job, name)
            used.append(stats_of(batch, job, name))
        sums = {name: getattr(used[0], name) + getattr(used[1], name) for name in SUMMED}
        sums |= {"succeeded_tasks_count": 1, "failed_tasks_count": 1, "task_retries_count": 1}

        batch.delete_task(job, "good")
        assert _totals(batch, job, schedule) == [sums, sums]
        service.kill()
        service.start()
        batch = service.client()
        assert _totals(batch, job, schedule) == [sums, sums]

        of_pool = batch.get_pool(pool, expand=["stats"]).pool_statistics
        assert of_pool is not None
        assert of_pool.usage_statistics is not None
        core_s = seconds(of_pool.usage_statistics.dedicated_core_time)
        assert core_s > 0
        _usage_of(batch, pool, core_s)
        delete_pool(batch, pool)
        _usage_of(batch, pool, core_s)


def _totals(batch: BatchClient, job: str, schedule: str) -> list[dict[str, Any]]:
    """What a job and its schedule have used, as far as it adds up."""
    of_job = batch.get_job(job, expand=["stats"]).job_statistics
    of_schedule = batch.get_job_schedule(schedule, expand=["stats"]).job_schedule_statistics
    names = (*SUMMED, "succeeded_tasks_count", "failed_tasks_count", "task_retries_count")
    return [{name: getattr(found, name) for name in names} for found in (of_job, of_schedule)]


def _usage_of(batch: BatchClient, pool: str, core_s: float) -> None:
    """The core hours of a pool are there, for the last interval and for a range."""
    now = datetime.now(UTC)
    wanted = f"poolId eq '{pool}'"
    hours = sum(
        each.total_core_hours
        for each in batch.list_pool_usage_metrics(
            start_time=now - timedelta(hours=1), end_time=now, filter=wanted
        )
    )
    assert core_s / 3600 <= hours < core_s / 3600 + 1
    last = list(batch.list_pool_usage_metrics(filter=wanted))
    assert [each.pool_id for each in last] == [pool]
    assert last[0].vm_size == "standard_d2s_v3"
    assert last[0].end_time - last[0].start_time == timedelta(minutes=30)
    assert last[0].start_time <= now
