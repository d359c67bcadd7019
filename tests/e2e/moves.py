"""The moves that the tables of the code allow, by name, and a watch over those that are made.

The watch sees what a server of this process commits: each change of a state that is put into a
turn, beside the rows of the tables that were used in that turn. A move that passes within one
commit is seen like any other, and what goes past the tables is noted as wrong.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import pytest

from penstock.domain import changes as c
from penstock.domain import states
from penstock.engine.engine import Engine
from penstock.engine.loop import Command, Loop
from penstock.engine.state import State
from penstock.engine.turn import Turn
from penstock.store.sqlite import SqliteStore
from tests.docs.diagrams import MACHINES, Machine, state_name

POOL, ALLOCATION, NODE, JOB, SCHEDULE, TASK, CERTIFICATE, SUBTASK = MACHINES


LAST: Final = (states.CertificateState.DELETING,)
"""States in which a thing may end though others may follow them."""


def move_name(machine: Machine, state: Any, event: Any) -> str:
    """A row of a table: its states, and its event where another one leads the same way."""
    moves = machine.table[state]
    following = moves[event]
    name = f"{machine.name}: {state_name(state)} -> {state_name(following)}"
    same = [other for other, leads_to in moves.items() if leads_to is following]
    return name if len(same) == 1 else f"{name}: {event.value}"


ALL_MOVES: Final = frozenset(
    move_name(machine, state, event)
    for machine in MACHINES
    for state, moves in machine.table.items()
    for event in moves
)


def moves(machine: Machine, *lines: str) -> frozenset[str]:
    """Name moves of a machine, each as the diagrams do; ``a, b -> c, d`` stands for four."""
    named = set()
    for line in lines:
        before, after = (side.split(", ") for side in line.split(" -> "))
        named |= {f"{machine.name}: {one} -> {other}" for one in before for other in after}
    unknown = named - ALL_MOVES
    assert not unknown, f"no table has {sorted(unknown)}"
    return frozenset(named)


class Step(NamedTuple):
    """A thing is put in a state; None is before it came and after it went."""

    machine: Machine
    before: Any
    following: Any


def steps(state: State, change: c.Change) -> Iterable[Step]:
    """What a change does to states, to be asked before `state` has it."""
    match change:
        case c.AddTask(task):
            return [Step(TASK, None, task.state)]
        case c.SetTask(task, was):
            return [Step(TASK, was, task.state)]
        case c.PutSubtask(part):
            return [Step(SUBTASK, _state(state.subtasks.get(part.no)), part.state)]
        case c.PutJob(job):
            return [Step(JOB, _state(state.jobs.get(job.no)), job.state)]
        case c.DropJob(no):
            return [Step(JOB, state.jobs[no].state, None)]
        case c.PutSchedule(schedule):
            before = state.schedules.get(schedule.no)
            return [Step(SCHEDULE, _state(before), schedule.state)]
        case c.DropSchedule(no):
            return [Step(SCHEDULE, state.schedules[no].state, None)]
        case c.PutNode(node) | c.OccupyNode(node):
            return [Step(NODE, _state(state.nodes.get(node.no)), node.state)]
        case c.DropNode(no):
            return [Step(NODE, state.nodes[no].state, None)]
        case c.PutPool(pool):
            held = state.pools.get(pool.no)
            return [
                Step(POOL, _state(held), pool.state),
                Step(ALLOCATION, held and held.allocation, pool.allocation),
            ]
        case c.DropPool(no):
            return [Step(POOL, state.pools[no].state, None)]
        case c.PutCertificate(certificate):
            held_one = state.certificates.get(certificate.no)
            return [Step(CERTIFICATE, _state(held_one), certificate.state)]
        case c.DropCertificate(no):
            return [Step(CERTIFICATE, _state(state.certificates.get(no)), None)]
    return ()


def _state(record: Any) -> Any:
    return None if record is None else record.state


class _Undecided(threading.local):
    """What the present turn of this thread's server has done to states."""

    def __init__(self) -> None:
        self.rows: list[tuple[Machine, Any, Any]] = []  # state and event, as looked up
        self.steps: list[Step] = []


