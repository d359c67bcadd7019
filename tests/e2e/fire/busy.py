"""A service that is caught in the middle of its work, and left alone until that is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from azure.batch import BatchClient
from azure.batch.models import BatchNodeState

from tests.e2e.fire.ledger import Ledger
from tests.e2e.fire.verdict import Verdict, judge
from tests.e2e.fire.workload import Wanted
from tests.e2e.things import job_options, nodes_ready, pool_options, task_options
from tests.e2e.waiting import eventually

NODES = 4
SLOTS = 4
AT_ONCE = NODES * SLOTS
TASKS = 80
WITHIN_S = 60.0
SILENT_S = 1.5
LONG_S = 3.0
"""Tasks of this length are still there when their node host was given up and comes back."""


def make_busy(
    client: BatchClient, ledger: Ledger, *, tasks: int = TASKS, seconds: float = 0.2
) -> list[Wanted]:
    """Give it tasks of one length, and wait until all slots are taken."""
    client.create_pool(pool_options("p", nodes=NODES, slots=SLOTS))
    nodes_ready(client, "p", NODES)
    client.create_job(job_options("j", "p"))
    wanted = [
        Wanted("j", task_id, ledger.line(f"j.{task_id}", seconds=seconds))
        for task_id in (f"t{number:03d}" for number in range(tasks))
    ]
    client.create_tasks("j", [task_options(task.id, task.line, retries=0) for task in wanted])
    eventually(lambda: ledger.runs().begun >= AT_ONCE, WITHIN_S, "as many runs as slots")
    return wanted


def finished(client: BatchClient, ledger: Ledger, wanted: Sequence[Wanted]) -> Verdict:
    """Wait for the end of all tasks and see that none was lost or doubled."""
    drained(client, Counter(task.job for task in wanted))
    verdict = judge(client, ledger, wanted)
    verdict.expect_truth()
    return verdict


def drained(client: BatchClient, expected: Counter[str]) -> None:
    """Wait until as many tasks of these jobs are completed."""

    def seen() -> dict[str, object]:
        return {job: client.get_job_task_counts(job).as_dict() for job in expected}

    def done() -> bool:
        return all(
            client.get_job_task_counts(job).task_counts.completed == count
            for job, count in expected.items()
        )

    eventually(done, WITHIN_S, "the end of all tasks", seen=seen, every_s=0.1)


def given_up(client: BatchClient) -> bool:
    """Whether the server counts all nodes as lost."""
    return {node.state for node in client.list_nodes("p")} == {BatchNodeState.UNKNOWN}


def in_full_swing(ledger: Ledger) -> None:
    """Wait until runs have just begun, so that they still run in a moment."""
    before = ledger.runs()
    eventually(
        lambda: ledger.runs().begun >= before.begun + AT_ONCE // 2, WITHIN_S, "runs that begin"
    )


def all_ended(ledger: Ledger) -> None:
    """Wait until all runs that began have come to their end, unseen by the service."""
    before = ledger.runs()
    eventually(lambda: len(set(ledger.runs())) == 1, WITHIN_S, "the end of all runs")
    assert ledger.runs().ended > before.ended


def soon_silent(directory: Path) -> tuple[str, ...]:
    """Options that make a server give hosts up after `SILENT_S` seconds of silence."""
    file = directory / "penstock.toml"
    file.write_text(f"heartbeat_s = 0.25\nnode_silent_s = {SILENT_S}\n")
    return ("--config", str(file))
