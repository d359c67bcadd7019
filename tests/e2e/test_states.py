"""Every state and every legal move of the tables, through the API.

Each scenario is there for the moves that stand above it; all together are there for all that the
tables have. Requests go over HTTP with the official SDK, and nodes are on a real node host, which
is stopped, killed and robbed of its disk where that is what moves them. A watch sees the moves as
they are committed, and whether any goes past the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from azure.batch.models import (
    AllocationState,
    BatchAutoPoolSpecification,
    BatchJobCreateOptions,
    BatchJobScheduleState,
    BatchJobState,
    BatchNodeState,
    BatchPoolInfo,
    BatchPoolLifetimeOption,
    BatchPoolResizeOptions,
    BatchPoolSpecification,
    BatchStartTask,
    BatchTaskCreateOptions,
    BatchTaskState,
    MultiInstanceSettings,
    ResourceFile,
)
from websockets.sync.client import connect

from penstock.config import Config
from penstock.messages import LINK_PATH, PROTOCOL, Hello, MakeNode, NodeHosted, encode, instructions
from tests.certificates import body, new_certificate
from tests.e2e.inside import Inside
from tests.e2e.moves import (
    ALL_MOVES,
    ALLOCATION,
    CERTIFICATE,
    JOB,
    NODE,
    POOL,
    SCHEDULE,
    SUBTASK,
    TASK,
    Watch,
    moves,
)
from tests.e2e.signing import Wire
from tests.e2e.things import (
    add,
    completed,
    in_state,
    pool_options,
    running,
    task_options,
    unique,
)
from tests.e2e.waiting import eventually
from tests.e2e.world import FAILS, LASTS, NO_POOL, WITHIN_S, World


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens, and for the sake of which moves."""

    run: Callable[[World], None]
    moves: frozenset[str]
    hasty: bool  # on the server that soon gives up a silent host
    hosted: bool  # with a real node host


SCENARIOS: list[Scenario] = []
SHA1 = {"thumbprintAlgorithm": "sha1"}


def scenario(
    *named: frozenset[str], hasty: bool = False, hosted: bool = True
) -> Callable[[Callable[[World], None]], Callable[[World], None]]:
    """Put a function into the table of scenarios, with the moves that it is there for."""

    def note(run: Callable[[World], None]) -> Callable[[World], None]:
        SCENARIOS.append(Scenario(run, frozenset().union(*named), hasty, hosted))
        return run

    return note


@scenario(
    moves(
        CERTIFICATE,
        "active -> deleting",
        "deleting -> deletefailed",
        "deletefailed -> deleting, active",
    ),
    hosted=False,
)
def a_certificate_is_wanted_gone_while_a_pool_needs_it(world: World) -> None:
    mine = new_certificate()
    path = f"/certificates(thumbprintAlgorithm=sha1,thumbprint={mine.thumbprint})"
    with Wire.to(world.service.ready) as wire:

        def ask(method: str, path: str, sent: object, status: int) -> None:
            answer = wire.send(method, path, sent, query={"api-version": "2024-07-01.20.0"})
            assert answer.status_code == status, answer.text

        ask("POST", "/certificates", body(mine.der, mine.thumbprint), 201)
        refers = {"certificateReferences": [{"thumbprint": mine.thumbprint} | SHA1]}
        ask("PATCH", f"/pools/{world.pool(0)}", refers, 200)
        for method, action, status in (
            ("DELETE", "", 202),
            ("DELETE", "", 202),
            ("POST", "/canceldelete", 204),
            ("DELETE", "", 202),
        ):
            ask(method, path + action, None, status)
        for pool in world.client.list_pools():
            world.client.begin_delete_pool(pool.id, polling_interval=1)
        eventually(lambda: not list(world.client.list_pools()), WITHIN_S, "the end of the pool")
        ask("DELETE", path, None, 202)


# --- pools and nodes -----------------------------------------------------------------------------


