"""All nodes, and what is asked of them again and again: of a pool, of a host, without a host.

Each answer is kept as nodes come, change and go, so none costs a walk over all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from penstock.domain.metering import Cores
from penstock.domain.records import NodeRecord, Removal, key_of
from penstock.domain.sizes import cores_of
from penstock.domain.states import NodeState

_WITHOUT_CORES: Final = (NodeState.LEAVING_POOL, NodeState.DEALLOCATED, NodeState.PREEMPTED)
_WITHOUT_MACHINE: Final = (NodeState.CREATING, NodeState.DEALLOCATED, NodeState.PREEMPTED)
_HOUSED: Final = (NodeState.CREATING, NodeState.STARTING)
"""States in which a node without a host is given one."""

NodeCounts = Mapping[tuple[bool, str], int]
"""Nodes by kind (dedicated or not) and state; what there is none of is left out."""


class Members:
    """The nodes of one pool, counted."""

    __slots__ = ("cores", "dedicated", "low_priority", "moving", "numbers")

    def __init__(self) -> None:
        self.numbers: dict[int, None] = {}  # oldest first
        self.dedicated = 0
        self.low_priority = 0
        self.moving = 0  # coming, leaving, or about to leave
        self.cores = Cores()  # of the machines that are there

    def count(self, node: NodeRecord, sign: int) -> None:
        if node.dedicated:
            self.dedicated += sign
        else:
            self.low_priority += sign
        if _is_moving(node):
            self.moving += sign
        if node.state not in _WITHOUT_MACHINE:
            self._use(node, sign)

    def _use(self, node: NodeRecord, sign: int) -> None:
        dedicated, low_priority = self.cores.dedicated, self.cores.low_priority
        more = sign * cores_of(node.vm_size)
        if node.dedicated:
            self.cores = Cores(dedicated + more, low_priority)
        else:
            self.cores = Cores(dedicated, low_priority + more)


def is_coming(node: NodeRecord) -> bool:
    """Whether the pool waits for it to grow; one that was preempted returns by itself."""
    return node.state is NodeState.CREATING and node.back_us is None


def _is_moving(node: NodeRecord) -> bool:
    return node.leaving is not None or node.state is NodeState.LEAVING_POOL or is_coming(node)


def keeps_data(node: NodeRecord) -> bool:
    """Whether something is to be done with it when its tasks' files may go."""
    if node.leaving is not None:
        return node.leaving is Removal.RETAINED_DATA and node.state is not NodeState.LEAVING_POOL
    return node.wish is not None and node.wish.how is Removal.RETAINED_DATA


class Roster:
    """The nodes."""

    def __init__(self) -> None:
        self.nodes: dict[int, NodeRecord] = {}
        self.homeless: dict[int, None] = {}  # those that wait for a host, oldest first
        self.low_priority: dict[int, None] = {}
        self.preempted: dict[int, None] = {}
        self.keepers: dict[int, None] = {}  # see `keeps_data`
        self.cores: Counter[tuple[str, bool]] = Counter()  # in use: by account, dedicated or not
        self.measure: dict[int, None] = {}  # pools whose cores may be others than they were
        self._pools: dict[int, Members] = {}
        self._hosts: dict[str, dict[int, None]] = {}
        self._ids: dict[tuple[int, str], int] = {}

    def put(self, node: NodeRecord) -> None:
        """Let a node be so."""
        before = self.nodes.get(node.no)
        self.nodes[node.no] = node
        if before is None:
            self._add(node)
        elif _place(before) != _place(node):
            self._move(before, node)

    def _add(self, node: NodeRecord) -> None:
        members = self._pools.setdefault(node.pool_no, Members())
        members.numbers[node.no] = None
        self._count(node, +1)
        self._ids[node.pool_no, key_of(node.id)] = node.no
        if not node.dedicated:
            self.low_priority[node.no] = None
        self._house(node)
        self._sort(node)
        self._use(node, +1)

    def _move(self, before: NodeRecord, node: NodeRecord) -> None:
        self._count(before, -1)
        self._count(node, +1)
        if (before.state in _WITHOUT_CORES) != (node.state in _WITHOUT_CORES):
            self._use(before, -1)
            self._use(node, +1)
        self._sort(node)
        if before.host != node.host:
            self._leave(before)
        self._house(node)

    def _count(self, node: NodeRecord, sign: int) -> None:
        self._pools[node.pool_no].count(node, sign)
        self.measure[node.pool_no] = None

    def _house(self, node: NodeRecord) -> None:
        if node.host is not None:
            self._hosts.setdefault(node.host, {})[node.no] = None
        _mark(self.homeless, node, node.host is None and node.state in _HOUSED)

    def _sort(self, node: NodeRecord) -> None:
        _mark(self.preempted, node, node.state is NodeState.PREEMPTED)
        _mark(self.keepers, node, keeps_data(node))

    def _use(self, node: NodeRecord, sign: int) -> None:
        if node.state not in _WITHOUT_CORES:
            self.cores[node.account, node.dedicated] += sign * cores_of(node.vm_size)

    def _leave(self, node: NodeRecord) -> None:
        if node.host is not None:
            of_host = self._hosts[node.host]
            del of_host[node.no]
            if not of_host:
                del self._hosts[node.host]

    def drop(self, no: int) -> NodeRecord:
        """Forget a node."""
        node = self.nodes.pop(no)
        members = self._pools[node.pool_no]
        del members.numbers[no]
        self._count(node, -1)
        for index in (self.homeless, self.low_priority, self.preempted, self.keepers):
            index.pop(no, None)
        self._use(node, -1)
        self._leave(node)
        self._ids.pop((node.pool_no, key_of(node.id)), None)
        return node

    def drop_pool(self, pool_no: int) -> None:
        """Forget a pool that has no nodes any more."""
        self._pools.pop(pool_no, None)
        self.measure[pool_no] = None

    def members(self, pool_no: int) -> Members:
        """The nodes of a pool, counted."""
        return self._pools.get(pool_no) or Members()

    def of_pool(self, pool_no: int) -> list[NodeRecord]:
        """The nodes of a pool, oldest first."""
        return self._found(self.members(pool_no).numbers)

    def by_state(self, pool_no: int) -> NodeCounts:
        """The nodes of a pool, counted. Cost: its nodes, a tenth of a microsecond each."""
        return Counter((node.dedicated, node.state) for node in self.of_pool(pool_no))

    def of_host(self, host: str) -> list[NodeRecord]:
        """The nodes that a host has."""
        return self._found(sorted(self._hosts.get(host, ())))

    def load_of(self, host: str) -> int:
        """How many nodes a host has."""
        return len(self._hosts.get(host, ()))

    def _found(self, numbers: Iterable[int]) -> list[NodeRecord]:
        return [self.nodes[no] for no in numbers]

    def number_of(self, pool_no: int, node_id: str) -> int | None:
        """The number of a node; the id in any case."""
        return self._ids.get((pool_no, key_of(node_id)))


def _place(node: NodeRecord) -> tuple[object, ...]:
    """What the indexes look at."""
    state = NodeState.IDLE if node.state is NodeState.RUNNING else node.state
    return node.host, state, node.leaving, node.wish, node.back_us


def _mark(index: dict[int, None], node: NodeRecord, wanted: bool) -> None:
    if wanted:
        index[node.no] = None
    else:
        index.pop(node.no, None)
