"""The story of every world: work and trouble together, then peace, then everything goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from random import Random
from typing import Final

from penstock.domain.conditions import ANY
from penstock.domain.records import TaskRecord, key_of
from penstock.domain.states import JobState, NodeState, TaskResult, TaskState
from penstock.engine.engine import Engine
from penstock.engine.turn import Turn
from penstock.engine.why import why
from penstock.scheduler.reasons import Code
from tests.sim.faults import Faults
from tests.sim.invariants import Broken, Invariant
from tests.sim.job_users import KINDS, JobUser
from tests.sim.places import Places
from tests.sim.pool_users import PoolUser
from tests.sim.schedule_users import ClockUser, Reader, ScheduleUser
from tests.sim.users import ACCOUNTS
from tests.sim.world import World

FINISH_S: Final = 2400.0
"""From the end of the faults until everything that can finish must have finished; these bounds
are longer where the pace of the world is slow."""

STEADY_S: Final = 300.0
"""From the end of the faults until each pool has the nodes that its owner wants."""

GONE_S: Final = 300.0
"""From the last deletion until nothing may be left anywhere."""

_STUCK_FOR_GOOD: Final = frozenset(
    {
        Code.DEPENDENCY_FAILED,
        Code.DEPENDENCY_BLOCKED,
        Code.DEPENDENCY_CIRCLE,
        Code.DEPENDENCY_MISSING,
        Code.DEPENDENCY_UNFINISHED,
        Code.JOB_ENDING,
        Code.JOB_COMPLETED,
    }
)


def play(seed: int, *, fault: str | None = None, detail: bool = False) -> World:
    """Play the world of a seed, and let it have this fault for sure.

    Raises `Broken` when something does not hold.
    """
    world = World(seed, hosts=Random(f"{seed}/hosts").randint(1, 3), detail=detail)
    world.run(lambda world: tell(world, fault))
    return world


async def tell(world: World, fault: str | None) -> None:
    """All that happens in one world."""
    random = Random(f"{world.seed}/story")
    pools, jobs = _users(world, random)
    schedules = _schedules(world, random, pools)
    clocks = [ClockUser(world, "", "clock")] if random.random() < 0.4 else []
    world.start_server()
    for host in world.hosts:
        host.start()
    faults = asyncio.ensure_future(
        Faults(world, fault).run(random.uniform(30, 200) * world.pace.factor)
    )
    for pool in pools:
        await pool.create()
    lives = [pool.live() for pool in pools] + [job.live() for job in jobs]
    lives += [schedule.live() for schedule in schedules] + [clock.live() for clock in clocks]
    reading = asyncio.ensure_future(Reader(world, pools[0].account, "reader").live())
    await asyncio.gather(*lives, faults)
    reading.cancel()
    if not reading.cancelled() and reading.done():
        reading.result()
    world.note("peace")
    world.calm_down()
    for job in jobs:
        await job.make_whole()
    try:
        async with asyncio.timeout(STEADY_S * world.pace.factor):
            whole = [pool.make_whole() for pool in pools]
            whole += [schedule.make_whole() for schedule in schedules]
            await asyncio.gather(*whole)
    except TimeoutError:
        limit_s = STEADY_S * world.pace.factor
        raise Broken(Invariant.FINISH, f"pools are not steady after {limit_s:.0f} s") from None
    world.watch.beside.calm = True
    await _within(world, FINISH_S, lambda: _unfinished(world), "unfinished")
    for job in jobs:
        _as_wanted(world, job)
    world.note("all goes")
    moved = {job.name for job in jobs if job.moved}
    for schedule in schedules:
        await schedule.delete()
    for job in jobs:
        await job.delete(force=False)
    await _within(world, GONE_S, lambda: _left_of_jobs(world, moved), "left of jobs")
    for pool in pools:
        await pool.delete()
    for auto in [it for it in world.disk.pools.values() if it.auto]:  # that were to be kept
        await pools[0].ask(partial(_delete_pool, account=auto.account, pool_id=auto.id))
    await _within(world, GONE_S, lambda: _left(world), "left")


async def _delete_pool(engine: Engine, account: str, pool_id: str) -> None:
    await engine.delete_pool(account, pool_id, ANY)


def _schedules(world: World, random: Random, pools: list[PoolUser]) -> list[ScheduleUser]:
    accounts = list(dict.fromkeys(pool.account for pool in pools))
    return [
        ScheduleUser(world, account, f"when{number}", [p for p in pools if p.account == account])
        for account in accounts
        for number in range(random.choice((0, 0, 1, 2)))
    ]


def _users(world: World, random: Random) -> tuple[list[PoolUser], list[JobUser]]:
    pools: list[PoolUser] = []
    jobs: list[JobUser] = []
    for account in ACCOUNTS[: random.choice((1, 1, 2))]:
        mine = [
            PoolUser(world, account, f"pool{number}", harsh=random.random() < 0.2)
            for number in range(random.randint(1, 3))
        ]
        pools += mine
        jobs += [
            JobUser(world, account, f"job{number}", random.choice(KINDS), mine)
            for number in range(random.randint(2, 6))
        ]
    return pools, jobs


async def _within(
    world: World, limit_s: float, lacking: Callable[[], list[str]], what: str
) -> None:
    pause_s = 2 * world.pace.factor
    for _ in range(int(limit_s / 2)):
        if not lacking():
            return
        await asyncio.sleep(pause_s)
    left = "; ".join(lacking()[:5])
    raise Broken(Invariant.FINISH, f"{what} after {limit_s * world.pace.factor:.0f} s: {left}")


def _unfinished(world: World) -> list[str]:
    """What could still move."""
    found = [
        f"task {task.id} of {world.disk.jobs[task.job_no].id} is {task.state.wire_name}"
        for task in world.disk.tasks.values()
        if not _may_stay(world, task)
    ]
    found += [
        f"job {job.id} is {job.state}"
        for job in world.disk.jobs.values()
        if job.state not in (JobState.ACTIVE, JobState.COMPLETED, JobState.DISABLED)
    ]
    gone = {host.name for host in world.hosts if host.gone}
    found += [
        f"node {node.no} is {node.state}"
        for node in world.disk.nodes.values()
        if node.state is not NodeState.IDLE and node.host not in gone
    ]
    return found


def _may_stay(world: World, task: TaskRecord) -> bool:
    if task.state is TaskState.COMPLETED:
        return True
    if task.state is not TaskState.ACTIVE or world.server is None:
        return False
    job = world.disk.jobs[task.job_no]
    if job.state is JobState.DISABLED:
        return True  # by an exit condition
    places = Places(world.watch.picture, world.server.engine._state)
    if not places.is_possible(task):
        return True  # there are no such nodes, or all of them failed to be prepared
    engine = world.server.engine
    turn = Turn(engine._state, world.disk, world.service_us(), Random(0), engine.settings)
    reasons = world.watch.at_once(why(turn, job.account, job.id, task.id))
    return any(reason.code in _STUCK_FOR_GOOD for reason in reasons)


def _as_wanted(world: World, user: JobUser) -> None:
    """Jobs that nobody harmed ran each task to its end, once."""
    record = user.record()
    if not user.spared or record is None or world.settings.quotas.dedicated_cores:
        return  # or there may not be nodes enough
    tasks = {task_id: world.disk.by_key[record.no, key_of(task_id)] for task_id in user.tasks}
    if any(_was_without_room(world.disk.tasks[no]) for no in tasks.values()):
        return  # it failed for want of room on its node, and others may have waited for it
    for task_id, no in tasks.items():
        task = world.disk.tasks[no]
        if (task.state, task.result) != (TaskState.COMPLETED, TaskResult.SUCCESS):
            what = f"task {task_id} of {user.name} is {task.state!r}, {task.result!r}"
            raise Broken(Invariant.FINISH, what)
        if world.watch.completions[no] != 1:
            what = f"task {task_id} completed {world.watch.completions[no]} times"
            raise Broken(Invariant.ONCE, what)


def _was_without_room(task: TaskRecord) -> bool:
    return task.failure is not None and task.failure.code == "DiskFull"


def _left_of_jobs(world: World, moved: Collection[str] = ()) -> list[str]:
    """What is left of jobs that were deleted, on nodes that stay.

    A job that moved to another pool leaves its directories on the nodes of the old one.
    """
    disk = world.disk
    found = [f"job {job.id} is {job.state}" for job in disk.jobs.values()]
    found += [f"schedule {it.id} is {it.state}" for it in disk.schedules.values()]
    found += [f"task {task.id}" for task in disk.tasks.values()]
    for host in world.hosts:
        if not host.gone:
            left = [
                name
                for name in host.machine.directories
                if "/workitems/" in name and name.split("/")[3] not in moved
            ]
            found += [f"directory {name} on {host.name}" for name in sorted(left)]
    return found


def _left(world: World) -> list[str]:
    """What is left anywhere of things that were deleted."""
    disk = world.disk
    found = _left_of_jobs(world)
    found += [f"pool {pool.id} is {pool.state}" for pool in disk.pools.values()]
    found += [f"node {node.no} is {node.state}" for node in disk.nodes.values()]
    found += [f"chore {no}" for no in disk.chores]
    for host in world.hosts:
        if not host.gone:
            found += [f"process {p.key} on {host.name}" for p in host.machine.processes.values()]
            found += [f"directory {name} on {host.name}" for name in host.machine.directories]
            core = host.life.core if host.life is not None else None
            found += [f"attempt {a} on {host.name}" for a in core.attempts()] if core else []
            found += [f"node {n} on {host.name}" for n in core.nodes()] if core else []
    return found
