"""What the wire may ask of the engine.

Every method that changes something returns when the change is durable. Ids are taken in any
case. Each may raise the `Refusal` that its rule demands, and `ServerBusy` when too much waits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

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
)
from penstock.domain.refusals import Refusal
from penstock.domain.specs.certificate import NewCertificate
from penstock.domain.specs.common import TaskConstraints
from penstock.domain.specs.job import JobPatch, JobSpec
from penstock.domain.specs.node import NodeLogin
from penstock.domain.specs.pool import NodeRemoval, PoolPatch, PoolReplacement, PoolSpec, Resize
from penstock.domain.specs.schedule import JobSchedulePatch, JobScheduleSpec
from penstock.domain.specs.task import TaskSpec
from penstock.engine.clock import EngineClock
from penstock.engine.event_log import EventLog
from penstock.engine.roster import NodeCounts
from penstock.messages import FileInfo, FilesPage
from penstock.scheduler.reasons import Reason, Summary
from penstock.store.contract import Store


class FileAnswer:
    """What a node said of its files. Close it, whether or not the body was read.

    `status` is as `messages.FILE_STATUS_HEADER` says; only ``ok`` has `info` or a body.
    """

    status: str
    info: FileInfo | None

    def body(self) -> AsyncIterator[bytes]:
        """The bytes, as the node sends them. Ends early with ConnectionError if it goes away."""
        raise RuntimeError("abstract")

    async def close(self) -> None:
        """Tell the node host that nobody reads on."""


class Service(Protocol):
    """The engine, as the wire sees it."""

    store: Store
    events: EventLog
    clock: EngineClock

    async def add_pool(self, account: str, spec: PoolSpec) -> PoolRecord:
        """Create a pool and begin to allocate its nodes."""

    async def patch_pool(
        self, account: str, pool_id: str, patch: PoolPatch, when: Conditions
    ) -> PoolRecord:
        """Merge `patch` into the pool."""

    async def replace_pool_properties(
        self, account: str, pool_id: str, new: PoolReplacement
    ) -> PoolRecord:
        """Replace start task, package references and metadata."""

    async def delete_pool(self, account: str, pool_id: str, when: Conditions) -> None:
        """Begin to delete the pool; its tasks are requeued, its nodes leave."""

    async def resize_pool(
        self, account: str, pool_id: str, resize: Resize, when: Conditions
    ) -> PoolRecord:
        """Begin to move the pool to new targets."""

    async def stop_resize(self, account: str, pool_id: str, when: Conditions) -> PoolRecord:
        """Stop a resize where it is."""

    async def remove_nodes(
        self, account: str, pool_id: str, removal: NodeRemoval, when: Conditions
    ) -> PoolRecord:
        """Begin to remove these nodes and lower the target by their number."""

    async def work_on_node(
        self, account: str, pool_id: str, node_id: str, work: NodeWork, how: Removal
    ) -> NodeRecord:
        """Begin to reboot, reimage or deallocate a node, or to wait for its tasks to do so."""

    async def start_node(self, account: str, pool_id: str, node_id: str) -> NodeRecord:
        """Begin to start a deallocated node."""

    async def disable_node(
        self, account: str, pool_id: str, node_id: str, how: Removal
    ) -> NodeRecord:
        """Let a node take no more tasks; those that it has end as `how` says."""

    async def enable_node(self, account: str, pool_id: str, node_id: str) -> NodeRecord:
        """Let a node take tasks again."""

    async def count_nodes(self, pool_nos: Sequence[int]) -> Sequence[NodeCounts]:
        """Count the nodes of each of these pools; one that is gone has none."""

    async def preempt_node(self, account: str, pool_id: str, node_id: str) -> NodeRecord:
        """Take a low-priority node away for a while."""

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
        """Add a user of a node."""

    async def replace_node_user(
        self, account: str, pool_id: str, node_id: str, name: str, login: NodeLogin
    ) -> NodeUserRecord:
        """Replace how a user of a node logs in, and until when."""

    async def delete_node_user(self, account: str, pool_id: str, node_id: str, name: str) -> None:
        """Delete a user of a node."""

    async def add_certificate(self, account: str, new: NewCertificate) -> CertificateRecord:
        """Add a certificate."""

    async def delete_certificate(self, account: str, certificate_id: str) -> None:
        """Delete a certificate, or have it say which pools refer to it."""

    async def keep_certificate(self, account: str, certificate_id: str) -> CertificateRecord:
        """Let a certificate whose deletion has failed be active again."""

    async def add_job(self, account: str, spec: JobSpec) -> JobRecord:
        """Create a job."""

    async def patch_job(
        self, account: str, job_id: str, patch: JobPatch, when: Conditions
    ) -> JobRecord:
        """Merge `patch` into the job."""

    async def replace_job(
        self, account: str, job_id: str, new: JobPatch, when: Conditions
    ) -> JobRecord:
        """Replace what may be replaced; None means the default."""

    async def delete_job(self, account: str, job_id: str, when: Conditions, *, force: bool) -> None:
        """Begin to delete the job with its tasks and their directories."""

    async def terminate_job(
        self, account: str, job_id: str, reason: str | None, when: Conditions, *, force: bool
    ) -> JobRecord:
        """Begin to end the job: running tasks are killed, waiting ones stay as they are."""

    async def disable_job(self, account: str, job_id: str, how: str, when: Conditions) -> JobRecord:
        """Begin to disable the job; `how` is ``requeue``, ``terminate`` or ``wait``."""

    async def enable_job(self, account: str, job_id: str, when: Conditions) -> JobRecord:
        """Let the tasks of the job be scheduled again."""

    async def add_schedule(self, account: str, spec: JobScheduleSpec) -> ScheduleRecord:
        """Create a job schedule, and its first job if that is due."""

    async def patch_schedule(
        self, account: str, schedule_id: str, patch: JobSchedulePatch, when: Conditions
    ) -> ScheduleRecord:
        """Replace the parts of the schedule that `patch` has."""

    async def replace_schedule(
        self, account: str, schedule_id: str, new: JobSchedulePatch, when: Conditions
    ) -> ScheduleRecord:
        """Replace what may be replaced; None means the default."""

    async def delete_schedule(
        self, account: str, schedule_id: str, when: Conditions, *, force: bool
    ) -> None:
        """Begin to delete the schedule with all its jobs."""

    async def disable_schedule(
        self, account: str, schedule_id: str, when: Conditions
    ) -> ScheduleRecord:
        """Let the schedule make no jobs."""

    async def enable_schedule(
        self, account: str, schedule_id: str, when: Conditions
    ) -> ScheduleRecord:
        """Let the schedule make jobs again."""

    async def terminate_schedule(
        self, account: str, schedule_id: str, when: Conditions, *, force: bool
    ) -> ScheduleRecord:
        """Begin to end the schedule with its active job."""

    async def add_tasks(
        self, account: str, job_id: str, specs: Sequence[TaskSpec]
    ) -> Sequence[TaskRecord | Refusal]:
        """Add tasks, each for itself: the answer has, in order, its record or why not.

        `constraints.max_task_retry_count` of None takes the job's. Raises where the job as a
        whole takes no tasks.
        """

    async def update_task(
        self,
        account: str,
        job_id: str,
        task_id: str,
        constraints: TaskConstraints,
        when: Conditions,
    ) -> TaskRecord:
        """Replace the constraints of a task."""

    async def delete_task(self, account: str, job_id: str, task_id: str, when: Conditions) -> None:
        """Stop the task if it runs, and forget it with its directory.

        Returns when the directory is gone, or after a few seconds if its node does not answer.
        """

    async def terminate_task(
        self, account: str, job_id: str, task_id: str, when: Conditions
    ) -> TaskRecord:
        """End the task as a failure. Returns when it is completed, or after a few seconds.

        What it gives is the task as it was decided to end it.
        """

    async def reactivate_task(
        self, account: str, job_id: str, task_id: str, when: Conditions
    ) -> TaskRecord:
        """Make a failed task wait again, with a retry count of 0."""

    async def why(self, account: str, job_id: str, task_id: str) -> Sequence[Reason]:
        """Say why a task does not run, the weightiest cause first; or that it does, or did."""

    async def why_job(self, account: str, job_id: str, most: int) -> Summary:
        """Say why those tasks of a job wait that have waited for longest, up to so many."""

    def job_of_token(self, token: str) -> JobRecord | None:
        """The job of the task that runs and was given this token; None where there is none."""

    async def ask_file(
        self,
        node: NodeRecord,
        root: str,
        what: str,
        path: str = "",
        *,
        recursive: bool = False,
        start: int | None = None,
        end: int | None = None,
        modified_since_us: int | None = None,
        unmodified_since_us: int | None = None,
        page: FilesPage | None = None,
    ) -> FileAnswer:
        """Ask a node for its files; see `messages.AskFile`.

        Raises NodeStateUnusable when its host is not there or does not answer in time, and
        ServerBusy when too many such questions wait.
        """
