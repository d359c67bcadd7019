"""Nodes that are lost for a time: their host fell silent, or they cannot work."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.records import Failure, NodeRecord, NodeWork
from penstock.domain.states import NODE_MOVES, NodeEvent, NodeState
from penstock.engine import runs, special
from penstock.engine.departures import (
    is_dropped,
    node_gone,
    off_host,
    take_off_all,
    touch_waiting_jobs,
)
from penstock.engine.node_work import carry_out, may_be_carried_out
from penstock.engine.nodes import next_boot
from penstock.engine.occupancy import move_node
from penstock.engine.roster import keeps_data
from penstock.engine.turn import Turn


def lose_node(turn: Turn, node: NodeRecord) -> None:
    """A node's host fell silent: its tasks go back, and it is unknown until the host returns.

    What was wished of it when its tasks have ended is done now, as far as nobody need be told;
    a host that returns hears of the new boot, or that the node is not there any more.
    """
    if node.state is NodeState.LEAVING_POOL:
        node_gone(turn, node, heard_of=False)
        return
    for task in turn.state.given_to(node.no):
        runs.off_node(turn, task, node.no, requeue=True, heard_of=False)
    node = turn.state.nodes[node.no]
    if node.leaving is None and may_be_carried_out(node) and not keeps_data(node):
        node = replace(carry_out(turn, node), booted_us=None)
    if is_dropped(node):
        off_host(turn, node, heard_of=False)
    elif _was_never_made(node):
        again = next_boot(turn, node, wiped=True)
        turn.put(c.PutNode(replace(again, host=None)))  # another host may have it
    elif NodeEvent.LOST in NODE_MOVES[node.state]:
        move_node(turn, node, NodeEvent.LOST)  # a gang counts there until all of it has ended
        special.node_gone(turn, node)
        touch_waiting_jobs(turn, node.no)


def _was_never_made(node: NodeRecord) -> bool:
    return node.address is None and node.state in (NodeState.CREATING, NodeState.STARTING)


def break_node(turn: Turn, node: NodeRecord, error: Failure) -> None:
    """A node cannot work: its tasks go back. To reimage it may help, to reboot it would not."""
    take_off_all(turn, node)
    special.node_gone(turn, node)
    node = turn.state.nodes[node.no]
    if node.wish is not None and node.wish.work is not NodeWork.REIMAGE:
        node = replace(node, wish=None)
    if NodeEvent.BROKEN in NODE_MOVES[node.state]:
        move_node(turn, node, NodeEvent.BROKEN, errors=(error,))
        turn.touch_pool(node.pool_no)
        turn.touch_node(node.no)
