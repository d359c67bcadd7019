"""Reboots and wipes of a node with real processes and files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from msgspec.structs import replace

from penstock.messages import (
    NodeHosted,
    NodeReady,
    StartTaskBegan,
    StartTaskEnded,
    StartTaskOrder,
)

Play = Callable[..., None]
START = StartTaskOrder(
    command_line="/bin/sh -c 'echo x >> ../../shared/starts; setsid sleep 600 & echo $!'"
)


async def content(file: Path) -> str:
    async with asyncio.timeout(10):
        while not (file.exists() and file.read_text().strip()):
            await asyncio.sleep(0.01)
    return file.read_text()


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def boot(server: Any, number: int, wiped: int = 0) -> None:
    await server.send(replace(server.make_node(1, START), boot=number, wiped=wiped))
    await server.heard(NodeReady, lambda ready: ready.boot == number)


async def busy(server: Any, host: Any) -> list[int]:
    """A node with a finished start task that left a daemon, and a task with a stray."""
    await server.node(1, START)
    await server.send(server.order("/bin/sh -c 'setsid sleep 601 & echo $! $$; sleep 602'"))
    startup = host.nodes_root / "pool/node1/startup/stdout.txt"
    pids = [*(await content(startup)).split(), *(await content(out(host))).split()]
    return [int(pid) for pid in pids]


def out(host: Any) -> Path:
    task: Path = host.task("task1")
    return task / "stdout.txt"


def test_a_reboot_ends_all_and_keeps_the_files(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        pids = await busy(server, host)
        await boot(server, 1)
        assert not any(runs(pid) for pid in pids)
        assert (await server.ended(1)).lost
        assert (host.nodes_root / "pool/node1/shared/starts").read_text() == "x\nx\n"
        assert out(host).exists()
        for kind in (NodeHosted, StartTaskBegan, StartTaskEnded, NodeReady):
            assert [one.boot for one in server.reports if isinstance(one, kind)] == [0, 1]
        first, second = [one.address for one in server.reports if isinstance(one, NodeHosted)]
        assert first == second
        assert (await server.run("true", 2)).failure is None

    play(scene)


def test_a_wipe_keeps_nothing(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        pids = await busy(server, host)
        await boot(server, 1, wiped=1)
        assert not any(runs(pid) for pid in pids)
        assert (host.nodes_root / "pool/node1/shared/starts").read_text() == "x\n"
        assert not out(host).exists()
        await boot(server, 2, wiped=1)
        assert (host.nodes_root / "pool/node1/shared/starts").read_text() == "x\nx\n"

    play(scene)


def test_a_boot_outlives_the_host(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node(1, START)
        await boot(server, 1)
        last = max(getattr(one, "report", 0) for one in server.reports)
        host.kill()
        host.start()
        await server.until(lambda: len(server.hellos) == 2)
        past, known = server.make_node(1, START), replace(server.make_node(1, START), boot=1)
        await server.send(past, known)
        await server.heard(NodeReady, lambda ready: ready.report > last)
        answers = [one for one in server.reports if getattr(one, "report", 0) > last]
        assert [type(one) for one in answers] == [NodeHosted, StartTaskEnded, NodeReady]
        assert [one.boot for one in answers] == [1, 1, 1]
        assert (host.nodes_root / "pool/node1/shared/starts").read_text() == "x\nx\n"

    play(scene)


def test_a_wipe_that_a_crash_cut_short_is_made_up_for(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        pids = await busy(server, host)
        await server.send(replace(server.make_node(1, START), boot=1, wiped=1))
        async with asyncio.timeout(10):
            while any(runs(pid) for pid in pids):
                await asyncio.sleep(0)
        host.kill()
        host.start()
        await server.until(lambda: len(server.hellos) == 2)
        await boot(server, 1, wiped=1)
        assert (await server.ended(1)).lost
        assert not out(host).exists()
        assert (await server.run("true", 2)).failure is None

    play(scene)
