"""Reading the log of events over HTTP: pages, waiting, streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from penstock.domain.instants import http_date
from penstock.domain.records import EventRecord
from penstock.engine.event_log import MOST_STREAMS
from penstock.wire import app as app_module
from penstock.wire import events as events_module
from tests.wire.edge import ACCOUNT, Edge, sign, text_to_sign
from tests.wire.fakes import NOON_US

STREAM = {"accept": "text/event-stream"}


async def edge_with(*numbers: int, account: str = ACCOUNT) -> Edge:
    edge = Edge()
    await edge.service.events.open(1)
    tell(edge, *numbers, account=account)
    return edge


def tell(edge: Edge, *numbers: int, account: str = ACCOUNT) -> None:
    for no in numbers:
        edge.service.memory.log[no] = EventRecord(no, NOON_US, account, "TaskStartEvent", b"{}")
        edge.service.events.grew(no, 1)


def test_pages_need_no_version_and_follow_each_other() -> None:
    async def story() -> None:
        edge = await edge_with(3, 5, 8)
        first = (await edge.send("GET", "/events?maxresults=2", version=None)).json()
        assert [event["id"] for event in first["value"]] == [3, 5]
        assert (first["next"], first["missed"]) == (5, False)
        then = (await edge.send("GET", "/events?after=5")).json()
        assert [event["id"] for event in then["value"]] == [8]
        assert (await edge.send("GET", f"/{ACCOUNT}/events?after=8")).json()["value"] == []

    asyncio.run(story())


def test_the_log_asks_for_a_signature() -> None:
    edge = Edge(emulator=True)
    assert edge.ask("GET", "/events", signed=False, peer="127.0.0.1").status_code == 400


def test_another_account_sees_nothing() -> None:
    async def story() -> None:
        edge = await edge_with(3, account="another")
        assert (await edge.send("GET", "/events")).json()["value"] == []

    asyncio.run(story())


@pytest.mark.parametrize(
    "query", ["after=x", "after=-1", "after=1.5", "timeout=61", "timeout=x", "after=" + "9" * 30]
)
def test_a_bad_number_is_refused_by_name(query: str) -> None:
    answer = Edge().ask("GET", f"/events?{query}")
    assert answer.status_code == 400
    values = {item["key"]: item["value"] for item in answer.json()["values"]}
    assert values["QueryParameterName"] == query.partition("=")[0]
    assert "from 0 to" in values["Reason"]


def test_who_waits_gets_the_next_event() -> None:
    async def story() -> Any:
        edge = await edge_with(3)
        asking = asyncio.create_task(edge.send("GET", "/events?after=3&timeout=30"))
        done, _ = await asyncio.wait({asking}, timeout=0.05)
        assert not done
        tell(edge, 4, account="another")
        tell(edge, 5)
        return (await asyncio.wait_for(asking, 5)).json()

    assert [event["id"] for event in asyncio.run(story())["value"]] == [5]


def test_who_waits_is_answered_when_the_server_stops() -> None:
    async def story() -> Any:
        edge = await edge_with(3)
        asking = asyncio.create_task(edge.send("GET", "/events?after=3&timeout=30"))
        await asyncio.sleep(0)
        edge.service.events.close()
        return (await asyncio.wait_for(asking, 5)).json()

    assert asyncio.run(story())["value"] == []


# --- streams ---------------------------------------------------------------------------------


class Stream:
    """A client of a stream, which can hang up, and be slow."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self.gone = asyncio.Event()
        self.takes = asyncio.Event()
        self.takes.set()
        self.ended = False
        self._rest = b""

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        await self.takes.wait()
        self.ended = not message.get("more_body", False)
        self.chunks.put_nowait(message["body"])

    async def event(self) -> dict[str, str]:
        """The next event that is not a comment."""
        while True:
            while b"\n\n" not in self._rest:
                self._rest += await asyncio.wait_for(self.chunks.get(), 5)
            text, _, self._rest = self._rest.partition(b"\n\n")
            if not text.startswith(b":"):
                return dict(line.split(": ", 1) for line in text.decode().splitlines())


