"""Tasks that cannot be run as they were described fail on their node, before their command."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.conditions import ANY
from penstock.domain.records import Failure
from penstock.domain.specs.accounts import UserAccount
from penstock.domain.specs.common import AutoUser, ContainerSettings, UserIdentity
from penstock.domain.specs.pool import StartTask
from penstock.domain.specs.special import JobManagerTask, JobPreparationTask, JobReleaseTask
from penstock.domain.specs.task import MultiInstanceSettings
from penstock.messages import MakeNode, RunTask
from tests.records import ACCOUNT
from tests.unit.engine.house import House, play

INSIDE = ContainerSettings(image_name="busybox")
NOBODY = UserIdentity(username="nobody-knows")
ME = UserIdentity(username="me")
ACCOUNTS = [UserAccount(name="me", password="secret", elevation_level="nonadmin")]


def code(failure: Failure | None) -> str:
    return failure.code if failure else ""


async def told(house: House, **spec: Any) -> RunTask:
    """What the host is told of a task."""
    await house.pool(user_accounts=ACCOUNTS)
    await house.job()
    await house.add("t", **spec)
    return (await house.runs())["t"]


@pytest.mark.parametrize(
    ("spec", "as_processes", "expected"),
    [
        ({}, False, ""),
        ({"user_identity": UserIdentity(auto_user=AutoUser(scope="pool"))}, False, ""),
        ({"container_settings": INSIDE}, False, "ContainerInvalidSettings"),
        ({"container_settings": INSIDE}, True, ""),
        ({"user_identity": ME}, False, ""),
        ({"user_identity": NOBODY}, False, "CommandLaunchFailed"),
        ({"container_settings": INSIDE, "user_identity": NOBODY}, True, "CommandLaunchFailed"),
    ],
)
def test_what_a_host_is_told(spec: dict[str, Any], as_processes: bool, expected: str) -> None:
    async def scenario(house: House) -> None:
        assert code((await told(house, **spec)).refused) == expected

    play(scenario, containers_as_processes=as_processes)


def test_a_failure_names_the_image_and_the_setting() -> None:
    async def scenario(house: House) -> None:
        failure = (await told(house, container_settings=INSIDE)).refused
        assert failure is not None
        assert failure.category == "usererror"
        assert "busybox" in failure.details[0].value
        assert 'container_tasks = "host"' in failure.details[0].value

    play(scenario)


def test_an_image_s_own_command_is_not_known() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job(
            job_manager_task=JobManagerTask(
                id="m", command_line=" ", container_settings=INSIDE, run_exclusive=False
            )
        )
        refused = (await house.runs())["m"].refused
        assert code(refused) == "ContainerInvalidSettings"
        assert refused is not None
        assert "command line" in refused.details[0].value

    play(scenario, containers_as_processes=True)


def test_the_special_tasks_of_a_job() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job(
            job_preparation_task=JobPreparationTask(
                command_line="true", container_settings=INSIDE, wait_for_success=False
            ),
            job_release_task=JobReleaseTask(command_line="true", user_identity=NOBODY),
        )
        await house.add("t")
        runs = await house.runs()
        assert code(runs["jobpreparation"].refused) == "ContainerInvalidSettings"
        assert runs["t"].refused is None
        await house.host.end(runs["t"])
        await house.host.end(runs["jobpreparation"], None, runs["jobpreparation"].refused)
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=False)
        assert code((await house.runs())["jobrelease"].refused) == "CommandLaunchFailed"

    play(scenario)


def test_the_start_task_of_a_pool() -> None:
    async def scenario(house: House) -> None:
        await house.host.connect()
        house.host.obedient = False
        start_task = StartTask(command_line="true", container_settings=INSIDE)
        await house.pool(start_task=start_task)
        await house.engine._submit(lambda _turn: None)
        (made,) = house.host.take(MakeNode)
        assert made.start_task is not None
        assert code(made.start_task.refused) == "ContainerInvalidSettings"

    play(scenario)


def test_every_part_of_a_multi_instance_task() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=1, enable_inter_node_communication=True)
        await house.job()
        several = MultiInstanceSettings(number_of_instances=2, coordination_command_line="true")
        await house.add("t", container_settings=INSIDE, multi_instance_settings=several)
        parts = await house.told("t")
        assert [code(part.refused) for part in parts] == ["ContainerInvalidSettings"] * 2
        for part in parts:
            await house.host.end(part, None, part.refused)
        task = await house.task("t")
        assert code(task.failure) == "ContainerInvalidSettings"
        assert task.exit_code is None

    play(scenario)
