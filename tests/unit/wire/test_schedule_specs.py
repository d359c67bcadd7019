"""The rules of job schedules and auto pools: defaults, spellings, ranges."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.agent.layout import task_directory as directory_on_node
from penstock.domain.refusals import InvalidApplicationPackageReferences, MissingRequiredProperty
from penstock.wire.shown import task_directory
from penstock.wire.specs.jobs import job_from_wire, job_patch_from_wire, job_update_from_wire
from penstock.wire.specs.schedules import (
    schedule_from_wire,
    schedule_patch_from_wire,
    schedule_update_from_wire,
)
from tests.unit.wire.test_specs import INFINITE, JOB, MACHINE, put, read, refused

TEMPLATE = {"vmSize": "Standard_D2s_v3", "virtualMachineConfiguration": MACHINE}
AUTO = {
    "id": "j",
    "poolInfo": {"autoPoolSpecification": {"poolLifetimeOption": "Job", "pool": TEMPLATE}},
}
SCHEDULE: dict[str, Any] = {
    "id": "s",
    "schedule": {},
    "jobSpecification": {"poolInfo": {"poolId": "p"}},
}
OF_SCHEDULE = put(
    SCHEDULE,
    "jobSpecification.poolInfo",
    {"autoPoolSpecification": {"poolLifetimeOption": "jobSchedule", "pool": TEMPLATE}},
)


def test_a_schedule_has_the_defaults_of_its_jobs() -> None:
    assert read(schedule_from_wire, SCHEDULE) == {
        "id": "s",
        "schedule": {},
        "jobSpecification": {
            "poolInfo": {"poolId": "p"},
            "usesTaskDependencies": False,
            "priority": 0,
            "allowTaskPreemption": False,
            "maxParallelTasks": -1,
            "constraints": {"maxWallClockTime": INFINITE, "maxTaskRetryCount": 0},
            "onAllTasksComplete": "noaction",
            "onTaskFailure": "noaction",
        },
    }


def test_times_are_given_back_as_the_protocol_writes_them() -> None:
    times = {
        "doNotRunUntil": "2024-01-31 08:00+02:00",
        "doNotRunAfter": "2024-02-01T08:00:00.5Z",
        "startWindow": "PT60S",
        "recurrenceInterval": "P1DT0H",
    }
    assert read(schedule_from_wire, put(SCHEDULE, "schedule", times))["schedule"] == {
        "doNotRunUntil": "2024-01-31T06:00:00.0000000Z",
        "doNotRunAfter": "2024-02-01T08:00:00.5000000Z",
        "startWindow": "PT1M",
        "recurrenceInterval": "P1D",
    }


BAD_SCHEDULES: list[tuple[str, Any, str]] = [
    ("id", "sched:1", "id"),
    ("id", "", "id"),
    ("displayName", "x" * 1025, "displayName"),
    ("schedule", ..., "schedule"),
    ("jobSpecification", ..., "jobSpecification"),
    ("schedule.startWindow", "PT59S", "schedule.startWindow"),
    ("schedule.startWindow", "-PT1H", "schedule.startWindow"),
    ("schedule.recurrenceInterval", "PT59.9S", "schedule.recurrenceInterval"),
    ("schedule.recurrenceInterval", "daily", "schedule.recurrenceInterval"),
    ("schedule.doNotRunUntil", "tomorrow", "schedule.doNotRunUntil"),
    ("schedule.doNotRunUntil", "0001-01-01T00:00:00+23:00", "schedule.doNotRunUntil"),
    ("schedule.doNotRunAfter", "2024-13-01T00:00:00Z", "schedule.doNotRunAfter"),
    (
        "schedule",
        {"doNotRunUntil": "2024-01-01T00:00:00Z", "doNotRunAfter": "2024-01-01T00:00:00Z"},
        "schedule.doNotRunAfter",
    ),
    ("jobSpecification.poolInfo", ..., "jobSpecification.poolInfo"),
    ("jobSpecification.poolInfo", {}, "jobSpecification.poolInfo.poolId"),
    ("jobSpecification.priority", 1001, "jobSpecification.priority"),
    ("jobSpecification.displayName", "x" * 1025, "jobSpecification.displayName"),
    ("jobSpecification.metadata", [{"name": ""}], "jobSpecification.metadata[0].name"),
    ("metadata", [{"name": ""}], "metadata[0].name"),
]


@pytest.mark.parametrize(("path", "value", "name"), BAD_SCHEDULES)
def test_a_bad_schedule(path: str, value: Any, name: str) -> None:
    body = put(SCHEDULE, path, value)
    assert refused(schedule_from_wire, body).values["PropertyName"] == name


@pytest.mark.parametrize(("path", "value", "name"), BAD_SCHEDULES)
def test_a_bad_update_of_a_schedule(path: str, value: Any, name: str) -> None:
    if path in ("id", "displayName"):
        return  # these are no part of an update
    refusal = refused(schedule_update_from_wire, put(SCHEDULE, path, value))
    assert refusal.values["PropertyName"] == name


def test_a_patch_of_a_schedule_may_be_of_any_part() -> None:
    assert read(schedule_patch_from_wire, {}) == {}
    assert read(schedule_patch_from_wire, {"schedule": {}}) == {"schedule": {}}
    assert read(schedule_patch_from_wire, {"metadata": []}) == {"metadata": []}
    patch = schedule_patch_from_wire(b'{"jobSpecification": {"poolInfo": {"poolId": "q"}}}')
    assert patch.job_specification is not None
    assert patch.job_specification.priority == 0, "a new specification is a whole one"


def test_an_auto_pool_has_the_defaults_of_a_pool() -> None:
    auto = read(job_from_wire, AUTO)["poolInfo"]["autoPoolSpecification"]

    assert (auto["poolLifetimeOption"], auto["keepAlive"]) == ("job", False)
    assert auto["pool"]["vmSize"] == "standard_d2s_v3"
    assert auto["pool"]["taskSlotsPerNode"] == 1
    assert auto["pool"]["resizeTimeout"] == "PT15M"


_POOL = "poolInfo.autoPoolSpecification"
BAD_AUTO_POOLS: list[tuple[str, Any, str]] = [
    ("poolLifetimeOption", ..., "poolLifetimeOption"),
    ("poolLifetimeOption", "forever", "poolLifetimeOption"),
    ("autoPoolIdPrefix", "x" * 21, "autoPoolIdPrefix"),
    ("autoPoolIdPrefix", "a b", "autoPoolIdPrefix"),
    ("pool", ..., "pool"),
    ("pool.vmSize", ..., "pool.vmSize"),
    ("pool.vmSize", "huge", "pool.vmSize"),
    ("pool.virtualMachineConfiguration", ..., "pool.virtualMachineConfiguration"),
    ("pool.targetDedicatedNodes", -1, "pool.targetDedicatedNodes"),
    ("pool.taskSlotsPerNode", 9, "pool.taskSlotsPerNode"),
    ("pool.startTask", {"commandLine": ""}, "pool.startTask.commandLine"),
    ("pool.metadata", [{"name": ""}], "pool.metadata[0].name"),
    ("pool.enableAutoScale", True, "pool.autoScaleFormula"),
]


@pytest.mark.parametrize(("path", "value", "name"), BAD_AUTO_POOLS)
def test_a_bad_auto_pool_is_named_by_its_whole_path(path: str, value: Any, name: str) -> None:
    body = put(AUTO, f"{_POOL}.{path}", value)
    assert refused(job_from_wire, body).values["PropertyName"] == f"{_POOL}.{name}"
    body = put(OF_SCHEDULE, f"jobSpecification.{_POOL}.{path}", value)
    refusal = refused(schedule_from_wire, body)
    assert refusal.values["PropertyName"] == f"jobSpecification.{_POOL}.{name}"


def test_packages_of_an_auto_pool_that_are_not_there() -> None:
    packages = [{"applicationId": "blender"}]
    body = put(AUTO, f"{_POOL}.pool.applicationPackageReferences", packages)
    refusal = refused(job_from_wire, body)

    assert isinstance(refusal, InvalidApplicationPackageReferences)
    assert refusal.values["PropertyName"].startswith(f"{_POOL}.pool.applicationPackage")


def test_only_jobs_of_a_schedule_share_a_pool() -> None:
    shared = put(AUTO, f"{_POOL}.poolLifetimeOption", "jobSchedule")

    refusal = refused(job_from_wire, shared)
    assert refusal.values["PropertyName"] == f"{_POOL}.poolLifetimeOption"
    assert read(schedule_from_wire, OF_SCHEDULE)
    assert read(job_patch_from_wire, {"poolInfo": shared["poolInfo"]}), "it may be one's own"


def test_an_update_needs_only_what_changes_of_an_auto_pool() -> None:
    body = {"poolInfo": {"autoPoolSpecification": {"poolLifetimeOption": "job", "keepAlive": True}}}
    assert read(job_patch_from_wire, body) == body
    assert isinstance(refused(job_patch_from_wire, {"poolInfo": {}}), MissingRequiredProperty)
    body = put(AUTO, f"{_POOL}.pool.vmSize", "huge")
    refusal = refused(job_update_from_wire, body)
    assert refusal.values["PropertyName"] == f"{_POOL}.pool.vmSize"


def test_a_pool_has_one_description() -> None:
    both = put(AUTO, "poolInfo.poolId", "p")
    assert refused(job_from_wire, both).values["PropertyName"] == _POOL
    assert read(job_from_wire, JOB)


@pytest.mark.parametrize("job", ["job", "s:job-1", "a_b-c:job-120"])
def test_directories_are_where_nodes_have_them(job: str) -> None:
    assert task_directory(job, "t") == directory_on_node(job, "t")
