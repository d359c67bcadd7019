"""The incremental scheduler does what the walking model does, whatever happens."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.scheduler.demands import Demand, Placement
from penstock.scheduler.nodes import Fill
from penstock.scheduler.queue import PoolQueue
from tests.properties.scheduler_model import ModelQueue, Placed

JOBS = st.integers(1, 4)
NODES = st.integers(1, 5)
PREPARES = 4  # this job, whose tasks are all of one size

DEMANDS = st.sampled_from(
    [
        Demand(),
        Demand(nodes=2),
        Demand(nodes=3),
        Demand(gang=True),
        Demand(nodes=2, dedicated=True),
        Demand(whole=True),
        Demand(dedicated=True),
        Demand(first=True),
        Demand(whole=True, first=True, dedicated=True),
        Demand(whole=True, first=True, displaces=True),
        Demand(first=True, displaces=True),
    ]
)


class Scheduling(RuleBasedStateMachine):
    @initialize(
        fill=st.sampled_from(Fill),
        oldest_first=st.booleans(),
        sizes=st.one_of(
            st.integers(1, 4).map(lambda size: [size] * 5),
            st.lists(st.integers(1, 4), min_size=5, max_size=5),
        ),
        priorities=st.lists(st.integers(-1, 1), min_size=4, max_size=4),
    )
    def begin(
        self, fill: Fill, oldest_first: bool, sizes: list[int], priorities: list[int]
    ) -> None:
        self.sizes = sizes
        self.queue = PoolQueue(fill, oldest_first=oldest_first)
        self.model = ModelQueue(fill, oldest_first)
        self.capacity: dict[int, int] = {}  # of open nodes
        self.most_ahead: dict[int, int] = {}  # by node: the most that was ever allowed
        self.running: list[Placement] = []
        self.going: set[int] = set()
        self.waiting: dict[int, tuple[int, int, Demand | None]] = {}  # task: job, slots, demand
        self.last_task = 0
        self.allow_gangs(True)
        for number, priority in enumerate(priorities, 1):
            self.put_job(number, priority, -1, True, priority < 0)
        self.open_nodes({1, 2, 3, 4, 5}, True)

    @rule(allowed=st.booleans())
    def allow_gangs(self, allowed: bool) -> None:
        allowed = allowed and len(set(self.sizes)) == 1  # all nodes of a gang give as much
        self.queue.gangs_allowed = self.model.gangs_allowed = allowed

    @rule(
        number=JOBS,
        priority=st.integers(-1, 2),
        cap=st.sampled_from([-1, -1, -1, -1, 1, 3]),
        open_=st.sampled_from([True, True, True, True, False]),
        preemptible=st.booleans(),
    )
    def put_job(self, number: int, priority: int, cap: int, open_: bool, preemptible: bool) -> None:
        prepares = number == PREPARES
        self.queue.put_job(
            number, priority, cap, open_=open_, preemptible=preemptible, prepares=prepares
        )
        self.model.put_job(number, priority, cap, open_, preemptible, prepares)

    def _new_task(self, number: int, slots: int, demand: Demand | None = None) -> int:
        self.last_task += 1
        self.waiting[self.last_task] = (number, slots, demand)
        self.model.add(number, self.last_task, slots, demand)
        return self.last_task

    @rule(number=JOBS, slots=st.integers(1, 5), count=st.integers(1, 3))
    def add(self, number: int, slots: int, count: int) -> None:
        slots = 1 if number == PREPARES else slots
        for _ in range(count):
            self.queue.add(number, self._new_task(number, slots), slots)

    @rule(number=JOBS, slots=st.integers(1, 5), count=st.integers(1, 4))
    def add_many(self, number: int, slots: int, count: int) -> None:
        slots = 1 if number == PREPARES else slots
        added = [self._new_task(number, slots) for _ in range(count)]
        self.queue.add_many(number, added, slots)

    @rule(number=JOBS, slots=st.integers(1, 3), demand=DEMANDS)
    def add_demand(self, number: int, slots: int, demand: Demand) -> None:
        slots = 1 if demand.is_gang else slots
        self.queue.add(number, self._new_task(number, slots, demand), slots, demand=demand)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(sorted(self.waiting)))
        number, slots, demand = self.waiting.pop(task)
        self.queue.remove(number, task, slots, demand)
        self.model.remove(number, task)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), slots=st.integers(1, 5))
    def remove_and_come_back(self, data: st.DataObject, slots: int) -> None:
        task = data.draw(st.sampled_from(sorted(self.waiting)))
        number, before, demand = self.waiting[task]
        slots = before if number == PREPARES or demand is not None else slots
        self.waiting[task] = (number, slots, demand)
        self.queue.remove(number, task, before, demand)
        self.model.remove(number, task)
        self.queue.add(number, task, slots, demand=demand)
        self.model.add(number, task, slots, demand)

    def _used(self, node: int) -> int:
        return sum(placed.held for placed in self.running if node in placed.nodes)

    @rule(nodes=st.sets(NODES, min_size=1), dedicated=st.sampled_from([True, True, False]))
    def open_nodes(self, nodes: set[int], dedicated: bool) -> None:
        for node in sorted(nodes - self.capacity.keys()):
            size = self.capacity[node] = self.sizes[node - 1]
            free = size - self._used(node)
            self.queue.open_node(node, free, dedicated=dedicated, capacity=size)
            self.model.open_node(node, size, free, dedicated)

    @precondition(lambda self: self.capacity)
    @rule(data=st.data(), ahead=st.integers(0, 4))
    def set_ahead(self, data: st.DataObject, ahead: int) -> None:
        node = data.draw(st.sampled_from(sorted(self.capacity)))
        self.queue.set_ahead(node, ahead)
        self.model.set_ahead(node, ahead)
        self.most_ahead[node] = max(ahead, self.most_ahead.get(node, 0))

    @rule(node=NODES, for_good=st.booleans())
    def close_node(self, node: int, for_good: bool) -> None:
        self.capacity.pop(node, None)
        self.model.close_node(node)
        if for_good:
            self.queue.forget_node(node)
            for job in self.model.jobs.values():
                job.barred.discard(node)
                job.prepared.discard(node)
        else:
            self.queue.close_node(node)

    @rule(number=JOBS, node=NODES, barred=st.sampled_from([True, False, False]))
    def bar(self, number: int, node: int, barred: bool) -> None:
        if barred:
            self.queue.bar(number, node)
            self.model.jobs[number].barred.add(node)
        else:
            self.queue.unbar(number, node)
            self.model.jobs[number].barred.discard(node)

    @rule(node=NODES, done=st.sampled_from([True, True, False]))
    def prepare(self, node: int, done: bool) -> None:
        if done:
            self.queue.prepared(PREPARES, node)
            self.model.prepare(PREPARES, node)
        else:
            self.queue.unprepared(PREPARES, node)
            self.model.jobs[PREPARES].prepared.discard(node)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), then_place=st.booleans())
    def end(self, data: st.DataObject, then_place: bool) -> None:
        placed = data.draw(st.sampled_from(self.running))
        self.running.remove(placed)
        self.going.discard(placed.task_no)
        self.queue.ended(
            placed.job_no,
            placed.node_no,
            placed.held,
            task_no=placed.task_no,
            others=placed.others,
        )
        self.model.ended(placed.task_no)
        if then_place:
            self.place(20)

    @rule(limit=st.integers(1, 20))
    def place(self, limit: int) -> None:
        placed = self.queue.place(limit)
        found: list[Placed] = [(p.job_no, p.task_no, p.nodes, p.held, p.ahead) for p in placed]
        assert found == self.model.place(limit, found)
        for placement in placed:
            number, slots, demand = self.waiting.pop(placement.task_no)
            assert (placement.job_no, placement.slots) == (number, slots)
            wanted = demand.nodes if demand is not None else 1
            assert len(set(placement.nodes)) == len(placement.nodes) == wanted
            self.running.append(placement)

    @rule(number=JOBS, slots=st.integers(1, 2), count=st.integers(3, 12))
    def fill_up(self, number: int, slots: int, count: int) -> None:
        self.add_many(number, slots, count)
        self.place(20)

    @rule(number=JOBS, slots=st.integers(1, 3), demand=DEMANDS)
    def want_and_make_room(self, number: int, slots: int, demand: Demand) -> None:
        self.add_demand(number, slots, demand)
        self.place(20)
        self.make_room()

    @rule()
    def make_room(self) -> None:
        victims = [(victim.job_no, victim.task_no) for victim in self.queue.victims()]
        assert victims == self.model.victims()
        tasks = {task_no for _, task_no in victims}
        assert len(tasks) == len(victims)
        assert not tasks & self.going
        assert tasks <= {placed.task_no for placed in self.running}
        self.going |= tasks

    @invariant()
    def what_is_held_is_the_same(self) -> None:
        if not hasattr(self, "model"):
            return
        seen = self.queue.reservation
        self.model.review()
        expected = self.model.reservation
        assert (seen is None) == (expected is None)
        if seen is not None and expected is not None:
            task = expected.task
            assert (seen.job_no, seen.task_no) == (task.job, task.number)
            assert seen.held == tuple(sorted(expected.held))
            assert seen.free == tuple(no for no in seen.held if not self.model.lacks(no, task))

    @invariant()
    def no_node_is_overfull(self) -> None:
        for node, slots in getattr(self, "capacity", {}).items():
            used = self._used(node)
            assert used <= slots + self.most_ahead.get(node, 0)
            assert self.queue.nodes.free(node) == slots - used
            there = [placed for placed in self.running if node in placed.nodes]
            if any(placed.demand is not None and placed.demand.is_whole for placed in there):
                assert sum(not placed.ahead for placed in there) == 1


TestScheduling = Scheduling.TestCase
TestScheduling.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
