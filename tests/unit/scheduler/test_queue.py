"""Turns and places, in examples that a person can check."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest

from penstock.scheduler.nodes import Fill, FreeNodes
from penstock.scheduler.queue import PoolQueue


def queue(slots: int, nodes: int = 1, fill: Fill = Fill.SPREAD, **more: bool) -> PoolQueue:
    made = PoolQueue(fill, **more)
    for node in range(nodes):
        made.open_node(node, slots)
    return made


def test_spread_evens_and_pack_fills() -> None:
    for fill, expected in ((Fill.SPREAD, [0, 1, 0, 1]), (Fill.PACK, [0, 0, 1, 1])):
        made = queue(2, nodes=2, fill=fill)
        made.put_job(1, 0, -1, open_=True)
        for task in range(4):
            made.add(1, task, 1)
        assert [placed.node_no for placed in made.place(10)] == expected


def test_a_job_that_was_idle_does_not_claim_what_it_missed() -> None:
    made = queue(1)
    made.put_job(1, 0, -1, open_=True)
    made.put_job(2, 0, -1, open_=True)
    for task in range(40):
        made.add(1, task, 1)
    for _ in range(30):
        (placed,) = made.place(1)
        made.ended(placed.job_no, placed.node_no, placed.slots, task_no=placed.task_no)
    for task in range(100, 140):
        made.add(2, task, 1)
    turns = []
    for _ in range(8):
        (placed,) = made.place(1)
        turns.append(placed.job_no)
        made.ended(placed.job_no, placed.node_no, placed.slots, task_no=placed.task_no)
    assert turns.count(1) == turns.count(2) == 4


def test_large_and_small_tasks_share_by_slots() -> None:
    made = queue(4)
    made.put_job(1, 0, -1, open_=True)
    made.put_job(2, 0, -1, open_=True)
    for task in range(40):
        made.add(1, task, 4)
    for task in range(100, 300):
        made.add(2, task, 1)
    served = {1: 0, 2: 0}
    for _ in range(20):
        for placed in made.place(10):
            served[placed.job_no] += placed.slots
            made.ended(placed.job_no, placed.node_no, placed.slots, task_no=placed.task_no)
    assert abs(served[1] - served[2]) <= 4


def test_the_oldest_job_first_where_the_pool_says_so() -> None:
    made = queue(1, oldest_first=True)
    for job in (2, 1):
        made.put_job(job, 0, -1, open_=True)
        for task in range(2):
            made.add(job, job * 10 + task, 1)
    order = []
    while placed := made.place(1):
        order.append(placed[0].task_no)
        made.ended(placed[0].job_no, placed[0].node_no, 1, task_no=placed[0].task_no)
    assert order == [10, 11, 20, 21]


def test_a_hint_is_followed_where_there_is_room() -> None:
    made = queue(1, nodes=3)
    made.put_job(1, 0, -1, open_=True)
    made.add(1, 1, 1, hint=2)
    made.add(1, 2, 1, hint=2)
    assert [placed.node_no for placed in made.place(5)] == [2, 0]


def test_what_ran_before_a_restart_counts_against_the_limit_of_its_job() -> None:
    made = queue(4)
    made.put_job(1, 0, 1, open_=True)
    made.add(1, 7, 1)
    made.began(1, 0, 1, task_no=3)
    assert made.place(5) == []
    made.ended(1, 0, 1, task_no=3)
    assert [placed.task_no for placed in made.place(5)] == [7]


def test_a_job_keeps_its_tasks_when_it_changes_its_queue() -> None:
    made, other = queue(1), queue(1)
    made.put_job(1, 0, -1, open_=False)
    made.add(1, 7, 1)
    job = made.release(1)
    assert job is not None
    other.adopt(job)
    assert other.place(1) == []
    other.put_job(1, 0, -1, open_=True)
    assert [placed.task_no for placed in other.place(1)] == [7]
    assert made.place(1) == []


def test_a_node_may_go_after_a_job_that_knew_it() -> None:
    made = queue(2)
    made.put_job(1, 0, -1, open_=True, prepares=True)
    made.prepared(1, 0)
    made.unprepared(1, 0)
    made.bar(1, 0)
    made.unbar(1, 0)
    made.release(1)
    made.forget_node(0)
    assert not made.has_node(0)


def test_free_nodes_know_the_largest_gap() -> None:
    nodes = FreeNodes()
    assert nodes.most == 0
    nodes.open(1, 3)
    nodes.open(2, 256)
    assert nodes.most == 256
    nodes.close(2)
    assert nodes.most == 3
    nodes.take(1, 3)
    assert nodes.most == 0
    assert nodes.choose(1, Fill.PACK) is None


def test_a_job_that_is_put_again_and_again_stands_in_the_turns_about_once() -> None:
    made = queue(1)
    made.put_job(1, 0, -1, open_=True)
    made.put_job(2, 0, -1, open_=True)
    made.add(1, 1, 1)
    made.add(2, 2, 1)
    for number in range(10_000):
        made.put_job(1, number % 5, -1, open_=True)
    assert len(made._turns) < 200
    assert [placed.task_no for placed in made.place(2)] == [1]


def test_tasks_that_left_a_line_are_forgotten_though_its_first_one_stays() -> None:
    made = queue(1)
    made.put_job(1, 0, -1, open_=True)
    made.add(1, 0, 1)
    for number in range(1, 10_000):
        made.add(1, number, 1)
        made.remove(1, number, 1)
    (line,) = made.jobs[1].lines.values()
    assert len(line._tasks) < 200


def test_what_leaves_and_comes_back_many_times_goes_to_the_end_each_time() -> None:
    made = queue(1)
    made.put_job(1, 0, -1, open_=True)
    for number in range(200):
        made.add(1, number, 1)
    for _ in range(3):
        for number in range(100):
            made.remove(1, number, 1)
            made.add(1, number, 1)
    found = []
    for _ in range(200):
        (placed,) = made.place(1)
        found.append(placed.task_no)
        made.ended(1, placed.node_no, 1, task_no=placed.task_no)
    assert found == [*range(100, 200), *range(100)]
    assert made.place(1) == []


def test_two_equal_jobs_share_within_a_tenth_at_every_hundred_ends() -> None:
    made = queue(2, nodes=4)
    random = Random(1)
    for job in (1, 2):
        made.put_job(job, 0, -1, open_=True)
        made.add_many(job, range(job * 10_000, job * 10_000 + 1000), 1)
    running = made.place(100)
    ended = {1: 0, 2: 0}
    for number in range(1, 2001):
        placed = running.pop(random.randrange(len(running)))
        ended[placed.job_no] += 1
        made.ended(placed.job_no, placed.node_no, placed.slots, task_no=placed.task_no)
        running += made.place(100)
        if number % 100 == 0:
            assert abs(ended[1] - ended[2]) <= number / 10
    assert ended == {1: 1000, 2: 1000}


def test_a_later_job_of_higher_priority_overtakes_at_once() -> None:
    made = queue(2, nodes=4)
    for job in (1, 2):
        made.put_job(job, 0, -1, open_=True)
        made.add_many(job, range(job * 1000, job * 1000 + 100), 1)
    running = deque(made.place(100))
    for _ in range(20):
        placed = running.popleft()
        made.ended(placed.job_no, placed.node_no, placed.slots, task_no=placed.task_no)
        running += made.place(100)
    made.put_job(3, 1, -1, open_=True)
    made.add_many(3, range(3000, 3030), 1)
    turns = []
    for _ in range(40):
        placed = running.popleft()
        made.ended(placed.job_no, placed.node_no, placed.slots, task_no=placed.task_no)
        (after,) = made.place(100)
        running.append(after)
        turns.append(after.job_no)
    assert turns[:30] == [3] * 30
    assert turns[30:].count(1) == turns[30:].count(2) == 5


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        (Fill.SPREAD, [0, 1, 2, 1, 0, 2, 1]),
        (Fill.PACK, [0, 0, 1, 0, 1, 1, 2]),
    ],
)
def test_tasks_of_different_sizes_are_laid_out_by_the_fill_type(
    fill: Fill, expected: list[int]
) -> None:
    """Sizes 2, 1, 2, 1, 1, 1, 1 on three nodes of four slots."""
    made = queue(4, nodes=3, fill=fill)
    made.put_job(1, 0, -1, open_=True)
    for number, slots in enumerate((2, 1, 2, 1, 1, 1, 1)):
        made.add(1, number, slots)
    assert [placed.node_no for placed in made.place(10)] == expected
