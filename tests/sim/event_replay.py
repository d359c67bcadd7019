"""The log of events, replayed: what it tells must be what the records say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from penstock.domain import changes as c
from penstock.domain.records import EventRecord, NodeRecord
from penstock.domain.states import NodeState, TaskState
from penstock.engine.event_log import EventPage
from tests.sim.disk import Disk
from tests.sim.invariants import Broken, Invariant

Name = tuple[str, ...]
"""Account and ids."""

_OVER: Final = ("TaskCompleteEvent", "TaskRetryEvent", "TaskRequeueEvent", "TaskDeleteEvent")
_AT_WORK: Final = (NodeState.IDLE.value, NodeState.RUNNING.value)
"""Between these two a node goes with its tasks, whose events tell it."""


class Replay:
    """What a reader of the log knows."""

    def __init__(self) -> None:
        self.store: Disk
        self.told: list[EventRecord] = []
        self._states: dict[Name, str] = {}  # of jobs, schedules, nodes
        self._running: dict[Name, None] = {}  # tasks

    def commits(self, changes: Sequence[c.Change]) -> None:
        """The store is about to take these."""
        for change in changes:
            if isinstance(change, c.AddEvent):
                event = change.event
                if self.told and event.no <= self.told[-1].no:
                    raise Broken(Invariant.EVENTS, f"event {event.no} comes after a later one")
                self.told.append(event)
                self._take(event, json.loads(event.body))

    def _take(self, event: EventRecord, body: dict[str, Any]) -> None:
        account, name = event.account, event.name
        if name.startswith("Task"):
            self._take_task(name, (account, body["jobId"], body["id"]))
        elif name in ("JobCreateEvent", "JobStateChangeEvent"):
            self._moves((account, "job", body["id"]), body)
        elif name in ("JobScheduleCreateEvent", "JobScheduleStateChangeEvent"):
            self._moves((account, "schedule", body["id"]), body)
        elif name == "NodeStateChangeEvent":
            self._moves((account, "node", body["poolId"], body["id"]), body)
        elif name == "JobDeleteCompleteEvent":
            self._goes((account, "job", body["id"]))
            for task in [it for it in self._running if it[:2] == (account, body["id"])]:
                del self._running[task]
        elif name == "JobScheduleDeleteCompleteEvent":
            self._goes((account, "schedule", body["id"]))
        elif name == "NodeDeleteCompleteEvent":
            self._goes((account, "node", body["poolId"], body["id"]))

    def _take_task(self, name: str, task: Name) -> None:
        if name == "TaskStartEvent":
            if task in self._running:
                raise Broken(Invariant.EVENTS, f"{task} is told to start and runs already")
            self._running[task] = None
        elif name in _OVER:
            self._running.pop(task, None)

    def _moves(self, thing: Name, body: dict[str, Any]) -> None:
        was, said = self._states.get(thing), body.get("previousState")
        same = was == said or (was in _AT_WORK and said in _AT_WORK)
        if not same:
            raise Broken(Invariant.EVENTS, f"{thing} is told to come from {said}, and was {was}")
        self._states[thing] = body["state"]

    def _goes(self, thing: Name) -> None:
        if self._states.pop(thing, None) is None:
            raise Broken(Invariant.EVENTS, f"{thing} is told to go, and was not there")

    def committed(self, changes: Sequence[c.Change]) -> None:
        """The store went on: all that changed was told, and nothing else."""
        store = self.store
        for change in changes:
            match change:
                case c.SetTask(task) | c.AddTask(task) if task.job_no in store.jobs:
                    job = store.jobs[task.job_no]
                    runs = store.tasks[task.no].state is TaskState.RUNNING
                    if runs is not ((job.account, job.id, task.id) in self._running):
                        what = f"task {task.id} of {job.id} runs: {runs}, and the log says not so"
                        raise Broken(Invariant.EVENTS, what)
                case c.PutJob(job) if job.no in store.jobs:
                    self._is(("job", job.id), job.account, store.jobs[job.no].state.value)
                case c.PutSchedule(it) if it.no in store.schedules:
                    self._is(("schedule", it.id), it.account, store.schedules[it.no].state.value)
                case c.PutNode(node) if node.no in store.nodes:
                    self._node_is(store.nodes[node.no])

    def _node_is(self, node: NodeRecord) -> None:
        name = ("node", self.store.pools[node.pool_no].id, node.id)
        told = self._states.get((node.account, *name))
        if not (told in _AT_WORK and node.state.value in _AT_WORK):
            self._is(name, node.account, node.state.value)

    def _is(self, name: Name, account: str, state: str) -> None:
        told = self._states.get((account, *name))
        if told != state:
            raise Broken(Invariant.EVENTS, f"{name} is {state}, and the log says {told}")

    # --- readers ---------------------------------------------------------------------------------

    def read(self, account: str, after: int, page: EventPage) -> None:
        """A reader of one account was given a page."""
        expected = [
            event.no
            for event in self.told
            if event.account == account and max(after + 1, page.first) <= event.no <= page.next
        ]
        given = [event.no for event in page.events if event.no >= page.first]
        if given != expected:
            what = f"after {after} the events {given} are read, not {expected}"
            raise Broken(Invariant.EVENTS, what)
