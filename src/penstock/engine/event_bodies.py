"""What events say: the bodies, with the names that Azure's diagnostic log gives their fields.

A field that has no value is left out. Those without a default are always there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from penstock.domain.instants import instant_text
from penstock.domain.records import Failure

_ENCODER: Final = msgspec.json.Encoder()


class _Body(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Base of all bodies and their parts."""


def encoded(body: _Body) -> bytes:
    """Write a body as the JSON object that is kept."""
    return _ENCODER.encode(body)


@lru_cache(maxsize=64)
def capital(name: str) -> str:
    """An enumeration's value as events spell it: ``Spread`` for ``spread``."""
    return _SPELLED.get(name, name[:1].upper() + name[1:])


_SPELLED: Final = {
    "taskcompletion": "TaskCompletion",
    "retaineddata": "RetainedData",
    "usererror": "UserError",
    "servererror": "ServerError",
}


def time_text(at_us: int | None) -> str | None:
    """An instant as the wire writes it, if there is one."""
    return None if at_us is None else instant_text(at_us)


# --- parts -----------------------------------------------------------------------------------


class NameAndValue(_Body, frozen=True):
    name: str
    value: str


class SchedulingError(_Body, frozen=True):
    """Why something did not work out, whether in scheduling or later."""

    category: str
    code: str
    message: str
    details: tuple[NameAndValue, ...] = ()


def scheduling_error(failure: Failure | None) -> SchedulingError | None:
    """A failure as events tell it."""
    if failure is None:
        return None
    details = tuple(NameAndValue(detail.name, detail.value) for detail in failure.details)
    return SchedulingError(
        capital(failure.category.lower()), failure.code, failure.message, details
    )


class NodeInfo(_Body, frozen=True):
    pool_id: str
    node_id: str


class MultiInstanceSettings(_Body, frozen=True):
    number_of_instances: int


class Constraints(_Body, frozen=True):
    max_task_retry_count: int


class StartInfo(_Body, frozen=True):
    retry_count: int


class RunInfo(_Body, frozen=True):
    """How a run went, as far as it came to that."""

    retry_count: int
    requeue_count: int
    start_time: str | None = None
    end_time: str | None = None
    exit_code: int | None = None
    result: str | None = None
    scheduling_error: SchedulingError | None = None


class SpecialRunInfo(_Body, frozen=True):
    """Like `RunInfo`, for tasks that are not requeued."""

    start_time: str
    result: str
    end_time: str | None = None
    exit_code: int | None = None
    scheduling_error: SchedulingError | None = None


# --- tasks -----------------------------------------------------------------------------------


class TaskHeader(_Body, frozen=True):
    """What all events of a task say of it."""

    job_id: str
    id: str
    task_type: str  # User | JobManager
    system_task_version: int
    required_slots: int
    multi_instance_settings: MultiInstanceSettings
    constraints: Constraints
    node_info: NodeInfo | None = None


class TaskStarted(TaskHeader, frozen=True):
    execution_info: StartInfo | None = None


class TaskRan(TaskHeader, frozen=True):
    execution_info: RunInfo | None = None


class TaskNotScheduled(TaskHeader, frozen=True):
    scheduling_error: SchedulingError | None = None


class TaskNamed(_Body, frozen=True):
    job_id: str
    id: str


class SpecialTaskRan(_Body, frozen=True, kw_only=True):
    """A start, preparation or release task; a start task belongs to no job."""

    job_id: str | None = None
    task_name: str
    task_type: str  # StartTask | JobPrep | JobRelease
    node_info: NodeInfo
    execution_info: SpecialRunInfo


# --- pools and nodes -------------------------------------------------------------------------


class Image(_Body, frozen=True):
    publisher: str | None = None
    offer: str | None = None
    sku: str | None = None
    version: str | None = None


class Windows(_Body, frozen=True):
    enable_automatic_updates: bool | None = None


class Machine(_Body, frozen=True):
    image_reference: Image
    node_agent_id: str
    windows_configuration: Windows | None = None


class CloudService(_Body, frozen=True):
    os_family: str
    target_os_version: str | None = None


class Network(_Body, frozen=True):
    subnet_id: str | None = None


class PoolCreated(_Body, frozen=True, kw_only=True):
    id: str
    display_name: str | None = None
    vm_size: str
    image_type: str
    cloud_service_configuration: CloudService | None = None
    network_configuration: Network | None = None
    virtual_machine_configuration: Machine | None = None
    resize_timeout: str  # milliseconds, as text
    target_dedicated_nodes: int
    target_low_priority_nodes: int
    task_slots_per_node: int
    vm_fill_type: str
    enable_auto_scale: bool
    enable_inter_node_communication: bool
    is_auto_pool: bool


class Named(_Body, frozen=True):
    id: str


class Deleted(_Body, frozen=True):
    """Something is gone; its deletion was asked for at `start_time`."""

    id: str
    start_time: str
    end_time: str


class Resizing(_Body, frozen=True, kw_only=True):
    id: str
    node_deallocation_option: str
    current_dedicated_nodes: int
    target_dedicated_nodes: int
    current_low_priority_nodes: int
    target_low_priority_nodes: int
    enable_auto_scale: bool
    is_auto_pool: bool


class Resized(Resizing, frozen=True, kw_only=True):
    start_time: str
    end_time: str
    result_code: str
    result_message: str


class NodeChanged(_Body, frozen=True, kw_only=True):
    id: str
    pool_id: str
    is_dedicated: bool
    previous_state: str | None = None  # absent: it is new
    state: str
    errors: tuple[SchedulingError, ...] = ()


class NodeGone(_Body, frozen=True, kw_only=True):
    id: str
    pool_id: str


# --- jobs and schedules ----------------------------------------------------------------------


class JobCreated(_Body, frozen=True, kw_only=True):
    id: str
    pool_id: str | None = None  # absent: its auto pool could not be made
    state: str
    priority: int
    job_schedule_id: str | None = None
    scheduling_error: SchedulingError | None = None


class JobChanged(_Body, frozen=True, kw_only=True):
    id: str
    pool_id: str | None = None
    previous_state: str
    state: str
    terminate_reason: str | None = None
    scheduling_error: SchedulingError | None = None


class ScheduleCreated(_Body, frozen=True, kw_only=True):
    id: str
    state: str
    next_run_time: str | None = None


class ScheduleChanged(_Body, frozen=True, kw_only=True):
    id: str
    previous_state: str
    state: str