@scenario(
    moves(ALLOCATION, "steady -> resizing", "resizing -> steady, stopping", "stopping -> steady"),
    moves(POOL, "active -> deleting"),
    moves(NODE, "creating -> starting, leavingpool"),
)
def a_pool_grows_and_is_told_to_stop(world: World) -> None:
    pool = world.pool(1)
    world.nodes(pool, 1)
    with world.host.frozen():
        more = BatchPoolResizeOptions(target_dedicated_nodes=2)
        world.client.begin_resize_pool(pool, more, polling_interval=1)
        world.nodes(pool, 1, BatchNodeState.CREATING)
        world.client.begin_stop_pool_resize(pool, polling_interval=1)
        assert world.client.get_pool(pool).allocation_state == AllocationState.STOPPING
    eventually(
        lambda: world.client.get_pool(pool).allocation_state == AllocationState.STEADY,
        WITHIN_S,
        "a pool that is steady",
    )
    world.client.begin_delete_pool(pool, polling_interval=1)


@scenario(
    moves(
        NODE,
        "starting -> waitingforstarttask, idle",
        "waitingforstarttask -> starttaskfailed, idle",
        "starttaskfailed -> rebooting, reimaging",
        "idle -> running, offline, deallocating, rebooting, reimaging",
        "running -> idle, deallocating, rebooting, reimaging",
        "offline -> idle, deallocating, rebooting, reimaging",
        "rebooting, reimaging -> starting",
        "deallocating -> deallocated",
        "deallocated -> starting",
    )
)
def users_work_on_nodes(world: World) -> None:
    plain, waiting, failing = (
        world.pool(10),
        world.pool(start=world.waits),
        world.pool(2, start=FAILS),
    )
    idle = world.nodes(plain, 10)
    busy, offline, closed = idle[3:6], idle[6:9], idle[9]
    failed = world.nodes(failing, 2, BatchNodeState.START_TASK_FAILED)
    world.nodes(waiting, 1, BatchNodeState.WAITING_FOR_START_TASK)
    world.disable(*offline, closed)
    job = world.occupy(*busy)
    for nodes in (idle[:3], busy, offline):
        world.reboot(nodes[0])
        world.reimage(nodes[1])
        world.deallocate(nodes[2])
    world.reboot(failed[0])
    world.reimage(failed[1])
    world.terminate_job(job)
    world.client.enable_node_scheduling(*closed)
    world.flag.touch()
    world.nodes(waiting, 1)
    brief = world.job(waiting)
    add(world.client, brief, task_options("t", "/bin/true"))
    world.until(BatchNodeState.DEALLOCATED, idle[2])
    world.start(idle[2])


@scenario(
    moves(
        NODE,
        "creating -> unusable",
        "starting, waitingforstarttask, starttaskfailed -> leavingpool",
        "idle, running, offline, rebooting, reimaging -> leavingpool",
        "unusable, preempted, deallocating, deallocated -> leavingpool",
    )
)
def nodes_leave_whatever_they_do(world: World) -> None:
    broken, low = world.pool(spoilt=True), world.pool(low=True)
    world.nodes(broken, 1, BatchNodeState.UNUSABLE)
    (taken,) = world.nodes(low, 1)
    line = world.lineup()
    stopped = world.pool()
    (deallocated,) = world.nodes(stopped, 1)
    world.deallocate(deallocated)
    world.until(BatchNodeState.DEALLOCATED, deallocated)
    with world.host.frozen():
        world.reboot(line.reboots)
        world.reimage(line.reimages)
        world.deallocate(line.stops)
        world.start(line.starts)
        world.preempt(taken)
        for pool in (broken, low, stopped, *line.pools):
            world.client.begin_delete_pool(pool, polling_interval=1)


@scenario(
    moves(
        NODE,
        "starting, waitingforstarttask, starttaskfailed -> preempted",
        "idle, running, offline, rebooting, reimaging -> preempted",
        "preempted -> creating",
    )
)
def nodes_are_preempted_whatever_they_do(world: World) -> None:
    line = world.lineup(low=True)
    with world.host.frozen():
        world.reboot(line.reboots)
        world.reimage(line.reimages)
        world.start(line.starts)
        world.preempt(line.starts, line.waiting, line.failed, line.idle, line.busy, line.offline)
        world.preempt(line.reboots, line.reimages)


