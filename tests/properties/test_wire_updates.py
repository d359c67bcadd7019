"""PATCH changes what it names, PUT everything that it may, and both are shown afterwards."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.bodies import SUBNET, disagreements
from tests.wire.whole import Whole, play

INFINITE = "P10675199DT2H48M5.4775807S"
POOL = {"poolId": "Pool"}


def cased(*words: str) -> st.SearchStrategy[str]:
    """Words in any case."""
    return st.sampled_from(words).flatmap(
        lambda word: st.sampled_from([word, word.lower(), word.upper(), word.title()])
    )


def number(least: int, most: int) -> st.SearchStrategy[Any]:
    """A number, or the text of one."""
    return st.integers(least, most).flatmap(lambda value: st.sampled_from([value, str(value)]))


def maybe(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with some of these parts, of which each may be null."""
    return st.fixed_dictionaries(
        {}, optional={name: st.none() | part for name, part in parts.items()}
    )


durations = st.sampled_from(["PT1S", "PT01H00M00S", "P1DT2H", "PT0.5S", "P7D", INFINITE])
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
names = texts.filter(bool)
metadata = st.lists(
    st.fixed_dictionaries({"name": names}, optional={"value": st.none() | texts}), max_size=3
)
job_constraints = maybe(maxWallClockTime=durations, maxTaskRetryCount=number(-1, 2**31 - 1))
parallel = number(1, 2**31 - 1) | st.sampled_from([-1, "-1"])
job_updates = maybe(
    priority=number(-1000, 1000),
    maxParallelTasks=parallel,
    allowTaskPreemption=st.booleans() | cased("true", "false"),
    onAllTasksComplete=cased("noAction"),
    constraints=job_constraints,
    metadata=metadata,
    poolInfo=st.just(POOL),
    networkConfiguration=st.fixed_dictionaries(
        {"subnetId": st.just(SUBNET)}, optional={"skipWithdrawFromVNet": st.booleans()}
    ),
)
schedules = maybe(
    doNotRunUntil=st.just("2030-01-01T00:00:00Z"),
    doNotRunAfter=st.sampled_from(["2031-01-01T00:00:00+02:00", "2040-01-01T00:00:00Z"]),
    startWindow=st.sampled_from(["PT1M", "P1D"]),
    recurrenceInterval=st.sampled_from(["PT60S", "P7D"]),
)
templates = job_updates.map(lambda parts: {**parts, "poolInfo": POOL})
schedule_updates = maybe(schedule=schedules, jobSpecification=templates, metadata=metadata)
task_constraints = maybe(
    maxWallClockTime=durations,
    retentionTime=durations | st.just("PT0S"),
    maxTaskRetryCount=number(-1, 2**31 - 1),
)

JOB_DEFAULTS: dict[str, Any] = {
    "priority": 0,
    "maxParallelTasks": -1,
    "allowTaskPreemption": False,
    "onAllTasksComplete": "noaction",
    "constraints": {"maxWallClockTime": INFINITE, "maxTaskRetryCount": 0},
}
FULL_JOB = {
    "id": "Job",
    "displayName": "stays",
    "poolInfo": POOL,
    "priority": 7,
    "maxParallelTasks": 8,
    "allowTaskPreemption": True,
    "constraints": {"maxWallClockTime": "P9D", "maxTaskRetryCount": 9},
    "metadata": [{"name": "old", "value": "old"}],
    "networkConfiguration": {"subnetId": SUBNET, "skipWithdrawFromVNet": True},
    "usesTaskDependencies": True,
}
NEVER = {"eTag", "lastModified"}


def given_parts(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def constrained(value: dict[str, Any] | None) -> dict[str, Any]:
    """Constraints are replaced as a whole."""
    return {**JOB_DEFAULTS["constraints"], **given_parts(value or {})}


def compare(sent: dict[str, Any], shown: dict[str, Any]) -> None:
    assert disagreements(sent, shown) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(job_updates, min_size=1, max_size=3))
