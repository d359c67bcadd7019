"""Directories to remove, each when the runs that live in it are over."""

from __future__ import annotations

from collections.abc import Callable

from penstock.agent.admission import Admission
from penstock.agent.events import Action, RemoveTree, Run, RunKey, TreeRemoved
from penstock.agent.layout import job_directory, run_directory, task_directory
from penstock.agent.runs import Runs
from penstock.agent.state import Cause, State
from penstock.messages import ChoreDone, RemoveJob, RemoveTask, RunTask


class Chore:
    """A directory that goes when these runs are over."""

    def __init__(self, action: RemoveTree, waits_for: set[RunKey]) -> None:
        self.action = action
        self.waits_for = waits_for


class Chores:
    """The removals of one host that are not done."""

    def __init__(self, state: State, runs: Runs, admission: Admission) -> None:
        self._state = state
        self._runs = runs
        self._admission = admission
        self._chores: dict[int, Chore] = {}

    def remove_task(self, order: RemoveTask, now_us: int) -> list[Action]:
        """Remove a task's directory; several runs of a multi-instance task may live there, each
        with a number of its own."""
        path = task_directory(order.job_id, order.task_id)
        job, name = order.job_id.lower(), order.task_id.lower()

        def concerned(task: RunTask) -> bool:
            return task.task_no == order.task_no or (
                task.task_id.lower() == name and task.job_id.lower() == job
            )

        return self._remove(order, path, concerned, now_us)

    def remove_job(self, order: RemoveJob, now_us: int) -> list[Action]:
        job, path = order.job_id.lower(), job_directory(order.job_id)
        return self._remove(order, path, lambda task: task.job_id.lower() == job, now_us)

    def _remove(
        self,
        chore: RemoveTask | RemoveJob,
        path: str,
        concerned: Callable[[RunTask], bool],
        now_us: int,
    ) -> list[Action]:
        """Remove a tree. Numbers tell what it is about: a task with a higher number than the
        chore's was added later under the same name, and is left alone."""
        if chore.chore in self._chores:
            return []
        node = self._state.nodes.get(chore.node_no)
        if node is None or node.dropping or self._state.ledger.is_done(chore.chore):
            return [self._chore_done(chore.chore)]

        def is_concerned(run: Run) -> bool:
            order = run.order
            return (
                isinstance(order, RunTask)
                and order.node_no == chore.node_no
                and order.task_no < chore.chore
                and concerned(order)
            )

        actions = [
            self._admission.never_began(key, now_us)
            for key in self._admission.withdraw(is_concerned)
        ]
        keys = sorted(key for key in node.active if is_concerned(self._state.active[key].run))
        remove = RemoveTree(chore.chore, node.order, path)
        self._chores[chore.chore] = Chore(remove, set(keys))
        for key in keys:
            actions += self._runs.end(self._state.active[key], Cause.KILLED, now_us, force=True)
        return actions if keys else [*actions, self._remove_tree(remove)]

    def _remove_tree(self, action: RemoveTree) -> Action:
        """Remove what a chore names, unless something newer lives there by now."""
        if any(
            self._lives_in(action, key) for key in self._state.nodes[action.node.node_no].active
        ):
            del self._chores[action.chore]
            return self._chore_done(action.chore)
        return action

    def _lives_in(self, action: RemoveTree, key: RunKey) -> bool:
        order = self._state.active[key].run.order
        if not isinstance(order, RunTask) or order.task_no < action.chore:
            return False
        return f"{run_directory(order)}/".startswith(f"{action.path}/")

    def _chore_done(self, chore: int) -> Action:
        return self._state.send(ChoreDone(report=self._state.ledger.number(), chore=chore))

    def released(self, key: RunKey) -> list[Action]:
        """A run is over: remove what waited for it alone."""
        if not self._chores:
            return []
        released = []
        for chore in self._chores.values():
            if key in chore.waits_for:
                chore.waits_for.discard(key)
                if not chore.waits_for:
                    released.append(chore.action)
        return [self._remove_tree(action) for action in released]

    def tree_removed(self, event: TreeRemoved, now_us: int) -> list[Action]:  # noqa: ARG002
        if self._chores.pop(event.chore, None) is None:
            return []
        return [self._chore_done(event.chore)]

    def end_with(self, node_no: int) -> list[Action]:
        """Nothing is left of a node, so neither is what was to be removed there."""
        chores = [it.action for it in self._chores.values() if it.action.node.node_no == node_no]
        for action in chores:
            del self._chores[action.chore]
        return [self._chore_done(action.chore) for action in chores]

    def clear(self) -> None:
        """Forget all of them."""
        self._chores.clear()
