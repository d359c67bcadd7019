"""Compute nodes: to the wire."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.domain.instants import instant_text
from penstock.domain.records import (
    Detail,
    Failure,
    NodeRecord,
    NodeWork,
    PoolRecord,
    RecentTask,
    Removal,
    StartTaskInfo,
)
from penstock.domain.refusals import NodeNotFound
from penstock.wire.answers import Answer, Document, done, listed, one, without_none
from penstock.wire.paging import cut, query_of
from penstock.wire.pools import pool_of
from penstock.wire.request import Request
from penstock.wire.shown import (
    failure_info,
    node_path,
    pairs,
    shown_spec,
    task_path,
    time_or_none,
    without_secrets,
)
from penstock.wire.specs.nodes import (
    deallocate_from_wire,
    disable_scheduling_from_wire,
    reboot_from_wire,
    reimage_from_wire,
)


async def list_nodes(request: Request) -> Answer:
    """GET /pools/{pool}/nodes"""
    query = query_of(request, "nodes")
    async with request.lists:
        pool = await pool_of(request)
        found = await request.service.store.list_nodes(pool.no, query)
        page, link = cut(request, query, found, lambda node: node.id)
        recent = await request.service.store.recent_tasks([node.no for node in page])
        return await listed(
            request,
            "nodes",
            page,
            lambda node: shown_node(request, pool, node, recent.get(node.no, ())),
            link,
        )


async def node_of(request: Request) -> tuple[PoolRecord, NodeRecord]:
    """Find the pool and the node that the path names first."""
    pool = await pool_of(request)
    node = await request.service.store.node(pool.no, request.ids[1])
    if node is None:
        raise NodeNotFound
    return pool, node


async def get_node(request: Request) -> Answer:
    """GET /pools/{pool}/nodes/{node}"""
    pool, node = await node_of(request)
    recent = await request.service.store.recent_tasks([node.no])
    return one(request, "nodes", shown_node(request, pool, node, recent.get(node.no, ())))


async def reboot_node(request: Request) -> Answer:
    """POST /pools/{pool}/nodes/{node}/reboot"""
    return await _work(request, NodeWork.REBOOT, reboot_from_wire(await request.json_body()))


async def reimage_node(request: Request) -> Answer:
    """POST /pools/{pool}/nodes/{node}/reimage"""
    return await _work(request, NodeWork.REIMAGE, reimage_from_wire(await request.json_body()))


async def deallocate_node(request: Request) -> Answer:
    """POST /pools/{pool}/nodes/{node}/deallocate"""
    return await _work(
        request, NodeWork.DEALLOCATE, deallocate_from_wire(await request.json_body())
    )


async def _work(request: Request, work: NodeWork, how: Removal) -> Answer:
    pool_id, node_id = request.ids
    await request.service.work_on_node(request.account, pool_id, node_id, work, how)
    return done(request, 202)


async def start_node(request: Request) -> Answer:
    """POST /pools/{pool}/nodes/{node}/start"""
    await request.service.start_node(request.account, *request.ids)
    return done(request, 202)


async def disable_scheduling(request: Request) -> Answer:
    """POST /pools/{pool}/nodes/{node}/disablescheduling"""
    how = disable_scheduling_from_wire(await request.json_body())
    pool_id, node_id = request.ids
    await request.service.disable_node(request.account, pool_id, node_id, how)
    return done(request, 200)


async def enable_scheduling(request: Request) -> Answer:
    """POST /pools/{pool}/nodes/{node}/enablescheduling"""
    await request.service.enable_node(request.account, *request.ids)
    return done(request, 200)


async def preempt_node(request: Request) -> Answer:
    """POST /pools/{pool}/nodes/{node}/preempt, which the protocol does not have."""
    await request.service.preempt_node(request.account, *request.ids)
    return done(request, 202)


def affinity_id(node_id: str) -> str:
    """The name by which a task may ask to be near."""
    return f"TVM:{node_id}"


def shown_node(
    request: Request, pool: PoolRecord, node: NodeRecord, recent: Sequence[RecentTask]
) -> Document:
    """A node as clients see it, with what ran on it last."""
    start_task = node.start_task_in(pool)
    machine = pool.spec.virtual_machine_configuration
    return without_none(
        {
            "id": node.id,
            "url": request.base + node_path(pool.id, node.id),
            "state": node.state.value,
            "schedulingState": node.scheduling.value,
            "stateTransitionTime": instant_text(node.state_us),
            "lastBootTime": time_or_none(node.booted_us),
            "allocationTime": instant_text(node.allocated_us),
            "ipAddress": node.address,
            "affinityId": affinity_id(node.id),
            "vmSize": node.vm_size,
            "totalTasksRun": node.tasks_run,
            "runningTasksCount": node.running_tasks,
            "runningTaskSlotsCount": node.running_slots,
            "totalTasksSucceeded": node.tasks_succeeded,
            "recentTasks": [_recent(request, each) for each in recent] or None,
            "startTask": without_secrets(shown_spec(start_task)) if start_task else None,
            "startTaskInfo": _start_task_info(node.start_task),
            "certificateReferences": _certificates(pool),
            "errors": _errors(pool, node),
            "isDedicated": node.dedicated,
            "nodeAgentInfo": _agent(node),
            "virtualMachineInfo": {"imageReference": shown_spec(machine.image_reference)}
            if machine and machine.image_reference
            else None,
        }
    )


def _certificates(pool: PoolRecord) -> list[Document] | None:
    references = pool.spec.certificate_references
    return [shown_spec(reference) for reference in references] if references else None


def _agent(node: NodeRecord) -> Document | None:
    if node.agent_version is None:
        return None
    updated_us = node.booted_us if node.booted_us is not None else node.allocated_us
    return {"version": node.agent_version, "lastUpdateTime": instant_text(updated_us)}


def _errors(pool: PoolRecord, node: NodeRecord) -> list[Document] | None:
    errors = [
        without_none({"code": each.code, "message": each.message, "errorDetails": pairs(each)})
        for each in (*node.errors, *_unmounted(pool))
    ]
    return errors or None


def _unmounted(pool: PoolRecord) -> Iterator[Failure]:
    """What users of the pool miss on each of its nodes: no file system is mounted yet."""
    for mount in pool.spec.mount_configuration or ():
        yield Failure(
            "usererror",
            "MountConfigurationError",
            "Mounting a file system failed",
            (
                Detail("Message", "File systems are not mounted by this service"),
                Detail("RelativeMountPath", mount.path),
            ),
        )


def _start_task_info(info: StartTaskInfo | None) -> Document | None:
    if info is None:
        return None
    return without_none(
        {
            "state": "running" if info.running else "completed",
            "startTime": instant_text(info.start_us),
            "endTime": time_or_none(info.end_us),
            "exitCode": info.exit_code,
            "failureInfo": failure_info(info.failure),
            "retryCount": info.retry_count,
            "lastRetryTime": time_or_none(info.last_retry_us),
            "result": None if info.running else ("failure" if info.failure else "success"),
        }
    )


def _recent(request: Request, recent: RecentTask) -> Document:
    run = {
        "startTime": time_or_none(recent.start_us),
        "endTime": time_or_none(recent.end_us),
        "exitCode": recent.exit_code,
        "failureInfo": failure_info(recent.failure),
        "retryCount": recent.retry_count,
        "requeueCount": recent.requeue_count,
        "result": recent.result.wire_name if recent.result is not None else None,
    }
    return {
        "taskUrl": request.base + task_path(recent.job_id, recent.task_id),
        "jobId": recent.job_id,
        "taskId": recent.task_id,
        **({} if recent.subtask is None else {"subtaskId": recent.subtask}),
        "taskState": recent.state.wire_name,
        "executionInfo": without_none(run),
    }
