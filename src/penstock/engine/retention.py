"""When nodes that keep the files of their tasks until the end may be given up.

The store knows how long files are kept, so it is asked between turns: seldom, and of nodes on
which nothing runs any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from penstock.domain.instants import MINUTE_US
from penstock.engine.node_work import data_gone
from penstock.engine.roster import keeps_data
from penstock.engine.turn import Turn

LOOK_AGAIN_US: Final = MINUTE_US
"""Tasks may be deleted, and their files with them, before their time is over."""

RUNNING_LOOK_US: Final = MINUTE_US // 60
"""How long a node with tasks, or one that is lost for a time, is left alone."""

LOOKED_AT: Final = 100
"""Nodes at a time."""


class Looks:
    """When to look at each node that keeps data."""

    def __init__(self) -> None:
        self._next_us: dict[int, int] = {}

    def due(self, keepers: Iterable[int], now_us: int) -> Sequence[int]:
        """Some of those that it is time to look at."""
        self._next_us = {no: self._next_us.get(no, now_us) for no in keepers}
        return [no for no, at_us in self._next_us.items() if at_us <= now_us][:LOOKED_AT]

    def looked(
        self, due: Iterable[int], until: Mapping[int, int | None], now_us: int
    ) -> Sequence[int]:
        """Those whose time is over. `until` says for how long each without tasks keeps data."""
        over = []
        for no in due:
            until_us = until.get(no)
            self._next_us[no] = now_us + RUNNING_LOOK_US
            if until_us is not None and until_us > now_us:
                self._next_us[no] = min(until_us, now_us + LOOK_AGAIN_US)
            elif no in until:
                over.append(no)
        return over


def quiet(turn: Turn, numbers: Iterable[int]) -> Sequence[int]:
    """Those of these nodes on which nothing runs."""
    return [no for no in numbers if no in turn.state.nodes and not turn.state.node_given.get(no)]


def over(turn: Turn, numbers: Iterable[int]) -> None:
    """Nothing on these nodes need be kept."""
    for no in quiet(turn, numbers):
        node = turn.state.nodes[no]
        if keeps_data(node):
            data_gone(turn, node)