class Watch:
    """Sees all servers of this process; each has a thread of its own."""

    def __init__(self) -> None:
        self.made: set[str] = set()  # names of moves that were committed
        self.wrong: list[str] = []
        self.asked: Counter[str] = Counter()  # decisions that wait or were taken, by name
        self._turn = _Undecided()
        self._disk: Future[None] | None = None  # done when the disk goes on

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at what is decided and committed meanwhile."""
        with pytest.MonkeyPatch.context() as patch:
            for name, module in list(sys.modules.items()):
                if name.startswith("penstock.engine.") and hasattr(module, "after"):
                    patch.setattr(module, "after", self._after)
            patch.setattr(Turn, "put", self._wrapped_put(Turn.put))
            patch.setattr(Loop, "_take_turn", self._wrapped_turn(Loop._take_turn))
            patch.setattr(Engine, "_act", self._wrapped_act(Engine._act))
            patch.setattr(Loop, "_submit", self._wrapped_submit(Loop._submit))
            patch.setattr(SqliteStore, "commit", self._wrapped_commit(SqliteStore.commit))
            yield

    @contextmanager
    def disk_standing_still(self) -> Iterator[None]:
        """Let no commit end, so that what is asked meanwhile is decided together afterwards."""
        self._disk = Future()
        try:
            yield
        finally:
            self._disk.set_result(None)
            self._disk = None

    # --- what is wrapped ---------------------------------------------------------------------

    def _after(self, table: Mapping[Any, Mapping[Any, Any]], state: Any, event: Any) -> Any:
        following = states.after(table, state, event)
        machine = next(each for each in MACHINES if each.table is table)
        self._turn.rows.append((machine, state, event))
        return following

    def _wrapped_put(self, put: Any) -> Any:
        def watched(turn: Turn, change: c.Change) -> None:
            self._turn.steps.extend(steps(turn.state, change))
            put(turn, change)

        return watched

    def _wrapped_turn(self, take_turn: Any) -> Any:
        async def watched(loop: Loop, batch: list[Command]) -> None:
            self._turn.rows.clear()  # of a turn that was not committed
            self._turn.steps.clear()
            await take_turn(loop, batch)

        return watched

    def _wrapped_act(self, act: Any) -> Any:
        def watched(engine: Engine, turn: Turn) -> None:
            self._committed(self._turn.rows, self._turn.steps)
            act(engine, turn)

        return watched

    def _wrapped_submit(self, submit: Any) -> Any:
        async def watched(loop: Loop, decide: Any, *more: Any, **named: Any) -> Any:
            # The test that sees this acts through the event loop, after the next line.
            self.asked[_name(decide)] += 1
            return await submit(loop, decide, *more, **named)

        return watched

    def _wrapped_commit(self, commit: Any) -> Any:
        async def watched(store: SqliteStore, *arguments: Any) -> Any:
            if self._disk is not None:
                await asyncio.wrap_future(self._disk)
            return await commit(store, *arguments)

        return watched

    # --- what is held of it ------------------------------------------------------------------

    def _committed(self, rows: list[tuple[Machine, Any, Any]], done: list[Step]) -> None:
        self.made |= {move_name(*row) for row in rows}
        by_table = Counter(
            _shown(Step(machine, state, machine.table[state][event]))
            for machine, state, event in rows
            if machine.table[state][event] is not state
        )
        seen: Counter[str] = Counter()
        for step in done:
            if step.before is None or step.following is None:
                self._see_the_ends(step)
            elif step.before is not step.following:
                seen[_shown(step)] += 1
        self.wrong += [f"past the tables: {step}" for step in seen - by_table]
        self.wrong += [f"looked up and not done: {step}" for step in by_table - seen]

    def _see_the_ends(self, step: Step) -> None:
        machine = step.machine
        begins = step.before is None and step.following is machine.first
        ends = step.following is None and (step.before in LAST or not machine.table[step.before])
        if not begins and not ends:
            self.wrong.append(f"neither begin nor end: {_shown(step)}")


def _name(decide: Any) -> str:
    """The method of the engine that asks for a decision, as ``add_job``."""
    path: str = getattr(decide, "__qualname__", "")
    return path.partition(".<locals>")[0].rpartition(".")[2]


def _shown(step: Step) -> str:
    return f"{step.machine.name}: {step.before!r} -> {step.following!r}"
