"""The owners of jobs of every kind, and what these go through."""

from __future__ import annotations

import asyncio
from typing import Final

from penstock.domain.conditions import ANY
from penstock.domain.instants import Duration
from penstock.domain.records import JobRecord, TaskRecord
from penstock.domain.refusals import (
    ActiveJobAndScheduleQuotaReached,
    JobExists,
    Refusal,
    TaskExists,
)
from penstock.domain.specs.common import (
    OutputContainer,
    OutputDestination,
    OutputFile,
    TaskConstraints,
    UploadOptions,
)
from penstock.domain.specs.job import JobConstraints, JobPatch, JobSpec, PoolInfo
from penstock.domain.specs.task import (
    AffinityInfo,
    Dependencies,
    ExitConditions,
    ExitOptions,
    TaskIdRange,
    TaskSpec,
)
from penstock.domain.states import JobState, TaskResult
from tests.sim.checks import JobName
from tests.sim.pool_users import PoolUser
from tests.sim.special_specs import Specials
from tests.sim.users import FILES, User
from tests.sim.world import World

OUTPUTS: Final = [
    OutputFile(
        file_pattern="*",
        destination=OutputDestination(container=OutputContainer(container_url="http://files/c")),
        upload_options=UploadOptions(upload_condition="taskcompletion"),
    )
]


