"""The runs of a multi-instance task, and those that come after a job's preparation."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from penstock.domain.specs.common import ResourceFile
from penstock.messages import (
    ChoreDone,
    Gang,
    Heartbeat,
    KillTask,
    RemoveTask,
    TaskCoordinated,
    TaskEnded,
)

Play = Callable[..., None]
NAMES = (
    "AZ_BATCH_NODE_LIST",
    "AZ_BATCH_HOST_LIST",
    "AZ_BATCH_MASTER_NODE",
    "AZ_BATCH_IS_CURRENT_NODE_MASTER",
    "AZ_BATCH_TASK_SHARED_DIR",
    "AZ_BATCH_TASK_DIR",
    "AZ_BATCH_TASK_ID",
    "CCP_NODES",
)
DAEMON = (
    "import os, sys, time\n"
    "os.fork() and sys.exit(0)\n"
    "os.setsid()\n"
    "os.fork() and os._exit(0)\n"
    "os.environ.clear()\n"
    "open('pid', 'w').write(str(os.getpid()))\n"
    "time.sleep(600)\n"
)
POLITE = DAEMON.replace(
    "open(",
    "import signal\n"
    "signal.signal(signal.SIGTERM, lambda *_: (open('asked', 'w').close(), os._exit(0)))\n"
    "open(",
)
STUBBORN = DAEMON.replace(
    "os.environ.clear()", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
)


def gang(index: int = 0, **more: Any) -> Gang:
    return Gang(index=index, addresses=("127.1.0.1", "127.1.0.2"), cores=(2, 4), **more)


def python(directory: Path, program: str) -> str:
    script = directory / f"program{abs(hash(program))}.py"
    script.write_text(program)
    return f"{sys.executable} {script}"


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


def kill(task_no: int) -> KillTask:
    return KillTask(node_no=1, task_no=task_no, attempt=1)


async def coordinate(server: Any, command_line: str, task_no: int = 1, **more: Any) -> None:
    """Run a coordination command of the task named mi to its good end."""
    given = {"gang": gang(), "lingers": True, "task_id": "mi", **more}
    await server.send(lingering(server, command_line, task_no, **given))
    await server.heard(TaskCoordinated, lambda told: told.task_no == task_no)


def lingering(server: Any, command_line: str, task_no: int, **more: Any) -> Any:
    task_id = more.pop("task_id")
    return msgspec.structs.replace(server.order(command_line, task_no, **more), task_id=task_id)


def variables(host: Any, directory: Path) -> dict[str, str]:
    lines = (directory / "stdout.txt").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line.split("=", 1)[0] in NAMES)


@pytest.mark.parametrize("daemon", [DAEMON, STUBBORN])
def test_what_a_coordination_command_leaves_stays_until_it_is_killed(
    play: Play, daemon: str
) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await coordinate(server, python(host.directory, daemon))
        pid = int(await content(host.task("mi") / "wd/pid"))
        await server.run("true", 7)
        await server.heard(Heartbeat, lambda beat: beat.attempts == ((1, 1),))
        assert runs(pid)
        await server.send(kill(1))
        end = await server.ended(1)
        assert (end.exit_code, end.failure, end.killed) == (0, None, True)
        assert not runs(pid)

    play(scene)


def test_what_lingers_is_asked_to_end_wherever_it_went(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await coordinate(server, python(host.directory, POLITE))
        await content(host.task("mi") / "wd/pid")
        await server.send(kill(1))
        await server.ended(1)
        assert (host.task("mi") / "wd/asked").exists()

    play(scene, kill_grace_s=10.0)


def test_a_coordination_command_that_fails_leaves_nothing(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        line = "/bin/sh -c 'setsid sleep 600 & echo $! > pid; exit 3'"
        await server.send(server.order(line, gang=gang(), lingers=True))
        end = await server.ended(1)
        assert (end.exit_code, end.failure.code, end.killed) == (3, "FailureExitCode", False)
        assert not runs(int((host.task("task1") / "wd/pid").read_text()))
        assert not any(isinstance(one, TaskCoordinated) for one in server.reports)

    play(scene)


def test_a_linger_that_outlasts_its_wall_clock_is_ended(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await coordinate(server, "/bin/sh -c 'sleep 600 & echo $!'", wall_clock_us=500_000)
        pid = int(await content(host.task("mi") / "stdout.txt"))
        end = await server.ended(1)
        assert (end.exit_code, end.failure.code, end.killed) == (0, "TaskEnded", False)
        assert not runs(pid)

    play(scene)


def test_the_main_command_works_where_the_coordination_did(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        server.blobs.update(common=b"for all", own=b"for one")
        files = (ResourceFile(http_url=f"{server.url}/blobs/common", file_path="data/common"),)
        own = (ResourceFile(http_url=f"{server.url}/blobs/own", file_path="own"),)
        await server.node()
        wait = "until [ -e go ]; do sleep 0.01; done"
        line = f"/bin/sh -c 'echo coordinated; touch made; ({wait}; echo left; touch gone) & true'"
        more = {"gang": gang(files=files)}
        await coordinate(server, line, 1, **more)
        joining = lingering(
            server,
            "/bin/sh -c 'cat made own ../data/common; echo; env; touch go; "
            "until [ -e gone ]; do sleep 0.01; done'",
            2,
            joins=True,
            task_id="mi",
            resource_files=own,
            **more,
        )
        await server.send(joining)
        assert (await server.ended(2)).failure is None
        directory = host.task("mi")
        lines = (directory / "stdout.txt").read_text().splitlines()
        assert lines[0] == "coordinated"
        assert lines[1] == "for onefor all"
        assert lines[-1] == "left"
        assert variables(host, directory) == {
            "AZ_BATCH_NODE_LIST": "127.1.0.1;127.1.0.2",
            "AZ_BATCH_HOST_LIST": "127.1.0.1,127.1.0.2",
            "AZ_BATCH_MASTER_NODE": "127.1.0.1:6000",
            "AZ_BATCH_IS_CURRENT_NODE_MASTER": "true",
            "AZ_BATCH_TASK_SHARED_DIR": str(directory),
            "AZ_BATCH_TASK_DIR": str(directory),
            "AZ_BATCH_TASK_ID": "mi",
            "CCP_NODES": "2 127.1.0.1 2 127.1.0.2 4",
        }
        # The main command is over, and the other run still lingers.
        assert not [
            one for one in server.reports if isinstance(one, TaskEnded) and one.task_no == 1
        ]
        await server.send(kill(1))
        assert (await server.ended(1)).killed

    play(scene)


def test_a_subtask_has_a_directory_below_that_of_the_task(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        server.blobs["common"] = b"for all"
        files = (ResourceFile(http_url=f"{server.url}/blobs/common", file_path="common"),)
        await server.node()
        stale = host.task("mi") / "stale"
        stale.parent.mkdir(parents=True)
        stale.touch()
        await coordinate(server, "/bin/sh -c 'env; pwd'", gang=gang(1, files=files))
        directory = host.task("mi") / "1"
        found = variables(host, directory)
        assert found["AZ_BATCH_IS_CURRENT_NODE_MASTER"] == "false"
        assert found["AZ_BATCH_TASK_SHARED_DIR"] == str(host.task("mi"))
        assert found["AZ_BATCH_TASK_DIR"] == str(directory)
        assert found["AZ_BATCH_TASK_ID"] == "mi"
        assert (directory / "stdout.txt").read_text().splitlines()[-1] == f"{directory}/wd"
        assert sorted(path.name for path in host.task("mi").iterdir()) == ["1", "common"]

    play(scene)


def test_all_that_lives_in_a_directory_goes_with_it(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await coordinate(server, "/bin/sh -c 'sleep 600 & echo $!'", 5)
        pid = int(await content(host.task("mi") / "stdout.txt"))
        main = lingering(server, "sleep 601", 3, joins=True, task_id="mi", gang=gang())
        await server.send(main)
        await server.heard(Heartbeat, lambda beat: len(beat.attempts) == 2)
        await server.send(RemoveTask(chore=9, node_no=1, task_no=3, job_id="job", task_id="mi"))
        await server.heard(ChoreDone)
        kinds = [type(one) for one in server.reports if not isinstance(one, Heartbeat)]
        assert kinds[-3:] == [TaskEnded, TaskEnded, ChoreDone]
        assert not host.task("mi").exists()
        assert not runs(pid)

    play(scene)


def test_a_restarted_host_ends_what_lingered(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await coordinate(server, python(host.directory, DAEMON))
        pid = int(await content(host.task("mi") / "wd/pid"))
        host.kill()
        host.start()
        assert (await server.ended(1)).lost
        assert not runs(pid)

    play(scene)


def test_a_host_that_stops_ends_what_lingers(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await coordinate(server, python(host.directory, POLITE))
        pid = int(await content(host.task("mi") / "wd/pid"))
        host.process.terminate()
        assert await host.exit(within_s=8.0) == 0
        assert not runs(pid)
        assert (host.task("mi") / "wd/asked").exists()

    play(scene, stop_grace_s=5.0)


def test_preparation_takes_no_slot_and_is_named_to_the_tasks(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await server.send(server.order("sleep 600", 1, slots=4))
        prepare = lingering(server, "touch ready", 2, slots=0, task_id="prep")
        await server.send(prepare)
        assert (await server.ended(2)).failure is None
        line = "/bin/sh -c 'ls $AZ_BATCH_JOB_PREP_WORKING_DIR; echo $AZ_BATCH_JOB_PREP_DIR'"
        await server.run(line, 3, slots=0, preparation_id="prep")
        assert host.output("task3") == f"ready\n{host.task('prep')}\n"

    play(scene)
