"""Bugs of the node host, to be switched on one by one. See `mutations`."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest import mock

from penstock.agent.admission import Admission
from penstock.agent.chores import Chore, Chores
from penstock.agent.core import AgentCore
from penstock.agent.events import Action, Reboot, RemoveTree, Run, RunKey
from penstock.agent.journal import Journal
from penstock.agent.ledger import BegunRun, Ledger
from penstock.agent.nodes import Nodes
from penstock.agent.state import Node
from penstock.messages import RemoveJob, TaskEnded

Bug = AbstractContextManager[Any]


def forgets_how_attempts_ended() -> Bug:
    """A host neither tells on its return what has ended, nor knows it when it is asked again."""

    def attempts(self: AgentCore) -> tuple[tuple[int, int], ...]:
        return self.attempts()

    def ending(self: Ledger, key: RunKey) -> TaskEnded | None:
        return None

    patches = ExitStack()
    patches.enter_context(mock.patch.object(AgentCore, "known_attempts", attempts))
    patches.enter_context(mock.patch.object(Ledger, "ending", ending))
    return patches


def starts_beside_the_old() -> Bug:
    """A newer attempt does not wait for the older one to leave, which nobody asks to."""
    drop = AgentCore._drop_unlisted

    def admit(self: Admission, run: Run, now_us: int) -> list[Action]:
        return self.begin(run, now_us)

    def spare(
        self: AgentCore, attempts: set[tuple[int, int]], nodes: set[int], now_us: int
    ) -> list[Action]:
        listed = {number for number, _ in attempts}
        older = {key for key in self._state.active if key.number in listed}
        return drop(self, attempts | older, nodes, now_us)

    patches = ExitStack()
    patches.enter_context(mock.patch.object(Admission, "_admit", admit))
    patches.enter_context(mock.patch.object(AgentCore, "_drop_unlisted", spare))
    return patches


def notes_no_begin() -> Bug:
    """A restarted host does not know what an earlier life had begun."""

    def forgetful(self: Journal, run: BegunRun) -> None:
        pass

    return mock.patch.object(Journal, "begun", forgetful)


def drops_files_under_a_task() -> Bug:
    """A host removes a directory without waiting for what runs in it."""

    def remove(
        self: Chores, chore: RemoveJob, path: str, concerned: Any, now_us: int
    ) -> list[Action]:
        node = self._state.nodes.get(chore.node_no)
        if node is None:
            return []
        action = RemoveTree(chore.chore, node.order, path)
        self._chores[chore.chore] = Chore(action, set())
        return [action]

    return mock.patch.object(Chores, "_remove", remove)


def keeps_files_over_a_reimage() -> Bug:
    """A host starts a node anew with all files that it has."""
    proceed = Nodes.proceed

    def spare(self: Nodes, node: Node) -> list[Action]:
        actions = proceed(self, node)
        return [Reboot(it.node, False) if isinstance(it, Reboot) else it for it in actions]

    return mock.patch.object(Nodes, "proceed", spare)


def wipes_at_each_boot() -> Bug:
    """A host starts a node anew with no files at all."""
    proceed = Nodes.proceed

    def clean(self: Nodes, node: Node) -> list[Action]:
        actions = proceed(self, node)
        return [Reboot(it.node, True) if isinstance(it, Reboot) else it for it in actions]

    return mock.patch.object(Nodes, "proceed", clean)


def keeps_what_is_not_listed() -> Bug:
    """A host that returns is not asked to drop what was given to others meanwhile."""

    def keep(self: AgentCore, attempts: Any, nodes: Any, now_us: int) -> list[Action]:
        return []

    return mock.patch.object(AgentCore, "_drop_unlisted", keep)
