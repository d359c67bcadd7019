"""What a host says that runs have used, beside what they themselves measured."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from penstock.agent.samples import Sampler
from penstock.domain.usage import Usage
from penstock.messages import Heartbeat, KillTask, Report, TaskEnded, encode, reports

Play = Callable[..., None]

BURN = """
import os
until = {user}
while os.times().user + os.times().children_user < until:
    sum(range(10_000))
"""
COPY = """
block = b"x" * 65536
with open("big", "wb", buffering=0) as file:
    for _ in range(64):
        file.write(block)
with open("big", "rb", buffering=0) as file:
    while file.read(65536):
        pass
"""
SPENDS = """
import os, signal, time
begin = os.times().user
while os.times().user - begin < 0.3:
    sum(range(10_000))
open("ready", "w").write("yes")
time.sleep(600)
"""
MIB = 1 << 20


def python(directory: Path, name: str, program: str) -> str:
    script = directory / name
    script.write_text(program)
    return f"{sys.executable} {script}"


def used(end: TaskEnded) -> Usage:
    assert end.usage is not None
    return end.usage


def test_the_time_of_processors_is_counted_for_children_too(play: Play, tmp_path: Path) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        burn = python(tmp_path, "burn.py", BURN.format(user=0.3))
        alone = used(await server.run(burn))
        assert 280_000 <= alone.user_us < 3_000_000
        both = used(await server.run(f"/bin/sh -c '{burn}; {burn}'", 2))
        assert 560_000 <= both.user_us < 6_000_000
        assert both.kernel_us > 0
        little = used(await server.run("/bin/true", 3))
        assert little.user_us < 200_000

    play(scene)


def test_reads_and_writes_are_counted(play: Play, tmp_path: Path) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        copy = python(tmp_path, "copy.py", COPY)
        found = used(await server.run(f"/bin/sh -c '{copy}; exit 0'"))
        assert 64 <= found.writes < 200
        assert found.reads >= 65
        assert 4 * MIB <= found.written_bytes < 5 * MIB
        assert 4 * MIB <= found.read_bytes < 24 * MIB

    play(scene)


def test_what_is_killed_with_its_children_has_used_what_they_used(
    play: Play, tmp_path: Path
) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        spend = python(tmp_path, "spend.py", SPENDS)
        await server.send(server.order(f"/bin/sh -c '{spend}; true'"))
        await server.until((host.task("task1") / "wd/ready").exists)
        await server.send(KillTask(node_no=1, task_no=1, attempt=1))
        end = await server.ended(1)
        assert end.killed
        assert used(end).user_us >= 250_000

    play(scene)


def test_a_program_that_is_missing_has_used_nothing(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await server.node()
        assert (await server.run("/no/such/program")).usage is None

    play(scene)


def test_a_host_looks_at_its_machine(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        beat = await server.heard(Heartbeat, lambda beat: beat.sample is not None)
        sample = beat.sample
        assert 0 <= sample.cpu_percent <= 100
        assert sample.memory_bytes > 10 * MIB
        assert sample.disk_bytes > MIB

    play(scene)


def test_a_sample_is_taken_when_it_is_due_and_tells_what_came_since(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path, 30, 100)
    first = sampler.sample(100)
    assert first is not None
    assert sampler.sample(129) is None
    second = sampler.sample(130)
    assert second is not None
    sampler.hasten()
    assert sampler.sample(131) is not None
    assert sampler.sample(132) is None
    assert second.memory_bytes > 0
    numbers = msgspec.structs.astuple(second)
    assert all(number >= 0 for number in numbers)


def test_words_of_hosts_that_measure_nothing_are_understood() -> None:
    told = TaskEnded(report=1, task_no=2, attempt=3, start_us=4, end_us=5, exit_code=0)
    said: list[Report] = [told, Heartbeat()]
    old = msgspec.msgpack.decode(encode(said))
    assert [type(part.pop()) for part in old] == [type(None), type(None)]
    assert list(reports(msgspec.msgpack.encode(old))) == said
