"""What the tasks that a task depends on keep it waiting for, down to the root of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from penstock.domain.records import TaskRecord
from penstock.domain.states import TaskState
from penstock.scheduler.dependencies import Unmet, UnmetSpan
from penstock.scheduler.reasons import Code, Reason, because, counted
from penstock.scheduler.task_reasons import how_it_failed

SHOWN: Final = 3
"""Of a longer chain the first and the last are named."""

NAMED: Final = 10
"""How many tasks the details of one cause name."""


class Link(msgspec.Struct, frozen=True):
    """A task that is waited for."""

    name: str  # its id, or the number that a range asks for
    task: TaskRecord | None  # None: there is no such task (yet)


class Chain(msgspec.Struct, frozen=True):
    """A dependency, what that waits for in its turn, and so on down to the root."""

    links: tuple[Link, ...]
    circle: bool = False  # the last waits for one before it

    @property
    def root(self) -> Link:
        return self.links[-1]

    @property
    def code(self) -> Code:
        task = self.root.task
        if self.circle:
            return Code.DEPENDENCY_CIRCLE
        if task is not None and task.state is not TaskState.COMPLETED:
            return Code.DEPENDENCY_UNFINISHED
        if len(self.links) > 1:
            return Code.DEPENDENCY_BLOCKED
        return Code.DEPENDENCY_MISSING if task is None else Code.DEPENDENCY_FAILED


_ORDER: Final = (
    Code.DEPENDENCY_FAILED,
    Code.DEPENDENCY_BLOCKED,
    Code.DEPENDENCY_CIRCLE,
    Code.DEPENDENCY_MISSING,
    Code.DEPENDENCY_UNFINISHED,
)


def of_dependencies(unmet: Unmet, chains: Sequence[Chain]) -> Iterator[Reason]:
    """A cause for each way in which dependencies are not met. `chains` are those looked at."""
    for code in _ORDER:
        alike = [chain for chain in chains if chain.code is code]
        if alike:
            yield _reason(code, unmet, alike)


def _reason(code: Code, unmet: Unmet, alike: Sequence[Chain]) -> Reason:
    first = alike[0]
    others = len(alike) - 1
    message = f"It depends on {_told(first)}{_also(code, others)}.{_of_many(unmet, first)}"
    root = first.root.task
    return because(
        code,
        message,
        _remedy(code, first),
        task=first.links[0].name,
        root=first.root.name,
        root_state=None if root is None else root.state.wire_name,
        exit_code=None if root is None else root.exit_code,
        chain=", ".join(link.name for link in first.links[:NAMED]),
        tasks=", ".join(chain.links[0].name for chain in alike[:NAMED]),
        unmet=unmet.count,
    )


def _told(chain: Chain) -> str:
    links, left = chain.links, len(chain.links) - SHOWN
    texts = [f"task {link.name!r}" for link in links[: SHOWN - 1]]
    if left > 0:
        texts.append(f"{counted(left, 'more task')} down to task {chain.root.name!r}")
    elif len(links) == SHOWN:
        texts.append(f"task {chain.root.name!r}")
    text = ", which waits for ".join(texts)
    return f"{text}, {_end(chain)}"


def _end(chain: Chain) -> str:
    task = chain.root.task
    if chain.circle:
        return "which waits for one of those that wait for it"
    if task is None:
        return "which is not there"
    if task.state is TaskState.COMPLETED:
        blocks = ", and so blocks its dependents" if task.failure is None else ""
        return f"which {how_it_failed(task)}{blocks}"
    place = f" on node {task.node_id!r}" if task.state is TaskState.RUNNING else ""
    return f"which is {task.state.wire_name}{place}"


def _also(code: Code, others: int) -> str:
    if not others:
        return ""
    alike = {
        Code.DEPENDENCY_FAILED: "failed too",
        Code.DEPENDENCY_MISSING: "not there either",
    }.get(code, "in the like state")
    verb = "" if code is Code.DEPENDENCY_FAILED else "is " if others == 1 else "are "
    return f"; {counted(others, 'other')} {verb}{alike}"


def _of_many(unmet: Unmet, chain: Chain) -> str:
    name = chain.links[0].name
    for span in unmet.spans:
        if _spells(span, name) and span.start < span.end:
            return (
                f" Of the {span.end - span.start + 1} tasks from {span.start} to {span.end},"
                f" {span.count} did not succeed yet, the first of them {span.first[0]}."
            )
    if unmet.count > 1:
        return f" In all {unmet.count} of its dependencies are not met."
    return ""


def _spells(span: UnmetSpan, name: str) -> bool:
    return name.isascii() and name.isdigit() and span.start <= int(name) <= span.end


def _remedy(code: Code, chain: Chain) -> str:
    root = f"task {chain.root.name!r}"
    if code is Code.DEPENDENCY_CIRCLE:
        return "Delete one of these tasks, and add it without the dependency."
    if code is Code.DEPENDENCY_UNFINISHED:
        return f"It may start when {root} has succeeded, which has reasons of its own."
    if chain.root.task is None:
        return f"Add {root}."
    return f"Reactivate {root}, or delete this task."
