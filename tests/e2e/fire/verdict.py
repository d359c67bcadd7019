"""The record of the service held against the ledger of the tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from azure.batch import BatchClient
from azure.batch.models import BatchTask, BatchTaskExecutionInfo, BatchTaskState

from tests.e2e.fire.ledger import Ledger
from tests.e2e.fire.workload import Wanted


@dataclass(slots=True)
class Verdict:
    """What came out. The lists name tasks; all of them should be empty."""

    tasks: int = 0
    requeued: int = 0  # runs that the record says were cut short
    unseen: int = 0  # of those, the ones that were cut before they could write a line
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # results, counts and order

    def expect_truth(self) -> None:
        """Fail, naming them, if tasks were lost or doubled or ended otherwise than they should."""
        assert not self.lost, f"{len(self.lost)} lost: {self.lost[:10]}"
        assert not self.doubled, f"{len(self.doubled)} doubled: {self.doubled[:10]}"
        assert not self.wrong, f"{len(self.wrong)} wrong: {self.wrong[:10]}"


def judge(client: BatchClient, ledger: Ledger, wanted: Sequence[Wanted]) -> Verdict:
    """Look at every task that was acknowledged. All jobs have to be at rest."""
    verdict = Verdict(tasks=len(wanted))
    verdict.doubled += [it for it in ledger.complaints() if "twice" in it]
    verdict.wrong += [it for it in ledger.complaints() if "twice" not in it]
    for job in dict.fromkeys(task.job for task in wanted):
        _judge_job(client, ledger, [task for task in wanted if task.job == job], verdict)
    return verdict


def _judge_job(
    client: BatchClient, ledger: Ledger, wanted: Sequence[Wanted], verdict: Verdict
) -> None:
    job = wanted[0].job
    listed = list(client.list_tasks(job))
    found = {task.id: task for task in listed}
    if len(found) != len(listed):
        verdict.doubled.append(f"{job} lists a task twice")
    verdict.lost += [task.mark for task in wanted if task.id not in found]
    if strangers := set(found) - {task.id for task in wanted}:
        verdict.wrong.append(f"{job} has tasks that were never answered: {sorted(strangers)[:5]}")
    for task in wanted:
        if task.id in found:
            _judge_task(task, found[task.id], ledger, verdict)
    counts = client.get_job_task_counts(job).task_counts
    good = sum(task.exit_code == 0 for task in wanted)
    expected = (0, 0, len(wanted), good, len(wanted) - good)
    said = (counts.active, counts.running, counts.completed, counts.succeeded, counts.failed)
    if said != expected:
        verdict.wrong.append(f"{job} counts {said} and not {expected}")


def _judge_task(wanted: Wanted, task: BatchTask, ledger: Ledger, verdict: Verdict) -> None:
    info = task.execution_info
    starts, ends = ledger.starts(wanted.mark), ledger.ends(wanted.mark)
    if task.state != BatchTaskState.COMPLETED or info is None or ends == 0:
        verdict.lost.append(f"{wanted.mark} is {task.state} after {ends} whole runs")
        return
    verdict.requeued += info.requeue_count
    unseen = 1 + info.requeue_count + info.retry_count - starts
    verdict.unseen += max(0, unseen)
    if unseen < 0:
        verdict.doubled.append(f"{wanted.mark} began {starts} times; {info.as_dict()}")
    if unseen > info.requeue_count or not _as_wanted(wanted, info):
        verdict.wrong.append(f"{wanted.mark} began {starts} times; {info.as_dict()}")


def _as_wanted(wanted: Wanted, info: BatchTaskExecutionInfo) -> bool:
    """Whether a task ended as it should have. A run that was cut short may have been one of those
    that fail, so a task that was requeued may have used fewer retries."""
    fewer = info.requeue_count > 0 and info.retry_count < wanted.failing
    return (
        (fewer or info.retry_count == wanted.failing)
        and info.exit_code == wanted.exit_code
        and info.result == ("success" if wanted.exit_code == 0 else "failure")
        and info.start_time is not None
        and info.end_time is not None
        and info.start_time <= info.end_time
        and (info.requeue_count > 0) == (info.last_requeue_time is not None)
        and (info.retry_count > 0) == (info.last_retry_time is not None)
    )
