"""Bugs to switch on one by one: a simulation that does not notice them is worth nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final
from unittest import mock

from msgspec.structs import replace

from penstock.agent.core import AgentCore, _Chore
from penstock.agent.events import Action, RemoveTree, Run, RunKey
from penstock.agent.journal import Journal
from penstock.agent.ledger import BegunRun, Ledger
from penstock.domain.records import NodeRecord, TaskRecord
from penstock.domain.states import NodeEvent, NodeState
from penstock.engine import links, nodes, tasks
from penstock.engine.engine import Engine
from penstock.engine.links import Link
from penstock.engine.loop import Command
from penstock.engine.occupancy import move_node
from penstock.engine.settings import EngineSettings
from penstock.engine.state import State
from penstock.engine.turn import Turn
from penstock.messages import Instruction, RemoveJob, RunTask, TaskEnded
from penstock.scheduler.dependencies import DependencyBook, Then
from penstock.scheduler.queue import PoolQueue

Mutation = AbstractContextManager[Any]


def answers_before_the_commit() -> Mutation:
    """A client hears "yes" before its task is on the disk."""
    decide = Engine._decide

    async def hasty(self: Engine, turn: Turn, command: Command) -> None:
        await decide(self, turn, command)
        command.settle()

    return mock.patch.object(Engine, "_decide", hasty)


def sends_before_the_commit() -> Mutation:
    """A host hears of an attempt before it is on the disk."""
    commit = Engine._commit

    async def hasty(self: Engine, turn: Turn) -> None:
        self._act(turn)
        turn.sends.clear()
        turn.greetings.clear()
        await commit(self, turn)

    return mock.patch.object(Engine, "_commit", hasty)


def keeps_memory_after_a_failed_commit() -> Mutation:
    """What could not be written is believed all the same."""

    async def load_once(self: Engine) -> None:
        if not self._revision:
            await load(self)

    load = Engine.load
    return mock.patch.object(Engine, "load", load_once)


def forgets_to_requeue() -> Mutation:
    """The tasks of a host that fell silent stay with it."""

    def lose_node(turn: Turn, node: NodeRecord) -> None:
        if node.state in (NodeState.IDLE, NodeState.RUNNING):
            move_node(turn, node, NodeEvent.LOST)

    return mock.patch.object(nodes, "lose_node", lose_node)


def ignores_the_attempt() -> Mutation:
    """A late report of an old attempt is taken for one of the new."""
    ended = tasks.ended

    async def careless(turn: Turn, report: TaskEnded) -> None:
        task = turn.state.given.get(report.task_no)
        await ended(turn, replace(report, attempt=task.attempt) if task else report)

    return mock.patch.object(tasks, "ended", careless)


def frees_slots_twice() -> Mutation:
    """The end of a task gives its slots back two times."""
    ended = PoolQueue.ended

    def generous(self: PoolQueue, job_no: int, node_no: int, slots: int) -> None:
        ended(self, job_no, node_no, slots)
        self.nodes.take(node_no, -slots)

    return mock.patch.object(PoolQueue, "ended", generous)


def skips_a_dependent() -> Mutation:
    """Of several dependents that a task releases the last is forgotten."""
    satisfy = DependencyBook.satisfy

    def forgetful(self: DependencyBook, task_id: str) -> list[tuple[int, Then]]:
        return satisfy(self, task_id)[:1]

    return mock.patch.object(DependencyBook, "satisfy", forgetful)


def forgets_to_wake_the_queue() -> Mutation:
    """A freed slot is not given out again."""
    stop = State._take_back

    def sleepy(self: State, task_no: int) -> None:
        hot = self.hot.copy()
        stop(self, task_no)
        self.hot = hot

    return mock.patch.object(State, "_take_back", sleepy)


def does_not_send_again() -> Mutation:
    """A host that comes back is not told of attempts that it never heard of."""
    connected = links.connected

    async def silent(turn: Turn, settings: EngineSettings, link: Link) -> list[Instruction]:
        first = await connected(turn, settings, link)
        return [message for message in first if not isinstance(message, RunTask)]

    return mock.patch.object(links, "connected", silent)


def loses_chores() -> Mutation:
    """Directories to remove are asked for once, heard or not."""
    connected = links.connected

    async def silent(turn: Turn, settings: EngineSettings, link: Link) -> list[Instruction]:
        with mock.patch.object(turn.state, "chores_on", return_value=[]):
            return await connected(turn, settings, link)

    return mock.patch.object(links, "connected", silent)


def counts_no_retry() -> Mutation:
    """A retry goes out under the number of the attempt before."""
    start = tasks.order_for

    def stale(turn: Turn, task: TaskRecord, spec: bytes, settings: EngineSettings) -> RunTask:
        order = start(turn, task, spec, settings)
        return replace(order, attempt=max(1, order.attempt - 1))

    return mock.patch.object(tasks, "order_for", stale)


def forgets_how_attempts_ended() -> Mutation:
    """A host neither tells on its return what has ended, nor knows it when it is asked again."""

    def attempts(self: AgentCore) -> tuple[tuple[int, int], ...]:
        return self.attempts()

    def ending(self: Ledger, key: RunKey) -> TaskEnded | None:
        return None

    patches = ExitStack()
    patches.enter_context(mock.patch.object(AgentCore, "known_attempts", attempts))
    patches.enter_context(mock.patch.object(Ledger, "ending", ending))
    return patches


def starts_beside_the_old() -> Mutation:
    """A newer attempt does not wait for the older one to leave, which nobody asks to."""
    drop = AgentCore._drop_unlisted

    def admit(self: AgentCore, run: Run, now_us: int) -> list[Action]:
        return self._begin(run, now_us)

    def spare(
        self: AgentCore, attempts: set[tuple[int, int]], nodes: set[int], now_us: int
    ) -> list[Action]:
        return drop(self, attempts | set(self._active), nodes, now_us)

    patches = ExitStack()
    patches.enter_context(mock.patch.object(AgentCore, "_admit", admit))
    patches.enter_context(mock.patch.object(AgentCore, "_drop_unlisted", spare))
    return patches


def notes_no_begin() -> Mutation:
    """A restarted host does not know what an earlier life had begun."""

    def forgetful(self: Journal, run: BegunRun) -> None:
        pass

    return mock.patch.object(Journal, "begun", forgetful)


def drops_files_under_a_task() -> Mutation:
    """A host removes a directory without waiting for what runs in it."""

    def remove(
        self: AgentCore, chore: RemoveJob, path: str, concerned: Any, now_us: int
    ) -> list[Action]:
        node = self._nodes.get(chore.node_no)
        if node is None:
            return []
        action = RemoveTree(chore.chore, node.order, path)
        self._chores[chore.chore] = _Chore(action, set())
        return [action]

    return mock.patch.object(AgentCore, "_remove", remove)


def keeps_what_is_not_listed() -> Mutation:
    """A host that returns is not asked to drop what was given to others meanwhile."""

    def keep(self: AgentCore, attempts: Any, nodes: Any, now_us: int) -> list[Action]:
        return []

    return mock.patch.object(AgentCore, "_drop_unlisted", keep)


MUTATIONS: Final[Mapping[str, Callable[[], Mutation]]] = {
    mutation.__name__: mutation
    for mutation in (
        answers_before_the_commit,
        sends_before_the_commit,
        keeps_memory_after_a_failed_commit,
        forgets_to_requeue,
        ignores_the_attempt,
        frees_slots_twice,
        skips_a_dependent,
        forgets_to_wake_the_queue,
        does_not_send_again,
        loses_chores,
        counts_no_retry,
        forgets_how_attempts_ended,
        starts_beside_the_old,
        notes_no_begin,
        drops_files_under_a_task,
        keeps_what_is_not_listed,
    )
}
