"""The nodes of a host: made, booted again, dropped.

A boot and a drop begin alike: the node is *down*, all that runs on it ends. Then the directories
are seen to, one job at a time, and a boot or drop that is asked for meanwhile comes next.
"""

from __future__ import annotations

from collections.abc import Container

import msgspec

from penstock.agent.admission import Admission
from penstock.agent.chores import Chores
from penstock.agent.events import (
    Action,
    ClearNode,
    Forget,
    MakeDirectories,
    NodeCleared,
    NodeFailed,
    NodeMade,
    Reboot,
)
from penstock.agent.ledger import SavedNode
from penstock.agent.runs import Runs
from penstock.agent.starts import Starts
from penstock.agent.state import Cause, Node, State
from penstock.messages import (
    DropNode,
    MakeNode,
    NodeBroken,
    NodeGone,
    NodeHosted,
    NodeReady,
    NumberedReport,
)


class Nodes:
    """Makes and ends the nodes of a host."""

    def __init__(
        self, state: State, runs: Runs, admission: Admission, starts: Starts, chores: Chores
    ) -> None:
        self._state = state
        self._runs = runs
        self._admission = admission
        self._starts = starts
        self._chores = chores

    def restore(self, saved: SavedNode, now_us: int) -> list[Action]:
        """Have a node as an earlier life left it."""
        node = self._state.nodes[saved.order.node_no] = Node(saved.order)
        node.address, node.ended, node.made = saved.address, saved.start_ended, True
        node.ready = node.is_fit()
        if node.order.start_task is None or node.ended is not None:
            return []
        return self._starts.begin(node, 0, None, now_us)

    def make(self, order: MakeNode, now_us: int) -> list[Action]:
        node = self._state.nodes.get(order.node_no)
        if node is None:
            node = self._state.nodes[order.node_no] = Node(order)
            node.building = order
            return [MakeDirectories(order)]
        if node.dropping:
            known = node.remake or (None if node.silent else node.target())
            if known is None or order.boot >= known.boot:
                node.remake = order
            return []
        boot = node.target().boot
        if order.boot > boot:
            return self._reboot(node, order, now_us)
        if order.boot < boot or node.target() is not node.order:
            return []  # of the past, or under way
        node.order = order
        return [self._state.send(report) for report in self._node_reports(node)]

    def _reboot(self, node: Node, order: MakeNode, now_us: int) -> list[Action]:
        """End all that runs, then begin with the directories. What is over by now of the boot
        before has been reported; of the node itself that boot has nothing to say any more."""
        node.next = order
        node.ready, node.began, node.ended = False, None, None
        return self._take_down(node, now_us)

    def _take_down(self, node: Node, now_us: int) -> list[Action]:
        """Let nothing run on the node, and go on when that is so."""
        node.address = None
        number = node.order.node_no
        actions = [
            Forget(key) if node.silent else self._state.lost(key, now_us)
            for key in self._admission.withdraw(lambda run: run.node.node_no == number)
        ]
        if not node.active:
            return actions + self.proceed(node)
        for key in sorted(node.active):
            active = self._state.active[key]
            if node.silent and key.number > 0:
                self._admission.hush(active)
            actions += self._runs.end(active, Cause.DROPPED, now_us, force=True)
        return actions

    def proceed(self, node: Node) -> list[Action]:
        """Nothing runs on the node, which is not up: take the next step of its making or end."""
        if node.building is not None:
            return []
        if node.dropping:
            return [ClearNode(node.order)]
        if node.next is None:
            return []
        node.building, node.next = node.next, None
        return [Reboot(node.building, wipe=node.order.boot < node.building.wiped)]

    def _node_reports(self, node: Node) -> list[NumberedReport]:
        """All that was reported of the node until now, once more."""
        number, no = self._state.ledger.number, node.order.node_no
        if node.address is None:
            return []
        reports: list[NumberedReport] = [
            NodeHosted(report=number(), node_no=no, address=node.address, boot=node.order.boot)
        ]
        if node.ended is not None:
            reports.append(msgspec.structs.replace(node.ended, report=number()))
        elif node.began is not None:
            reports.append(msgspec.structs.replace(node.began, report=number()))
        if node.ready:
            reports.append(NodeReady(report=number(), node_no=no, boot=node.order.boot))
        return reports

    def made(self, event: NodeMade, now_us: int) -> list[Action]:
        node = self._built(event)
        if node is None:
            return []
        assert node.building is not None
        node.order, node.building, node.made = node.building, None, True
        if node.dropping or node.next is not None:
            return self.proceed(node)
        node.address = event.address
        hosted = NodeHosted(
            report=self._state.ledger.number(),
            node_no=event.node_no,
            address=event.address,
            boot=node.order.boot,
        )
        actions: list[Action] = [self._state.send(hosted)]
        if node.order.start_task is not None:
            actions += self._starts.begin(node, 0, None, now_us)
        if node.is_fit():
            actions.append(self._starts.ready(node))
        return actions

    def _built(self, event: NodeMade | NodeFailed) -> Node | None:
        """The node whose directories were being made for this boot."""
        node = self._state.nodes.get(event.node_no)
        if node is None or node.building is None or node.building.boot != event.boot:
            return None
        return node

    def failed(self, event: NodeFailed, now_us: int) -> list[Action]:  # noqa: ARG002
        """A node that had directories stays known by its last good boot, so that whoever asks
        again for the failed one gets another try, and a wipe that is due."""
        node = self._built(event)
        if node is None:
            return []
        node.building = None
        if node.dropping or node.next is not None:
            return self.proceed(node)
        if not node.made:
            del self._state.nodes[event.node_no]
        broken = NodeBroken(
            report=self._state.ledger.number(),
            node_no=event.node_no,
            error=event.failure,
            boot=event.boot,
        )
        return [self._state.send(broken)]

    def drop(self, order: DropNode, now_us: int) -> list[Action]:
        node = self._state.nodes.get(order.node_no)
        if node is None:
            return [self._gone(order.node_no, order.boot)]
        if order.boot < (node.remake or node.target()).boot:
            return []  # of the past: the node was asked for again since
        node.silent = False
        node.remake = None
        node.drop_boot = order.boot
        return [] if node.dropping else self._drop(node, now_us)

    def _drop(self, node: Node, now_us: int) -> list[Action]:
        node.dropping = True
        return self._take_down(node, now_us)

    def cleared(self, event: NodeCleared, now_us: int) -> list[Action]:
        node = self._state.nodes.get(event.node_no)
        if node is None or not node.dropping:
            return []
        del self._state.nodes[event.node_no]
        actions = self._chores.end_with(event.node_no)
        if not node.silent:
            actions.append(self._gone(event.node_no, node.drop_boot))
        if node.remake is not None:
            actions += self.make(node.remake, now_us)
        return actions

    def _gone(self, node_no: int, boot: int) -> Action:
        number = self._state.ledger.number()
        return self._state.send(NodeGone(report=number, node_no=node_no, boot=boot))

    def drop_unlisted(self, listed: Container[int], now_us: int) -> list[Action]:
        """Drop what the server does not know; it need not hear of it."""
        actions: list[Action] = []
        for number, node in list(self._state.nodes.items()):
            if number not in listed and not node.dropping:
                node.silent = True
                actions += self._drop(node, now_us)
        return actions

    def disown(self) -> None:
        """Numbers mean other nodes from now on: whatever is asked for is not about these."""
        for node in self._state.nodes.values():
            node.silent, node.remake = True, None
