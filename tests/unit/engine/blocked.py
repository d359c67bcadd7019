"""Tasks that do not run, one for each cause, and what takes the cause away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from penstock.domain.conditions import ANY
from penstock.domain.records import Failure, NodeRecord, NodeWork, Removal
from penstock.domain.specs.job import JobPatch, PoolInfo
from penstock.domain.specs.pool import NodeRemoval, PoolSpec, Resize, StartTask
from penstock.domain.specs.special import JobManagerTask, JobPreparationTask
from penstock.domain.specs.task import Dependencies, MultiInstanceSettings, TaskIdRange
from penstock.messages import (
    MakeNode,
    NodeBroken,
    NodeHosted,
    NodeReady,
    NumberedReport,
    RunTask,
    StartTaskBegan,
    StartTaskEnded,
    TaskBegan,
)
from penstock.scheduler.reasons import Code
from tests.records import ACCOUNT
from tests.unit.engine.house import FAILED, House

SIZE: Final = "standard_d4_v3"
FOUR_CORES: Final = 4
BOUND: Final = 30.0
"""Seconds of silence after which a node host is lost in a `House`."""


@dataclass(frozen=True)
class Blocked:
    """A task that does not run, as `explain` is to see it."""

    code: Code  # of the first cause
    says: tuple[str, ...]  # parts of its message
    undo: Callable[[], Awaitable[None]]  # after which the task runs
    task: str = "t"
    job: str = "job"
    then: tuple[Code, ...] = ()  # causes that follow, in order, perhaps among others
    details: Mapping[str, str] = field(default_factory=dict)


async def node_of(house: House, pool: str = "pool") -> NodeRecord:
    return (await house.nodes(pool))[0]


async def resize(house: House, nodes: int, low_priority: int | None = None) -> None:
    wish = Resize(target_dedicated_nodes=nodes, target_low_priority_nodes=low_priority)
    await house.engine.resize_pool(ACCOUNT, "pool", wish, ANY)
    await house.host.settle()


async def move(house: House, job: str, pool: str) -> None:
    """Give a job another pool."""
    await house.engine.disable_job(ACCOUNT, job, "requeue", ANY)
    await house.engine.patch_job(ACCOUNT, job, JobPatch(pool_info=PoolInfo(pool_id=pool)), ANY)
    await house.engine.enable_job(ACCOUNT, job, ANY)


async def end(house: House, run: RunTask, exit_code: int = 0) -> None:
    await house.host.end(run, exit_code)


def number(house: House) -> int:
    return house.host.number()


def after(*ids: str, start: int | None = None, end: int | None = None) -> Dependencies:
    spans = None if start is None or end is None else [TaskIdRange(start=start, end=end)]
    return Dependencies(task_ids=list(ids) or None, task_id_ranges=spans)


def gang(nodes: int) -> MultiInstanceSettings:
    return MultiInstanceSettings(number_of_instances=nodes, coordination_command_line="true")


# --- the job -------------------------------------------------------------------------------------


async def job_is_disabled(house: House) -> Blocked:
    await house.pool()
    await house.job()
    await house.engine.disable_job(ACCOUNT, "job", "wait", ANY)
    await house.add("t")

    async def undo() -> None:
        await house.engine.enable_job(ACCOUNT, "job", ANY)

    return Blocked(Code.JOB_DISABLED, ("'job' is disabled",), undo)


async def job_runs_enough(house: House) -> Blocked:
    await house.pool(slots=4)
    await house.job(max_parallel_tasks=2)
    await house.add("a", "b", "t")
    runs = await house.runs()

    async def undo() -> None:
        await end(house, runs["a"])

    says = ("runs 2 tasks and may run 2",)
    return Blocked(Code.MAX_PARALLEL_TASKS, says, undo, details={"maxParallelTasks": "2"})


# --- dependencies --------------------------------------------------------------------------------


async def dependency_is_missing(house: House) -> Blocked:
    await house.pool()
    await house.job(uses_task_dependencies=True)
    await house.add("t", depends_on=after("x"))

    async def undo() -> None:
        await house.add("x")
        await end(house, (await house.runs())["x"])

    says = ("It depends on task 'x', which is not there.",)
    return Blocked(Code.DEPENDENCY_MISSING, says, undo)


async def some_of_a_range_are_missing(house: House) -> Blocked:
    await house.pool(slots=4)
    await house.job(uses_task_dependencies=True)
    done = [str(number) for number in range(1, 101) if number not in (17, 40, 41)]
    await house.add(*done)
    while runs := await house.runs():
        for run in runs.values():
            await end(house, run)
    await house.add("t", depends_on=after(start=1, end=100))

    async def undo() -> None:
        await house.add("017", "40", "41")
        for run in (await house.runs()).values():
            await end(house, run)

    says = ("task '17', which is not there", "Of the 100 tasks from 1 to 100, 3 did not")
    return Blocked(Code.DEPENDENCY_MISSING, says, undo, details={"unmet": "3"})


async def dependency_is_unfinished(house: House) -> Blocked:
    await house.pool()
    await house.job(uses_task_dependencies=True)
    await house.add("x")
    await house.add("t", depends_on=after("x"))
    runs = await house.runs()

    async def undo() -> None:
        await end(house, runs["x"])

    return Blocked(Code.DEPENDENCY_UNFINISHED, ("task 'x', which is running on node",), undo)


async def dependency_has_failed(house: House) -> Blocked:
    """Others that are only unfinished come first in the list, but weigh less."""
    await house.pool()
    await house.job(uses_task_dependencies=True)
    await house.add("slow", "x")
    await house.add("t", depends_on=after("slow", "x"))
    runs = await house.runs()
    await end(house, runs["x"], 3)

    async def undo() -> None:
        await house.engine.reactivate_task(ACCOUNT, "job", "x", ANY)
        again = await house.runs()
        await end(house, runs["slow"])
        await end(house, again["x"])

    says = ("task 'x', which failed with exit code 3",)
    then = (Code.DEPENDENCY_UNFINISHED,)
    details = {"root": "x", "exitCode": "3"}
    return Blocked(Code.DEPENDENCY_FAILED, says, undo, then=then, details=details)


async def dependency_is_blocked_in_turn(house: House) -> Blocked:
    await house.pool()
    await house.job(uses_task_dependencies=True)
    await house.add("y")
    await house.add("x", depends_on=after("y"))
    await house.add("t", depends_on=after("x"))
    await end(house, (await house.runs())["y"], 3)

    async def undo() -> None:
        await house.engine.reactivate_task(ACCOUNT, "job", "y", ANY)
        await end(house, (await house.runs())["y"])
        await end(house, (await house.runs())["x"])

    says = ("task 'x', which waits for task 'y', which failed with exit code 3",)
    return Blocked(Code.DEPENDENCY_BLOCKED, says, undo, details={"root": "y", "chain": "x, y"})


async def root_is_far_away(house: House) -> Blocked:
    await house.pool()
    await house.job(uses_task_dependencies=True)
    await house.add("0")
    for place in range(1, 30):
        await house.add(str(place), depends_on=after(str(place - 1)))
    await house.add("t", depends_on=after("29"))
    await end(house, (await house.runs())["0"], 9)

    async def undo() -> None:
        await house.engine.reactivate_task(ACCOUNT, "job", "0", ANY)
        for place in range(30):
            await end(house, (await house.runs())[str(place)])

    says = ("'29', which waits for task '28'", "27 more tasks down to task '0'", "exit code 9")
    return Blocked(Code.DEPENDENCY_BLOCKED, says, undo, details={"root": "0"})


async def tasks_wait_for_each_other(house: House) -> Blocked:
    await house.pool()
    await house.job(uses_task_dependencies=True)
    await house.add("t", depends_on=after("x"))
    await house.add("x", depends_on=after("y"))
    await house.add("y", depends_on=after("x"))

    async def undo() -> None:
        await house.engine.delete_task(ACCOUNT, "job", "y", ANY)
        await house.add("y")
        await end(house, (await house.runs())["y"])
        await end(house, (await house.runs())["x"])

    says = ("task 'x', which waits for task 'y'", "one of those that wait for it")
    return Blocked(Code.DEPENDENCY_CIRCLE, says, undo)


# --- the pool ------------------------------------------------------------------------------------


async def pool_is_missing(house: House) -> Blocked:
    await house.job()
    await house.add("t")
    return Blocked(Code.POOL_MISSING, ("no pool 'pool'",), house.pool)


async def pool_is_going(house: House) -> Blocked:
    await house.pool()
    await house.job()
    house.host.obedient = False
    await house.engine.delete_pool(ACCOUNT, "pool", ANY)
    await house.add("t")

    async def undo() -> None:
        house.host.obedient = True
        await house.host.settle()
        await house.pool()

    return Blocked(Code.POOL_DELETING, ("is being deleted",), undo, then=(Code.NODES_LEAVING,))


async def pool_is_empty(house: House) -> Blocked:
    await house.pool(nodes=0)
    await house.job()
    await house.add("t")

    async def undo() -> None:
        await resize(house, 1)

    return Blocked(Code.POOL_EMPTY, ("no nodes and its target is 0",), undo)


async def resize_was_stopped(house: House) -> Blocked:
    spec = PoolSpec(id="pool", vm_size=SIZE, target_dedicated_nodes=2)
    await house.engine.add_pool(ACCOUNT, spec)
    await house.engine.stop_resize(ACCOUNT, "pool", ANY)
    await house.job()
    await house.add("t")
    await house.host.connect()

    async def undo() -> None:
        await resize(house, 1)

    return Blocked(Code.RESIZE_STOPPED, ("0 of its 2 nodes", "ResizeStopped"), undo)


async def resize_timed_out(house: House) -> Blocked:
    spec = PoolSpec(id="pool", vm_size=SIZE, target_dedicated_nodes=1)
    await house.engine.add_pool(ACCOUNT, spec)
    await house.pass_time(16 * 60)
    await house.job()
    await house.add("t")

    async def undo() -> None:
        await house.host.connect()
        await resize(house, 1)

    return Blocked(Code.RESIZE_TIMED_OUT, ("AllocationTimedout",), undo)


async def quota_is_reached(house: House) -> Blocked:
    """With settings that give an account the cores of one node."""
    await house.pool(name="first")
    await house.pool()
    await house.job()
    await house.add("t")

    async def undo() -> None:
        await house.engine.delete_pool(ACCOUNT, "first", ANY)
        await house.host.settle()
        await resize(house, 1)

    says = ("AccountCoreQuotaReached", "4 of 4 dedicated cores are in use")
    return Blocked(Code.QUOTA_REACHED, says, undo, details={"quota": "4", "coresUsed": "4"})


async def task_is_too_large(house: House) -> Blocked:
    await house.pool(slots=2)
    await house.pool(slots=4, name="large")
    await house.job()
    await house.add("t", required_slots=3)

    async def undo() -> None:
        await move(house, "job", "large")

    return Blocked(Code.TOO_MANY_SLOTS, ("needs 3 slots and no node of pool 'pool'",), undo)


async def nodes_may_not_speak(house: House) -> Blocked:
    await house.pool(nodes=2, slots=1)
    await house.pool(nodes=2, slots=1, name="linked", enable_inter_node_communication=True)
    await house.job()
    await house.add("t", multi_instance_settings=gang(2))

    async def undo() -> None:
        await move(house, "job", "linked")

    return Blocked(Code.NO_INTER_NODE_COMMUNICATION, ("may not speak",), undo)


async def nodes_have_too_many_slots(house: House) -> Blocked:
    await house.pool(nodes=2, slots=2, enable_inter_node_communication=True)
    await house.pool(nodes=2, slots=1, name="alone", enable_inter_node_communication=True)
    await house.job()
    await house.add("t", multi_instance_settings=gang(2))

    async def undo() -> None:
        await move(house, "job", "alone")

    return Blocked(Code.SLOTS_PER_NODE_NOT_ONE, ("have 2 slots",), undo)


async def pool_is_too_small(house: House) -> Blocked:
    await house.pool(nodes=2, slots=1, enable_inter_node_communication=True)
    await house.job()
    await house.add("t", multi_instance_settings=gang(3))

    async def undo() -> None:
        await resize(house, 3)

    return Blocked(Code.TOO_FEW_NODES, ("needs 3 nodes at once", "no more than 2"), undo)


async def there_is_no_dedicated_node(house: House) -> Blocked:
    await house.pool(nodes=0, target_low_priority_nodes=1)
    manager = JobManagerTask(id="t", command_line="true", allow_low_priority_node=False)
    await house.job(job_manager_task=manager)

    async def undo() -> None:
        await resize(house, 1, 1)

    return Blocked(Code.NO_DEDICATED_NODE, ("dedicated nodes only",), undo)


# --- nodes ---------------------------------------------------------------------------------------


async def nodes_have_no_host(house: House) -> Blocked:
    spec = PoolSpec(id="pool", vm_size=SIZE, target_dedicated_nodes=2)
    await house.engine.add_pool(ACCOUNT, spec)
    await house.job()
    await house.add("t")

    async def undo() -> None:
        await house.host.connect()
        await house.host.settle()

    return Blocked(Code.NODES_CREATING, ("All 2 nodes", "no node host has taken them"), undo)


async def _hosted(house: House, start_task: StartTask | None = None) -> MakeNode:
    """A pool of one node whose host has it, and whose start task it is to run."""
    await house.host.connect()
    spec = PoolSpec(id="pool", vm_size=SIZE, target_dedicated_nodes=1, start_task=start_task)
    await house.engine.add_pool(ACCOUNT, spec)
    await house.job()
    await house.add("t")
    (made,) = house.host.take(MakeNode)
    await house.host.report(_is_hosted(house, made))
    return made


def _is_hosted(house: House, made: MakeNode) -> NodeHosted:
    return NodeHosted(
        report=number(house), node_no=made.node_no, address="127.0.0.2", boot=made.boot
    )


def _is_ready(house: House, made: MakeNode) -> NodeReady:
    return NodeReady(report=number(house), node_no=made.node_no, boot=made.boot)


async def nodes_are_starting(house: House) -> Blocked:
    made = await _hosted(house)

    async def undo() -> None:
        await house.host.report(_is_ready(house, made))

    return Blocked(Code.NODES_STARTING, ("The only node is starting",), undo)


def _start_task_began(house: House, made: MakeNode) -> NumberedReport:
    return StartTaskBegan(report=number(house), node_no=made.node_no, start_us=house.now_us)


async def start_task_runs(house: House) -> Blocked:
    made = await _hosted(house, StartTask(command_line="true", wait_for_success=True))
    await house.host.report(_start_task_began(house, made))

    async def undo() -> None:
        await house.host.report(_is_ready(house, made))

    return Blocked(Code.START_TASK_RUNNING, ("running the start task, since 20",), undo)


async def start_task_failed(house: House) -> Blocked:
    made = await _hosted(house, StartTask(command_line="false", wait_for_success=True))
    await house.host.report(
        _start_task_began(house, made),
        StartTaskEnded(
            report=number(house),
            node_no=made.node_no,
            start_us=house.now_us,
            end_us=house.now_us,
            exit_code=7,
            failure=FAILED,
        ),
    )

    async def undo() -> None:
        node = await node_of(house)
        await _work(house, node, NodeWork.REBOOT)
        (again,) = house.host.take(MakeNode)
        await house.host.report(_is_hosted(house, again))
        await house.host.report(_is_ready(house, again))

    return Blocked(
        Code.START_TASK_FAILED, ("it failed with exit code 7",), undo, details={"exitCode": "7"}
    )


async def _work(house: House, node: NodeRecord, work: NodeWork) -> None:
    await house.engine.work_on_node(ACCOUNT, "pool", node.id, work, Removal.REQUEUE)


async def host_is_away(house: House) -> Blocked:
    await house.pool()
    await house.job()
    await house.host.cut()
    await house.add("t")
    node = await node_of(house)

    async def undo() -> None:
        await house.host.connect([node.no])

    return Blocked(Code.NODES_AWAY, ("not connected",), undo)


async def host_fell_silent(house: House) -> Blocked:
    await house.pool()
    await house.job()
    await house.host.cut()
    await house.pass_time(BOUND + 1)
    await house.add("t")
    node = await node_of(house)

    async def undo() -> None:
        await house.host.connect([node.no])
        await house.host.report(
            NodeHosted(report=number(house), node_no=node.no, address="127.0.0.2"),
            NodeReady(report=number(house), node_no=node.no),
        )

    return Blocked(Code.NODES_UNKNOWN, ("fell silent",), undo)


async def node_is_unusable(house: House) -> Blocked:
    await house.pool()
    await house.job()
    node = await node_of(house)
    full = Failure("servererror", "DiskFull", "The disk is full.")
    await house.host.report(NodeBroken(report=number(house), node_no=node.no, error=full))
    await house.add("t")

    async def undo() -> None:
        await _work(house, node, NodeWork.REIMAGE)
        await house.host.settle()

    return Blocked(Code.NODES_UNUSABLE, ("DiskFull: The disk is full",), undo)


async def _worked_on(house: House, work: NodeWork, code: Code, says: str) -> Blocked:
    await house.pool()
    await house.job()
    house.host.obedient = False
    await _work(house, await node_of(house), work)
    await house.add("t")

    async def undo() -> None:
        house.host.obedient = True
        await house.host.settle()

    return Blocked(code, (says,), undo)


async def node_is_rebooting(house: House) -> Blocked:
    return await _worked_on(house, NodeWork.REBOOT, Code.NODES_REBOOTING, "is rebooting")


async def node_is_reimaging(house: House) -> Blocked:
    return await _worked_on(house, NodeWork.REIMAGE, Code.NODES_REIMAGING, "is being reimaged")


async def node_is_deallocated(house: House) -> Blocked:
    await house.pool()
    await house.job()
    node = await node_of(house)
    await _work(house, node, NodeWork.DEALLOCATE)
    await house.host.settle()
    await house.add("t")

    async def undo() -> None:
        await house.engine.start_node(ACCOUNT, "pool", node.id)
        await house.host.settle()

    return Blocked(Code.NODES_DEALLOCATED, ("is deallocated",), undo)


async def node_is_preempted(house: House) -> Blocked:
    await house.pool(nodes=0, target_low_priority_nodes=1)
    await house.job()
    await house.engine.preempt_node(ACCOUNT, "pool", (await node_of(house)).id)
    await house.host.settle()
    await house.add("t")

    async def undo() -> None:
        await house.advance(61)
        await house.host.settle()

    return Blocked(Code.NODES_PREEMPTED, ("preempted, until 20",), undo)


async def node_is_disabled(house: House) -> Blocked:
    await house.pool()
    await house.job()
    node = await node_of(house)
    await house.engine.disable_node(ACCOUNT, "pool", node.id, Removal.REQUEUE)
    await house.add("t")

    async def undo() -> None:
        await house.engine.enable_node(ACCOUNT, "pool", node.id)

    return Blocked(Code.NODES_CLOSED, ("disabled for scheduling",), undo)


async def node_waits_to_reboot(house: House) -> Blocked:
    await house.pool()
    await house.job()
    await house.add("busy")
    runs = await house.runs()
    node = await node_of(house)
    how = Removal.TASK_COMPLETION
    await house.engine.work_on_node(ACCOUNT, "pool", node.id, NodeWork.REBOOT, how)
    await house.add("t")

    async def undo() -> None:
        await end(house, runs["busy"])
        await house.host.settle()

    return Blocked(Code.NODES_CLOSING, ("waiting for their tasks before a reboot",), undo)


async def node_is_leaving(house: House) -> Blocked:
    await house.pool()
    await house.job()
    await house.add("busy")
    runs = await house.runs()
    node = await node_of(house)
    how = NodeRemoval(node_list=[node.id], node_deallocation_option="taskcompletion")
    await house.engine.remove_nodes(ACCOUNT, "pool", how, ANY)
    await house.add("t")

    async def undo() -> None:
        await end(house, runs["busy"])
        await house.host.settle()
        await resize(house, 1)

    return Blocked(Code.NODES_LEAVING, ("is leaving the pool",), undo)


PREPARATION: Final = JobPreparationTask(id="prepare", command_line="true", wait_for_success=True)


async def preparation_failed(house: House) -> Blocked:
    await house.pool()
    await house.job(job_preparation_task=PREPARATION)
    await house.add("t")
    await end(house, (await house.runs())["prepare"], 5)

    async def undo() -> None:
        await resize(house, 2)
        await end(house, (await house.runs())["prepare"])

    says = ("failed on 1 node with exit code 5", "no other takes tasks")
    return Blocked(Code.PREPARATION_FAILED, says, undo, details={"exitCode": "5"})


async def preparation_runs(house: House) -> Blocked:
    await house.pool()
    await house.job(job_preparation_task=PREPARATION)
    await house.add("t")
    runs = await house.runs()

    async def undo() -> None:
        await end(house, runs["prepare"])

    return Blocked(Code.PREPARATION_RUNNING, ("preparation task of its job runs on",), undo)


# --- others --------------------------------------------------------------------------------------


async def slots_are_taken(house: House) -> Blocked:
    await house.pool(slots=4)
    await house.job()
    await house.add("y", required_slots=3)
    runs = await house.runs()
    await house.add("t", required_slots=2)

    async def undo() -> None:
        await end(house, runs["y"])

    says = ("It needs 2 slots; 3 of 4 are taken on its best node", "when task 'y' of job 'job'")
    return Blocked(Code.SLOTS_TAKEN, says, undo, details={"task": "y", "slotsTaken": "3"})


async def nodes_are_taken(house: House) -> Blocked:
    """By the manager of another job, which has its node for itself."""
    await house.pool(slots=4)
    other = JobManagerTask(id="boss", command_line="true", run_exclusive=True)
    await house.job("other", job_manager_task=other)
    boss = (await house.runs())["boss"]
    await house.job(job_manager_task=JobManagerTask(id="t", command_line="true"))

    async def undo() -> None:
        await end(house, boss)

    says = ("job manager 'boss' of job 'other'",)
    return Blocked(Code.NODES_HELD, says, undo)


async def manager_goes_first(house: House) -> Blocked:
    """The second node is held for the manager; the third slot of the first is not enough."""
    await house.pool(nodes=1, slots=2)
    await house.job("other")
    await house.add("y", job="other")
    runs = await house.runs()
    manager = JobManagerTask(id="boss", command_line="true", kill_job_on_completion=False)
    await house.job(job_manager_task=manager)
    await house.add("t")

    async def undo() -> None:
        await end(house, runs["y"])
        await end(house, (await house.runs())["boss"])

    return Blocked(Code.MANAGER_FIRST, ("job manager 'boss' of its job goes first",), undo)


async def nodes_are_held_for_it(house: House) -> Blocked:
    await house.pool(nodes=2, slots=1, enable_inter_node_communication=True)
    await house.job("other")
    await house.add("y", job="other")
    runs = await house.runs()
    await house.job()
    await house.add("t", multi_instance_settings=gang(2))

    async def undo() -> None:
        await end(house, runs["y"])

    says = (
        "2 of the 2 nodes that it needs at once are held",
        "1 of them free",
        "'y' of job 'other'",
    )
    return Blocked(Code.NODES_HELD, says, undo)


async def nodes_are_held_for_another(house: House) -> Blocked:
    await house.pool(nodes=2, slots=1, enable_inter_node_communication=True)
    await house.job("other")
    await house.add("y", job="other")
    y = (await house.runs())["y"]
    await house.job("large")
    await house.add("g", job="large", multi_instance_settings=gang(2))
    await house.job()
    await house.add("t")

    async def undo() -> None:
        await house.engine.terminate_task(ACCOUNT, "large", "g", ANY)

    del y
    says = ("held for task 'g' of job 'large'", "needs 2 nodes and has 1")
    return Blocked(Code.HELD_FOR_ANOTHER, says, undo)


async def sent_ahead(house: House) -> Blocked:
    await house.pool(slots=1)
    await house.job()
    await house.add("w")
    await house.host.end((await house.runs())["w"], length_us=1_000)
    await house.add("y", "t")
    runs = await house.runs()
    node = await node_of(house)

    async def undo() -> None:
        await end(house, runs["y"])
        await house.host.report(
            TaskBegan(
                report=number(house),
                task_no=runs["t"].task_no,
                attempt=runs["t"].attempt,
                start_us=house.now_us,
            )
        )

    says = (f"among the next on node {node.id!r}", "1 of 1 slots are taken", "when task 'y' of job")
    return Blocked(Code.NEXT_ON_NODE, says, undo, details={"task": "y", "job": "job"})


Make = Callable[[House], Coroutine[Any, Any, Blocked]]

ALL: Final[tuple[Make, ...]] = (
    job_is_disabled,
    job_runs_enough,
    dependency_is_missing,
    some_of_a_range_are_missing,
    dependency_is_unfinished,
    dependency_has_failed,
    dependency_is_blocked_in_turn,
    root_is_far_away,
    tasks_wait_for_each_other,
    pool_is_missing,
    pool_is_going,
    pool_is_empty,
    resize_was_stopped,
    resize_timed_out,
    quota_is_reached,
    task_is_too_large,
    nodes_may_not_speak,
    nodes_have_too_many_slots,
    pool_is_too_small,
    there_is_no_dedicated_node,
    nodes_have_no_host,
    nodes_are_starting,
    start_task_runs,
    start_task_failed,
    host_is_away,
    host_fell_silent,
    node_is_unusable,
    node_is_rebooting,
    node_is_reimaging,
    node_is_deallocated,
    node_is_preempted,
    node_is_disabled,
    node_waits_to_reboot,
    node_is_leaving,
    preparation_failed,
    preparation_runs,
    slots_are_taken,
    nodes_are_taken,
    manager_goes_first,
    nodes_are_held_for_it,
    nodes_are_held_for_another,
    sent_ahead,
)
