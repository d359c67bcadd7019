"""What users have done with nodes that stay in their pool, and when it is done.

A node that is to start anew, or to be taken off its host, carries this as its wish until nothing
runs on it. Where its tasks are killed for it, its state says so from the beginning; where it
waits for them, it only takes no more. So a restart of the server goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.records import Ending, NodeRecord, NodeWish, NodeWork, Removal
from penstock.domain.refusals import (
    NodeAlreadyInTargetSchedulingState,
    NodeBeingCreated,
    NodeBeingRebooted,
    NodeBeingReimaged,
    NodeBeingStarted,
    NodeStateUnusable,
    OperationInvalidForCurrentState,
    Refusal,
)
from penstock.domain.states import NODE_MOVES, NodeEvent, NodeState, SchedulingState
from penstock.engine import quotas, runs, special
from penstock.engine.departures import forget_chores, forget_users, leave_now
from penstock.engine.nodes import found_node, next_boot
from penstock.engine.occupancy import move_node
from penstock.engine.roster import keeps_data
from penstock.engine.settings import EngineSettings
from penstock.engine.turn import Turn
from penstock.messages import DropNode

EVENTS: Final[Mapping[NodeWork, NodeEvent]] = {
    NodeWork.REBOOT: NodeEvent.REBOOTED,
    NodeWork.REIMAGE: NodeEvent.REIMAGED,
    NodeWork.DEALLOCATE: NodeEvent.DEALLOCATED,
}
BEGUN: Final = (NodeState.REBOOTING, NodeState.REIMAGING, NodeState.DEALLOCATING)
"""States of nodes whose work has begun, or whose tasks are killed for it."""

WAITING: Final = (Removal.TASK_COMPLETION, Removal.RETAINED_DATA)

_REFUSALS: Final[Mapping[NodeState, type[Refusal]]] = {
    NodeState.CREATING: NodeBeingCreated,
    NodeState.STARTING: NodeBeingStarted,
    NodeState.WAITING_FOR_START_TASK: NodeBeingStarted,
    NodeState.REBOOTING: NodeBeingRebooted,
    NodeState.REIMAGING: NodeBeingReimaged,
    NodeState.UNUSABLE: NodeStateUnusable,
    NodeState.UNKNOWN: NodeStateUnusable,
}


def refusal_in(node: NodeRecord) -> Refusal:
    """Why something cannot be done with a node in its state."""
    kind = _REFUSALS.get(node.state, OperationInvalidForCurrentState)
    return kind(NodeState=node.state.value)


# --- to start anew, to be taken off the host -------------------------------------------------


def begin(
    turn: Turn, account: str, pool_id: str, node_id: str, work: NodeWork, how: Removal
) -> NodeRecord:
    """Reboot, reimage or deallocate a node; `how` says what becomes of its runs."""
    node = found_node(turn, account, pool_id, node_id)
    if EVENTS[work] not in NODE_MOVES[node.state]:
        raise refusal_in(node)
    if node.leaving is not None:
        raise OperationInvalidForCurrentState(Reason="the node is about to leave its pool")
    node = replace(node, wish=NodeWish(work=work, how=how))
    if how in WAITING:
        turn.put(c.PutNode(node))
    else:
        move_node(turn, node, EVENTS[work])
    _stop_tasks(turn, node.no, how)
    turn.touch_node(node.no)
    return turn.state.nodes[node.no]


def _stop_tasks(turn: Turn, node_no: int, how: Removal) -> None:
    for task in turn.state.given_to(node_no):
        if how in WAITING:
            if task.ahead:
                runs.give_back(turn, task)
        elif how is Removal.TERMINATE and not task.ahead:
            runs.stop_running(turn, task, Ending.TERMINATED)
        else:  # what was only sent ahead has not run, and waits on
            runs.stop_running(turn, task, Ending.REQUEUED)


def may_be_carried_out(node: NodeRecord) -> bool:
    """Whether the node's state lets its wish be fulfilled: not while it comes back from a loss."""
    if node.wish is None:
        return False
    return node.state in BEGUN or EVENTS[node.wish.work] in NODE_MOVES[node.state]


