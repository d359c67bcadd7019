"""Search a text for a regular expression: mappers search pieces, a reducer puts them together.

The job brings a pool of its own, which lives as long as the job does. Each mapper gets one piece
of the text, and the reducer waits for the range of all mappers. Once everything is added, the job
is told to end with its last task, and its pool goes with it.

    python examples/scenarios/text_search.py READY_FILE
"""

from __future__ import annotations

import shlex
from pydoc_data import topics

from azure.batch.models import (
    BatchAllTasksCompleteMode,
    BatchAutoPoolSpecification,
    BatchJobCreateOptions,
    BatchJobUpdateOptions,
    BatchPoolInfo,
    BatchPoolSpecification,
    BatchTaskCreateOptions,
    BatchTaskDependencies,
    BatchTaskIdRange,
)
from common import VM_SIZE, machine, scenario, shell, wait
from storage import Container

NODES = 2
SLOTS = 2
MAPPERS = 6
EXPRESSION = r"iterat(or|ion|ing)s?"  # understood alike by grep and by Python


def text() -> list[str]:
    """The lines of a text: what Python's help says of the language."""
    return "\n".join(topics.topics[name] for name in sorted(topics.topics)).split("\n")


def own_pool(run: str) -> BatchPoolInfo:
    """A pool that is made for the job and deleted with it."""
    specification = BatchPoolSpecification(
        vm_size=VM_SIZE,
        virtual_machine_configuration=machine(),
        target_dedicated_nodes=NODES,
        task_slots_per_node=SLOTS,
    )
    auto_pool = BatchAutoPoolSpecification(
        auto_pool_id_prefix=run[:20], pool_lifetime_option="job", pool=specification
    )
    return BatchPoolInfo(auto_pool_specification=auto_pool)


def mapper(container: Container, number: int, lines: list[str]) -> BatchTaskCreateOptions:
    """Upload a piece; give the task that searches it. grep ends with 1 where it finds nothing."""
    piece = f"pieces/{number}.txt"
    given = container.put(piece, "".join(f"{line}\n" for line in lines).encode())
    search = f"grep -aE {shlex.quote(EXPRESSION)} {piece} > found.txt || test $? = 1"
    return BatchTaskCreateOptions(
        id=str(number),
        command_line=shell(search),
        resource_files=[given],
        output_files=[container.output("found.txt", f"found/{number}.txt")],
    )


def reducer(container: Container) -> BatchTaskCreateOptions:
    """The task that puts together what all mappers found, in the order of the text."""
    files = " ".join(f"found/{number}.txt" for number in range(1, MAPPERS + 1))
    return BatchTaskCreateOptions(
        id="reducer",
        command_line=shell(f"cat {files} > result.txt; wc -l < result.txt"),
        resource_files=[container.all("found/")],
        output_files=[container.output("result.txt", "result.txt")],
        depends_on=BatchTaskDependencies(task_id_ranges=[BatchTaskIdRange(start=1, end=MAPPERS)]),
    )


def main() -> None:
    """Run the search and show what it found."""
    with (
        scenario("search", __doc__) as (account, batch, run),
        Container(account.storage, run) as container,
    ):
        batch.create_job(
            BatchJobCreateOptions(id=run, pool_info=own_pool(run), uses_task_dependencies=True)
        )
        lines = text()
        cuts = [len(lines) * number // MAPPERS for number in range(MAPPERS + 1)]
        mappers = [
            mapper(container, n, lines[cuts[n - 1] : cuts[n]]) for n in range(1, MAPPERS + 1)
        ]
        batch.create_tasks(run, [reducer(container), *mappers])
        terminate = BatchAllTasksCompleteMode.TERMINATE_JOB
        batch.update_job(run, BatchJobUpdateOptions(all_tasks_complete_mode=terminate))

        wait(lambda: batch.get_job(run).state == "completed", "the end of the job")
        info = batch.get_job(run).execution_info
        wait(lambda: info.pool_id not in {pool.id for pool in batch.list_pools()}, "its pool's end")
        found = container.get("result.txt").decode()
        print(f"job ended: {info.termination_reason}; its pool {info.pool_id} is gone")
        print(f"{found.count(chr(10))} of {len(lines)} lines match {EXPRESSION}")
        print(found, end="")


if __name__ == "__main__":
    main()