@scenario(
    moves(
        NODE,
        "waitingforstarttask, starttaskfailed, idle, offline -> unknown",
        "rebooting, reimaging, unusable -> unknown",
        "unknown -> starting, leavingpool",
    ),
    hasty=True,
)
def a_host_falls_silent_and_comes_back(world: World) -> None:
    spoilt = world.pool(spoilt=True)
    (broken,) = world.nodes(spoilt, 1, BatchNodeState.UNUSABLE)
    line = world.lineup()
    with world.host.frozen():
        world.reboot(line.reboots)
        world.reimage(line.reimages)
        world.until(BatchNodeState.UNKNOWN, line.waiting, line.failed, line.idle, line.busy)
        world.until(BatchNodeState.UNKNOWN, line.offline, line.reboots, line.reimages, broken)
        world.client.begin_delete_pool(spoilt, polling_interval=1)
        eventually(
            lambda: spoilt not in {pool.id for pool in world.client.list_pools()},
            WITHIN_S,
            "the end of a pool whose node is unknown",
        )


@scenario(
    moves(
        NODE,
        "starting, waitingforstarttask, starttaskfailed -> unusable",
        "idle, offline, rebooting, reimaging -> unusable",
        "unusable -> starting, reimaging",
    )
)
def a_host_loses_its_disk(world: World) -> None:
    line, other = world.lineup(), world.pool(3)
    three = world.nodes(other, 3)
    world.deallocate(three[2])
    world.until(BatchNodeState.DEALLOCATED, three[2])
    world.spoil(other)  # none of its nodes can be made from here on
    world.reboot(three[0])
    world.reimage(three[1])
    world.start(three[2])
    world.until(BatchNodeState.UNUSABLE, *three)

    world.host.kill()
    world.host.forget_all()
    for pool in line.pools:
        world.spoil(pool)
    world.host.start()
    world.until(BatchNodeState.UNUSABLE, line.waiting, line.failed)
    world.until(BatchNodeState.UNUSABLE, line.idle, line.busy, line.offline)

    world.mend()
    world.reimage(line.waiting)
    world.until(BatchNodeState.WAITING_FOR_START_TASK, line.waiting)
    world.host.kill()
    world.host.start()  # what it could not make it makes now, as it is told of it anew


@scenario(moves(NODE, "running -> unknown, unusable"), hasty=True)
def one_of_two_hosts_fails_a_task_of_both(world: World) -> None:
    """The tasks of a lost node are taken off it first, but for one that still runs on another."""
    with world.other_host():
        pool = world.pool(2, together=True)
        world.nodes(pool, 2)
        add(world.client, world.job(pool), several_nodes("t", LASTS))
        world.nodes(pool, 2, BatchNodeState.RUNNING)
        with world.host.frozen():
            world.nodes(pool, 1, BatchNodeState.UNKNOWN)
        world.nodes(pool, 2, BatchNodeState.RUNNING)
        world.host.kill()
        world.host.forget_all()
        world.spoil(pool)
        world.host.start()
        world.nodes(pool, 1, BatchNodeState.UNUSABLE)
        world.clear()


@scenario(moves(NODE, "starting -> unknown"), hasty=True, hosted=False)
def a_host_falls_silent_while_a_node_starts(world: World) -> None:
    """A scripted host, as a real one tells all that it has to of a node that has no start task
    to wait for in one message: that it has the node, and that the node is ready."""
    pool = world.pool()
    ready = world.service.ready
    token = world.service.plan.agent_token
    with connect(
        f"ws{ready.endpoint.removeprefix('http')}{LINK_PATH}",
        additional_headers={"Authorization": f"Bearer {token}"},
        compression=None,
        proxy=None,
    ) as link:
        hello = Hello(
            protocol=PROTOCOL,
            host="scripted",
            version="0",
            pid=1,
            started_us=1,
            cores=1,
            nodes=(),
            attempts=(),
        )
        link.send(encode([hello]))
        order = next(
            each
            for batch in iter(lambda: link.recv(WITHIN_S, decode=False), b"")
            for each in instructions(batch)
            if isinstance(each, MakeNode)
        )
        hosted = NodeHosted(report=1, node_no=order.node_no, address="127.0.0.2", boot=order.boot)
        link.send(encode([hosted]))
        world.nodes(pool, 1, BatchNodeState.STARTING)
        world.nodes(pool, 1, BatchNodeState.UNKNOWN)


# --- jobs and schedules --------------------------------------------------------------------------


