"""What clients ask of the engine, each as one decision of a turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TypeVar

import msgspec

from penstock.domain import changes as c
from penstock.domain.conditions import Conditions
from penstock.domain.records import (
    CertificateRecord,
    JobRecord,
    NodeRecord,
    NodeUserRecord,
    NodeWork,
    PoolRecord,
    Removal,
    ScheduleRecord,
    TaskRecord,
    certificate_id,
)
from penstock.domain.refusals import Refusal
from penstock.domain.specs.certificate import NewCertificate
from penstock.domain.specs.common import TaskConstraints
from penstock.domain.specs.job import JobPatch, JobSpec
from penstock.domain.specs.node import NodeLogin
from penstock.domain.specs.pool import NodeRemoval, PoolPatch, PoolReplacement, PoolSpec, Resize
from penstock.domain.specs.schedule import JobSchedulePatch, JobScheduleSpec
from penstock.domain.specs.task import TaskSpec
from penstock.domain.unreadable import Unreadable
from penstock.engine import (
    certificates,
    jobs,
    node_users,
    node_work,
    pools,
    preemption,
    quotas,
    resizes,
    schedules,
    tasks,
)
from penstock.engine.loop import Loop
from penstock.engine.roster import NodeCounts
from penstock.engine.settings import EngineSettings
from penstock.engine.task_tokens import job_of_token
from penstock.engine.turn import Turn
from penstock.engine.vault import NotOpened
from penstock.engine.why import why, why_job
from penstock.scheduler.reasons import Reason, Summary
from penstock.store.contract import Store

T = TypeVar("T")


class Requests(Loop):
    """The part of `Service` that decides; nothing of it happens unless a client asks."""

    def __init__(
        self,
        store: Store,
        now_us: Callable[[], int],
        random: Random,
        settings: EngineSettings,
        monotonic_us: Callable[[], int],
    ) -> None:
        super().__init__(store, now_us, random, settings, monotonic_us)
        self._waiters: dict[int, list[asyncio.Future[int | None]]] = {}  # by task or chore

    def _wake(self, turn: Turn) -> None:
        for change in turn.changes():
            if isinstance(change, c.DropChore):
                no = change.no
            elif isinstance(change, c.DropTask) or (
                isinstance(change, c.AddTask | c.SetTask)
                and change.task.no not in self._state.given
            ):
                no = change.task.no
            else:
                continue
            for waiter in self._waiters.pop(no, []):
                if not waiter.done():
                    waiter.set_result(turn.removals.get(no))

    # --- pools -------------------------------------------------------------------------------

    async def add_pool(self, account: str, spec: PoolSpec) -> PoolRecord:
        """See `Service`."""
        return await self._do(lambda t: pools.add_pool(t, self.settings, account, spec))

    async def patch_pool(
        self, account: str, pool_id: str, patch: PoolPatch, when: Conditions
    ) -> PoolRecord:
        """See `Service`."""
        return await self._do(
            lambda t: pools.patch_pool(t, self.settings, account, pool_id, patch, when)
        )

    async def replace_pool_properties(
        self, account: str, pool_id: str, new: PoolReplacement
    ) -> PoolRecord:
        """See `Service`."""
        return await self._do(
            lambda t: pools.replace_properties(t, self.settings, account, pool_id, new)
        )

    async def delete_pool(self, account: str, pool_id: str, when: Conditions) -> None:
        """See `Service`."""
        await self._do(lambda t: pools.delete_pool(t, account, pool_id, when))

    async def resize_pool(
        self, account: str, pool_id: str, resize: Resize, when: Conditions
    ) -> PoolRecord:
        """See `Service`."""
        return await self._do(
            lambda t: resizes.resize_pool(t, self.settings, account, pool_id, resize, when)
        )

    async def stop_resize(self, account: str, pool_id: str, when: Conditions) -> PoolRecord:
        """See `Service`."""
        return await self._do(lambda t: resizes.stop_resize(t, account, pool_id, when))

    async def remove_nodes(
        self, account: str, pool_id: str, removal: NodeRemoval, when: Conditions
    ) -> PoolRecord:
        """See `Service`."""
        return await self._do(lambda t: resizes.remove_nodes(t, account, pool_id, removal, when))

    # --- nodes -------------------------------------------------------------------------------

    async def work_on_node(
        self, account: str, pool_id: str, node_id: str, work: NodeWork, how: Removal
    ) -> NodeRecord:
        """See `Service`."""
        return await self._do(lambda t: node_work.begin(t, account, pool_id, node_id, work, how))

    async def start_node(self, account: str, pool_id: str, node_id: str) -> NodeRecord:
        """See `Service`."""
        return await self._do(
            lambda t: node_work.start(t, self.settings, account, pool_id, node_id)
        )

    async def disable_node(
        self, account: str, pool_id: str, node_id: str, how: Removal
    ) -> NodeRecord:
        """See `Service`."""
        return await self._do(
            lambda t: node_work.disable_scheduling(t, account, pool_id, node_id, how)
        )

    async def enable_node(self, account: str, pool_id: str, node_id: str) -> NodeRecord:
        """See `Service`."""
        return await self._do(lambda t: node_work.enable_scheduling(t, account, pool_id, node_id))

    async def count_nodes(self, pool_nos: Sequence[int]) -> Sequence[NodeCounts]:
        """See `Service`."""
        return await self._do(lambda t: [t.state.roster.by_state(no) for no in pool_nos])

    async def preempt_node(self, account: str, pool_id: str, node_id: str) -> NodeRecord:
        """See `Service`."""
        return await self._do(
            lambda t: preemption.preempt(t, self.settings, account, pool_id, node_id)
        )

    async def add_node_user(
        self,
        account: str,
        pool_id: str,
        node_id: str,
        name: str,
        login: NodeLogin,
        *,
        admin: bool,
    ) -> NodeUserRecord:
        """See `Service`."""
        password = self._sealed_password(account, node_id, name, login)
        return await self._do(
            lambda t: node_users.add_user(
                t, account, pool_id, node_id, name, login, password, admin=admin
            )
        )

    async def replace_node_user(
        self, account: str, pool_id: str, node_id: str, name: str, login: NodeLogin
    ) -> NodeUserRecord:
        """See `Service`."""
        password = self._sealed_password(account, node_id, name, login)
        return await self._do(
            lambda t: node_users.replace_user(t, account, pool_id, node_id, name, login, password)
        )

    async def delete_node_user(self, account: str, pool_id: str, node_id: str, name: str) -> None:
        """See `Service`."""
        await self._do(lambda t: node_users.delete_user(t, account, pool_id, node_id, name))

    def _sealed_password(
        self, account: str, node_id: str, name: str, login: NodeLogin
    ) -> bytes | None:
        if login.password is None:
            return None
        return self._seal(login.password.encode(), node_users.secret_name(account, node_id, name))

    def _seal(self, plain: bytes, name: str) -> bytes:
        vault = self.settings.vault
        assert vault is not None, "a server that takes secrets has a vault"
        return vault.seal(plain, name)

    # --- certificates ------------------------------------------------------------------------

    async def add_certificate(self, account: str, new: NewCertificate) -> CertificateRecord:
        """See `Service`."""
        name = certificates.secret_name(account, certificate_id(new.algorithm, new.thumbprint))
        secret = self._seal(msgspec.msgpack.encode(new.secret), name)
        return await self._do(lambda t: certificates.add_certificate(t, account, new, secret))

    async def opens_certificates(self) -> bool:
        """Whether the vault opens the certificate that was added last.

        Else its key is not the one with which this store's secrets were sealed.
        """
        newest, vault = self._state.certificates.newest(), self.settings.vault
        if newest is None or vault is None:
            return True
        try:
            secret = await self.store.certificate_secret(newest.no)
            if secret is not None:
                vault.open(secret, certificates.secret_name(newest.account, newest.id))
        except Unreadable:
            return True  # who needs it is told
        except NotOpened:
            return False
        return True

    async def delete_certificate(self, account: str, certificate_id: str) -> None:
        """See `Service`."""
        await self._do(lambda t: certificates.delete_certificate(t, account, certificate_id))

    async def keep_certificate(self, account: str, certificate_id: str) -> CertificateRecord:
        """See `Service`."""
        return await self._do(lambda t: certificates.keep_certificate(t, account, certificate_id))

    # --- jobs --------------------------------------------------------------------------------

    async def add_job(self, account: str, spec: JobSpec) -> JobRecord:
        """See `Service`."""

        def decide(turn: Turn) -> JobRecord:
            if turn.state.job(account, spec.id) is None:  # else that is the reason to refuse
                quotas.check_jobs(turn, self.settings, account)
            return jobs.add_job(turn, account, spec)

        return await self._do(decide)

    async def patch_job(
        self, account: str, job_id: str, patch: JobPatch, when: Conditions
    ) -> JobRecord:
        """See `Service`."""
        return await self._do(lambda t: jobs.patch_job(t, account, job_id, patch, when))

    async def replace_job(
        self, account: str, job_id: str, new: JobPatch, when: Conditions
    ) -> JobRecord:
        """See `Service`."""
        return await self._do(lambda t: jobs.replace_job(t, account, job_id, new, when))

    async def delete_job(self, account: str, job_id: str, when: Conditions, *, force: bool) -> None:
        """See `Service`."""
        await self._do(lambda t: jobs.delete_job(t, account, job_id, when, force=force))

    async def terminate_job(
        self, account: str, job_id: str, reason: str | None, when: Conditions, *, force: bool
    ) -> JobRecord:
        """See `Service`."""
        return await self._do(
            lambda t: jobs.terminate_job(t, account, job_id, reason, when, force=force)
        )

    async def disable_job(self, account: str, job_id: str, how: str, when: Conditions) -> JobRecord:
        """See `Service`."""
        return await self._do(lambda t: jobs.disable_job(t, account, job_id, how, when))

    async def enable_job(self, account: str, job_id: str, when: Conditions) -> JobRecord:
        """See `Service`."""
        return await self._do(lambda t: jobs.enable_job(t, account, job_id, when))

    # --- job schedules -----------------------------------------------------------------------

    async def add_schedule(self, account: str, spec: JobScheduleSpec) -> ScheduleRecord:
        """See `Service`."""
        return await self._do(lambda t: schedules.add_schedule(t, account, spec))

    async def patch_schedule(
        self, account: str, schedule_id: str, patch: JobSchedulePatch, when: Conditions
    ) -> ScheduleRecord:
        """See `Service`."""
        return await self._do(
            lambda t: schedules.patch_schedule(t, account, schedule_id, patch, when)
        )

    async def replace_schedule(
        self, account: str, schedule_id: str, new: JobSchedulePatch, when: Conditions
    ) -> ScheduleRecord:
        """See `Service`."""
        return await self._do(
            lambda t: schedules.replace_schedule(t, account, schedule_id, new, when)
        )

    async def delete_schedule(
        self, account: str, schedule_id: str, when: Conditions, *, force: bool
    ) -> None:
        """See `Service`."""
        await self._do(
            lambda t: schedules.delete_schedule(t, account, schedule_id, when, force=force)
        )

    async def disable_schedule(
        self, account: str, schedule_id: str, when: Conditions
    ) -> ScheduleRecord:
        """See `Service`."""
        return await self._do(lambda t: schedules.disable_schedule(t, account, schedule_id, when))

    async def enable_schedule(
        self, account: str, schedule_id: str, when: Conditions
    ) -> ScheduleRecord:
        """See `Service`."""
        return await self._do(lambda t: schedules.enable_schedule(t, account, schedule_id, when))

    async def terminate_schedule(
        self, account: str, schedule_id: str, when: Conditions, *, force: bool
    ) -> ScheduleRecord:
        """See `Service`."""
        return await self._do(
            lambda t: schedules.terminate_schedule(t, account, schedule_id, when, force=force)
        )

    # --- tasks -------------------------------------------------------------------------------

    async def add_tasks(
        self, account: str, job_id: str, specs: Sequence[TaskSpec]
    ) -> Sequence[TaskRecord | Refusal]:
        """See `Service`."""
        added: Sequence[TaskRecord | Refusal] = await self._submit(
            lambda t: tasks.add_tasks(t, self.settings, account, job_id, specs), weight=len(specs)
        )
        return added

    async def update_task(
        self,
        account: str,
        job_id: str,
        task_id: str,
        constraints: TaskConstraints,
        when: Conditions,
    ) -> TaskRecord:
        """See `Service`."""
        return await self._wait_for(
            lambda t: tasks.update_task(t, account, job_id, task_id, constraints, when)
        )

    async def delete_task(self, account: str, job_id: str, task_id: str, when: Conditions) -> None:
        """See `Service`."""

        async def decide(turn: Turn) -> asyncio.Future[int | None]:
            task = await tasks.delete_task(turn, account, job_id, task_id, when)
            return self._when_over(task)

        chore = await self._patiently(await self._wait_for(decide))
        if chore is not None and chore in self._state.chores:
            done: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(chore, []).append(done)
            await self._patiently(done)

    async def terminate_task(
        self, account: str, job_id: str, task_id: str, when: Conditions
    ) -> TaskRecord:
        """See `Service`."""

        async def decide(turn: Turn) -> tuple[TaskRecord, asyncio.Future[int | None]]:
            task = await tasks.terminate_task(turn, account, job_id, task_id, when)
            return task, self._when_over(task)

        task, over = await self._wait_for(decide)
        await self._patiently(over)
        return task

    async def reactivate_task(
        self, account: str, job_id: str, task_id: str, when: Conditions
    ) -> TaskRecord:
        """See `Service`."""
        return await self._wait_for(
            lambda t: tasks.reactivate_task(t, account, job_id, task_id, when)
        )

    async def why(self, account: str, job_id: str, task_id: str) -> Sequence[Reason]:
        """See `Service`."""
        return await self._wait_for(lambda t: why(t, account, job_id, task_id))

    async def why_job(self, account: str, job_id: str, most: int) -> Summary:
        """See `Service`."""
        return await self._wait_for(lambda t: why_job(t, account, job_id, most))

    def job_of_token(self, token: str) -> JobRecord | None:
        """See `Service`."""
        return job_of_token(self._state, self.settings.token_secret, token)

    async def _do(self, decide: Callable[[Turn], T]) -> T:
        answer: T = await self._submit(decide)
        return answer

    async def _wait_for(self, decide: Callable[[Turn], Awaitable[T]]) -> T:
        answer: T = await self._submit(decide)
        return answer

    def _when_over(self, task: TaskRecord) -> asyncio.Future[int | None]:
        """When the task runs no more, the chore for its directory if it was dropped."""
        over: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(task.no, []).append(over)
        return over

    async def _patiently(self, future: asyncio.Future[int | None]) -> int | None:
        """Wait for what a node must do, but not for ever: it may be away."""
        try:
            done, _ = await asyncio.wait({future}, timeout=self.settings.stop_wait_s)
        finally:
            self._wait_no_more(future)
        return future.result() if done else None

    def _wait_no_more(self, future: asyncio.Future[int | None]) -> None:
        for no, waiting in list(self._waiters.items()):
            if future in waiting:
                waiting.remove(future)
                if not waiting:
                    del self._waiters[no]
