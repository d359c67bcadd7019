"""The incremental scheduler does what the walking model does, whatever happens."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.scheduler.nodes import Fill
from penstock.scheduler.queue import Placement, PoolQueue
from tests.properties.scheduler_model import ModelQueue

JOBS = st.integers(1, 4)
NODES = st.integers(1, 4)


class Scheduling(RuleBasedStateMachine):
    @initialize(fill=st.sampled_from(Fill), oldest_first=st.booleans())
    def begin(self, fill: Fill, oldest_first: bool) -> None:
        self.queue = PoolQueue(fill, oldest_first=oldest_first)
        self.model = ModelQueue(fill, oldest_first)
        self.slots: dict[int, int] = {}  # of open nodes
        self.most_ahead: dict[int, int] = {}  # by node: the most that was ever allowed
        self.running: list[Placement] = []
        self.waiting: dict[int, tuple[int, int]] = {}  # task: job and slots
        self.last_task = 0
        for number in range(1, 5):
            self.put_job(number, 0, -1, True)

    @rule(
        number=JOBS,
        priority=st.integers(-1, 1),
        cap=st.sampled_from([-1, 1, 3]),
        open_=st.booleans(),
    )
    def put_job(self, number: int, priority: int, cap: int, open_: bool) -> None:
        self.queue.put_job(number, priority, cap, open_=open_)
        self.model.put_job(number, priority, cap, open_)

    @rule(number=JOBS, slots=st.integers(1, 5), count=st.integers(1, 3))
    def add(self, number: int, slots: int, count: int) -> None:
        for _ in range(count):
            self.last_task += 1
            self.waiting[self.last_task] = (number, slots)
            self.queue.add(number, self.last_task, slots)
            self.model.add(number, self.last_task, slots)

    @rule(number=JOBS, slots=st.integers(1, 5), count=st.integers(1, 4))
    def add_many(self, number: int, slots: int, count: int) -> None:
        added = range(self.last_task + 1, self.last_task + 1 + count)
        self.last_task += count
        self.queue.add_many(number, added, slots)
        for task in added:
            self.waiting[task] = (number, slots)
            self.model.add(number, task, slots)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(sorted(self.waiting)))
        number, slots = self.waiting.pop(task)
        self.queue.remove(number, task, slots)
        self.model.remove(number, task)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), slots=st.integers(1, 5))
    def remove_and_come_back(self, data: st.DataObject, slots: int) -> None:
        task = data.draw(st.sampled_from(sorted(self.waiting)))
        number, before = self.waiting[task]
        self.waiting[task] = (number, slots)
        self.queue.remove(number, task, before)
        self.model.remove(number, task)
        self.queue.add(number, task, slots)
        self.model.add(number, task, slots)

    @rule(node=NODES, slots=st.integers(1, 4))
    def open_node(self, node: int, slots: int) -> None:
        if node not in self.slots:
            used = sum(placed.slots for placed in self.running if placed.node_no == node)
            self.slots[node] = max(slots, used)
            self.queue.open_node(node, self.slots[node] - used)
            self.model.set_free(node, self.slots[node] - used)

    @precondition(lambda self: self.slots)
    @rule(data=st.data(), ahead=st.integers(0, 4))
    def set_ahead(self, data: st.DataObject, ahead: int) -> None:
        node = data.draw(st.sampled_from(sorted(self.slots)))
        self.queue.set_ahead(node, ahead)
        self.model.set_ahead(node, ahead)
        self.most_ahead[node] = max(ahead, self.most_ahead.get(node, 0))

    @rule(node=NODES)
    def close_node(self, node: int) -> None:
        self.slots.pop(node, None)
        self.queue.close_node(node)
        self.model.close_node(node)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        placed = data.draw(st.sampled_from(self.running))
        self.running.remove(placed)
        self.queue.ended(placed.job_no, placed.node_no, placed.slots, task_no=placed.task_no)
        self.model.ended(placed.job_no, placed.node_no, placed.slots)

    @rule(limit=st.integers(1, 20))
    def place(self, limit: int) -> None:
        placed = self.queue.place(limit)
        found = [(p.job_no, p.task_no, p.node_no, p.ahead) for p in placed]
        assert found == self.model.place(limit)
        for placement in placed:
            del self.waiting[placement.task_no]
            self.running.append(placement)

    @invariant()
    def no_node_is_overfull(self) -> None:
        for node, slots in getattr(self, "slots", {}).items():
            used = sum(placed.slots for placed in self.running if placed.node_no == node)
            assert used <= slots + self.most_ahead.get(node, 0)
            assert self.queue.nodes.free(node) == slots - used


TestScheduling = Scheduling.TestCase
TestScheduling.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