@scenario(
    moves(
        JOB,
        "active -> disabling, completed, terminating, deleting",
        "disabling -> disabled",
        "disabled -> disabling, enabling, terminating, deleting",
        "enabling -> active",
        "terminating -> completed",
        "completed -> deleting",
    )
)
def jobs_without_tasks(world: World) -> None:
    one, two, three = world.job(), world.job(), world.job()
    for job in (one, two, three):
        world.disable_job(job)
        world.until_job(job, BatchJobState.DISABLED)
    world.disable_job(one)
    world.until_job(one, BatchJobState.DISABLED)
    world.enable_job(one)
    world.until_job(one, BatchJobState.ACTIVE)
    world.terminate_job(one)
    world.until_job(one, BatchJobState.COMPLETED)
    world.delete_job(one)
    world.terminate_job(two)
    world.delete_job(three)
    world.delete_job(world.job())
    assert world.client.get_job(job_without_pool(world)).state == BatchJobState.COMPLETED


def job_without_pool(world: World) -> str:
    """A job whose auto pool cannot be: its start task wants a storage that is not linked."""
    like = pool_options("like")
    files = [ResourceFile(auto_storage_container_name="missing")]
    auto = BatchAutoPoolSpecification(
        pool_lifetime_option=BatchPoolLifetimeOption.JOB,
        pool=BatchPoolSpecification(
            vm_size=like.vm_size,
            virtual_machine_configuration=like.virtual_machine_configuration,
            start_task=BatchStartTask(command_line="/bin/true", resource_files=files),
        ),
    )
    info = BatchPoolInfo(auto_pool_specification=auto)
    options = BatchJobCreateOptions(id=unique("auto"), pool_info=info)
    world.client.create_job(options)
    return options.id


@scenario(moves(JOB, "enabling -> disabling, terminating, deleting"))
def jobs_are_asked_for_more_while_they_are_enabled(world: World) -> None:
    """A job is enabling for one commit, so a slow disk has to show it: what is asked while one
    commit stands still is decided with the next."""
    jobs = [world.job() for _ in range(3)]
    for job in jobs:
        world.disable_job(job)
        world.until_job(job, BatchJobState.DISABLED)
    asked = world.watch.asked
    then: dict[str, Callable[[str], None]] = {
        "disable_job": world.disable_job,
        "terminate_job": world.terminate_job,
        "delete_job": world.delete_job,
    }

    def waits(name: str, count: int) -> None:
        eventually(lambda: asked[name] == count, WITHIN_S, f"{name} to be asked")

    with ThreadPoolExecutor(6) as others:
        asked.clear()
        with world.watch.disk_standing_still():
            calls = [others.submit(world.enable_job, job) for job in jobs]
            waits("enable_job", 3)
            for job, (name, ask) in zip(jobs, then.items(), strict=True):
                calls.append(others.submit(ask, job))
                waits(name, 1)
        for call in calls:
            call.result(WITHIN_S)


@scenario(
    moves(
        JOB,
        "disabling -> disabling, enabling, terminating, deleting",
        "terminating -> deleting",
    ),
)
def jobs_whose_tasks_do_not_end(world: World) -> None:
    pool = world.pool(slots=4)
    one, two, three, four = (world.job_with_task(pool) for _ in range(4))
    with world.host.frozen():
        for job in (one, two, three):
            world.disable_job(job, "wait")
        world.disable_job(one)
        world.enable_job(one)
        world.terminate_job(two)
        world.delete_job(three)
        world.terminate_job(four)
        world.delete_job(four)


@scenario(
    moves(
        SCHEDULE,
        "active -> disabled, completed, terminating, deleting",
        "disabled -> active, terminating, deleting",
        "terminating -> completed, deleting",
        "completed -> deleting",
    )
)
def schedules(world: World) -> None:
    client, pool = world.client, world.pool()
    one, two, three, held = (world.schedule(where) for where in (NO_POOL, NO_POOL, NO_POOL, pool))
    for each in (one, two, three):
        client.disable_job_schedule(each)
    client.enable_job_schedule(one)
    client.begin_terminate_job_schedule(one, polling_interval=1)
    client.begin_terminate_job_schedule(two, polling_interval=1)
    client.begin_delete_job_schedule(three, polling_interval=1)
    client.begin_delete_job_schedule(world.schedule(), polling_interval=1)
    last = world.schedule(once=True)
    for each in (one, two, last):
        world.until_schedule(each, BatchJobScheduleState.COMPLETED)
    client.begin_delete_job_schedule(one, polling_interval=1)
    job = f"{held}:job-1"
    add(client, job, task_options("t", LASTS))
    running(client, job, "t")
    with world.host.frozen():
        client.begin_terminate_job_schedule(held, polling_interval=1)
        assert client.get_job_schedule(held).state == BatchJobScheduleState.TERMINATING
        client.begin_delete_job_schedule(held, polling_interval=1)


