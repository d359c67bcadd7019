"""Why a task does not run: the true cause comes first, and without it the task runs."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import astuple

from penstock.domain.conditions import ANY
from penstock.domain.records import NodeWork, Removal
from penstock.domain.specs.common import TaskConstraints
from penstock.domain.specs.job import AutoPool, JobSpec, PoolInfo
from penstock.domain.specs.pool import PoolTemplate, SchedulingPolicy
from penstock.domain.specs.special import JobManagerTask
from penstock.domain.specs.task import ExitConditions, ExitOptions
from penstock.domain.states import JobState, TaskState
from penstock.engine.settings import Quotas
from penstock.messages import RunTask
from penstock.scheduler.reasons import Code, Reason
from penstock.store.memory import MemoryStore
from tests.records import ACCOUNT
from tests.unit.engine import blocked
from tests.unit.engine.blocked import Make, after, quota_is_reached
from tests.unit.engine.house import KILLED, House, play


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


def test_all_nodes_may_be_held_for_another_task_though_none_has_room() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=1, enable_inter_node_communication=True)
        await house.job()
        await house.add("x", "y")
        await house.runs()
        await house.add("g", multi_instance_settings=blocked.gang(2))
        await house.add("t")
        (held, *_) = await why(house, "t")
        assert held.code == Code.HELD_FOR_ANOTHER
        assert details(held)["task"] == "g"

    play(scenario)


def test_the_turn_of_a_task_comes_after_the_slots() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await house.job()
        await house.job("high", priority=10)
        await house.job("equal")
        await house.add("runs", "first", "second", "t")
        await house.add("h1", "h2", job="high")
        await house.add("e", job="equal")
        taken, turn = await why(house, "t")
        assert (taken.code, turn.code) == (Code.SLOTS_TAKEN, Code.WAITS_ITS_TURN)
        assert details(turn) == {"higherPriority": "2", "equalPriority": "1", "sameJob": "2"}
        (alone,) = await why(house, "h1", "high")
        assert alone.code == Code.SLOTS_TAKEN

    play(scenario)


def test_a_job_that_is_over_is_the_only_cause() -> None:
    async def scenario(house: House) -> None:
        await house.job(uses_task_dependencies=True)
        await house.add("t", depends_on=after("x"))
        await house.engine.terminate_job(ACCOUNT, "job", "Enough", ANY, force=False)
        (reason,) = await why(house, "t")
        assert reason.code == Code.JOB_COMPLETED
        assert "is completed (Enough)" in reason.message
        assert "will not run" in reason.remedy

    play(scenario)


def test_an_auto_pool_that_could_not_be_made() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        info = PoolInfo(
            auto_pool_specification=AutoPool(
                pool_lifetime_option="job", pool=PoolTemplate(vm_size=blocked.SIZE)
            )
        )
        await house.engine.add_job(ACCOUNT, JobSpec(id="job", pool_info=info))
        summary = await house.engine.why_job(ACCOUNT, "job", 10)
        ((reason, count, task_id),) = map(astuple, summary.groups)
        assert (reason.code, count, task_id) == (Code.AUTO_POOL_FAILED, 0, None)
        assert details(reason)["error"] == "AutoPoolCreationFailedWithQuotaReached"

    play(scenario, quotas=Quotas(pools=1))


def test_what_a_task_does_or_did() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t", constraints=TaskConstraints(max_task_retry_count=1))
        run = (await house.runs())["t"]
        await house.engine.disable_job(ACCOUNT, "job", "requeue", ANY)
        assert await codes(house, "t") == [Code.BEING_REQUEUED]
        await house.host.end(run, None, KILLED, killed=True)
        assert await codes(house, "t") == [Code.JOB_DISABLED, Code.REQUEUED]
        await house.engine.enable_job(ACCOUNT, "job", ANY)
        for _ in range(2):
            await house.host.end((await house.runs())["t"], 3)
        (reason,) = await why(house, "t")
        assert reason.code == Code.COMPLETED
        assert details(reason) == {
            "result": "failure",
            "exitCode": "3",
            "failure": "FailureExitCode",
        }

    play(scenario)


def test_a_task_that_is_tried_again_says_so_behind_its_causes() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await house.job()
        await house.add("t", constraints=TaskConstraints(max_task_retry_count=-1))
        await house.job("high", priority=1)
        run = (await house.runs())["t"]
        await house.add("h", job="high")
        await house.host.end(run, 1)
        found = await why(house, "t")
        assert [reason.code for reason in found] == [Code.SLOTS_TAKEN, Code.RETRY_PENDING]
        assert "retry 1 (as often as it takes)" in found[1].message

    play(scenario)


def test_nodes_that_take_none_come_after_what_others_have() -> None:
    """One that is rebooting is not to blame where another is full."""

    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=1)
        await house.job()
        house.host.obedient = False
        node = (await house.nodes())[1]
        await house.engine.work_on_node(ACCOUNT, "pool", node.id, NodeWork.REBOOT, Removal.REQUEUE)
        await house.add("runs", "t")
        assert await codes(house, "t") == [Code.SLOTS_TAKEN, Code.NODES_REBOOTING]

    play(scenario)


def test_a_failed_dependency_is_found_among_many() -> None:
    """Only some of the unmet dependencies are looked at, and the failed one is far down."""

    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await house.job(uses_task_dependencies=True)
        await house.add("bad")
        run = (await house.runs())["bad"]
        names = [f"n{number}" for number in range(200)]
        await house.add("t", depends_on=after(*names, "BAD"))
        await house.add("r", depends_on=after("x", start=1, end=100_000))
        await house.host.end(run, 4)
        found = await why(house, "t")
        assert [reason.code for reason in found[:2]] == [
            Code.DEPENDENCY_FAILED,
            Code.DEPENDENCY_MISSING,
        ]
        assert details(found[0])["exitCode"] == "4"
        assert details(found[0])["unmet"] == "201"
        (far,) = await why(house, "r")
        assert details(far)["unmet"] == "100001"
        await house.add("0777")
        await house.host.end((await house.runs())["0777"], 5)
        assert details((await why(house, "r"))[0])["root"] == "0777"

    play(scenario)


def test_a_job_is_explained_by_the_first_causes_of_its_oldest_tasks() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=2)
        await house.job(uses_task_dependencies=True)
        await house.add("bad", "worse", "large", required_slots=1)
        runs = await house.runs()
        await house.host.end(runs["bad"], 1)
        await house.host.end(runs["worse"], 1)
        await house.add(*(f"b{n}" for n in range(3)), depends_on=after("bad"))
        await house.add(*(f"w{n}" for n in range(2)), depends_on=after("worse"))
        await house.add("huge", required_slots=3)
        await house.runs()
        summary = await house.engine.why_job(ACCOUNT, "job", 1000)
        assert (summary.waiting, summary.looked_at, summary.job_state) == (6, 6, JobState.ACTIVE)
        told = [(group.reason.code, group.count, group.task_id) for group in summary.groups]
        assert told == [
            (Code.DEPENDENCY_FAILED, 3, "b0"),
            (Code.DEPENDENCY_FAILED, 2, "w0"),
            (Code.TOO_MANY_SLOTS, 1, "huge"),
        ]
        few = await house.engine.why_job(ACCOUNT, "job", 4)
        assert [group.count for group in few.groups] == [3, 1]
        assert (few.waiting, few.looked_at) == (6, 4)

    play(scenario)


def test_a_job_without_waiting_tasks() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        summary = await house.engine.why_job(ACCOUNT, "JOB", 1)
        assert (summary.waiting, summary.looked_at, list(summary.groups)) == (0, 0, [])

    play(scenario)


def test_the_work_does_not_grow_with_the_tasks_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of the store about one task is the same whether ten wait or thousands."""
    asked: list[int] = []

    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await house.job(uses_task_dependencies=True)
        await house.add("runs")
        await house.add("t", depends_on=after("runs"))
        for count in (10, 3000):
            await house.add(*(f"n{count}-{number}" for number in range(count)))
            asked.append(0)
            await why(house, "t")
            await why(house, f"n{count}-{count - 1}")

    for name in ("task", "tasks_by_no", "existing", "list_tasks"):
        genuine = getattr(MemoryStore, name)

        async def counted(self: MemoryStore, *given: Any, _genuine: Any = genuine) -> Any:
            if asked:
                asked[-1] += 1
            return await _genuine(self, *given)

        monkeypatch.setattr(MemoryStore, name, counted)
    play(scenario)
    few, many = asked
    assert 0 < many <= few <= 6


