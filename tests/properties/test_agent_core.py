"""The two promises of the agent's core, in whatever order things happen."""

from __future__ import annotations

from collections import defaultdict

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.agent import events
from penstock.agent.core import AgentCore
from penstock.agent.events import Action, Event, Run, RunKey
from penstock.agent.failures import failure
from penstock.agent.ledger import Saved
from penstock.domain.specs.common import (
    OutputContainer,
    OutputDestination,
    OutputFile,
    ResourceFile,
    UploadOptions,
)
from penstock.messages import (
    ChoreDone,
    Confirm,
    DropNode,
    Gang,
    KillTask,
    MakeNode,
    NodeGone,
    RemoveJob,
    RemoveTask,
    ReturnTask,
    RunTask,
    StartTaskOrder,
    TaskBegan,
    TaskCoordinated,
    TaskEnded,
    Welcome,
)

NODES, TASKS, ATTEMPTS = 2, 3, 4
FILES = (ResourceFile(http_url="http://a/b", file_path="b"),)
OUTPUTS = (
    OutputFile(
        file_pattern="*",
        destination=OutputDestination(container=OutputContainer(container_url="http://a/c")),
        upload_options=UploadOptions(upload_condition="taskcompletion"),
    ),
)


class World:
    """Acts for the core as slowly and as oddly as the test says."""

    def __init__(self, saved: Saved) -> None:
        self.now_us = 0
        self.core = AgentCore(saved, grace_us=2_000_000)
        self.at_work: dict[RunKey, Run] = {}  # preparing, running or uploading
        self.due: list[Event] = []  # what the core will hear, in an order of the test's choice
        self.ended: defaultdict[RunKey, list[TaskEnded]] = defaultdict(list)
        self.asked: set[RunKey] = set()
        self.begun: set[RunKey] = set()
        self.said_begun: set[RunKey] = set()
        self.hushed: set[RunKey] = set()
        self.chores: set[int] = set()
        self.chores_done: set[int] = set()
        self.dropped: set[int] = set()
        self.gone: set[int] = set()
        self.lingering: set[RunKey] = set()  # what is left of them runs on
        self.coordinated: set[RunKey] = set()  # and that was said
        self.boots: defaultdict[int, int] = defaultdict(int)
        self.numbers: list[int] = []
        self.choice = 0
        self.do(self.core.restore(0))

    def tell(self, event: Event) -> None:
        self.do(self.core.handle(event, self.now_us))

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            self.carry_out(action)

    def carry_out(self, action: Action) -> None:
        match action:
            case events.MakeDirectories(node):
                self.due.append(events.NodeMade(node.node_no, "127.1.0.1", node.boot))
            case events.Reboot(node):
                assert not self.at_work_on(node), "a node is booted while it works"
                self.due.append(
                    events.NodeFailed(node.node_no, failure("DiskFull"), node.boot)
                    if self.choice % 5 == 0
                    else events.NodeMade(node.node_no, "127.1.0.1", node.boot)
                )
            case events.ClearNode(node):
                assert not self.at_work_on(node), "a node is cleared while it works"
                self.due.append(events.NodeCleared(node.node_no))
            case events.Prepare(run):
                self.begin(run)
                self.due.append(
                    events.PrepareFailed(run.key, failure("BlobNotFound"))
                    if self.choice % 3 == 0
                    else events.Prepared(run.key)
                )
            case events.Spawn(run):
                self.begin(run)
                self.due.append(
                    (
                        events.SpawnBusy(run.key),
                        events.SpawnFailed(run.key, failure("CommandProgramNotFound")),
                        self.good_end(run),
                        events.Exited(run.key, 1),
                    )[self.choice % 4]
                )
            case events.Upload(run):
                self.begin(run)
                self.due.append(events.Uploaded(run.key, None))
            case events.Terminate(key) | events.Kill(key) if key in self.lingering:
                self.lingering.discard(key)
                self.due.append(events.Exited(key, 0))
            case events.Terminate(key):
                if self.choice % 5 == 0:
                    self.due.insert(0, events.TooLate(key))
            case events.Kill() | events.StopTransfer() | events.Forgive() | events.NewServer():
                pass
            case events.RemoveTree(chore, node):
                self.due.append(events.TreeRemoved(chore))
            case events.Forget(key):
                self.hushed.add(key)
            case events.Send(report):
                self.numbers.append(report.report)
                if isinstance(report, TaskEnded):
                    key = RunKey(report.task_no, report.attempt)
                    assert key not in self.at_work, "reported as over while at work"
                    self.ended[key].append(report)
                    assert not report.killed or report.failure or key in self.coordinated
                elif isinstance(report, TaskCoordinated):
                    self.coordinated.add(RunKey(report.task_no, report.attempt))
                elif isinstance(report, TaskBegan):
                    self.said_begun.add(RunKey(report.task_no, report.attempt))
                elif isinstance(report, ChoreDone):
                    self.chores_done.add(report.chore)
                elif isinstance(report, NodeGone):
                    self.gone.add(report.node_no)
            case events.SendAgain():
                pass

    def at_work_on(self, node: MakeNode) -> list[RunKey]:
        return [key for key, run in self.at_work.items() if run.node.node_no == node.node_no]

    def good_end(self, run: Run) -> Event:
        if isinstance(run.order, RunTask) and run.order.lingers:
            return events.Coordinated(run.key)
        return events.Exited(run.key, 0)

    def begin(self, run: Run) -> None:
        others = [key for key in self.at_work if key.number == run.key.number]
        assert not others, f"{run.key} begins while {others} are at work"
        order = run.order
        if isinstance(order, RunTask) and order.ahead and run.key not in self.begun:
            assert run.key in self.said_begun, "it begins and nobody is told"
            used = [
                key
                for key, other in self.at_work.items()
                if key.number > 0 and other.node.node_no == run.node.node_no
            ]
            assert len(used) < run.node.slots, f"{run.key} begins while {used} have the slots"
        self.begun.add(run.key)
        self.at_work[run.key] = run

    def next_event(self, index: int) -> None:
        event = self.due.pop(index % len(self.due))
        key = getattr(event, "key", None)
        if isinstance(event, events.Coordinated):
            self.lingering.add(event.key)
        elif key is not None and not isinstance(event, events.TooLate):
            self.at_work.pop(key, None)
        self.tell(event)

    def finish(self) -> None:
        """Let everything that is under way come to its end."""
        for _ in range(10_000):
            self.choice = 2  # the machine is well again
            due_us = self.core.due_us()
            if self.due:
                self.next_event(0)
            elif due_us is not None:
                self.now_us = max(self.now_us, due_us)
                self.tell(events.Tick())
            elif self.lingering:
                task_no, attempt = min(self.lingering)
                self.tell(KillTask(node_no=1, task_no=task_no, attempt=attempt))
            else:
                return
        raise AssertionError("no end in sight")


