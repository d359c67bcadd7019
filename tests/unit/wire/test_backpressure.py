"""Bodies and connections are bounded, and who is over the bound is told to come again."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from penstock.domain.refusals import RequestTimedOut, ServerBusy
from penstock.wire.answers import SHOWN_AT_ONCE, Answer, listed
from penstock.wire.app import make_app
from penstock.wire.request import CROWDED, Request
from penstock.wire.room import Room
from penstock.wire.settings import WireSettings
from penstock.wire.versions.releases import NEWEST
from tests.wire.edge import ACCOUNT, KEY, Edge, call, sign, text_to_sign


def small(edge: Edge, bodies_limit: int) -> None:
    """Give the edge an application with little room."""
    settings = WireSettings(
        accounts={ACCOUNT: [KEY]},
        now_us=edge.service.now,
        body_limit=bodies_limit,
        bodies_limit=bodies_limit,
    )
    edge.app = make_app(edge.service, settings, edge._ready)


def a_job(name: str, size: int) -> dict[str, Any]:
    return {"id": name, "poolInfo": {"poolId": "p"}, "displayName": "x" * size}


def test_room_is_taken_and_given_back() -> None:
    room = Room(10)
    room.take(6)
    with pytest.raises(ServerBusy):
        room.take(5)
    room.take(4)
    room.give_back(6)
    assert room.used_bytes == 4


def test_bodies_beyond_the_room_are_refused_and_welcome_later() -> None:
    edge = Edge()
    small(edge, 2000)
    deciding, go_on = asyncio.Event(), asyncio.Event()
    add_job = edge.service.add_job

    async def slowly(*arguments: Any) -> Any:
        deciding.set()
        await go_on.wait()
        return await add_job(*arguments)

    async def story() -> list[httpx.Response]:
        edge.service.add_job = slowly  # type: ignore[method-assign, assignment]
        first = asyncio.create_task(edge.send_json("POST", "/jobs", a_job("first", 1000)))
        await deciding.wait()
        second = await edge.send_json("POST", "/jobs", a_job("second", 1000))
        go_on.set()
        return [await first, second, await edge.send_json("POST", "/jobs", a_job("second", 1000))]

    first, second, again = asyncio.run(story())
    assert (first.status_code, second.status_code, again.status_code) == (201, 503, 201)
    assert second.headers["retry-after"] == "1"
    assert second.json()["code"] == "ServerBusy"
    assert edge.app._room.used_bytes == 0


@pytest.mark.parametrize("spoiled", ["body", "signature"])
def test_a_refused_request_holds_no_room(spoiled: str) -> None:
    edge = Edge()
    small(edge, 2000)
    for _ in range(5):
        if spoiled == "body":
            answer = edge.ask("POST", "/jobs", b"{" + b" " * 900)
        else:
            answer = edge.ask("POST", "/jobs", a_job("j", 900), signed=False)
        assert answer.status_code == 400
    assert edge.app._room.used_bytes == 0


def test_over_a_connection_too_many_only_probes_are_answered() -> None:
    edge = Edge()

    async def crowded(scope: Any, receive: Any, send: Any) -> None:
        await edge.app({**scope, "state": {CROWDED: True}}, receive, send)

    async def ask(target: str) -> httpx.Response:
        headers = {"host": "h", "ocp-date": "Tue, 14 Nov 2023 22:13:20 GMT"}
        signature = sign(text_to_sign("GET", target, headers, ACCOUNT))
        headers["authorization"] = f"SharedKey {ACCOUNT}:{signature}"
        return await call(crowded, "GET", target, headers, b"")  # type: ignore[arg-type]

    refused = asyncio.run(ask("/pools?api-version=2025-06-01"))
    assert (refused.status_code, json.loads(refused.content)["code"]) == (503, "ServerBusy")
    assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
    for probe in ("/alive", "/ready"):
        assert asyncio.run(ask(probe)).status_code == 200


def test_others_go_on_while_a_long_page_is_made() -> None:
    asked: Any = SimpleNamespace(query={"$select": "id"}, base="http://h", version=NEWEST)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def story() -> Answer:
        other = asyncio.create_task(others())
        page = await listed(asked, "tasks", range(1000), lambda n: {"id": n, "x": 1}, None)
        other.cancel()
        return page

    answer = asyncio.run(story())
    assert json.loads(answer.body)["value"] == [{"id": number} for number in range(1000)]
    assert turns >= 1000 / SHOWN_AT_ONCE


def test_only_so_many_pages_are_made_at_a_time() -> None:
    edge = Edge()
    making = most = 0
    list_jobs = edge.service.store.list_jobs

    async def slowly(*arguments: Any) -> Any:
        nonlocal making, most
        making += 1
        most = max(most, making)
        await asyncio.sleep(0)
        making -= 1
        return await list_jobs(*arguments)

    async def story() -> list[httpx.Response]:
        edge.service.store.list_jobs = slowly  # type: ignore[method-assign, assignment]
        return await asyncio.gather(*(edge.send_json("GET", "/jobs") for _ in range(12)))

    assert {answer.status_code for answer in asyncio.run(story())} == {200}
    assert most == edge.settings.lists_at_once


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    settings = WireSettings(accounts={}, now_us=lambda: 0, body_within_s=0.01)
    scope = {
        "method": "POST",
        "raw_path": b"/jobs",
        "query_string": b"",
        "headers": [(b"content-length", b"10")],
    }

    async def half() -> dict[str, Any]:
        if told:
            await asyncio.Event().wait()
        told.append(True)
        return {"type": "http.request", "body": b"half", "more_body": True}

    told: list[bool] = []
    service: Any = None
    request = Request(scope, half, service, settings, "guid", Room(100), asyncio.Semaphore())
    with pytest.raises(RequestTimedOut):
        asyncio.run(request.json_body())
    assert told
