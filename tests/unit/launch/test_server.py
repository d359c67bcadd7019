"""The HTTP edge: two addresses, bounded, and quick to stop."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from penstock.launch import listeners, server, tls
from penstock.launch.exits import CannotStart
from penstock.wire.request import CROWDED

Client = Callable[[listeners.Listeners, asyncio.Event], Awaitable[None]]


class Site:
    """Answers at once, but holds requests for /hold until they are cut."""

    def __init__(self) -> None:
        self.holding = asyncio.Event()

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        if scope["path"] == "/hold":
            self.holding.set()
            await asyncio.Event().wait()
        said = b"no" if CROWDED in scope["state"] else b"ok"
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})


async def _served(tmp_path: Path, client: Callable[[listeners.Listeners, Site], Any]) -> float:
    """Run `client` against a server; give the seconds that the server then took to stop."""
    files = tls.ensure(tmp_path, tls.names_for([]), datetime.now(UTC))
    sockets, site = listeners.bind("127.0.0.1", 0, 0), Site()
    stop, listening = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(
        server.serve(
            site, sockets, files, max_connections=50, stop=stop, on_listening=listening.set
        )
    )
    try:
        async with asyncio.timeout(20):
            await listening.wait()
            await client(sockets, site)
    finally:
        began = time.monotonic()
        stop.set()
        await running
        sockets.close()
    return time.monotonic() - began


async def _get(
    sockets: listeners.Listeners, request: bytes, context: ssl.SSLContext | None = None
) -> bytes:
    listener = sockets.https if context else sockets.http
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        listener.getsockname()[1],
        ssl=context,
        server_hostname="localhost" if context else None,
    )
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


REQUEST = b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


def test_http_and_https_answer_at_once(tmp_path: Path) -> None:
    async def client(sockets: listeners.Listeners, site: Site) -> None:
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        for answer in (await _get(sockets, REQUEST), await _get(sockets, REQUEST, context)):
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"ok")

    asyncio.run(_served(tmp_path, client))


def test_a_request_that_hangs_is_cut_with_503_and_does_not_delay_the_stop(tmp_path: Path) -> None:
    async def story() -> tuple[float, bytes]:
        answers: list[asyncio.Task[bytes]] = []

        async def client(sockets: listeners.Listeners, site: Site) -> None:
            answers.append(asyncio.create_task(_get(sockets, REQUEST.replace(b"/x", b"/hold"))))
            await site.holding.wait()

        return await _served(tmp_path, client), await answers[0]

    stopped_s, answer = asyncio.run(story())
    assert stopped_s < 2.0
    assert answer.startswith(b"HTTP/1.1 503")


def test_an_idle_connection_does_not_delay_the_stop(tmp_path: Path) -> None:
    async def story() -> float:
        idle: list[asyncio.StreamWriter] = []

        async def client(sockets: listeners.Listeners, site: Site) -> None:
            reader, writer = await asyncio.open_connection(*sockets.http.getsockname())
            writer.write(REQUEST.replace(b"close", b"keep-alive"))
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            idle.append(writer)

        took_s = await _served(tmp_path, client)
        idle[0].close()
        return took_s

    assert asyncio.run(story()) < 1.0


def test_a_connection_too_many_is_marked_and_one_far_too_many_closed(tmp_path: Path) -> None:
    async def client(sockets: listeners.Listeners, site: Site) -> None:
        opened = []
        for number in range(1, 102):
            reader, writer = await asyncio.open_connection(*sockets.http.getsockname())
            opened.append(writer)
            writer.write(REQUEST.replace(b"close", b"keep-alive"))
            answer = (await reader.read(1000))[-2:]
            assert answer == (b"ok" if number <= 50 else b"no" if number <= 100 else b"")
        for writer in opened:
            writer.close()

    asyncio.run(_served(tmp_path, client))


@pytest.mark.parametrize("filler", [b"x-long: " + b"a" * 1000 + b"\r\n", b"a"])
def test_a_head_without_end_is_refused(tmp_path: Path, filler: bytes) -> None:
    async def client(sockets: listeners.Listeners, site: Site) -> None:
        endless = filler * (server.LONGEST_HEAD // len(filler) + 1)
        answer = await _get(sockets, b"GET /x HTTP/1.1\r\nx: " + endless)
        assert answer.startswith(b"HTTP/1.1 431")

    asyncio.run(_served(tmp_path, client))


def test_a_silent_connection_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_HEAD_WITHIN_S", 0.05)

    async def client(sockets: listeners.Listeners, site: Site) -> None:
        assert await _get(sockets, b"GET /x HTT") == b""

    asyncio.run(_served(tmp_path, client))


def test_a_port_that_is_taken_is_named() -> None:
    first = listeners.bind("127.0.0.1", 0, 0)
    port = first.http.getsockname()[1]
    first.http.listen()
    with pytest.raises(CannotStart, match=rf"127\.0\.0\.1:{port}"):
        listeners.bind("127.0.0.1", port, 0)
    first.close()


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(CannotStart, match="cannot listen on"):
        listeners.bind("192.0.2.1", 0, 0)


def test_all_addresses_are_reached_by_loopback() -> None:
    sockets = listeners.bind("0.0.0.0", 0, 0)
    assert sockets.endpoint == f"http://127.0.0.1:{sockets.http.getsockname()[1]}"
    sockets.close()


def _error(answer: bytes) -> dict[str, Any]:
    """The body of an error, whose form is that of every error."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower()
    said: dict[str, Any] = json.loads(body)
    assert said["odata.metadata"].endswith("errors/@Element")
    assert said["message"]["lang"] == "en-US"
    return said


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01 nonsense\r\n\r\n",
        b"BREW /x HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /x HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST /x HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_form_of_all_errors(
    tmp_path: Path, request_: bytes
) -> None:
    async def client(sockets: listeners.Listeners, site: Site) -> None:
        answer = await _get(sockets, request_)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert _error(answer)["code"] == "InvalidInput"

    asyncio.run(_served(tmp_path, client))


def test_what_came_before_nonsense_is_answered(tmp_path: Path) -> None:
    async def client(sockets: listeners.Listeners, site: Site) -> None:
        good = REQUEST.replace(b"close", b"keep-alive")
        answer = await _get(sockets, good + good + b"BREW / HTTP/1.1\r\n\r\n")
        first, second, last = answer.split(b"HTTP/1.1 ")[1:]
        assert first.startswith(b"200")
        assert second.startswith(b"200")
        assert last.startswith(b"400")

    asyncio.run(_served(tmp_path, client))


def test_an_offer_of_another_protocol_is_let_pass(tmp_path: Path) -> None:
    async def client(sockets: listeners.Listeners, site: Site) -> None:
        for protocol in (b"h2c", b"websocket"):
            offer = b"connection: upgrade\r\nupgrade: " + protocol
            answer = await _get(sockets, REQUEST.replace(b"connection: close", offer))
            assert answer.startswith(b"HTTP/1.1 200")

    asyncio.run(_served(tmp_path, client))
