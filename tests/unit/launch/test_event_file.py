"""The file of events: complete and without repetition, whatever it was left as."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from penstock.domain.records import EventRecord
from penstock.engine.event_log import EventLog
from penstock.launch.event_file import EventFile, last_id, old_path
from penstock.store.memory import MemoryStore
from tests.records import ACCOUNT, NOW_US

MOST = 1 << 20


class Log:
    """A log of events that a test writes."""

    def __init__(self, *numbers: int) -> None:
        self.store = MemoryStore()
        self.events = EventLog(self.store, 1000)
        asyncio.run(self.events.open(1))
        self.tell(*numbers)

    def tell(self, *numbers: int) -> None:
        for no in numbers:
            self.store.log[no] = EventRecord(no, NOW_US, ACCOUNT, "TaskStartEvent", b'{"id":"t"}')
            self.events.grew(no, 1)

    def write(self, path: Path, most_bytes: int = MOST) -> None:
        """Write all that is there, as a server does that stops."""
        self.events.close()
        asyncio.run(EventFile(self.events, path, most_bytes).run())


def ids(*paths: Path) -> list[int]:
    lines = [line for path in paths for line in path.read_text().splitlines()]
    return [json.loads(line)["id"] for line in lines]


def test_each_event_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    Log(2, 5).write(path)
    assert path.read_text().splitlines()[0] == (
        '{"id":2,"time":"2023-11-14T22:13:20.0000000Z","account":"acct",'
        '"name":"TaskStartEvent","body":{"id":"t"}}'
    )
    assert ids(path) == [2, 5]


@pytest.mark.parametrize(
    "left",
    [
        b"",
        b'{"id":7,"time"',
        b'{"id":7}',
        b"\0" * 5000,
        b"not json\nneither\n",
        b'{"id":"seven"}\n',
        b"\n\n",
    ],
)
def test_a_torn_end_is_cut_off(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "events.jsonl"
    Log(2, 5).write(path)
    with path.open("ab") as file:
        file.write(left)
    assert last_id(path) == 5
    Log(2, 5, 7, 9).write(path)
    assert ids(path) == [2, 5, 7, 9]


@pytest.mark.parametrize("keep", range(0, 240, 7))
def test_a_file_cut_anywhere_is_completed(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "events.jsonl"
    log = Log(2, 5, 9)
    log.write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    log.write(path)
    assert path.read_bytes() == whole


def test_a_file_that_is_long_enough_makes_room_for_another(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = Log(*range(1, 4))
    log.write(path, most_bytes=300)
    assert not path.exists()
    assert ids(old_path(path)) == [1, 2, 3]
    log.tell(4)
    log.write(path, most_bytes=300)
    assert ids(old_path(path), path) == [1, 2, 3, 4]
    log.tell(5, 6, 7)
    log.write(path, most_bytes=300)
    assert ids(old_path(path)) == [4, 5, 6, 7]


def test_what_comes_is_written_as_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = Log(1)

    async def story() -> None:
        writing = asyncio.create_task(EventFile(log.events, path, MOST).run())
        async with asyncio.timeout(10):
            while not path.exists() or len(ids(path)) < 1:
                await asyncio.sleep(0.005)
            log.tell(2, 3)
            while len(ids(path)) < 3:
                await asyncio.sleep(0.005)
            log.events.close()
            await writing

    asyncio.run(story())
    assert ids(path) == [1, 2, 3]


def test_a_file_that_cannot_be_written_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.launch.event_file._PAUSE_S", 0.01)
    path = tmp_path / "missing" / "events.jsonl"
    log = Log(1)

    async def story() -> None:
        writing = asyncio.create_task(EventFile(log.events, path, MOST).run())
        await asyncio.wait({writing}, timeout=0.05)
        assert not writing.done()
        path.parent.mkdir()
        async with asyncio.timeout(10):
            while not path.exists() or len(ids(path)) < 1:
                await asyncio.sleep(0.005)
        log.events.close()
        await writing

    asyncio.run(story())


def test_a_file_of_another_server_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    Log(1000).write(path)
    Log(2, 5).write(path)
    assert ids(path) == [2, 5]
    assert ids(old_path(path)) == [1000]