# --- tasks ---------------------------------------------------------------------------------------


@scenario(
    moves(
        TASK,
        "active -> running, completed",
        "running -> completed: exited",
        "running -> completed: terminated",
        "running -> active: retried",
        "running -> active: requeued",
        "completed -> active",
    )
)
def tasks_run(world: World) -> None:
    client, pool = world.client, world.pool(slots=4)
    job = world.job(pool)
    add(client, job, task_options("fails", FAILS, retries=1))
    completed(client, job, "fails")
    client.reactivate_task(job, "fails")
    nowhere = world.job()
    add(client, nowhere, task_options("waits", LASTS))
    client.terminate_task(nowhere, "waits")
    world.disable_job(world.job_with_task(pool))
    with world.host.frozen():
        world.terminate_job(world.job_with_task(pool), force=True)


@scenario(moves(TASK, "active -> preparing", "preparing -> running, active, completed"))
def tasks_wait_for_their_node_to_be_prepared(world: World) -> None:
    client, pool = world.client, world.pool(slots=4)
    begins, requeued, ended = (world.job(pool, preparation=world.waits) for _ in range(3))
    for job in (begins, requeued, ended):
        add(client, job, task_options("t", "/bin/true"))
        in_state(client, job, "t", BatchTaskState.PREPARING)
    world.disable_job(requeued)
    client.terminate_task(ended, "t")
    world.flag.touch()
    completed(client, begins, "t")


@scenario(moves(SUBTASK, "preparing -> running, completed", "running -> completed"))
def tasks_of_several_nodes(world: World) -> None:
    client, pool = world.client, world.pool(2, together=True)
    task = several_nodes("t", "/bin/true")
    job = world.job(pool)
    add(client, job, task)
    completed(client, job, "t")
    waits = world.job(pool, preparation=world.waits)
    add(client, waits, task)
    in_state(client, waits, "t", BatchTaskState.PREPARING)
    client.terminate_task(waits, "t")


def several_nodes(task_id: str, command_line: str) -> BatchTaskCreateOptions:
    """A task of two nodes."""
    task = task_options(task_id, command_line)
    task.multi_instance_settings = MultiInstanceSettings(
        number_of_instances=2, coordination_command_line="/bin/true"
    )
    return task


# --- how they are run ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    watch = Watch()
    with watch.watching():
        yield watch


@pytest.fixture(scope="module")
def patient(watch: Watch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A server that waits long for a silent host, and soon gives back what was preempted."""
    config = Config(low_priority_return_s=0.1, heartbeat_s=0.5)
    with Inside(tmp_path_factory.mktemp("patient"), config) as service:
        yield service


@pytest.fixture(scope="module")
def hasty(watch: Watch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A server that soon gives up a silent host."""
    config = Config(node_silent_s=3.0, heartbeat_s=0.25)
    with Inside(tmp_path_factory.mktemp("hasty"), config) as service:
        yield service


@pytest.mark.parametrize("scenario", [pytest.param(it, id=it.run.__name__) for it in SCENARIOS])
def test_moves(
    scenario: Scenario, watch: Watch, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    service: Inside = request.getfixturevalue("hasty" if scenario.hasty else "patient")
    if scenario.hosted:
        service.host.start()
    else:
        service.host.end()
    watch.made.clear()
    world = World(service, watch, tmp_path)
    try:
        scenario.run(world)
        eventually(
            lambda: scenario.moves <= watch.made,
            WITHIN_S,
            "all moves",
            seen=lambda: f"missing {sorted(scenario.moves - watch.made)}",
        )
    finally:
        world.clear()
    assert watch.wrong == []
    assert service.errors == []


def test_the_scenarios_make_every_move() -> None:
    made = frozenset().union(*(scenario.moves for scenario in SCENARIOS))
    assert ALL_MOVES - made == set()
