"""The promise of `Store`, kept by every backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.queries import Compare, Either, Query, StartsWith
from penstock.domain.records import Chore, Counts, Detail, Failure, RecentTask, key_of
from penstock.domain.specs.task import Dependencies, ExitConditions, ExitOptions, TaskIdRange
from penstock.domain.states import CertificateState, NodeState, TaskResult, TaskState
from penstock.store.contract import Revision, StaleRevision, Store, WriteFailed
from penstock.store.memory import MemoryStore
from penstock.store.sqlite import SqliteStore
from tests.records import (
    ACCOUNT,
    NOW_US,
    a_certificate,
    a_job,
    a_node,
    a_node_user,
    a_pool,
    a_task,
)

Use = Callable[[Store], Coroutine[Any, Any, None]]


class Backend:
    """A store that tests may close, open again, and run out of space."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.store: MemoryStore | SqliteStore = MemoryStore() if path is None else self.opened()

    def opened(self) -> SqliteStore:
        assert self.path is not None
        return SqliteStore.open(self.path)

    async def reopen(self) -> Store:
        await self.store.close()
        if self.path is not None:
            self.store = self.opened()
        return self.store

    def fill(self) -> None:
        """Let there be no space for another commit."""
        if isinstance(self.store, MemoryStore):
            self.store.full = True
        else:
            pages = self.store._write.execute("PRAGMA page_count").fetchone()[0]
            self.store._write.execute(f"PRAGMA max_page_count = {pages}")

    def use(self, scenario: Use) -> None:
        async def run() -> None:
            await scenario(self.store)
            await self.store.close()

        asyncio.run(run())


