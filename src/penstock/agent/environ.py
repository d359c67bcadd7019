"""The environment of a task: little of ours, what the user set, and ``AZ_BATCH_*``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from penstock.agent.events import Run
from penstock.agent.layout import task_directory
from penstock.messages import Gang, MakeNode, RunTask

_KEPT: Final = ("LANG", "LANGUAGE", "TZ", "TMPDIR", "USER")
_GANG_PORT: Final = 6000  # of the primary
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base_environment(own: Mapping[str, str]) -> dict[str, str]:
    """What a task inherits of the node host's environment, credentials and settings not."""
    kept = {name: value for name, value in own.items() if name in _KEPT or name.startswith("LC_")}
    kept.setdefault("USER", "root")
    return {"PATH": own.get("PATH") or _DEFAULT_PATH, **kept}


def node_environment(node: MakeNode, root: str, reserved_bytes: int) -> dict[str, str]:
    """What is the same for all that runs on a node; no task may use the reserved disk space."""
    return {
        "AZ_BATCH_ACCOUNT_NAME": node.account,
        "AZ_BATCH_ACCOUNT_URL": node.account_url,
        "AZ_BATCH_POOL_ID": node.pool_id,
        "AZ_BATCH_NODE_ID": node.node_id,
        "AZ_BATCH_NODE_IS_DEDICATED": "true" if node.dedicated else "false",
        "AZ_BATCH_NODE_ROOT_DIR": root,
        "AZ_BATCH_NODE_SHARED_DIR": f"{root}/shared",
        "AZ_BATCH_NODE_STARTUP_DIR": f"{root}/startup",
        "AZ_BATCH_NODE_STARTUP_WORKING_DIR": f"{root}/startup/wd",
        "AZ_BATCH_NODE_MOUNTS_DIR": f"{root}/fsmounts",
        "AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES": str(reserved_bytes),
    }


def run_environment(
    base: Mapping[str, str], of_node: Mapping[str, str], run: Run, directory: str
) -> dict[str, str]:
    """Put it together; the user may replace ours, but none of ``AZ_BATCH_*``."""
    work = f"{directory}/wd"
    environment = {**base, "HOME": work, **run.order.environment, **of_node}
    environment["AZ_BATCH_TASK_DIR"] = directory
    environment["AZ_BATCH_TASK_WORKING_DIR"] = work
    order = run.order
    if isinstance(order, RunTask):
        environment["AZ_BATCH_JOB_ID"] = order.job_id
        environment["AZ_BATCH_TASK_ID"] = order.task_id
        root = of_node["AZ_BATCH_NODE_ROOT_DIR"]
        if order.preparation_id is not None:
            prepared = f"{root}/{task_directory(order.job_id, order.preparation_id)}"
            environment["AZ_BATCH_JOB_PREP_DIR"] = prepared
            environment["AZ_BATCH_JOB_PREP_WORKING_DIR"] = f"{prepared}/wd"
        if order.gang is not None:
            shared = f"{root}/{task_directory(order.job_id, order.task_id)}"
            environment.update(_gang_environment(order.gang, shared))
    return environment


def _gang_environment(gang: Gang, shared: str) -> dict[str, str]:
    """What the primary and the subtasks of a multi-instance task are told of each other."""
    sizes = " ".join(
        f"{address} {cores}" for address, cores in zip(gang.addresses, gang.cores, strict=True)
    )
    return {
        "AZ_BATCH_NODE_LIST": ";".join(gang.addresses),
        "AZ_BATCH_HOST_LIST": ",".join(gang.addresses),
        "AZ_BATCH_MASTER_NODE": f"{gang.addresses[0]}:{_GANG_PORT}",
        "AZ_BATCH_IS_CURRENT_NODE_MASTER": "true" if gang.index == 0 else "false",
        "AZ_BATCH_TASK_SHARED_DIR": shared,
        "CCP_NODES": f"{len(gang.addresses)} {sizes}",
    }
