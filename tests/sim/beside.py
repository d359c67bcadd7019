"""What runs beside ordinary tasks, and beside what: special tasks, gangs, managers, boots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from penstock.agent.events import RunKey
from penstock.domain import changes as c
from penstock.domain.records import JobNodeRecord, JobRecord, NodeRecord, SubtaskRecord
from penstock.domain.states import SubtaskState, TaskState
from penstock.engine.special import RELEASED_IN
from penstock.messages import RunTask, TaskEnded
from tests.sim.disk import Disk
from tests.sim.invariants import Broken, Invariant
from tests.sim.machine import Process
from tests.sim.picture import Picture

Alive = Callable[[], Iterator[Process]]
"""All processes that are at work and count."""


class RunOf(NamedTuple):
    """What a number on the link names."""

    kind: str  # task | part | preparation | release
    job_no: int
    task_no: int = 0


class Beside:
    """What is known of runs by what they are of, and the checks that need it."""

    def __init__(self, alive: Alive) -> None:
        self.store: Disk
        self.runs: dict[int, RunOf] = {}
        self.jobs: dict[int, JobRecord] = {}
        self.ended_well: dict[RunKey, None] = {}
        self.calm = False  # nothing goes wrong any more, and all nodes are there
        self._alive = alive
        self._prepared: dict[tuple[int, int], int | None] = {}  # job and node: in which boot
        self._over: list[JobRecord] = []  # by the commit under way
        self._lost: set[RunKey] = set()  # as hosts said

    # --- commits ---------------------------------------------------------------------------------

    def commits(self, change: c.Change) -> None:
        """Look at a change against what the store has until now."""
        match change:
            case c.AddTask(task) | c.SetTask(task):
                self.runs[task.no] = RunOf("task", task.job_no, task.no)
            case c.PutJob(job):
                before = self.jobs.get(job.no)
                if job.end_us is not None and before is not None and before.end_us is None:
                    self._over.append(job)
                self.jobs[job.no] = job
            case c.PutSubtask(part):
                self.runs[part.no] = RunOf("part", part.job_no, part.task_no)
            case c.PutJobNode(at):
                self.runs[at.no] = RunOf("preparation", at.job_no)
                self.runs[at.release_no] = RunOf("release", at.job_no)
                self._released_once(at, self.store.job_nodes.get(at.no))

    def _released_once(self, at: JobNodeRecord, before: JobNodeRecord | None) -> None:
        run, was = at.release, before.release if before is not None else None
        if run is None or was is None or run.attempt == was.attempt:
            return
        if RunKey(at.release_no, was.attempt) not in self._lost:
            what = f"node {at.node_no} is released again, and the first time was not lost"
            raise Broken(Invariant.PREPARED, what)

    def reported(self, report: TaskEnded) -> None:
        """A host's word is about to be believed."""
        if report.lost:
            self._lost.add(RunKey(report.task_no, report.attempt))

    def committed(self, picture: Picture, changes: Sequence[c.Change]) -> None:
        """The store went on."""
        for change in changes:
            if isinstance(change, c.PutJobNode):
                self._released_last(picture, change.job_node)
        over, self._over = self._over, []
        for job in over if self.calm else ():
            self._released_everywhere(picture, job)
        for task in picture.running:
            if task.instances:
                nodes = picture.nodes_of(task)
                parts = [part for part in picture.parts[task.no] if part.node_no in nodes]
                _is_whole(task.id, task.instances, task.state, parts)
        self._managers_are_alone(picture)

    def _released_last(self, picture: Picture, at: JobNodeRecord) -> None:
        if at.release is None or not at.release.running:
            return
        for task in picture.running:
            if task.job_no == at.job_no and at.node_no in picture.nodes_of(task):
                what = f"node {at.node_no} is released, and task {task.id} is there"
                raise Broken(Invariant.PREPARED, what)

    def _released_everywhere(self, picture: Picture, job: JobRecord) -> None:
        if job.spec.job_release_task is None:
            return
        for at in picture.store.job_nodes.values():
            node = picture.store.nodes.get(at.node_no)
            if at.job_no != job.no or node is None or node.state not in RELEASED_IN:
                continue
            if at.release is None and at.preparation is not None and at.boot >= node.wiped:
                what = f"job {job.id} is over, and node {node.no} was not released"
                raise Broken(Invariant.PREPARED, what)

    def _managers_are_alone(self, picture: Picture) -> None:
        for task in picture.running:
            if not task.manager or not _is_exclusive(picture.job(task)):
                continue
            for node_no in picture.nodes_of(task):
                for other in picture.running:
                    if other.no != task.no and node_no in picture.nodes_of(other):
                        what = f"manager {task.id} shares node {node_no} with task {other.id}"
                        raise Broken(Invariant.MANAGER, what)

    # --- processes -------------------------------------------------------------------------------

    def began(self, process: Process) -> None:
        """A host started a process."""
        self._is_of_this_boot(process)
        run, node = self.runs.get(process.key.number), process.run.node
        if run is None:
            return
        if run.kind == "preparation":
            self._prepared[run.job_no, node.node_no] = None
        elif run.kind == "release":
            self._comes_last(process, run)
        else:
            self._is_prepared(process, run)
            self._is_together(process, run)
            self._leaves_managers_alone(process, run)

    def ended(self, process: Process) -> None:
        """A process is over."""
        if process.exit_code != 0 or not process.by_itself:
            return
        self.ended_well[process.key] = None
        run, node = self.runs.get(process.key.number), process.run.node
        if run is not None and run.kind == "preparation":
            self._prepared[run.job_no, node.node_no] = node.boot

    def _is_of_this_boot(self, process: Process) -> None:
        node = process.run.node
        for other in self._alive():
            there = other.run.node
            same = other.host == process.host and there.node_no == node.node_no
            if same and there.boot < node.boot:
                what = f"{other.key} of boot {there.boot} runs on in boot {node.boot}"
                raise Broken(Invariant.BOOTS, what)

    def _is_prepared(self, process: Process, run: RunOf) -> None:
        wanted = self.jobs[run.job_no].spec.job_preparation_task
        if wanted is None or wanted.wait_for_success is False:
            return
        node = process.run.node
        boot = self._prepared.get((run.job_no, node.node_no))
        spared = wanted.rerun_on_node_reboot_after_success is False
        if boot is None or not (boot == node.boot or (spared and boot >= node.wiped)):
            what = f"{process.key} runs on node {node.node_no}, which is not prepared for it"
            raise Broken(Invariant.PREPARED, what)

    def _comes_last(self, process: Process, run: RunOf) -> None:
        for other in self._on(process):
            its = self.runs.get(other.key.number)
            if its is not None and its.job_no == run.job_no and its.kind != "release":
                what = f"node {process.run.node.node_no} is released while {other.key} runs there"
                raise Broken(Invariant.PREPARED, what)

    def _is_together(self, process: Process, run: RunOf) -> None:
        """No part of an older attempt is left; the command comes after all have coordinated."""
        for other in self._alive():
            its = self.runs.get(other.key.number)
            same = its is not None and its.task_no == run.task_no
            if same and other.key.attempt != process.key.attempt:
                what = f"{process.key} begins while {other.key} of the same task runs"
                raise Broken(Invariant.TOGETHER, what)
        order = process.run.order
        if not isinstance(order, RunTask) or not order.joins:
            return
        for part in self.store.parts.values():
            mine = part.task_no == run.task_no and part.attempt == process.key.attempt
            if mine and RunKey(part.no, part.attempt) not in self.ended_well:
                what = f"{process.key} begins, and its part {part.index} has not coordinated"
                raise Broken(Invariant.TOGETHER, what)

    def _leaves_managers_alone(self, process: Process, run: RunOf) -> None:
        for other in self._on(process):
            its = self.runs.get(other.key.number)
            if its is None or its.kind not in ("task", "part") or its.task_no == run.task_no:
                continue
            for each in (run, its):
                job = self.jobs[each.job_no]
                if job.manager_no == each.task_no and _is_exclusive(job):
                    what = f"{process.key} begins beside {other.key}, and one is a manager"
                    raise Broken(Invariant.MANAGER, what)

    def _on(self, process: Process) -> Iterator[Process]:
        """What else is at work on a node."""
        for other in self._alive():
            same = other.host == process.host and other is not process
            if same and other.run.node.node_no == process.run.node.node_no:
                yield other


def _is_exclusive(job: JobRecord) -> bool:
    manager = job.spec.job_manager_task
    return manager is not None and manager.run_exclusive is not False


def _is_whole(
    task_id: str, instances: int, state: TaskState, parts: Sequence[SubtaskRecord]
) -> None:
    """All parts of a task are there at once, each on a node of its own."""
    nodes = {part.node_no for part in parts}
    waiting = {part.state is SubtaskState.PREPARING for part in parts}
    if len(nodes) != instances or len(parts) != instances:
        what = f"task {task_id} of {instances} instances has parts on {sorted(nodes)}"
        raise Broken(Invariant.TOGETHER, what)
    if (state is TaskState.PREPARING and False in waiting) or waiting == {True, False}:
        raise Broken(Invariant.TOGETHER, f"of task {task_id} some parts begin before others")


def is_over(node: NodeRecord | None, at: JobNodeRecord) -> bool:
    """Whether nobody will hear any more of what a job had begun on a node."""
    return node is None or node.boot != at.boot or node.state not in RELEASED_IN
