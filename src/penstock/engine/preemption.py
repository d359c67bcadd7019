"""Low-priority nodes are taken away, on demand and by chance, and come back.

A preempted node keeps its place in the pool and its id. When it comes back it is a new machine:
any host may have it, nothing of its files is left, and its start task runs.
"""

from __future__ import annotations

from math import expm1, log1p
from random import Random
from typing import Final

from penstock.domain.instants import MINUTE_US
from penstock.domain.records import NodeRecord
from penstock.domain.refusals import OperationNotValidOnNode
from penstock.domain.states import NODE_MOVES, NodeEvent
from penstock.engine import quotas
from penstock.engine.departures import off_host
from penstock.engine.node_work import refusal_in
from penstock.engine.nodes import found_node, next_boot
from penstock.engine.occupancy import move_node
from penstock.engine.settings import EngineSettings
from penstock.engine.state import State
from penstock.engine.turn import Turn
from penstock.messages import DropNode

_HOUR_US: Final = 60 * MINUTE_US
_CERTAIN: Final = 1.0 - 2.0**-53


def preempt(
    turn: Turn, settings: EngineSettings, account: str, pool_id: str, node_id: str
) -> NodeRecord:
    """Take a low-priority node away, because a user wants to see what comes of it."""
    node = found_node(turn, account, pool_id, node_id)
    if node.dedicated:
        raise OperationNotValidOnNode(Reason="only low-priority nodes are preempted")
    if NodeEvent.PREEMPTED not in NODE_MOVES[node.state]:
        raise refusal_in(node)
    _take_away(turn, settings, node)
    return turn.state.nodes[node.no]


def _take_away(turn: Turn, settings: EngineSettings, node: NodeRecord) -> None:
    back_us = turn.now_us + settings.return_us
    node = move_node(turn, node, NodeEvent.PREEMPTED, wish=None, back_us=back_us)
    if node.host is None:
        off_host(turn, node)
    else:  # its tasks go back when its host has ended them
        turn.send(node.no, DropNode(node_no=node.no, boot=node.boot))


def by_chance(turn: Turn, settings: EngineSettings, passed_us: int) -> None:
    """Take away what a Poisson process of the configured rate takes within this time."""
    chance = -expm1(-settings.preemptions_per_hour * passed_us / _HOUR_US)
    numbers = list(turn.state.roster.low_priority)
    for place in _hits(len(numbers), chance, turn.random):
        node = turn.state.nodes[numbers[place]]
        if NodeEvent.PREEMPTED in NODE_MOVES[node.state]:
            _take_away(turn, settings, node)


def _hits(count: int, chance: float, random: Random) -> list[int]:
    """Which of `count` things happen, each with the same chance.

    The gaps between them are drawn, for a walk over all would cost more than what happens.
    """
    if chance <= 0.0:
        return []
    found: list[int] = []
    place = -1
    while True:
        place += 1 + int(log1p(-random.random()) / log1p(-min(chance, _CERTAIN)))
        if place >= count:
            return found
        found.append(place)


def is_due(state: State, settings: EngineSettings, now_us: int) -> bool:
    """Whether a node may be taken away or come back now."""
    if settings.preemptions_per_hour and state.roster.low_priority:
        return True
    nodes = (state.nodes[no] for no in state.roster.preempted)
    return any(_is_back(node, now_us) for node in nodes)


def _is_back(node: NodeRecord, now_us: int) -> bool:
    return node.host is None and node.back_us is not None and node.back_us <= now_us


def give_back(turn: Turn, settings: EngineSettings) -> None:
    """Let nodes come back that were away for long enough, as far as the quota has room."""
    for node_no in list(turn.state.roster.preempted):
        node = turn.state.nodes[node_no]
        if _is_back(node, turn.now_us) and quotas.has_room(turn, settings, node):
            returned = next_boot(turn, node, wiped=True)
            move_node(turn, returned, NodeEvent.RETURNED)