def test_patching_a_job(patches: list[dict[str, Any]]) -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", FULL_JOB)
        for patch in patches:
            before = await whole.shown("/jobs/Job")
            answer = await whole.done("PATCH", "/jobs/Job", patch)
            after = await whole.shown("/jobs/Job")
            assert after["eTag"] == answer.headers["etag"] != before["eTag"]
            expected = given_parts(patch)
            if "constraints" in expected:
                expected["constraints"] = constrained(expected["constraints"])
            compare(expected, after)
            untouched = before.keys() - expected.keys() - NEVER
            assert {name: after[name] for name in untouched} == {
                name: before[name] for name in untouched
            }

    play(scene)


@settings(max_examples=60, deadline=None)
@given(job_updates)
def test_putting_a_job(new: dict[str, Any]) -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", FULL_JOB)
        await whole.done("PUT", "/jobs/Job", {**new, "poolInfo": POOL})
        shown = await whole.shown("/jobs/Job")
        parts = given_parts(new)
        expected = {**FULL_JOB, "metadata": None, **JOB_DEFAULTS, **parts}
        expected["constraints"] = constrained(parts.get("constraints"))
        compare(expected, shown)
        if "metadata" not in parts:
            assert not shown.get("metadata")
        again = await whole.shown("/jobs/Job")
        await whole.done("PUT", "/jobs/Job", again)
        assert own(await whole.shown("/jobs/Job")) == own(again), "what was shown changes nothing"

    play(scene)


def own(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if name not in NEVER}


@settings(max_examples=50, deadline=None)
@given(schedule_updates, st.booleans())
def test_changing_a_schedule(new: dict[str, Any], whole_of_it: bool) -> None:
    old = {
        "id": "Often",
        "schedule": {"doNotRunUntil": "2029-01-01T00:00:00Z", "startWindow": "PT5M"},
        "jobSpecification": {"poolInfo": POOL, "priority": 7, "displayName": "old"},
        "metadata": [{"name": "old", "value": "old"}],
    }

    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobschedules", old)
        before = await whole.shown("/jobschedules/Often")
        parts = given_parts(new)
        if whole_of_it:
            parts.setdefault("schedule", {})
            parts.setdefault("jobSpecification", {"poolInfo": POOL})
        await whole.done("PUT" if whole_of_it else "PATCH", "/jobschedules/Often", parts)
        shown = await whole.shown("/jobschedules/Often")
        compare(parts, shown)
        if "schedule" in parts:
            assert set(shown["schedule"]) == set(given_parts(parts["schedule"])), "as a whole"
        if "jobSpecification" in parts:
            asked = parts["jobSpecification"].get("priority")
            assert shown["jobSpecification"]["priority"] == int(asked or 0)
            assert "displayName" not in shown["jobSpecification"]
        for name in old.keys() - parts.keys():
            if whole_of_it and name == "metadata":
                assert not shown.get(name)
            else:
                assert shown[name] == before[name]

    play(scene)


@settings(max_examples=50, deadline=None)
@given(st.none() | task_constraints)
def test_putting_the_constraints_of_a_task(constraints: dict[str, Any] | None) -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", {**FULL_JOB})
        task = {"id": "t", "commandLine": "x", "constraints": {"retentionTime": "PT3H"}}
        await whole.done("POST", "/jobs/Job/tasks", task)
        assert (await whole.shown("/jobs/Job/tasks/t"))["constraints"]["maxTaskRetryCount"] == 9
        before = await whole.shown("/jobs/Job/tasks/t")
        await whole.done("PUT", "/jobs/Job/tasks/t", {"constraints": constraints})
        after = await whole.shown("/jobs/Job/tasks/t")
        defaults = {"maxWallClockTime": INFINITE, "retentionTime": "P7D", "maxTaskRetryCount": 9}
        compare({**defaults, **given_parts(constraints or {})}, after["constraints"])
        assert {**own(before), "constraints": 0} == {**own(after), "constraints": 0}

    play(scene)


def test_what_is_compared_knows_a_difference() -> None:
    assert disagreements({"a": [{"b": "PT1H"}]}, {"a": [{"b": "PT2H"}]})
    assert not disagreements({"a": "PT60M", "b": "5"}, {"a": "PT1H", "b": 5})
    assert disagreements({"password": "x"}, {"password": "x"})
