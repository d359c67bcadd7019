"""What a turn commits leads where its changes, one by one, would have led."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain import changes as c
from penstock.domain.queries import Query
from penstock.domain.records import Chore, Counts
from penstock.domain.states import TaskState
from penstock.engine.changeset import ChangeSet
from penstock.store.contract import Store
from penstock.store.memory import MemoryStore
from penstock.store.sqlite import SqliteStore
from tests.records import ACCOUNT, a_certificate, a_job, a_node, a_node_user, a_pool, a_task

KINDS = st.sampled_from(("pool", "node", "job", "task", "chore", "certificate", "user"))
STEPS = st.lists(st.tuples(KINDS, st.sampled_from("ab")), min_size=6, max_size=20)


class Scribe:
    """Makes changes as an engine would: no number twice, no id twice at a time."""

    def __init__(self) -> None:
        self.next_no = 100
        self.there: dict[tuple[str, str], int] = {}

    def step(self, kind: str, name: str) -> list[c.Change]:
        """Add what is not there; of what is there, change tasks once and drop the rest."""
        no = self.there.pop((kind, name), None)
        if no is None:
            no = self.there[kind, name] = self.next_no
            self.next_no += 1
            return self._added(kind, name, no)
        return self._dropped(kind, name, no)

    def _added(self, kind: str, name: str, no: int) -> list[c.Change]:
        if kind == "pool":
            return [c.PutPool(a_pool(no=no, name=name))]
        if kind == "node":
            return [c.PutNode(a_node(no=no, name=f"{name}{no}"))]
        if kind == "job":
            return [c.PutJob(a_job(no=no, name=name)), c.SetCounts(no, Counts(), Counts())]
        if kind == "chore":
            return [c.PutChore(Chore(no=no, node_no=1, job_no=3, message=b"do"))]
        if kind == "user":
            return [c.PutNodeUser(a_node_user(no=no, name=name))]
        if kind == "certificate":
            added = a_certificate(no=no, thumbprint=name)
            return [c.PutCertificate(added, b"sealed"), c.PutCertificate(added)]
        added_task = a_task(no=no, name=name)
        return [
            c.AddTask(added_task, b"spec"),
            c.SetTask(a_task(no=no, name=name, attempt=2), TaskState.ACTIVE, b"spec 2"),
        ]

    def _dropped(self, kind: str, name: str, no: int) -> list[c.Change]:
        drops: dict[str, c.Change] = {
            "pool": c.DropPool(no),
            "node": c.DropNode(no),
            "job": c.DropJob(no, 0),
            "chore": c.DropChore(no),
            "certificate": c.DropCertificate(no),
            "user": c.DropNodeUser(no),
            "task": c.DropTask(a_task(no=no, name=name)),
        }
        return [drops[kind]]


@settings(max_examples=60, deadline=None)
@given(before=STEPS, steps=STEPS)
def test_one_commit_leads_where_many_would(
    tmp_path_factory: Any, before: list[tuple[str, str]], steps: list[tuple[str, str]]
) -> None:
    scribe = Scribe()
    first = [change for step in before for change in scribe.step(*step)]
    then = [change for step in steps for change in scribe.step(*step)]
    asyncio.run(_compare(tmp_path_factory.mktemp("changeset"), first, then))


async def _compare(root: Path, first: list[c.Change], then: list[c.Change]) -> None:
    one_by_one, at_once, on_disk = MemoryStore(), MemoryStore(), SqliteStore.open(root / "db")
    kept = ChangeSet()
    for change in then:
        kept.keep(change)
    await _commit(one_by_one, [[change] for change in (*first, *then)])
    await _commit(at_once, [*([change] for change in first), kept.all()])
    await _commit(on_disk, [*([change] for change in first), kept.all()])
    wanted = await _all_of(one_by_one)
    assert await _all_of(at_once) == wanted
    assert await _all_of(on_disk) == wanted
    await on_disk.close()


async def _commit(store: Store, commits: list[list[c.Change]]) -> None:
    revision = (await store.load()).revision
    for changes in commits:
        revision = await store.commit(changes, revision, 1000)


async def _all_of(store: Store) -> list[Any]:
    saved = await store.load()
    return [
        [pool.no for pool in await store.list_pools(ACCOUNT, Query())],
        [job.no for job in await store.list_jobs(ACCOUNT, Query())],
        sorted(node.no for node in saved.nodes),
        sorted(chore.no for chore in saved.chores),
        list(saved.counts),
        sorted(user.no for user in saved.node_users),
        [(it.no, await store.certificate_secret(it.no)) for it in saved.certificates],
        [(task.no, task.attempt, spec) for task, spec in await store.list_tasks(3, Query())],
    ]
