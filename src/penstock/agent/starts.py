"""The start tasks of nodes, and their retries."""

from __future__ import annotations

from typing import Final

from penstock.agent.alarms import Alarms
from penstock.agent.events import Action, Forget, Run, RunKey
from penstock.agent.runs import Runs, why
from penstock.agent.state import Active, Node, Stage, State
from penstock.messages import NodeReady, StartTaskBegan, StartTaskEnded

_FIRST_PAUSE_US: Final = 50_000
_LONGEST_PAUSE_US: Final = 10_000_000


class Starts:
    """Begins the start tasks of a host, and says how they ended."""

    def __init__(self, state: State, runs: Runs, alarms: Alarms) -> None:
        self._state = state
        self._runs = runs
        self._alarms = alarms

    def begin(self, node: Node, retry: int, last_retry_us: int | None, now_us: int) -> list[Action]:
        """Begin a try, the first being number 0."""
        assert node.order.start_task is not None
        node.began = StartTaskBegan(
            report=self._state.ledger.number(),
            node_no=node.order.node_no,
            start_us=now_us,
            retry_count=retry,
            last_retry_us=last_retry_us,
            boot=node.order.boot,
        )
        run = Run(RunKey(-node.order.node_no, retry), node.order, node.order.start_task)
        return [self._state.send(node.began), *self._runs.begin(node, run, now_us)]

    def again(self, active: Active, now_us: int) -> list[Action]:
        """A retry whose pause is over."""
        key = active.run.key
        node = self._state.nodes[active.run.node.node_no]
        del self._state.active[key]
        del self._state.current[key.number]
        node.active.discard(key)
        return self.begin(node, key.attempt, now_us, now_us)

    def over(self, node: Node, active: Active, now_us: int) -> list[Action]:
        """A try is over: begin another, or report the end. Of a node that goes, nothing is said."""
        order = node.order.start_task
        if node.dropping or node.began is None or order is None:
            return [Forget(active.run.key)]
        failure = why(active)
        again = order.max_retries < 0 or node.began.retry_count < order.max_retries
        if failure is not None and failure.code == "FailureExitCode" and again:
            return [Forget(active.run.key), *self._hold(node, now_us)]
        node.ended = StartTaskEnded(
            report=self._state.ledger.number(),
            node_no=node.order.node_no,
            start_us=active.start_us,
            end_us=now_us,
            exit_code=active.exit_code,
            failure=failure,
            retry_count=node.began.retry_count,
            last_retry_us=node.began.last_retry_us,
            boot=node.order.boot,
        )
        actions = [Forget(active.run.key), self._state.send(node.ended)]
        if not node.ready and node.is_fit():
            actions.append(self.ready(node))
        return actions

    def _hold(self, node: Node, now_us: int) -> list[Action]:
        """Let the next try wait a little, so that a failing start task does not spin."""
        assert node.order.start_task is not None
        assert node.began is not None
        retry = node.began.retry_count + 1
        run = Run(RunKey(-node.order.node_no, retry), node.order, node.order.start_task)
        active = Active(run, now_us)
        active.stage = Stage.HELD
        self._state.active[run.key] = active
        self._state.current[run.key.number] = run.key
        node.active.add(run.key)
        self._alarms.set(active, now_us + min(_FIRST_PAUSE_US << min(retry, 16), _LONGEST_PAUSE_US))
        return []

    def ready(self, node: Node) -> Action:
        """Say that the node may be given tasks."""
        node.ready = True
        order = node.order
        return self._state.send(
            NodeReady(report=self._state.ledger.number(), node_no=order.node_no, boot=order.boot)
        )
