"""Several tasks at once on each node: slots, tasks that need more than one, and a limit per job.

Two nodes have four slots each. In the first job small tasks take one slot and large ones two; in
the second at most three tasks run at once, though there is room for eight. How many really ran
at once is found from what the tasks printed.

    python examples/scenarios/parallel_tasks.py READY_FILE
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from azure.batch import BatchClient
from azure.batch.models import BatchJobCreateOptions, BatchPoolInfo, BatchTaskCreateOptions
from common import Span, create_pool, scenario, span, stdout, timed, wait_for_tasks

NODES = 2
SLOTS = 4
SMALL, LARGE = 16, 8
LARGE_SLOTS = 2
AT_ONCE = 3
LENGTH_S = 0.5


def tasks(small: int, large: int) -> list[BatchTaskCreateOptions]:
    """Tasks that only take time."""
    slots = {f"small-{n}": 1 for n in range(small)}
    slots |= {f"large-{n}": LARGE_SLOTS for n in range(large)}
    return [
        BatchTaskCreateOptions(
            id=task_id, command_line=timed(f"sleep {LENGTH_S}"), required_slots=needed
        )
        for task_id, needed in slots.items()
    ]


def peak(used: Iterable[tuple[Span, int]]) -> int:
    """The most slots that were in use at once."""
    moments = []
    for (began, ended), slots in used:
        moments += [(began, slots), (ended, -slots)]
    most = now = 0
    for _, change in sorted(moments):
        now += change
        most = max(most, now)
    return most


def run_job(batch: BatchClient, job: BatchJobCreateOptions, added: list) -> dict[str, list]:
    """Run tasks to their end; for each node, when they ran and how many slots they took."""
    batch.create_job(job)
    batch.create_tasks(job.id, added)
    by_node = defaultdict(list)
    for task in wait_for_tasks(batch, job.id, len(added)):
        ran = span(stdout(batch, job.id, task.id))
        by_node[task.node_info.node_id].append((ran, task.required_slots))
    return by_node


def main() -> None:
    """Run both jobs and show how many tasks ran at once."""
    with scenario("parallel", __doc__) as (_, batch, run):
        create_pool(batch, run, NODES, SLOTS)
        pool = BatchPoolInfo(pool_id=run)

        job = BatchJobCreateOptions(id=run, pool_info=pool)
        by_node = run_job(batch, job, tasks(SMALL, LARGE))
        for node_id, used in sorted(by_node.items()):
            print(f"node {node_id}: at most {peak(used)} of {SLOTS} slots")

        job = BatchJobCreateOptions(id=f"{run}-few", pool_info=pool, max_parallel_tasks=AT_ONCE)
        by_node = run_job(batch, job, tasks(SMALL, 0))
        everywhere = [used for node in by_node.values() for used in node]
        print(f"job {job.id}: at most {peak(everywhere)} of {AT_ONCE} tasks at once")


if __name__ == "__main__":
    main()
