"""When a run begins: at once, when its slots are free, or when an older one has left the stage.

Two promises stand above all: of a task at most one attempt is at work at any time, and each
attempt that the server asked for is answered with its ending.
"""

from __future__ import annotations

from collections.abc import Callable, Container

import msgspec

from penstock.agent import failures
from penstock.agent.events import Action, Forget, Run, RunKey
from penstock.agent.layout import task_directory
from penstock.agent.runs import Runs
from penstock.agent.state import Active, Cause, Node, State, is_ahead, slots_of
from penstock.messages import KillTask, ReturnTask, RunTask


class Admission:
    """Answers what the server says of attempts, and keeps those that wait."""

    def __init__(self, state: State, runs: Runs) -> None:
        self._state = state
        self._runs = runs
        self._active = state.active
        self._waiting = state.waiting

    # --- what the server says -------------------------------------------------------------------

    def run_task(self, order: RunTask, now_us: int) -> list[Action]:
        key = RunKey(order.task_no, order.attempt)
        ending = self._state.ledger.ending(key)
        if ending is not None:
            return [self._state.again(ending)]
        active = self._active.get(key)
        if active is not None:
            actions = self.hear(active, now_us)
            if active.coordinated_us is not None:
                actions.append(self._runs.tell_coordinated(active))
            return actions
        waiting = self._waiting.get(key.number)
        if waiting is not None and waiting.key == key:
            return []
        node = self._state.nodes.get(order.node_no)
        if node is None or node.address is None or key.attempt < self._state.newest(key.number):
            return [self._state.lost(key, now_us)]
        if order.joins and not any(_lingers_for(order, other) for other in self._on(node)):
            return [self._state.lost(key, now_us)]  # as after a restart of this host
        run = Run(key, node.order, order)
        if waiting is None and key.number not in self._state.current:
            return self.begin(run, now_us)
        return self._admit(run, now_us)

    def _on(self, node: Node) -> list[Active]:
        return [self._active[key] for key in node.active]

    def kill_task(self, order: KillTask, now_us: int) -> list[Action]:
        key = RunKey(order.task_no, order.attempt)
        active = self._active.get(key)
        if active is not None:
            return self.hear(active, now_us) + self._runs.end(active, Cause.KILLED, now_us)
        ending = self._state.ledger.ending(key)
        if ending is not None:
            return [self._state.again(ending)]
        waiting = self._waiting.get(key.number)
        if waiting is not None and waiting.key == key:
            del self._waiting[key.number]
        return [self.never_began(key, now_us)]

    def return_task(self, order: ReturnTask, now_us: int) -> list[Action]:
        key = RunKey(order.task_no, order.attempt)
        ending = self._state.ledger.ending(key)
        if ending is not None:
            return [self._state.again(ending)]
        active = self._active.get(key)
        if active is not None:
            return self.hear(active, now_us)
        waiting = self._waiting.get(key.number)
        if waiting is not None and waiting.key == key:
            del self._waiting[key.number]
        elif key.attempt < self._state.newest(key.number):
            return [self._state.lost(key, now_us)]  # it may have begun before what we know of
        ending = msgspec.structs.replace(self._state.unbegun(key, now_us), returned=True)
        return [self._state.send(ending)]

    def never_began(self, key: RunKey, now_us: int) -> Action:
        never = msgspec.structs.replace(
            self._state.unbegun(key, now_us), failure=failures.ended_by_user(), killed=True
        )
        return self._state.send(never)

    def withdraw(self, concerned: Callable[[Run], bool]) -> list[RunKey]:
        """Let these runs wait no longer; give their keys."""
        keys = [run.key for run in self._waiting.values() if concerned(run)]
        for key in keys:
            del self._waiting[key.number]
        return keys

    def drop_unlisted(self, listed: Container[tuple[int, int]], now_us: int) -> list[Action]:
        """End silently what the server does not know, or has given to others."""
        actions: list[Action] = [
            Forget(key) for key in self.withdraw(lambda run: run.key not in listed)
        ]
        for key, active in list(self._active.items()):
            if key.number > 0 and key not in listed and key in self._active:
                self.hush(active)
                actions += self._runs.end(active, Cause.DROPPED, now_us)
        return actions

    # --- who begins ------------------------------------------------------------------------------

    def _admit(self, run: Run, now_us: int) -> list[Action]:
        """Begin the run, or let it wait until an older attempt has left the stage."""
        actions: list[Action] = []
        passed = self._waiting.pop(run.key.number, None)
        if passed is not None:
            actions.append(self._state.lost(passed.key, now_us))
        current = self._state.current.get(run.key.number)
        if current is None:
            return actions + self.begin(run, now_us)
        self._waiting[run.key.number] = run
        return actions + self._runs.end(self._active[current], Cause.DROPPED, now_us)

    def begin(self, run: Run, now_us: int) -> list[Action]:
        """Begin a run; one that was sent ahead waits for its slots.

        So does any other, but only beside runs of which the server knows nothing any more.
        """
        node = self._state.nodes[run.node.node_no]
        if is_ahead(run):
            self._waiting[run.key.number] = run
            node.ahead.append(run.key)
            return self.begin_waiting(node, now_us)
        if node.hushed and self._is_crowded(node, run):
            self._waiting[run.key.number] = run
            node.crowded.append(run.key)
            return []
        return self._runs.begin(node, run, now_us)

    def begin_waiting(self, node: Node, now_us: int) -> list[Action]:
        """Begin what was sent ahead, in the order it came, as far as slots are free."""
        actions: list[Action] = self._begin_crowded(node, now_us) if node.crowded else []
        while node.ahead and not node.crowded and node.address is not None:
            run = self._waiting.get(node.ahead[0].number)
            if run is None or run.key != node.ahead[0]:
                node.ahead.popleft()
                continue
            if node.slots_used + slots_of(run) > node.order.slots:
                break
            if node.hushed and self._is_crowded(node, run):
                break
            node.ahead.popleft()
            del self._waiting[run.key.number]
            actions += self._runs.begin(node, run, now_us)
        return actions

    def _begin_crowded(self, node: Node, now_us: int) -> list[Action]:
        """Begin what had no room, as far as there is some now."""
        actions: list[Action] = []
        for _ in range(len(node.crowded)):
            key = node.crowded.popleft()
            run = self._waiting.get(key.number)
            if run is None or run.key != key:
                continue
            if node.hushed and self._is_crowded(node, run):
                node.crowded.append(key)
                continue
            del self._waiting[key.number]
            actions += self._runs.begin(node, run, now_us)
        return actions

    def _is_crowded(self, node: Node, run: Run) -> bool:
        """Whether a run has no room beside the hushed ones: no slots, or not its directory.

        One that joins another has its slots and directory from that.
        """
        order = run.order
        assert isinstance(order, RunTask)
        if order.joins:
            return False
        if order.slots and node.slots_used + order.slots > node.order.slots:
            return True
        path = task_directory(order.job_id, order.task_id)
        others = (self._active[key].run.order for key in node.hushed)
        return any(
            isinstance(other, RunTask) and task_directory(other.job_id, other.task_id) == path
            for other in others
        )

    # --- whom the server counts ------------------------------------------------------------------

    def hush(self, active: Active) -> None:
        """The server wants to hear nothing of this run."""
        active.silent = True
        self._state.nodes[active.run.node.node_no].hushed.add(active.run.key)

    def hear(self, active: Active, now_us: int) -> list[Action]:
        """The server does want to hear of it, and counts it."""
        if not active.silent:
            return []
        active.silent = False
        node = self._state.nodes[active.run.node.node_no]
        node.hushed.discard(active.run.key)
        return self._begin_crowded(node, now_us)


def _lingers_for(order: RunTask, other: Active) -> bool:
    """Whether a run has made ready what another is to join."""
    made = other.run.order
    if not isinstance(made, RunTask) or not made.lingers or other.cause is not None:
        return False
    same = (made.job_id, made.task_id, made.attempt) == (order.job_id, order.task_id, order.attempt)
    return same and other.coordinated_us is not None