def test_of_a_range_the_task_that_failed_is_named_as_it_is_spelled() -> None:
    """One that failed but lets its dependents run does not count among them."""

    async def scenario(house: House) -> None:
        await house.pool(slots=4)
        await house.job(uses_task_dependencies=True)
        lenient = ExitConditions(default=ExitOptions(dependency_action="satisfy"))
        await house.add("1", exit_conditions=lenient)
        await house.add("002", "3")
        await house.add("t", depends_on=after(start=1, end=3))
        await house.add("u", depends_on=after(start=1, end=2))
        runs = await house.runs()
        await house.host.end(runs["1"], 1)
        (slow,) = await why(house, "u")
        assert slow.code == Code.DEPENDENCY_UNFINISHED
        assert "task '002', which is running" in slow.message
        await house.host.end(runs["002"], 8)
        failed, unfinished = await why(house, "t")
        assert details(failed)["task"] == "002"
        assert failed.code == Code.DEPENDENCY_FAILED
        assert details(unfinished)["task"] == "3"

    play(scenario)


def test_the_best_node_is_the_one_that_lacks_least() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=4)
        await house.job()
        await house.add("full", required_slots=4)
        await house.add("most", required_slots=3)
        await house.add("t", required_slots=2)
        (reason,) = await why(house, "t")
        assert details(reason) | {"node": ""} == {
            "requiredSlots": "2",
            "node": "",
            "slotsTaken": "3",
            "slotsPerNode": "4",
            "nodes": "2",
            "job": "job",
            "task": "most",
        }

    play(scenario)


