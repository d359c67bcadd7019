"""What a task that could run waits for: slots, nodes that are held, and its turn."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from penstock.domain.instants import instant_text
from penstock.domain.records import TaskRecord
from penstock.scheduler.reasons import Code, Reason, because, counted


class Occupant(msgspec.Struct, frozen=True):
    """A task that has slots which another waits for."""

    job_id: str
    task: TaskRecord

    @property
    def told(self) -> str:
        kind = "job manager" if self.task.manager else "task"
        return f"{kind} {self.task.id!r} of job {self.job_id!r}"


class Best(msgspec.Struct, frozen=True):
    """The node that lacks least for a task."""

    node_id: str
    slots: int
    free: int
    occupant: Occupant | None  # which began first of those on it

    @property
    def taken(self) -> int:
        return self.slots - max(0, self.free)


class Holding(msgspec.Struct, frozen=True):
    """Nodes that are held for a task until there are enough of them."""

    holder: Occupant | None  # None: it makes room for tasks of higher priority, which are many
    wanted: int
    held: int
    free: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What others have, or have a better claim to."""

    running: int  # of its job, with what is held for it
    cap: int  # -1: no limit
    slots: int
    usable: int  # nodes that take its tasks
    idle: int = 0  # of those, without any task
    wants_nodes: int = 0  # with nothing else on them
    best: Best | None = None  # of the nodes that are kept for nobody else
    fits: bool = False  # and it has room
    fits_held: bool = False  # there is room on nodes that are kept for another
    all_held: bool = False  # all nodes are, with room or without
    mine: Holding | None = None
    other: Holding | None = None
    manager: str | None = None  # of its job, which goes first and still waits
    higher: int = 0  # tasks of higher priority that wait
    equal: int = 0  # tasks of other jobs that it takes turns with, or that are older
    before: int = 0  # tasks of its job
    most_before: int = 0  # as many as were counted
    oldest_first: bool = False


def next_on(node: Best) -> Reason:
    """It was sent ahead to a node."""
    return because(
        Code.NEXT_ON_NODE,
        f"It is among the next on node {node.node_id!r}; {node.taken} of {node.slots} slots are"
        f" taken there, next free {_next_free(node)}.",
        "It begins when enough slots of the node are free.",
        node=node.node_id,
        slots_taken=node.taken,
        slots_per_node=node.slots,
        **_occupant(node),
    )


def of_cap(standing: Standing) -> Iterator[Reason]:
    """As many tasks of its job run as may."""
    if 0 <= standing.cap <= standing.running:
        yield because(
            Code.MAX_PARALLEL_TASKS,
            f"Its job runs {counted(standing.running, 'task')} and may run {standing.cap} at once.",
            "It may start when one of them ends; or raise the job's maxParallelTasks.",
            running=standing.running,
            max_parallel_tasks=standing.cap,
        )


def of_queue(standing: Standing) -> Iterator[Reason]:
    """What others have of the nodes that take tasks, and who is before it."""
    if standing.manager is not None:
        yield because(
            Code.MANAGER_FIRST,
            f"The job manager {standing.manager!r} of its job goes first, and waits too.",
            f"It may start when task {standing.manager!r} has its node.",
            task=standing.manager,
        )
    if standing.mine is not None:
        yield _held(standing, standing.mine)
    elif not standing.fits and (standing.fits_held or standing.all_held):
        yield _held_for_another(standing.other)
    elif standing.idle < min(standing.wants_nodes, standing.usable):  # else too few take tasks
        yield _nodes_taken(standing)
    if standing.usable and not standing.fits and not standing.wants_nodes:
        yield from _slots_taken(standing)
    if standing.higher or standing.equal or standing.before:
        yield _turn(standing)


def at_last() -> Reason:
    """Nothing else was found: it is placed when the queue is looked at next."""
    return because(
        Code.WAITS_ITS_TURN,
        "Nothing keeps it: it is about to be placed.",
        "It is placed in a moment.",
        higher_priority=0,
        equal_priority=0,
        same_job=0,
    )


