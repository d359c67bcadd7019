"""The owners of job schedules, who moves the clock of the service, and who reads of events."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from penstock.domain.conditions import ANY
from penstock.domain.instants import SECOND_US, Duration, instant_text
from penstock.domain.records import ScheduleRecord
from penstock.domain.refusals import (
    ActiveJobAndScheduleQuotaReached,
    JobScheduleExists,
    Refusal,
)
from penstock.domain.specs.job import AutoPool, JobTemplate, PoolInfo
from penstock.domain.specs.pool import PoolTemplate
from penstock.domain.specs.schedule import JobSchedulePatch, JobScheduleSpec, Schedule
from penstock.domain.specs.special import JobManagerTask
from penstock.domain.states import ScheduleState
from penstock.engine.engine import Engine
from penstock.engine.event_log import EventPage
from tests.sim.pool_users import PoolUser
from tests.sim.users import User
from tests.sim.world import NoAnswer, World

INTERVAL_S: Final = 40
"""Between two jobs of a schedule at least, where the pace is not slow."""


class ScheduleUser(User):
    """The owner of one job schedule."""

    def __init__(self, world: World, account: str, name: str, pools: list[PoolUser]) -> None:
        super().__init__(world, account, name)
        self.pool = self.random.choice(pools)

    def record(self) -> ScheduleRecord | None:
        schedules = self.world.disk.schedules.values()
        mine = (self.account, self.name)
        return next((it for it in schedules if (it.account, it.id) == mine), None)

    async def live(self) -> None:
        """Have jobs made, with changes of mind."""
        await self.pause(10)
        await self._create()
        for _ in range(self.random.randint(1, 6)):
            await self.pause(30)
            await self._do_something()

    async def _create(self) -> None:
        random = self.random
        pace = self.world.pace.factor
        template = JobTemplate(
            pool_info=self._pool_info(),
            priority=random.choice((-5, 0, 5)),
            on_all_tasks_complete="terminatejob",
            job_manager_task=JobManagerTask(
                id="manager",
                command_line=f"work {random.choice((1, 10, 60)) * pace}",
                run_exclusive=random.choice((True, False)),
            )
            if random.random() < 0.8
            else None,
        )
        spec = JobScheduleSpec(id=self.name, schedule=self._times(), job_specification=template)
        made = await self.ask(lambda engine: engine.add_schedule(self.account, spec))
        known = JobScheduleExists | ActiveJobAndScheduleQuotaReached
        assert not isinstance(made, Refusal) or isinstance(made, known), made

    def _pool_info(self) -> PoolInfo:
        random = self.random
        if random.random() < 0.4:
            return PoolInfo(pool_id=self.pool.name)
        auto = AutoPool(
            auto_pool_id_prefix=random.choice((None, "auto")),
            pool_lifetime_option=random.choice(("job", "jobschedule")),
            keep_alive=random.choice((None, False, False, True)),
            pool=PoolTemplate(vm_size="standard_d4_v3", target_dedicated_nodes=1),
        )
        return PoolInfo(auto_pool_specification=auto)

    def _times(self) -> Schedule:
        random = self.random
        unit_s = INTERVAL_S * self.world.pace.factor
        now_us = self.world.service_us()
        later_us = now_us + int(random.uniform(-1, 2) * unit_s * SECOND_US)
        end_us = now_us + int(random.uniform(2, 20) * unit_s * SECOND_US)
        window_s = random.choice((None, None, 0.5, 2))
        interval_s = random.choice((1, 1, 3, 10, None))
        return Schedule(
            do_not_run_until=random.choice((None, instant_text(later_us))),
            do_not_run_after=random.choice((None, None, instant_text(end_us))),
            start_window=None if window_s is None else Duration.of_seconds(int(window_s * unit_s)),
            recurrence_interval=None
            if interval_s is None
            else Duration.of_seconds(interval_s * unit_s),
        )

    async def _do_something(self) -> None:
        what = self.random.choice(("disable", "enable", "patch", "job", "job", "end"))
        record, mine = self.record(), (self.account, self.name)
        if what == "disable":
            await self.ask(lambda e: e.disable_schedule(*mine, ANY))
            await self.pause(20)
            await self.ask(lambda e: e.enable_schedule(*mine, ANY))
        elif what == "enable":
            await self.ask(lambda e: e.enable_schedule(*mine, ANY))
        elif what == "patch":
            patch = JobSchedulePatch(schedule=self._times())
            await self.ask(lambda e: e.patch_schedule(*mine, patch, ANY))
        elif what == "job" and record is not None and record.recent_job is not None:
            job_id = record.recent_job
            await self.ask(lambda e: e.delete_job(self.account, job_id, ANY, force=False))
        elif what == "end" and self.random.random() < 0.3:
            await self.terminate()

    async def terminate(self) -> None:
        """Have no more jobs made."""
        mine = (self.account, self.name)
        await self.ask(lambda e: e.terminate_schedule(*mine, ANY, force=False))

    async def make_whole(self) -> None:
        """Have no more jobs made, and wait until the last is over."""
        await self.terminate()
        await self.until(self._is_over)

    def _is_over(self) -> bool:
        record = self.record()
        return record is None or record.state is ScheduleState.COMPLETED

    async def delete(self) -> None:
        """Let it go with its jobs."""
        mine = (self.account, self.name)
        await self.ask(lambda e: e.delete_schedule(*mine, ANY, force=False))


class ClockUser(User):
    """Someone who lets the time of the service pass faster."""

    async def live(self) -> None:
        for _ in range(self.random.randint(1, 5)):
            await self.pause(40)
            longest_s = INTERVAL_S * self.world.pace.factor * self.random.choice((1, 5, 25))
            by_us = int(self.random.uniform(0, longest_s) * SECOND_US)
            try:
                await self.world.call(partial(_advance, by_us=by_us))
            except (NoAnswer, Refusal):
                await asyncio.sleep(1)  # it may be that it has moved, or goes on


class Reader(User):
    """Someone who reads the log of events, page by page."""

    async def live(self) -> None:
        """Read on until the end of the world."""
        after = 0
        while True:
            await self.pause(5)
            try:
                page = await self.world.call(
                    partial(_page, account=self.account, after=after, limit=20)
                )
            except NoAnswer:
                continue
            self.world.watch.replay.read(self.account, after, page)
            after = page.next


async def _page(engine: Engine, account: str, after: int, limit: int) -> EventPage:
    return await engine.events.page(account, after, limit)


async def _advance(engine: Engine, by_us: int) -> None:
    await engine.clock.advance(by_us)
