"""Pages of a list that changes while a client reads on: nothing twice, nothing missed."""

from __future__ import annotations

from azure.batch import BatchClient

from tests.e2e.things import add, all_completed, task_options

MANY = 600
EVERY = 10
FAILED = "state eq 'completed' and executionInfo/exitCode ne 0"


def test_a_job_is_walked_while_its_tasks_run_and_come_and_go(batch: BatchClient, job: str) -> None:
    stays = [f"t{n:04d}" for n in range(MANY)]
    goes = [f"t{n:04d}-goes" for n in range(0, MANY, 20)]
    commands = ["/bin/false" if n % EVERY == 0 else "/bin/true" for n in range(MANY)]
    named = [*zip(stays, commands, strict=True), *((name, "/bin/true") for name in goes)]
    batch.create_tasks(job, [task_options(*each) for each in named])

    seen: list[str] = []
    left = list(goes)
    for number, page in enumerate(batch.list_tasks(job, max_results=25).by_page()):
        seen += [task.id for task in page]
        if left:
            batch.delete_task(job, left.pop(number % len(left)))  # before the walk, or behind it
        add(batch, job, task_options(f"t{number:04d}-new", "/bin/true"))

    assert len(seen) == len(set(seen)), "a task came twice"
    assert [name for name in seen if name in set(stays)] == stays, "one that stayed was missed"

    all_completed(batch, job, MANY + len(left) + number + 1, within_s=60)
    found: list[str] = []
    for page in batch.list_tasks(job, filter=FAILED, max_results=7).by_page():
        found += [task.id for task in page]
    assert found == stays[::EVERY]
