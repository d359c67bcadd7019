"""The events of all that happens: their names and fields, each once, and only what is durable."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.conditions import ANY
from penstock.domain.instants import Duration, instant_text
from penstock.domain.records import (
    Detail,
    Failure,
    JobNodeRecord,
    ScheduleRecord,
    SpecialRun,
    StartTaskInfo,
)
from penstock.domain.refusals import OperationInvalidForCurrentState, ServerBusy
from penstock.domain.specs.common import TaskConstraints
from penstock.domain.specs.job import AutoPool, JobSpec, JobTemplate, PoolInfo
from penstock.domain.specs.machine import (
    ImageReference,
    VirtualMachineConfiguration,
    WindowsConfiguration,
)
from penstock.domain.specs.network import NetworkConfiguration
from penstock.domain.specs.pool import (
    PoolSpec,
    PoolTemplate,
    Resize,
    SchedulingPolicy,
)
from penstock.domain.specs.schedule import JobScheduleSpec, Schedule
from penstock.domain.specs.special import JobPreparationTask, JobReleaseTask
from penstock.domain.states import (
    AllocationState,
    JobState,
    NodeState,
    PoolState,
    ScheduleState,
    TaskResult,
    TaskState,
)
from penstock.engine.event_log import MOST_STREAMS, EventLog
from penstock.engine.events import events_of
from penstock.engine.settings import Quotas
from penstock.engine.state import State
from tests.records import ACCOUNT, NOW_US, a_job, a_node, a_pool, a_task
from tests.unit.engine.house import FAILED, House, play

NOW = instant_text(NOW_US)
LATER_US = NOW_US + 3_000_000
LATER = instant_text(LATER_US)

Shown = tuple[str, dict[str, Any]]


def told(house: House, start: str = "") -> list[Shown]:
    """The durable events, in order, whose names begin like this."""
    return [
        (event.name, msgspec.json.decode(event.body))
        for _, event in sorted(house.store.log.items())
        if event.name.startswith(start)
    ]


def names(house: House, start: str = "") -> list[str]:
    return [name for name, _ in told(house, start)]


def of_change(change: c.Change, *before: c.Change) -> list[Shown]:
    """What a change tells to a memory that has taken others in."""
    state = State()
    for each in before:
        state.apply(each)
    found = events_of(change, state, LATER_US)
    assert all(account == ACCOUNT for account, _, _ in found)
    return [(name, msgspec.json.decode(body)) for _, name, body in found]


# --- tasks -----------------------------------------------------------------------------------


async def head(house: House, name: str, version: int, **more: Any) -> dict[str, Any]:
    (node,) = await house.nodes()
    return {
        "jobId": "job",
        "id": name,
        "taskType": "User",
        "systemTaskVersion": version,
        "requiredSlots": 1,
        "nodeInfo": {"poolId": "pool", "nodeId": node.id},
        "multiInstanceSettings": {"numberOfInstances": 1},
        "constraints": {"maxTaskRetryCount": 0},
        **more,
    }


def test_a_task_that_succeeds() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("one")
        run = (await house.runs())["one"]
        house.elapse(3)
        await house.host.end(run, length_us=3_000_000)
        common = await head(house, "one", 1)
        info = {
            "startTime": NOW,
            "endTime": LATER,
            "exitCode": 0,
            "retryCount": 0,
            "requeueCount": 0,
            "result": "Success",
        }
        assert told(house, "Task") == [
            ("TaskStartEvent", {**common, "executionInfo": {"retryCount": 0}}),
            ("TaskCompleteEvent", {**common, "executionInfo": info}),
        ]

    play(scenario)


def test_a_task_that_fails_after_a_retry() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("one", constraints=TaskConstraints(max_task_retry_count=1))
        await house.host.end((await house.runs())["one"], 2)
        failure = replace(FAILED, details=(Detail("Message", "no"),))
        await house.host.end((await house.runs())["one"], 2, failure)
        common = await head(house, "one", 2, constraints={"maxTaskRetryCount": 1})
        error = {
            "category": "UserError",
            "code": "FailureExitCode",
            "message": FAILED.message,
            "details": [{"name": "Message", "value": "no"}],
        }
        info = {
            "startTime": NOW,
            "endTime": NOW,
            "exitCode": 2,
            "retryCount": 1,
            "requeueCount": 0,
            "result": "Failure",
            "schedulingError": error,
        }
        found = told(house, "Task")
        assert [name for name, _ in found[:3]] == [
            "TaskStartEvent",
            "TaskRetryEvent",
            "TaskStartEvent",
        ]
        assert found[2][1]["executionInfo"] == {"retryCount": 1}
        assert found[3:] == [
            ("TaskCompleteEvent", {**common, "executionInfo": info}),
            ("TaskFailEvent", {**common, "executionInfo": info}),
        ]
        await house.engine.reactivate_task(ACCOUNT, "job", "one", ANY)
        assert names(house, "Task")[5:] == ["TaskReactivateEvent", "TaskStartEvent"]

    play(scenario)


def test_a_task_that_loses_its_node() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("one")
        await house.runs()
        common = await head(house, "one", 1)
        await house.host.cut()
        await house.pass_time(31)
        ((_, body),) = told(house, "TaskRequeue")
        assert body == {
            **common,
            "executionInfo": {
                "startTime": NOW,
                "endTime": instant_text(NOW_US + 31_000_000),
                "retryCount": 0,
                "requeueCount": 1,
            },
        }
        assert "TaskCompleteEvent" not in names(house)

    play(scenario)


def test_a_task_that_is_deleted_or_ended_before_it_ran() -> None:
    async def scenario(house: House) -> None:
        await house.job()
        await house.add("gone", "ended")
        await house.engine.delete_task(ACCOUNT, "job", "gone", ANY)
        await house.engine.terminate_task(ACCOUNT, "job", "ended", ANY)
        deleted, done, failed = told(house, "Task")
        assert deleted == ("TaskDeleteEvent", {"jobId": "job", "id": "gone"})
        assert (done[0], failed[0]) == ("TaskCompleteEvent", "TaskFailEvent")
        assert "nodeInfo" not in done[1]
        assert "startTime" not in done[1]["executionInfo"]
        assert done[1]["executionInfo"]["schedulingError"]["code"] == "TaskEnded"

    play(scenario)


def test_a_task_whose_node_could_not_be_prepared() -> None:
    run = SpecialRun(attempt=1, running=False, start_us=NOW_US, failure=FAILED)
    at = JobNodeRecord(
        no=9, release_no=10, job_no=3, pool_id="pool", node_no=2, node_id="node", boot=0
    )
    task = a_task(state=TaskState.PREPARING, node_no=2, attempt=1)
    before = (c.PutPool(a_pool()), c.PutNode(a_node()), c.PutJob(a_job()), c.AddTask(a_task(), b""))
    given = c.SetTask(task, TaskState.ACTIVE)
    back = c.SetTask(replace(task, state=TaskState.ACTIVE, requeue_count=1), TaskState.PREPARING)
    failed = c.PutJobNode(replace(at, preparation=run))
    ((name, body),) = of_change(back, *before, given, failed)
    assert name == "TaskScheduleFailEvent"
    assert body["schedulingError"]["code"] == "JobPreparationTaskFailed"
    assert "executionInfo" not in body
    ((name, _),) = of_change(back, *before, given)
    assert name == "TaskRequeueEvent", "its node was lost while it was prepared"


@pytest.mark.parametrize(
    ("task", "pool", "reason"),
    [
        ({"slots": 5}, {"task_slots_per_node": 4}, "TooManySlots"),
        ({"instances": 2}, {"enable_inter_node_communication": False}, "NoInterNodeCommunication"),
        ({"slots": 4}, {"task_slots_per_node": 4}, None),
        ({"instances": 9000}, {"enable_inter_node_communication": True}, None),
    ],
)
def test_a_task_that_no_node_of_its_pool_can_run(
    task: dict[str, Any], pool: dict[str, Any], reason: str | None
) -> None:
    defaults = {"task_slots_per_node": 1, **pool}
    with_pool = c.PutPool(replace(a_pool(), spec=replace(a_pool().spec, **defaults)))
    found = of_change(c.AddTask(replace(a_task(), **task), b""), with_pool, c.PutJob(a_job()))
    if reason is None:
        assert found == []
        return
    ((name, body),) = found
    assert name == "TaskScheduleFailEvent"
    error = body["schedulingError"]
    assert (error["category"], error["code"]) == ("UserError", "TaskSchedulingConstraintFailed")
    assert error["details"][0] == {"name": "Reason", "value": reason}
    assert of_change(c.AddTask(replace(a_task(), **task), b""), c.PutJob(a_job())) == []


def test_managers_and_tasks_of_many_nodes() -> None:
    task = a_task(state=TaskState.RUNNING, manager=True, instances=4, node_id="n", pool_id="p")
    before = (c.PutPool(a_pool()), c.PutJob(a_job()), c.AddTask(a_task(), b""))
    ((_, body),) = of_change(c.SetTask(task, TaskState.ACTIVE), *before)
    assert body["taskType"] == "JobManager"
    assert body["multiInstanceSettings"] == {"numberOfInstances": 4}


# --- special tasks ---------------------------------------------------------------------------


def test_preparation_and_release_are_told_when_they_end() -> None:
    job = a_job(
        job_preparation_task=JobPreparationTask(command_line="true", id="prep"),
        job_release_task=JobReleaseTask(command_line="true"),
    )
    runs = SpecialRun(attempt=1, running=True, start_us=NOW_US)
    ended = replace(runs, running=False, end_us=LATER_US, exit_code=0)
    at = JobNodeRecord(
        no=9,
        release_no=10,
        job_no=3,
        pool_id="pool",
        node_no=2,
        node_id="node",
        boot=0,
        preparation=runs,
    )
    before = (c.PutPool(a_pool()), c.PutNode(a_node()), c.PutJob(job))
    assert of_change(c.PutJobNode(at), *before) == []
    prepared = replace(at, preparation=ended)
    place = {"poolId": "pool", "nodeId": "node"}
    assert of_change(c.PutJobNode(prepared), *before, c.PutJobNode(at)) == [
        (
            "SpecialTaskEvent",
            {
                "jobId": "job",
                "taskName": "prep",
                "taskType": "JobPrep",
                "nodeInfo": place,
                "executionInfo": {
                    "startTime": NOW,
                    "endTime": LATER,
                    "exitCode": 0,
                    "result": "Success",
                },
            },
        )
    ]
    releasing = replace(prepared, release=replace(runs, attempt=1))
    released = replace(releasing, release=replace(ended, exit_code=1, failure=FAILED))
    put = (*before, c.PutJobNode(at), c.PutJobNode(prepared))
    assert of_change(c.PutJobNode(releasing), *put) == []
    ((_, body),) = of_change(c.PutJobNode(released), *put, c.PutJobNode(releasing))
    assert (body["taskType"], body["taskName"]) == ("JobRelease", "jobrelease")
    assert body["executionInfo"]["result"] == "Failure"
    again = c.PutJobNode(replace(released, boot=1))
    assert of_change(again, *put, c.PutJobNode(releasing), c.PutJobNode(released)) == []


def test_a_start_task_is_told_when_it_ends() -> None:
    running = StartTaskInfo(running=True, start_us=NOW_US)
    ended = replace(running, running=False, end_us=LATER_US, exit_code=1, failure=FAILED)
    node = a_node(start_task=running, state=NodeState.WAITING_FOR_START_TASK)
    before = (c.PutPool(a_pool()), c.PutNode(node))
    done = c.PutNode(replace(node, start_task=ended, state=NodeState.START_TASK_FAILED))
    changed, special = of_change(done, *before)
    assert changed[1]["state"] == "starttaskfailed"
    assert special[0] == "SpecialTaskEvent"
    assert special[1]["taskType"] == "StartTask"
    assert "jobId" not in special[1]
    assert of_change(done, *before, done) == []


# --- pools and nodes -------------------------------------------------------------------------


def test_the_life_of_a_pool() -> None:
    async def scenario(house: House) -> None:
        image = ImageReference(publisher="p", offer="o", sku="s", version="latest")
        machine = VirtualMachineConfiguration(
            image_reference=image,
            node_agent_sku_id="batch.node.ubuntu 22.04",
            windows_configuration=WindowsConfiguration(enable_automatic_updates=False),
        )
        await house.pool(
            2,
            4,
            target_low_priority_nodes=1,
            display_name="a pool",
            virtual_machine_configuration=machine,
            network_configuration=NetworkConfiguration(subnet_id="net"),
            resize_timeout=Duration.parse("PT5M"),
            task_scheduling_policy=SchedulingPolicy(node_fill_type="pack"),
            enable_inter_node_communication=True,
        )
        house.elapse(60)
        resize = Resize(target_dedicated_nodes=1, node_deallocation_option="taskcompletion")
        await house.engine.resize_pool(ACCOUNT, "pool", resize, ANY)
        house.elapse(1)
        await house.host.settle()
        await house.engine.delete_pool(ACCOUNT, "pool", ANY)
        house.elapse(1)
        await house.host.settle()
        sizes = {"enableAutoScale": False, "isAutoPool": False, "id": "pool"}
        grown = {
            **sizes,
            "nodeDeallocationOption": "Invalid",
            "targetDedicatedNodes": 2,
            "targetLowPriorityNodes": 1,
        }
        shrunk = {
            **sizes,
            "nodeDeallocationOption": "TaskCompletion",
            "targetDedicatedNodes": 1,
            "targetLowPriorityNodes": 1,
            "currentLowPriorityNodes": 1,
        }
        well = {"resultCode": "Success", "resultMessage": "The operation succeeded"}
        later = [instant_text(NOW_US + at * 1_000_000) for at in (60, 61, 62)]
        assert told(house, "Pool") == [
            (
                "PoolCreateEvent",
                {
                    "id": "pool",
                    "displayName": "a pool",
                    "vmSize": "standard_d4_v3",
                    "imageType": "VirtualMachineConfiguration",
                    "networkConfiguration": {"subnetId": "net"},
                    "virtualMachineConfiguration": {
                        "imageReference": {
                            "publisher": "p",
                            "offer": "o",
                            "sku": "s",
                            "version": "latest",
                        },
                        "nodeAgentId": "batch.node.ubuntu 22.04",
                        "windowsConfiguration": {"enableAutomaticUpdates": False},
                    },
                    "resizeTimeout": "300000",
                    "targetDedicatedNodes": 2,
                    "targetLowPriorityNodes": 1,
                    "taskSlotsPerNode": 4,
                    "vmFillType": "Pack",
                    "enableAutoScale": False,
                    "enableInterNodeCommunication": True,
                    "isAutoPool": False,
                },
            ),
            (
                "PoolResizeStartEvent",
                {**grown, "currentDedicatedNodes": 0, "currentLowPriorityNodes": 0},
            ),
            (
                "PoolResizeCompleteEvent",
                {
                    **grown,
                    **well,
                    "currentDedicatedNodes": 2,
                    "currentLowPriorityNodes": 1,
                    "startTime": NOW,
                    "endTime": NOW,
                },
            ),
            ("PoolResizeStartEvent", {**shrunk, "currentDedicatedNodes": 2}),
            (
                "PoolResizeCompleteEvent",
                {
                    **shrunk,
                    **well,
                    "currentDedicatedNodes": 1,
                    "startTime": later[0],
                    "endTime": later[1],
                },
            ),
            ("PoolDeleteStartEvent", {"id": "pool"}),
            (
                "PoolDeleteCompleteEvent",
                {"id": "pool", "startTime": later[1], "endTime": later[2]},
            ),
        ]

    play(scenario)


def test_a_resize_that_takes_too_long() -> None:
    async def scenario(house: House) -> None:
        await house.engine.add_pool(
            ACCOUNT, PoolSpec(id="pool", vm_size="standard_d2_v3", target_dedicated_nodes=2)
        )
        await house.pass_time(15 * 60 + 1)
        ((_, body),) = told(house, "PoolResizeComplete")
        assert body["resultCode"] == "AllocationTimedout"
        assert body["startTime"] == NOW
        assert (body["currentDedicatedNodes"], body["targetDedicatedNodes"]) == (0, 2)

    play(scenario)


def test_a_resize_is_told_as_long_as_it_lasts_through_a_stop() -> None:
    resizing = a_pool(allocation=AllocationState.RESIZING, resize_us=NOW_US, auto=True)
    stopping = replace(resizing, allocation=AllocationState.STOPPING, allocation_us=LATER_US)
    assert of_change(c.PutPool(stopping), c.PutPool(resizing)) == []
    error = Failure("usererror", "ResizeStopped", "stopped")
    steady = replace(stopping, allocation=AllocationState.STEADY, resize_errors=(error,))
    ((_, body),) = of_change(c.PutPool(steady), c.PutPool(resizing), c.PutPool(stopping))
    assert (body["startTime"], body["endTime"]) == (NOW, LATER)
    assert (body["resultCode"], body["isAutoPool"]) == ("ResizeStopped", True)
    assert [name for name, _ in of_change(c.PutPool(resizing))] == [
        "PoolCreateEvent",
        "PoolResizeStartEvent",
    ]
    gone = replace(steady, state=PoolState.DELETING)
    assert [name for name, _ in of_change(c.PutPool(gone), c.PutPool(steady))] == [
        "PoolDeleteStartEvent"
    ]


def test_nodes_tell_their_states_but_not_that_they_are_at_work() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("one")
        await house.host.end((await house.runs())["one"])
        await house.engine.delete_pool(ACCOUNT, "pool", ANY)
        await house.host.settle()
        found = told(house, "Node")
        states = [(body.get("previousState"), body.get("state")) for _, body in found]
        assert states == [
            (None, "creating"),
            ("creating", "starting"),
            ("starting", "idle"),
            ("idle", "leavingpool"),
            (None, None),
        ]
        assert found[-1][0] == "NodeDeleteCompleteEvent"
        assert {body["poolId"] for _, body in found} == {"pool"}

    play(scenario)


def test_a_node_that_goes_to_work_is_told_by_its_tasks() -> None:
    before = (c.PutPool(a_pool()), c.PutNode(a_node(state=NodeState.STARTING)))
    idle, works = c.PutNode(a_node()), c.PutNode(a_node(state=NodeState.RUNNING))
    assert len(of_change(idle, *before)) == 1
    assert of_change(works, *before, idle) == []
    assert of_change(idle, *before, works) == []


def test_a_node_that_no_host_has_leaves_as_any_other() -> None:
    async def scenario(house: House) -> None:
        await house.engine.add_pool(
            ACCOUNT, PoolSpec(id="pool", vm_size="standard_d4_v3", target_dedicated_nodes=1)
        )
        await house.engine.delete_pool(ACCOUNT, "pool", ANY)
        assert await house.pool_record() is None
        states = [body.get("state") for _, body in told(house, "Node")]
        assert states == ["creating", "leavingpool", None]

    play(scenario)


# --- jobs and schedules ----------------------------------------------------------------------


def test_a_job_without_the_auto_pool_that_it_was_to_have() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        info = PoolInfo(
            auto_pool_specification=AutoPool(
                pool_lifetime_option="job", pool=PoolTemplate(vm_size="standard_d4_v3")
            )
        )
        await house.engine.add_job(ACCOUNT, JobSpec(id="job", pool_info=info))
        created, *_, changed = told(house, "Job")
        assert created[1] == {"id": "job", "state": "active", "priority": 0}
        assert changed[1]["schedulingError"]["code"] == "AutoPoolCreationFailedWithQuotaReached"
        assert "poolId" not in changed[1]

    play(scenario, quotas=Quotas(pools=1))


def test_the_life_of_a_job() -> None:
    async def scenario(house: House) -> None:
        await house.job(priority=7)
        await house.engine.disable_job(ACCOUNT, "job", "wait", ANY)
        await house.engine.enable_job(ACCOUNT, "job", ANY)
        await house.engine.terminate_job(ACCOUNT, "job", "enough", ANY, force=False)
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=False)
        found = told(house, "Job")
        assert found[0] == (
            "JobCreateEvent",
            {"id": "job", "poolId": "pool", "state": "active", "priority": 7},
        )
        states = [(body["previousState"], body["state"]) for _, body in found[1:-1]]
        assert states == [
            ("active", "disabling"),
            ("disabling", "disabled"),
            ("disabled", "enabling"),
            ("enabling", "active"),
            ("active", "terminating"),
            ("terminating", "completed"),
            ("completed", "deleting"),
        ]
        assert found[-3][1]["terminateReason"] == "enough"
        assert found[-1] == (
            "JobDeleteCompleteEvent",
            {"id": "job", "startTime": NOW, "endTime": NOW},
        )

    play(scenario)


def test_the_life_of_a_schedule() -> None:
    spec = JobScheduleSpec(
        id="hourly",
        schedule=Schedule(),
        job_specification=JobTemplate(pool_info=PoolInfo(pool_id="pool")),
    )
    schedule = ScheduleRecord(
        no=20,
        account=ACCOUNT,
        spec=spec,
        state=ScheduleState.ACTIVE,
        state_us=NOW_US,
        created_us=NOW_US,
        modified_us=NOW_US,
        next_run_us=LATER_US,
    )
    made = c.PutSchedule(schedule)
    assert of_change(made) == [
        ("JobScheduleCreateEvent", {"id": "hourly", "state": "active", "nextRunTime": LATER})
    ]
    assert of_change(c.PutSchedule(replace(schedule, jobs_made=1)), made) == []
    fired = a_job(name="hourly:job-1", schedule_no=20, state=JobState.ACTIVE)
    ((name, body),) = of_change(c.PutJob(fired), made)
    assert (name, body["jobScheduleId"]) == ("JobCreateEvent", "hourly")
    off = c.PutSchedule(replace(schedule, state=ScheduleState.DISABLED))
    assert of_change(off, made) == [
        (
            "JobScheduleStateChangeEvent",
            {"id": "hourly", "previousState": "active", "state": "disabled"},
        )
    ]
    assert of_change(c.DropSchedule(20), made) == [
        ("JobScheduleDeleteCompleteEvent", {"id": "hourly", "startTime": NOW, "endTime": LATER})
    ]


# --- durable, in order, each once ------------------------------------------------------------


def test_numbers_go_up_with_what_happens() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        for round_no in range(3):
            await house.add(f"task-{round_no}")
            await house.host.end((await house.runs())[f"task-{round_no}"])
        ids = [event.no for event in await house.store.events(0, 1000)]
        assert ids == sorted(set(ids))
        done = [body["id"] for name, body in told(house) if name == "TaskCompleteEvent"]
        assert done == ["task-0", "task-1", "task-2"]

    play(scenario)


def test_what_was_not_committed_is_not_told() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("one")
        run = (await house.runs())["one"]
        before = dict(house.store.log)
        newest = house.engine.events.newest
        house.store.full = True
        logging.getLogger("penstock.engine").disabled = True
        with pytest.raises(ServerBusy):
            await house.host.end(run)
        assert house.store.log == before
        assert house.engine.events.newest == newest
        house.store.full = False
        house.elapse(10)
        await house.host.connect([], [(run.task_no, run.attempt)])
        await house.host.end(run)
        assert names(house, "TaskComplete") == ["TaskCompleteEvent"]
        assert names(house, "TaskStart") == ["TaskStartEvent"]

    try:
        play(scenario)
    finally:
        logging.getLogger("penstock.engine").disabled = False


def test_a_restart_tells_nothing_again() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("one", "two", "three")
        runs = await house.runs()
        await house.host.end(runs["one"])
        before = told(house)
        await house.crash()
        nodes = [node.no for node in await house.nodes()]
        await house.host.connect(nodes, [(run.task_no, run.attempt) for run in runs.values()])
        await house.host.end(runs["one"])  # it was not confirmed, so the host says it again
        assert told(house) == before
        await house.host.end(runs["two"])
        assert [name for name, _ in told(house)][len(before) :] == ["TaskCompleteEvent"]

    play(scenario)


def test_the_log_can_be_off() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        assert house.store.log
        house.settings = replace(house.settings, events_kept=0)
        await house.crash()
        await house.job()
        await house.engine.sweep()
        assert not house.store.log, "what was kept before goes too"
        with pytest.raises(OperationInvalidForCurrentState):
            house.engine.events.check()

    play(scenario)


# --- reading ---------------------------------------------------------------------------------


def test_the_log_is_cut_and_says_so() -> None:
    async def scenario(house: House) -> None:
        house.settings = replace(house.settings, events_kept=10)
        await house.crash()
        await house.pool()
        await house.job()
        await house.engine.sweep()
        log = house.engine.events
        cursor = (await log.page(ACCOUNT, 0, 1)).next
        for number in range(20):
            await house.add(f"t{number}")
        for run in (await house.runs()).values():
            await house.host.end(run)
        await house.engine.sweep()
        kept = await log.page(ACCOUNT, 0, 1000)
        assert len(kept.events) == 10
        assert not kept.missed, "who asks for all that is kept misses nothing of it"
        late = await log.page(ACCOUNT, cursor, 1000)
        assert late.missed
        assert late.first <= late.events[0].no
        assert not (await log.page(ACCOUNT, late.next, 1000)).missed
        await house.crash()
        assert (await house.engine.events.page(ACCOUNT, cursor, 1000)).missed

    play(scenario)


def test_accounts_see_their_own() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        log = house.engine.events
        mine, other, all_ = [await log.page(name, 0, 1000) for name in (ACCOUNT, "other", None)]
        assert mine.events == all_.events
        assert other.events == []
        assert other.next == mine.next, "nothing has to be looked at twice"

    play(scenario)


def test_who_reads_an_empty_log_need_not_look_at_it_again() -> None:
    async def story() -> None:
        log = EventLog(House().store, 10)
        await log.open(100)
        page = await log.page(ACCOUNT, 0, 5)
        assert (page.events, page.next) == ([], 99)
        waiting = asyncio.create_task(log.wait(page.next, 5))
        done, _ = await asyncio.wait({waiting}, timeout=0.02)
        assert not done
        log.close()
        await waiting

    asyncio.run(story())


def test_pages_follow_each_other_without_gaps() -> None:
    async def scenario(house: House) -> None:
        await house.pool(3)
        log = house.engine.events
        whole = (await log.page(ACCOUNT, 0, 1000)).events
        found: list[Any] = []
        after = 0
        while page := (read := await log.page(ACCOUNT, after, 2)).events:
            found += page
            after = read.next
        assert found == whole

    play(scenario)


def test_who_waits_is_woken_when_it_is_durable_or_at_the_end() -> None:
    async def scenario(house: House) -> None:
        log = house.engine.events
        waiting = asyncio.create_task(log.wait(log.newest, 20))
        await asyncio.sleep(0)
        assert not waiting.done()
        await house.job()
        async with asyncio.timeout(5):
            await waiting
            await log.wait(log.newest, 0.01)
            closing = asyncio.create_task(log.wait(log.newest, 20))
            await asyncio.sleep(0)
            log.close()
            await closing

    play(scenario)


def test_streams_are_bounded() -> None:
    house = House()
    log = EventLog(house.store, 10)
    for _ in range(MOST_STREAMS):
        log.join()
    with pytest.raises(ServerBusy):
        log.join()
    log.leave()
    log.join()


def test_results_are_spelled_like_azures() -> None:
    task = a_task(state=TaskState.COMPLETED, result=TaskResult.FAILURE, failure=FAILED)
    before = (c.PutPool(a_pool()), c.PutJob(a_job()), c.AddTask(a_task(), b""))
    done, failed = of_change(c.SetTask(task, TaskState.ACTIVE), *before)
    assert (done[0], failed[0]) == ("TaskCompleteEvent", "TaskFailEvent")
    assert done[1] == failed[1]
