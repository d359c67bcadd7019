"""Multi-instance tasks: all of their nodes or none, through whatever ends in between."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.conditions import ANY
from penstock.domain.instants import Duration
from penstock.domain.records import Ending, Failure, SubtaskRecord
from penstock.domain.refusals import InvalidPropertyValue, TaskNotFound
from penstock.domain.specs.common import NameValue, ResourceFile, TaskConstraints
from penstock.domain.specs.pool import NodeRemoval
from penstock.domain.specs.special import JobPreparationTask
from penstock.domain.specs.task import MultiInstanceSettings
from penstock.domain.states import (
    JobState,
    NodeState,
    SubtaskState,
    TaskResult,
    TaskState,
)
from penstock.messages import (
    DropNode,
    Heartbeat,
    KillTask,
    RemoveTask,
    RunTask,
    TaskCoordinated,
    Welcome,
)
from tests.records import ACCOUNT
from tests.unit.engine import blocked
from tests.unit.engine.house import KILLED, FakeHost, House, play

RUNNING, OVER = SubtaskState.RUNNING, SubtaskState.COMPLETED


async def gang_pool(house: House, nodes: int = 3, **spec: Any) -> None:
    await house.pool(nodes=nodes, slots=1, enable_inter_node_communication=True, **spec)


async def add_gang(
    house: House, name: str = "t", instances: int = 3, retries: int = 0, **spec: Any
) -> None:
    files = spec.pop("common_resource_files", None)
    several = MultiInstanceSettings(
        number_of_instances=instances,
        coordination_command_line="coordinate",
        common_resource_files=files,
    )
    constraints = spec.pop("constraints", TaskConstraints(max_task_retry_count=retries))
    await house.add(name, multi_instance_settings=several, constraints=constraints, **spec)


class Gang:
    """The runs of one attempt, as the host was told of them."""

    def __init__(self, house: House, parts: list[RunTask]) -> None:
        self.house = house
        self.parts = sorted(parts, key=lambda run: run.gang.index if run.gang else 0)
        self.command: RunTask | None = None

    async def coordinate(self, *indexes: int) -> None:
        """Let coordination commands end well, and take the order for the command if it came."""
        for index in indexes or range(len(self.parts)):
            await self.house.host.report(coordinated(self.house, self.parts[index]))
        joined = await self.house.told("t")
        if joined:
            (self.command,) = joined

    @property
    def keys(self) -> list[tuple[int, int]]:
        runs = [*self.parts, *([self.command] if self.command else [])]
        return [(run.task_no, run.attempt) for run in runs]

    async def killed(self, *more: RunTask) -> None:
        """The host ends what it was told to, and nothing else was asked of it."""
        kills = {(kill.task_no, kill.attempt) for kill in self.house.host.take(KillTask)}
        assert kills <= set(self.keys) | {(run.task_no, run.attempt) for run in more}
        for run in (*self.parts, *([self.command] if self.command else [])):
            if (run.task_no, run.attempt) in kills:
                await self.house.host.end(run, exit_code=None, failure=KILLED, killed=True)

    def end_command(self, exit_code: int | None = 0, **more: Any) -> Any:
        assert self.command is not None
        return self.house.host.end(self.command, exit_code, **more)


def coordinated(house: House, run: RunTask) -> TaskCoordinated:
    return TaskCoordinated(
        report=house.host.number(), task_no=run.task_no, attempt=run.attempt, at_us=house.now_us
    )


async def begun(house: House, **more: Any) -> Gang:
    """A gang of three whose coordination commands run."""
    await gang_pool(house)
    await house.job()
    await add_gang(house, **more)
    return Gang(house, await house.told("t"))


async def joined(house: House, **more: Any) -> Gang:
    """A gang of three whose command runs."""
    gang = await begun(house, **more)
    await gang.coordinate()
    assert gang.command is not None
    return gang


async def parts_of(house: House, name: str = "t") -> list[SubtaskRecord]:
    return list(await house.store.subtasks((await house.task(name)).no))


async def part_states(house: House, name: str = "t") -> list[SubtaskState]:
    return [part.state for part in await parts_of(house, name)]


async def state(house: House, name: str = "t") -> TaskState:
    return (await house.task(name)).state


async def idle(house: House) -> None:
    """All nodes are free, and counted so."""
    for node in await house.nodes():
        assert (node.state, node.running_tasks, node.running_slots) == (NodeState.IDLE, 0, 0)


async def back(house: House, *keys: tuple[int, int]) -> Welcome:
    nodes = [node.no for node in await house.nodes()]
    await house.host.connect(nodes, keys)
    return house.host.take(Welcome)[-1]


# --- the usual course ------------------------------------------------------------------------


def test_the_command_runs_when_all_nodes_are_coordinated() -> None:
    async def scenario(house: House) -> None:
        gang = await begun(
            house,
            resource_files=[ResourceFile(http_url="http://h/a", file_path="a")],
            common_resource_files=[ResourceFile(http_url="http://h/b", file_path="b")],
            environment_settings=[NameValue(name="A", value="1")],
        )
        assert [run.gang and run.gang.index for run in gang.parts] == [0, 1, 2]
        assert len({run.node_no for run in gang.parts}) == 3
        first = gang.parts[0]
        assert first.gang is not None
        assert (first.gang.addresses, first.gang.cores) == (("127.0.0.2",) * 3, (4, 4, 4))
        for run in gang.parts:
            assert (run.command_line, run.lingers, run.joins) == ("coordinate", True, False)
            assert run.gang is not None
            assert [file.file_path for file in run.gang.files] == ["b"]
            assert run.environment == {"A": "1"}
        assert [len(run.resource_files) for run in gang.parts] == [1, 0, 0]
        task = await house.task("t")
        assert (task.state, task.node_no) == (TaskState.RUNNING, first.node_no)
        assert await part_states(house) == [RUNNING] * 3
        job = await house.job_record()
        assert job is not None
        counts = await house.store.counts(job.no)
        assert (counts.tasks.running, counts.slots.running) == (1, 1)
        for node in await house.nodes():
            assert (node.state, node.running_tasks) == (NodeState.RUNNING, 1)
        await gang.coordinate(2, 0)
        assert gang.command is None
        await gang.coordinate(1)
        command = gang.command
        assert command is not None
        assert (command.command_line, command.joins, command.lingers) == ("true", True, False)
        assert (command.node_no, command.task_no) == (first.node_no, task.no)
        assert command.resource_files == ()
        assert command.gang is not None
        assert command.gang.index == 0
        assert not house.host.take(KillTask)
        house.elapse(5)
        await gang.end_command()
        assert await state(house) is TaskState.RUNNING, "its surroundings are there yet"
        assert len(house.host.take(KillTask)) == 3
        ended_us = house.now_us
        house.elapse(1)
        for run in gang.parts:
            assert await state(house) is TaskState.RUNNING
            await house.host.end(run, exit_code=0, killed=True)
        task = await house.task("t")
        assert (task.state, task.result, task.exit_code, task.failure) == (
            TaskState.COMPLETED,
            TaskResult.SUCCESS,
            0,
            None,
        )
        assert task.end_us == ended_us, "when its command was over"
        parts = await parts_of(house)
        assert [(part.state, part.exit_code, part.failure) for part in parts] == [
            (OVER, 0, None)
        ] * 3
        assert all(part.previous_state is RUNNING for part in parts)
        await idle(house)
        nodes = await house.nodes()
        assert [node.tasks_run for node in nodes] == [1, 1, 1]
        recent = await house.store.recent_tasks([node.no for node in nodes])
        assert [recent[node.no][0].subtask for node in nodes] == [None, 1, 2]

    play(scenario)


def test_one_instance_is_coordinated_too() -> None:
    async def scenario(house: House) -> None:
        await gang_pool(house, nodes=1)
        await house.job()
        await add_gang(house, instances=1)
        gang = Gang(house, await house.told("t"))
        await gang.coordinate()
        await gang.end_command(3)
        await gang.killed()
        task = await house.task("t")
        assert (task.state, task.exit_code) == (TaskState.COMPLETED, 3)
        assert task.failure is not None

    play(scenario)


def test_nodes_are_taken_all_at_once() -> None:
    async def scenario(house: House) -> None:
        await gang_pool(house, nodes=3)
        await house.job()
        await house.add("single")
        single = (await house.runs())["single"]
        await add_gang(house)
        assert await house.told("t") == []
        await house.host.end(single)
        assert len(await house.told("t")) == 3

    play(scenario)


@pytest.mark.parametrize("spec", [{"slots": 2}, {"enable_inter_node_communication": False}])
def test_a_pool_that_is_not_made_for_it_leaves_it_waiting(spec: dict[str, Any]) -> None:
    async def scenario(house: House) -> None:
        await house.pool(**{"nodes": 3, "slots": 1, "enable_inter_node_communication": True} | spec)
        await house.job()
        await add_gang(house)
        await house.add("single")
        assert list(await house.runs()) == ["single"]
        assert await state(house) is TaskState.ACTIVE

    play(scenario)


def test_common_files_of_a_linked_storage_need_one() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        several = MultiInstanceSettings(
            number_of_instances=2,
            coordination_command_line="x",
            common_resource_files=[
                ResourceFile(http_url="https://h/x", file_path="x"),
                ResourceFile(auto_storage_container_name="input"),
            ],
        )
        (answer,) = await house.add("t", multi_instance_settings=several)
        assert isinstance(answer, InvalidPropertyValue)
        name = "multiInstanceSettings.commonResourceFiles[1].autoStorageContainerName"
        assert answer.values["PropertyName"] == name

    play(scenario)


# --- failures and retries --------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize("after", [False, True])
def test_a_coordination_that_fails_fails_the_whole(index: int, after: bool) -> None:
    async def scenario(house: House) -> None:
        gang = await begun(house)
        others = [at for at in range(3) if at != index]
        if after:
            await gang.coordinate(*others)
        await house.host.end(gang.parts[index], exit_code=7)
        kills = {kill.task_no for kill in house.host.told if isinstance(kill, KillTask)}
        assert kills == {gang.parts[at].task_no for at in others}
        await gang.killed()
        assert gang.command is None
        task = await house.task("t")
        assert (task.state, task.exit_code) == (TaskState.COMPLETED, 7)
        assert task.failure is not None
        assert task.failure.code == "FailureExitCode"
        parts = await parts_of(house)
        assert [part.state for part in parts] == [OVER] * 3
        assert [part.failure is not None for part in parts] == [
            at == index or not after for at in range(3)
        ]
        await idle(house)

    play(scenario)


def test_a_file_that_one_node_cannot_fetch_fails_the_whole_for_good() -> None:
    async def scenario(house: House) -> None:
        gang = await begun(house, retries=5)
        missing = Failure("usererror", "BlobNotFound", "no such file")
        await house.host.end(gang.parts[1], exit_code=None, failure=missing)
        await gang.killed()
        task = await house.task("t")
        assert (task.state, task.exit_code, task.failure) == (TaskState.COMPLETED, None, missing)

    play(scenario)


@pytest.mark.parametrize("where", ["coordination", "command"])
def test_the_whole_is_tried_again_with_new_parts(where: str) -> None:
    async def scenario(house: House) -> None:
        gang = await begun(house, retries=1)
        if where == "command":
            await gang.coordinate()
            await gang.end_command(1)
        else:
            await house.host.end(gang.parts[1], exit_code=1)
        await gang.killed()
        task = await house.task("t")
        assert (task.retry_count, task.attempt, task.state) == (1, 2, TaskState.RUNNING)
        again = Gang(house, await house.told("t"))
        assert len(again.parts) == 3
        assert not set(again.keys) & set(gang.keys)
        assert [part.attempt for part in await parts_of(house)] == [2, 2, 2]
        await house.host.end(gang.parts[0], exit_code=1)  # a late word of the first try
        await house.host.report(coordinated(house, gang.parts[2]))
        assert await part_states(house) == [RUNNING] * 3
        await again.coordinate()
        await again.end_command(1)
        await again.killed()
        task = await house.task("t")
        assert (task.state, task.exit_code, task.retry_count) == (TaskState.COMPLETED, 1, 1)

    play(scenario)


def test_a_time_limit_ends_the_whole() -> None:
    late = Failure("usererror", "TaskEnded", "The task was ended: its time was over")

    async def scenario(house: House) -> None:
        limit = TaskConstraints(max_wall_clock_time=Duration.of_seconds(60), max_task_retry_count=5)
        gang = await joined(house, constraints=limit)
        assert {run.wall_clock_us for run in gang.parts} == {60_000_000}
        await house.host.end(gang.parts[2], exit_code=0, failure=late)
        await gang.killed()
        task = await house.task("t")
        assert (task.state, task.exit_code, task.failure) == (TaskState.COMPLETED, None, late)

    play(scenario)


# --- ended by users --------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["coordinating", "half", "running"])
def test_a_user_may_end_it(stage: str) -> None:
    async def scenario(house: House) -> None:
        gang = await begun(house, retries=3)
        if stage == "half":
            await gang.coordinate(0, 1)
        elif stage == "running":
            await gang.coordinate()
        await house.engine.terminate_task(ACCOUNT, "job", "t", ANY)
        assert await state(house) is TaskState.RUNNING
        assert (await house.task("t")).ending is Ending.TERMINATED
        await gang.killed()
        task = await house.task("t")
        assert (task.state, task.retry_count) == (TaskState.COMPLETED, 0)
        assert task.failure is not None
        assert task.failure.code == "TaskEnded"
        assert await part_states(house) == [OVER] * 3
        await idle(house)

    play(scenario)


def test_a_coordination_that_ends_well_as_the_task_is_ended_begins_nothing() -> None:
    async def scenario(house: House) -> None:
        gang = await begun(house)
        await gang.coordinate(0, 1)
        await house.engine.terminate_task(ACCOUNT, "job", "t", ANY)
        await gang.coordinate(2)
        assert gang.command is None
        await gang.killed()
        assert await state(house) is TaskState.COMPLETED
        await idle(house)

    play(scenario)


def test_what_a_user_ended_is_not_tried_again_though_it_fails_by_itself() -> None:
    async def scenario(house: House) -> None:
        gang = await joined(house, retries=3)
        await house.engine.terminate_task(ACCOUNT, "job", "t", ANY)
        await gang.end_command(1)
        gang.command = None
        house.host.told = [
            item
            for item in house.host.told
            if not (isinstance(item, KillTask) and item.task_no not in dict(gang.keys))
        ]
        await gang.killed()
        task = await house.task("t")
        assert (task.state, task.retry_count, task.exit_code) == (TaskState.COMPLETED, 0, 1)

    play(scenario)


def test_a_command_that_had_ended_well_is_a_success_though_a_user_ends_it() -> None:
    async def scenario(house: House) -> None:
        gang = await joined(house)
        await gang.end_command()
        await house.engine.terminate_task(ACCOUNT, "job", "t", ANY)
        await gang.killed()
        task = await house.task("t")
        assert (task.result, task.exit_code) == (TaskResult.SUCCESS, 0)

    play(scenario)


@pytest.mark.parametrize("stage", ["coordinating", "running", "ended"])
def test_a_deleted_task_leaves_no_node_with_its_directory(stage: str) -> None:
    async def scenario(house: House) -> None:
        gang = await begun(house)
        if stage != "coordinating":
            await gang.coordinate()
        if stage == "ended":
            await gang.end_command()
            await gang.killed()
        await house.engine.delete_task(ACCOUNT, "job", "t", ANY)
        await gang.killed()
        removed = house.host.take(RemoveTask)
        assert {order.node_no for order in removed} == {node.no for node in await house.nodes()}
        job = await house.job_record()
        assert job is not None
        assert await house.store.task(job.no, "t") is None
        assert list(house.store.parts) == []
        await idle(house)
        await house.add("one", "two", "three")
        assert len(await house.runs()) == 3, "all nodes are free again"

    play(scenario)


@pytest.mark.parametrize("stage", ["coordinating", "running"])
@pytest.mark.parametrize(("how", "then"), [("requeue", "active"), ("terminate", "completed")])
def test_disabling_its_job(how: str, then: str, stage: str) -> None:
    async def scenario(house: House) -> None:
        gang = await begun(house)
        if stage == "running":
            await gang.coordinate()
        await house.engine.disable_job(ACCOUNT, "job", how, ANY)
        await gang.killed()
        task = await house.task("t")
        assert task.state.wire_name == then
        assert task.requeue_count == (how == "requeue")
        job = await house.job_record()
        assert job is not None
        assert job.state is JobState.DISABLED
        await idle(house)
        if how == "requeue":
            await house.engine.enable_job(ACCOUNT, "job", ANY)
            await house.engine._submit(lambda _turn: None)
            assert len(await house.told("t")) == 3

    play(scenario)


def test_a_command_that_fails_for_want_of_the_others_runs_again() -> None:
    async def scenario(house: House) -> None:
        gang = await joined(house)
        await house.engine.disable_job(ACCOUNT, "job", "requeue", ANY)
        await gang.end_command(1)
        await house.host.end(gang.parts[0], exit_code=0, killed=True)
        await house.host.end(gang.parts[1], exit_code=0, killed=True)
        await house.host.end(gang.parts[2], exit_code=0, killed=True)
        task = await house.task("t")
        assert (task.state, task.exit_code, task.requeue_count) == (TaskState.ACTIVE, None, 1)

    play(scenario)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("stage", ["coordinating", "running", "tearing down"])
def test_the_end_of_its_job(stage: str, force: bool) -> None:
    async def scenario(house: House) -> None:
        gang = await begun(house, retries=2)
        if stage != "coordinating":
            await gang.coordinate()
        if stage == "tearing down":
            await gang.end_command(4)
        await house.engine.terminate_job(ACCOUNT, "job", None, ANY, force=force)
        if not force:
            await gang.killed()
        task = await house.task("t")
        assert (task.state, task.result) == (TaskState.COMPLETED, TaskResult.FAILURE)
        if stage == "tearing down":
            assert task.exit_code == 4
        job = await house.job_record()
        assert job is not None
        assert job.state is JobState.COMPLETED
        assert await part_states(house) == [OVER] * 3
        await idle(house)

    play(scenario)


# --- nodes that are lost ---------------------------------------------------------------------


async def on_two_hosts(house: House) -> tuple[FakeHost, list[RunTask], list[RunTask]]:
    """A gang of two, of which each host has one; gives the other host and the parts of each."""
    other = FakeHost(house.engine, "other")
    await house.host.connect()
    await other.connect()
    await gang_pool(house, nodes=2)
    await other.settle()
    await house.job()
    await add_gang(house, instances=2)
    await house.engine._submit(lambda _turn: None)
    return other, house.host.take(RunTask), other.take(RunTask)


async def fall_silent(house: House, silent: FakeHost, alive: FakeHost) -> None:
    house.elapse(20)
    await alive.report(Heartbeat())
    await house.pass_time(11)


@pytest.mark.parametrize("primary", [True, False])
@pytest.mark.parametrize("stage", ["coordinating", "running"])
def test_a_node_that_is_lost_lets_the_whole_run_again(primary: bool, stage: str) -> None:
    async def scenario(house: House) -> None:
        other, mine, theirs = await on_two_hosts(house)
        runs = {id(house.host): mine, id(other): theirs}
        if stage == "running":
            for run in (*mine, *theirs):
                await house.host.report(coordinated(house, run))
            await house.engine._submit(lambda _turn: None)
            for host in (house.host, other):
                runs[id(host)] = [*runs[id(host)], *host.take(RunTask)]
        mine_first = any(run.gang and run.gang.index == 0 for run in mine)
        has_primary = house.host if mine_first else other
        has_other = other if has_primary is house.host else house.host
        silent, alive = (has_primary, has_other) if primary else (has_other, has_primary)
        await fall_silent(house, silent, alive)
        kills = {kill.task_no for kill in alive.take(KillTask)}
        assert kills == {run.task_no for run in runs[id(alive)]}
        task = await house.task("t")
        assert (task.state, task.ending) == (TaskState.RUNNING, Ending.REQUEUED)
        for run in runs[id(alive)]:
            await alive.end(run, exit_code=None, failure=KILLED, killed=True)
        task = await house.task("t")
        assert (task.state, task.requeue_count) == (TaskState.ACTIVE, 1)
        assert await part_states(house) == [OVER, OVER]
        told = [run for host in (silent, alive) for run in host.take(RunTask)]
        assert told == [], "there is one node only"
        nodes = [node.no for node in await house.nodes() if node.host == silent.name]
        keys = [(run.task_no, run.attempt) for run in runs[id(silent)]]
        await silent.connect(nodes, keys)
        assert silent.take(Welcome)[-1].attempts == ()
        await silent.settle()
        await house.engine._submit(lambda _turn: None)
        again = [run for host in (silent, alive) for run in host.take(RunTask)]
        assert [run.attempt for run in again] == [2, 2]

    play(scenario)


def test_a_node_that_was_lost_counts_a_gang_until_all_of_it_has_ended() -> None:
    async def scenario(house: House) -> None:
        other, _mine, theirs = await on_two_hosts(house)
        await fall_silent(house, house.host, other)
        lost = next(node for node in await house.nodes() if node.host == house.host.name)
        assert (lost.state, lost.running_tasks) == (NodeState.UNKNOWN, 1)
        await house.host.connect([lost.no])
        await house.host.settle()
        back = next(node for node in await house.nodes() if node.no == lost.no)
        assert (back.state, back.running_tasks) == (NodeState.RUNNING, 1)
        for run in theirs:
            await other.end(run, exit_code=None, failure=KILLED, killed=True)
        await house.engine._submit(lambda _turn: None)
        again = {run.attempt for host in (house.host, other) for run in host.take(RunTask)}
        assert again == {2}, "it has both nodes, and no other"
        assert [node.running_tasks for node in await house.nodes()] == [1, 1]

    play(scenario)


def test_a_node_that_leaves_takes_the_whole_along() -> None:
    async def scenario(house: House) -> None:
        gang = await joined(house)
        node_no = gang.parts[1].node_no
        (node,) = [node for node in await house.nodes() if node.no == node_no]
        removal = NodeRemoval(node_list=[node.id])
        await house.engine.remove_nodes(ACCOUNT, "pool", removal, ANY)
        assert [drop.node_no for drop in house.host.told if isinstance(drop, DropNode)] == [node_no]
        await house.host.settle()
        assert await state(house) is TaskState.RUNNING
        await gang.killed()
        task = await house.task("t")
        assert (task.state, task.requeue_count) == (TaskState.ACTIVE, 1)
        assert len(await house.nodes()) == 2
        await idle(house)

    play(scenario)


def test_no_command_is_sent_while_a_node_leaves() -> None:
    async def scenario(house: House) -> None:
        gang = await begun(house)
        await gang.coordinate(0, 1)
        (node,) = [each for each in await house.nodes() if each.no == gang.parts[1].node_no]
        await house.engine.remove_nodes(ACCOUNT, "pool", NodeRemoval(node_list=[node.id]), ANY)
        await gang.coordinate(2)
        assert gang.command is None
        await house.host.settle()
        await gang.killed()
        task = await house.task("t")
        assert (task.state, task.requeue_count) == (TaskState.ACTIVE, 1)

    play(scenario)


def test_a_node_that_waits_for_its_tasks_waits_for_the_gang() -> None:
    async def scenario(house: House) -> None:
        gang = await joined(house)
        (node,) = [each for each in await house.nodes() if each.no == gang.parts[2].node_no]
        removal = NodeRemoval(node_list=[node.id], node_deallocation_option="taskcompletion")
        await house.engine.remove_nodes(ACCOUNT, "pool", removal, ANY)
        assert not house.host.take(DropNode)
        await gang.end_command()
        assert not house.host.take(DropNode), "its part is there yet"
        await gang.killed()
        assert [drop.node_no for drop in house.host.take(DropNode)] == [node.no]

    play(scenario)


def test_directories_go_from_nodes_that_the_next_run_does_not_use() -> None:
    async def scenario(house: House) -> None:
        await gang_pool(house, nodes=4)
        await house.job()
        await add_gang(house, retries=1)
        gang = Gang(house, await house.told("t"))
        first = {run.node_no for run in gang.parts}
        await house.host.end(gang.parts[0], exit_code=1)
        for run in gang.parts[1:]:
            await house.host.end(run, exit_code=None, failure=KILLED, killed=True)
        again = Gang(house, await house.told("t"))
        second = {run.node_no for run in again.parts}
        assert first != second, "the node that was free longest comes first"
        removed = {order.node_no for order in house.host.take(RemoveTask)}
        assert removed == first - second

    play(scenario)


def test_directories_go_from_all_nodes_when_their_time_is_over() -> None:
    async def scenario(house: House) -> None:
        limit = TaskConstraints(retention_time=Duration.of_seconds(60))
        gang = await joined(house, constraints=limit)
        await gang.end_command()
        await gang.killed()
        house.elapse(61)
        await house.engine.sweep()
        assert {order.node_no for order in house.host.take(RemoveTask)} == {
            node.no for node in await house.nodes()
        }
        await house.engine.sweep()
        assert not house.host.take(RemoveTask)

    play(scenario)


# --- the server and the host go away ---------------------------------------------------------


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("stage", ["coordinating", "half", "running"])
def test_a_gang_outlives_the_server(stage: str, knows: bool) -> None:
    async def scenario(house: House) -> None:
        gang = await begun(house)
        if stage == "half":
            await gang.coordinate(1)
        elif stage == "running":
            await gang.coordinate()
        await house.crash()
        welcome = await back(house, *(gang.keys if knows else []))
        assert sorted(welcome.attempts) == sorted(gang.keys)
        told = await house.told("t")
        assert sorted((run.task_no, run.attempt) for run in told) == (
            [] if knows else sorted(gang.keys)
        )
        assert [run.joins for run in told if run.task_no == (await house.task("t")).no] == (
            [True] if stage == "running" and not knows else []
        )
        await house.host.report(Heartbeat(attempts=tuple(gang.keys)))
        assert not house.host.take(KillTask)
        if stage == "coordinating":
            await gang.coordinate()
        elif stage == "half":
            await gang.coordinate(0, 2)
        assert gang.command is not None
        await gang.end_command()
        await gang.killed()
        assert (await house.task("t")).result is TaskResult.SUCCESS
        await idle(house)

    play(scenario)


@pytest.mark.parametrize("ended", [0, 1, 3])
@pytest.mark.parametrize("why", ["success", "failure", "terminate", "delete", "requeue"])
def test_the_end_of_a_gang_outlives_the_server(why: str, ended: int) -> None:
    async def scenario(house: House) -> None:
        gang = await joined(house)
        if why in ("success", "failure"):
            await gang.end_command(0 if why == "success" else 5)
            gang.command = None
        elif why == "requeue":
            await house.engine.disable_job(ACCOUNT, "job", "requeue", ANY)
        else:
            await getattr(house.engine, f"{why}_task")(ACCOUNT, "job", "t", ANY)
        for run in gang.parts[:ended]:
            await house.host.end(run, exit_code=0, killed=True)
        gang.parts = gang.parts[ended:]
        house.host.take(KillTask)
        await house.crash()
        welcome = await back(house, *gang.keys)
        assert sorted(welcome.attempts) == sorted(gang.keys)
        assert await house.told("t") == []
        asked = [
            (kill.task_no, kill.attempt) for kill in house.host.told if isinstance(kill, KillTask)
        ]
        assert sorted(asked) == sorted(gang.keys)
        await gang.killed()
        if why == "delete":
            job = await house.job_record()
            assert job is not None
            assert await house.store.task(job.no, "t") is None
        else:
            task = await house.task("t")
            wanted = {"success": 0, "failure": 5}.get(why)
            assert task.exit_code == wanted
            assert task.state is (TaskState.ACTIVE if why == "requeue" else TaskState.COMPLETED)
        await idle(house)

    play(scenario)


@pytest.mark.parametrize("stage", ["coordinating", "half", "running"])
def test_a_host_that_restarts_lets_the_whole_run_again(stage: str) -> None:
    async def scenario(house: House) -> None:
        gang = await begun(house)
        if stage == "half":
            await gang.coordinate(1)
        elif stage == "running":
            await gang.coordinate()
        await house.host.cut()
        await back(house, *gang.keys)
        assert await house.told("t") == []
        for task_no, attempt in gang.keys:
            run = next(
                run
                for run in (*gang.parts, gang.command)
                if run is not None and (run.task_no, run.attempt) == (task_no, attempt)
            )
            await house.host.end(run, exit_code=None, lost=True)
        task = await house.task("t")
        assert (task.state, task.attempt, task.requeue_count) == (TaskState.RUNNING, 2, 1)
        again = Gang(house, await house.told("t"))
        house.host.take(KillTask)
        await again.coordinate()
        await again.end_command()
        await again.killed()
        assert (await house.task("t")).result is TaskResult.SUCCESS

    play(scenario)


# --- preparation -----------------------------------------------------------------------------

BEFORE = "jobpreparation"


async def preparing(house: House, nodes: int = 3) -> list[RunTask]:
    await gang_pool(house, nodes=nodes)
    await house.job(job_preparation_task=JobPreparationTask(command_line="before"))
    await add_gang(house)
    return await house.told(BEFORE)


def test_all_nodes_are_prepared_before_any_is_coordinated() -> None:
    async def scenario(house: House) -> None:
        runs = await preparing(house)
        assert len(runs) == 3
        assert await state(house) is TaskState.PREPARING
        assert await part_states(house) == [SubtaskState.PREPARING] * 3
        for node in await house.nodes():
            assert (node.state, node.running_tasks) == (NodeState.RUNNING, 1)
        await house.host.end(runs[1])
        await house.host.end(runs[0])
        assert await house.told("t") == []
        await house.crash()
        await back(house, (runs[2].task_no, runs[2].attempt))
        assert await state(house) is TaskState.PREPARING
        await house.host.end(runs[2])
        gang = Gang(house, await house.told("t"))
        assert len(gang.parts) == 3
        assert {run.preparation_id for run in gang.parts} == {BEFORE}
        await gang.coordinate()
        await gang.end_command()
        await gang.killed()
        assert (await house.task("t")).result is TaskResult.SUCCESS
        await idle(house)

    play(scenario)


def test_a_node_that_cannot_be_prepared_sends_the_whole_back() -> None:
    async def scenario(house: House) -> None:
        runs = await preparing(house, nodes=4)
        assert len(runs) == 3
        await house.host.end(runs[0])
        await house.host.end(runs[1], exit_code=1)
        task = await house.task("t")
        assert (task.state, task.attempt, task.requeue_count) == (TaskState.PREPARING, 2, 0)
        (fourth,) = await house.told(BEFORE)
        assert runs[1].node_no not in [part.node_no for part in await parts_of(house)]
        await house.host.end(runs[2])
        await house.host.end(fourth)
        assert len(await house.told("t")) == 3

    play(scenario)


def test_a_gang_with_too_few_nodes_that_can_be_prepared_waits() -> None:
    async def scenario(house: House) -> None:
        runs = await preparing(house)
        await house.host.end(runs[1], exit_code=1)
        assert await state(house) is TaskState.ACTIVE
        assert await part_states(house) == [OVER] * 3
        await idle(house)
        await house.host.end(runs[0])
        await house.host.end(runs[2])
        assert await house.told("t") == []

    play(scenario)


@pytest.mark.parametrize("how", ["terminate", "delete", "requeue", "lost"])
def test_a_gang_that_is_not_begun_ends_at_once(how: str) -> None:
    async def scenario(house: House) -> None:
        runs = await preparing(house)
        assert len(runs) == 3
        if how == "requeue":
            await house.engine.disable_job(ACCOUNT, "job", "requeue", ANY)
        elif how == "lost":
            await house.pass_time(31)
        else:
            await getattr(house.engine, f"{how}_task")(ACCOUNT, "job", "t", ANY)
        assert not house.host.take(KillTask)
        if how == "delete":
            with pytest.raises(TaskNotFound):
                await house.engine.terminate_task(ACCOUNT, "job", "t", ANY)
        else:
            task = await house.task("t")
            wanted = TaskState.COMPLETED if how == "terminate" else TaskState.ACTIVE
            assert (task.state, task.requeue_count) == (wanted, 0)
            assert await part_states(house) == [OVER] * 3
        if how != "lost":
            await idle(house)

    play(scenario)


# --- parts as clients see them ---------------------------------------------------------------


def test_a_task_that_is_run_anew_by_its_user_has_new_parts() -> None:
    async def scenario(house: House) -> None:
        gang = await joined(house)
        await gang.end_command(1)
        await gang.killed()
        before = {part.no for part in await parts_of(house)}
        await house.engine.reactivate_task(ACCOUNT, "job", "t", ANY)
        again = await house.told("t")
        assert len(again) == 3
        after = {part.no for part in await parts_of(house)}
        assert len(after) == 3
        assert not before & after

    play(scenario)


def test_nodes_are_held_once_what_came_before_is_gone() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2, slots=1, enable_inter_node_communication=True)
        await house.job("other")
        await house.add("x", "y", job="other")
        await house.job()
        await house.add("before")
        await house.add("g", multi_instance_settings=blocked.gang(2))
        queue = house.engine._state.queue((ACCOUNT, "pool"))
        assert queue.holding is None
        await house.engine.delete_task(ACCOUNT, "job", "before", ANY)
        assert queue.holding is not None

    play(scenario)
