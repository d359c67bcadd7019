"""Where node hosts come in: one WebSocket each, and a request for each answer about files."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from penstock.domain.refusals import Refusal
from penstock.engine.engine import Engine
from penstock.engine.links import Link
from penstock.messages import (
    FILE_INFO_HEADER,
    FILE_STATUS_HEADER,
    FILES_PATH,
    LINK_PATH,
    PROTOCOL,
    FileInfo,
    Hello,
    Instruction,
    Report,
    encode,
    reports,
)

log = logging.getLogger("penstock.link")

MOST_WAITING: Final = 100_000
"""Instructions that may wait for a slow host; then it is cut off, and comes back to be told
what it should have by then."""

BATCHES_AT_ONCE: Final = 64
INSTRUCTIONS_IN_MESSAGE: Final = 500

POLICY_VIOLATION: Final = 1008
TRY_AGAIN: Final = 1013


def link_routes(engine: Engine, token: str) -> Sequence[BaseRoute]:
    """The routes for node hosts that show `token`."""

    async def link(socket: WebSocket) -> None:
        if not _allowed(socket, token):
            await socket.close(POLICY_VIOLATION)
            return
        await socket.accept()
        await _Conversation(engine, socket).run()

    async def file(request: Request) -> Response:
        if not _allowed(request, token):
            return PlainTextResponse("wrong token", 403)
        return await _take_file(engine, request)

    return [
        WebSocketRoute(LINK_PATH, link),
        Route(FILES_PATH + "{request}", file, methods=["POST"]),
    ]


def _allowed(connection: HTTPConnection, token: str) -> bool:
    shown = connection.headers.get("authorization", "")
    return hmac.compare_digest(shown.encode(), f"Bearer {token}".encode())


class _Conversation:
    """One connection of a node host, from its greeting to its end."""

    def __init__(self, engine: Engine, socket: WebSocket) -> None:
        self._engine = engine
        self._socket = socket
        self._out: list[Instruction] = []
        self._wake = asyncio.Event()
        self._overrun = False

    async def run(self) -> None:
        try:
            hello = await self._hello()
        except (WebSocketDisconnect, ConnectionError, ValueError):
            return
        if hello is None:
            await self._socket.close(POLICY_VIOLATION)
            return
        try:
            link = await self._engine.connect(hello, self._send)
        except Refusal as refusal:
            log.warning("host_refused host=%s: %s", hello.host, refusal)
            await self._socket.close(TRY_AGAIN)
            return
        log.info("host_connected host=%s pid=%d nodes=%d", link.host, hello.pid, len(hello.nodes))
        writing = asyncio.create_task(self._write())
        reading = asyncio.create_task(self._read(link))
        try:
            await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writing, reading):
                task.cancel()
            await asyncio.gather(writing, reading, return_exceptions=True)
            await self._engine.disconnect(link)
            log.info("host_disconnected host=%s", link.host)
        if self._overrun:
            await self._socket.close(TRY_AGAIN)

    async def _hello(self) -> Hello | None:
        first = list(self._batch(await self._socket.receive_bytes()))
        hello = first[0] if first else None
        if not isinstance(hello, Hello) or hello.protocol != PROTOCOL:
            log.warning("host_refused: speaks another protocol than %d", PROTOCOL)
            return None
        return hello

    def _batch(self, message: bytes) -> Iterable[Report]:
        try:
            return reports(message)
        except msgspec.MsgspecError as error:
            raise ValueError(f"a message that cannot be read: {error}") from error

    def _send(self, batch: Sequence[Instruction]) -> None:
        """Queue instructions; they go out together with what else is queued by then."""
        # What is handed over at once may be much; slow is who has not even taken the last of it.
        self._overrun = self._overrun or len(self._out) > MOST_WAITING
        self._out.extend(batch)
        self._wake.set()

    async def _write(self) -> None:
        while not self._overrun:
            await self._wake.wait()
            self._wake.clear()
            batch, self._out = self._out, []
            for start in range(0, len(batch), INSTRUCTIONS_IN_MESSAGE):
                part = batch[start : start + INSTRUCTIONS_IN_MESSAGE]
                await self._socket.send_bytes(encode(part))

    async def _read(self, link: Link) -> None:
        """Take reports in, in order, without waiting for one commit before reading the next.

        When one batch could not be taken, the connection ends: the host keeps what was not
        confirmed, and reports it again.
        """
        free = asyncio.Semaphore(BATCHES_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    batch = list(self._batch(await self._socket.receive_bytes()))
                    await free.acquire()
                    taking = group.create_task(self._engine.receive(link, _after_hello(batch)))
                    taking.add_done_callback(lambda _: free.release())
        except* (WebSocketDisconnect, ConnectionError):
            pass
        except* (Refusal, ValueError) as problems:
            for problem in problems.exceptions:
                log.warning("host_cut host=%s: %s", link.host, problem)


def _after_hello(batch: Sequence[Report]) -> Sequence[Report]:
    if any(isinstance(report, Hello) for report in batch):
        raise ValueError("a second greeting")
    return batch


async def _take_file(engine: Engine, request: Request) -> Response:
    """Hand the bytes of a node host's answer on to who asked."""
    info_text = request.headers.get(FILE_INFO_HEADER)
    try:
        info = msgspec.json.decode(info_text, type=FileInfo) if info_text else None
    except msgspec.MsgspecError:
        return PlainTextResponse("file info that cannot be read", 400)
    status = request.headers.get(FILE_STATUS_HEADER, "unavailable")
    answer = engine.files.begin(request.path_params["request"], status, info)
    if answer is None:
        return PlainTextResponse("nobody asked, or nobody waits any more", 410)
    whole = False
    try:
        async for piece in request.stream():
            if piece and not await answer.put(piece):
                return PlainTextResponse("nobody reads on", 410)
        whole = True
    except ClientDisconnect:
        log.info("file_answer_cut request=%s", request.path_params["request"])
    finally:
        await answer.end(whole=whole)
    return Response(status_code=204)