def node(number: int, boot: int = 0) -> MakeNode:
    start = StartTaskOrder(command_line="s", max_retries=1) if number == 2 else None
    return MakeNode(
        node_no=number,
        node_id=f"n{number}",
        pool_id="p",
        account="a",
        account_url="u",
        dedicated=True,
        slots=1,
        cores=1,
        start_task=start,
        boot=boot,
    )


def run_task(task: int, attempt: int, on: int, variant: int) -> RunTask:
    return RunTask(
        node_no=on,
        task_no=task,
        attempt=attempt,
        job_id="j",
        task_id=f"t{task}",
        command_line="c",
        resource_files=FILES if variant & 1 else (),
        output_files=OUTPUTS if variant & 2 else (),
        wall_clock_us=3_000_000 if variant & 4 else None,
        ahead=bool(variant & 8),
        gang=Gang(index=0, addresses=("127.1.0.1",), cores=(1,)) if variant & 16 else None,
        lingers=bool(variant & 16),
    )


small = st.integers(0, 1000)
words = ["run"] * 6 + ["next"] * 8 + ["kill", "kill", "return", "task", "job", "time", "flood"]
words += ["drop", "make", "boot", "confirm"]
steps = st.lists(st.tuples(st.sampled_from(words), small, small, small), max_size=60)


def play(world: World, story: list[tuple[str, int, int, int]], *, welcomes: bool) -> None:
    for word, a, b, c in story:
        task, attempt, on = 1 + a % TASKS, 1 + b % ATTEMPTS, 1 + c % NODES
        key = RunKey(task, attempt)
        world.choice = c
        match word:
            case "run":
                world.asked.add(key)
                world.tell(run_task(task, attempt, on, c // NODES))
            case "kill":
                world.asked.add(key)
                world.tell(KillTask(node_no=on, task_no=task, attempt=attempt))
            case "return":
                world.tell(ReturnTask(node_no=on, task_no=task, attempt=attempt))
            case "next":
                if world.due:
                    world.next_event(a)
            case "task":
                world.chores.add(b)
                world.tell(
                    RemoveTask(chore=b, node_no=on, task_no=task, job_id="j", task_id=f"t{task}")
                )
            case "job":
                world.chores.add(b)
                world.tell(RemoveJob(chore=b, node_no=on, job_id="J"))
            case "drop":
                world.dropped.add(on)
                world.tell(DropNode(node_no=on, boot=world.boots[on]))
            case "make":
                world.tell(node(on, world.boots[on]))
            case "boot":
                world.boots[on] += 1
                world.tell(node(on, world.boots[on]))
            case "confirm":
                if welcomes:
                    world.tell(Welcome(server="s", nodes=(1,), attempts=((1, 1), (2, 2))))
                else:
                    world.tell(Confirm(report=len(world.numbers)))
            case "time":
                world.now_us += a * 10_000
                world.tell(events.Tick())
            case "flood":
                world.tell(events.Overrun(key, failure("DiskFull")))


def check_endings(world: World) -> None:
    for key, endings in world.ended.items():
        same = {msgspec.json.encode(msgspec.structs.replace(end, report=0)) for end in endings}
        assert len(same) == 1, f"{key} ended in several ways"
    assert world.numbers == sorted(set(world.numbers)), "report numbers must grow"


@settings(max_examples=300, deadline=None)
@given(steps)
def test_each_attempt_ends_once_and_no_two_are_at_work(
    story: list[tuple[str, int, int, int]],
) -> None:
    world = World(Saved())
    world.tell(node(1))
    world.tell(node(2))
    play(world, story, welcomes=False)
    world.finish()

    assert not world.at_work
    assert world.core.attempts() == ()
    assert world.asked <= world.ended.keys()
    assert world.chores == world.chores_done
    assert world.dropped == world.gone
    check_endings(world)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_a_server_that_forgets_attempts_leaves_nothing_at_work(
    story: list[tuple[str, int, int, int]],
) -> None:
    world = World(Saved())
    world.tell(Welcome(server="s", nodes=(1, 2), attempts=()))
    world.tell(node(1))
    world.tell(node(2))
    play(world, story, welcomes=True)
    world.finish()

    assert not world.at_work
    assert world.core.attempts() == ()
    assert world.asked <= world.ended.keys() | world.hushed
    check_endings(world)