@pytest.fixture(params=["memory", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    return Backend(None if request.param == "memory" else tmp_path / "store.db")


async def put(store: Store, *changes: c.Change) -> Revision:
    saved = await store.load()
    return await store.commit(changes, saved.revision, 1000)


FULL_TASK = a_task(
    no=9,
    name="Whole",
    state=TaskState.COMPLETED,
    previous_state=TaskState.RUNNING,
    previous_state_us=NOW_US - 5,
    slots=3,
    max_retries=-1,
    retention_us=77,
    attempt=4,
    retry_count=2,
    last_retry_us=NOW_US - 3,
    requeue_count=1,
    last_requeue_us=NOW_US - 4,
    start_us=NOW_US - 2,
    end_us=NOW_US - 1,
    exit_code=7,
    result=TaskResult.FAILURE,
    failure=Failure("usererror", "FailureExitCode", "text", (Detail("Message", "more"),)),
    pool_id="pool",
    node_id="node",
    node_no=2,
    ahead=False,
    files_until_us=NOW_US + 70,
    satisfies=True,
    affinity="TVM:node",
    depends=Dependencies(task_ids=["a"], task_id_ranges=[TaskIdRange(start=1, end=3)]),
    exit_conditions=ExitConditions(default=ExitOptions(dependency_action="satisfy")),
)


def test_a_new_store_is_empty(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        saved = await store.load()
        assert (saved.revision, saved.next_no) == (0, 1)
        assert not saved.pools
        assert not list(saved.waiting)
        assert not saved.given
        assert await store.pool(ACCOUNT, "pool") is None
        assert (await store.counts(1)).tasks == Counts()

    backend.use(scenario)


def test_everything_comes_back_after_reopening(backend: Backend) -> None:
    chore = Chore(no=11, node_no=2, job_no=3, message=b"do")
    counts = c.SetCounts(3, Counts(active=1, failed=1), Counts(active=1, failed=3))

    async def scenario(store: Store) -> None:
        waiting = a_task(no=4, affinity="TVM:x", depends=FULL_TASK.depends)
        running = a_task(no=5, name="runs", state=TaskState.RUNNING, node_no=2)
        ahead = a_task(no=6, name="next", node_no=2, attempt=1, ahead=True)
        await put(
            store,
            c.PutPool(a_pool()),
            c.PutNode(a_node()),
            c.PutJob(a_job(uses_task_dependencies=True)),
            c.AddTask(FULL_TASK, b"{1}"),
            c.AddTask(waiting, b"{2}"),
            c.AddTask(running, b"{3}"),
            c.AddTask(ahead, b"{4}"),
            c.PutChore(chore),
            counts,
        )
        store = await backend.reopen()
        saved = await store.load()
        assert saved.next_no == 1000
        assert saved.revision == 1
        assert list(saved.pools) == [a_pool()]
        assert list(saved.nodes) == [a_node()]
        assert [job.id for job in saved.jobs] == ["job"]
        assert [task.no for task in saved.waiting] == [4], "completed tasks need no memory"
        assert sorted(saved.given, key=lambda task: task.no) == [running, ahead]
        assert saved.satisfied == {3: ["Whole"]}
        assert list(saved.chores) == [chore]
        assert saved.counts[3].slots.failed == 3
        assert await store.task(3, "wHOLE") == (FULL_TASK, b"{1}")

    backend.use(scenario)


def test_ids_are_found_in_any_case(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        await put(
            store,
            c.PutPool(a_pool(name="Pool")),
            c.PutNode(a_node(name="Node")),
            c.PutJob(a_job(name="Job")),
            c.AddTask(a_task(name="Task"), b"{}"),
        )
        pool = await store.pool(ACCOUNT, "pOOL")
        assert pool is not None
        assert pool.id == "Pool"
        assert await store.node(1, "nODE") is not None
        assert await store.job(ACCOUNT, "jOB") is not None
        assert await store.existing(3, ["task", "other"]) == {"task"}
        assert await store.job("another", "Job") is None
        assert await store.task(99, "Task") is None

    backend.use(scenario)


def test_a_change_replaces_the_record(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        task = a_task()
        await put(store, c.PutJob(a_job()), c.AddTask(task, b"old"))
        running = replace(task, state=TaskState.RUNNING, attempt=1, start_us=NOW_US)
        await put(store, c.SetTask(running, task.state))
        assert await store.task(3, "task") == (running, b"old")
        await put(store, c.SetTask(running, running.state, b"new"))
        assert await store.tasks_by_no([4, 5]) == {4: (running, b"new")}

    backend.use(scenario)


def test_a_dropped_job_takes_its_tasks_along_and_no_others(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        await put(
            store,
            c.PutJob(a_job()),
            c.PutJob(a_job(no=5, name="other")),
            c.AddTask(a_task(), b"1"),
            c.AddTask(a_task(no=6, job_no=5), b"2"),
            c.SetCounts(3, Counts(active=1), Counts(active=1)),
        )
        await put(store, c.DropJob(3, 1))
        assert await store.job(ACCOUNT, "job") is None
        assert (await store.counts(3)).tasks == Counts()
        assert await store.task(5, "task") is not None
        saved = await store.load()
        assert [task.no for task in saved.waiting] == [6]
        assert saved.dropped == {3: 1}

    backend.use(scenario)


def test_the_tasks_of_a_dropped_job_are_swept_part_by_part(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        tasks = [c.AddTask(a_task(no=no, name=f"t{no}"), b"1") for no in range(10, 15)]
        kept = c.AddTask(a_task(no=6, job_no=5), b"2")
        await put(store, c.PutJob(a_job(no=5, name="other")), c.PutJob(a_job()), *tasks, kept)
        await put(store, c.DropJob(3, 5), c.SweepJob(3, 2))
        assert (await store.load()).dropped == {3: 3}
        await put(store, c.SweepJob(3, 2))
        store = await backend.reopen()
        await put(store, c.SweepJob(3, 2))
        saved = await store.load()
        assert (saved.dropped, [task.no for task in saved.waiting]) == ({}, [6])
        assert list(await store.tasks_by_no([*range(10, 15), 6])) == [6]

    backend.use(scenario)


def test_what_had_ended_well_is_known_until_its_job_goes(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        await put(store, c.PutJob(a_job()), c.KeepSatisfied(3, "A", 7), c.KeepSatisfied(3, "b", 8))
        await put(store, c.KeepSatisfied(3, "A", 9))
        store = await backend.reopen()
        assert (await store.load()).satisfied_once == {3: {"A": 9, "b": 8}}
        await put(store, c.DropJob(3, 0))
        assert (await store.load()).satisfied_once == {}

    backend.use(scenario)


def test_an_id_may_be_used_again_in_the_commit_that_drops_it(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        task = a_task()
        await put(store, c.PutJob(a_job()), c.AddTask(task, b"1"))
        await put(store, c.DropTask(task), c.AddTask(replace(task, no=8), b"2"))
        found = await store.task(3, "task")
        assert found is not None
        assert (found[0].no, found[1]) == (8, b"2")

    backend.use(scenario)


def test_a_dropped_node_takes_its_chores_along(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        mine, other = (Chore(no=no, node_no=no - 5, job_no=0, message=b"") for no in (7, 8))
        await put(store, c.PutNode(a_node()), c.PutChore(mine), c.PutChore(other))
        await put(store, c.DropNode(2))
        assert list((await store.load()).chores) == [other]
        await put(store, c.DropChore(8))
        assert not (await store.load()).chores

    backend.use(scenario)


def test_another_revision_than_expected_changes_nothing(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        with pytest.raises(StaleRevision):
            await store.commit([c.PutPool(a_pool())], Revision(41), 7)
        saved = await store.load()
        assert (saved.revision, list(saved.pools)) == (0, [])
        await store.commit([c.PutPool(a_pool())], Revision(0), 7)

    backend.use(scenario)


def test_a_commit_without_space_changes_nothing(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        await put(store, c.PutJob(a_job()))
        backend.fill()
        many = [c.AddTask(a_task(no=no, name=f"t{no}"), b"x" * 3000) for no in range(10, 200)]
        with pytest.raises(WriteFailed):
            await store.commit([c.PutPool(a_pool()), *many], Revision(1), 500)
        saved = await store.load()
        assert (saved.revision, saved.next_no, list(saved.pools)) == (1, 1000, [])
        assert not list(saved.waiting)

    backend.use(scenario)


def test_pages_follow_each_other_while_the_list_changes(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        await put(store, c.PutJob(a_job()))
        tasks = [a_task(no=10 + n, name=f"T{n:03}") for n in range(50)]
        await put(store, *(c.AddTask(task, b"") for task in reversed(tasks)))
        seen: list[str] = []
        while True:
            page = await store.list_tasks(3, Query(after=seen[-1].lower() if seen else "", limit=7))
            if not page:
                break
            seen += [task.id for task, _ in page]
            if len(seen) == 7:
                await put(store, c.DropTask(tasks[6]), c.AddTask(a_task(no=99, name="t0065"), b""))
        assert seen == sorted([task.id for task in tasks] + ["t0065"], key=str.lower)

    backend.use(scenario)


def a_line(name: str, **new: Any) -> RecentTask:
    return RecentTask(job_id="job", task_id=name, state=TaskState.COMPLETED, **new)


def test_a_node_remembers_what_ran_on_it_last(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        await put(store, c.PutNode(a_node()), c.PutNode(a_node(no=9, name="other")))
        ran = [c.RanOn(2, count, a_line(f"t{count}")) for count in range(1, 14)]
        again = c.RanOn(2, 14, a_line("t12", retry_count=1))
        await put(store, *ran[:5], c.RanOn(9, 1, a_line("there")))
        await put(store, *ran[5:], again)
        store = await backend.reopen()
        recent = await store.recent_tasks([2, 9, 77])
        assert [task.task_id for task in recent[2]] == [
            *("t12", "t13", "t11", "t10", "t9", "t8", "t7", "t6", "t5")
        ]
        assert recent[2][0].retry_count == 1
        assert [task.task_id for task in recent[9]] == ["there"]
        assert 77 not in recent
        await put(store, c.DropNode(2))
        assert list(await store.recent_tasks([2, 9])) == [9]

    backend.use(scenario)


def test_what_runs_on_a_node_comes_before_what_ran(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        runs = {"state": TaskState.RUNNING, "node_no": 2}
        await put(
            store,
            c.PutJob(a_job()),
            c.PutNode(a_node()),
            c.AddTask(a_task(no=4, name="first", start_us=NOW_US, **runs), b"{}"),
            c.AddTask(a_task(no=5, name="Second", start_us=NOW_US + 1, **runs), b"{}"),
            c.AddTask(a_task(no=6, name="waits", node_no=2), b"{}"),
            c.RanOn(2, 1, a_line("ended")),
            c.RanOn(2, 2, a_line("first")),
        )
        recent = (await store.recent_tasks([2]))[2]
        assert [(line.job_id, line.task_id, line.state) for line in recent] == [
            ("job", "Second", TaskState.RUNNING),
            ("job", "first", TaskState.RUNNING),
            ("job", "ended", TaskState.COMPLETED),
        ]

    backend.use(scenario)


def test_a_node_is_occupied_and_keeps_the_rest(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        node = a_node(address="127.1.1.1")
        busy = replace(
            node,
            state=NodeState.RUNNING,
            state_us=NOW_US + 1,
            tasks_run=5,
            tasks_succeeded=4,
            running_tasks=2,
            running_slots=3,
        )
        await put(store, c.PutNode(node))
        await put(store, c.OccupyNode(busy))
        store = await backend.reopen()
        assert await store.node(1, "node") == busy
        assert list((await store.load()).nodes) == [busy]
        running = Query(filter=Compare("state", "eq", "running"))
        assert list(await store.list_nodes(1, running)) == [busy]
        idle = replace(
            busy, state=NodeState.IDLE, errors=(Failure("usererror", "DiskFull", "text"),)
        )
        await put(store, c.PutNode(idle))
        assert await store.node(1, "node") == idle

    backend.use(scenario)


def test_lists_are_of_one_account_pool_or_job(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        await put(
            store,
            c.PutPool(a_pool()),
            c.PutPool(a_pool(no=21, account="another")),
            c.PutNode(a_node()),
            c.PutNode(a_node(no=22, pool_no=21)),
            c.PutJob(a_job()),
            c.PutJob(a_job(no=23, account="another")),
        )
        assert [pool.no for pool in await store.list_pools(ACCOUNT, Query())] == [1]
        assert [node.no for node in await store.list_nodes(21, Query())] == [22]
        assert [job.no for job in await store.list_jobs("another", Query())] == [23]

    backend.use(scenario)


def test_filters_select(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        failed = replace(FULL_TASK, no=5, id="failed")
        running = a_task(no=6, name="runs", state=TaskState.RUNNING, start_us=NOW_US)
        tasks = [a_task(name="waits"), failed, running]
        await put(store, c.PutJob(a_job()), *(c.AddTask(task, b"") for task in tasks))

        async def ids(wanted: Any) -> list[str]:
            found = await store.list_tasks(3, Query(filter=wanted))
            return [task.id for task, _ in found]

        assert await ids(Compare("state", "eq", "Running")) == ["runs"]
        assert await ids(Compare("state", "ne", "running")) == ["failed", "waits"]
        assert await ids(Compare("state", "eq", "nonsense")) == []
        assert await ids(Compare("executionInfo/exitCode", "gt", 6)) == ["failed"]
        assert await ids(Compare("executionInfo/result", "eq", "failure")) == ["failed"]
        assert await ids(Compare("executionInfo/startTime", "ge", NOW_US)) == ["runs"]
        assert await ids(StartsWith("id", "WA")) == ["waits"]
        either = Either(Compare("id", "eq", "RUNS"), Compare("id", "gt", "s"))
        assert await ids(either) == ["runs", "waits"]

    backend.use(scenario)


def test_the_oldest_that_wait(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        tasks = [
            a_task(no=8, name="young"),
            a_task(no=4, name="runs", state=TaskState.RUNNING),
            a_task(no=5, name="old"),
            a_task(no=6, name="ahead", ahead=True),
            a_task(no=7, name="over", state=TaskState.COMPLETED),
        ]
        await put(store, c.PutJob(a_job()), *(c.AddTask(task, b"") for task in tasks))
        assert [task.id for task in await store.oldest_waiting(5)] == ["old", "young"]
        assert [task.id for task in await store.oldest_waiting(1)] == ["old"]

    backend.use(scenario)


def test_files_due_are_the_oldest_first(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        tasks = [
            a_task(no=no, name=f"t{no}", state=TaskState.COMPLETED, files_until_us=due)
            for no, due in ((4, 30), (5, 10), (6, None), (7, 20), (8, 40))
        ]
        await put(store, c.PutJob(a_job()), *(c.AddTask(task, b"") for task in tasks))
        assert [task.no for task in await store.files_due(30, 2)] == [5, 7]
        assert [task.no for task in await store.files_due(30, 9)] == [5, 7, 4]

    backend.use(scenario)


def test_certificates(backend: Backend) -> None:
    first = a_certificate(5, "Ab" * 20)
    second = a_certificate(6, "01" * 20)
    failed = replace(
        first,
        state=CertificateState.DELETE_FAILED,
        state_us=NOW_US + 1,
        delete_error=Failure("usererror", "PoolsReferencingCertificate", "text"),
    )

    async def scenario(store: Store) -> None:
        other = a_certificate(7, account="other")
        puts = [c.PutCertificate(first, b"sealed"), c.PutCertificate(second, b"too")]
        await put(store, *puts, c.PutCertificate(other, b"theirs"))
        await put(store, c.PutCertificate(failed))
        store = await backend.reopen()
        assert list((await store.load()).certificates) == [failed, second, other]
        assert await store.certificate(ACCOUNT, "SHA1-" + "aB" * 20) == failed
        assert await store.certificate(ACCOUNT, "sha1-" + "ff" * 20) is None
        assert await store.certificate_secret(5) == b"sealed", "kept with the first record"

        async def found(**query: Any) -> list[int]:
            return [it.no for it in await store.list_certificates(ACCOUNT, Query(**query))]

        assert await found() == [6, 5]
        assert await found(limit=1) == [6]
        assert await found(after=key_of(second.id)) == [5]
        assert await found(filter=Compare("state", "eq", "deletefailed")) == [5]
        assert await found(filter=Compare("stateTransitionTime", "le", NOW_US)) == [6]
        await put(store, c.DropCertificate(5))
        assert await found() == [6]
        assert await store.certificate_secret(5) is None
        assert await store.certificate_secret(7) == b"theirs"

    backend.use(scenario)


def test_users_of_nodes(backend: Backend) -> None:
    async def scenario(store: Store) -> None:
        mine, yours = a_node_user(6, "me"), a_node_user(7, "you", password=b"sealed")
        elsewhere = a_node_user(8, "me", node_no=3)
        await put(store, c.PutPool(a_pool()), c.PutNode(a_node(2)), c.PutNode(a_node(3, "other")))
        await put(store, *(c.PutNodeUser(user) for user in (mine, yours, elsewhere)))
        changed = replace(mine, ssh_public_key="AAAA")
        await put(store, c.PutNodeUser(changed), c.DropNodeUser(7))
        store = await backend.reopen()
        assert list((await store.load()).node_users) == [changed, elsewhere]
        await put(store, c.DropNode(2))
        assert list((await store.load()).node_users) == [elsewhere], "gone with its node"

    backend.use(scenario)
