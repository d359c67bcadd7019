"""Tokens of tasks: who gets one, and how long it is good."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from penstock.domain.conditions import ANY
from penstock.domain.specs.common import AuthenticationTokenSettings, NameValue, TaskConstraints
from penstock.domain.specs.special import JobManagerTask
from penstock.domain.specs.task import MultiInstanceSettings
from penstock.domain.task_tokens import TASK_TOKEN, is_good, run_of, token_of
from penstock.messages import KillTask, RunTask
from tests.records import ACCOUNT
from tests.unit.engine.house import KILLED, House, play

SECRET = b"the secret of the server"
WANTED = AuthenticationTokenSettings(access=["job"])
NOTHING = AuthenticationTokenSettings(access=[])


def token(run: RunTask) -> str:
    return run.environment[TASK_TOKEN]


def job_of(house: House, token: str) -> str | None:
    job = house.engine.job_of_token(token)
    return None if job is None else job.id


async def started(house: House, **spec: Any) -> RunTask:
    """The run of a task with a token, in a pool and job of its own."""
    await house.pool()
    await house.job()
    await house.add("t", authentication_token_settings=WANTED, **spec)
    return (await house.runs())["t"]


def test_a_task_that_asks_gets_one_for_its_job() -> None:
    async def scenario(house: House) -> None:
        own = [NameValue(name=TASK_TOKEN, value="mine"), NameValue(name="A", value="1")]
        run = await started(house, environment_settings=own)
        assert job_of(house, token(run)) == "job"
        assert run.environment["A"] == "1"

    play(scenario, token_secret=SECRET)


def test_a_task_that_does_not_ask_gets_none() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=4)
        await house.job()
        await house.add("plain")
        await house.add("empty", authentication_token_settings=AuthenticationTokenSettings())
        await house.add("nothing", authentication_token_settings=NOTHING)
        runs = await house.runs()
        assert len(runs) == 3
        assert all(TASK_TOKEN not in run.environment for run in runs.values())

    play(scenario, token_secret=SECRET)


def test_a_server_without_secret_gives_and_takes_none() -> None:
    async def scenario(house: House) -> None:
        run = await started(house)
        assert TASK_TOKEN not in run.environment
        task, job = await house.task("t"), await house.job_record()
        assert job is not None
        assert job_of(house, token_of(b"", job, task)) is None

    play(scenario)


def test_it_ends_with_its_run() -> None:
    async def scenario(house: House) -> None:
        first = await started(house, constraints=TaskConstraints(max_task_retry_count=1))
        await house.host.end(first, exit_code=1)
        again = (await house.runs())["t"]
        assert token(again) != token(first)
        assert job_of(house, token(first)) is None
        assert job_of(house, token(again)) == "job"
        await house.host.end(again)
        assert job_of(house, token(again)) is None

    play(scenario, token_secret=SECRET)


def test_it_is_good_until_a_killed_run_is_over() -> None:
    async def scenario(house: House) -> None:
        run = await started(house)
        await house.engine.terminate_job(ACCOUNT, "job", None, ANY, force=False)
        assert job_of(house, token(run)) == "job"
        (kill,) = house.host.take(KillTask)
        await house.host.end(kill, exit_code=None, failure=KILLED, killed=True)
        assert job_of(house, token(run)) is None

    play(scenario, token_secret=SECRET)


def test_it_ends_with_its_job() -> None:
    async def scenario(house: House) -> None:
        run = await started(house)
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=True)
        assert job_of(house, token(run)) is None

    play(scenario, token_secret=SECRET)


def test_it_outlives_the_server_with_its_run() -> None:
    async def scenario(house: House) -> None:
        run = await started(house)
        await house.crash()
        assert job_of(house, token(run)) == "job"

    play(scenario, token_secret=SECRET)


def test_a_task_that_was_sent_ahead_has_one_when_it_begins() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await house.job()
        await house.add("a", "b", authentication_token_settings=WANTED)
        await house.host.end((await house.runs())["a"], length_us=1000)
        await house.add("c", "d", authentication_token_settings=WANTED)
        runs = await house.runs()
        ahead = [run for run in runs.values() if run.ahead]
        assert ahead, "short tasks are sent ahead"
        assert all(job_of(house, token(run)) == "job" for run in runs.values())

    play(scenario, token_secret=SECRET)


def test_the_parts_of_a_multi_instance_task_have_one() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=1, enable_inter_node_communication=True)
        await house.job()
        parts = MultiInstanceSettings(number_of_instances=2, coordination_command_line="true")
        await house.add("t", authentication_token_settings=WANTED, multi_instance_settings=parts)
        first, second = await house.told("t")
        assert token(first) == token(second)
        assert job_of(house, token(first)) == "job"

    play(scenario, token_secret=SECRET)


def test_a_job_manager_has_one() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        manager = JobManagerTask(
            id="boss", command_line="true", authentication_token_settings=WANTED
        )
        await house.job(job_manager_task=manager)
        assert job_of(house, token((await house.runs())["boss"])) == "job"

    play(scenario, token_secret=SECRET)


def test_it_is_kept_nowhere() -> None:
    async def scenario(house: House) -> None:
        run = await started(house)
        seal = token(run).rpartition(".")[2]
        kept = repr([vars(house.store), vars(house.engine._state)])
        assert "commandLine" in kept, "what is looked through has specifications"
        assert seal not in kept

    play(scenario, token_secret=SECRET)


@pytest.mark.parametrize("at", range(1, 5))
def test_nobody_makes_one_of_another(at: int) -> None:
    """One part changed at a time: job, task, run, seal."""

    async def scenario(house: House) -> None:
        run = await started(house)
        await house.job("other")
        await house.add("t", job="other", authentication_token_settings=WANTED)
        other = (await house.runs())["t"]
        parts, others = token(run).split("."), token(other).split(".")
        assert len(parts) == 5
        parts[at] = others[at] if parts[at] != others[at] else "2"
        assert job_of(house, ".".join(parts)) is None

    play(scenario, token_secret=SECRET)


@pytest.mark.parametrize("change", ["secret", "account", "id", "created_us"])
def test_a_record_that_takes_the_numbers_of_another_has_other_tokens(change: str) -> None:
    async def scenario(house: House) -> None:
        run = await started(house)
        task, job = await house.task("t"), await house.job_record()
        assert job is not None
        secret = SECRET
        assert is_good(secret, token(run), job, task)
        if change == "secret":
            secret = b"another"
        elif change == "account":
            job = replace(job, account="another")
        elif change == "id":
            task = replace(task, id="another")
        else:
            task = replace(task, created_us=task.created_us + 1)
        assert not is_good(secret, token(run), job, task)

    play(scenario, token_secret=SECRET)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "penstock-task.",
        "penstock-task.1.2.3.short",
        f"penstock-task.1.2.-3.{'a' * 43}",
        f"penstock-task.1.2.3.{'a' * 43}\n",
        f"penstock-task.1.2.3.{'é' * 43}",
        f"penstock-task.{'9' * 40}.2.3.{'a' * 43}",
        f"penstock-task.١.2.3.{'a' * 43}",
    ],
)
def test_what_is_no_token(text: str) -> None:
    assert run_of(text) is None
