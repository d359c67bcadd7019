"""The tasks that wait for the nodes of one pool, and the turns that their jobs take.

Order: higher job priority first; equal priorities share the slots evenly, or the older job goes
first where the pool says so. Within a job, tasks that need the same number of slots go in the
order they came. Evenness is by virtual time, as in start-time fair queueing: each job carries
the slots it was served so far, the least served goes next, and a job that comes back from having
nothing to run starts at the level of the others instead of claiming all it did not use.

A task with a demand takes its turn with the others. If it does not fit then, though enough of
the nodes could be given to it, nodes are held for it (`reservation`), and the others go on with
the rest. Where they could not, it is set aside and holds up nobody. One task at a time has nodes
held: the first in order, until it is placed or one of more weight needs the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.scheduler.demands import Demand, Placement, Reserved
from penstock.scheduler.nodes import Fill, Trait
from penstock.scheduler.placing import Placing
from penstock.scheduler.room import rank_of
from penstock.scheduler.turns import ANY_ROOM
from penstock.scheduler.waiting import Prepared, WaitingJob

__all__ = ["ANY_ROOM", "Placement", "PoolQueue", "WaitingJob"]


class PoolQueue(Placing):
    """Gives the waiting tasks of a pool's jobs to the free slots of its nodes."""

    def __init__(self, fill: Fill = Fill.SPREAD, *, oldest_first: bool = False) -> None:
        super().__init__(fill, oldest_first=oldest_first)
        self._knowing: dict[int, dict[int, None]] = {}  # by node: jobs to which it is not like any

    # --- nodes -------------------------------------------------------------------------------

    @property
    def gangs_allowed(self) -> bool:
        """Whether the pool may run multi-instance tasks; else they are set aside."""
        return self._gangs_allowed

    @gangs_allowed.setter
    def gangs_allowed(self, allowed: bool) -> None:
        self._gangs_allowed = allowed
        self._review_wishes()

    def has_node(self, node_no: int) -> bool:
        """Whether the node may be given tasks."""
        return node_no in self.nodes

    def open_node(
        self,
        node_no: int,
        free: int,
        ahead: int = 0,
        *,
        dedicated: bool = True,
        capacity: int | None = None,
    ) -> None:
        """Let a node be given tasks.

        `free` is negative where more was sent ahead than is free; `ahead` is how many slots
        may be sent ahead of those that are free; `capacity` is what is free of an empty one.
        """
        trait = Trait(free if capacity is None else capacity, dedicated)
        if node_no in self.nodes:
            self.close_node(node_no)
        self._room.open(node_no, free, trait)
        self._room.set_ahead(node_no, ahead)
        self._review_wishes()

    def close_node(self, node_no: int) -> None:
        """Let a node be given no more tasks."""
        if node_no not in self.nodes:
            return
        if self._reserved is not None:
            self._reserved.lost(node_no)
        self._preemption.closed(node_no)
        self._room.close(node_no)
        self._review_wishes()

    def forget_node(self, node_no: int) -> None:
        """Let go of a node that never comes back."""
        self.close_node(node_no)
        self._asleep.pop(node_no, None)
        for job_no in self._knowing.pop(node_no, ()):
            job = self.jobs.get(job_no)
            if job is None:
                continue  # it has left this queue
            job.barred.discard(node_no)
            if job.prepared is not None:
                job.prepared.discard(node_no)
            self._particular(job)

    def set_ahead(self, node_no: int, ahead: int) -> None:
        """Change how many slots may be sent ahead to a node."""
        self._room.set_ahead(node_no, ahead)

    def bar(self, job_no: int, node_no: int) -> None:
        """Never again place a task of the job on the node."""
        job = self.jobs[job_no]
        job.barred.add(node_no)
        self._knowing.setdefault(node_no, {})[job_no] = None
        self._particular(job)
        if self._reserved is not None:
            self._reserved.changed = True

    def unbar(self, job_no: int, node_no: int) -> None:
        """Place tasks of the job on the node again."""
        job = self.jobs[job_no]
        job.barred.discard(node_no)
        if job.prepared is not None and node_no in job.prepared.nodes:
            job.prepared.add(node_no)
        self._particular(job)
        if self._reserved is not None:
            self._reserved.noticed(node_no)

    def prepared(self, job_no: int, node_no: int) -> None:
        """Tasks of a job that prepares its nodes may be sent ahead to this one."""
        job = self.jobs[job_no]
        if job.prepared is None:
            job.prepared = Prepared()
        job.prepared.add(node_no)
        self._knowing.setdefault(node_no, {})[job_no] = None
        self._share(job_no, node_no)

    def unprepared(self, job_no: int, node_no: int) -> None:
        """A node has to be prepared for the job again."""
        job = self.jobs[job_no]
        if job.prepared is not None:
            job.prepared.discard(node_no)

    def _particular(self, job: WaitingJob) -> None:
        """What nodes the job may use has changed."""
        job.picky = bool(job.barred) or job.prepares
        self._review_wishes()
        self._enter(job, fresh=False)

    # --- jobs and tasks ----------------------------------------------------------------------

    def put_job(
        self,
        job_no: int,
        priority: int,
        cap: int,
        *,
        open_: bool,
        preemptible: bool = False,
        prepares: bool = False,
    ) -> None:
        """Add a job, or say what has changed of it. Tasks of a job that is not open wait."""
        job = self.jobs.get(job_no)
        if job is None:
            job = self.jobs[job_no] = WaitingJob(job_no, priority, cap)
        job.priority, job.cap, job.open = priority, cap, open_
        job.preemptible, job.prepares = preemptible, prepares
        job.picky = bool(job.barred) or prepares
        self._preemption.put_job(job)
        self._enter(job, fresh=True)

    def release(self, job_no: int) -> WaitingJob | None:
        """Let go of a job with its tasks, for good or for the queue of another pool."""
        job = self.jobs.get(job_no)
        if job is None:
            return None
        if self._reserved is not None and self._reserved.job is job:
            self._drop_reservation()
        del self.jobs[job_no]
        self._preemption.drop_job(job_no)
        for node_no in (*job.barred, *(job.prepared.nodes if job.prepared else ())):
            self._knowing.get(node_no, {}).pop(job_no, None)
        job.entry = None
        job.wish_entries.clear()
        return job

    def adopt(self, job: WaitingJob) -> None:
        """Take over a job that another queue released."""
        self.jobs[job.job_no] = job
        for node_no in (*job.barred, *(job.prepared.nodes if job.prepared else ())):
            self._knowing.setdefault(node_no, {})[job.job_no] = None
        self._preemption.put_job(job)
        self._enter(job, fresh=True)

    def add(
        self,
        job_no: int,
        task_no: int,
        slots: int,
        hint: int | None = None,
        demand: Demand | None = None,
    ) -> None:
        """Let a task wait. `hint` is a node that it would like, if that has room."""
        job = self.jobs[job_no]
        fresh = not job.waiting
        job.add(task_no, slots, hint, demand)
        if demand is not None or job.entry is None or slots < job.entry[0]:
            self._enter(job, fresh=fresh)

    def add_many(self, job_no: int, task_nos: Sequence[int], slots: int) -> None:
        """Let tasks of one size wait, one after the other; none would like a certain node."""
        job = self.jobs[job_no]
        fresh = not job.waiting
        job.add_many(task_nos, slots)
        if job.entry is None or slots < job.entry[0]:
            self._enter(job, fresh=fresh)

    def remove(self, job_no: int, task_no: int, slots: int, demand: Demand | None = None) -> None:
        """Let a task wait no more. `slots` and `demand` are those that it was added with."""
        job = self.jobs[job_no]
        job.remove(task_no, slots, demand)
        if demand is not None or (job.entry is not None and job.least() != job.entry[0]):
            self._enter(job, fresh=False)

    def began(
        self,
        job_no: int,
        node_no: int,
        slots: int,
        *,
        task_no: int,
        others: tuple[int, ...] = (),
        demand: Demand | None = None,
    ) -> None:
        """Count a task that runs already, as after a restart. `slots` is what each node gives."""
        job = self.jobs[job_no]
        job.running += 1
        if job.capped:
            self._enter(job, fresh=False)
        placement = Placement(job_no, task_no, node_no, slots, others=others, demand=demand)
        for held in placement.nodes:
            self._room.take(held, slots)
        self._running[placement.task_no] = placement
        if placement.demand is not None or job.prepares:
            self._keep_unshared(job, placement)
        if job.preemptible:
            self._preemption.began(placement)

    def ended(
        self, job_no: int, node_no: int, slots: int, *, task_no: int, others: tuple[int, ...] = ()
    ) -> None:
        """Count a task that runs no more; its slots are free on each of its nodes."""
        self._room.take(node_no, -slots)
        for other in others:
            self._room.take(other, -slots)
        placement = self._running.pop(task_no, None)
        preemption = self._preemption
        if placement is not None and (preemption.begun or preemption.going):
            preemption.ended(placement)
        self._unbar(task_no)
        job = self.jobs.get(job_no)
        if job is not None:
            was_capped = job.capped
            job.running -= 1
            if was_capped:
                self._enter(job, fresh=False)

    # --- questions ---------------------------------------------------------------------------

    @property
    def holding(self) -> Reserved | None:
        """For which task nodes are held, and which, as the last pass left it."""
        return None if self._reserved is None else self._reserved.seen()

    @property
    def keeps_nodes(self) -> bool:
        """Whether any open node is kept for tasks of some weight."""
        return bool(self._room.kept)

    def may_use(self, job_no: int, node_no: int) -> bool:
        """Whether an open node is kept for nothing of more weight than the job."""
        rank = self._room.rank(node_no)
        return rank is None or rank <= rank_of(self.jobs[job_no].priority)
