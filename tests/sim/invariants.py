"""What must hold in every history, by name. The table in `README.md` is made from this."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Invariant(StrEnum):
    """A thing that must hold; its value is what it is called where it does not."""

    KEPT = "kept"
    ONCE = "once"
    SLOTS = "slots"
    COUNTS = "counts"
    MOVES = "moves"
    REASONS = "reasons"
    PLACES = "places"
    BOUND = "bound"
    RULES = "rules"
    MEMORY = "memory"
    HELD = "held"
    ALONE = "alone"
    PREPARED = "prepared"
    TOGETHER = "together"
    MANAGER = "manager"
    BOOTS = "boots"
    SCHEDULE = "schedule"
    AUTO_POOLS = "auto pools"
    QUOTA = "quota"
    USED = "used"
    EVENTS = "events"
    COMMITTED = "committed"
    TRUTH = "truth"
    ONWARD = "onward"
    FINISH = "finish"
    SOUND = "sound"


HOLDS: Final[Mapping[Invariant, tuple[str, str]]] = {
    Invariant.KEPT: (
        "no acknowledged task is lost, none is dropped that nobody asked to delete",
        "each commit",
    ),
    Invariant.ONCE: (
        "no task is completed twice in the record, and a completed one stays as it is until a"
        " user reactivates it",
        "each commit, the end",
    ),
    Invariant.SLOTS: (
        "no node is over its slots, by the record or by the processes of its machine, but for"
        " what a host that was given up has still to end",
        "each commit, each process",
    ),
    Invariant.COUNTS: (
        "the counts of jobs and nodes equal the states of tasks",
        "each commit",
    ),
    Invariant.MOVES: (
        "every change of state of task, subtask, job, schedule, pool and node is in its table",
        "each change",
    ),
    Invariant.REASONS: (
        "every waiting task has a reason, and each reason that is given is true by the records",
        "each turn that committed",
    ),
    Invariant.PLACES: (
        "no task waits that could be placed now, by the records and the links",
        "each turn",
    ),
    Invariant.HELD: (
        "for a task that wants whole nodes, several, or dedicated ones, nodes are held when its"
        " turn has come, and nobody of less weight gets them",
        "each turn",
    ),
    Invariant.BOUND: (
        "no task waits for longer than `PLACED_WITHIN_S` while a place for it is free on a host"
        " that nothing disturbs, whatever the server believes of that host",
        "as time passes",
    ),
    Invariant.RULES: (
        "what is placed may be: job active, dependencies met, maxParallelTasks kept, node of the"
        " right pool and open, nobody of higher priority before it",
        "each turn that committed",
    ),
    Invariant.MEMORY: (
        "the engine's memory is what a restart would read",
        "each turn that committed",
    ),
    Invariant.ALONE: (
        "of a task at most one attempt is at work, but for hosts that were rightly given up",
        "each process",
    ),
    Invariant.PREPARED: (
        "no task runs on a node where its job's preparation, for whose success it waits, has not"
        " succeeded since the boot that counts; release runs once, after all else of its job",
        "each process, each commit",
    ),
    Invariant.TOGETHER: (
        "the parts of a multi-instance task are on as many nodes at once, the command begins after"
        " all have coordinated, and no two attempts of it overlap",
        "each process, each commit",
    ),
    Invariant.MANAGER: (
        "a job manager that runs exclusively has its node for itself",
        "each process, each commit",
    ),
    Invariant.BOOTS: (
        "nothing of an older boot of a node runs when something of the new one begins; files go"
        " with a boot where they are to, and only there",
        "each process, each boot",
    ),
    Invariant.SCHEDULE: (
        "a job schedule makes exactly the jobs that are due, within `MADE_WITHIN_US`, one at a"
        " time, and their numbers count up",
        "each commit, as time passes",
    ),
    Invariant.AUTO_POOLS: (
        "a pool that was made for a job or a schedule is no other job's, and goes with it, unless"
        " its owner wants it kept",
        "each commit",
    ),
    Invariant.QUOTA: (
        "no account has more cores, or makes more jobs and schedules, than its quotas allow",
        "each commit",
    ),
    Invariant.USED: (
        "what jobs, schedules and accounts are said to have used is what their tasks used, of"
        " those that are gone too",
        "each commit",
    ),
    Invariant.EVENTS: (
        "the log of events, replayed, gives the states of the records at each commit, with a start"
        " and an end for each run; its numbers rise, and readers get each event once",
        "each commit, each page",
    ),
    Invariant.COMMITTED: (
        "what runs was committed before, and no attempt begins twice, but where a disk lost the"
        " note of it",
        "each process",
    ),
    Invariant.TRUTH: (
        "an end in the record happened so: exit code of the process, nothing of it runs on, killed"
        " only on demand",
        "each report, each commit",
    ),
    Invariant.ONWARD: (
        "no job is disabling, terminating or deleting, no pool resizing or deleting, that nothing"
        " holds; time goes on",
        "each turn that committed",
    ),
    Invariant.FINISH: (
        "when all is well again all ends: pools get their nodes, tasks complete, once and as their"
        " owner wants, and nothing is left of what is deleted, on server or nodes",
        "the end",
    ),
    Invariant.SOUND: (
        "nothing raises what nobody expects: no turn, no host, no request",
        "always",
    ),
}
"""What each says, and when it is looked at."""


class Broken(AssertionError):
    """Something that must hold does not."""

    def __init__(self, invariant: Invariant, what: str) -> None:
        super().__init__(what)
        self.invariant = invariant
