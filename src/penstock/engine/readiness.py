"""Whether a node may run tasks of a job that prepares its nodes."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from penstock.domain.records import Failure, JobNodeRecord, JobRecord, NodeRecord
from penstock.domain.specs.special import JobPreparationTask

LOST: Final = Failure("servererror", "NodeLost", "Its node was started anew, or lost, while it ran")
"""Why a special task failed that could not run to its end; a preparation is tried again."""


class Readiness(Enum):
    """Whether a node may run tasks of a job."""

    READY = auto()
    TO_PREPARE = auto()  # the preparation task has to run first
    PREPARING = auto()  # it runs
    FAILED = auto()  # it failed for good


def readiness(job: JobRecord, node: NodeRecord, job_node: JobNodeRecord | None) -> Readiness:
    """Whether a node may run tasks of a job."""
    task = job.spec.job_preparation_task
    if task is None:
        return Readiness.READY
    if job_node is None or job_node.preparation is None or not _counts(task, node, job_node):
        return Readiness.TO_PREPARE
    if job_node.preparation.running:
        return Readiness.PREPARING
    if job_node.is_prepared:
        return Readiness.READY
    return Readiness.FAILED


def _counts(task: JobPreparationTask, node: NodeRecord, job_node: JobNodeRecord) -> bool:
    """Whether the last preparation of a node still counts."""
    if job_node.preparation is not None and job_node.preparation.failure == LOST:
        return False
    if job_node.boot == node.boot:
        return True
    spared = task.rerun_on_node_reboot_after_success is False and job_node.is_prepared
    return spared and job_node.boot >= node.wiped


def waits_for_success(job: JobRecord) -> bool:
    """Whether tasks wait for the preparation of their node."""
    task = job.spec.job_preparation_task
    return task is not None and task.wait_for_success is not False
