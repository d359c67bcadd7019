"""The core of the host that runs nothing: what a server may rely on all the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest
from msgspec.structs import replace

from penstock.agent.null import NullCore
from penstock.domain.records import Failure
from penstock.messages import (
    ChoreDone,
    Confirm,
    DropNode,
    Gang,
    Instruction,
    KillTask,
    MakeNode,
    NodeGone,
    NodeHosted,
    NodeReady,
    NumberedReport,
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

NOW_US = 1_000_000
T = TypeVar("T")


def node(number: int = 1, start: StartTaskOrder | None = None, boot: int = 0) -> MakeNode:
    return MakeNode(
        boot=boot,
        node_no=number,
        node_id=f"n{number}",
        pool_id="p",
        account="a",
        account_url="http://a",
        dedicated=True,
        slots=1,
        cores=1,
        start_task=start,
    )


def order(task: int = 7, attempt: int = 1, *, node_no: int = 1, ahead: bool = False) -> RunTask:
    return RunTask(
        node_no=node_no,
        task_no=task,
        attempt=attempt,
        job_id="j",
        task_id=f"t{task}",
        command_line="/bin/false",
        ahead=ahead,
    )


def kill(task: int = 7, attempt: int = 1) -> KillTask:
    return KillTask(node_no=1, task_no=task, attempt=attempt)


def give_back(task: int = 7, attempt: int = 1) -> ReturnTask:
    return ReturnTask(node_no=1, task_no=task, attempt=attempt)


def welcome(server: str = "s", nodes: tuple[int, ...] = (1,)) -> Welcome:
    return Welcome(server=server, nodes=nodes, attempts=())


def told(core: NullCore, *orders: Instruction) -> list[NumberedReport]:
    return [report for item in orders for report in core.handle(item, NOW_US)]


def only(reports: Sequence[NumberedReport], kind: type[T]) -> T:
    (report,) = reports
    assert isinstance(report, kind)
    return report


@pytest.fixture
def core() -> NullCore:
    core = NullCore()
    core.welcome(welcome())
    told(core, node(), Confirm(report=2))
    return core


def test_a_node_is_hosted_and_ready_at_once() -> None:
    core = NullCore()
    first, second = (told(core, node(number)) for number in (1, 2))

    assert [type(report) for report in first] == [NodeHosted, NodeReady]
    assert first[0].address != second[0].address  # type: ignore[union-attr]
    assert set(core.nodes()) == {1, 2}


def test_what_is_refused_fails(core: NullCore) -> None:
    why = Failure("usererror", "ContainerInvalidSettings", "no containers here")
    ended = only(told(core, replace(order(), refused=why)), TaskEnded)
    assert (ended.exit_code, ended.failure) == (None, why)

    start = StartTaskOrder(command_line="/bin/true", refused=why)
    for waits, follows in ((True, list[type]()), (False, [NodeReady])):
        made = node(2 + waits, replace(start, wait_for_success=waits))
        hosted, began, over, *more = told(core, made)
        assert (type(hosted), type(began)) == (NodeHosted, StartTaskBegan)
        assert isinstance(over, StartTaskEnded)
        assert (over.exit_code, over.failure) == (None, why)
        assert [type(report) for report in more] == follows


def test_a_start_task_succeeds() -> None:
    reports = told(NullCore(), node(start=StartTaskOrder(command_line="/bin/false")))

    assert [type(report) for report in reports] == [
        NodeHosted,
        StartTaskBegan,
        StartTaskEnded,
        NodeReady,
    ]
    ended = reports[2]
    assert isinstance(ended, StartTaskEnded)
    assert (ended.exit_code, ended.failure) == (0, None)


def test_reports_are_numbered_without_a_gap(core: NullCore) -> None:
    reports = told(core, order(7), order(8, ahead=True), node(2))

    assert [report.report for report in reports] == list(range(3, 8))


def test_a_task_succeeds(core: NullCore) -> None:
    ended = only(told(core, order()), TaskEnded)

    assert (ended.task_no, ended.attempt, ended.exit_code, ended.failure) == (7, 1, 0, None)
    assert (ended.start_us, ended.end_us) == (NOW_US, NOW_US)
    assert (ended.killed, ended.lost, ended.returned) == (False, False, False)


def test_a_task_sent_ahead_begins_and_succeeds(core: NullCore) -> None:
    began, ended = told(core, order(ahead=True))

    assert isinstance(began, TaskBegan)
    assert isinstance(ended, TaskEnded)
    assert (began.task_no, began.attempt) == (ended.task_no, ended.attempt) == (7, 1)


@pytest.mark.parametrize("again", [order(), order(ahead=True), kill(), give_back()])
def test_an_attempt_has_one_ending_however_often_it_is_asked_for(
    core: NullCore, again: Instruction
) -> None:
    first = only(told(core, order()), TaskEnded)
    told(core, Confirm(report=first.report))
    second = only(told(core, again), TaskEnded)

    assert second.report == first.report + 1
    assert (second.exit_code, second.killed, second.returned) == (0, False, False)


def test_a_new_attempt_is_run(core: NullCore) -> None:
    ended = [only(told(core, order(attempt=attempt)), TaskEnded) for attempt in (1, 2)]

    assert [report.attempt for report in ended] == [1, 2]


def test_an_attempt_that_never_came_is_killed(core: NullCore) -> None:
    ended = only(told(core, kill()), TaskEnded)

    assert ended.killed
    assert ended.exit_code is None
    assert ended.failure is not None
    assert only(told(core, order()), TaskEnded).killed, "it was over before"


def test_an_attempt_that_never_came_is_given_back(core: NullCore) -> None:
    assert only(told(core, give_back()), TaskEnded).returned


def test_a_task_for_a_node_that_is_not_here_is_lost(core: NullCore) -> None:
    assert only(told(core, order(node_no=2)), TaskEnded).lost


def test_a_node_that_is_dropped_is_gone(core: NullCore) -> None:
    assert only(told(core, DropNode(node_no=1)), NodeGone).node_no == 1
    assert core.nodes() == ()
    assert only(told(core, DropNode(node_no=1)), NodeGone), "asked again, answered again"


def test_directories_are_removed(core: NullCore) -> None:
    task = RemoveTask(chore=11, node_no=1, task_no=7, job_id="j", task_id="t7")
    job = RemoveJob(chore=12, node_no=1, job_id="j")

    assert only(told(core, task), ChoreDone).chore == 11
    assert only(told(core, job), ChoreDone).chore == 12


def test_what_was_not_confirmed_is_said_again(core: NullCore) -> None:
    reports = told(core, order(7), order(8, ahead=True))
    told(core, Confirm(report=reports[0].report))

    assert core.known_attempts() == ((8, 1),)
    assert core.welcome(welcome()) == reports[1:]


def test_a_welcome_says_what_is_confirmed_and_which_nodes_stay(core: NullCore) -> None:
    last = told(core, order(7), node(2))[-1].report

    again = Welcome(server="s", nodes=(2,), attempts=(), confirmed=last)
    assert core.welcome(again) == []
    assert core.nodes() == (2,)
    assert core.known_attempts() == ()


def test_another_server_is_greeted_anew_with_nothing(core: NullCore) -> None:
    told(core, order())

    assert core.welcome(welcome("other")) is None
    assert (core.nodes(), core.known_attempts()) == ((), ())
    assert core.welcome(welcome("other")) == []


# --- boots, and what lingers -------------------------------------------------------------------


def lingering(task: int = 7, attempt: int = 1) -> RunTask:
    gang = Gang(index=0, addresses=("127.1.0.1",), cores=(1,))
    return replace(order(task, attempt), gang=gang, lingers=True)


def test_reports_name_the_boot_and_the_address_stays(core: NullCore) -> None:
    first = told(NullCore(), node())
    again = told(core, node(start=StartTaskOrder(command_line="c"), boot=3))

    assert [report.boot for report in again] == [3, 3, 3, 3]  # type: ignore[union-attr]
    assert again[0].address == first[0].address  # type: ignore[union-attr]
    assert told(core, node(boot=2)) == [], "that is of the past"
    assert [report.boot for report in told(core, node(boot=3))] == [3, 3]  # type: ignore[union-attr]


def test_what_lingers_is_coordinated_until_it_is_killed(core: NullCore) -> None:
    first = only(told(core, lingering()), TaskCoordinated)
    again = only(told(core, lingering()), TaskCoordinated)
    assert again.report > first.report
    assert core.attempts() == ((7, 1),)
    assert told(core, give_back()) == []

    ended = only(told(core, kill()), TaskEnded)
    assert (ended.exit_code, ended.failure, ended.killed) == (0, None, True)
    assert core.attempts() == ()


@pytest.mark.parametrize(
    ("ends", "lost"),
    [
        (node(boot=1), True),
        (DropNode(node_no=1), True),
        (lingering(7, 2), True),
        (RemoveTask(chore=11, node_no=1, task_no=3, job_id="J", task_id="T7"), False),
        (RemoveJob(chore=11, node_no=1, job_id="j"), False),
    ],
)
def test_what_ends_a_linger(core: NullCore, ends: Instruction, lost: bool) -> None:
    told(core, lingering())
    ended = told(core, ends)[0]

    assert isinstance(ended, TaskEnded)
    assert (ended.attempt, ended.lost, ended.killed) == (1, lost, not lost)


def test_a_welcome_forgets_what_it_does_not_list(core: NullCore) -> None:
    told(core, lingering(7), lingering(8))
    core.welcome(Welcome(server="s", nodes=(1,), attempts=((8, 1),)))
    assert core.attempts() == ((8, 1),)
    core.welcome(Welcome(server="s", nodes=(), attempts=((8, 1),)))
    assert core.attempts() == ()
