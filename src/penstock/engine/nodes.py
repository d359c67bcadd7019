"""How nodes come, change and go. Each function is one decision within a turn."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.records import NodeRecord, PoolRecord, Removal
from penstock.domain.sizes import size_of
from penstock.domain.specs.pool import StartTask
from penstock.domain.states import NODE_MOVES, NodeEvent, NodeState
from penstock.engine import runs, special
from penstock.engine.occupancy import move_node
from penstock.engine.settings import EngineSettings
from penstock.engine.turn import Turn
from penstock.messages import DropNode, MakeNode, StartTaskOrder
from penstock.providers.local import Candidate, choose_host


def create_node(turn: Turn, pool: PoolRecord, *, dedicated: bool) -> NodeRecord:
    """Add a node to a pool; a host for it is chosen later."""
    name = f"tvmps_{turn.random.getrandbits(256):064x}_{'d' if dedicated else 'p'}"
    node = NodeRecord(
        no=turn.new_no(),
        pool_no=pool.no,
        account=pool.account,
        id=name,
        dedicated=dedicated,
        slots=pool.spec.task_slots_per_node or 1,
        vm_size=pool.spec.vm_size,
        state=NodeState.CREATING,
        state_us=turn.now_us,
        allocated_us=turn.now_us,
    )
    turn.put(c.PutNode(node))
    return node


def find_hosts(turn: Turn, settings: EngineSettings) -> None:
    """Give every node that has no host one of those that are connected."""
    state = turn.state
    if not state.roster.homeless or not state.linked:
        return
    candidates = [Candidate(host, state.roster.load_of(host)) for host in sorted(state.linked)]
    for node_no in list(state.roster.homeless):
        chosen = choose_host(candidates)
        found = replace(state.nodes[node_no], host=chosen.host)
        turn.put(c.PutNode(found))
        turn.send(node_no, order_for(turn, found, settings))


def order_for(turn: Turn, node: NodeRecord, settings: EngineSettings) -> MakeNode:
    """What a host is told of a node that it is to have."""
    pool = turn.state.pools[node.pool_no]
    size = size_of(node.vm_size)
    start_task = pool.spec.start_task
    return MakeNode(
        node_no=node.no,
        node_id=node.id,
        pool_id=pool.id,
        account=node.account,
        account_url=settings.account_url(node.account),
        dedicated=node.dedicated,
        slots=node.slots,
        cores=size.cores if size else 1,
        start_task=None if start_task is None else _start_order(start_task, node, settings),
    )


def _start_order(task: StartTask, node: NodeRecord, settings: EngineSettings) -> StartTaskOrder:
    files = task.resource_files or []
    return StartTaskOrder(
        command_line=task.command_line,
        environment={item.name: item.value or "" for item in task.environment_settings or []},
        resource_files=tuple(files),
        max_retries=task.max_task_retry_count or 0,
        wait_for_success=task.wait_for_success is not False,
        container_urls=settings.container_urls(node.account, files),
    )


def remove_node(turn: Turn, node: NodeRecord, how: Removal) -> None:
    """Let a node leave: at once, or when its tasks have ended, as `how` says."""
    if node.state is NodeState.LEAVING_POOL:
        return
    waits = how in (Removal.TASK_COMPLETION, Removal.RETAINED_DATA)
    if waits and turn.state.node_given.get(node.no):
        turn.put(c.PutNode(replace(node, leaving=how)))
        for task in turn.state.given_to(node.no):
            if task.ahead:
                runs.give_back(turn, task)
    else:
        leave_now(turn, node, how)


def settle(turn: Turn, node_no: int) -> None:
    """See whether a node that waits for its last task may leave."""
    node = turn.node(node_no)
    if node is None or node.leaving is None or node.state is NodeState.LEAVING_POOL:
        return
    if not turn.state.node_given.get(node_no):
        leave_now(turn, node, node.leaving)


def leave_now(turn: Turn, node: NodeRecord, how: Removal) -> None:
    """Have a node's host kill all that runs on it and remove its directories."""
    if node.host is None:
        drop_node(turn, node)
        return
    leaving = move_node(turn, node, NodeEvent.REMOVED, leaving=how)
    if leaving.host in turn.state.linked:
        turn.send(leaving.no, DropNode(node_no=leaving.no))
    elif node.state in (NodeState.UNKNOWN, NodeState.UNUSABLE):
        node_gone(turn, leaving)  # its host was given up already, and is told if it comes back


def node_gone(turn: Turn, node: NodeRecord, *, heard_of: bool = True) -> None:
    """Nothing of a node is left: what it was to run goes back, and it is forgotten."""
    for task in turn.state.given_to(node.no):
        again = runs.runs_again(turn, task)
        runs.off_node(turn, task, node.no, requeue=again, heard_of=heard_of)
    drop_node(turn, node)


def drop_node(turn: Turn, node: NodeRecord) -> None:
    """Forget a node. What waited for its going is settled after the decision."""
    _touch_waiting_jobs(turn, node.no)
    special.node_gone(turn, node)
    turn.put(c.DropNode(node.no))
    turn.touch_pool(node.pool_no)


def _touch_waiting_jobs(turn: Turn, node_no: int) -> None:
    """Look at the jobs that wait for directories to go: the node will not answer."""
    for chore in turn.state.chores_on(node_no):
        turn.touch_job(chore.job_no)
    for job_node in turn.state.job_nodes.of_node(node_no):
        turn.touch_job(job_node.job_no)


def lose_node(turn: Turn, node: NodeRecord) -> None:
    """A node's host fell silent: its tasks go back, and it is unknown until the host returns."""
    if node.state is NodeState.LEAVING_POOL:
        node_gone(turn, node, heard_of=False)
        return
    for task in turn.state.given_to(node.no):
        runs.off_node(turn, task, node.no, requeue=True, heard_of=False)
    node = turn.state.nodes[node.no]
    if node.state is NodeState.CREATING:
        turn.put(c.PutNode(replace(node, host=None)))  # another host may have it
    elif NodeEvent.LOST in NODE_MOVES[node.state]:
        move_node(turn, node, NodeEvent.LOST, running_tasks=0, running_slots=0)
        _touch_waiting_jobs(turn, node.no)