@asynccontextmanager
async def streaming(
    edge: Edge, target: str = "/events", **headers: str
) -> AsyncIterator[tuple[Stream, asyncio.Task[None]]]:
    sent = {"host": "batch.test", "ocp-date": http_date(edge.service.now_us), **STREAM, **headers}
    sent["authorization"] = (
        f"SharedKey {ACCOUNT}:{sign(text_to_sign('GET', target, sent, ACCOUNT))}"
    )
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }
    stream = Stream()
    task = asyncio.create_task(edge.app(scope, stream.receive, stream.send))
    try:
        yield stream, task
    finally:
        stream.gone.set()
        async with asyncio.timeout(5):
            await task


def test_a_stream_gives_what_is_there_and_what_comes() -> None:
    async def story() -> None:
        edge = await edge_with(3, 5)
        async with streaming(edge, "/events?after=3") as (stream, task):
            event = await stream.event()
            assert (event["id"], event["event"]) == ("5", "TaskStartEvent")
            assert json.loads(event["data"])["id"] == 5
            tell(edge, 9)
            assert (await stream.event())["id"] == "9"
            assert stream.status == 200
            assert stream.headers[b"Content-Type"] == b"text/event-stream"
            assert b"Content-Length" not in stream.headers
            edge.service.events.close()
            async with asyncio.timeout(5):
                await task
            assert stream.ended

    asyncio.run(story())


def test_a_stream_goes_on_behind_the_last_event_of_its_reader() -> None:
    async def story() -> None:
        edge = await edge_with(3, 5, 8)
        async with streaming(edge, "/events?after=3", **{"last-event-id": "5"}) as (stream, _):
            assert (await stream.event())["id"] == "8"
        async with streaming(edge, **{"last-event-id": "five"}) as (stream, task):
            await task
            assert stream.status == 400

    asyncio.run(story())


def test_a_stream_says_what_it_cannot_give_any_more() -> None:
    async def story() -> None:
        edge = await edge_with(3, 5, 8)
        edge.service.events.trimmed(8)
        del edge.service.memory.log[3], edge.service.memory.log[5]
        async with streaming(edge, "/events?after=3") as (stream, _):
            missed = await stream.event()
            assert missed["event"] == "missed"
            assert "id" not in missed
            assert json.loads(missed["data"]) == {"after": 3, "first": 8}
            assert (await stream.event())["id"] == "8"
            tell(edge, 9)
            assert (await stream.event())["id"] == "9", "it is said once"

    asyncio.run(story())


def test_a_quiet_stream_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "KEEP_ALIVE_S", 0.01)

    async def story() -> None:
        edge = await edge_with()
        async with streaming(edge) as (stream, _):
            await asyncio.wait_for(stream.chunks.get(), 5)
            assert (await asyncio.wait_for(stream.chunks.get(), 5)).startswith(b": still")

    asyncio.run(story())


def test_a_reader_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "SLOWEST_READER_S", 0.01)

    async def story() -> None:
        edge = await edge_with(3)
        async with streaming(edge) as (stream, task):
            stream.takes.clear()
            async with asyncio.timeout(5):
                await task
            assert not stream.ended, "an end would say that nothing is missing"
        await expect_room(edge)

    asyncio.run(story())


async def expect_room(edge: Edge) -> None:
    for _ in range(MOST_STREAMS):
        edge.service.events.join()


def test_streams_beyond_the_bound_are_refused_and_a_hung_up_one_makes_room() -> None:
    async def story() -> None:
        edge = await edge_with(3)
        async with streaming(edge) as (stream, task):
            await stream.event()
            for _ in range(MOST_STREAMS - 1):
                edge.service.events.join()
            async with streaming(edge) as (refused, _):
                pass
            assert refused.status == 503
            stream.gone.set()
            async with asyncio.timeout(5):
                await task
            edge.service.events.join()

    asyncio.run(story())
