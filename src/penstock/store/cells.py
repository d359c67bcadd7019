"""How records become the cells of their tables, and cells become records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from penstock.domain.instants import instant
from penstock.domain.metering import PoolUsage
from penstock.domain.records import (
    CertificateRecord,
    Counts,
    JobNodeRecord,
    JobRecord,
    NodeRecord,
    PoolRecord,
    ScheduleRecord,
    SpecialRun,
    key_of,
)
from penstock.domain.states import NodeState
from penstock.store.contract import JobCounts
from penstock.store.documents import document, record
from penstock.store.filters import run_result, run_state, start_task_result, start_task_state

OCCUPANCY = "state, state_us, tasks_run, tasks_succeeded, running_tasks, running_slots"
"""The columns that say what a node does; its document does not count for them."""


USAGE = "account, pool_no, pool_id, vm_size, start_us, end_us, core_s"
"""The columns of a span."""


def count_cells(counts: Counts) -> tuple[int, int, int, int]:
    return counts.active, counts.running, counts.succeeded, counts.failed


def counts_of(row: Sequence[int]) -> JobCounts:
    tasks, slots = (
        Counts(active=active, running=running, succeeded=succeeded, failed=failed)
        for active, running, succeeded, failed in (row[1:5], row[5:9])
    )
    return JobCounts(tasks, slots)


def pool_cells(pool: PoolRecord) -> tuple[object, ...]:
    spec = pool.spec
    return (
        pool.no,
        pool.account,
        key_of(pool.id),
        pool.state,
        pool.state_us,
        pool.allocation,
        pool.allocation_us,
        pool.created_us,
        pool.modified_us,
        key_of(spec.vm_size),
        bool(spec.enable_auto_scale),
        bool(spec.enable_inter_node_communication),
        document(pool),
    )


def node_cells(node: NodeRecord) -> tuple[object, ...]:
    start_task = node.start_task
    return (
        node.no,
        node.pool_no,
        key_of(node.id),
        node.state,
        node.state_us,
        node.booted_us,
        node.allocated_us,
        start_task_state(node),
        start_task_result(node),
        start_task.exit_code if start_task else None,
        start_task.start_us if start_task else None,
        start_task.end_us if start_task else None,
        *occupancy(node)[2:],
        document(node),
    )


def occupancy(node: NodeRecord) -> tuple[object, ...]:
    return (
        node.state,
        node.state_us,
        node.tasks_run,
        node.tasks_succeeded,
        node.running_tasks,
        node.running_slots,
    )


def node_of(row: Sequence[Any]) -> NodeRecord:
    """A node from its document and the cells of `OCCUPANCY`."""
    text, state, state_us, tasks_run, tasks_succeeded, running_tasks, running_slots = row
    return replace(
        record(NodeRecord, text),
        state=NodeState(state),
        state_us=state_us,
        tasks_run=tasks_run,
        tasks_succeeded=tasks_succeeded,
        running_tasks=running_tasks,
        running_slots=running_slots,
    )


def job_cells(job: JobRecord) -> tuple[object, ...]:
    return (
        job.no,
        job.account,
        key_of(job.id),
        job.state,
        job.state_us,
        job.created_us,
        job.modified_us,
        job.end_us,
        key_of(job.pool_id),
        job.schedule_no,
        document(job),
    )


def schedule_cells(schedule: ScheduleRecord) -> tuple[object, ...]:
    when = schedule.spec.schedule
    return (
        schedule.no,
        schedule.account,
        key_of(schedule.id),
        schedule.state,
        schedule.state_us,
        schedule.created_us,
        schedule.modified_us,
        schedule.end_us,
        None if when.do_not_run_until is None else instant(when.do_not_run_until),
        None if when.do_not_run_after is None else instant(when.do_not_run_after),
        document(schedule),
    )


def certificate_cells(certificate: CertificateRecord) -> tuple[object, ...]:
    return (
        certificate.no,
        certificate.account,
        key_of(certificate.id),
        certificate.state,
        certificate.state_us,
        document(certificate),
    )


def job_node_cells(job_node: JobNodeRecord) -> tuple[object, ...]:
    return (
        job_node.no,
        job_node.job_no,
        job_node.key,
        key_of(job_node.pool_id),
        key_of(job_node.node_id),
        *_run_cells(job_node.preparation),
        *_run_cells(job_node.release),
        document(job_node),
    )


def usage_cells(usage: PoolUsage) -> tuple[object, ...]:
    return (
        usage.account,
        key_of(usage.pool_id),
        usage.pool_no,
        usage.start_us,
        usage.end_us,
        usage.pool_id,
        usage.vm_size,
        usage.core_s,
    )


def usage_of(row: Sequence[Any]) -> PoolUsage:
    """A span from the cells of `USAGE`."""
    account, pool_no, pool_id, vm_size, start_us, end_us, core_s = row
    return PoolUsage(
        account=account,
        pool_no=pool_no,
        pool_id=pool_id,
        vm_size=vm_size,
        start_us=start_us,
        end_us=end_us,
        core_s=core_s,
    )


def _run_cells(run: SpecialRun | None) -> tuple[object, ...]:
    if run is None:
        return (None,) * 5
    return run_state(run), run.start_us, run.end_us, run.exit_code, run_result(run)
