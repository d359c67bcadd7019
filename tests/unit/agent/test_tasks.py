"""Tasks as real processes below a real node host."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from penstock.domain.records import Failure
from penstock.domain.specs.common import (
    OutputContainer,
    OutputDestination,
    OutputFile,
    ResourceFile,
    UploadOptions,
)
from penstock.messages import (
    ChoreDone,
    Confirm,
    DropNode,
    Heartbeat,
    KillTask,
    NodeGone,
    RemoveJob,
    RemoveTask,
    StartTaskBegan,
    StartTaskEnded,
    StartTaskOrder,
    TaskEnded,
)

PYTHON = sys.executable
Play = Callable[..., None]

DAEMON = (
    "import os, sys, time\n"
    "os.fork() and sys.exit(0)\n"
    "os.setsid()\n"
    "os.fork() and os._exit(0)\n"
    "open('pid', 'w').write(str(os.getpid()))\n"
    "time.sleep(600)\n"
)
STUBBORN = "trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done"


def output(pattern: str, container: str, when: str) -> OutputFile:
    return OutputFile(
        file_pattern=pattern,
        destination=OutputDestination(container=OutputContainer(container_url=container)),
        upload_options=UploadOptions(upload_condition=when),
    )


def kill(task_no: int = 1, attempt: int = 1) -> KillTask:
    return KillTask(node_no=1, task_no=task_no, attempt=attempt)


def python(directory: Path, program: str) -> str:
    """Give a command line for a program, which needs a file because of its line breaks."""
    script = directory / f"program{abs(hash(program))}.py"
    script.write_text(program)
    return f"{PYTHON} {script}"


async def content(file: Path) -> str:
    """Wait until a file has something in it."""
    async with asyncio.timeout(10):
        while not (file.exists() and file.read_text().strip()):
            await asyncio.sleep(0.01)
    return file.read_text()


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def words(one: psutil.Process) -> list[str]:
    try:
        return one.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"], indirect=True)
def test_exit_codes_output_and_environment(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        end = await server.run(
            "/bin/sh -c 'echo \"$MINE $AZ_BATCH_TASK_ID $AZ_BATCH_POOL_ID\"; pwd; exit 3'",
            environment={"MINE": "my value", "AZ_BATCH_POOL_ID": "forged"},
        )
        assert (end.exit_code, end.failure.code) == (3, "FailureExitCode")
        words, where = host.output("task1").splitlines()
        assert words == "my value task1 pool"
        assert where == str(host.task("task1") / "wd")
        assert end.start_us <= end.end_us
        assert (await server.run("true", 2)).failure is None
        await server.heard(Heartbeat)

    play(scene)


def test_a_run_that_is_refused_fails_before_its_command(play: Play) -> None:
    why = Failure("usererror", "ContainerInvalidSettings", "no containers here")
    file = ResourceFile(http_url="http://127.0.0.1:1/none", file_path="x")

    async def scene(server: Any, host: Any) -> None:
        start = StartTaskOrder(command_line="true", wait_for_success=False, refused=why)
        await server.node(start_task=start)
        end = await server.run("touch ran", refused=why, resource_files=(file,))
        assert (end.exit_code, end.failure) == (None, why)
        assert list((host.task("task1") / "wd").iterdir()) == []
        began = await server.heard(StartTaskEnded)
        assert (began.exit_code, began.failure, began.retry_count) == (None, why, 0)
        assert (await server.run("true", 2)).failure is None

    play(scene)


@pytest.mark.parametrize(
    ("command_line", "exit_code", "code"),
    [
        ("/bin/sh -c 'kill -9 $$'", 137, "FailureExitCode"),
        ("/bin/sh -c 'kill -TERM $$'", 143, "FailureExitCode"),
        ("there-is-no-such-program", None, "CommandProgramNotFound"),
        ("/no/such/program", None, "CommandProgramNotFound"),
        ("./nor/this one", None, "CommandProgramNotFound"),
        ("/etc/passwd", None, "CommandLaunchFailed"),
        ("/tmp", None, "CommandLaunchFailed"),
        ("echo 'not closed", None, "CommandLaunchFailed"),
        ("  ", None, "CommandLaunchFailed"),
        ("/bin/sh -c 'exec 1>&- 2>&-; exit 4'", 4, "FailureExitCode"),
    ],
)
def test_bad_ends(play: Play, command_line: str, exit_code: int | None, code: str) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        end = await server.run(command_line)
        assert end.exit_code == exit_code
        assert end.failure.code == code

    play(scene)


def test_a_script_without_interpreter_is_run_by_the_shell(play: Play, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo from the script: $1\n")
    script.chmod(0o755)

    async def scene(server: Any, host: Any) -> None:
        await server.node()
        assert (await server.run(f"{script} 'a  b'")).exit_code == 0
        assert host.output("task1") == "from the script: a b\n"
        end = await server.run("script x", 2, environment={"PATH": f"/nowhere:{tmp_path}"})
        assert end.exit_code == 0

    play(scene)


def test_signals_that_python_ignores_are_not_ignored_by_tasks(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await server.run("grep -E 'Sig(Ign|Blk)' /proc/self/status")
        masks = [int(line.split()[1], 16) for line in host.output("task1").splitlines()]
        # 32 and 33 belong to the C library, and are as this process inherited them.
        assert [mask & 0x7FFFFFFF for mask in masks] == [0, 0]

    play(scene)


def test_a_task_that_ignores_sigterm_is_killed(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        task = asyncio.create_task(server.run(f'/bin/sh -c "{STUBBORN}"'))
        pid = int(await content(host.task("task1") / "wd" / "pid"))
        await server.send(kill())
        end = await task
        assert (end.exit_code, end.killed, end.failure.code) == (137, True, "TaskEnded")
        assert not runs(pid)

    play(scene)


def test_a_polite_task_has_time_to_end(play: Play) -> None:
    line = "/bin/sh -c \"trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.02; done\""

    async def scene(server: Any, host: Any) -> None:
        await server.node()
        task = asyncio.create_task(server.run(line))
        await content(host.task("task1") / "stdout.txt")
        await server.send(kill())
        end = await task
        assert (end.exit_code, end.killed) == (5, True)
        assert host.output("task1") == "up\nbye\n"

    play(scene, kill_grace_s=10.0)


def test_background_processes_die_with_their_task(play: Play, tmp_path: Path) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        end = await server.run("/bin/sh -c 'sleep 600 & echo $!'")
        assert end.exit_code == 0
        assert not runs(int(host.output("task1")))

        daemon = host.task("task2") / "wd" / "pid"
        line = python(tmp_path, DAEMON)
        end = await server.run(f"/bin/sh -c '{line}; while [ ! -s pid ]; do sleep 0.01; done'", 2)
        assert end.exit_code == 0
        assert not runs(int(daemon.read_text()))

    play(scene)


HIDDEN = DAEMON.replace(
    "time.sleep(600)", "os.chdir('/'); os.execve('/bin/sleep', ['sleep', '600'], {})"
)
HIDING = 'while [ "$(cat /proc/$(cat pid)/comm)" != sleep ]; do sleep 0.01; done'


def test_a_daemon_that_hides_is_found(play: Play, tmp_path: Path) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        line = python(tmp_path, HIDDEN)
        end = await server.run(f"/bin/sh -c '{line}; until [ -s pid ]; do :; done; {HIDING}'")
        assert end.exit_code == 0
        pid = int((host.task("task1") / "wd" / "pid").read_text())
        assert not runs(pid)

    play(scene)


def test_a_hidden_daemon_of_a_start_task_stays_until_its_node_goes(
    play: Play, tmp_path: Path
) -> None:
    async def scene(server: Any, host: Any) -> None:
        line = python(tmp_path, HIDDEN)
        start = f"/bin/sh -c '{line}; until [ -s pid ]; do :; done; {HIDING}'"
        await server.node(1, StartTaskOrder(command_line=start))
        await server.node(2)
        pid = int((host.nodes_root / "pool/node1/startup/wd/pid").read_text())
        await server.run("/bin/sh -c 'setsid sleep 600 & sleep 0.05'")
        assert runs(pid)
        host.kill()
        host.start()
        await server.until(lambda: len(server.hellos) == 2)
        await server.send(DropNode(node_no=2))
        await server.heard(NodeGone, lambda gone: gone.node_no == 2)
        assert runs(pid)
        await server.send(DropNode(node_no=1))
        await server.heard(NodeGone, lambda gone: gone.node_no == 1)
        assert not runs(pid)

    play(scene)


def test_other_tasks_are_not_touched_by_a_sweep(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        other = asyncio.create_task(server.run("/bin/sh -c 'sleep 600 & echo $!; wait'", 2))
        pid = int(await content(host.task("task2") / "stdout.txt"))
        await server.run("/bin/sh -c 'setsid sleep 600 & sleep 0.1'")
        assert runs(pid)
        await server.send(kill(2))
        await other
        assert not runs(pid)

    play(scene)


def test_a_stopped_task_can_be_ended(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        task = asyncio.create_task(server.run("/bin/sh -c 'echo up; kill -STOP $$; sleep 600'"))
        await content(host.task("task1") / "stdout.txt")
        await server.send(kill())
        end = await task
        assert (end.killed, end.exit_code) == (True, 143)

    play(scene, kill_grace_s=30.0)


def test_what_outlives_its_leader_has_time_to_end_too(play: Play) -> None:
    child = "trap 'sleep 0.2; echo child; exit' TERM; echo up; while :; do sleep 0.02; done"

    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await server.run(f'/bin/sh -c "echo \\"{child}\\" > ../../../../../shared/child"', 2)
        shared = host.nodes_root / "pool/node1/shared/child"
        assert shared.read_text().strip() == child
        task = asyncio.create_task(server.run(f"/bin/sh -c '/bin/sh {shared} & sleep 600'"))
        await content(host.task("task1") / "stdout.txt")
        await server.send(kill())
        end = await task
        assert (end.killed, end.exit_code) == (True, 143)
        assert host.output("task1") == "up\nchild\n"

    play(scene, kill_grace_s=30.0)


def test_the_wall_clock(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        began = time.monotonic()
        end = await server.run("sleep 600", wall_clock_us=200_000)
        assert time.monotonic() - began < 10
        assert (end.exit_code, end.killed, end.failure.code) == (143, False, "TaskEnded")
        assert "maximum execution time" in end.failure.details[0].value

    play(scene)


def test_a_flood_of_output_is_ended(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        end = await server.run("yes")
        assert (end.killed, end.failure.code) == (False, "DiskFull")
        assert "stdout.txt" in end.failure.details[0].value
        assert (await server.run("true", 2)).failure is None

    play(scene, max_output_bytes=1 << 20, watch_s=0.02)


@pytest.mark.parametrize("leave", ["0", "os.setsid()"])
def test_a_fork_bomb_does_not_stop_the_host(play: Play, tmp_path: Path, leave: str) -> None:
    bomb = (
        "import os\n"
        "while True:\n"
        f"    try: os.fork() or {leave}\n"
        "    except OSError: open('full', 'w').write('x')\n"
    )

    async def scene(server: Any, host: Any) -> None:
        await server.node()
        line = python(tmp_path, bomb)
        task = asyncio.create_task(server.run(line))
        await content(host.task("task1") / "wd" / "full")
        waiting = asyncio.create_task(server.run("true", 2))
        await server.send(kill())
        assert (await task).killed
        assert (await waiting).failure is None
        assert not [one for one in psutil.process_iter() if line.split()[1] in words(one)]

    play(scene, max_processes=60)


def test_a_new_attempt_replaces_the_old_one_and_its_directory(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        line = "/bin/sh -c 'ls; echo x > left; [ $N = 2 ] || exec sleep 600'"
        first = asyncio.create_task(server.run(line, environment={"N": "1"}))
        await content(host.task("task1") / "wd" / "left")
        second = await server.run(line, attempt=2, environment={"N": "2"})
        assert (await first).lost
        assert second.exit_code == 0
        assert host.output("task1") == ""

    play(scene)


def test_directories_go_when_asked_to(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        await server.run("/bin/sh -c 'mkdir -p a/b; touch a/b/c; chmod 0 a/b'")
        await server.run("true", 2)
        await server.send(RemoveTask(chore=11, node_no=1, task_no=1, job_id="job", task_id="task1"))
        await server.heard(ChoreDone, lambda done: done.chore == 11)
        assert not host.task("task1").exists()
        assert host.task("task2").exists()
        task = asyncio.create_task(server.run("sleep 600", 3))
        await server.heard(Heartbeat, lambda beat: (3, 1) in beat.attempts)
        await server.send(RemoveJob(chore=12, node_no=1, job_id="job"))
        await server.heard(ChoreDone, lambda done: done.chore == 12)
        assert (await task).killed
        assert list((host.nodes_root / "pool/node1/workitems").iterdir()) == []
        assert list((host.nodes_root / ".trash").iterdir()) == []

    play(scene)


def test_a_node_goes_with_all_that_it_ran(play: Play, tmp_path: Path) -> None:
    async def scene(server: Any, host: Any) -> None:
        daemon = StartTaskOrder(command_line=python(tmp_path, DAEMON))
        await server.node(1, daemon)
        pid = int(await content(host.nodes_root / "pool/node1/startup/wd/pid"))
        task = asyncio.create_task(server.run("sleep 600"))
        await server.heard(Heartbeat, lambda beat: (1, 1) in beat.attempts)
        assert runs(pid)
        await server.send(DropNode(node_no=1))
        assert (await task).lost
        await server.heard(NodeGone)
        assert not runs(pid)
        assert not (host.nodes_root / "pool").exists()

    play(scene)


def test_a_start_task_is_tried_again_and_its_daemon_outlives_tasks(
    play: Play, tmp_path: Path
) -> None:
    async def scene(server: Any, host: Any) -> None:
        line = "/bin/sh -c 'echo x >> tries; [ $(wc -l < tries) = 3 ]'"
        await server.node(1, StartTaskOrder(command_line=line, max_retries=-1))
        began = [one for one in server.reports if isinstance(one, StartTaskBegan)]
        assert [one.retry_count for one in began] == [0, 1, 2]
        ended = await server.heard(StartTaskEnded)
        assert (ended.exit_code, ended.failure, ended.retry_count) == (0, None, 2)

        await server.node(2, StartTaskOrder(command_line=python(tmp_path, DAEMON)))
        pid = int(await content(host.nodes_root / "pool/node2/startup/wd/pid"))
        await server.run("/bin/sh -c 'setsid sleep 600 & sleep 0.05'", node_no=2)
        assert runs(pid)

    play(scene)


def test_files_in_and_outputs_out(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        server.blobs["in"] = b"some input"
        await server.node()
        end = await server.run(
            "/bin/sh -c 'tr a-z A-Z < d/in > out; echo done'",
            resource_files=(ResourceFile(http_url=f"{server.url}/blobs/in", file_path="d/in"),),
            output_files=(
                output("out", f"{server.url}/blobs", "taskcompletion"),
                output("../std*.txt", f"{server.url}/blobs", "tasksuccess"),
                output("nothing", f"{server.url}/blobs", "taskfailure"),
            ),
        )
        assert (end.exit_code, end.failure) == (0, None)
        assert server.blobs["out"] == b"SOME INPUT"
        assert server.blobs["stdout.txt"] == b"done\n"

        end = await server.run(
            "true",
            2,
            resource_files=(ResourceFile(http_url=f"{server.url}/blobs/no", file_path="x"),),
        )
        assert (end.exit_code, end.failure.code) == (None, "BlobNotFound")
        end = await server.run(
            "true", 3, output_files=(output("no", f"{server.url}/blobs", "taskcompletion"),)
        )
        assert (end.exit_code, end.failure.code) == (0, "FileUploadMiscError")

    play(scene)


def test_a_download_that_never_ends_can_be_killed(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        file = ResourceFile(http_url=f"{server.url}/blobs/hang", file_path="x")
        task = asyncio.create_task(server.run("true", resource_files=(file,)))
        await server.until(lambda: server.hangs)
        await server.send(kill())
        end = await task
        assert (end.exit_code, end.killed, end.failure.code) == (None, True, "TaskEnded")

        order = server.order("true", 2, resource_files=(file,), wall_clock_us=100_000)
        await server.send(order)
        end = await server.ended(2)
        assert (end.exit_code, end.killed, end.failure.code) == (None, False, "TaskEnded")

    play(scene)


def test_many_at_once_each_end_once(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        orders = [server.order(f"/bin/sh -c 'exit {n % 7}'", n) for n in range(1, 201)]
        await server.send(*orders, *orders)
        for n in range(1, 201):
            assert (await server.ended(n)).exit_code == n % 7
        numbers = [one.report for one in server.reports if not isinstance(one, Heartbeat)]
        assert numbers == sorted(numbers)
        await server.send(Confirm(report=max(numbers)))
        ends = [one for one in server.reports if isinstance(one, TaskEnded)]
        assert {one.attempt for one in ends} == {1}

    play(scene)
