"""What is said of each cause, in the order and the words of its facts."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from penstock.domain.records import Ending, Failure, NodeRecord, NodeWish, NodeWork, Removal
from penstock.domain.specs.task import Dependencies, TaskIdRange
from penstock.domain.states import (
    AllocationState,
    JobState,
    NodeState,
    PoolState,
    SchedulingState,
    TaskResult,
    TaskState,
)
from penstock.scheduler.demands import Demand
from penstock.scheduler.dependencies import DependencyBook, Unmet, UnmetSpan
from penstock.scheduler.dependency_reasons import Chain, Link, of_dependencies
from penstock.scheduler.job_reasons import is_over, of_job
from penstock.scheduler.node_reasons import cause_of, census, of_nodes
from penstock.scheduler.numbers import Numbers
from penstock.scheduler.pool_reasons import CoreQuota, of_errors, of_fit, of_missing, of_pool
from penstock.scheduler.queue_reasons import Best, Standing, of_cap, of_queue
from penstock.scheduler.reasons import Code, Reason, because, counted, some_are
from penstock.scheduler.task_reasons import not_waiting, past
from penstock.scheduler.waiting import WaitingJob
from tests.records import a_job, a_node, a_pool, a_task
from tests.sim.reasons import KNOWN, said


def test_the_simulation_knows_what_each_cause_means() -> None:
    assert set(Code) == KNOWN


def test_details_are_text_with_names_of_the_wire() -> None:
    told = because(Code.RUNNING, "m", "r", slots_per_node=2, left_out=None, node="n")
    assert said(told) == {"slotsPerNode": "2", "node": "n"}


def test_numbers_of_things() -> None:
    assert [counted(count, "node") for count in (0, 1, 2)] == ["0 nodes", "1 node", "2 nodes"]
    told = [some_are(*pair) for pair in ((1, 1), (3, 3), (1, 3), (2, 3))]
    assert told == ["The only node is", "All 3 nodes are", "1 of 3 nodes is", "2 of 3 nodes are"]


# --- tasks ---------------------------------------------------------------------------------------


def test_a_task_that_failed_before_its_command_began() -> None:
    missing = Failure("usererror", "BlobNotFound", "The blob was not found.")
    over = a_task(1, state=TaskState.COMPLETED, result=TaskResult.FAILURE, failure=missing)
    told = not_waiting(over)
    assert told.message == "It failed (BlobNotFound: The blob was not found)."
    assert said(told) == {"result": "failure", "failure": "BlobNotFound"}


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (Ending.REQUEUED, Code.BEING_REQUEUED),
        (Ending.TERMINATED, Code.BEING_TERMINATED),
        (Ending.DELETED, Code.BEING_TERMINATED),
        (Ending.FINISHED, Code.RUNNING),
    ],
)
def test_a_task_that_is_told_to_stop(ending: Ending, code: Code) -> None:
    running = a_task(1, state=TaskState.RUNNING, node_id="n", ending=ending)
    assert not_waiting(running).code == code


def test_what_a_task_has_behind_it() -> None:
    again = a_task(1, retry_count=1, max_retries=3, requeue_count=2, last_requeue_us=0)
    assert [reason.code for reason in past(again)] == [Code.RETRY_PENDING, Code.REQUEUED]
    assert "retry 1 (at most 3)" in past(again)[0].message
    assert "2 times, last at 1970-01-01" in past(again)[1].message
    assert past(a_task(1)) == []


# --- jobs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "code", "over"),
    [
        (JobState.ACTIVE, None, False),
        (JobState.DISABLING, Code.JOB_DISABLED, False),
        (JobState.DISABLED, Code.JOB_DISABLED, False),
        (JobState.ENABLING, Code.JOB_ENABLING, False),
        (JobState.TERMINATING, Code.JOB_ENDING, True),
        (JobState.DELETING, Code.JOB_ENDING, True),
        (JobState.COMPLETED, Code.JOB_COMPLETED, True),
    ],
)
def test_the_state_of_a_job(state: JobState, code: Code | None, over: bool) -> None:
    record = replace(a_job(1), state=state)
    assert [reason.code for reason in of_job(record)] == ([code] if code else [])
    assert is_over(record) is over


def test_a_job_whose_pool_could_not_be_made() -> None:
    error = Failure("usererror", "AutoPoolCreationFailedWithQuotaReached", "No more pools.")
    record = replace(a_job(1), state=JobState.COMPLETED, scheduling_error=error)
    (reason,) = of_job(record)
    assert reason.code == Code.AUTO_POOL_FAILED
    assert said(reason)["error"] == "AutoPoolCreationFailedWithQuotaReached"


# --- dependencies --------------------------------------------------------------------------------


def chain(*names: str, circle: bool = False, **root: Any) -> Chain:
    """Tasks that wait for each other; the last is not there unless something is said of it."""
    links = [Link(name, a_task(no)) for no, name in enumerate(names[:-1])]
    last = a_task(99, **root) if root else None
    return Chain((*links, Link(names[-1], last)), circle)


FAILED: dict[str, Any] = {
    "state": TaskState.COMPLETED,
    "result": TaskResult.FAILURE,
    "exit_code": 3,
}


def dependencies(*chains: Chain) -> list[Reason]:
    unmet = Unmet(tuple(one.links[0].name for one in chains), ())
    return list(of_dependencies(unmet, chains))


def test_what_blocks_for_good_weighs_more_than_what_only_runs() -> None:
    found = dependencies(
        chain("a", state=TaskState.RUNNING, node_id="n"),
        chain("b"),
        chain("c", "d", circle=True, state=TaskState.ACTIVE),
        chain("e", "f", **FAILED),
        chain("g", **FAILED),
    )
    assert [reason.code for reason in found] == [
        Code.DEPENDENCY_FAILED,
        Code.DEPENDENCY_BLOCKED,
        Code.DEPENDENCY_CIRCLE,
        Code.DEPENDENCY_MISSING,
        Code.DEPENDENCY_UNFINISHED,
    ]
    assert "In all 5 of its dependencies are not met." in found[0].message


def test_what_blocks_though_it_did_not_fail() -> None:
    ended: dict[str, Any] = {
        "state": TaskState.COMPLETED,
        "result": TaskResult.SUCCESS,
        "exit_code": 0,
    }
    (reason,) = dependencies(chain("a", **ended))
    assert "which ended with exit code 0, and so blocks its dependents" in reason.message


def test_several_in_the_like_state() -> None:
    (missing,) = dependencies(chain("a"), chain("b"), chain("c"))
    assert "task 'a', which is not there; 2 others are not there either." in missing.message
    assert said(missing)["tasks"] == "a, b, c"


def test_a_range_of_which_some_are_missing() -> None:
    unmet = Unmet((), (UnmetSpan(1, 100, 3, (17, 40, 41)),))
    (reason,) = of_dependencies(unmet, [chain("17")])
    assert reason.message == (
        "It depends on task '17', which is not there. Of the 100 tasks from 1 to 100, 3 did"
        " not succeed yet, the first of them 17."
    )


def wish(*ids: str, span: tuple[int, int] | None = None) -> Dependencies:
    spans = None if span is None else [TaskIdRange(start=span[0], end=span[1])]
    return Dependencies(task_ids=list(ids), task_id_ranges=spans)


def test_a_book_gives_all_that_is_not_met() -> None:
    book = DependencyBook(["a", "2", "04"])
    assert not book.add(1, wish("B", "a", "c", "b", span=(1, 6)), (1, None))
    assert book.unmet(1) == Unmet(("b", "c"), (UnmetSpan(1, 6, 4, (1, 3, 5, 6)),))
    book.satisfy("b")
    book.satisfy("3")
    assert book.unmet(1) == Unmet(("c",), (UnmetSpan(1, 6, 3, (1, 5, 6)),))
    assert book.unmet(2) is None


def test_a_task_that_ended_well_once_counts_as_met_for_those_before() -> None:
    book = DependencyBook(["5", "6"])
    book.add(1, wish(span=(4, 7)), (1, None))
    book.unsatisfy("5", before_no=2)
    book.add(3, wish(span=(4, 7)), (1, None))
    first, second = book.unmet(1), book.unmet(3)
    assert first is not None
    assert second is not None
    assert (first.spans[0].count, first.spans[0].first) == (2, (4, 7))
    assert (second.spans[0].count, second.spans[0].first) == (3, (4, 5, 7))


def test_counting_a_great_range() -> None:
    numbers = Numbers()
    for number in (*range(1, 1001), 5000, 10**9):
        numbers.add(number)
    assert numbers.count(1, 10**9) == 1002
    assert numbers.count(1001, 4999) == 0
    assert numbers.count(256, 511) == 256
    assert numbers.first_missing(1, 10**9) == 1001
    assert numbers.first_missing(1, 1000) is None
    assert numbers.first_missing(5000, 5000) is None


# --- pools ---------------------------------------------------------------------------------------


def test_a_pool_that_is_coming() -> None:
    growing = replace(
        a_pool(1), allocation=AllocationState.RESIZING, spec=replace(a_pool(1).spec, **TWO)
    )
    assert [reason.code for reason in of_pool(growing, 0, ())] == [Code.POOL_RESIZING]
    steady = replace(growing, allocation=AllocationState.STEADY)
    assert [reason.code for reason in of_pool(steady, 0, ())] == [Code.POOL_EMPTY]
    assert list(of_pool(steady, 1, ())) == []
    going = replace(steady, state=PoolState.DELETING)
    assert [reason.code for reason in of_pool(going, 1, ())] == [Code.POOL_DELETING]


TWO: dict[str, Any] = {"target_dedicated_nodes": 2, "target_low_priority_nodes": 0}


def test_why_nodes_are_missing() -> None:
    errors = (
        Failure("usererror", "AccountLowPriorityCoreQuotaReached", "The quota is reached"),
        Failure("usererror", "AllocationFailed", "No nodes"),
    )
    record = replace(a_pool(1), resize_errors=errors, spec=replace(a_pool(1).spec, **TWO))
    quotas = [CoreQuota("dedicated", 10, 1), CoreQuota("low-priority", 8, 7)]
    quota, other = of_errors(record, 1, quotas)
    assert quota.code == Code.QUOTA_REACHED
    assert "has 1 of its 2 nodes" in quota.message
    assert "7 of 8 low-priority cores are in use" in quota.message
    assert other.code == Code.RESIZE_FAILED


def test_a_pool_that_is_not_there() -> None:
    made = replace(a_job(1), auto_pool="ABC")
    assert "auto pool 'ABC' of the job is gone" in of_missing(made).message
    assert of_missing(a_job(1)).code == Code.POOL_MISSING


def test_all_that_keeps_a_multi_instance_task() -> None:
    wide = replace(a_pool(1), spec=replace(a_pool(1).spec, task_slots_per_node=2, **TWO))
    found = of_fit(wide, 2, 3, Demand(nodes=4, gang=True))
    assert [reason.code for reason in found] == [
        Code.TOO_MANY_SLOTS,
        Code.NO_INTER_NODE_COMMUNICATION,
        Code.SLOTS_PER_NODE_NOT_ONE,
        Code.TOO_FEW_NODES,
    ]


# --- nodes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", NodeState)
def test_each_state_of_a_node_has_a_cause(state: NodeState) -> None:
    """One that could take tasks does not because its host is away, or it is closed."""
    record = replace(a_node(1), state=state, host="h")
    for linked in ({"h"}, set()):
        (reason,) = of_nodes(census([record], lambda _: False, linked))
        assert reason.code == cause_of(record, linked)
        assert said(reason)["node"] == record.id
        assert said(reason)["count"] == "1"


def test_what_keeps_an_idle_node() -> None:
    idle = replace(a_node(1), state=NodeState.IDLE, host="h")
    closed = replace(idle, scheduling=SchedulingState.DISABLED)
    closing = replace(idle, wish=NodeWish(work=NodeWork.REIMAGE, how=Removal.RETAINED_DATA))
    leaving = replace(idle, leaving=Removal.TASK_COMPLETION)
    found = [cause_of(one, {"h"}) for one in (closed, closing, leaving)]
    assert found == [Code.NODES_CLOSED, Code.NODES_CLOSING, Code.NODES_LEAVING]
    assert cause_of(closed, set()) == Code.NODES_AWAY


def test_the_most_nodes_come_first() -> None:
    def one(no: int, state: NodeState) -> NodeRecord:
        return replace(a_node(no, f"n{no}"), state=state, host="h")

    records = [one(1, NodeState.STARTING), one(2, NodeState.IDLE)]
    records += [one(no, NodeState.REBOOTING) for no in (3, 4)]
    seen = census(records, lambda no: no == 2, {"h"})
    assert [taker.no for taker in seen.takers] == [2]
    found = list(of_nodes(seen))
    assert [reason.code for reason in found] == [Code.NODES_REBOOTING, Code.NODES_STARTING]
    assert found[0].message.startswith("2 of 4 nodes are rebooting (the first is")


# --- the queue -----------------------------------------------------------------------------------


def standing(**facts: Any) -> Standing:
    usual: dict[str, Any] = {"running": 0, "cap": -1, "slots": 1, "usable": 1, "fits": True}
    return Standing(**usual | facts)


def test_a_limit_of_parallel_tasks() -> None:
    assert list(of_cap(standing(running=5))) == []
    assert list(of_cap(standing(running=1, cap=2))) == []
    (reason,) = of_cap(standing(running=2, cap=2))
    assert reason.code == Code.MAX_PARALLEL_TASKS


def test_the_turn_of_a_task() -> None:
    assert list(of_queue(standing())) == []
    (reason,) = of_queue(standing(higher=2, before=10, most_before=10, equal=3))
    assert reason.code == Code.WAITS_ITS_TURN
    assert reason.message == (
        "2 tasks of higher priority and at least 10 tasks of its job wait before it; 3 tasks of"
        " other jobs of its priority wait (their jobs take turns)."
    )
    assert said(reason) == {"higherPriority": "2", "equalPriority": "3", "sameJob": "10"}
    (reason,) = of_queue(standing(equal=1, oldest_first=True))
    assert reason.message == ("1 task of other jobs of its priority wait (older jobs go first).")


def test_nodes_are_taken_only_where_some_are_not_idle() -> None:
    (reason,) = of_queue(standing(wants_nodes=3, usable=2, idle=1))
    assert reason.code == Code.NODES_TAKEN
    assert list(of_queue(standing(wants_nodes=3, usable=2, idle=2))) == []


def test_what_is_before_a_task_in_its_line() -> None:
    waiting = WaitingJob(1, 0, -1)
    waiting.add_many([11, 12, 13, 14], 1)
    waiting.add(15, 2, None, None)
    waiting.remove(12, 1, None)
    waiting.add(12, 1, None, None)
    assert [waiting.before(no, 1, None, 9) for no in (11, 13, 14, 12)] == [0, 1, 2, 3]
    assert waiting.before(12, 1, None, 2) == 2
    assert waiting.before(15, 2, None, 9) == 0
    assert waiting.first(2) == [11, 13, 15]


def test_slots_that_tasks_were_sent_ahead_for_are_not_taken_twice() -> None:
    best = Best("n", slots=2, free=-3, occupant=None)
    (reason,) = of_queue(standing(fits=False, best=best))
    assert said(reason)["slotsTaken"] == "2"
    assert "next free when a running task ends" in reason.message


def test_a_node_that_starts_on_a_host_that_is_away() -> None:
    starting = replace(a_node(1), state=NodeState.STARTING, host="h")
    assert cause_of(starting, {"h"}) == Code.NODES_STARTING
    assert cause_of(starting, set()) == Code.NODES_AWAY
    assert cause_of(replace(starting, host=None), set()) == Code.NODES_STARTING


def test_of_a_long_chain_the_ends_are_named() -> None:
    three, four = (dependencies(chain(*"abcd"[:size]))[0].message for size in (3, 4))
    assert "'a', which waits for task 'b', which waits for task 'c', which is not" in three
    assert "'b', which waits for 1 more task down to task 'd', which is not there" in four
