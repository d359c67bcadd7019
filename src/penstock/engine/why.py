"""Why tasks do not run: the facts, from the structures that schedule them, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

from msgspec.structs import replace

from penstock.domain.records import JobRecord, NodeRecord, SpecialRun, TaskRecord
from penstock.domain.states import JobState, TaskState
from penstock.engine import ends
from penstock.engine.blockers import Blockers
from penstock.engine.memory import queue_key
from penstock.engine.readiness import Readiness, readiness
from penstock.engine.standing import MOST_BEFORE, at_node, standing
from penstock.engine.turn import Turn
from penstock.scheduler.demands import Demand
from penstock.scheduler.dependency_reasons import of_dependencies
from penstock.scheduler.job_reasons import is_over, of_job
from penstock.scheduler.node_reasons import Census, census, of_nodes, unprepared
from penstock.scheduler.pool_reasons import (
    CoreQuota,
    of_errors,
    of_fit,
    of_missing,
    of_pool,
    target_of,
)
from penstock.scheduler.queue_reasons import Standing, at_last, next_on, of_cap, of_queue
from penstock.scheduler.reasons import Code, Group, Reason, Summary, because
from penstock.scheduler.task_reasons import not_waiting, past

MOST_IN_SUMMARY: Final = 1000
"""So many waiting tasks of a job are looked at."""


async def why(turn: Turn, account: str, job_id: str, task_id: str) -> list[Reason]:
    """Why a task does not run, the weightiest cause first; or that it runs, or is over."""
    job = turn.job(account, job_id)
    task, _ = await turn.task(job, task_id)
    return await Explainer(turn, job).of_task(task)


async def why_job(turn: Turn, account: str, job_id: str, most: int) -> Summary:
    """Why the tasks of a job wait that have waited for longest."""
    job = turn.job(account, job_id)
    explainer = Explainer(turn, job, exactly=False)
    numbers = _oldest(turn, job, min(most, MOST_IN_SUMMARY))
    found = await turn.tasks(numbers)
    groups: dict[tuple[str, str | None], Group] = {}
    for no in numbers:
        task = found[no][0]
        reason = (await explainer.of_task(task))[0]
        root = next((detail.value for detail in reason.details if detail.name == "root"), None)
        before = groups.get((reason.code, root), Group(reason, 0, task.id))
        groups[reason.code, root] = Group(before.reason, before.count + 1, before.task_id)
    return Summary(
        job.id,
        job.state,
        turn.state.tallies[job.no].active,
        len(numbers),
        sorted(groups.values(), key=lambda group: -group.count)
        or [Group(reason, 0, None) for reason in of_job(job)],
    )


def _oldest(turn: Turn, job: JobRecord, most: int) -> list[int]:
    book = turn.state.books.get(job.no)
    ready = turn.state.queue(queue_key(job)).jobs[job.no].first(most)
    blocked = [] if book is None else book.first(most)
    ahead = [task.no for task in turn.state.given_of(job.no) if task.ahead]
    return sorted({*ready, *blocked, *ahead})[:most]


_Place = tuple[int, Demand | None, bool]
"""What makes the places of two tasks differ: slots, demand, and whether nodes are held for it."""


class Explainer:
    """Explains tasks of one job. What they share is gathered once.

    `exactly` says that the tasks of its job are counted that are before a task.
    """

    def __init__(self, turn: Turn, job: JobRecord, *, exactly: bool = True) -> None:
        self._turn = turn
        self._job = job
        self._exactly = exactly
        self._waiting = turn.state.queue(queue_key(job)).jobs[job.no]
        self._places: dict[_Place, tuple[Standing, list[tuple[str, SpecialRun]]]] = {}
        self._pool = turn.state.pool(job.account, job.pool_id)
        self._blockers = Blockers(turn, job)
        self._known: Census | None = None

    @property
    def _census(self) -> Census:
        if self._known is None:
            state, pool = self._turn.state, self._pool
            nodes = state.roster.of_pool(pool.no) if pool is not None else []
            has_node = state.queue(queue_key(self._job)).has_node
            self._known = census(nodes, has_node, state.linked)
        return self._known

    async def of_task(self, task: TaskRecord) -> list[Reason]:
        """All causes, the weightiest first; never none."""
        if task.state is not TaskState.ACTIVE or (task.ahead and task.ending is not None):
            return [not_waiting(task, self._unprepared_of(task))]
        node = self._turn.node(task.node_no) if task.ahead else None
        if node is not None:
            queue = self._turn.state.queue(queue_key(self._job))
            return [next_on(at_node(self._turn, queue, node))]
        if is_over(self._job):
            return list(of_job(self._job))
        return [*await self._of_waiting(task), *past(task)]

    def _unprepared_of(self, task: TaskRecord) -> list[NodeRecord]:
        if task.state is not TaskState.PREPARING:
            return []
        state, job = self._turn.state, self._job
        nodes = [state.nodes[no] for no in ends.nodes_of(self._turn, task)]
        return [
            node
            for node in nodes
            if readiness(job, node, state.job_nodes.get(job.no, node.no)) is not Readiness.READY
        ]

    async def _of_waiting(self, task: TaskRecord) -> list[Reason]:
        found = list(of_job(self._job))
        blockers = await self._blockers.of(task)
        if blockers is not None:
            found += of_dependencies(*blockers)
        if self._pool is None:
            return [*found, of_missing(self._job)]
        found += of_pool(self._pool, self._census.total, self._quotas())
        fit = list(self._of_fit(task))
        found += fit
        may_run = not fit and blockers is None and self._job.state is JobState.ACTIVE
        found += await self._of_room(task, may_run=may_run)
        found += of_nodes(self._census)
        if 0 < self._census.total < target_of(self._pool):
            found += of_errors(self._pool, self._census.total, self._quotas())
        return found or [at_last()]

    def _quotas(self) -> list[CoreQuota]:
        account, cores = self._job.account, self._turn.state.roster.cores
        quotas = self._turn.settings.quotas_of(account)
        return [
            CoreQuota("dedicated", quotas.dedicated_cores, cores[account, True]),
            CoreQuota("low-priority", quotas.low_priority_cores, cores[account, False]),
        ]

    def _of_fit(self, task: TaskRecord) -> list[Reason]:
        pool, demand = self._pool, self._turn.state.demand_of(task)
        if pool is None or not self._census.total:
            return []
        nodes = max(self._census.total, target_of(pool))
        found = list(of_fit(pool, nodes, task.slots, demand))
        if demand is not None and demand.dedicated:
            every = chain(self._census.takers, *(some.nodes for some in self._census.unready))
            if not any(node.dedicated for node in every):
                found.append(_no_dedicated(pool.id))
        return found

    async def _of_room(self, task: TaskRecord, *, may_run: bool) -> list[Reason]:
        """What others have of the nodes that take tasks."""
        place, failed = await self._place(task)
        if self._exactly:
            demand = self._turn.state.demand_of(task)
            before = self._waiting.before(task.no, task.slots, demand, MOST_BEFORE)
            place = replace(place, before=before, most_before=MOST_BEFORE)
        found = list(of_cap(place))
        told = [unprepared(failed, place.usable)] if failed else []
        others = list(of_queue(place)) if may_run and place.usable else []
        return found + (others + told if place.usable else told)

    async def _place(self, task: TaskRecord) -> tuple[Standing, list[tuple[str, SpecialRun]]]:
        """What a task shares with all of its job that want the same."""
        demand = self._turn.state.demand_of(task)
        holding = self._turn.state.queue(queue_key(self._job)).holding
        is_mine = holding is not None and holding.task_no == task.no
        key = (task.slots, demand, is_mine)
        if key not in self._places:
            takers, barred = self._census.takers, self._waiting.barred
            if demand is not None and demand.dedicated:
                takers = [node for node in takers if node.dedicated]
            unfit = [node for node in takers if node.no in barred] if barred else []
            usable = [node for node in takers if node.no not in barred] if barred else takers
            place = await standing(self._turn, self._job, task, usable)
            self._places[key] = (place, self._failed_preparations(unfit))
        return self._places[key]

    def _failed_preparations(self, barred: Sequence[NodeRecord]) -> list[tuple[str, SpecialRun]]:
        """The runs that failed on nodes that take tasks, but none of the job."""
        found: list[tuple[str, SpecialRun]] = []
        for node in barred:
            job_node = self._turn.state.job_nodes.get(self._job.no, node.no)
            if job_node is not None and job_node.preparation is not None:
                found.append((node.id, job_node.preparation))
        return found


def _no_dedicated(pool_id: str) -> Reason:
    return because(
        Code.NO_DEDICATED_NODE,
        f"It may run on dedicated nodes only, and pool {pool_id!r} has none.",
        "Resize the pool, or set the job manager's allowLowPriorityNode.",
        pool=pool_id,
    )
