"""A job that directs itself: its manager is a task that adds the others, and waits for them.

The manager is job_manager_task.py beside this file. It runs on a node with the same SDK, finds
out by itself what there is to do, adds a task for each part, and writes the result. When it ends,
the job is terminated with whatever still runs.

    python examples/scenarios/job_manager.py READY_FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

from azure.batch.models import (
    BatchJobCreateOptions,
    BatchJobManagerTask,
    BatchPoolInfo,
    EnvironmentSetting,
    ResourceFile,
)
from common import Account, create_pool, scenario, stdout, wait
from storage import Container

NODES = 2
SLOTS = 2
UP_TO = 200_000
PARTS = 10
MANAGER = "manager"
HERE = Path(__file__).parent
# The nodes of `penstock up` are this machine, so this Python is there, with the SDK. Nodes
# elsewhere get both from their image or from a start task.
PYTHON = sys.executable


def manager(account: Account, files: list[ResourceFile]) -> BatchJobManagerTask:
    """The task that comes first; the credentials reach it through its environment."""
    settings = {
        "BATCH_ENDPOINT": account.endpoint,
        "BATCH_ACCOUNT": account.name,
        "BATCH_KEY": account.key,
        "UP_TO": str(UP_TO),
        "PARTS": str(PARTS),
    }
    return BatchJobManagerTask(
        id=MANAGER,
        command_line=f"{PYTHON} job_manager_task.py",
        resource_files=files,
        environment_settings=[
            EnvironmentSetting(name=name, value=value) for name, value in settings.items()
        ],
        kill_job_on_completion=True,
        run_exclusive=False,  # its tasks may use the rest of its node
    )


def main() -> None:
    """Hand the job over and wait until it says that it is done."""
    with (
        scenario("manager", __doc__) as (account, batch, run),
        Container(account.storage, run) as container,
    ):
        create_pool(batch, run, NODES, SLOTS)
        script = container.put("job_manager_task.py", (HERE / "job_manager_task.py").read_bytes())
        batch.create_job(
            BatchJobCreateOptions(
                id=run,
                pool_info=BatchPoolInfo(pool_id=run),
                job_manager_task=manager(account, [script]),
            )
        )
        wait(lambda: batch.get_job(run).state == "completed", "the end of the job")
        job = batch.get_job(run)
        print(f"job ended: {job.execution_info.termination_reason}")
        for task in batch.list_tasks(run):
            info = task.execution_info
            print(f"{task.id:10} {info.result.value} with {info.exit_code}")
        print(stdout(batch, run, MANAGER), end="")


if __name__ == "__main__":
    main()
