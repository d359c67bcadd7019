"""How nodes leave: their pool for good, or their host while they stay in their pool.

Each function is a part of a decision within a turn.
"""

from __future__ import annotations

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.records import NodeRecord, Removal
from penstock.domain.states import NodeEvent, NodeState
from penstock.engine import runs, special
from penstock.engine.occupancy import move_node
from penstock.engine.turn import Turn
from penstock.messages import DropNode


def is_dropped(node: NodeRecord) -> bool:
    """Whether its host is to remove all that is left of it."""
    if node.host is None:
        return False
    stopping = node.state is NodeState.DEALLOCATING and node.wish is None
    return stopping or node.state in (NodeState.LEAVING_POOL, NodeState.PREEMPTED)


def remove_node(turn: Turn, node: NodeRecord, how: Removal) -> None:
    """Let a node leave: at once, or when its tasks or their files allow it, as `how` says."""
    if node.state is NodeState.LEAVING_POOL:
        return
    waits = how is Removal.TASK_COMPLETION and turn.state.node_given.get(node.no)
    keeps = how is Removal.RETAINED_DATA and node.host is not None
    if waits or keeps:
        turn.put(c.PutNode(replace(node, leaving=how)))
        for task in turn.state.given_to(node.no):
            if task.ahead:
                runs.give_back(turn, task)
    else:
        leave_now(turn, node, how)


def leave_now(turn: Turn, node: NodeRecord, how: Removal) -> None:
    """Have a node's host, if it has one, kill all that runs on it and remove its directories."""
    leaving = move_node(turn, node, NodeEvent.REMOVED, leaving=how, wish=None)
    if leaving.host is None:
        drop_node(turn, leaving)
    elif leaving.host in turn.state.linked:
        turn.send(leaving.no, DropNode(node_no=leaving.no, boot=leaving.boot))
    elif node.state in (NodeState.UNKNOWN, NodeState.UNUSABLE):
        node_gone(turn, leaving)  # its host was given up already, and is told if it comes back


def node_gone(turn: Turn, node: NodeRecord, *, heard_of: bool = True) -> None:
    """Nothing of a node is left: what it was to run goes back, and it is forgotten."""
    take_off_all(turn, node, heard_of=heard_of)
    drop_node(turn, node)


def take_off_all(turn: Turn, node: NodeRecord, *, heard_of: bool = True) -> None:
    """Nothing of what a node was to run runs there any more."""
    for task in turn.state.given_to(node.no):
        again = runs.runs_again(turn, task)
        runs.off_node(turn, task, node.no, requeue=again, heard_of=heard_of)


def drop_node(turn: Turn, node: NodeRecord) -> None:
    """Forget a node. What waited for its going is settled after the decision."""
    touch_waiting_jobs(turn, node.no)
    special.node_gone(turn, node)
    turn.put(c.DropNode(node.no))
    turn.touch_pool(node.pool_no)


def off_host(turn: Turn, node: NodeRecord, *, heard_of: bool = True) -> None:
    """A node that stays in its pool has no host any more: it was preempted or deallocated."""
    take_off_all(turn, node, heard_of=heard_of)
    forget_chores(turn, node.no)
    forget_users(turn, node.no)
    special.node_gone(turn, node)
    node = turn.state.nodes[node.no]
    if node.state is NodeState.DEALLOCATING:
        node = move_node(turn, node, NodeEvent.STOPPED)
    turn.put(c.PutNode(replace(node, host=None, address=None)))
    turn.touch_node(node.no)


def forget_chores(turn: Turn, node_no: int) -> None:
    """The directories that a node was to remove are gone with all others."""
    for chore in turn.state.chores_on(node_no):
        turn.put(c.DropChore(chore.no))
        turn.touch_job(chore.job_no)


def forget_users(turn: Turn, node_no: int) -> None:
    """The machine that they could log in to is gone, or wiped."""
    for user in turn.state.node_users.of(node_no):
        turn.put(c.DropNodeUser(user.no))


def touch_waiting_jobs(turn: Turn, node_no: int) -> None:
    """Look at the jobs that wait for directories to go: the node will not answer."""
    for chore in turn.state.chores_on(node_no):
        turn.touch_job(chore.job_no)
    for job_node in turn.state.job_nodes.of_node(node_no):
        turn.touch_job(job_node.job_no)
