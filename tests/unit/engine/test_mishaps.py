"""Things that go wrong at the worst moment."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.domain.conditions import ANY
from penstock.domain.instants import Duration
from penstock.domain.records import Failure, JobRecord, TaskRecord
from penstock.domain.refusals import ServerBusy
from penstock.domain.specs.common import ResourceFile, TaskConstraints
from penstock.domain.specs.pool import NodeRemoval
from penstock.domain.specs.task import Dependencies
from penstock.domain.states import JobState, NodeState, TaskState
from penstock.engine.turn import Turn
from penstock.launch.linked_storage import ContainerUrls
from penstock.messages import (
    ChoreDone,
    Confirm,
    Heartbeat,
    KillTask,
    NodeBroken,
    ReturnTask,
    RunTask,
    TaskEnded,
)
from tests.records import ACCOUNT
from tests.unit.engine.house import KILLED, FakeHost, House, play
from tests.unit.engine.test_ahead import SHORT_US, begin, give_back, quick_pool, sent_ahead


async def job(house: House) -> JobRecord:
    record = await house.job_record()
    assert record is not None
    return record


def test_a_dependency_with_a_very_long_number_harms_nobody() -> None:
    async def scenario(house: House) -> None:
        await house.job(uses_task_dependencies=True)
        await house.add("a", depends_on=Dependencies(task_ids=["9" * 5000]))
        assert (await house.task("a")).state is TaskState.ACTIVE

    play(scenario)


def test_a_job_goes_though_its_broken_node_never_answers() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        (node,) = await house.nodes()
        await house.job()
        error = Failure("servererror", "DiskFull", "no space")
        await house.host.report(
            NodeBroken(report=house.host.number(), node_no=node.no, error=error)
        )
        await house.host.cut()
        await house.pass_time(60)
        await house.engine.delete_job(ACCOUNT, "job", ANY, force=False)
        assert await house.job_record() is None

    play(scenario)


def test_a_task_that_runs_again_has_files_again() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        short = TaskConstraints(retention_time=Duration.of_seconds(10), max_task_retry_count=0)
        await house.add("a", constraints=short)
        await house.host.end((await house.runs())["a"], exit_code=1)
        house.now_us += 20_000_000
        await house.engine.sweep()
        await house.host.settle()
        assert (await house.task("a")).files_gone
        await house.engine.reactivate_task(ACCOUNT, "job", "a", ANY)
        await house.runs()
        assert not (await house.task("a")).files_gone

    play(scenario)


def test_what_was_called_back_over_a_dead_connection_is_called_back_again() -> None:
    async def scenario(house: House) -> None:
        runs = await sent_ahead(house, "known", "unheard")
        await house.host.cut()
        await house.engine.disable_job(ACCOUNT, "job", "wait", ANY)
        (node,) = await house.nodes()
        known = [(runs[name].task_no, runs[name].attempt) for name in ("first", "known")]
        await house.host.connect([node.no], known)
        called_back = {order.task_no for order in house.host.take(ReturnTask)}
        assert called_back == {runs["known"].task_no, runs["unheard"].task_no}

    play(scenario)


def test_what_waits_on_after_a_cut_is_called_back_in_time() -> None:
    async def scenario(house: House) -> None:
        await quick_pool(house, nodes=2)
        await house.job()
        await house.add("stuck", "quick", "next")
        runs = await house.runs()
        other = "quick" if runs["next"].node_no == runs["stuck"].node_no else "stuck"
        left = "stuck" if other == "quick" else "quick"
        await house.host.end(runs[other], length_us=SHORT_US)
        await house.host.cut()
        await house.pass_time(1)  # it is called back, and nobody hears it
        known = [(runs[name].task_no, runs[name].attempt) for name in (left, "next")]
        await house.host.connect([node.no for node in await house.nodes()], known)
        house.host.take(ReturnTask)
        await house.pass_time(1)
        assert [order.task_no for order in house.host.take(ReturnTask)] == [runs["next"].task_no]

    play(scenario)


def test_disabling_ends_what_begins_in_that_moment() -> None:
    async def scenario(house: House) -> None:
        runs = await sent_ahead(house, "next")
        await house.engine.disable_job(ACCOUNT, "job", "terminate", ANY)
        kills = {kill.task_no: kill for kill in house.host.take(KillTask)}
        await house.host.end(kills[runs["first"].task_no], None, KILLED, killed=True)
        await begin(house, runs["next"])
        await house.host.end(kills[runs["next"].task_no], 137, KILLED, killed=True)
        assert (await job(house)).state is JobState.DISABLED

    play(scenario)


def test_a_run_after_a_retry_is_nobodys_to_kill() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("a", constraints=TaskConstraints(max_task_retry_count=3))
        run = (await house.runs())["a"]
        await house.engine.disable_job(ACCOUNT, "job", "requeue", ANY)
        await house.host.end(run, exit_code=1)  # by itself, before the kill
        await house.engine.enable_job(ACCOUNT, "job", ANY)
        run = (await house.runs())["a"]
        house.host.take(KillTask)
        await house.host.cut()
        (node,) = await house.nodes()
        await house.host.connect([node.no], [(run.task_no, run.attempt)])
        assert not house.host.take(KillTask)

    play(scenario)


def test_nothing_is_confirmed_after_a_report_that_was_not_taken() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("a")
        run = (await house.runs())["a"]
        house.host.take(Confirm)
        house.engine.settings = replace(house.settings, weight_in_turn=2)

        def fail(turn: Turn) -> None:
            raise ZeroDivisionError("a bug that another request meets in the same turn")

        ended = TaskEnded(
            report=100, task_no=run.task_no, attempt=1, start_us=0, end_us=1, exit_code=0
        )
        calls: list[Any] = [
            house.engine._submit(fail),
            house.host.report(ended),
            house.host.report(ChoreDone(report=101, chore=999)),
        ]
        await asyncio.gather(*calls, return_exceptions=True)
        assert not house.host.take(Confirm)
        await house.host.cut()
        (node,) = await house.nodes()
        await house.host.connect([node.no], [(run.task_no, run.attempt)])
        await house.host.report(ended)
        assert (await house.task("a")).state is TaskState.COMPLETED

    play(scenario)


def test_a_silent_host_gets_no_new_nodes() -> None:
    async def scenario(house: House) -> None:
        house.host.obedient = False
        await house.pool()
        await house.pass_time(60)  # the connection stands, and nothing comes over it
        (node,) = await house.nodes()
        assert (node.state, node.host) == (NodeState.CREATING, None)

    play(scenario)


def test_a_clock_that_is_moved_makes_no_host_silent() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t")
        await house.runs()
        house.now_us += 6 * 3600 * 1_000_000
        await house.pass_time(1)
        assert (await house.task("t")).state is TaskState.RUNNING
        assert {node.state for node in await house.nodes()} == {NodeState.RUNNING}

    play(scenario)


def test_a_server_that_stood_still_holds_no_silence_against_its_hosts() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("t")
        await house.runs()
        other = FakeHost(house.engine, "other")
        await other.connect()
        await other.cut()
        house.elapse(60)  # as long as it was stopped; all that was said waits to be read
        house.engine._stood_still(60_000_000)
        assert house.engine._silent() == []
        house.elapse(31)
        house.engine._stood_still(250_000)  # a tick like any other
        assert sorted(house.engine._silent()) == ["host", "other"]

    play(scenario)


def test_a_store_that_fails_is_left_alone_for_a_while_and_longer_each_time() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        loads, load = [], house.store.load
        house.store.load = lambda: loads.append(house.passed_us) or load()  # type: ignore
        house.store.full = True
        tried = []
        for _ in range(400):
            before = house.store.commits_refused
            with pytest.raises(ServerBusy):
                await house.add("t")
            if house.store.commits_refused > before:
                tried.append(house.passed_us)
            assert not await house.engine.writable()
            house.elapse(0.05)
        gaps = [after - before for before, after in pairwise(tried)]
        assert gaps[:3] == [100_000, 200_000, 400_000]
        assert gaps[-1] == 5_000_000
        assert loads == [0], "the memory is true again after the first, and stays so"
        house.store.full = False
        house.elapse(5)
        (answer,) = await house.add("t")
        assert isinstance(answer, TaskRecord)

    play(scenario)


def test_a_turn_takes_no_more_than_its_share_of_what_waits() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        house.engine.settings = replace(house.settings, weight_in_turn=50)
        before = house.store.revision
        names = [[f"{call}-{number}" for number in range(30)] for call in range(8)]
        await asyncio.gather(*(house.add(*part) for part in names))
        assert house.store.revision - before == 4

    play(scenario)


def test_a_pool_goes_though_its_host_is_silent() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.pass_time(60)
        await house.engine.delete_pool(ACCOUNT, "pool", ANY)
        assert await house.pool_record() is None

    play(scenario)


def test_a_node_leaves_when_the_last_that_it_waited_for_is_deleted() -> None:
    async def scenario(house: House) -> None:
        await quick_pool(house)
        for name in ("one", "two"):
            await house.job(name)
            await house.add("t", job=name)
        (node,) = await house.nodes()
        removal = NodeRemoval(node_list=[node.id], node_deallocation_option="taskcompletion")
        await house.engine.remove_nodes(ACCOUNT, "pool", removal, ANY)
        await house.engine.delete_task(ACCOUNT, "two", "t", ANY)
        await house.engine.terminate_job(ACCOUNT, "one", None, ANY, force=True)
        await give_back(house)
        for kill in house.host.take(KillTask):
            await house.host.end(kill, None, KILLED, killed=True)
        await house.host.settle()
        assert await house.nodes() == []

    play(scenario)


def test_a_storage_key_that_is_none_fails_the_task_and_not_the_service() -> None:
    async def scenario(house: House) -> None:
        storage = {ACCOUNT: "AccountName=x;AccountKey=notbase64!"}
        urls = ContainerUrls(storage, lambda: house.now_us)
        house.engine.settings = replace(
            house.settings, storage_accounts=frozenset(storage), container_url=urls.url
        )
        await house.pool()
        await house.job()
        await house.add("a", resource_files=[ResourceFile(auto_storage_container_name="c")])
        run = (await house.runs())["a"]
        assert isinstance(run, RunTask)
        assert run.container_urls == {}

    play(scenario)


def test_a_greeting_that_comes_late_does_not_leave_its_host_deaf() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        lives = house.host.link
        assert lives is not None
        await house.host.connect()  # said before the other, and held up on its way
        await house.host.cut()  # it was given up long ago
        house.host.link = lives
        with pytest.raises(ConnectionError, match="another connection"):
            await house.host.report(Heartbeat())  # so the host dials again
        await house.host.connect()
        await house.host.report(Heartbeat())

    play(scenario)


def test_who_waits_in_vain_leaves_nothing_behind() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await house.job()
        await house.add("a")
        await house.runs()
        await asyncio.gather(
            *(house.engine.terminate_task(ACCOUNT, "job", "a", ANY) for _ in range(20))
        )
        assert house.engine._waiters == {}

    play(scenario)
