"""What users say of the special tasks of jobs, and of tasks on several nodes."""

from __future__ import annotations

from random import Random
from typing import Any

from penstock.domain.specs.common import TaskConstraints
from penstock.domain.specs.special import JobManagerTask, JobPreparationTask, JobReleaseTask
from penstock.domain.specs.task import MultiInstanceSettings
from tests.sim.users import FILES

_BAD = ("", "", " fail=0.4", " fail=0.4", " fail=1", " missing", " nofile")


class Specials:
    """One user's special tasks. `kind` says which the job has; those of `spared` jobs do well."""

    def __init__(self, random: Random, pace: int, kind: str, *, spared: bool) -> None:
        self._random = random
        self._pace = pace
        self._kind = kind
        self._spared = spared

    def of_job(self) -> dict[str, Any]:
        """The parts of a job."""
        found: dict[str, Any] = {}
        if self._kind in ("prepared", "tidy"):
            found["job_preparation_task"] = self._preparation()
            if self._random.random() < 0.8:
                found["job_release_task"] = JobReleaseTask(command_line=self._command(0.3, 1, 4))
        if self._kind in ("managed", "led"):
            found["job_manager_task"] = self._manager()
        return found

    def _command(self, chance: float, *lengths: float) -> str:
        """A command that goes wrong with this chance."""
        command = f"work {self._random.choice(lengths) * self._pace}"
        if self._random.random() < 0.1:
            command += " stubborn"
        if self._random.random() < chance and not self._spared:
            command += self._random.choice(_BAD)
        return command

    def _retries(self, command: str) -> TaskConstraints:
        """No end of tries is for what may go well."""
        hopeful = "fail=0.4" in command
        return TaskConstraints(
            max_task_retry_count=self._random.choice((1, 4, -1) if hopeful else (0, 1))
        )

    def _preparation(self) -> JobPreparationTask:
        random = self._random
        command = self._command(0.4, 0.2, 2, 6)
        return JobPreparationTask(
            command_line=command,
            resource_files=FILES if random.random() < 0.2 else None,
            constraints=self._retries(command),
            wait_for_success=random.choice((None, None, True, False)),
            rerun_on_node_reboot_after_success=random.choice((None, False)),
        )

    def _manager(self) -> JobManagerTask:
        random = self._random
        command = self._command(0.3, 2, 8, 30)
        return JobManagerTask(
            id="manager",
            command_line=command,
            constraints=self._retries(command),
            kill_job_on_completion=False if self._spared else random.choice((None, True, False)),
            run_exclusive=random.choice((None, True, False)),
            allow_low_priority_node=random.choice((None, True, False)),
        )

    def gang(self, most: int) -> MultiInstanceSettings:
        """What a task says of its nodes, of which there are so many."""
        return MultiInstanceSettings(
            number_of_instances=self._random.randint(1, most),
            coordination_command_line=self._command(0.3, 0.2, 1, 4),
            common_resource_files=FILES if self._random.random() < 0.2 else None,
        )
