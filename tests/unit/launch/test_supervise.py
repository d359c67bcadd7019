"""Children that die, that were left behind, that will not end."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from penstock.launch.children import retire
from penstock.launch.processes import ProcessRecord
from penstock.launch.supervise import Child, Keeper, Supervisor
from tests.e2e.harness import environment, processes_naming

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").close()
time.sleep(600)
"""


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    it = Supervisor()
    yield it
    it.stop(0.0)


def sleeper(tmp_path: Path, *command: str) -> Child:
    return Child(
        name="sleeper",
        command=command or ("sleep", "600"),
        record=tmp_path / "sleeper.process",
        log=tmp_path / "sleeper.log",
    )


def pid_of(keeper: Keeper) -> int:
    assert keeper.process is not None
    return keeper.process.pid


async def _until(happened: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await happened.wait()


def test_a_child_that_dies_is_started_again(tmp_path: Path, supervisor: Supervisor) -> None:
    starts = tmp_path / "starts"
    os.mkfifo(starts)
    child = sleeper(tmp_path, "sh", "-c", f"echo $$ > {starts}; exec sleep 600")
    pipe = os.open(starts, os.O_RDWR | os.O_NONBLOCK)

    async def story() -> list[int]:
        loop, heard, said = asyncio.get_running_loop(), asyncio.Event(), bytearray()

        def hear() -> None:
            said.extend(os.read(pipe, 100))
            heard.set()

        loop.add_reader(pipe, hear)
        keeper = supervisor.start(child)
        keeping = asyncio.create_task(supervisor.run())
        await _until(heard)
        heard.clear()
        os.kill(pid_of(keeper), signal.SIGKILL)
        await _until(heard)
        loop.remove_reader(pipe)
        keeping.cancel()
        return [int(pid) for pid in said.split()]

    first, second = asyncio.run(story())
    os.close(pipe)
    assert first != second
    record = ProcessRecord.load(child.record)
    assert record is not None
    assert record.pid == second


def test_the_next_server_adopts_a_living_child(tmp_path: Path, supervisor: Supervisor) -> None:
    left = Keeper(sleeper(tmp_path))
    left.start()
    keeper = supervisor.start(sleeper(tmp_path))
    assert keeper.adopted
    assert pid_of(keeper) == pid_of(left)
    supervisor.stop(5.0)
    left.forget()
    assert not keeper.child.record.exists()


def test_a_child_does_nothing_before_it_is_on_record(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    killed_while_noting = f"""
import os, signal
from pathlib import Path
from penstock.launch.processes import ProcessRecord
from penstock.launch.supervise import Child, Supervisor

ProcessRecord.save = lambda self, path: os.kill(os.getpid(), signal.SIGKILL)
child = Child(
    name="toucher",
    command=("sh", "-c", "touch {ran}; exec sleep 600"),
    record=Path("{tmp_path}/record"),
    log=Path("{tmp_path}/log"),
)
Supervisor().start(child)
"""
    with subprocess.Popen(
        [sys.executable, "-c", killed_while_noting], stdout=subprocess.PIPE, env=environment()
    ) as server:
        assert server.wait(timeout=20) == -signal.SIGKILL
    left = processes_naming(str(ran))
    _, alive = psutil.wait_procs(left, timeout=5)
    for process in alive:
        process.kill()
    assert alive == []
    assert not ran.exists()


def test_a_child_that_cannot_be_recorded_is_tried_again(
    tmp_path: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, refusals = ProcessRecord.save, [OSError(errno.ENOSPC, "No space left on device")] * 2
    recorded = asyncio.Event()

    def save_at_last(self: ProcessRecord, path: Path) -> None:
        if refusals:
            raise refusals.pop()
        save(self, path)
        recorded.set()

    async def story() -> tuple[int, Keeper]:
        keeper = supervisor.start(sleeper(tmp_path))
        first = pid_of(keeper)
        monkeypatch.setattr(ProcessRecord, "save", save_at_last)
        keeping = asyncio.create_task(supervisor.run())
        os.kill(first, signal.SIGKILL)
        await _until(recorded)
        keeping.cancel()
        return first, keeper

    first, keeper = asyncio.run(story())
    assert refusals == []
    assert pid_of(keeper) != first
    assert ProcessRecord.load(tmp_path / "sleeper.process") == keeper.process


def test_a_stranger_with_the_same_number_is_not_adopted(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    child = sleeper(tmp_path)
    with subprocess.Popen(["sleep", "600"]) as stranger:
        record = ProcessRecord.of(stranger.pid)
        assert record is not None
        earlier = ProcessRecord(pid=record.pid, started=record.started - 1, boot=record.boot)
        earlier.save(child.record)
        adopted = supervisor.start(child).adopted
        supervisor.stop(5.0)
        survived = stranger.poll() is None
        stranger.kill()
    assert not adopted
    assert survived


def test_a_record_of_another_boot_is_of_nobody() -> None:
    mine = ProcessRecord.of(os.getpid())
    assert mine is not None
    assert mine.alive()
    assert not ProcessRecord(pid=mine.pid, started=mine.started, boot="earlier").alive()


def test_a_child_that_ignores_sigterm_is_killed_in_time(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    armed = tmp_path / "armed"
    os.mkfifo(armed)
    child = sleeper(tmp_path, sys.executable, "-c", STUBBORN, str(armed))
    keeper = supervisor.start(child)
    armed.open("rb").close()  # returns when the child ignores SIGTERM
    process = keeper.process
    assert process is not None
    began = time.monotonic()
    supervisor.stop(0.2)
    assert not process.alive()
    assert 0.2 <= time.monotonic() - began < 3.0


def test_stopping_is_enough_for_a_child_that_obeys(tmp_path: Path, supervisor: Supervisor) -> None:
    keeper = supervisor.start(sleeper(tmp_path))
    process = keeper.process
    assert process is not None
    began = time.monotonic()
    supervisor.stop(60.0)
    assert not process.alive()
    assert time.monotonic() - began < 30.0


def test_a_zombie_counts_as_gone() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        record = ProcessRecord.of(child.pid)
        assert record is not None
        record.end(10.0)
        assert not record.alive()  # dead, though nobody has collected it
        assert ProcessRecord.of(child.pid) is None


def test_a_child_that_is_not_wanted_any_more_is_retired(tmp_path: Path) -> None:
    left = Keeper(sleeper(tmp_path))
    left.start()
    process = left.process
    assert process is not None
    retire(left.child.record)
    left.forget()
    assert not process.alive()
    assert not left.child.record.exists()


def test_what_a_child_prints_is_in_its_log_and_old_logs_are_bounded(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    child = sleeper(tmp_path, "sh", "-c", "echo hello")
    with child.log.open("wb") as log:
        log.truncate(17 << 20)
    keeper = supervisor.start(child)

    async def ended() -> None:
        async with asyncio.timeout(10):
            if keeper.process is not None:
                await keeper.process.ended()

    asyncio.run(ended())
    assert child.log.read_text("utf-8") == "hello\n"
    assert child.log.with_suffix(".log.1").stat().st_size == 17 << 20
