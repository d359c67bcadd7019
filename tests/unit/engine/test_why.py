"""Why a task does not run: the true cause comes first, and without it the task runs."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.states import TaskState
from penstock.engine.settings import Quotas
from penstock.scheduler.reasons import Code, Reason
from tests.records import ACCOUNT
from tests.unit.engine import blocked
from tests.unit.engine.blocked import Make, quota_is_reached
from tests.unit.engine.house import House, play


async def why(house: House, task: str, job: str = "job") -> list[Reason]:
    return list(await house.engine.why(ACCOUNT, job, task))


async def codes(house: House, task: str, job: str = "job") -> list[str]:
    return [reason.code for reason in await why(house, task, job)]


def details(reason: Reason) -> dict[str, str]:
    return {detail.name: detail.value for detail in reason.details}


@pytest.mark.parametrize("make", blocked.ALL, ids=lambda make: make.__name__)
def test_the_true_cause_is_first_and_without_it_the_task_runs(make: Make) -> None:
    async def scenario(house: House) -> None:
        case = await make(house)
        told = await why(house, case.task, case.job)
        assert told[0].code == case.code, told
        assert [part for part in case.says if part not in told[0].message] == [], told
        assert all(reason.message and reason.remedy for reason in told)
        assert case.details.items() <= details(told[0]).items()
        assert [
            code for code in case.then if code not in [reason.code for reason in told[1:]]
        ] == []
        assert (await house.task(case.task, case.job)).state is not TaskState.RUNNING
        await case.undo()
        await house.runs()
        assert (await house.task(case.task, case.job)).state is TaskState.RUNNING
        (reason,) = await why(house, case.task, case.job)
        assert reason.code == Code.RUNNING
        assert "It runs on node 'tvmps_" in reason.message

    settings: dict[str, Any] = {}
    if make is quota_is_reached:
        settings["quotas"] = Quotas(dedicated_cores=blocked.FOUR_CORES)
    play(scenario, **settings)
