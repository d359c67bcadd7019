"""Records for tests: whole, and different only in what a test says."""

from __future__ import annotations

from typing import Any

from penstock.domain.records import (
    CertificateRecord,
    JobRecord,
    NodeRecord,
    NodeUserRecord,
    PoolRecord,
    TaskRecord,
)
from penstock.domain.specs.job import JobSpec, PoolInfo
from penstock.domain.specs.pool import PoolSpec
from penstock.domain.states import (
    AllocationState,
    CertificateState,
    JobState,
    NodeState,
    PoolState,
    TaskState,
)

ACCOUNT = "acct"
NOW_US = 1_700_000_000_000_000


def a_pool(no: int = 1, name: str = "pool", **new: Any) -> PoolRecord:
    """A steady pool."""
    values: dict[str, Any] = {
        "no": no,
        "account": ACCOUNT,
        "spec": PoolSpec(id=name, vm_size="standard_d2_v3", task_slots_per_node=2),
        "state": PoolState.ACTIVE,
        "state_us": NOW_US,
        "allocation": AllocationState.STEADY,
        "allocation_us": NOW_US,
        "created_us": NOW_US,
        "modified_us": NOW_US,
    }
    return PoolRecord(**values | new)


def a_node(no: int = 2, name: str = "node", pool_no: int = 1, **new: Any) -> NodeRecord:
    """An idle node."""
    values: dict[str, Any] = {
        "no": no,
        "pool_no": pool_no,
        "account": ACCOUNT,
        "id": name,
        "dedicated": True,
        "slots": 2,
        "vm_size": "standard_d2_v3",
        "state": NodeState.IDLE,
        "state_us": NOW_US,
        "allocated_us": NOW_US,
        "host": "host",
    }
    return NodeRecord(**values | new)


def a_job(no: int = 3, name: str = "job", pool: str = "pool", **new: Any) -> JobRecord:
    """An active job; parts of its specification may be given too."""
    of_spec = {key: new.pop(key) for key in list(new) if key in JobSpec.__struct_fields__}
    values: dict[str, Any] = {
        "no": no,
        "account": ACCOUNT,
        "spec": JobSpec(id=name, pool_info=PoolInfo(pool_id=pool), **of_spec),
        "state": JobState.ACTIVE,
        "state_us": NOW_US,
        "created_us": NOW_US,
        "modified_us": NOW_US,
    }
    return JobRecord(**values | new)


def a_task(no: int = 4, name: str = "task", job_no: int = 3, **new: Any) -> TaskRecord:
    """A waiting task."""
    values: dict[str, Any] = {
        "no": no,
        "job_no": job_no,
        "id": name,
        "state": TaskState.ACTIVE,
        "state_us": NOW_US,
        "created_us": NOW_US,
        "modified_us": NOW_US,
    }
    return TaskRecord(**values | new)


def a_certificate(no: int = 5, thumbprint: str = "Ab" * 20, **new: Any) -> CertificateRecord:
    """An active certificate."""
    values: dict[str, Any] = {
        "no": no,
        "account": ACCOUNT,
        "thumbprint": thumbprint,
        "algorithm": "sha1",
        "format": "cer",
        "public_data": "AAAA",
        "state": CertificateState.ACTIVE,
        "state_us": NOW_US,
    }
    return CertificateRecord(**values | new)


def a_node_user(no: int = 6, name: str = "me", node_no: int = 2, **new: Any) -> NodeUserRecord:
    """A user of a node."""
    return NodeUserRecord(no=no, node_no=node_no, name=name, expiry_us=NOW_US, **new)
