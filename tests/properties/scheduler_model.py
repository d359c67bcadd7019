"""The rules of `PoolQueue`, said by walking everything every time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from penstock.scheduler.demands import Demand
from penstock.scheduler.nodes import Fill

Entry = tuple[int, int, int]
Mark = tuple[Entry, bool, int]
Placed = tuple[int, int, tuple[int, ...], int, bool]
"""Job, task, nodes, slots of each, and whether it was sent ahead."""


@dataclass
class Task:
    job: int
    number: int
    slots: int
    demand: Demand | None


@dataclass
class Running:
    job: int
    number: int
    nodes: tuple[int, ...]
    held: int
    ordinary: bool
    whole: bool = False
    unshared: bool = False  # nothing is sent ahead to its nodes
    going: bool = False


@dataclass
class Node:
    capacity: int
    free: int
    dedicated: bool
    ahead: int = 0
    changed: int = 0  # of nodes that are as good, the one that changed first is chosen
    soon_changed: int = 0
    kept: int | None = None  # the least rank that may use it
    freeing: bool = False  # kept until all that goes has ended


@dataclass
class Job:
    priority: int
    cap: int
    open: bool
    preemptible: bool = False
    prepares: bool = False
    running: int = 0
    reserved: int = 0
    served: int = 0
    barred: set[int] = field(default_factory=set)
    prepared: set[int] = field(default_factory=set)
    tasks: list[Task] = field(default_factory=list)  # as they came

    @property
    def may_start(self) -> bool:
        return self.open and (self.cap < 0 or self.running + self.reserved < self.cap)

    @property
    def rank(self) -> int:
        return 2 * self.priority

    def heads(self) -> list[Task]:
        """The first waiting task of each kind, the oldest first."""
        first: dict[tuple[int, Demand | None], Task] = {}
        for task in self.tasks:
            first.setdefault((task.slots, task.demand), task)
        return sorted(first.values(), key=lambda task: task.number)


@dataclass
class Reservation:
    task: Task
    demand: Demand
    rank: int
    held: list[int] = field(default_factory=list)
    pinned: bool = False


@dataclass
class ModelQueue:
    fill: Fill
    oldest_first: bool
    gangs_allowed: bool = False
    jobs: dict[int, Job] = field(default_factory=dict)
    nodes: dict[int, Node] = field(default_factory=dict)
    running: dict[int, Running] = field(default_factory=dict)  # in the order they began
    level: dict[int, int] = field(default_factory=dict)
    reservation: Reservation | None = None
    time: int = 0
    all_placed: bool = False

    # --- what happens ------------------------------------------------------------------------

    def _rises(self, job: Job) -> None:
        """A job that comes (back) to the turns starts at the level of the others."""
        if job.may_start and job.tasks:
            job.served = max(job.served, self.level.get(job.priority, 0))

    def put_job(
        self, number: int, priority: int, cap: int, open_: bool, preemptible: bool, prepares: bool
    ) -> None:
        job = self.jobs.setdefault(number, Job(priority, cap, open_))
        job.priority, job.cap, job.open = priority, cap, open_
        job.preemptible, job.prepares = preemptible, prepares
        self._rises(job)

    def add(self, number: int, task: int, slots: int, demand: Demand | None = None) -> None:
        job = self.jobs[number]
        fresh = not job.tasks
        job.tasks.append(Task(number, task, slots, demand))
        if fresh:
            self._rises(job)

    def remove(self, number: int, task: int) -> None:
        job = self.jobs[number]
        job.tasks = [item for item in job.tasks if item.number != task]

    def _now(self) -> int:
        self.time += 1
        return self.time

    def _touch(self, number: int) -> None:
        self.nodes[number].changed = self.nodes[number].soon_changed = self._now()

    def open_node(self, number: int, capacity: int, free: int, dedicated: bool) -> None:
        self.nodes[number] = Node(capacity, free, dedicated)
        self._touch(number)

    def set_ahead(self, number: int, ahead: int) -> None:
        self.nodes[number].ahead = ahead
        self.nodes[number].soon_changed = self._now()

    def close_node(self, number: int) -> None:
        self.nodes.pop(number, None)
        if self.reservation is not None and number in self.reservation.held:
            self.reservation.held.remove(number)

    def _take(self, number: int, slots: int) -> None:
        if number in self.nodes:
            self.nodes[number].free -= slots
            self._touch(number)

    def _keep(self, number: int, rank: int) -> None:
        self.nodes[number].kept = rank
        self._touch(number)

    def _let(self, number: int) -> None:
        node = self.nodes[number]
        node.kept, node.freeing = None, False
        self._touch(number)

    def ended(self, task: int) -> None:
        ran = self.running.pop(task)
        for node in ran.nodes:
            self._take(node, -ran.held)
        for number in ran.nodes if ran.going else ():
            node_there = self.nodes.get(number)
            if node_there is not None and node_there.freeing and not self._going_on(number):
                self._let(number)
        self.jobs[ran.job].running -= 1
        self._share(ran)

    def _unshared(self) -> set[int]:
        """The nodes to which nothing is sent ahead, for a task there that has not begun or is to
        be alone."""
        return {number for ran in self.running.values() if ran.unshared for number in ran.nodes}

    def _share(self, ran: Running) -> None:
        if not ran.unshared:
            return
        ran.unshared = False
        for number in ran.nodes:
            if number in self.nodes and number not in self._unshared():
                self.nodes[number].soon_changed = self._now()

    def prepare(self, number: int, node: int) -> None:
        self.jobs[number].prepared.add(node)
        for ran in list(self.running.values()):
            if (ran.job, ran.nodes) == (number, (node,)) and not ran.whole:
                self._share(ran)

    # --- who may use what --------------------------------------------------------------------

    def suits(self, number: int, task: Task) -> bool:
        node, demand = self.nodes[number], task.demand
        assert demand is not None
        return (
            node.capacity >= task.slots
            and (node.dedicated or not demand.dedicated)
            and number not in self.jobs[task.job].barred
        )

    def lacks(self, number: int, task: Task) -> int:
        node, demand = self.nodes[number], task.demand
        assert demand is not None
        if demand.is_whole:
            return node.capacity - node.free
        return max(0, task.slots - node.free)

    def is_possible(self, task: Task) -> bool:
        assert task.demand is not None
        if task.demand.is_gang and not self.gangs_allowed:
            return False
        return sum(self.suits(number, task) for number in self.nodes) >= task.demand.nodes

    def first_waits(self, job: Job) -> bool:
        return any(
            task.demand is not None and task.demand.first and self.is_possible(task)
            for task in job.heads()
        )

    def entry(self, number: int, demand: Demand | None = None) -> Entry:
        job = self.jobs[number]
        served = 0 if self.oldest_first else job.served
        return (-job.priority, -1 if demand and demand.displaces else served, number)

    # --- placing -----------------------------------------------------------------------------

    def place(self, limit: int, answers: Sequence[Placed]) -> list[Placed]:
        """What is placed. `answers` decides on which prepared node, as any will do."""
        placed: list[Placed] = []
        while len(placed) < limit:
            answer = answers[len(placed)] if len(placed) < len(answers) else None
            one = self._place_on(False, answer) or self._place_on(True, answer)
            if one is None:
                break
            placed.append(one)
        self.all_placed = len(placed) < limit
        return placed

    def _place_on(self, ahead: bool, answer: Placed | None) -> Placed | None:
        while True:
            self.review()
            ordinary = self._ordinary(ahead, answer)
            if ordinary is None and ahead:
                return None
            mark = None if ordinary is None else ordinary[0]
            if mark is None and all(n.free <= 0 for n in self.nodes.values() if n.kept is None):
                mark = self._first_that_waits()
            one = self._wanting_before(mark, ahead)
            if one == "again":
                continue
            if one is not None or ordinary is None:
                return one
            _, task, node = ordinary
            self.level[self.jobs[task.job].priority] = self.jobs[task.job].served
            return self._give(task, [node], ahead)

    def _wanting_before(self, mark: Mark | None, ahead: bool) -> Placed | Literal["again"] | None:
        for mine, task in self._wanting():
            if mark is not None and mine > mark:
                break
            reserved, demand = self.reservation, task.demand
            assert demand is not None
            if reserved is not None and task is reserved.task:
                fits = len(reserved.held) == demand.nodes
                if not ahead and fits and not any(self.lacks(n, task) for n in reserved.held):
                    held = sorted(reserved.held)
                    self._drop_reservation()
                    return self._give(task, held)
                continue
            rank = self.jobs[task.job].rank + demand.displaces
            outranks = reserved is None or rank > reserved.rank
            nodes = None if ahead else self._nodes_for(task, outranks)
            if nodes is not None:
                self._served(task)
                return self._give(task, nodes)
            if outranks:
                self._drop_reservation()
                self._served(task)
                self.reservation = Reservation(task, demand, rank)
                self.jobs[task.job].reserved = 1
                return "again"
        return None

    def _served(self, task: Task) -> None:
        if task.demand is not None and not task.demand.displaces:
            job = self.jobs[task.job]
            self.level[job.priority] = job.served

    def _ordinary_jobs(self) -> Iterator[tuple[Entry, Job, list[Task]]]:
        for number in sorted(self.jobs, key=self.entry):
            job = self.jobs[number]
            tasks = [task for task in job.heads() if task.demand is None]
            if job.may_start and tasks and not self.first_waits(job):
                yield self.entry(number), job, tasks

    def _ordinary(self, ahead: bool, answer: Placed | None) -> tuple[Mark, Task, int] | None:
        for entry, job, tasks in self._ordinary_jobs():
            for task in tasks:
                node = self._node_for(job, task, ahead, answer)
                if node is not None:
                    return (entry, True, task.number), task, node
        return None

    def _first_that_waits(self) -> Mark | None:
        for entry, _, tasks in self._ordinary_jobs():
            return (entry, True, tasks[0].number)
        return None

    def _node_for(self, job: Job, task: Task, ahead: bool, answer: Placed | None) -> int | None:
        nodes = {number: node for number, node in self.nodes.items() if number not in job.barred}
        if ahead:
            alone = self._unshared()
            rooms = {
                n: node.free + node.ahead
                for n, node in nodes.items()
                if node.ahead and n not in alone
            }
            fitting = [n for n in rooms if rooms[n] >= task.slots and nodes[n].kept is None]
            if not job.prepares:
                return min(fitting, key=lambda n: (-rooms[n], nodes[n].soon_changed), default=None)
            fitting = [n for n in fitting if n in job.prepared]
            told = answer[2][0] if answer is not None else None
            return told if told in fitting else min(fitting, default=None)
        return self._choose(nodes, task.slots, job.rank)

    def _choose(self, nodes: dict[int, Node], slots: int, rank: int) -> int | None:
        """By the fill type; a node that is kept for some rank only if there is no other."""
        sign = -1 if self.fill is Fill.SPREAD else 1
        fitting = [
            number
            for number, node in nodes.items()
            if node.free >= slots and (node.kept is None or node.kept <= rank)
        ]

        def order(number: int) -> tuple[int, int, int]:
            node = nodes[number]
            kept = -(1 << 30) if node.kept is None else node.kept
            return kept, sign * node.free, node.changed

        return min(fitting, key=order, default=None)

    def _wanting(self) -> list[tuple[Mark, Task]]:
        found: list[tuple[Mark, Task]] = []
        reserved = self.reservation
        for number, job in self.jobs.items():
            firsts = self.first_waits(job)
            for task in job.heads():
                demand = task.demand
                if demand is None or (reserved is not None and task is reserved.task):
                    continue
                if job.may_start and self.is_possible(task) and (demand.first or not firsts):
                    found.append(
                        ((self.entry(number, demand), not demand.first, task.number), task)
                    )
        if reserved is not None:
            demand = reserved.demand
            turn = (-self.jobs[reserved.task.job].priority, -1 - demand.displaces, 1 << 62)
            found.append(((turn, not demand.first, reserved.task.number), reserved.task))
        return sorted(found, key=lambda one: one[0])

    def _nodes_for(self, task: Task, outranks: bool) -> list[int] | None:
        demand = task.demand
        assert demand is not None
        usable = {no: node for no, node in self.nodes.items() if self.suits(no, task)}
        others = {number: node for number, node in usable.items() if node.kept is None}
        held = self.reservation.held if outranks and self.reservation is not None else []
        ready = [no for no in sorted(held) if no in usable and not self.lacks(no, task)]
        if not demand.is_whole:
            node = self._choose(others, task.slots, 0)
            return [node] if node is not None else ready[:1] or None
        empty = [number for number, node in others.items() if node.free == node.capacity]
        empty.sort(key=lambda number: (others[number].capacity, others[number].changed))
        nodes = (empty + ready)[: demand.nodes]
        return nodes if len(nodes) == demand.nodes else None

    def _give(self, task: Task, nodes: list[int], ahead: bool = False) -> Placed:
        demand = task.demand
        held = task.slots
        if demand is not None and demand.is_whole:
            held = max(self.nodes[number].capacity for number in nodes)
        job = self.jobs[task.job]
        self.remove(task.job, task.number)
        for node in nodes:
            self._take(node, held)
        job.running += 1
        job.served += held * len(nodes)
        whole = demand is not None and demand.is_whole
        waits = job.prepares and any(number not in job.prepared for number in nodes)
        unshared = not ahead and (whole or waits)
        self.running[task.number] = Running(
            task.job, task.number, tuple(nodes), held, demand is None, whole, unshared
        )
        return task.job, task.number, tuple(nodes), held, ahead

    # --- the reservation ---------------------------------------------------------------------

    def review(self) -> None:
        """Drop a reservation that is void, and hold the nodes that lack least."""
        reserved = self.reservation
        if reserved is None:
            return
        task, demand = reserved.task, reserved.demand
        job = self.jobs[task.job]
        if not (
            task in job.heads()
            and job.open
            and (job.cap < 0 or job.running < job.cap)
            and job.rank + demand.displaces == reserved.rank
            and (demand.first or not self.first_waits(job))
            and self.is_possible(task)
        ):
            self._drop_reservation()
            return
        for number in [number for number in reserved.held if not self.suits(number, task)]:
            reserved.held.remove(number)
            self._let(number)
        while len(reserved.held) < demand.nodes and (best := self._best(task)) is not None:
            reserved.held.append(best)
            self._keep(best, reserved.rank + 1)
        while reserved.held and (best := self._best(task)) is not None:
            worst = max(reserved.held, key=lambda number: (self.lacks(number, task), number))
            lacking = self.lacks(best, task)
            if lacking >= self.lacks(worst, task) or (reserved.pinned and lacking):
                break
            reserved.held.remove(worst)
            self._let(worst)
            reserved.held.append(best)
            self._keep(best, reserved.rank + 1)

    def _best(self, task: Task) -> int | None:
        others = [no for no, node in self.nodes.items() if node.kept is None]
        fitting = [number for number in others if self.suits(number, task)]
        return min(fitting, key=lambda number: (self.lacks(number, task), number), default=None)

    def _drop_reservation(self) -> None:
        reserved, self.reservation = self.reservation, None
        if reserved is not None:
            for number in sorted(reserved.held):
                self._let(number)
            self.jobs[reserved.task.job].reserved = 0

    # --- making room -------------------------------------------------------------------------

    def _going_on(self, number: int) -> int:
        return sum(ran.held for ran in self.running.values() if ran.going and number in ran.nodes)

    def _weak(self) -> list[Running]:
        """What might have to go: those of the least priority first, then the latest begun."""
        begun = {number: place for place, number in enumerate(self.running)}
        found = [
            ran for ran in self.running.values() if self.jobs[ran.job].preemptible and not ran.going
        ]
        return sorted(found, key=lambda ran: (self.jobs[ran.job].priority, -begun[ran.number]))

    def victims(self) -> list[tuple[int, int]]:
        found: list[Running] = []
        if self.all_placed:
            self.review()
            if self.reservation is not None:
                found += self._for_reservation(self.reservation)
            found += self._for_waiting()
        return [(ran.job, ran.number) for ran in found]

    def _for_reservation(self, reserved: Reservation) -> list[Running]:
        task, demand = reserved.task, reserved.demand
        priority = self.jobs[task.job].priority
        lacking = {n: max(0, self.lacks(n, task) - self._going_on(n)) for n in self.nodes}
        if reserved.pinned and not any(lacking[number] for number in reserved.held):
            return []
        weak = [ran for ran in self._weak() if self.jobs[ran.job].priority < priority]
        if demand.displaces:
            begun = list(self.running)
            weak = [
                ran
                for ran in self.running.values()
                if ran.ordinary and not ran.going and self.jobs[ran.job].priority <= priority
            ]
            weak.sort(
                key=lambda ran: (
                    -ran.held,
                    self.jobs[ran.job].priority,
                    -begun.index(ran.number),
                )
            )
        options: list[tuple[tuple[int, int, bool, int], list[Running]]] = []
        for number, node in self.nodes.items():
            held = number in reserved.held
            if self.suits(number, task) and (held or node.kept is None):
                on_node = [ran for ran in weak if number in ran.nodes]
                chosen = fewest(on_node, lacking[number])
                if chosen is not None:
                    dearest = max(
                        (self.jobs[ran.job].priority for ran in chosen), default=-(1 << 30)
                    )
                    cost = (dearest, len(chosen))
                    if demand.displaces:
                        cost = (len(chosen), dearest)
                    options.append(((*cost, not held, number), chosen))
        options.sort(key=lambda option: option[0])
        best = options[: demand.nodes]
        going = [ran for _, chosen in best for ran in chosen]
        if len(best) < demand.nodes or not going:
            return []
        pinned = sorted(cost[-1] for cost, _ in best)
        for number in [number for number in reserved.held if number not in pinned]:
            reserved.held.remove(number)
            self._let(number)
        for number in pinned:
            if number not in reserved.held:
                reserved.held.append(number)
                self._keep(number, reserved.rank + 1)
        reserved.pinned = True
        order = [ran for ran in self._weak() if ran in going] if not demand.displaces else []
        if demand.displaces:
            begun = list(self.running)
            order = sorted(
                {ran.number: ran for ran in going}.values(),
                key=lambda ran: (self.jobs[ran.job].priority, -begun.index(ran.number)),
            )
        for ran in order:
            ran.going = True
        return order

    def _for_waiting(self) -> list[Running]:
        found: list[Running] = []
        going = {number: self._going_on(number) for number in self.nodes}
        soon = {
            number: (self.nodes[number].free + slots, number - (1 << 30))
            for number, slots in going.items()
            if slots
        }
        weak = self._weak()
        low = min((self.jobs[ran.job].priority for ran in weak), default=None)
        for _, job, tasks in list(self._ordinary_jobs()):
            if low is None or job.priority <= low:
                continue
            left = job.cap - job.running - job.reserved if job.cap >= 0 else len(job.tasks)
            for head in tasks:
                same = [
                    task for task in job.tasks if (task.slots, task.demand) == (head.slots, None)
                ]
                for _ in same[: max(0, left)]:
                    if not self._weak():
                        return found
                    chosen = self._room_for(job, head.slots, soon)
                    if chosen is None:
                        break
                    left -= 1
                    found += chosen
        return found

    def _room_for(
        self, job: Job, slots: int, soon: dict[int, tuple[int, int]]
    ) -> list[Running] | None:
        reserved = self.reservation
        usable = {
            number: node
            for number, node in self.nodes.items()
            if number not in job.barred
            and (reserved is None or number not in reserved.held)
            and (node.kept is None or node.kept <= job.rank)
        }
        fitting = [n for n in soon if n in usable and soon[n][0] >= slots]
        chosen: list[Running] = []
        if fitting:
            number = min(fitting, key=lambda n: soon[n])
        else:
            found = self._dearest_last(job, slots, soon, usable)
            if found is None:
                return None
            number, chosen = found
        for ran in chosen:
            ran.going = True
        node = self.nodes[number]
        node.freeing = True
        if node.kept is None or node.kept < job.rank:
            self._keep(number, job.rank)
        for ran in chosen:
            for freed in ran.nodes:
                if freed in self.nodes:
                    free = soon[freed][0] if freed in soon else self.nodes[freed].free
                    soon[freed] = (free + ran.held, self._now())
        soon[number] = (soon[number][0] - slots, self._now())
        return chosen

    def _dearest_last(
        self,
        job: Job,
        slots: int,
        soon: dict[int, tuple[int, int]],
        usable: dict[int, Node],
    ) -> tuple[int, list[Running]] | None:
        weak = [ran for ran in self._weak() if self.jobs[ran.job].priority < job.priority]
        for most in sorted({self.jobs[ran.job].priority for ran in weak}):
            allowed = [ran for ran in weak if self.jobs[ran.job].priority <= most]
            for ran in allowed:
                for number in ran.nodes:
                    if number in usable:
                        free = soon[number][0] if number in soon else self.nodes[number].free
                        on_node = [other for other in allowed if number in other.nodes]
                        chosen = fewest(on_node, slots - free)
                        if chosen:
                            return number, chosen
        return None


def fewest(tasks: list[Running], lacking: int) -> list[Running] | None:
    """As many as give so many slots, in this order; then without those that are not needed."""
    chosen: list[Running] = []
    for ran in tasks:
        if sum(other.held for other in chosen) < lacking:
            chosen.append(ran)
    if sum(ran.held for ran in chosen) < lacking:
        return None
    for ran in reversed(chosen[:]):
        rest = [other for other in chosen if other is not ran]
        if sum(other.held for other in rest) >= lacking:
            chosen = rest
    return chosen
