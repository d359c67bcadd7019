"""Whether the engine's memory is what a restart would read."""

from __future__ import annotations

from collections import Counter
from typing import Any

from penstock.domain.records import JobRecord
from penstock.engine.state import State
from penstock.store.contract import Saved
from tests.sim.invariants import Broken, Invariant

_PARTS = (
    "given",
    "nodes",
    "pools",
    "jobs",
    "chores",
    "job_due_us",
    "node_given",
    "next_no",
    "schedules",
    "clock_offset_us",
    "totals",
    "lifetimes",
    "meters",
    "enabling",
)


def memory_is_true(believed: State, saved: Saved) -> None:
    """What is believed equals what `saved` amounts to, but for what is measured and not kept."""
    rebuilt = State.restored(saved)
    rebuilt.linked = believed.linked
    for node in rebuilt.nodes.values():
        rebuilt.open_or_close(node)
    for part in _PARTS:
        _same(part, getattr(believed, part), getattr(rebuilt, part))
    _same("subtasks", believed.subtasks._all, rebuilt.subtasks._all)
    _same("special tasks", believed.job_nodes._all, rebuilt.job_nodes._all)
    _same("timetable", _timetable(believed), _timetable(rebuilt))
    _same("cores", +believed.roster.cores, +rebuilt.roster.cores)
    for index in ("homeless", "low_priority", "preempted", "keepers"):
        mine, theirs = getattr(believed.roster, index), getattr(rebuilt.roster, index)
        _same(f"nodes that are {index}", set(mine), set(theirs))
    for job_no, job in believed.jobs.items():
        ours, saved_ = believed.tallies[job_no], rebuilt.tallies[job_no]
        _same(f"counts of {job.id}", (ours.tasks, ours.slots), (saved_.tasks, saved_.slots))
        _same(f"queue of {job.id}", _queued(believed, job), _queued(rebuilt, job))
        _same(f"dependents of {job.id}", _blocked(believed, job), _blocked(rebuilt, job))
    for key in believed.queues.keys() | rebuilt.queues.keys():
        mine, yours = believed.queue(key).nodes._free, rebuilt.queue(key).nodes._free
        _same(f"free slots of {key}", mine, yours)


def _same(what: str, believed: object, rebuilt: object) -> None:
    if believed != rebuilt:
        text = f"memory: {what}\n  believed: {believed}\n  rebuilt:  {rebuilt}"
        raise Broken(Invariant.MEMORY, text)


def _queued(state: State, job: JobRecord) -> tuple[Any, ...]:
    mine = state.queue_of(job.no).jobs[job.no]
    tasks = {slots: sorted(_in_line(line)) for slots, line in mine.lines.items()}
    found = {slots: numbers for slots, numbers in tasks.items() if numbers}
    wishes = {wish: sorted(_in_line(line)) for wish, line in mine.wishes.items()}
    wanting = {wish: numbers for wish, numbers in wishes.items() if numbers}
    known = set(mine.barred), set(mine.prepared.nodes) if mine.prepared else set[int]()
    if job.end_us is not None:
        known = set(), set()  # nothing of it runs any more
    usual = mine.waiting, mine.running, mine.priority, mine.cap, mine.open
    return usual, mine.preemptible, mine.prepares, known, found, wanting


def _timetable(state: State) -> tuple[Any, ...]:
    table = state.timetable
    return (
        table._looks,
        table._jobs,
        set(table._clearing),
        {k: set(v) for k, v in table._staying.items()},
    )


def _in_line(line: Any) -> list[int]:
    """The tasks of a line, of which the first places of some are void."""
    void, found = Counter(line._gone), list[int]()
    for task_no in line._tasks:
        if void[task_no]:
            void[task_no] -= 1
        else:
            found.append(task_no)
    return found


def _blocked(state: State, job: JobRecord) -> set[int]:
    book = state.books.get(job.no)
    return set(book._wishes) if book is not None else set()
