"""Tasks that want more than slots, in examples that a person can check."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest

from penstock.scheduler.demands import Demand, Placement, Reserved, Victim
from penstock.scheduler.nodes import Fill
from penstock.scheduler.queue import PoolQueue

MANAGER = Demand(whole=True, first=True)
RESTARTED = Demand(whole=True, first=True, displaces=True)


def pool(nodes: int, slots: int = 1, fill: Fill = Fill.SPREAD, jobs: int = 2) -> PoolQueue:
    made = PoolQueue(fill)
    made.gangs_allowed = True
    for node in range(nodes):
        made.open_node(node, slots)
    for job in range(1, jobs + 1):
        made.put_job(job, 0, -1, open_=True)
    return made


def end(made: PoolQueue, placed: Placement) -> None:
    made.ended(
        placed.job_no,
        placed.node_no,
        placed.held,
        task_no=placed.task_no,
        others=placed.others,
    )


# --- gangs and whole nodes -----------------------------------------------------------------------


def test_a_gang_gets_its_nodes_at_once_and_gives_them_back_at_once() -> None:
    made = pool(4)
    made.add(1, 1, 1, demand=Demand(nodes=3))
    (placed,) = made.place(10)
    assert (placed.node_no, placed.nodes, placed.held) == (0, (0, 1, 2), 1)
    assert [made.nodes.free(node) for node in range(4)] == [0, 0, 0, 1]
    assert made.jobs[1].served == 3
    end(made, placed)
    assert [made.nodes.free(node) for node in range(4)] == [1, 1, 1, 1]


def test_a_whole_node_is_taken_with_all_its_slots_and_only_when_empty() -> None:
    made = pool(2, slots=4)
    made.add(1, 1, 1)
    made.place(1)
    made.add(2, 2, 1, demand=MANAGER)
    (placed,) = made.place(10)
    assert (placed.node_no, placed.slots, placed.held) == (1, 1, 4)
    made.add(1, 3, 4)
    assert made.place(10) == []


def test_a_gang_runs_nowhere_where_gangs_are_not_allowed_and_holds_up_nobody() -> None:
    made = pool(3)
    made.gangs_allowed = False
    made.add(1, 1, 1, demand=Demand(gang=True))
    made.add(1, 2, 1)
    assert [placed.task_no for placed in made.place(10)] == [2]
    assert made.reservation is None
    made.gangs_allowed = True
    assert [placed.task_no for placed in made.place(10)] == [1]


def test_one_that_wants_more_nodes_than_there_are_is_set_aside_until_there_are() -> None:
    made = pool(2)
    made.add(1, 1, 1, demand=Demand(nodes=3))
    made.add(2, 2, 1)
    assert [placed.task_no for placed in made.place(10)] == [2]
    assert made.reservation is None
    made.open_node(2, 1)
    made.open_node(3, 1)
    assert [placed.task_no for placed in made.place(10)] == [1]


def test_dedicated_nodes_are_for_those_that_ask_and_for_others() -> None:
    made = PoolQueue()
    made.open_node(1, 2, dedicated=False)
    made.open_node(2, 1)
    made.put_job(1, 0, -1, open_=True)
    made.add(1, 1, 1, demand=Demand(dedicated=True))
    made.add(1, 2, 1, demand=Demand(dedicated=True))
    made.add(1, 3, 1)
    assert [(placed.task_no, placed.node_no) for placed in made.place(10)] == [(1, 2), (3, 1)]
    assert made.reservation == Reserved(1, 2, 1, held=(2,), free=())


def test_the_first_task_of_a_job_goes_before_older_ones() -> None:
    made = pool(1)
    made.add(1, 1, 1)
    made.add(1, 2, 1, demand=Demand(first=True))
    (placed,) = made.place(10)
    assert placed.task_no == 2
    end(made, placed)
    assert [placed.task_no for placed in made.place(10)] == [1]


def test_other_tasks_wait_for_the_first_unless_that_can_never_run() -> None:
    made = pool(2, slots=2, jobs=1)
    made.add(1, 1, 1)
    made.add(1, 2, 1)
    made.add(1, 3, 1)
    placed = made.place(3)
    made.add(1, 4, 1)
    made.add(1, 5, 1, demand=MANAGER)
    assert made.place(10) == []
    seen = made.reservation
    assert seen is not None
    assert (seen.task_no, seen.held) == (5, (1,))
    made.close_node(0)
    made.close_node(1)
    made.open_node(5, 1, dedicated=False)
    assert [one.task_no for one in made.place(10)] == [5]
    assert placed


# --- reservations --------------------------------------------------------------------------------


def test_nodes_are_held_for_a_gang_and_no_more_than_it_wants() -> None:
    made = pool(4)
    for task in range(1, 5):
        made.add(1, task, 1)
    running = deque(made.place(10))
    made.add(2, 10, 1, demand=Demand(nodes=2))
    for task in range(20, 40):
        made.add(1, task, 1)
    order = []
    for _ in range(4):
        end(made, running.popleft())
        order += [placed.task_no for placed in made.place(10)]
        seen = made.reservation
        assert seen is None or len(seen.held) == 2
    assert order.count(10) == 1
    assert len(order) == 3


def test_what_is_free_is_held_first_and_then_what_is_least_taken() -> None:
    made = pool(3, slots=3, fill=Fill.PACK)
    for task in range(6):
        made.add(1, task, 1)
    for placed in made.place(10)[:1]:
        end(made, placed)  # so 2, 3 and 0 are taken
    made.gangs_allowed = True
    made.add(2, 10, 1, demand=Demand(nodes=3))
    assert made.place(10) == []
    assert made.reservation == Reserved(2, 10, 3, held=(0, 1, 2), free=(2,))
    made.remove(2, 10, 1, Demand(nodes=3))
    made.add(2, 11, 1, demand=Demand(nodes=2))
    made.place(10)
    assert made.reservation == Reserved(2, 11, 2, held=(0, 2), free=(2,))


def test_a_job_of_more_weight_that_may_use_no_node_holds_up_nobody() -> None:
    made = pool(2)
    made.add(1, 1, 1)
    made.add(1, 2, 1)
    running = made.place(10)
    made.add(2, 10, 1, demand=Demand(nodes=2))
    assert made.place(10) == []
    made.put_job(3, 5, -1, open_=True)
    made.add(3, 30, 1)
    for node_no in (0, 1):
        made.bar(3, node_no)
    for placed in running:
        end(made, placed)
    assert [placed.task_no for placed in made.place(10)] == [10]


def test_a_job_of_more_weight_goes_before_what_is_held() -> None:
    made = pool(2)
    made.add(1, 1, 1)
    (running,) = made.place(1)
    made.add(2, 2, 1, demand=Demand(nodes=2))
    assert made.place(10) == []
    made.put_job(3, 1, -1, open_=True)
    made.add(3, 3, 1)
    made.add(1, 4, 1)
    placed = made.place(10)
    assert [one.task_no for one in placed] == [3]
    end(made, running)
    end(made, placed[0])
    assert [one.task_no for one in made.place(10)] == [2]


def test_nothing_is_sent_ahead_to_what_is_held() -> None:
    made = pool(1)
    made.set_ahead(0, 4)
    made.add(1, 1, 1)
    (running,) = made.place(1)
    made.add(2, 2, 1, demand=MANAGER)
    made.add(1, 3, 1)
    assert made.place(10) == []
    end(made, running)
    assert [one.task_no for one in made.place(1)] == [2]


def test_a_reservation_ends_when_its_task_does_not_wait_any_more() -> None:
    made = pool(2)
    made.add(1, 1, 1)
    made.place(1)
    made.add(2, 2, 1, demand=Demand(nodes=2))
    made.place(1)
    assert made.reservation is not None
    made.add(1, 3, 1)
    assert made.place(10) == []
    made.remove(2, 2, 1, Demand(nodes=2))
    assert made.reservation is None
    assert [one.task_no for one in made.place(10)] == [3]


def test_a_job_that_may_run_one_task_leaves_the_turn_to_the_one_that_a_node_is_held_for() -> None:
    made = pool(2, slots=2)
    made.put_job(1, 0, 1, open_=True)
    for task in (5, 6):
        made.add(2, task, 1)
    running, _ = made.place(10)
    made.add(1, 2, 1, demand=Demand(whole=True))
    made.place(10)
    made.add(1, 3, 1)
    assert made.place(10) == []
    end(made, running)
    assert [one.task_no for one in made.place(10)] == [2]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("fill", Fill)
def test_a_gang_is_not_starved_by_a_stream_of_small_tasks(seed: int, fill: Fill) -> None:
    random = Random(seed)
    nodes = random.randint(3, 12)
    wanted = random.randint(2, nodes)
    made = pool(nodes, fill=fill, jobs=3)
    number = 0

    def stream() -> None:
        nonlocal number
        for job in (1, 3):
            while made.jobs[job].waiting < 5:
                number += 1
                made.add(job, number, 1)

    stream()
    running = made.place(1000)
    made.add(2, 10_000_000, 1, demand=Demand(nodes=wanted))
    ends = 0
    while True:
        stream()
        placed = made.place(1000)
        if any(one.job_no == 2 for one in placed):
            break
        running += placed
        # A task that is held up longest ends after all the others have ended and begun anew.
        slowest = made.reservation
        others = [one for one in running if slowest is None or one.node_no not in slowest.held]
        chosen = random.choice(others if others and ends % 3 else running)
        running.remove(chosen)
        end(made, chosen)
        ends += 1
        assert ends <= 40 * nodes, "the gang waits for ever"


# --- barred and prepared nodes -------------------------------------------------------------------


def test_a_job_uses_no_node_that_it_is_barred_from_and_another_goes_on() -> None:
    made = pool(2)
    made.put_job(1, 5, -1, open_=True)
    made.bar(1, 0)
    for task in (1, 2, 3):
        made.add(1, task, 1)
    made.add(2, 9, 1)
    assert [(one.job_no, one.node_no) for one in made.place(10)] == [(1, 1), (2, 0)]
    made.forget_node(0)
    made.open_node(0, 1)
    assert [(one.job_no, one.node_no) for one in made.place(10)] == [(1, 0)]


def test_a_gang_counts_only_nodes_that_its_job_may_use() -> None:
    made = pool(3)
    made.bar(1, 1)
    made.add(1, 1, 1, demand=Demand(nodes=2))
    made.add(1, 2, 1, demand=Demand(nodes=3))
    assert [one.nodes for one in made.place(10)] == [(0, 2)]
    assert made.reservation is None
    made.unbar(1, 1)
    made.place(10)
    seen = made.reservation
    assert seen is not None
    assert seen.held == (0, 1, 2)


def test_tasks_are_sent_ahead_only_to_nodes_that_are_prepared() -> None:
    made = pool(2)
    made.put_job(1, 0, -1, open_=True, prepares=True)
    for node in range(2):
        made.set_ahead(node, 2)
    for task in range(10):
        made.add(1, task, 1)
    assert [(one.node_no, one.ahead) for one in made.place(10)] == [(0, False), (1, False)]
    made.prepared(1, 1)
    assert [(one.node_no, one.ahead) for one in made.place(10)] == [(1, True), (1, True)]
    made.ended(1, 1, 1, task_no=1)
    assert [(one.node_no, one.ahead) for one in made.place(10)] == [(1, True)]
    made.unprepared(1, 1)
    made.ended(1, 1, 1, task_no=2)
    assert made.place(10) == []


# --- making room ---------------------------------------------------------------------------------


def preemptible(nodes: int, slots: int = 1) -> PoolQueue:
    """Jobs 1 and 2 may be preempted, 1 first; job 3 may not, and job 9 outweighs all."""
    made = pool(nodes, slots)
    for job, priority, may in ((1, -5, True), (2, -3, True), (3, -5, False), (9, 7, False)):
        made.put_job(job, priority, -1, open_=True, preemptible=may)
    return made


def test_the_least_priority_makes_room_first_and_then_what_began_last() -> None:
    made = preemptible(5)
    for job, task in ((1, 1), (1, 2), (2, 3), (3, 4), (1, 5)):
        made.add(job, task, 1)
        made.place(1)
    assert made.victims() == []
    made.add(9, 9, 1)
    made.place(10)
    assert made.victims() == [Victim(1, 5)]
    made.place(10)
    assert made.victims() == []
    for task in (10, 11, 12, 13):
        made.add(9, task, 1)
    made.place(10)
    assert made.victims() == [Victim(1, 2), Victim(1, 1), Victim(2, 3)]


def test_a_task_that_made_room_does_not_get_it_back_before_the_one_that_it_was_for() -> None:
    made = preemptible(1, slots=2)
    for task in (1, 2):
        made.add(1, task, 1)
    first, second = made.place(10)
    made.add(9, 9, 2)
    made.place(10)
    assert made.victims() == [Victim(1, 2), Victim(1, 1)]
    end(made, second)
    made.add(1, 2, 1)
    assert made.place(10) == []
    end(made, first)
    made.add(1, 1, 1)
    assert [one.task_no for one in made.place(10)] == [9]


def test_nobody_makes_room_for_what_would_not_fit_or_may_not_start() -> None:
    made = preemptible(2, slots=2)
    for task in (1, 2, 3):
        made.add(1, task, 1)
    made.place(10)
    made.add(3, 4, 1)
    made.place(10)
    made.add(9, 9, 3)
    made.place(10)
    assert made.victims() == []
    made.put_job(9, 7, 0, open_=True)
    made.add(9, 10, 2)
    made.place(10)
    assert made.victims() == []
    made.put_job(9, 7, 1, open_=True)
    made.place(10)
    assert len(made.victims()) == 2


def test_room_is_made_for_a_gang_on_as_many_nodes_as_it_wants() -> None:
    made = preemptible(4)
    for job, task in ((1, 1), (3, 2), (2, 3), (1, 4)):
        made.add(job, task, 1)
        made.place(1)
    running = {placed.task_no: placed for placed in made._running.values()}
    made.add(9, 9, 1, demand=Demand(nodes=2))
    made.place(10)
    assert made.victims() == [Victim(1, 4), Victim(1, 1)]
    assert made.victims() == []
    made.add(2, 10, 1)
    for task in (4, 1):
        end(made, running[task])
        placed = made.place(10)
    assert [(one.task_no, one.nodes) for one in placed] == [(9, (0, 3))]


def test_a_restarted_manager_displaces_the_fewest_ordinary_tasks_and_no_manager() -> None:
    made = pool(3, slots=2)
    made.add(1, 1, 1, demand=MANAGER)
    made.place(1)
    for task in (2, 3, 4):
        made.add(2, task, 1)
    placed = {one.task_no: one for one in made.place(10)}
    made.put_job(3, 0, -1, open_=True)
    made.add(3, 9, 1, demand=RESTARTED)
    made.place(10)
    alone = next(one for one in placed.values() if made.nodes.free(one.node_no) == 1)
    assert made.victims() == [Victim(2, alone.task_no)]
    made.add(2, 10, 1)
    assert made.place(10) == []
    end(made, alone)
    assert [(one.task_no, one.node_no) for one in made.place(1)] == [(9, alone.node_no)]


def test_a_job_of_more_weight_is_not_displaced() -> None:
    made = pool(1)
    made.put_job(2, 1, -1, open_=True)
    made.add(2, 1, 1)
    made.place(10)
    made.add(1, 9, 1, demand=RESTARTED)
    made.place(10)
    assert made.victims() == []


def test_the_dearest_that_has_to_go_is_as_cheap_as_can_be() -> None:
    made = preemptible(2, slots=4)
    made.put_job(4, 3, -1, open_=True, preemptible=True)
    for job, task, slots in ((2, 1, 4), (4, 2, 3), (1, 3, 1)):
        made.add(job, task, slots)
        made.place(1)
    made.add(9, 9, 4)
    made.place(10)
    assert made.victims() == [Victim(2, 1)]


def test_nobody_goes_whose_slots_are_not_needed_in_the_end() -> None:
    made = preemptible(1, slots=4)
    for task, slots in ((1, 3), (2, 1)):
        made.add(1, task, slots)
        made.place(1)
    made.add(9, 9, 3)
    made.place(10)
    assert made.victims() == [Victim(1, 1)]


def test_nodes_on_which_tasks_make_room_stay_held_though_others_lack_less() -> None:
    made = preemptible(2, slots=3)
    for job, task in ((1, 1), (3, 2), (1, 3), (3, 4), (1, 5)):
        made.add(job, task, 1)
        made.place(1)
    running = dict(made._running)
    made.add(9, 9, 1, demand=Demand(whole=True))
    made.place(10)
    seen = made.reservation
    assert seen is not None
    assert seen.held == (1,)
    assert made.victims() == [Victim(1, 5), Victim(1, 3), Victim(1, 1)]
    end(made, running[2])
    made.place(10)
    seen = made.reservation
    assert seen is not None
    assert seen.held == (0,)


def test_a_job_that_comes_while_nodes_are_held_starts_where_the_turns_are() -> None:
    made = pool(2)
    for task in range(5):
        made.add(1, task, 1)
        (placed,) = made.place(1)
        end(made, placed)
    made.add(2, 10, 1)
    made.jobs[2].served = 5
    made.place(1)
    made.add(1, 6, 1, demand=Demand(nodes=2))
    made.jobs[1].served = 20
    made.put_job(1, 0, -1, open_=True)
    made.place(1)
    made.put_job(3, 0, -1, open_=True)
    made.add(3, 11, 1)
    assert made.jobs[3].served == 20
