"""The rules of `PoolQueue`, said by walking everything every time."""

from __future__ import annotations

from dataclasses import dataclass, field

from penstock.scheduler.nodes import Fill


@dataclass
class ModelJob:
    priority: int
    cap: int
    open: bool
    running: int = 0
    served: int = 0
    tasks: list[tuple[int, int]] = field(default_factory=list)  # number, slots: as they came

    def heads(self, room: int) -> list[tuple[int, int]]:
        """The first waiting task of each size that fits."""
        first: dict[int, int] = {}
        for number, slots in self.tasks:
            first.setdefault(slots, number)
        return sorted((number, slots) for slots, number in first.items() if slots <= room)

    @property
    def may_start(self) -> bool:
        return self.open and (self.cap < 0 or self.running < self.cap)


@dataclass
class ModelQueue:
    fill: Fill
    oldest_first: bool
    jobs: dict[int, ModelJob] = field(default_factory=dict)
    nodes: dict[int, int] = field(default_factory=dict)  # free slots; last changed comes last
    ahead: dict[int, int] = field(default_factory=dict)  # slots that may be sent ahead
    soon: dict[int, int] = field(default_factory=dict)  # free slots and those; in the same order
    level: dict[int, int] = field(default_factory=dict)

    def _rises(self, job: ModelJob) -> None:
        """A job that comes (back) to the turns starts at the level of the others."""
        if job.may_start and job.tasks:
            job.served = max(job.served, self.level.get(job.priority, 0))

    def put_job(self, number: int, priority: int, cap: int, open_: bool) -> None:
        job = self.jobs.setdefault(number, ModelJob(priority, cap, open_))
        job.priority, job.cap, job.open = priority, cap, open_
        self._rises(job)

    def add(self, number: int, task: int, slots: int) -> None:
        job = self.jobs[number]
        fresh = not job.tasks
        job.tasks.append((task, slots))
        if fresh:
            self._rises(job)

    def remove(self, number: int, task: int) -> None:
        job = self.jobs[number]
        job.tasks = [item for item in job.tasks if item[0] != task]

    def set_free(self, node: int, free: int) -> None:
        self.nodes.pop(node, None)
        self.nodes[node] = free
        self.set_ahead(node, self.ahead.get(node, 0))

    def set_ahead(self, node: int, ahead: int) -> None:
        self.ahead[node] = ahead
        self.soon.pop(node, None)
        if ahead:
            self.soon[node] = self.nodes[node] + ahead

    def close_node(self, node: int) -> None:
        for held in (self.nodes, self.ahead, self.soon):
            held.pop(node, None)

    def ended(self, number: int, node: int, slots: int) -> None:
        if node in self.nodes:
            self.set_free(node, self.nodes[node] + slots)
        self.jobs[number].running -= 1

    def place(self, limit: int) -> list[tuple[int, int, int, bool]]:
        placed: list[tuple[int, int, int, bool]] = []
        while len(placed) < limit:
            one = self.place_on(self.nodes) or self.place_on(self.soon)
            if one is None:
                break
            placed.append(one)
        return placed

    def place_on(self, nodes: dict[int, int]) -> tuple[int, int, int, bool] | None:
        ahead = nodes is self.soon
        room = max(nodes.values(), default=0)
        turns = [
            (-job.priority, 0 if self.oldest_first else job.served, number)
            for number, job in self.jobs.items()
            if job.may_start and job.heads(room)
        ]
        if not turns or room <= 0:
            return None
        number = min(turns)[2]
        job = self.jobs[number]
        task, slots = job.heads(room)[0]
        fitting = [node for node, free in nodes.items() if free >= slots]
        sign = -1 if ahead or self.fill is Fill.SPREAD else 1
        node = min(fitting, key=lambda node: sign * nodes[node])
        self.remove(number, task)
        self.set_free(node, self.nodes[node] - slots)
        self.level[job.priority] = job.served
        job.running += 1
        job.served += slots
        return number, task, node, ahead
