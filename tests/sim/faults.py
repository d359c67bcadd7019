"""What goes wrong, and how it is put right again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from tests.sim.host import Host
from tests.sim.world import World

Fault = Callable[[], Coroutine[Any, Any, None]]

_LONGEST_STEP_BACK_S = 600.0


class Faults:
    """One thing after the other goes wrong for a while; several may at once."""

    def __init__(self, world: World, sure: str | None = None) -> None:
        """`sure` names a kind that is to be among those that come, and often."""
        self._world = world
        self._random = Random(f"{world.seed}/faults")
        self._under_way: dict[asyncio.Task[None], None] = {}
        kinds: list[Fault] = [
            self._cut,
            self._cut,
            self._flap,
            self._part,
            self._kill_host,
            self._kill_host,
            self._power_off,
            self._hang_host,
            self._kill_server,
            self._kill_server,
            self._kill_in_commit,
            self._kill_in_commit,
            self._fill_disk,
            self._fill_disk,
            self._slow_disk,
            self._slow_network,
            self._lose_answers,
            self._step_clock,
            self._step_host_clock,
            self._busy_machine,
            self._fill_host_disk,
            self._replace_host,
        ]
        self._kinds = self._random.sample(kinds, self._random.randint(1, 8))
        if sure is not None:
            self._kinds += [kind for kind in kinds if kind.__name__ == f"_{sure}"] * 4
        self._pause_s = world.pace.factor * self._random.choice((3.0, 10.0, 30.0))

    async def run(self, for_s: float) -> None:
        """Let things go wrong for so long; in the end all is well again."""
        world = self._world
        end = world.loop.time() + for_s
        while (left_s := end - world.loop.time()) > 0:
            await asyncio.sleep(min(left_s, self._random.expovariate(1 / self._pause_s)))
            if world.loop.time() < end:
                task = asyncio.ensure_future(self._one(self._random.choice(self._kinds)))
                self._under_way[task] = None
                task.add_done_callback(self._under_way.pop)
        while self._under_way:
            await asyncio.wait(list(self._under_way))

    async def _one(self, fault: Fault) -> None:
        name = fault.__name__.strip("_")
        self._world.note(f"fault: {name}")
        self._world.faults[name.replace("_", " ")] += 1
        await fault()

    async def _lasts(self, mean_s: float) -> None:
        await asyncio.sleep(self._random.expovariate(1 / mean_s))

    async def _lasts_long(self, mean_s: float) -> None:
        """In a world of a slow pace for minutes or hours."""
        await self._lasts(mean_s * self._world.pace.factor)

    async def _until(self, done: Callable[[], bool]) -> None:
        """Wait for what comes with the next work; but not for ever, as there may be none."""
        for _ in range(20):
            await asyncio.sleep(0.5)
            if done():
                return
        for _ in range(20):
            await asyncio.sleep(0.5 * self._world.pace.factor)
            if done():
                return

    def _host(self) -> Host:
        return self._random.choice([host for host in self._world.hosts if not host.gone])

    # --- the network -----------------------------------------------------------------------------

    async def _cut(self) -> None:
        """A connection breaks, for one end or both; what was under way is lost, or comes late."""
        name = self._host().name
        with self._world.trouble(name):
            for wire in self._world.network.of(name):
                end = self._random.choice((wire.host_end, wire.server_end, None))
                if end is None:
                    wire.cut()
                else:
                    wire.break_at(end)

    async def _flap(self) -> None:
        """A host comes and goes while the server is slow to take it in."""
        name, was_slow = self._host().name, self._world.disk.slow
        with self._world.trouble(None):
            self._world.disk.slow = True
            for _ in range(self._random.randint(2, 12)):
                await self._lasts(0.4)
                for wire in self._world.network.of(name):
                    wire.drop_at(wire.host_end, self._random.uniform(0, 2))
            self._world.disk.slow = was_slow

    async def _part(self) -> None:
        name = self._host().name
        if not self._world.network.parted(name):
            with self._world.trouble(name):
                self._world.network.part(name)
                await self._lasts_long(30)
                self._world.network.heal(name)

    async def _slow_network(self) -> None:
        with self._world.trouble(None):
            self._world.network.mean_delay_s = 0.5
            await self._lasts(20)
            self._world.network.mean_delay_s = 0.003

    async def _lose_answers(self) -> None:
        """Requests and answers of users get lost or come late, so they ask again."""
        self._world.losing = self._random.choice((0.1, 0.5))
        await self._lasts_long(20)
        self._world.losing = 0.0

    # --- node hosts ------------------------------------------------------------------------------

    async def _kill_host(self) -> None:
        """SIGKILL: at any moment, or around the begin of a process."""
        host = self._host()
        if host.life is None:
            return
        with self._world.trouble(host.name):
            if self._random.random() < 0.5:
                host.life.dies_at_spawn = self._random.choice(("noted", "begun"))
                await self._until(lambda: host.life is None)
            host.kill()
            await self._lasts(self._random.choice((0.5, 20)))
            self._revive_host(host)

    async def _power_off(self) -> None:
        host = self._host()
        if host.life is not None:
            with self._world.trouble(host.name):
                host.kill(with_machine=True)
                await self._lasts_long(30)
                self._revive_host(host)

    def _revive_host(self, host: Host) -> None:
        if host.life is None and not host.gone:
            host.start()

    async def _hang_host(self) -> None:
        """SIGSTOP, for longer than the server may wait or not."""
        host = self._host()
        life = host.life
        if life is not None and not life.frozen:
            with self._world.trouble(host.name):
                life.freeze()
                await self._lasts_long(25)
                life.thaw()

    async def _busy_machine(self) -> None:
        """Processes cannot be started now and then."""
        host = self._host()
        with self._world.trouble(host.name):
            host.machine.busy = 0.7
            await self._lasts(10)
            host.machine.busy = 0.0

    async def _fill_host_disk(self) -> None:
        """Nothing can be written: no directory, no journal."""
        host = self._host()
        with self._world.trouble(host.name):
            host.machine.full = True
            await self._lasts(10)
            host.machine.full = False

    async def _step_host_clock(self) -> None:
        host = self._host()
        with self._world.trouble(host.name):
            host.step_clock(self._step_us())

    async def _replace_host(self) -> None:
        """A machine is lost for good, and another comes in its place."""
        world = self._world
        if any(host.gone for host in world.hosts):
            return
        host = self._host()
        host.gone = True
        with world.trouble(host.name):
            host.kill(with_machine=True)
            new = world.new_host("replacement")
            world.hosts.append(new)
            await self._lasts_long(10)
            new.start()

    # --- the server ------------------------------------------------------------------------------

    async def _kill_server(self) -> None:
        with self._world.trouble(None):
            self._world.kill_server()
            await self._lasts(self._random.choice((0.5, 20, 20 * self._world.pace.factor)))
            self._revive()

    def _revive(self) -> None:
        if self._world.server is None:
            self._world.start_server()

    async def _kill_in_commit(self) -> None:
        """SIGKILL within a commit, or between a commit and what it lets be sent."""
        world = self._world
        with world.trouble(None):
            world.dies_at_commit = self._random.choice(("torn", "torn", "before", "after"))
            await self._until(lambda: world.server is None)
            world.dies_at_commit = None
            self._revive()

    async def _fill_disk(self) -> None:
        """The server's disk is full until a commit was refused, and for a while more."""
        disk = self._world.disk
        with self._world.trouble(None):
            disk.full, refused = True, disk.commits_refused
            await self._until(lambda: disk.commits_refused > refused)
            await self._lasts(4)
            disk.full = False

    async def _slow_disk(self) -> None:
        with self._world.trouble(None):
            self._world.disk.slow = True
            await self._lasts(10)
            self._world.disk.slow = False

    async def _step_clock(self) -> None:
        """Someone sets the time of day on the server's machine."""
        with self._world.trouble(None):
            self._world.clock_offset_us += self._step_us()

    def _step_us(self) -> int:
        longest_s = self._random.choice((1, 10, 60, 3600))
        step_s = longest_s * self._random.random()
        if self._random.random() < 0.5:
            step_s = -min(step_s, _LONGEST_STEP_BACK_S)
        return int(step_s * 1e6)
