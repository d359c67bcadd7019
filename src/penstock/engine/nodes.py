"""How nodes come into a pool, find a host and are told of each boot.

Each function is one decision within a turn, or a part of one.
"""

from __future__ import annotations

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.records import NodeRecord, PoolRecord
from penstock.domain.refusals import NodeNotFound
from penstock.domain.sizes import cores_of
from penstock.domain.specs.pool import StartTask
from penstock.domain.states import NodeState
from penstock.engine.hindrances import hindrance
from penstock.engine.settings import EngineSettings
from penstock.engine.turn import Turn
from penstock.messages import MakeNode, StartTaskOrder
from penstock.providers.local import Candidate, choose_host


def found_node(turn: Turn, account: str, pool_id: str, node_id: str) -> NodeRecord:
    """Find a node, or refuse."""
    node = turn.state.node(turn.pool(account, pool_id).no, node_id)
    if node is None:
        raise NodeNotFound
    return node


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
        start_spec=pool.spec.start_task,
    )
    turn.put(c.PutNode(node))
    return node


def next_boot(turn: Turn, node: NodeRecord, *, wiped: bool) -> NodeRecord:
    """The node as it starts anew: with the start task that its pool has now."""
    boot = node.boot + 1
    return replace(
        node,
        boot=boot,
        wiped=boot if wiped else node.wiped,
        wish=None,
        start_task=None,
        start_spec=turn.state.pools[node.pool_no].spec.start_task,
    )


def find_hosts(turn: Turn, settings: EngineSettings) -> None:
    """Tell hosts of nodes that start anew; give one to every node that has none."""
    state = turn.state
    for node_no in turn.boots:
        node = turn.node(node_no)
        if node is not None and node.host in state.linked:
            turn.send(node_no, order_for(turn, node, settings))
    turn.boots.clear()
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
    start_task = node.start_task_in(pool)
    return MakeNode(
        node_no=node.no,
        node_id=node.id,
        pool_id=pool.id,
        account=node.account,
        account_url=settings.account_url(node.account),
        dedicated=node.dedicated,
        slots=node.slots,
        cores=cores_of(node.vm_size),
        start_task=None if start_task is None else _start_order(start_task, node, pool, settings),
        boot=node.boot,
        wiped=node.wiped,
    )


def _start_order(
    task: StartTask, node: NodeRecord, pool: PoolRecord, settings: EngineSettings
) -> StartTaskOrder:
    files = task.resource_files or []
    return StartTaskOrder(
        command_line=task.command_line,
        environment={item.name: item.value or "" for item in task.environment_settings or []},
        resource_files=tuple(files),
        max_retries=task.max_task_retry_count or 0,
        wait_for_success=task.wait_for_success is not False,
        container_urls=settings.container_urls(node.account, files),
        refused=hindrance(
            settings, pool.spec, task.command_line, task.container_settings, task.user_identity
        ),
    )
