"""The node hosts that are connected, and what their words mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.metering import Sample
from penstock.domain.records import NodeRecord, StartTaskInfo, TaskRecord
from penstock.domain.states import JobState, NodeEvent, NodeState, SchedulingState, TaskState
from penstock.engine import gangs, losses, metering, nodes, orders, runs, special
from penstock.engine.departures import is_dropped, node_gone, off_host
from penstock.engine.occupancy import move_node
from penstock.engine.settings import EngineSettings
from penstock.engine.turn import Turn
from penstock.messages import (
    ChoreDone,
    DropNode,
    Heartbeat,
    Hello,
    Instruction,
    KillTask,
    NodeBroken,
    NodeGone,
    NodeHosted,
    NodeReady,
    NumberedReport,
    ReturnTask,
    StartTaskBegan,
    StartTaskEnded,
    TaskBegan,
    TaskCoordinated,
    TaskEnded,
    Welcome,
    instructions,
)

Send = Callable[[Sequence[Instruction]], None]


class Link:
    """One connected node host."""

    def __init__(self, hello: Hello, send: Send, now_us: int) -> None:
        self.host = hello.host
        self.hello = hello
        self.send = send
        self.heard_us = now_us
        self.lost = False  # it was given up, and has not been greeted since
        self.returning = False  # it is to be greeted in a turn to come
        self.broken = False  # a report was not taken, so no later one may be confirmed

    def breaks(self) -> None:
        """Take no more reports over this connection."""
        self.broken = True


async def connected(turn: Turn, settings: EngineSettings, link: Link) -> list[Instruction]:
    """A host is there (again): tell it what it should have. Gives what to send it first."""
    state = turn.state
    state.linked.add(link.host)
    state.host_versions[link.host] = link.hello.version
    mine = state.roster.of_host(link.host)
    known = set(link.hello.attempts)
    wanted = [task for node in mine for task in state.given_to(node.no)]
    wanted.sort(key=lambda task: task.ahead)  # what runs by the record has its slots first
    staying = [node for node in mine if not is_dropped(node)]
    first: list[Instruction] = [
        Welcome(
            server=settings.server_id,
            nodes=tuple(node.no for node in mine),
            attempts=tuple(_wanted_runs(turn, mine, wanted)),
            heartbeat_s=settings.heartbeat_s,
        )
    ]
    for node in mine:
        if node not in staying:
            first.append(DropNode(node_no=node.no, boot=node.boot))
    for node in mine:
        for chore in state.chores_on(node.no):
            first.extend(instructions(chore.message))
    first += [nodes.order_for(turn, node, settings) for node in staying]
    specs = await turn.tasks([task.no for task in wanted])
    for node in staying:
        first += special.orders_again(turn, node.no, known)
        for task in filter(gangs.is_gang, state.given_to(node.no)):
            first += gangs.orders_again(turn, task, specs[task.no][1], node.no, known)
    for task in filter(_is_one_run, wanted):
        if task.ahead and task.ending is None:
            first += _ahead_again(turn, task)
        if (task.no, task.attempt) not in known and task.ending is None:
            first.append(orders.task_order(turn, task, specs[task.no][1]))
        if task.ending is not None:
            first.append(KillTask(node_no=task.node_no or 0, task_no=task.no, attempt=task.attempt))
    for node in staying:
        state.open_or_close(node)
    nodes.find_hosts(turn, settings)
    return first


def _is_one_run(task: TaskRecord) -> bool:
    """Whether a task that a node has is a single run that was sent."""
    return task.state is not TaskState.PREPARING and not gangs.is_gang(task)


def _wanted_runs(
    turn: Turn, mine: Sequence[NodeRecord], wanted: Sequence[TaskRecord]
) -> list[tuple[int, int]]:
    """The runs that a host should have, as numbers and attempts."""
    found = [(task.no, task.attempt) for task in wanted if _is_one_run(task)]
    for node in mine:
        found += special.runs_on(turn, node.no)
        for task in filter(gangs.is_gang, turn.state.given_to(node.no)):
            found += [(no, task.attempt) for _, no in gangs.runs_of(turn, task, node.no)]
    return found


def _ahead_again(turn: Turn, task: TaskRecord) -> list[Instruction]:
    """What was sent ahead is called back again where it should not begin; else its wait goes on."""
    node = turn.node(task.node_no)
    if (
        node is not None
        and _is_open(node)
        and turn.state.jobs[task.job_no].state is JobState.ACTIVE
    ):
        turn.state.ahead_since_us.pop(task.no, None)
        turn.state.ahead_since_us[task.no] = turn.now_us
        return []
    return [ReturnTask(node_no=task.node_no or 0, task_no=task.no, attempt=task.attempt)]


def _is_open(node: NodeRecord) -> bool:
    enabled = node.scheduling is SchedulingState.ENABLED
    return enabled and node.leaving is None and node.wish is None


def disconnected(turn: Turn, host: str) -> None:
    """A host's connection is gone; its tasks may run on, so nothing is believed of them yet."""
    turn.state.linked.discard(host)
    for node in turn.state.roster.of_host(host):
        turn.state.open_or_close(node)


def lost(turn: Turn, host: str) -> None:
    """A host was silent for too long; it has to be greeted anew before it is given anything."""
    turn.state.linked.discard(host)
    for node in turn.state.roster.of_host(host):
        losses.lose_node(turn, turn.state.nodes[node.no])


