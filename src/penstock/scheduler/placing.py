"""Placing tasks in order, and holding nodes for those that do not fit when it is their turn."""

from __future__ import annotations

from penstock.scheduler.demands import Demand, Placement, Reserved, Victim
from penstock.scheduler.nodes import Fill, FreeNodes
from penstock.scheduler.preemption import Preemption
from penstock.scheduler.reservation import Reservation
from penstock.scheduler.room import rank_of
from penstock.scheduler.standing import Standing
from penstock.scheduler.turns import ANY_ROOM
from penstock.scheduler.waiting import Entry, WaitingJob, WishKey

MOST_VICTIMS = 1000
"""How many tasks have to make room at a time."""

_Mark = tuple[Entry, bool, int]
"""A task's place in the order: its job's turn, whether it is not its job's first, its number."""

_Spot = tuple[int, int, int]
"""A task, the slots it needs and a node with room for it."""


class Placing(Standing):
    """Gives nodes to the tasks of the jobs in the turns.

    Most queues have only tasks that want slots of any node: those are placed by one look into
    each heap. As soon as a demand waits, a node is held or a job may not use all nodes, the
    longer way is gone, which looks at the first task of each kind.
    """

    def __init__(self, fill: Fill, *, oldest_first: bool) -> None:
        super().__init__(oldest_first=oldest_first)
        self.fill = fill
        self.nodes = self._room.nodes  # by the slots that are free now
        self.soon = self._room.soon  # by the slots that may be sent ahead
        self._reserved: Reservation | None = None
        self._preemption = Preemption(self._room, self.jobs)
        self._running = self._preemption.running
        self._unshared: dict[
            int, tuple[int, ...]
        ] = {}  # by task: nodes to which nothing goes ahead
        self._asleep: dict[int, dict[int, None]] = {}  # by node: jobs that found no room on it
        self._aside: list[WaitingJob] = []  # found no node that they may use, in this pass
        self._anew = False  # what fits now has to be looked at again, in this pass
        self._all_alike = True  # nobody wants more than slots, and all nodes are for all
        self._all_placed = False  # as much as could be

    # --- placing -----------------------------------------------------------------------------

    def place(self, limit: int) -> list[Placement]:
        """Give up to `limit` waiting tasks their nodes. Cost: O(log jobs) each."""
        placed: list[Placement] = []
        held = self._room.kept or self._reserved is not None
        self._all_alike = not (self._wishes.heaps or held)  # and so it stays in this pass
        self._anew = True
        while self._anew:
            self._anew = False
            for nodes in (self.nodes, self.soon):
                while not (nodes is self.soon and self._anew) and len(placed) < limit:
                    placement = self._place_on(nodes)
                    if placement is None:
                        break
                    placed.append(placement)
                self._bring_back()
        self._all_placed = len(placed) < limit
        return placed

    def _place_on(self, nodes: FreeNodes) -> Placement | None:
        if not self._all_alike:
            return self._place_in_order(nodes)
        room = nodes.most
        job = self._turns.next(room) if room else None
        if job is None:
            return None
        if job.picky and (job.barred or nodes is self.soon):
            return self._place_in_order(nodes)
        return self._place_one(job, nodes, room)

    def _place_one(self, job: WaitingJob, nodes: FreeNodes, room: int) -> Placement:
        """Place a task that may use any node."""
        found = job.oldest(room)
        assert found is not None, "a job had a turn and nothing to run"
        task_no, slots = found
        hint = job.hints.get(task_no) if job.hints else None
        if hint is not None and nodes.free(hint) >= slots:
            node_no: int | None = hint
        else:
            node_no = nodes.choose(slots, self.fill if nodes is self.nodes else Fill.SPREAD)
        assert node_no is not None, "there was room, and now there is none"
        return self._give(job, task_no, slots, node_no, nodes is self.soon)

    def _give(
        self, job: WaitingJob, task_no: int, slots: int, node_no: int, ahead: bool
    ) -> Placement:
        """Let the first task of a line have its node."""
        job.lines[slots].pop()
        if job.hints:
            job.hints.pop(task_no, None)
        job.waiting -= 1
        job.running += 1
        self._room.take(node_no, slots)
        self._level[job.priority] = job.served
        job.served += slots
        self._enter(job, fresh=False)
        placement = Placement(job.job_no, task_no, node_no, slots, ahead)
        self._running[placement.task_no] = placement
        if placement.demand is not None or job.prepares:
            self._keep_unshared(job, placement)
        if job.preemptible:
            self._preemption.began(placement)
        return placement

    def _keep_unshared(self, job: WaitingJob, placement: Placement) -> None:
        """Send nothing ahead to nodes that a task has for itself, or that are prepared for it:
        there it would begin at once."""
        ready = job.prepared.nodes if job.prepared is not None else ()
        waits = job.prepares and any(node_no not in ready for node_no in placement.nodes)
        if not placement.ahead and (_has_whole(placement) or waits):
            self._unshared[placement.task_no] = placement.nodes
            for node_no in placement.nodes:
                self._room.bar_ahead(node_no)

    def _share(self, job_no: int, node_no: int) -> None:
        """A node is prepared for a job, whose tasks begin there now."""
        for task_no in list(self._unshared):
            placement = self._running[task_no]
            same = (placement.job_no, placement.nodes) == (job_no, (node_no,))
            if same and not _has_whole(placement):
                self._unbar(task_no)

    def _unbar(self, task_no: int) -> None:
        for node_no in self._unshared.pop(task_no, ()):
            self._room.unbar_ahead(node_no)

    # --- placing where not all are alike -----------------------------------------------------

    def _place_in_order(self, nodes: FreeNodes) -> Placement | None:
        """Place the first task in order that fits; on the way hold nodes for one that does not."""
        now = nodes is self.nodes
        while True:
            self._review()
            job, spot = self._ordinary(nodes)
            mark = None if job is None or spot is None else _mark_of(job, spot[0])
            if mark is None and not now:
                return None
            if mark is None and not nodes.most:
                if self._reserved is not None and self._may_have_its_nodes(self._reserved):
                    return self._place_reserved(self._reserved)  # none before it fits there
                mark = self._first_that_waits()
            placement, again = self._wanting_before(mark, now=now)
            if placement is not None:
                return placement
            if again:
                continue
            if job is None or spot is None:
                return None
            if self._reserved is not None and spot[2] in self._reserved.held:
                self._reserved.changed = True
            if not now and self._wishes.heaps:
                self._anew = True  # with this task gone, one with a demand may be the first
            return self._give(job, *spot, not now)

    def _may_have_its_nodes(self, reserved: Reservation) -> bool:
        """Whether what is held for a task suffices, and no task with a demand has more weight."""
        return reserved.fits and not any(
            key is not None and self._outranks(job, key[1]) for _, key, job in self._wanting()
        )

    def _review(self) -> None:
        """Let the reservation and the sleepers know what has changed."""
        if self._reserved is not None and not self._holds_good(self._reserved):
            self._drop_reservation()
        for node_no in self._room.improved:
            for job_no in self._asleep.pop(node_no, ()):
                job = self.jobs.get(job_no)
                if job is not None and job.prepared and node_no in job.prepared.nodes:
                    job.prepared.turns[node_no] = None
            if self._reserved is not None:
                self._reserved.noticed(node_no)
        self._room.improved.clear()
        if self._reserved is not None and self._reserved.changed:
            self._reserved.settle()
        self._room.watched = self._reserved is not None or bool(self._asleep)

    def _ordinary(self, nodes: FreeNodes) -> tuple[WaitingJob | None, _Spot | None]:
        """The first task without a demand that fits on these nodes, and where."""
        while (job := self._next_job(nodes)) is not None:
            spot = self._prepared_spot(job) if nodes is self.soon and job.prepares else None
            if spot is None and not (nodes is self.soon and job.prepares):
                spot = self._spot(job, nodes)
            if spot is not None:
                return job, spot
            job.entry = None
            self._aside.append(job)
        return None, None

    def _next_job(self, nodes: FreeNodes) -> WaitingJob | None:
        """The job whose turn it is, with what is kept for those of its rank."""
        best = self._turns.next(nodes.most) if nodes.most else None
        for rank, area in self._room.kept.items() if nodes is self.nodes else ():
            job = self._turns.next(area.most) if area.most else None
            if job is not None and rank_of(job.priority) >= rank and _is_before(job, best):
                best = job
        return best

    def _spot(self, job: WaitingJob, nodes: FreeNodes) -> _Spot | None:
        """The oldest task of a job that fits, on nodes that are kept for nobody if it can be."""
        areas = [nodes]
        if nodes is self.nodes:
            kept = sorted(self._room.kept.items())
            areas += [area for rank, area in kept if rank <= rank_of(job.priority)]

        def may(node_no: int) -> bool:
            return node_no not in job.barred

        found = job.oldest(max(area.most_of(may) if job.barred else area.most for area in areas))
        if found is None:
            return None
        task_no, slots = found
        hint = job.hints.get(task_no)
        if hint is not None and may(hint) and nodes.room(hint) >= slots:
            return task_no, slots, hint
        fill = self.fill if nodes is self.nodes else Fill.SPREAD
        for area in areas:
            node_no = area.choose_of(slots, fill, may) if job.barred else area.choose(slots, fill)
            if node_no is not None:
                return task_no, slots, node_no
        raise AssertionError("there was room, and now there is none")

    def _prepared_spot(self, job: WaitingJob) -> _Spot | None:
        """A node that is prepared for a job, and the oldest task that may be sent ahead there."""
        least, prepared = job.least(), job.prepared
        if prepared is None or least is None:
            return None
        prepared.ask_for(least)
        while prepared.turns:
            node_no = next(iter(prepared.turns))
            found = None if node_no in job.barred else job.oldest(self.soon.room(node_no))
            if found is not None:
                prepared.turns.move_to_end(node_no)
                return *found, node_no
            del prepared.turns[node_no]
            self._asleep.setdefault(node_no, {})[job.job_no] = None
            self._room.watched = True
        return None

    def _bring_back(self) -> None:
        """What was set aside may have its turn again."""
        aside, self._aside = self._aside, []
        for job in aside:
            if job.job_no in self.jobs:
                self._enter(job, fresh=False)

    def _first_that_waits(self) -> _Mark | None:
        """The first task without a demand in order, whether it fits or not."""
        self._bring_back()
        job = self._turns.next(ANY_ROOM)
        found = None if job is None else job.oldest(ANY_ROOM)
        return None if job is None or found is None else _mark_of(job, found[0])

    # --- demands -----------------------------------------------------------------------------

    @property
    def reservation(self) -> Reserved | None:
        """For which task nodes are held, and which."""
        self._review()
        return None if self._reserved is None else self._reserved.seen()

    def victims(self, limit: int = MOST_VICTIMS) -> list[Victim]:
        """The tasks that have to make room for what waits, after all was placed that fits.

        Each is named once, and counted as making room until its `ended`.
        """
        if not self._all_placed:
            return []
        self._review()
        reserved, preemption = self._reserved, self._preemption
        found = preemption.for_reservation(reserved) if reserved is not None else []
        low, first = preemption.lowest(), self._turns.next(ANY_ROOM)
        if low is None or first is None or first.priority <= low:
            return found
        waiting = [job for job in self.jobs.values() if job.entry and job.priority > low]
        waiting.sort(key=lambda job: job.entry[1] if job.entry else ())
        return found + preemption.for_waiting(waiting, reserved, limit)

    def _wanting_before(self, mark: _Mark | None, *, now: bool) -> tuple[Placement | None, bool]:
        """Place a task with a demand that comes before; or hold nodes, and say that it is so."""
        for mine, key, job in self._wanting():
            if mark is not None and mine > mark:
                break
            if key is None:
                assert self._reserved is not None
                if now and self._reserved.fits:
                    return self._place_reserved(self._reserved), False
                continue
            task_no, outranks = mine[2], self._outranks(job, key[1])
            nodes = self._nodes_for(job, task_no, key, outranks=outranks) if now else None
            if nodes is not None:
                self._served(job, key[1])
                return self._give_wish(job, task_no, key, nodes), False
            if outranks:
                self._reserve(job, task_no, key)
                return None, True
        return None, False

    def _wanting(self) -> list[tuple[_Mark, WishKey | None, WaitingJob]]:
        """In order the first task of each kind of wish that may be, and the reservation."""
        found: list[tuple[_Mark, WishKey | None, WaitingJob]] = []
        reserved = self._reserved
        for key, entry in self._wishes.tops():
            job = self.jobs[entry[2]]
            head = job.wishes[key[:2]].head()
            assert head is not None, "a job had a turn and no task for it"
            if self._is_possible(key) and not (reserved and reserved.task_no == head):
                found.append(((entry, not key[1].first, head), key, job))
        if reserved is not None:
            mark = (reserved.entry, not reserved.demand.first, reserved.task_no)
            found.append((mark, None, reserved.job))
        return sorted(found, key=lambda one: one[0])

    def _outranks(self, job: WaitingJob, demand: Demand) -> bool:
        reserved = self._reserved
        return reserved is None or rank_of(job.priority, demand) > reserved.rank

    def _nodes_for(
        self, job: WaitingJob, task_no: int, key: WishKey, *, outranks: bool
    ) -> list[int] | None:
        """Nodes on which a task with a demand fits now, in the order of preference."""
        slots, demand, _ = key
        hint = job.hints.get(task_no)

        def may(node_no: int) -> bool:
            return self._room.suits(node_no, job, slots, demand)

        held = self._reserved.held if outranks and self._reserved is not None else ()
        ready = [no for no in sorted(held) if may(no) and not self._room.lacks(no, slots, demand)]
        if not demand.is_whole:
            if hint is not None and self.nodes.room(hint) >= slots and may(hint):
                return [hint]
            node_no = self.nodes.choose_of(slots, self.fill, may)
            return ready[:1] or None if node_no is None else [node_no]
        found: list[int] = []
        if hint is not None and self._is_empty(hint) and may(hint):
            found.append(hint)
        for capacity in self._room.traits.capacities():
            for node_no in self.nodes.with_free(capacity) if capacity >= slots else ():
                if len(found) == demand.nodes:
                    break
                if node_no != hint and self._is_empty(node_no) and may(node_no):
                    found.append(node_no)
        found += ready[: demand.nodes - len(found)]
        return found if len(found) == demand.nodes else None

    def _is_empty(self, node_no: int) -> bool:
        """Whether there is nothing on a node, and it is kept for nobody."""
        trait, room = self._room.traits.get(node_no), self.nodes.room(node_no)
        return trait is not None and room == trait.capacity

    def _give_wish(
        self, job: WaitingJob, task_no: int, wish: WishKey, nodes: list[int]
    ) -> Placement:
        slots, demand, _ = wish
        job.wishes[slots, demand].pop()
        job.hints.pop(task_no, None)
        job.waiting -= 1
        job.running += 1
        traits = self._room.traits
        held = max(traits[no].capacity for no in nodes) if demand.is_whole else slots
        for node_no in nodes:
            self._room.take(node_no, held)
            if self._reserved is not None and node_no in self._reserved.held:
                self._reserved.changed = True
        job.served += held * len(nodes)
        self._enter(job, fresh=False)
        placement = Placement(
            job.job_no,
            task_no,
            nodes[0],
            slots,
            others=tuple(nodes[1:]),
            taken=held,
            demand=demand,
        )
        self._running[placement.task_no] = placement
        if placement.demand is not None or job.prepares:
            self._keep_unshared(job, placement)
        if job.preemptible:
            self._preemption.began(placement)
        return placement

    # --- the reservation ---------------------------------------------------------------------

    def _reserve(self, job: WaitingJob, task_no: int, key: WishKey) -> None:
        """Hold nodes for a task, and no more for another."""
        if self._reserved is not None:
            self._drop_reservation()
        self._served(job, key[1])
        self._reserved = Reservation(self._room, job, task_no, key[:2])
        self._room.watched = True
        job.reserved = 1
        self._enter(job, fresh=False)

    def _drop_reservation(self) -> None:
        reserved, self._reserved = self._reserved, None
        assert reserved is not None
        reserved.release()
        reserved.job.reserved = 0
        if reserved.job.job_no in self.jobs:
            self._enter(reserved.job, fresh=False)
        self._anew = True
        self._bring_back()

    def _served(self, job: WaitingJob, demand: Demand) -> None:
        """It is the turn of a job; jobs that come to the turns later start where it stands."""
        if not demand.displaces:
            self._level[job.priority] = job.served

    def _place_reserved(self, reserved: Reservation) -> Placement:
        nodes = sorted(reserved.held)
        self._drop_reservation()
        key = self._key(reserved.job, reserved.wish)
        return self._give_wish(reserved.job, reserved.task_no, key, nodes)

    def _holds_good(self, reserved: Reservation) -> bool:
        """Whether the task still waits, may begin, and there are nodes enough for it."""
        job, demand = reserved.job, reserved.demand
        line = job.wishes.get(reserved.wish)
        return (
            line is not None
            and line.head() == reserved.task_no
            and job.open
            and (job.cap < 0 or job.running < job.cap)
            and rank_of(job.priority, demand) == reserved.rank
            and (demand.first or not job.first_waits)
            and self._is_possible(self._key(job, reserved.wish))
        )


def _mark_of(job: WaitingJob, task_no: int) -> _Mark:
    assert job.entry is not None, "a job had a turn and no place in it"
    return (job.entry[1], True, task_no)


def _is_before(job: WaitingJob, other: WaitingJob | None) -> bool:
    if other is None:
        return True
    assert job.entry is not None
    assert other.entry is not None
    return job.entry[1] < other.entry[1]


def _has_whole(placement: Placement) -> bool:
    return placement.demand is not None and placement.demand.is_whole
