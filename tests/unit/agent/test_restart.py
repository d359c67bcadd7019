"""What a node host and its server know of each other after one of them was away."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import psutil

from penstock.agent.host import host_pid
from penstock.messages import Heartbeat, NodeGone, StartTaskOrder, Stop, TaskEnded

Play = Callable[..., None]


async def content(file: Any) -> str:
    async with asyncio.timeout(10):
        while not (file.exists() and file.read_text().strip()):
            await asyncio.sleep(0.01)
    return str(file.read_text())


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def all_gone(*pids: int) -> None:
    async with asyncio.timeout(10):
        while any(runs(pid) for pid in pids):
            await asyncio.sleep(0.01)


async def restart(host: Any, server: Any) -> None:
    hellos = len(server.hellos)
    host.start()
    await server.until(lambda: len(server.hellos) > hellos)


def test_a_killed_host_reports_what_ran_as_lost_and_kills_it(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        start = StartTaskOrder(
            command_line="/bin/sh -c 'echo x >> runs; setsid sleep 600 & echo $!'"
        )
        await server.node(1, start)
        startup = host.nodes_root / "pool/node1/startup"
        daemon = int((startup / "stdout.txt").read_text())
        await server.run("true", 7)
        await server.send(server.order("/bin/sh -c 'setsid sleep 601 & echo $!; sleep 600'"))
        stray = int(await content(host.task("task1") / "stdout.txt"))
        await server.heard(Heartbeat, lambda beat: beat.attempts == ((1, 1),))
        host.kill()
        assert runs(stray)
        await restart(host, server)
        end = await server.ended(1)
        assert end.lost
        assert not runs(stray)
        assert runs(daemon)
        first, second = server.hellos
        assert second.host == first.host
        assert second.started_us > first.started_us
        assert second.nodes == (1,)
        assert set(second.attempts) == {(1, 1), (7, 1)}
        # Unconfirmed reports come again with their old numbers; new ones go on from there.
        sevens = [r for r in server.reports if isinstance(r, TaskEnded) and r.task_no == 7]
        assert len(sevens) == 2
        assert sevens[0] == sevens[1]
        assert end.report > sevens[0].report
        assert (await server.run("true", 8)).failure is None
        assert (startup / "wd/runs").read_text() == "x\n"
        await server.confirm_all()
        await server.run("true", 9)
        await server.confirm_all()
        await server.cut()
        await server.until(lambda: len(server.hellos) == 3)
        assert server.hellos[2].attempts == ()

    play(scene)


def test_a_start_task_that_was_cut_short_runs_again(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        line = "/bin/sh -c 'echo x >> runs; [ $(wc -l < runs) = 2 ] || sleep 600'"
        node = server.make_node(1, StartTaskOrder(command_line=line))
        server.nodes = (1,)
        await server.send(node)
        await content(host.nodes_root / "pool/node1/startup/wd/runs")
        host.kill()
        await restart(host, server)
        await server.ready(1)
        assert (host.nodes_root / "pool/node1/startup/wd/runs").read_text() == "x\nx\n"

    play(scene)


def test_tasks_run_on_while_the_server_is_away(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await server.send(server.order("/bin/sh -c 'until [ -e go ]; do sleep 0.01; done; exit 6'"))
        await server.heard(Heartbeat, lambda beat: beat.attempts == ((1, 1),))
        await server.stop()
        (host.task("task1") / "wd" / "go").touch()
        await content_gone(host)
        await server.start()
        host.endpoint.write_text(server.url)
        assert (await server.ended(1)).exit_code == 6
        assert server.hellos[-1].attempts == ((1, 1),)

    async def content_gone(host: Any) -> None:
        journal = host.directory / "journal"
        async with asyncio.timeout(10):
            while b"TaskEnded" not in journal.read_bytes():
                await asyncio.sleep(0.01)

    play(scene)


def test_a_server_that_forgot_an_attempt_has_it_killed(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await server.send(server.order("/bin/sh -c 'echo $$; exec sleep 600'"))
        pid = int(await content(host.task("task1") / "stdout.txt"))
        server.attempts = ((9, 9),)
        await server.cut()
        await all_gone(pid)

    play(scene)


def test_another_server_finds_an_empty_host(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await server.send(server.order("/bin/sh -c 'echo $$; exec sleep 600'"))
        pid = int(await content(host.task("task1") / "stdout.txt"))
        server.name = "another"
        await server.cut()
        await server.until(lambda: server.hellos[-1].nodes == () and len(server.hellos) == 3)
        await all_gone(pid)
        server.nodes = ()
        server.reports.clear()
        await server.node()
        assert (await server.run("true")).attempt == 1
        assert not any(isinstance(report, NodeGone) for report in server.reports)

    play(scene)


def test_stop_ends_all_and_the_next_life_says_so(play: Play) -> None:
    line = (
        "/bin/sh -c \"trap '' TERM; setsid sleep 600 & echo $! $$; while :; do sleep 0.05; done\""
    )

    async def scene(server: Any, host: Any) -> None:
        await server.node(1, StartTaskOrder(command_line="/bin/sh -c 'setsid sleep 600 &'"))
        await server.send(server.order(line))
        pids = [int(pid) for pid in (await content(host.task("task1") / "stdout.txt")).split()]
        assert host_pid(host.directory) == host.process.pid
        await server.send(Stop())
        assert await host.exit(within_s=3.0) == 0
        assert not any(runs(pid) for pid in pids)
        assert host_pid(host.directory) is None
        await restart(host, server)
        assert (await server.ended(1)).lost

    play(scene)


def test_sigterm_is_a_stop(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await server.send(server.order("/bin/sh -c 'echo $$; exec sleep 600'"))
        pid = int(await content(host.task("task1") / "stdout.txt"))
        host.process.terminate()
        assert await host.exit(within_s=3.0) == 0
        assert not runs(pid)

    play(scene)


def test_an_orphaned_host_gives_up(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await server.send(server.order("/bin/sh -c 'echo $$; exec sleep 600'"))
        pid = int(await content(host.task("task1") / "stdout.txt"))
        await server.stop()
        assert await host.exit(within_s=10.0) == 0
        assert not runs(pid)

    play(scene, orphan_after_s=0.5)


def test_a_second_host_is_refused(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        first = host.process
        host.start()
        assert await host.exit() != 0
        host.process = first
        assert (await server.run("true")).exit_code == 0

    play(scene)


def test_what_began_is_in_the_journal_before_it_runs(play: Play) -> None:
    """The process looks for its own record, and ends the host in the very next moment."""
    program = (
        "import os, sys\n"
        "journal, host = sys.argv[1:]\n"
        "found = b'B [1,1,1,0' in open(journal, 'rb').read()\n"
        "open('../../../../../shared/starts', 'a').write(f'{found}\\n')\n"
        "os.kill(int(host), 9)\n"
    )

    async def scene(server: Any, host: Any) -> None:
        await server.node()
        script = host.directory / "program.py"
        script.write_text(program)
        line = f"{sys.executable} {script} {host.directory}/journal {host.process.pid}"
        await server.send(server.order(line))
        await host.exit()
        server.attempts = ((1, 1),)
        await restart(host, server)
        assert (await server.ended(1)).lost
        assert (host.nodes_root / "pool/node1/shared/starts").read_text() == "True\n"

    play(scene)


def test_a_node_that_was_made_and_not_noted_leaves_no_directory(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node(1)
        host.kill()
        stranger = host.nodes_root / "gone/node9/shared"
        stranger.mkdir(parents=True)
        (host.nodes_root / "pool/node8").mkdir()
        await restart(host, server)
        strangers = [host.nodes_root / "gone", host.nodes_root / "pool/node8"]
        async with asyncio.timeout(10):
            while any(path.exists() for path in strangers):
                await asyncio.sleep(0.01)
        assert [path.name for path in (host.nodes_root / "pool").iterdir()] == ["node1"]

    play(scene)