def test_what_only_counts_for_a_task_that_could_run() -> None:
    """Slots are taken, but none of these would have them if they were free."""

    async def scenario(house: House) -> None:
        await house.pool(slots=1)
        await house.job(uses_task_dependencies=True)
        await house.add("runs")
        await house.add("dependent", depends_on=after("x"))
        await house.add("large", required_slots=2)
        await house.add("t")
        assert await codes(house, "dependent") == [Code.DEPENDENCY_MISSING]
        assert await codes(house, "large") == [Code.TOO_MANY_SLOTS]
        await house.engine.disable_job(ACCOUNT, "job", "wait", ANY)
        assert await codes(house, "t") == [Code.JOB_DISABLED]

    play(scenario)


def test_who_is_before_a_task() -> None:
    """Older jobs only where those go first; none that may not start."""

    async def scenario(house: House) -> None:
        policy = SchedulingPolicy(job_default_order="creationtime")
        await house.pool(slots=1, task_scheduling_policy=policy)
        await house.job("older")
        await house.add("runs", "waits", job="older")
        await house.job()
        await house.add("t")
        await house.job("newer")
        await house.add("n", job="newer")
        await house.job("closed", priority=9)
        await house.engine.disable_job(ACCOUNT, "closed", "wait", ANY)
        await house.add("c", job="closed")
        _, turn = await why(house, "t")
        assert details(turn) == {"higherPriority": "0", "equalPriority": "1", "sameJob": "0"}
        assert "older jobs go first" in turn.message

    play(scenario)


def test_nodes_that_are_held_count_against_the_limit_of_the_others() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=1, enable_inter_node_communication=True)
        await house.job("other")
        await house.add("y", job="other")
        await house.job(max_parallel_tasks=1)
        await house.add("g", multi_instance_settings=blocked.gang(2))
        await house.add("t")
        assert await codes(house, "g") == [Code.NODES_HELD]
        assert (await codes(house, "t"))[0] == Code.MAX_PARALLEL_TASKS

    play(scenario)


def test_a_quota_keeps_a_multi_instance_task_from_its_nodes() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=1, enable_inter_node_communication=True)
        await house.job()
        await house.add("t", multi_instance_settings=blocked.gang(2))
        assert await codes(house, "t") == [Code.QUOTA_REACHED]

    play(scenario, quotas=Quotas(dedicated_cores=blocked.FOUR_CORES))


def test_a_manager_that_runs_keeps_no_task_of_its_job() -> None:
    async def scenario(house: House) -> None:
        await house.pool(slots=2)
        await house.job(job_manager_task=JobManagerTask(id="boss", command_line="true"))
        await house.add("t")
        (reason,) = await why(house, "t")
        assert reason.code == Code.SLOTS_TAKEN
        assert "job manager 'boss'" in reason.message

    play(scenario)


def test_what_was_sent_ahead_and_is_called_off() -> None:
    async def scenario(house: House) -> None:
        await blocked.sent_ahead(house)
        summary = await house.engine.why_job(ACCOUNT, "job", 10)
        assert [group.reason.code for group in summary.groups] == [Code.NEXT_ON_NODE]
        await house.engine.disable_job(ACCOUNT, "job", "requeue", ANY)
        assert await codes(house, "t") == [Code.BEING_REQUEUED]

    play(scenario)


def test_a_summary_begins_with_the_oldest_whatever_they_wait_for() -> None:
    async def scenario(house: House) -> None:
        await house.job(uses_task_dependencies=True)
        await house.add("old", depends_on=after("x"))
        await house.add("new")
        summary = await house.engine.why_job(ACCOUNT, "job", 1)
        assert [group.task_id for group in summary.groups] == ["old"]

    play(scenario)


def test_of_several_nodes_those_are_named_that_are_being_prepared() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=1, enable_inter_node_communication=True)
        await house.job(job_preparation_task=blocked.PREPARATION)
        await house.add("t", multi_instance_settings=blocked.gang(2))
        await house.engine._submit(lambda _: None)
        first, second = house.host.take(RunTask)
        (reason,) = await why(house, "t")
        assert details(reason)["nodes"] == "2"
        await house.host.end(first)
        (reason,) = await why(house, "t")
        by_no = {node.no: node.id for node in await house.nodes()}
        assert details(reason) == {"node": by_no[second.node_no], "nodes": "1"}

    play(scenario)
