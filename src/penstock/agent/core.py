"""The node host's mind: events in, actions out.

Pure: no clock, no chance, no I/O; the time comes in with each event. Each kind of event has an
owner: `admission` those about attempts, `runs` those of processes and files, `nodes` and `chores`
those that their names say. Here they are put together, and the server is met.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.agent.admission import Admission
from penstock.agent.alarms import Alarms
from penstock.agent.chores import Chores
from penstock.agent.events import (
    Action,
    Coordinated,
    Event,
    Exited,
    Forget,
    Forgive,
    NewServer,
    NodeCleared,
    NodeFailed,
    NodeMade,
    Overrun,
    Prepared,
    PrepareFailed,
    RunKey,
    SendAgain,
    SpawnBusy,
    SpawnFailed,
    Tick,
    TooLate,
    TreeRemoved,
    Uploaded,
)
from penstock.agent.ledger import BegunRun, Ledger, Saved
from penstock.agent.nodes import Nodes
from penstock.agent.runs import Runs
from penstock.agent.starts import Starts
from penstock.agent.state import Active, Node, State
from penstock.messages import (
    Confirm,
    DropNode,
    KillTask,
    MakeNode,
    RemoveJob,
    RemoveTask,
    ReturnTask,
    RunTask,
    TaskBegan,
    TaskEnded,
    Welcome,
)


class AgentCore:
    """All nodes, runs and chores of one host."""

    def __init__(self, saved: Saved, *, grace_us: int) -> None:
        self._server = saved.server
        self._ledger = Ledger(saved)
        self._state = State(self._ledger)
        self._alarms = Alarms(self._state.active)
        self._runs = Runs(self._state, self._alarms, grace_us, self)
        self._admission = Admission(self._state, self._runs)
        self._starts = Starts(self._state, self._runs, self._alarms)
        self._chores = Chores(self._state, self._runs, self._admission)
        self._nodes = Nodes(self._state, self._runs, self._admission, self._starts, self._chores)
        self._saved = saved
        self._handlers: dict[type, Callable[[Any, int], list[Action]]] = {
            RunTask: self._admission.run_task,
            Exited: self._runs.exited,
            Coordinated: self._runs.coordinated,
            Confirm: self._confirm,
            KillTask: self._admission.kill_task,
            ReturnTask: self._admission.return_task,
            Prepared: self._runs.prepared,
            PrepareFailed: self._runs.prepare_failed,
            SpawnFailed: self._runs.spawn_failed,
            SpawnBusy: self._runs.spawn_busy,
            TooLate: self._runs.too_late,
            Overrun: self._runs.overrun,
            Uploaded: self._runs.uploaded,
            Tick: self._runs.tick,
            RemoveTask: self._chores.remove_task,
            RemoveJob: self._chores.remove_job,
            TreeRemoved: self._chores.tree_removed,
            MakeNode: self._nodes.make,
            NodeMade: self._nodes.made,
            NodeFailed: self._nodes.failed,
            DropNode: self._nodes.drop,
            NodeCleared: self._nodes.cleared,
            Welcome: self._welcome,
        }

    # --- what the outside asks ---------------------------------------------------------------

    def restore(self, now_us: int) -> list[Action]:
        """Begin where the last life of this host ended. Its processes are dead by now."""
        begun = self._saved.begun.values()
        actions: list[Action] = [Forget(run.key) for run in begun if run.number < 0]
        for node in self._saved.nodes.values():
            actions += self._nodes.restore(node, now_us)
        actions += [self._lost(run, now_us) for run in begun if run.number > 0]
        actions += [self._state.lost(key, now_us) for key in self._said_to_have_begun()]
        self._saved = Saved()
        return actions

    def _said_to_have_begun(self) -> list[RunKey]:
        """Attempts that the server will hear have begun, and of which no process was started.

        Their files were still being fetched; others may begin now before they do.
        """
        said = [
            RunKey(report.task_no, report.attempt)
            for report in self._ledger.unconfirmed.values()
            if isinstance(report, TaskBegan)
        ]
        return [key for key in said if self._ledger.ending(key) is None]

    def handle(self, event: Event, now_us: int) -> list[Action]:
        """Take in what happened and say what to do."""
        return self._handlers[type(event)](event, now_us)

    def due_us(self) -> int | None:
        """When to send the next `Tick`."""
        return self._alarms.due_us()

    def shift(self, by_us: int) -> None:
        """The clock was set: move all instants, so that every span keeps its length."""
        self._runs.shift(by_us)

    def attempts(self) -> tuple[tuple[int, int], ...]:
        """The attempts that are not over."""
        active, waiting = self._state.active.items(), self._state.waiting.values()
        known = [key for key, run in active if key.number > 0 and not run.silent]
        return (*known, *(run.key for run in waiting))

    def known_attempts(self) -> tuple[tuple[int, int], ...]:
        """The attempts that the server does not know to be over."""
        return (*self.attempts(), *self._ledger.unconfirmed_attempts())

    def nodes(self) -> tuple[int, ...]:
        return tuple(no for no, node in self._state.nodes.items() if not node.dropping)

    def ready_nodes(self) -> tuple[int, ...]:
        """Those that would run a task at once."""
        nodes = self._state.nodes.items()
        return tuple(no for no, node in nodes if node.ready and not node.dropping)

    def node(self, node_no: int) -> MakeNode | None:
        """The node, while it is up."""
        node = self._state.nodes.get(node_no)
        return None if node is None or node.address is None else node.order

    # --- what follows the end of a run ---------------------------------------------------------

    def start_over(self, node: Node, active: Active, now_us: int) -> list[Action]:
        return self._starts.over(node, active, now_us)

    def start_again(self, active: Active, now_us: int) -> list[Action]:
        return self._starts.again(active, now_us)

    def left(self, node: Node, key: RunKey, now_us: int) -> list[Action]:
        actions = self._chores.released(key)
        following = self._state.waiting.pop(key.number, None)
        if following is not None:
            actions += self._admission.begin(following, now_us)
        if node.ahead or node.crowded:
            actions += self._admission.begin_waiting(node, now_us)
        if node.address is None and not node.active:
            actions += self._nodes.proceed(node)
        return actions

    # --- the server ------------------------------------------------------------------------------

    def _confirm(self, message: Confirm, now_us: int) -> list[Action]:  # noqa: ARG002
        self._ledger.confirm(message.report)
        return [Forgive(message.report)]

    def _welcome(self, message: Welcome, now_us: int) -> list[Action]:
        if self._server is not None and self._server != message.server:
            return self._change_server(message.server, now_us)
        actions: list[Action] = []
        if self._server is None:
            self._server = message.server
            actions.append(NewServer(message.server, other=False))
        actions += self._confirm(Confirm(report=message.confirmed), now_us)
        actions += [SendAgain(report) for report in self._ledger.unconfirmed.values()]
        return actions + self._drop_unlisted(set(message.attempts), set(message.nodes), now_us)

    def _drop_unlisted(
        self, attempts: set[tuple[int, int]], nodes: set[int], now_us: int
    ) -> list[Action]:
        dropped = self._admission.drop_unlisted(attempts, now_us)
        return dropped + self._nodes.drop_unlisted(nodes, now_us)

    def _change_server(self, server: str, now_us: int) -> list[Action]:
        """Numbers of another server mean other things: begin with nothing."""
        self._server = server
        self._ledger.clear()
        self._chores.clear()
        self._nodes.disown()
        actions: list[Action] = [NewServer(server, other=True)]
        return actions + self._drop_unlisted(set(), set(), now_us)

    def _lost(self, run: BegunRun, now_us: int) -> Action:
        ended = TaskEnded(
            report=self._ledger.number(),
            task_no=run.number,
            attempt=run.attempt,
            start_us=run.start_us,
            end_us=now_us,
            lost=True,
        )
        return self._state.send(ended)
