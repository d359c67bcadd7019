"""Tasks that wait for others, by id and by range.

Rain and sun make flowers grow; the flowers feed tasks 1 to 5; a last task waits for those five.

    python examples/scenarios/task_dependencies.py READY_FILE
"""

from __future__ import annotations

from itertools import pairwise

from azure.batch.models import (
    BatchJobCreateOptions,
    BatchPoolInfo,
    BatchTaskCreateOptions,
    BatchTaskDependencies,
    BatchTaskIdRange,
)
from common import Span, create_pool, scenario, span, stdout, timed, wait_for_tasks

NODES = 2
SLOTS = 2
BEES = 5


def task(task_id: str, script: str, *wanted: str) -> BatchTaskCreateOptions:
    """A task that waits until those it wants have succeeded."""
    wants = BatchTaskDependencies(task_ids=list(wanted)) if wanted else None
    return BatchTaskCreateOptions(id=task_id, command_line=timed(script), depends_on=wants)


def garden() -> list[BatchTaskCreateOptions]:
    """All tasks. Their order in this list means nothing, so the last comes first."""
    final = task("final", "echo honey")
    final.depends_on = BatchTaskDependencies(task_id_ranges=[BatchTaskIdRange(start=1, end=BEES)])
    return [
        final,
        *(task(str(n), f"sleep 0.1; echo bee {n}", "flowers") for n in range(1, BEES + 1)),
        task("flowers", "sleep 0.1; echo flowers grow", "rain", "sun"),
        task("sun", "sleep 0.2; echo the sun shines"),
        task("rain", "sleep 0.3; echo rain falls"),
    ]


def in_order(spans: dict[str, Span]) -> bool:
    """Whether every task began after the end of all that it had to wait for."""
    bees = [str(n) for n in range(1, BEES + 1)]
    stages = (["rain", "sun"], ["flowers"], bees, ["final"])
    return all(
        spans[later].began > spans[earlier].ended
        for before, after in pairwise(stages)
        for earlier in before
        for later in after
    )


def main() -> None:
    """Run the garden and tell from what the tasks printed whether the order was right."""
    with scenario("dependencies", __doc__) as (_, batch, run):
        create_pool(batch, run, NODES, SLOTS)
        batch.create_job(
            BatchJobCreateOptions(
                id=run, pool_info=BatchPoolInfo(pool_id=run), uses_task_dependencies=True
            )
        )
        tasks = garden()
        batch.create_tasks(run, tasks)
        wait_for_tasks(batch, run, len(tasks))
        outputs = {task.id: stdout(batch, run, task.id) for task in tasks}
        spans = {task_id: span(output) for task_id, output in outputs.items()}
        first = min(spans.values()).began
        for task_id in sorted(spans, key=lambda task_id: spans[task_id]):
            began, ended = ((at - first) / 1e6 for at in spans[task_id])
            said = outputs[task_id].splitlines()[1]
            print(f"{task_id:8} {began:6.0f} to {ended:6.0f} ms  {said}")
        print("in order" if in_order(spans) else "OUT OF ORDER")


if __name__ == "__main__":
    main()
