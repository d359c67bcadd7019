"""Which running tasks have to make room for tasks of more weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from operator import attrgetter

import msgspec

from penstock.scheduler.demands import Placement, Victim
from penstock.scheduler.nodes import Fill, FreeNodes
from penstock.scheduler.reservation import Reservation
from penstock.scheduler.room import Room, rank_of
from penstock.scheduler.waiting import WaitingJob


class _Begun(msgspec.Struct, frozen=True, gc=False):
    """A task that runs and might make room."""

    task_no: int
    job_no: int
    priority: int
    begun: int  # larger: later
    held: int
    nodes: tuple[int, ...]


_Set = tuple[_Begun, ...]
_LATEST_FIRST = attrgetter("begun")


def _preferred(task: _Begun) -> tuple[int, int]:
    """Those of the least priority go first, then those that have run for the shortest time."""
    return (task.priority, -task.begun)


class Preemption:
    """Finds the victims, and remembers them until they have ended.

    Every running task is remembered, as a job manager that restarts may displace any; where a
    job is preemptible its tasks are also kept by node. A node on which tasks make room is kept
    for jobs of the rank that they make room for, until the last of them has ended.
    """

    def __init__(self, room: Room, jobs: Mapping[int, WaitingJob]) -> None:
        self.running: dict[int, Placement] = {}  # in the order they began
        self.preemptible: dict[int, WaitingJob] = {}
        self.begun: dict[int, dict[int, int]] = {}  # by preemptible job: task, when (a count)
        self.going: dict[int, Placement] = {}  # those that have to make room
        self._room = room
        self._jobs = jobs
        self._on: dict[int, dict[int, None]] = {}  # by node: the same tasks
        self._count = 0
        self._going_on: dict[int, dict[int, int]] = {}  # by node: task, slots it will give back
        self._freeing: set[int] = set()  # nodes kept until all that go there have ended

    # --- what runs ---------------------------------------------------------------------------

    def put_job(self, job: WaitingJob) -> None:
        """Note whether the tasks of a job may be preempted."""
        if job.preemptible and job.job_no not in self.preemptible:
            self.preemptible[job.job_no] = job
            self._list_anew()
        elif not job.preemptible and job.job_no in self.preemptible:
            self.drop_job(job.job_no)

    def _list_anew(self) -> None:
        """List what runs of preemptible jobs, in the order in which it began."""
        self.begun.clear()
        self._on.clear()
        for placement in self.running.values():
            if placement.job_no in self.preemptible and placement.task_no not in self.going:
                self.began(placement)

    def drop_job(self, job_no: int) -> None:
        self.preemptible.pop(job_no, None)
        for task_no in list(self.begun.get(job_no, ())):
            self._unlist(self.running[task_no])

    def began(self, placement: Placement) -> None:
        """Note a task of a preemptible job."""
        self._count += 1
        self.begun.setdefault(placement.job_no, {})[placement.task_no] = self._count
        for node_no in placement.nodes:
            self._on.setdefault(node_no, {})[placement.task_no] = None

    def ended(self, placement: Placement) -> None:
        """Note that a task, which is out of `running`, is not there any more."""
        task_no = placement.task_no
        if task_no in self.going:
            del self.going[task_no]
            for node_no in placement.nodes:
                self._gone(task_no, node_no)
        elif placement.job_no in self.begun:
            self._unlist(placement)

    def _unlist(self, placement: Placement) -> None:
        begun = self.begun.get(placement.job_no, {})
        if begun.pop(placement.task_no, None) is None:
            return
        if not begun:
            del self.begun[placement.job_no]
        for node_no in placement.nodes:
            del self._on[node_no][placement.task_no]
            if not self._on[node_no]:
                del self._on[node_no]

    def _gone(self, task_no: int, node_no: int) -> None:
        going = self._going_on[node_no]
        del going[task_no]
        if not going:
            del self._going_on[node_no]
            if node_no in self._freeing:
                self._freeing.discard(node_no)
                self._room.let(node_no)

    def closed(self, node_no: int) -> None:
        """A node takes no more tasks, so none has to make room there."""
        self._freeing.discard(node_no)

    # --- who has to go -----------------------------------------------------------------------

    def lowest(self) -> int | None:
        """The least priority of a task that might be preempted."""
        return min((self.preemptible[job_no].priority for job_no in self.begun), default=None)

    def for_reservation(self, reservation: Reservation) -> list[Victim]:
        """Let the nodes be free that a reservation wants, if that is possible on enough."""
        displaces = reservation.demand.displaces
        low = self.lowest()
        if not displaces and (low is None or low >= reservation.job.priority):
            return []
        if reservation.pinned and not any(
            self._lacking(reservation, node_no) for node_no in reservation.held
        ):
            return []
        tasks = self._displaceable(reservation) if displaces else self._preemptible(reservation)
        options: list[tuple[tuple[int, int, bool, int], _Set]] = []
        for node_no in self._room.nodes:
            found = self._enough(reservation, node_no, tasks(node_no))
            if found is not None:
                options.append((_cost(found, node_no, reservation), found))
        best = sorted(options, key=lambda option: option[0])[: reservation.demand.nodes]
        chosen = {task.task_no: task for _, found in best for task in found}
        if len(best) < reservation.demand.nodes or not chosen:
            return []
        reservation.pin(sorted(cost[-1] for cost, _ in best))
        return [self._mark(task) for task in sorted(chosen.values(), key=_preferred)]

    def _lacking(self, reservation: Reservation, node_no: int) -> int:
        """What a node lacks beyond what is falling free there."""
        going = sum(self._going_on.get(node_no, {}).values())
        return max(0, reservation.lacks(node_no) - going)

    def _enough(self, reservation: Reservation, node_no: int, tasks: list[_Begun]) -> _Set | None:
        """The tasks that have to leave a node, the fewest; None if that would not suffice."""
        room, held = self._room, node_no in reservation.held
        if not held and room.rank(node_no) is not None:
            return None
        if not room.suits(node_no, reservation.job, *reservation.wish):
            return None
        lacking = self._lacking(reservation, node_no)
        order = (
            (lambda task: (-task.held, *_preferred(task)))
            if reservation.demand.displaces
            else _preferred
        )
        return _fewest(sorted(tasks, key=order), lacking)

    def _preemptible(self, reservation: Reservation) -> Callable[[int], list[_Begun]]:
        return lambda node_no: self._listed(node_no, reservation.job.priority - 1)

    def _displaceable(self, reservation: Reservation) -> Callable[[int], list[_Begun]]:
        """Also the ordinary tasks of any job that weighs no more. Cost: all that runs."""
        found: dict[int, list[_Begun]] = {}
        for begun, placement in enumerate(self.running.values()):
            job = self._jobs.get(placement.job_no)
            if job is None or placement.task_no in self.going:
                continue
            if placement.demand is None and job.priority <= reservation.job.priority:
                for node_no in placement.nodes:
                    found.setdefault(node_no, []).append(_as_begun(placement, job, begun))
        return lambda node_no: found.get(node_no, [])

    def _listed(self, node_no: int, most: int) -> list[_Begun]:
        """The preemptible tasks of a node, up to a priority."""
        tasks = map(self._begun_of, self._on.get(node_no, ()))
        return [task for task in tasks if task.priority <= most]

    def _begun_of(self, task_no: int) -> _Begun:
        placement = self.running[task_no]
        begun = self.begun[placement.job_no][task_no]
        return _as_begun(placement, self.preemptible[placement.job_no], begun)

    def _mark(self, task: _Begun) -> Victim:
        placement = self.running[task.task_no]
        self._unlist(placement)
        self.going[task.task_no] = placement
        for node_no in placement.nodes:
            self._going_on.setdefault(node_no, {})[task.task_no] = placement.held
        return Victim(task.job_no, task.task_no)

    # --- for tasks that want nothing but slots -----------------------------------------------

    def for_waiting(
        self, jobs: Iterable[WaitingJob], reservation: Reservation | None, limit: int
    ) -> list[Victim]:
        """Make room for the tasks of these jobs, which are in order, by up to `limit` victims."""
        making = _Making(self, self._room, reservation)
        for job in jobs:
            left = job.cap - job.running - job.reserved if job.cap >= 0 else job.waiting
            for _, slots, count in job.in_order():
                for _ in range(min(count, left)):
                    if len(making.victims) >= limit or not self.begun:
                        return making.victims
                    if not making.room_for(job, slots):
                        break
                    left -= 1
        return making.victims

    def upcoming(self) -> FreeNodes:
        """The slots of nodes on which tasks make room, as they will be then."""
        soon = FreeNodes()
        for node_no, going in sorted(self._going_on.items()):
            if node_no in self._room.nodes:
                soon.open(node_no, self._room.nodes.free(node_no) + sum(going.values()))
        return soon

    def choose(
        self, job: WaitingJob, slots: int, room_on: Callable[[int], int | None]
    ) -> tuple[int, _Set] | None:
        """The node on which tasks of the least weight can make room, and those."""
        begun = {self.preemptible[job_no].priority for job_no in self.begun}
        for most in sorted(priority for priority in begun if priority < job.priority):
            tried: set[int] = set()
            for task in self._candidates(most):
                for node_no in task.nodes:
                    room = None if node_no in tried else room_on(node_no)
                    tried.add(node_no)
                    if room is None:
                        continue
                    tasks = sorted(self._listed(node_no, most), key=_preferred)
                    found = _fewest(tasks, slots - room)
                    if found:
                        return node_no, found
        return None

    def _candidates(self, most: int) -> Iterator[_Begun]:
        """The preemptible tasks up to a priority, those preferred first."""
        groups: dict[int, list[int]] = {}
        for job_no in self.begun:
            groups.setdefault(self.preemptible[job_no].priority, []).append(job_no)
        for priority in sorted(priority for priority in groups if priority <= most):
            latest = [map(self._begun_of, reversed(self.begun[no])) for no in groups[priority]]
            yield from merge(*latest, key=_LATEST_FIRST, reverse=True)

    def free(self, node_no: int, tasks: Iterable[_Begun], rank: int) -> list[Victim]:
        """Let tasks make room on a node, which is kept for those of a rank meanwhile."""
        victims = [self._mark(task) for task in tasks]
        before = self._room.rank(node_no)
        self._freeing.add(node_no)
        if before is None or before < rank:
            self._room.keep(node_no, rank)
        return victims


class _Making:
    """Room that is being made for one task after the other."""

    def __init__(self, owner: Preemption, room: Room, reservation: Reservation | None) -> None:
        self.victims: list[Victim] = []
        self._owner = owner
        self._room = room
        self._held: Iterable[int] = reservation.held if reservation is not None else ()
        self._soon = owner.upcoming()

    def room_for(self, job: WaitingJob, slots: int) -> bool:
        """Give a task what is being freed already, or else find it victims."""
        rank = rank_of(job.priority)

        def may(node_no: int) -> bool:
            kept = self._room.rank(node_no)
            if node_no in job.barred or node_no in self._held:
                return False
            return kept is None or kept <= rank

        def room_on(node_no: int) -> int | None:
            if node_no not in self._room.nodes or not may(node_no):
                return None
            soon = self._soon
            return soon.free(node_no) if node_no in soon else self._room.nodes.free(node_no)

        node_no = self._soon.choose_of(slots, Fill.PACK, may)
        tasks: Sequence[_Begun] = ()
        if node_no is None:
            found = self._owner.choose(job, slots, room_on)
            if found is None:
                return False
            node_no, tasks = found
        self.victims += self._owner.free(node_no, tasks, rank)
        self._count(tasks)
        self._soon.take(node_no, slots)
        return True

    def _count(self, tasks: Iterable[_Begun]) -> None:
        for task in tasks:
            for freed in task.nodes:
                if freed in self._soon:
                    self._soon.take(freed, -task.held)
                elif freed in self._room.nodes:
                    self._soon.open(freed, self._room.nodes.free(freed) + task.held)


def _as_begun(placement: Placement, job: WaitingJob, begun: int) -> _Begun:
    return _Begun(
        task_no=placement.task_no,
        job_no=placement.job_no,
        priority=job.priority,
        begun=begun,
        held=placement.held,
        nodes=placement.nodes,
    )


def _fewest(tasks: Sequence[_Begun], lacking: int) -> _Set | None:
    """As many of the tasks, in this order, as give so many slots, without the needless ones."""
    chosen: list[_Begun] = []
    given = 0
    for task in tasks:
        if given >= lacking:
            break
        chosen.append(task)
        given += task.held
    if given < lacking:
        return None
    for task in reversed(chosen[:]):
        if given - task.held >= lacking:
            chosen.remove(task)
            given -= task.held
    return tuple(chosen)


def _cost(tasks: _Set, node_no: int, reservation: Reservation) -> tuple[int, int, bool, int]:
    """What it costs to free a node: the dearest task first; for who displaces their number."""
    dearest = max((task.priority for task in tasks), default=-(1 << 30))
    other = node_no not in reservation.held
    if reservation.demand.displaces:
        return (len(tasks), dearest, other, node_no)
    return (dearest, len(tasks), other, node_no)
