"""The agent's core: one event in, the actions out, for the moments that matter."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import pytest

from penstock.agent import events
from penstock.agent.core import AgentCore
from penstock.agent.events import Action, Event, RunKey
from penstock.agent.failures import failure
from penstock.agent.ledger import BegunRun, Saved, SavedNode
from penstock.domain.specs.common import (
    OutputContainer,
    OutputDestination,
    OutputFile,
    ResourceFile,
    UploadOptions,
)
from penstock.domain.usage import Usage
from penstock.messages import (
    ChoreDone,
    Confirm,
    DropNode,
    Gang,
    KillTask,
    MakeNode,
    NodeBroken,
    NodeGone,
    NodeHosted,
    NodeReady,
    RemoveJob,
    RemoveTask,
    ReturnTask,
    RunTask,
    StartTaskBegan,
    StartTaskEnded,
    StartTaskOrder,
    TaskBegan,
    TaskCoordinated,
    TaskEnded,
    Welcome,
)

GRACE_US = 2_000_000
FILES = (ResourceFile(http_url="http://a/b", file_path="b"),)
T = TypeVar("T")


def output(condition: str) -> tuple[OutputFile, ...]:
    to = OutputDestination(container=OutputContainer(container_url="http://a/c"))
    return (
        OutputFile(
            file_pattern="*",
            destination=to,
            upload_options=UploadOptions(upload_condition=condition),
        ),
    )


def node(number: int = 1, start: StartTaskOrder | None = None, **more: Any) -> MakeNode:
    return MakeNode(
        **more,
        node_no=number,
        node_id=f"n{number}",
        pool_id="p",
        account="a",
        account_url="u",
        dedicated=True,
        slots=1,
        cores=1,
        start_task=start,
    )


def order(task_no: int = 5, attempt: int = 1, **more: Any) -> RunTask:
    given = {"node_no": 1, "job_id": "j", "task_id": "t", "command_line": "c", **more}
    return RunTask(task_no=task_no, attempt=attempt, **given)


def kill(attempt: int = 1) -> KillTask:
    return KillTask(node_no=1, task_no=5, attempt=attempt)


KEY = RunKey(5, 1)


class Told:
    """A core, and all that it wanted done."""

    def __init__(self, saved: Saved | None = None, start: StartTaskOrder | None = None) -> None:
        self.core = AgentCore(saved or Saved(), grace_us=GRACE_US)
        self.all: list[Action] = self.core.restore(0)
        if saved is None:
            self(node(1, start))
            self(events.NodeMade(1, "127.1.0.1"))

    def __call__(self, event: Event, now_us: int = 0) -> list[Action]:
        actions = self.core.handle(event, now_us)
        self.all += actions
        return actions

    def reports(self, kind: type[T]) -> list[T]:
        sent = [action.report for action in self.all if isinstance(action, events.Send)]
        return [report for report in sent if isinstance(report, kind)]

    def end(self) -> TaskEnded:
        return self.reports(TaskEnded)[-1]


def test_a_task_is_spawned_and_its_exit_reported() -> None:
    told = Told()
    [spawn] = told(order(), 100)
    assert isinstance(spawn, events.Spawn)
    assert spawn.fresh
    used = Usage(user_us=7, reads=2)
    told(events.Exited(KEY, 0, used), 300)
    end = told.end()
    assert end.usage == used
    assert (end.start_us, end.end_us, end.exit_code, end.failure) == (100, 300, 0, None)
    assert (end.killed, end.lost) == (False, False)


def test_a_bad_exit_code_is_a_failure() -> None:
    told = Told()
    told(order())
    told(events.Exited(KEY, 3))
    assert told.end().exit_code == 3
    why = told.end().failure
    assert why is not None
    assert (why.category, why.code) == ("usererror", "FailureExitCode")


def test_asked_twice_it_starts_once_and_answers_again() -> None:
    told = Told()
    told(order())
    assert told(order()) == []
    told(events.Exited(KEY, 0))
    first = told.end()
    told(Confirm(report=first.report))
    told(order())
    again = told.end()
    assert again.report > first.report
    assert msgspec.structs.replace(again, report=0) == msgspec.structs.replace(first, report=0)


def test_files_come_before_the_process() -> None:
    told = Told()
    assert isinstance(told(order(resource_files=FILES))[0], events.Prepare)
    [spawn] = told(events.Prepared(KEY))
    assert isinstance(spawn, events.Spawn)
    assert not spawn.fresh


def test_a_failed_download_ends_the_task_without_exit_code() -> None:
    told = Told()
    told(order(resource_files=FILES))
    told(events.PrepareFailed(KEY, failure("BlobNotFound")))
    assert told.end().exit_code is None
    assert told.end().failure == failure("BlobNotFound")


def test_kill_is_polite_first_and_then_not() -> None:
    told = Told()
    told(order())
    assert told(kill(), 10) == [events.Terminate(KEY)]
    assert told.core.due_us() == 10 + GRACE_US
    assert told(events.Tick(), 10 + GRACE_US) == [events.Kill(KEY)]
    told(events.Exited(KEY, 137))
    end = told.end()
    assert end.killed
    assert end.failure == failure("TaskEnded")
    assert told.core.due_us() is None


def test_a_process_that_was_gone_already_reports_its_own_end() -> None:
    told = Told()
    told(order())
    told(kill())
    told(events.TooLate(KEY))
    told(events.Exited(KEY, 0))
    assert (told.end().exit_code, told.end().failure, told.end().killed) == (0, None, False)


def test_kill_of_what_never_began_ends_it() -> None:
    told = Told()
    told(kill())
    end = told.end()
    assert (end.exit_code, end.killed, end.failure) == (None, True, failure("TaskEnded"))
    told(order())
    assert len(told.reports(TaskEnded)) == 2
    assert not any(isinstance(action, events.Spawn) for action in told.all)


@pytest.mark.parametrize(
    "answer", [events.Prepared(KEY), events.PrepareFailed(KEY, failure("BlobNotFound"))]
)
def test_kill_while_preparing_waits_for_the_transfer_to_stop(answer: Event) -> None:
    told = Told()
    told(order(resource_files=FILES))
    assert told(kill()) == [events.StopTransfer(KEY)]
    assert told.reports(TaskEnded) == []
    told(answer)
    assert told.end().failure == failure("TaskEnded")


def test_the_wall_clock_ends_a_task_that_nobody_killed() -> None:
    told = Told()
    told(order(wall_clock_us=1_000), 50)
    assert told.core.due_us() == 1_050
    assert told(events.Tick(), 1_050) == [events.Terminate(KEY)]
    told(events.Exited(KEY, 143), 1_060)
    end = told.end()
    assert (end.exit_code, end.killed) == (143, False)
    assert end.failure is not None
    assert end.failure.code == "TaskEnded"
    assert "maximum execution time" in end.failure.details[0].value


def test_a_busy_machine_is_tried_again_and_no_failure() -> None:
    told = Told()
    told(order())
    assert told(events.SpawnBusy(KEY), 0) == []
    due_us = told.core.due_us()
    assert due_us == 50_000
    [spawn] = told(events.Tick(), due_us)
    assert isinstance(spawn, events.Spawn)
    told(events.SpawnBusy(KEY), due_us)
    assert told.core.due_us() == due_us + 100_000


def test_a_newer_attempt_waits_for_the_older_to_be_gone() -> None:
    told = Told()
    told(order())
    assert told(order(attempt=2)) == [events.Terminate(KEY)]
    actions = told(events.Exited(KEY, 143))
    assert told.reports(TaskEnded)[0].lost
    assert isinstance(actions[-1], events.Spawn)
    assert actions[-1].run.key == RunKey(5, 2)


def test_an_older_attempt_that_comes_late_is_not_begun() -> None:
    told = Told()
    told(order(attempt=2))
    told(order(attempt=1))
    assert told.end().attempt == 1
    assert told.end().lost


def test_a_task_for_a_node_that_is_not_here_is_lost() -> None:
    told = Told()
    told(order(node_no=9))
    assert told.end().lost


@pytest.mark.parametrize(
    ("condition", "exit_code", "uploads"),
    [
        ("tasksuccess", 0, True),
        ("tasksuccess", 1, False),
        ("taskfailure", 0, False),
        ("taskfailure", 1, True),
        ("taskcompletion", 0, True),
        ("TaskCompletion", 1, True),
    ],
)
def test_outputs_are_uploaded_on_their_condition(
    condition: str, exit_code: int, uploads: bool
) -> None:
    told = Told()
    told(order(output_files=output(condition)))
    actions = told(events.Exited(KEY, exit_code))
    assert isinstance(actions[0], events.Upload) == uploads


def test_a_failed_upload_fails_the_task_and_keeps_its_exit_code() -> None:
    told = Told()
    told(order(output_files=output("taskcompletion")))
    told(events.Exited(KEY, 0))
    told(events.Uploaded(KEY, failure("FileUploadAccessDenied")))
    assert told.end().exit_code == 0
    assert told.end().failure == failure("FileUploadAccessDenied")


def test_a_flood_is_ended_at_once() -> None:
    told = Told()
    told(order())
    assert told(events.Overrun(KEY, failure("DiskFull"))) == [events.Kill(KEY)]
    told(events.Exited(KEY, 137))
    assert told.end().failure == failure("DiskFull")
    assert not told.end().killed


def test_a_task_directory_goes_after_its_process() -> None:
    told = Told()
    told(order())
    remove = RemoveTask(chore=70, node_no=1, task_no=5, job_id="s:job-3", task_id="t")
    assert told(remove) == [events.Kill(KEY)]
    assert told(remove) == []
    actions = told(events.Exited(KEY, 137))
    assert isinstance(actions[-1], events.RemoveTree)
    assert actions[-1].path == "workitems/s/job-3/t"
    told(events.TreeRemoved(70))
    assert told.reports(ChoreDone) == [ChoreDone(report=told.end().report + 1, chore=70)]


def test_a_job_takes_its_waiting_attempts_along() -> None:
    told = Told()
    told(order())
    told(order(attempt=2))
    told(RemoveJob(chore=70, node_no=1, job_id="J"))
    told(events.Exited(KEY, 137))
    assert [end.attempt for end in told.reports(TaskEnded)] == [2, 1]
    assert told.core.attempts() == ()


def test_a_node_is_hosted_ready_dropped_and_gone() -> None:
    told = Told()
    assert told.reports(NodeHosted)[0].address == "127.1.0.1"
    assert len(told.reports(NodeReady)) == 1
    told(order())
    assert told(DropNode(node_no=1)) == [events.Kill(KEY)]
    actions = told(events.Exited(KEY, 137))
    assert isinstance(actions[-1], events.ClearNode)
    assert told.end().lost
    told(events.NodeCleared(1))
    assert len(told.reports(NodeGone)) == 1
    told(DropNode(node_no=1))
    assert len(told.reports(NodeGone)) == 2


def test_a_node_asked_for_twice_is_answered_again() -> None:
    told = Told()
    told(node())
    assert len(told.reports(NodeHosted)) == 2
    assert len(told.reports(NodeReady)) == 2
    assert sum(isinstance(action, events.MakeDirectories) for action in told.all) == 1


def test_a_node_asked_for_while_it_goes_is_made_afterwards() -> None:
    told = Told()
    told(DropNode(node_no=1))
    assert told(node()) == []
    actions = told(events.NodeCleared(1))
    assert isinstance(actions[-1], events.MakeDirectories)


def test_a_node_without_directories_is_broken() -> None:
    told = Told()
    told(node(2))
    told(events.NodeFailed(2, failure("DiskFull")))
    assert told.reports(NodeBroken)[0].error == failure("DiskFull")
    assert told.core.nodes() == (1,)


def test_a_start_task_makes_the_node_ready() -> None:
    told = Told(start=StartTaskOrder(command_line="s"))
    assert len(told.reports(StartTaskBegan)) == 1
    assert told.reports(NodeReady) == []
    told(events.Exited(RunKey(-1, 0), 0), 9)
    assert told.reports(StartTaskEnded)[0].failure is None
    assert len(told.reports(NodeReady)) == 1


def test_a_start_task_is_tried_again_as_often_as_allowed() -> None:
    told = Told(start=StartTaskOrder(command_line="s", max_retries=1))
    told(events.Exited(RunKey(-1, 0), 1), 10)
    due_us = told.core.due_us()
    assert due_us is not None
    told(events.Tick(), due_us)
    again = told.reports(StartTaskBegan)[1]
    assert (again.retry_count, again.last_retry_us) == (1, due_us)
    told(events.Exited(RunKey(-1, 1), 2), due_us + 5)
    [ended] = told.reports(StartTaskEnded)
    assert (ended.exit_code, ended.retry_count) == (2, 1)
    assert ended.failure is not None
    assert told.reports(NodeReady) == []


def test_a_start_task_that_nobody_waits_for() -> None:
    told = Told(start=StartTaskOrder(command_line="s", wait_for_success=False))
    assert len(told.reports(NodeReady)) == 1
    told(events.Exited(RunKey(-1, 0), 1))
    assert len(told.reports(StartTaskEnded)) == 1
    assert len(told.reports(NodeReady)) == 1


def test_a_welcome_ends_what_it_does_not_list() -> None:
    told = Told()
    told(node(2))
    told(events.NodeMade(2, "127.1.0.2"))
    told(order())
    told(order(task_no=6))
    actions = told(Welcome(server="s", nodes=(1,), attempts=((6, 1),)))
    assert events.Terminate(KEY) in actions
    assert events.Terminate(RunKey(6, 1)) not in actions
    assert any(isinstance(action, events.ClearNode) for action in actions)
    assert told.core.attempts() == ((6, 1),)
    assert told(events.Exited(KEY, 143)) == [events.Forget(KEY)]


def test_a_welcome_brings_unconfirmed_reports_again_and_in_order() -> None:
    told = Told()
    told(order())
    told(events.Exited(KEY, 0))
    actions = told(Welcome(server="s", nodes=(1,), attempts=(), confirmed=1))
    again = [action.report.report for action in actions if isinstance(action, events.SendAgain)]
    assert again == [2, 3]
    assert told.core.known_attempts() == ((5, 1),)
    told(Confirm(report=3))
    assert told.core.known_attempts() == ()


def test_another_server_makes_all_numbers_void() -> None:
    told = Told()
    told(Welcome(server="s", nodes=(1,), attempts=()))
    told(order())
    actions = told(Welcome(server="other", nodes=(1,), attempts=((5, 1),)))
    assert events.NewServer("other", other=True) in actions
    assert not any(isinstance(action, events.SendAgain) for action in actions)
    told(events.Exited(KEY, 143))
    told(events.NodeCleared(1))
    assert told.core.nodes() == ()
    assert told.core.known_attempts() == ()


def test_after_a_restart_what_ran_is_lost_and_nodes_stay() -> None:
    started = StartTaskEnded(report=2, node_no=1, start_us=1, end_us=2, exit_code=0)
    saved = Saved(
        nodes={
            1: SavedNode(node(1, StartTaskOrder(command_line="s")), "127.1.0.1", started),
            2: SavedNode(node(2, StartTaskOrder(command_line="s")), "127.1.0.2"),
        },
        begun={KEY: BegunRun(5, 1, 1, 999, 77, 123)},
        highest=41,
    )
    told = Told(saved)
    end = told.end()
    assert (end.lost, end.start_us, end.report) == (True, 123, 43)
    spawned = [action.run.key for action in told.all if isinstance(action, events.Spawn)]
    assert spawned == [RunKey(-2, 0)]
    assert told.core.nodes() == (1, 2)
    told(node(1, StartTaskOrder(command_line="s")))
    assert len(told.reports(NodeReady)) == 1


def test_after_a_restart_what_is_said_to_have_begun_and_did_not_is_lost() -> None:
    """Its files were being fetched, so no process was noted; others begin before it now."""
    began = TaskBegan(report=7, task_no=5, attempt=1, start_us=123)
    saved = Saved(nodes={1: SavedNode(node(1), "127.1.0.1")}, reports={7: began}, highest=7)
    end = Told(saved).end()
    assert (end.task_no, end.attempt, end.lost, end.report) == (5, 1, True, 8)

    over = TaskEnded(report=8, task_no=5, attempt=1, start_us=123, end_us=124, exit_code=0)
    saved = Saved(
        nodes={1: SavedNode(node(1), "127.1.0.1")}, reports={7: began, 8: over}, highest=8
    )
    assert Told(saved).reports(TaskEnded) == []


# --- sent ahead --------------------------------------------------------------------------------


def test_what_is_sent_ahead_begins_when_its_slots_are_free() -> None:
    told = Told()
    told(order(5))
    assert told(order(6, ahead=True), 10) == []
    assert told(order(7, ahead=True), 11) == []
    actions = told(events.Exited(KEY, 0), 20)
    assert [type(action) for action in actions] == [events.Send, events.Send, events.Spawn]
    [began] = told.reports(TaskBegan)
    assert (began.task_no, began.start_us) == (6, 20)
    told(events.Exited(RunKey(6, 1), 0), 30)
    assert [began.task_no for began in told.reports(TaskBegan)] == [6, 7]


def test_what_is_sent_ahead_to_an_idle_node_begins_at_once() -> None:
    told = Told()
    told(order(6, ahead=True), 10)
    assert [began.start_us for began in told.reports(TaskBegan)] == [10]
    assert isinstance(told.all[-1], events.Spawn)


def test_what_has_not_begun_is_given_back() -> None:
    told = Told()
    told(order(5))
    told(order(6, ahead=True))
    told(ReturnTask(node_no=1, task_no=6, attempt=1))
    assert told.end().returned
    told(ReturnTask(node_no=1, task_no=6, attempt=1))
    assert [end.returned for end in told.reports(TaskEnded)] == [True, True]
    told(events.Exited(KEY, 0))
    assert told.reports(TaskBegan) == []


def test_what_has_begun_is_not_given_back() -> None:
    told = Told()
    told(order(6, ahead=True))
    assert told(ReturnTask(node_no=1, task_no=6, attempt=1)) == []


def test_what_has_not_begun_can_be_killed() -> None:
    told = Told()
    told(order(5))
    told(order(6, ahead=True))
    told(KillTask(node_no=1, task_no=6, attempt=1))
    end = told.end()
    assert (end.task_no, end.killed, end.exit_code) == (6, True, None)
    told(events.Exited(KEY, 0))
    assert told.reports(TaskBegan) == []


# --- directories and names that are used again -------------------------------------------------


def test_a_job_of_the_same_name_that_came_later_keeps_its_directory() -> None:
    told = Told()
    told(order(5))
    told(RemoveJob(chore=7, node_no=1, job_id="j"))
    told(order(9))
    actions = told(events.Exited(KEY, 137))
    assert not [action for action in actions if isinstance(action, events.RemoveTree)]
    assert [done.chore for done in told.reports(ChoreDone)] == [7]
    assert told.core.attempts() == ((9, 1),)


def test_a_chore_that_is_done_is_not_done_again() -> None:
    told = Told()
    told(RemoveJob(chore=7, node_no=1, job_id="j"))
    told(events.TreeRemoved(7))
    told(order(9))
    told(RemoveJob(chore=7, node_no=1, job_id="j"))
    assert [done.chore for done in told.reports(ChoreDone)] == [7, 7]
    assert told.core.attempts() == ((9, 1),)


def test_a_chore_is_not_done_again_either_when_the_server_has_heard_of_it() -> None:
    told = Told()
    told(RemoveTask(chore=7, node_no=1, task_no=5, job_id="j", task_id="t"))
    told(events.TreeRemoved(7))
    (done,) = told.reports(ChoreDone)
    told(Confirm(report=done.report))
    told(order(5, 2))
    told(RemoveTask(chore=7, node_no=1, task_no=5, job_id="j", task_id="t"))
    assert [done.chore for done in told.reports(ChoreDone)] == [7, 7]
    assert told.core.attempts() == ((5, 2),)


# --- multi-instance tasks ----------------------------------------------------------------------


def gang(index: int = 0, files: tuple[ResourceFile, ...] = ()) -> Gang:
    return Gang(index=index, addresses=("127.1.0.1", "127.1.0.2"), cores=(1, 1), files=files)


def test_a_run_that_lingers_is_at_work_until_it_is_killed() -> None:
    told = Told()
    told(order(gang=gang(), lingers=True), 10)
    told(events.Coordinated(KEY), 30)
    assert [(one.task_no, one.at_us) for one in told.reports(TaskCoordinated)] == [(5, 30)]
    assert told.core.attempts() == ((5, 1),)
    told(order(gang=gang(), lingers=True), 40)
    first, again = told.reports(TaskCoordinated)
    assert again.report > first.report
    assert again.at_us == 30
    assert told(kill(), 50) == [events.Terminate(KEY)]
    assert told(events.Tick(), 50 + GRACE_US) == [events.Kill(KEY)]
    told(events.Exited(KEY, 0), 60)
    end = told.end()
    assert (end.exit_code, end.failure, end.killed) == (0, None, True)


def test_a_coordination_that_is_killed_has_not_succeeded() -> None:
    told = Told()
    told(order(gang=gang(), lingers=True))
    told(kill())
    told(events.Exited(KEY, 0))
    assert (told.end().failure, told.end().killed) == (failure("TaskEnded"), True)
    assert told.reports(TaskCoordinated) == []


def test_a_kill_too_late_for_a_coordination_ends_what_it_left() -> None:
    told = Told()
    told(order(gang=gang(), lingers=True))
    told(kill())
    told(events.TooLate(KEY))
    actions = told(events.Coordinated(KEY))
    assert [type(action) for action in actions] == [events.Send, events.Terminate]
    told(events.Exited(KEY, 0))
    assert (told.end().failure, told.end().killed) == (None, True)


def test_a_kill_too_late_for_a_coordination_that_failed_is_no_kill() -> None:
    told = Told()
    told(order(gang=gang(), lingers=True))
    told(kill())
    told(events.TooLate(KEY))
    told(events.Exited(KEY, 4))
    assert (told.end().exit_code, told.end().killed) == (4, False)


def test_a_linger_ends_with_its_wall_clock() -> None:
    told = Told()
    told(order(gang=gang(), lingers=True, wall_clock_us=1_000))
    told(events.Coordinated(KEY), 10)
    assert told.core.due_us() == 1_000
    assert told(events.Tick(), 1_000) == [events.Terminate(KEY)]
    told(events.Exited(KEY, 0), 1_001)
    why = told.end().failure
    assert why is not None
    assert "maximum execution time" in why.details[0].value


def test_the_files_of_a_gang_come_first_but_not_when_a_run_joins() -> None:
    told = Told()
    assert isinstance(told(order(gang=gang(0, FILES), lingers=True))[0], events.Prepare)
    told(events.Prepared(KEY))
    told(events.Coordinated(KEY))
    joins = order(6, gang=gang(0, FILES), joins=True)
    assert isinstance(told(joins)[0], events.Spawn)


@pytest.mark.parametrize("there", ["nothing", "not ready", "ending", "older"])
def test_a_run_that_finds_nothing_to_join_is_lost(there: str) -> None:
    told = Told()
    if there != "nothing":
        told(order(attempt=1 if there == "older" else 2, gang=gang(), lingers=True))
    if there in ("ending", "older"):
        told(events.Coordinated(RunKey(5, 1 if there == "older" else 2)))
    if there == "ending":
        told(kill(2))
    told(order(6, 2, gang=gang(), joins=True))
    (ended,) = told.reports(TaskEnded)
    assert (ended.task_no, ended.attempt, ended.lost) == (6, 2, True)


def test_runs_with_other_numbers_hold_the_directory_of_their_task() -> None:
    told = Told()
    told(order(5, gang=gang(), lingers=True))
    told(events.Coordinated(KEY))
    told(order(6, gang=gang(), joins=True))
    remove = RemoveTask(chore=70, node_no=1, task_no=4, job_id="J", task_id="T")
    assert told(remove) == [events.Kill(KEY), events.Kill(RunKey(6, 1))]
    assert not any(isinstance(one, events.RemoveTree) for one in told(events.Exited(KEY, 0)))
    actions = told(events.Exited(RunKey(6, 1), 137))
    assert isinstance(actions[-1], events.RemoveTree)


def test_a_run_without_slots_begins_on_a_node_that_is_full() -> None:
    told = Told()
    told(order(5))
    [spawn] = told(order(6, slots=0))
    assert isinstance(spawn, events.Spawn)
    told(order(7, ahead=True))
    told(events.Exited(KEY, 0))
    assert [began.task_no for began in told.reports(TaskBegan)] == [7]


# --- boots -------------------------------------------------------------------------------------

START = StartTaskOrder(command_line="s")
BEGUN = RunKey(-1, 0)


def boots(told: Told, kind: type[Any]) -> list[int]:
    return [report.boot for report in told.reports(kind)]


def test_a_reboot_ends_all_and_begins_anew() -> None:
    told = Told(start=START)
    told(events.Exited(BEGUN, 0))
    told(order())
    assert told(node(start=START, boot=1)) == [events.Kill(KEY)]
    assert told.core.node(1) is None
    actions = told(events.Exited(KEY, 137))
    assert told.end().lost
    assert actions[-1] == events.Reboot(node(start=START, boot=1), wipe=False)
    told(events.NodeMade(1, "127.1.0.1", 1))
    told(events.Exited(BEGUN, 0))
    for kind in (NodeHosted, StartTaskBegan, StartTaskEnded, NodeReady):
        assert boots(told, kind) == [0, 1]
    assert told.core.node(1) == node(start=START, boot=1)
    assert isinstance(told(order(attempt=2))[-1], events.Spawn)


def test_what_was_told_to_end_is_killed_and_not_lost_by_a_reboot() -> None:
    told = Told()
    told(order())
    told(kill())
    assert told(node(boot=1)) == [events.Kill(KEY)]
    told(events.Exited(KEY, 137))
    assert (told.end().killed, told.end().lost) == (True, False)


def test_what_waits_is_lost_by_a_reboot() -> None:
    told = Told()
    told(order(5))
    told(order(6, ahead=True))
    told(node(boot=1))
    assert (told.end().task_no, told.end().lost) == (6, True)


@pytest.mark.parametrize("held", [True, False])
def test_a_start_task_that_a_reboot_ends_is_not_spoken_of(held: bool) -> None:
    told = Told(start=StartTaskOrder(command_line="s", max_retries=-1))
    if held:
        told(events.Exited(BEGUN, 1))
    told(node(boot=1))
    if not held:
        told(events.Exited(BEGUN, 137))
    assert isinstance(told.all[-1], events.Reboot)
    told(events.NodeMade(1, "127.1.0.1", 1))
    assert told.reports(StartTaskEnded) == []
    assert boots(told, NodeReady) == [1]
    assert told.core.due_us() is None


@pytest.mark.parametrize(("known", "wipes"), [(0, True), (1, True), (2, False)])
def test_files_of_before_the_wipe_go(known: int, wipes: bool) -> None:
    saved = Saved(nodes={1: SavedNode(node(boot=known), "127.1.0.1")})
    told = Told(saved)
    assert told(node(boot=3, wiped=2)) == [events.Reboot(node(boot=3, wiped=2), wipe=wipes)]


def test_a_boot_of_the_past_is_ignored() -> None:
    told = Told()
    told(node(boot=2))
    assert told(node(boot=1)) == []
    told(events.NodeMade(1, "127.1.0.1", 2))
    assert told(node(boot=1)) == []
    assert told.core.node(1) == node(boot=2)
    assert [type(action.report) for action in told(node(boot=2))] == [NodeHosted, NodeReady]  # type: ignore[union-attr]


def test_a_boot_during_a_boot_follows_it_and_wipes_what_that_made() -> None:
    told = Told()
    told(node(boot=1))
    assert told(node(boot=2, wiped=2)) == []
    assert told(node(boot=1)) == []
    [again] = told(events.NodeMade(1, "127.1.0.1", 1))
    assert again == events.Reboot(node(boot=2, wiped=2), wipe=True)
    assert told(events.NodeMade(1, "127.1.0.1", 1)) == []
    told(events.NodeMade(1, "127.1.0.1", 2))
    assert boots(told, NodeHosted) == [0, 2]


def test_a_boot_that_fails_may_be_asked_for_again() -> None:
    told = Told()
    told(node(boot=1, wiped=1))
    told(events.NodeFailed(1, failure("DiskFull"), 1))
    assert boots(told, NodeBroken) == [1]
    assert told.core.nodes() == (1,)
    told(order())
    assert told.end().lost
    assert told(node()) == []
    assert told(node(boot=1, wiped=1)) == [events.Reboot(node(boot=1, wiped=1), wipe=True)]
    told(events.NodeMade(1, "127.1.0.1", 1))
    assert boots(told, NodeReady) == [0, 1]


def test_a_node_dropped_during_a_boot_goes_when_its_directories_stand() -> None:
    told = Told()
    told(node(boot=1))
    assert told(DropNode(node_no=1, boot=1)) == []
    assert told(events.NodeMade(1, "127.1.0.1", 1)) == [events.ClearNode(node(boot=1))]
    told(events.NodeCleared(1))
    assert boots(told, NodeGone) == [1]
    assert boots(told, NodeHosted) == [0]


def test_a_node_that_was_asked_for_again_is_not_dropped_by_a_late_word() -> None:
    told = Told()
    told(node(boot=1))
    told(events.NodeMade(1, "127.1.0.1", 1))
    assert told(DropNode(node_no=1)) == []
    told(DropNode(node_no=1, boot=1))
    told(node(boot=2))
    assert told(DropNode(node_no=1, boot=1)) == []
    told(events.NodeCleared(1))
    assert boots(told, NodeGone) == [1]
    told(events.NodeMade(1, "127.1.0.1", 2))
    assert boots(told, NodeHosted)[-1] == 2


def test_directories_are_removed_during_a_boot_too() -> None:
    told = Told()
    told(node(boot=1))
    [remove] = told(RemoveJob(chore=70, node_no=1, job_id="j"))
    assert isinstance(remove, events.RemoveTree)
    told(events.TreeRemoved(70))
    assert len(told.reports(ChoreDone)) == 1


def test_nodes_of_another_server_begin_with_its_boots() -> None:
    told = Told()
    told(node(boot=3))
    told(events.NodeMade(1, "127.1.0.1", 3))
    told(Welcome(server="s", nodes=(1,), attempts=()))
    told(Welcome(server="other", nodes=(1,), attempts=()))
    assert told(node(boot=1)) == []
    assert told(events.NodeCleared(1)) == [events.MakeDirectories(node(boot=1))]


# --- a host that was given up ------------------------------------------------------------------


def given_up(*orders: RunTask) -> Told:
    """A host with runs that its server has given to others meanwhile."""
    told = Told()
    told(Welcome(server="s", nodes=(1,), attempts=()))
    for one in orders:
        told(one)
    told(Welcome(server="s", nodes=(1,), attempts=()))
    return told


def spawned(actions: list[Action]) -> list[int]:
    return [action.run.key.number for action in actions if isinstance(action, events.Spawn)]


def test_a_new_task_waits_for_the_slots_of_what_is_silently_ended() -> None:
    told = given_up(order(5))
    assert told(order(6, task_id="u")) == []
    assert told(order(7, task_id="v", ahead=True)) == []
    assert told.core.attempts() == ((6, 1), (7, 1))
    assert spawned(told(events.Exited(KEY, 143))) == [6]
    assert spawned(told(events.Exited(RunKey(6, 1), 0))) == [7]


def test_a_new_task_that_fits_begins_beside_what_is_silently_ended() -> None:
    told = given_up(order(5, slots=0))
    assert spawned(told(order(6, task_id="u"))) == [6]


def test_a_new_task_of_the_same_name_waits_for_the_directory() -> None:
    told = given_up(order(5, slots=0))
    assert told(order(6, slots=0)) == []
    assert spawned(told(events.Exited(KEY, 143))) == [6]


def test_a_run_that_joins_has_the_slots_of_the_one_it_joins() -> None:
    told = given_up(order(5, slots=0))
    assert spawned(told(order(6, task_id="u", gang=gang(), lingers=True))) == [6]
    told(events.Coordinated(RunKey(6, 1)))
    assert spawned(told(order(7, task_id="u", gang=gang(), joins=True))) == [7]


def test_what_the_server_counts_itself_keeps_nothing_waiting() -> None:
    told = Told()
    told(order(5))
    assert spawned(told(order(6, task_id="u"))) == [6]


@pytest.mark.parametrize(
    "word", [order(5), kill(), ReturnTask(node_no=1, task_no=5, attempt=1)], ids=type
)
def test_what_is_asked_for_again_is_counted_again(word: Any) -> None:
    told = given_up(order(5))
    told(order(6, task_id="u"))
    assert spawned(told(word)) == [6]
    told(events.Exited(KEY, 143))
    assert told.end().lost


def test_what_has_no_room_yet_can_be_given_back_and_killed() -> None:
    told = given_up(order(5))
    told(order(6, task_id="u"))
    told(ReturnTask(node_no=1, task_no=6, attempt=1))
    assert told.end().returned
    told(order(7, task_id="v"))
    told(KillTask(node_no=1, task_no=7, attempt=1))
    assert told.end().killed
    assert spawned(told(events.Exited(KEY, 143))) == []


def test_what_began_and_was_silently_ended_is_lost_and_not_given_back() -> None:
    told = given_up(order(5))
    told(events.Exited(KEY, 143))
    assert told.reports(TaskEnded) == []
    told(ReturnTask(node_no=1, task_no=5, attempt=1))
    assert (told.end().lost, told.end().returned) == (True, False)
    told(order(5))
    assert told.end().lost
    assert spawned(told.all) == [5]


def test_what_is_older_than_all_that_is_known_is_not_given_back() -> None:
    told = Told()
    told(order(5, 3))
    told(ReturnTask(node_no=1, task_no=5, attempt=2))
    assert (told.end().lost, told.end().returned) == (True, False)


def test_what_one_server_asked_for_is_not_told_or_done_to_another() -> None:
    told = Told()
    told(Welcome(server="s", nodes=(1,), attempts=()))
    told(DropNode(node_no=1))
    told(node())
    told(Welcome(server="other", nodes=(), attempts=()))
    assert told(events.NodeCleared(1)) == []