def carry_out(turn: Turn, node: NodeRecord) -> NodeRecord:
    """Do what was wished with a node on which nothing runs any more."""
    wish = node.wish
    assert wish is not None, "nothing is wished"
    if node.state not in BEGUN:
        node = move_node(turn, node, EVENTS[wish.work])
    if wish.work is NodeWork.DEALLOCATE:
        node = replace(node, wish=None)
        turn.send(node.no, DropNode(node_no=node.no, boot=node.boot))
    else:
        wiped = wish.work is NodeWork.REIMAGE
        if wiped:
            forget_chores(turn, node.no)
            forget_users(turn, node.no)
        node = next_boot(turn, node, wiped=wiped)
        special.node_gone(turn, node)
        turn.boots[node.no] = None
    turn.put(c.PutNode(node))
    return node


def start(
    turn: Turn, settings: EngineSettings, account: str, pool_id: str, node_id: str
) -> NodeRecord:
    """Give a deallocated node a host again."""
    node = found_node(turn, account, pool_id, node_id)
    if node.state is not NodeState.DEALLOCATED:
        raise refusal_in(node)
    if not quotas.has_room(turn, settings, node):
        raise OperationInvalidForCurrentState(Reason="the core quota of the account is reached")
    return move_node(turn, next_boot(turn, node, wiped=True), NodeEvent.STARTED)


# --- scheduling ------------------------------------------------------------------------------


def disable_scheduling(
    turn: Turn, account: str, pool_id: str, node_id: str, how: Removal
) -> NodeRecord:
    """Let a node take no more tasks; `how` says what becomes of those that it has."""
    node = _with_scheduling(turn, account, pool_id, node_id, SchedulingState.ENABLED)
    node = replace(node, scheduling=SchedulingState.DISABLED)
    turn.put(c.PutNode(node))
    _stop_tasks(turn, node.no, how)
    turn.touch_node(node.no)
    return node


def enable_scheduling(turn: Turn, account: str, pool_id: str, node_id: str) -> NodeRecord:
    """Let a node take tasks again."""
    node = _with_scheduling(turn, account, pool_id, node_id, SchedulingState.DISABLED)
    node = replace(node, scheduling=SchedulingState.ENABLED)
    if node.state is NodeState.OFFLINE:
        return move_node(turn, node, NodeEvent.OPENED)
    turn.put(c.PutNode(node))
    return node


def _with_scheduling(
    turn: Turn, account: str, pool_id: str, node_id: str, wanted: SchedulingState
) -> NodeRecord:
    node = found_node(turn, account, pool_id, node_id)
    if node.scheduling is not wanted:
        raise NodeAlreadyInTargetSchedulingState(SchedulingState=node.scheduling.value)
    if node.state is NodeState.LEAVING_POOL:
        raise refusal_in(node)
    return node


# --- afterwards ------------------------------------------------------------------------------


def settle(turn: Turn, node_no: int) -> None:
    """See what a node waited for that has no task any more."""
    node = turn.node(node_no)
    if node is None or node.state is NodeState.LEAVING_POOL or turn.state.node_given.get(node_no):
        return
    if node.leaving is not None and (node.host is None or not keeps_data(node)):
        leave_now(turn, node, node.leaving)
    elif node.leaving is None and may_be_carried_out(node) and not keeps_data(node):
        carry_out(turn, node)
    elif node.state is NodeState.IDLE and node.scheduling is SchedulingState.DISABLED:
        move_node(turn, node, NodeEvent.CLOSED)


def data_gone(turn: Turn, node: NodeRecord) -> None:
    """Nothing runs on a node, and the time of its tasks' files is over."""
    if node.leaving is Removal.RETAINED_DATA:
        leave_now(turn, node, node.leaving)
    elif node.leaving is None and may_be_carried_out(node):
        carry_out(turn, node)
