"""The indexes of the roster say what a walk over all nodes would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock.domain.records import NodeRecord, Removal
from penstock.domain.states import NodeState
from penstock.engine.roster import Roster
from tests.records import a_node

HOSTS = st.sampled_from((None, "one", "two"))
STATES = st.sampled_from((NodeState.CREATING, NodeState.IDLE, NodeState.LEAVING_POOL))
LEAVING = st.sampled_from((None, Removal.REQUEUE))
STEPS = st.lists(st.tuples(st.integers(1, 6), st.booleans(), HOSTS, STATES, LEAVING))


@given(STEPS)
def test_the_indexes_are_those_of_a_walk(
    steps: list[tuple[int, bool, str, NodeState, Removal]],
) -> None:
    roster, nodes = Roster(), dict[int, NodeRecord]()
    for no, drops, host, state, leaving in steps:
        if drops and no in nodes:
            assert roster.drop(no) == nodes.pop(no)
        else:
            node = replace(
                a_node(no=no, name=f"Node{no}", pool_no=no % 2),
                dedicated=no % 3 > 0,
                host=host,
                state=state,
                leaving=leaving,
            )
            nodes[no] = node
            roster.put(node)
        _agrees(roster, nodes)


def _agrees(roster: Roster, nodes: dict[int, NodeRecord]) -> None:
    walked = sorted(nodes.values(), key=lambda node: node.no)
    for host in ("one", "two"):
        assert roster.of_host(host) == [node for node in walked if node.host == host]
        assert roster.load_of(host) == len(roster.of_host(host))
    homeless = [n.no for n in walked if n.host is None and n.state is NodeState.CREATING]
    assert sorted(roster.homeless) == homeless
    for pool_no in (0, 1):
        mine = [node for node in walked if node.pool_no == pool_no]
        members = roster.members(pool_no)
        assert sorted(members.numbers) == [node.no for node in mine]
        assert members.dedicated == sum(node.dedicated for node in mine)
        assert members.low_priority == len(mine) - members.dedicated
        assert members.moving == sum(
            node.leaving is not None or node.state is not NodeState.IDLE for node in mine
        )
        for no in range(1, 7):
            found = roster.number_of(pool_no, f"nODE{no}")
            assert found == (no if no in nodes and no % 2 == pool_no else None)
