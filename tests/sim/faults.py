"""What goes wrong, and how it is put right again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from tests.sim.host import Host
from tests.sim.world import World


class Faults:
    """One thing after the other goes wrong for a while; several may at once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = Random(f"{world.seed}/faults")
        self._under_way: dict[asyncio.Task[None], None] = {}
        kinds: list[Callable[[], Coroutine[Any, Any, None]]] = [
            self._cut,
            self._cut,
            self._flap,
            self._part,
            self._kill_host,
            self._kill_host,
            self._power_off,
            self._freeze,
            self._kill_server,
            self._kill_server,
            self._kill_in_commit,
            self._fill_disk,
            self._slow_disk,
            self._slow_network,
            self._step_clock,
            self._busy_machine,
            self._break_disk,
            self._replace_host,
        ]
        self._kinds = self._random.sample(kinds, self._random.randint(1, 8))
        self._pause_s = self._random.choice((3.0, 10.0, 30.0))

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

    async def _one(self, fault: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._world.note(f"fault: {fault.__name__.strip('_')}")
        await fault()

    async def _lasts(self, mean_s: float) -> None:
        await asyncio.sleep(self._random.expovariate(1 / mean_s))

    def _host(self) -> Host:
        return self._random.choice([host for host in self._world.hosts if not host.gone])

    async def _cut(self) -> None:
        for wire in self._world.network.of(self._host().name):
            end = self._random.choice((wire.host_end, wire.server_end, None))
            if end is None:
                wire.cut()
            else:
                wire.break_at(end)

    async def _flap(self) -> None:
        """A host comes and goes while the server is slow to take it in."""
        name, was_slow = self._host().name, self._world.disk.slow
        self._world.disk.slow = True
        for _ in range(self._random.randint(2, 12)):
            await self._lasts(0.4)
            for wire in self._world.network.of(name):
                wire.drop_at(wire.host_end, self._random.uniform(0, 2))
        self._world.disk.slow = was_slow

    async def _part(self) -> None:
        name = self._host().name
        if not self._world.network.parted(name):
            self._world.network.part(name)
            await self._lasts(30)
            self._world.network.heal(name)

    async def _kill_host(self) -> None:
        host = self._host()
        if host.life is None:
            return
        if self._random.random() < 0.5:
            host.life.dies_before_writing = True
            for _ in range(20):
                await asyncio.sleep(0.5)
                if host.life is None:
                    break
        host.kill()
        await self._lasts(self._random.choice((0.5, 20)))
        if host.life is None and not host.gone:
            host.start()

    async def _power_off(self) -> None:
        host = self._host()
        if host.life is not None:
            host.kill(with_machine=True)
            await self._lasts(30)
            if host.life is None and not host.gone:
                host.start()

    async def _freeze(self) -> None:
        life = self._host().life
        if life is not None and not life.frozen:
            life.freeze()
            await self._lasts(25)
            life.thaw()

    async def _kill_server(self) -> None:
        self._world.kill_server()
        await self._lasts(self._random.choice((0.5, 20)))
        self._revive()

    def _revive(self) -> None:
        if self._world.server is None:
            self._world.start_server()

    async def _kill_in_commit(self) -> None:
        world = self._world
        world.dies_at_commit = self._random.choice(("before", "after"))
        for _ in range(20):
            await asyncio.sleep(0.5)
            if world.server is None:
                break
        world.dies_at_commit = None
        self._revive()

    async def _fill_disk(self) -> None:
        self._world.disk.full = True
        await self._lasts(4)
        self._world.disk.full = False

    async def _slow_disk(self) -> None:
        self._world.disk.slow = True
        await self._lasts(10)
        self._world.disk.slow = False

    async def _slow_network(self) -> None:
        self._world.network.mean_delay_s = 0.5
        await self._lasts(20)
        self._world.network.mean_delay_s = 0.003

    async def _step_clock(self) -> None:
        step_us = int(self._random.choice((1, 10, 60, 3600)) * 1e6 * self._random.random())
        if self._random.random() < 0.5:
            self._world.clock_offset_us += step_us
        else:
            self._host().machine.clock_offset_us += step_us

    async def _busy_machine(self) -> None:
        machine = self._host().machine
        machine.busy = 0.7
        await self._lasts(10)
        machine.busy = 0.0

    async def _break_disk(self) -> None:
        machine = self._host().machine
        machine.broken = 0.5
        await self._lasts(10)
        machine.broken = 0.0

    async def _replace_host(self) -> None:
        """A machine is lost for good, and another comes in its place."""
        world = self._world
        if any(host.gone for host in world.hosts):
            return
        host = self._host()
        host.gone = True
        host.kill(with_machine=True)
        new = world.new_host("replacement")
        world.hosts.append(new)
        await self._lasts(10)
        new.start()