class JobUser(User):
    """The owner of one job. `kind` says what the job goes through."""

    def __init__(
        self, world: World, account: str, name: str, kind: str, pools: list[PoolUser]
    ) -> None:
        super().__init__(world, account, name)
        self.kind = kind
        self.pools = pools
        self.pool = self.random.choice(pools)
        self.wanted = self.random.randint(3, 25)
        # Where most tasks are short, nodes are sent their next ones ahead.
        self.lengths: tuple[float, ...] = (0.05, 0.5, 0.5, 2, 2, 8, 8, 40)
        if self.random.random() < 0.5 and world.pace.factor == 1:
            self.lengths = (0.005, 0.01, 0.01, 0.02, 0.02, 0.05, 0.05, 8)
        self.lengths = tuple(length * world.pace.factor for length in self.lengths)
        self.tasks: list[str] = []
        self.moved = False
        self.spared = kind in _SPARED and not self.pool.harsh
        self.gangs = kind == "gang" and self.pool.talks
        self.specials = Specials(self.random, world.pace.factor, kind, spared=self.spared)
        self.preemptible = self.random.random() < 0.25

    @property
    def job(self) -> JobName:
        return self.account, self.name

    def record(self) -> JobRecord | None:
        jobs = self.world.disk.jobs.values()
        return next((job for job in jobs if (job.account, job.id) == self.job), None)

    def task_records(self) -> list[TaskRecord]:
        record = self.record()
        no = record.no if record is not None else 0
        return [task for task in self.world.disk.tasks.values() if task.job_no == no]

    async def live(self) -> None:
        await self.pause(5)
        await self.create()
        adding = asyncio.ensure_future(self._add_all())
        try:
            for _ in range(self.random.randint(1, 8)):
                await self.pause(8)
                await self._do_something()
            await adding
        finally:
            adding.cancel()
        await self._end()

    async def create(self) -> None:
        random = self.random
        spec = JobSpec(
            id=self.name,
            pool_info=PoolInfo(pool_id=self.pool.name),
            priority=random.choice((-5, 0, 0, 5)),
            max_parallel_tasks=random.choice((-1, -1, 1, 2, 3)),
            constraints=self._limit(),
            uses_task_dependencies=True if self.kind in ("chain", "web") else None,
            on_task_failure="performexitoptionsjobaction" if self.kind == "acting" else None,
            allow_task_preemption=True if self.preemptible else None,
            **self.specials.of_job(),
        )
        made = await self.ask(lambda engine: engine.add_job(self.account, spec))
        known = JobExists | ActiveJobAndScheduleQuotaReached
        assert not isinstance(made, Refusal) or isinstance(made, known), made

    def _limit(self) -> JobConstraints | None:
        if self.kind != "limited":
            return None
        limit_s = self.random.randint(5, 60) * self.world.pace.factor
        return JobConstraints(max_wall_clock_time=Duration.of_seconds(limit_s))

    async def _add_all(self) -> None:
        while len(self.tasks) < self.wanted:
            count = min(self.random.randint(1, 6), self.wanted - len(self.tasks))
            specs = [self._spec(str(len(self.tasks) + 1 + more)) for more in range(count)]
            self.tasks += [spec.id for spec in specs]
            await self._add(specs)
            await self.pause(6)

    async def _add(self, specs: list[TaskSpec]) -> None:
        answers = await self.ask(lambda e: e.add_tasks(self.account, self.name, specs))
        if isinstance(answers, Refusal):
            return
        for spec, answer in zip(specs, answers, strict=True):
            if isinstance(answer, TaskRecord | TaskExists):
                self.world.watch.acknowledged(self.job, spec.id)
            else:
                raise AssertionError(answer)

    def _spec(self, task_id: str) -> TaskSpec:
        random = self.random
        command = f"work {random.choice(self.lengths)}"
        if random.random() < 0.2:
            command += random.choice((" stubborn", " polite"))
        if self.kind == "failing":
            command += random.choice(
                (" fail=0.5", " fail=0.5", " fail=1", " missing", " nofile", " noupload")
            )
        elif self.kind in ("web", "acting", "gang"):
            command += " fail=0.3"
        gang = self.gangs and random.random() < 0.5
        return TaskSpec(
            id=task_id,
            command_line=command,
            required_slots=random.randint(1, min(pool.slots for pool in self.pools)),
            multi_instance_settings=self.specials.gang(self.pool.target) if gang else None,
            resource_files=FILES if random.random() < 0.2 or "nofile" in command else None,
            output_files=OUTPUTS if random.random() < 0.15 or "noupload" in command else None,
            constraints=self._constraints(command),
            depends_on=self._depends(int(task_id)),
            affinity_info=self._affinity(),
            exit_conditions=self._conditions(),
        )

    def _constraints(self, command: str) -> TaskConstraints | None:
        retries = None
        if "fail" in command:
            retries = -1 if "fail=0.5" in command else self.random.randint(0, 2)
        seconds = self.random.choice((None, None, 0, 5 * self.world.pace.factor))
        limited = not self.spared and self.random.random() < 0.2
        return TaskConstraints(
            max_task_retry_count=retries,
            retention_time=None if seconds is None else Duration.of_seconds(seconds),
            max_wall_clock_time=Duration.of_seconds(1) if limited else None,
        )

    def _depends(self, number: int) -> Dependencies | None:
        if self.kind not in ("chain", "web") or number == 1 or self.random.random() < 0.3:
            return None
        if self.random.random() < 0.5:
            most = min(3, number - 1)
            ids = self.random.sample(range(1, number), self.random.randint(1, most))
            return Dependencies(task_ids=[str(n) for n in ids])
        start = self.random.randint(1, number - 1)
        end = self.random.randint(start, number - 1)
        return Dependencies(task_id_ranges=[TaskIdRange(start=start, end=end)])

    def _affinity(self) -> AffinityInfo | None:
        nodes = list(self.world.disk.nodes.values())
        if not nodes or self.random.random() < 0.8:
            return None
        return AffinityInfo(affinity_id=f"TVM:{self.random.choice(nodes).id}")

    def _conditions(self) -> ExitConditions | None:
        if self.kind == "web" and self.random.random() < 0.5:
            return ExitConditions(default=ExitOptions(dependency_action="satisfy"))
        if self.kind == "acting":
            action = self.random.choice(("none", "disable", "terminate"))
            return ExitConditions(default=ExitOptions(job_action=action))
        return None

    # --- what happens to it --------------------------------------------------------------------

    async def _do_something(self) -> None:
        if self.kind == "paused":
            await self._pause_job()
        elif self.kind == "moving":
            await self._move_job()
        elif self.kind in ("failing", "web", "victim", "gang", "prepared", "managed"):
            for _ in range(3):
                await self._meddle()
        await self._patch()

    async def _patch(self) -> None:
        patch = JobPatch(
            priority=self.random.choice((-5, 0, 5)), max_parallel_tasks=self.random.choice((-1, 2))
        )
        if self.random.random() < 0.3:
            await self.ask(lambda e: e.patch_job(self.account, self.name, patch, ANY))

    async def _pause_job(self) -> None:
        how = self.random.choice(("requeue", "wait") if self.spared else ("terminate", "requeue"))
        await self.ask(lambda e: e.disable_job(self.account, self.name, how, ANY))
        await self.pause(5)
        await self.ask(lambda e: e.enable_job(self.account, self.name, ANY))

    async def _move_job(self) -> None:
        await self.ask(lambda e: e.disable_job(self.account, self.name, "requeue", ANY))
        for _ in range(20):
            await self.pause(1)
            pool = self.random.choice([p for p in self.pools if self.pool.harsh or not p.harsh])
            if await self._move_to(pool):
                break
        await self.ask(lambda e: e.enable_job(self.account, self.name, ANY))

    async def _move_to(self, pool: PoolUser) -> bool:
        patch = JobPatch(pool_info=PoolInfo(pool_id=pool.name))
        answer = await self.ask(lambda e: e.patch_job(self.account, self.name, patch, ANY))
        if isinstance(answer, Refusal):
            return False
        self.moved = True
        return True

    async def _meddle(self) -> None:
        if not self.tasks:
            return
        task_id = self.random.choice(self.tasks)
        whats = ("terminate", "update", "why", "delete", "reactivate")
        what = self.random.choice(whats)
        if what == "terminate":
            await self.ask(lambda e: e.terminate_task(self.account, self.name, task_id, ANY))
        elif what == "delete":
            self.world.watch.task_doomed(self.job, task_id)
            await self.ask(lambda e: e.delete_task(self.account, self.name, task_id, ANY))
        elif what == "reactivate":
            failed = [t.id for t in self.task_records() if t.result is TaskResult.FAILURE]
            task_id = self.random.choice(failed or [task_id])
            self.world.watch.reactivated.add((*self.job, task_id))
            await self.ask(lambda e: e.reactivate_task(self.account, self.name, task_id, ANY))
        elif what == "update":
            new = TaskConstraints(max_task_retry_count=self.random.randint(0, 3))
            await self.ask(lambda e: e.update_task(self.account, self.name, task_id, new, ANY))
        else:
            await self.ask(lambda e: e.why(self.account, self.name, task_id))

    async def _end(self) -> None:
        if self.kind == "doomed":
            await self.delete(force=self.random.random() < 0.3)
        elif self.kind == "terminated" or (
            self.kind in ("prepared", "gang") and self.random.random() < 0.6
        ):
            force = self.random.random() < 0.3
            if force:
                self.world.watch.forced_jobs.add(self.job)
            await self.ask(
                lambda e: e.terminate_job(self.account, self.name, None, ANY, force=force)
            )
        elif self.kind in ("plain", "tidy", "led") and self.random.random() < 0.5:
            patch = JobPatch(on_all_tasks_complete="terminatejob")
            await self.ask(lambda e: e.patch_job(self.account, self.name, patch, ANY))

    async def make_whole(self) -> None:
        """Let the job go on, if it is to."""
        record = self.record()
        if record is not None and record.state in (JobState.DISABLED, JobState.DISABLING):
            await self.ask(lambda e: e.enable_job(self.account, self.name, ANY))

    async def delete(self, *, force: bool) -> None:
        self.world.watch.job_doomed(self.job)
        if force:
            self.world.watch.forced_jobs.add(self.job)
        await self.ask(lambda e: e.delete_job(self.account, self.name, ANY, force=force))


KINDS: Final = (
    "plain",
    "chain",
    "paused",
    "moving",
    "failing",
    "web",
    "victim",
    "acting",
    "doomed",
    "terminated",
    "limited",
    "tidy",
    "prepared",
    "prepared",
    "led",
    "managed",
    "gang",
    "gang",
)
"""Jobs that are left alone, with dependencies, disabled and enabled, moved between pools, with
tasks that fail; with failing dependencies, meddled with, with job actions, deleted, ended, and
ended by their wall clock limit; with preparation and release that do well or not, with a manager
that does well or not, and with tasks on several nodes."""

_SPARED: Final = ("plain", "chain", "paused", "moving", "tidy", "led")
