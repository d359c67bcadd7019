"""What runs beside ordinary tasks: parts of multi-instance tasks, and what jobs do on nodes.

Both are named on the link by numbers of their own, by which reports about them are found.
"""

from __future__ import annotations

from penstock.domain.records import JobNodeRecord, SubtaskRecord


class Subtasks:
    """The parts of the multi-instance tasks that nodes have now."""

    def __init__(self) -> None:
        self._all: dict[int, SubtaskRecord] = {}
        self._of_task: dict[int, dict[int, None]] = {}

    def get(self, no: int) -> SubtaskRecord | None:
        """Find a part by its number."""
        return self._all.get(no)

    def of(self, task_no: int) -> list[SubtaskRecord]:
        """The parts of a task, by index."""
        return [self._all[no] for no in self._of_task.get(task_no, ())]

    def put(self, subtask: SubtaskRecord) -> None:
        """Let a part be so."""
        self._all[subtask.no] = subtask
        self._of_task.setdefault(subtask.task_no, {})[subtask.no] = None

    def drop(self, task_no: int) -> None:
        """Forget the parts of a task."""
        for no in self._of_task.pop(task_no, ()):
            del self._all[no]


class JobNodes:
    """What jobs that are not over have done on nodes that are there."""

    def __init__(self) -> None:
        self._all: dict[int, JobNodeRecord] = {}
        self._runs: dict[int, int] = {}  # by the number of a run
        self._places: dict[tuple[int, int], int] = {}  # by job and node
        self._of_job: dict[int, dict[int, None]] = {}
        self._of_node: dict[int, dict[int, None]] = {}

    def get(self, job_no: int, node_no: int) -> JobNodeRecord | None:
        """What a job has done on a node, if anything."""
        return self._all.get(self._places.get((job_no, node_no), 0))

    def of_run(self, run_no: int) -> JobNodeRecord | None:
        """Find by the number of a preparation or release run."""
        return self._all.get(self._runs.get(run_no, 0))

    def of_job(self, job_no: int) -> list[JobNodeRecord]:
        """All of a job, oldest first."""
        return [self._all[no] for no in self._of_job.get(job_no, ())]

    def of_node(self, node_no: int) -> list[JobNodeRecord]:
        """All on a node, oldest first."""
        return [self._all[no] for no in self._of_node.get(node_no, ())]

    def put(self, job_node: JobNodeRecord) -> None:
        """Let it be so."""
        no = job_node.no
        self._all[no] = job_node
        self._runs[no] = self._runs[job_node.release_no] = no
        self._places[job_node.job_no, job_node.node_no] = no
        self._of_job.setdefault(job_node.job_no, {})[no] = None
        self._of_node.setdefault(job_node.node_no, {})[no] = None

    def drop_job(self, job_no: int) -> None:
        """Forget what a job has done."""
        for job_node in self.of_job(job_no):
            self._drop(job_node)

    def drop_node(self, node_no: int) -> None:
        """Forget what was done on a node."""
        for job_node in self.of_node(node_no):
            self._drop(job_node)

    def _drop(self, job_node: JobNodeRecord) -> None:
        del self._all[job_node.no]
        del self._runs[job_node.no], self._runs[job_node.release_no]
        del self._places[job_node.job_no, job_node.node_no]
        for index, key in ((self._of_job, job_node.job_no), (self._of_node, job_node.node_no)):
            del index[key][job_node.no]
            if not index[key]:
                del index[key]