def sampled(turn: Turn, host: str, sample: Sample | None) -> None:
    """A host has had a look at its machine."""
    if sample is not None:
        for change in metering.sampled(turn.state, host, sample, turn.now_us):
            turn.put(change)


def stale_attempts(turn: Turn, beat: Heartbeat) -> list[KillTask]:
    """Attempts that a host runs and the record does not know (any more)."""
    return [
        KillTask(node_no=0, task_no=task_no, attempt=attempt)
        for task_no, attempt in beat.attempts
        if not _is_known(turn, task_no, attempt)
    ]


def _is_known(turn: Turn, run_no: int, attempt: int) -> bool:
    """Whether the record has a run that may go on."""
    state = turn.state
    task = state.given.get(run_no)
    if task is not None:
        return task.attempt == attempt
    part = state.subtasks.get(run_no)
    if part is not None:
        return part.attempt == attempt
    job_node = state.job_nodes.of_run(run_no)
    if job_node is None:
        return False
    run = job_node.preparation if run_no == job_node.no else job_node.release
    return run is not None and run.running and run.attempt == attempt


async def reported(turn: Turn, report: NumberedReport) -> None:
    """Believe a report, once the turn is committed."""
    report = _in_service_time(report, turn.state.clock_offset_us)
    match report:
        case TaskEnded():
            await runs.ended(turn, report)
        case TaskBegan():
            runs.began(turn, report)
        case TaskCoordinated():
            await runs.coordinated(turn, report)
        case ChoreDone():
            _chore_done(turn, report)
        case NodeGone():
            node = turn.node(report.node_no)
            if node is not None and node.boot == report.boot and is_dropped(node):
                (node_gone if node.state is NodeState.LEAVING_POOL else off_host)(turn, node)
        case _:
            node = turn.node(report.node_no)
            if node is not None and node.boot == report.boot:  # else it is of an older boot
                _about_node(turn, node, report)


_TIMES = ("start_us", "end_us", "last_retry_us", "at_us")


def _in_service_time(report: NumberedReport, offset_us: int) -> NumberedReport:
    """A report with its times, which are the host's, as the service tells the time."""
    if not offset_us:
        return report
    said = {name: getattr(report, name, None) for name in _TIMES}
    return replace(report, **{name: at + offset_us for name, at in said.items() if at})


def _chore_done(turn: Turn, report: ChoreDone) -> None:
    chore = turn.state.chores.get(report.chore)
    if chore is not None:
        turn.put(c.DropChore(report.chore))
        turn.touch_job(chore.job_no)


AboutNode = NodeHosted | StartTaskBegan | StartTaskEnded | NodeReady | NodeBroken


def _about_node(turn: Turn, node: NodeRecord, report: AboutNode) -> None:
    match report:
        case NodeHosted(address=address):
            _hosted(turn, node, address)
        case StartTaskBegan():
            info = StartTaskInfo(
                running=True,
                start_us=report.start_us,
                retry_count=report.retry_count,
                last_retry_us=report.last_retry_us,
            )
            _start_task(turn, node, info, NodeEvent.START_TASK_BEGAN, NodeState.STARTING)
        case StartTaskEnded():
            _start_task_ended(turn, node, report)
        case NodeReady():
            if node.state in (NodeState.STARTING, NodeState.WAITING_FOR_START_TASK):
                node = move_node(turn, node, NodeEvent.READY)
                if node.running_tasks:
                    move_node(turn, node, NodeEvent.TASK_BEGAN)
                turn.touch_node(node.no)
        case NodeBroken(error=error):
            losses.break_node(turn, node, error)


def _hosted(turn: Turn, node: NodeRecord, address: str) -> None:
    was = node.state
    back = was in (NodeState.UNKNOWN, NodeState.UNUSABLE)  # it may have run on all the time
    booted_us = node.booted_us if back and node.booted_us is not None else turn.now_us
    node = replace(
        node,
        address=address,
        booted_us=booted_us,
        agent_version=turn.state.host_versions.get(node.host or ""),
        back_us=None,
    )
    boots = was in (NodeState.REBOOTING, NodeState.REIMAGING) and node.wish is None
    if back or boots or was is NodeState.CREATING:
        move_node(turn, node, NodeEvent.HOSTED, errors=())
        turn.touch_pool(node.pool_no)
    elif was is NodeState.STARTING and not turn.state.nodes[node.no].address:
        turn.put(c.PutNode(node))  # it was deallocated, and has a host again


def _waits_for_start_task(turn: Turn, node: NodeRecord) -> bool:
    task = node.start_task_in(turn.state.pools[node.pool_no])
    return task is not None and task.wait_for_success is not False


def _start_task(
    turn: Turn, node: NodeRecord, info: StartTaskInfo, event: NodeEvent, only_in: NodeState
) -> None:
    node = replace(node, start_task=info)
    if node.state is only_in and _waits_for_start_task(turn, node):
        move_node(turn, node, event)
    else:
        turn.put(c.PutNode(node))


def _start_task_ended(turn: Turn, node: NodeRecord, report: StartTaskEnded) -> None:
    info = StartTaskInfo(
        running=False,
        start_us=report.start_us,
        end_us=report.end_us,
        exit_code=report.exit_code,
        failure=report.failure,
        retry_count=report.retry_count,
        last_retry_us=report.last_retry_us,
    )
    if report.failure is None:
        turn.put(c.PutNode(replace(node, start_task=info)))
    else:
        event = NodeEvent.START_TASK_FAILED
        _start_task(turn, node, info, event, NodeState.WAITING_FOR_START_TASK)
        turn.touch_node(node.no)
