"""A job that prepares each node before its tasks run there, and cleans up after them.

The preparation task makes a file in the node's shared directory, each task adds a line to it,
and the release task prints the file and removes it when the job is terminated.

    python examples/scenarios/job_prep_release.py READY_FILE
"""

from __future__ import annotations

from azure.batch.models import (
    BatchJobCreateOptions,
    BatchJobPreparationTask,
    BatchJobReleaseTask,
    BatchPoolInfo,
    BatchTaskCreateOptions,
)
from common import create_pool, scenario, shell, wait, wait_for_tasks

NODES = 2
TASKS = 8
FILE = '"$AZ_BATCH_NODE_SHARED_DIR/$AZ_BATCH_JOB_ID.txt"'


def job(run: str) -> BatchJobCreateOptions:
    """A job with a task before and one after all others, on each node that it uses."""
    return BatchJobCreateOptions(
        id=run,
        pool_info=BatchPoolInfo(pool_id=run),
        job_preparation_task=BatchJobPreparationTask(
            command_line=shell(f"echo prepared $AZ_BATCH_NODE_ID > {FILE}"),
            wait_for_success=True,
        ),
        job_release_task=BatchJobReleaseTask(command_line=shell(f"cat {FILE}; rm {FILE}")),
    )


def task(number: int) -> BatchTaskCreateOptions:
    """A task that fails where nothing was prepared."""
    line = f"echo task $AZ_BATCH_TASK_ID $AZ_BATCH_NODE_ID >> {FILE}"
    return BatchTaskCreateOptions(
        id=f"task-{number}", command_line=shell(f"test -e {FILE} && {line} && sleep 0.2")
    )


def main() -> None:
    """Run the job and show what became of each node."""
    with scenario("preparation", __doc__) as (_, batch, run):
        create_pool(batch, run, NODES)
        batch.create_job(job(run))
        batch.create_tasks(run, [task(number) for number in range(TASKS)])
        wait_for_tasks(batch, run, TASKS)

        def shared(node_id: str) -> list[str]:
            """The files of this job in the shared directory of a node."""
            names = (file.name for file in batch.list_node_files(run, node_id, recursive=True))
            return [name for name in names if name == f"shared/{run}.txt"]

        used = [it.node_id for it in batch.list_job_preparation_and_release_task_status(run)]
        for node_id in used:
            (name,) = shared(node_id)
            lines = b"".join(batch.download_node_file(run, node_id, name)).decode().splitlines()
            print(f"node {node_id}: {lines[0]!r}, then {len(lines) - 1} tasks")

        # The job is completed when its release tasks have run.
        reason = {"terminateReason": "all lines are written"}
        batch.begin_terminate_job(run, reason, polling_interval=1).result()
        wait(lambda: batch.get_job(run).state == "completed", "the end of the job")
        for status in batch.list_job_preparation_and_release_task_status(run):
            prepared = status.job_preparation_task_execution_info
            released = status.job_release_task_execution_info
            left = "file left" if shared(status.node_id) else "file removed"
            print(
                f"node {status.node_id}: preparation ended with {prepared.exit_code}, "
                f"release ended with {released.exit_code}, {left}"
            )


if __name__ == "__main__":
    main()
