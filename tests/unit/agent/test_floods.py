"""Who is ended when the disk runs full."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from penstock.agent import floods
from penstock.agent.events import Event, Overrun, RunKey
from penstock.agent.floods import Floods
from penstock.agent.settings import AgentSettings

MIB = 1 << 20


def ended(tmp_path: Path, sizes: dict[int, int]) -> list[Event]:
    """Watch running tasks that have written so much, until the first is ended."""
    running = []
    for number, size in sizes.items():
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / "wd.bin").write_bytes(b"x" * size)
        running.append((RunKey(number, 1), str(directory)))
    heard: list[Event] = []
    settings = AgentSettings(
        data_dir=tmp_path, locate=lambda: None, token="", watch_s=0.001, min_free_bytes=100 * MIB
    )

    async def whole() -> None:
        looked = 0

        def look() -> list[tuple[RunKey, str]]:
            nonlocal looked
            looked += 1
            if heard or looked > 3:
                raise asyncio.CancelledError
            return running

        with suppress(asyncio.CancelledError):
            await Floods(settings, look, heard.append).run()

    asyncio.run(whole())
    return heard


def test_the_task_that_wrote_most_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floods, "free_bytes", lambda _: 99 * MIB)
    [event] = ended(tmp_path, {1: 17 * MIB, 2: 19 * MIB, 3: 18 * MIB})
    assert isinstance(event, Overrun)
    assert event.key == RunKey(2, 1)
    assert event.failure.code == "DiskFull"


def test_tasks_that_wrote_little_are_not_to_blame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floods, "free_bytes", lambda _: 99 * MIB)
    assert ended(tmp_path, {1: MIB}) == []


def test_there_is_room_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floods, "free_bytes", lambda _: 101 * MIB)
    assert ended(tmp_path, {1: 17 * MIB}) == []


def test_free_bytes_of_a_real_disk(tmp_path: Path) -> None:
    free = floods.free_bytes(str(tmp_path))
    assert free is not None
    assert free > 0
    assert floods.free_bytes(str(tmp_path / "nothing")) is None
