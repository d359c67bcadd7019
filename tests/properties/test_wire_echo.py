"""Any right body is shown again with defaults, and what was shown makes the same thing again."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.bodies import JOB, SCHEDULE, TASK, disagreements
from tests.wire.whole import Whole, play

NEEDED = frozenset(
    [
        "id",
        "commandLine",
        "poolInfo",
        "poolId",
        "imageName",
        "resourceId",
        "subnetId",
        "name",
        "filePattern",
        "destination",
        "container",
        "containerUrl",
        "uploadOptions",
        "uploadCondition",
        "code",
        "start",
        "end",
        "exitOptions",
        "affinityId",
        "coordinationCommandLine",
        "schedule",
        "jobSpecification",
        "httpUrl",
        "filePath",
        "storageContainerUrl",
        "autoUser",
        "username",
    ]
)
"""Properties that have to be there where what they are part of is there."""

SPELLED = frozenset(
    [
        "workingDirectory",
        "source",
        "uploadCondition",
        "scope",
        "elevationLevel",
        "jobAction",
        "dependencyAction",
        "onAllTasksComplete",
        "onTaskFailure",
    ]
)
"""Properties that are one of some words."""

OWN = {"odata.metadata", "url", "eTag", "lastModified", "creationTime", "state"}
OWN |= {"stateTransitionTime", "executionInfo", "id"}


@st.composite
def some_of(draw: st.DrawFn, part: Any, name: str = "") -> Any:
    """A body with some of its properties left out or null, and its words in any case."""
    if isinstance(part, dict):
        kept: dict[str, Any] = {}
        for inner, value in part.items():
            choice = 2 if inner in NEEDED else draw(st.integers(0, 9))
            if choice == 1:
                kept[inner] = None
            elif choice:
                kept[inner] = draw(some_of(value, inner))
        return kept
    if isinstance(part, list):
        return [draw(some_of(item)) for item in part if draw(st.booleans())]
    if name in SPELLED:
        return draw(st.sampled_from([part, part.lower(), part.upper()]))
    return part


def released(template: dict[str, Any]) -> dict[str, Any]:
    """A release task needs a preparation task."""
    if template.get("jobPreparationTask") is None:
        template.pop("jobReleaseTask", None)
    return template


def own(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if name not in OWN}


async def echoes(whole: Whole, target: str, body: dict[str, Any]) -> None:
    """What was sent is shown, and what was shown is shown again when it is sent."""
    await whole.done("POST", target, body)
    shown = await whole.shown(f"{target}/{body['id']}")
    assert disagreements(body, shown) == []
    await whole.done("POST", target, {**shown, "id": "again"})
    assert own(await whole.shown(f"{target}/again")) == own(shown)


@settings(max_examples=100, deadline=None)
@given(some_of(TASK))
def test_any_task(body: dict[str, Any]) -> None:
    async def scene(whole: Whole) -> None:
        await whole.done("POST", "/jobs", {**JOB, "id": "j"})
        await echoes(whole, "/jobs/j/tasks", body)

    play(scene)


@settings(max_examples=100, deadline=None)
@given(some_of(JOB).map(released))
def test_any_job(body: dict[str, Any]) -> None:
    async def scene(whole: Whole) -> None:
        await echoes(whole, "/jobs", body)

    play(scene)


@settings(max_examples=60, deadline=None)
@given(some_of(SCHEDULE))
def test_any_schedule(body: dict[str, Any]) -> None:
    released(body["jobSpecification"])

    async def scene(whole: Whole) -> None:
        await echoes(whole, "/jobschedules", body)

    play(scene)