def _held(standing: Standing, mine: Holding) -> Reason:
    rest = f": {_by(standing)}" if standing.best is not None else ""
    if mine.wanted == 1:
        message = f"It needs a node for itself, which is held for it and not free yet{rest}."
    else:
        message = (
            f"{mine.held} of the {mine.wanted} nodes that it needs at once are held for it,"
            f" {mine.free} of them free{rest}."
        )
    return because(
        Code.NODES_HELD,
        message,
        "It starts when that many are free.",
        wanted=mine.wanted,
        held=mine.held,
        free=mine.free,
        **_occupant(standing.best),
    )


def _by(standing: Standing) -> str:
    best = standing.best
    if best is None or best.occupant is None:
        return "others are busy"
    return f"{best.occupant.told} runs on node {best.node_id!r}"


def _held_for_another(other: Holding | None) -> Reason:
    if other is None or other.holder is None:
        return because(
            Code.HELD_FOR_ANOTHER,
            "The nodes that it might have are kept for tasks of higher priority.",
            "It may start when those have started.",
        )
    return because(
        Code.HELD_FOR_ANOTHER,
        f"The nodes that it might have are held for {other.holder.told}, which needs"
        f" {counted(other.wanted, 'node')} and has {other.free}.",
        f"It may start when task {other.holder.task.id!r} has started.",
        job=other.holder.job_id,
        task=other.holder.task.id,
        wanted=other.wanted,
        held=other.held,
        free=other.free,
    )


def _nodes_taken(standing: Standing) -> Reason:
    verb = "is" if standing.idle == 1 else "are"
    return because(
        Code.NODES_TAKEN,
        f"It needs {counted(standing.wants_nodes, 'node')} with nothing else on them;"
        f" {standing.idle} of {standing.usable} {verb} idle, and {_by(standing)}.",
        "It may start when enough nodes are idle.",
        wanted=standing.wants_nodes,
        idle=standing.idle,
        nodes=standing.usable,
        **_occupant(standing.best),
    )


def _slots_taken(standing: Standing) -> Iterator[Reason]:
    best = standing.best
    if best is None:
        return
    yield because(
        Code.SLOTS_TAKEN,
        f"It needs {counted(standing.slots, 'slot')}; {best.taken} of {best.slots} are taken on its"
        f" best node {best.node_id!r}, next free {_next_free(best)}.",
        "It may start when running tasks end, or on more nodes: resize the pool.",
        required_slots=standing.slots,
        node=best.node_id,
        slots_taken=best.taken,
        slots_per_node=best.slots,
        nodes=standing.usable,
        **_occupant(best),
    )


def _next_free(best: Best) -> str:
    if best.occupant is None:
        return "when a running task ends"
    since = best.occupant.task.start_us
    runs = "" if since is None else f", which runs since {instant_text(since)}"
    return f"when {best.occupant.told} ends{runs}"


def _occupant(best: Best | None) -> dict[str, object]:
    if best is None or best.occupant is None:
        return {}
    return {"job": best.occupant.job_id, "task": best.occupant.task.id}


def _turn(standing: Standing) -> Reason:
    parts: list[str] = []
    if standing.higher:
        parts.append(f"{counted(standing.higher, 'task')} of higher priority")
    if standing.before:
        more = "at least " if standing.before >= standing.most_before else ""
        parts.append(f"{more}{counted(standing.before, 'task')} of its job")
    message = f"{' and '.join(parts)} wait before it" if parts else ""
    if standing.equal:
        turns = "older jobs go first" if standing.oldest_first else "their jobs take turns"
        also = f"{counted(standing.equal, 'task')} of other jobs of its priority wait ({turns})"
        message = f"{message}; {also}" if message else also
    return because(
        Code.WAITS_ITS_TURN,
        f"{message}.",
        "It is placed when it is its turn; a higher priority of its job brings that forward.",
        higher_priority=standing.higher,
        equal_priority=standing.equal,
        same_job=standing.before,
    )
