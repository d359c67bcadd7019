"""The ASGI application: one request in, one answer out.

The REST part is called directly and not through a framework's layers, for thousands of small
requests a second go through it. Other routes (the link to node hosts, web pages) are Starlette's.

What is checked first, when several things are wrong: the URL, the credential, the api-version,
the path, the verb, query and headers, the body, and last the state of things.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from itertools import dropwhile
from typing import Any, Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match

from penstock.domain.refusals import InvalidUri, Refusal, ServerBusy
from penstock.domain.unreadable import Unreadable
from penstock.engine.service import Service
from penstock.wire.access.auth import Caller, Door
from penstock.wire.answers import JSON_TYPE, Answer, Stream, encoded, refused
from penstock.wire.operations import OPERATIONS
from penstock.wire.request import ClientGone, Message, Receive, Request, segments
from penstock.wire.room import Room
from penstock.wire.routing import Router, carry_out
from penstock.wire.settings import Ready, WireSettings
from penstock.wire.versions.paths import path_in
from penstock.wire.versions.releases import NEWEST, checked

log = logging.getLogger("penstock.wire")

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

SLOWEST_READER_S: Final = 10.0
"""A reader of a live stream that makes the server wait for longer is cut off."""

SLOWEST_DOWNLOAD_S: Final = 60.0
"""So is one who takes nothing of a file for so long."""

_HTTPS_ONLY: Final = "max-age=31536000"
"""For browsers. A host that is called localhost does not say it, as other programs may be there."""

_PROBES: Final = {"/alive", "/ready"}


class InternalError(Refusal):
    """A bug of ours: the log has what happened, under the id of the request."""

    status = 500
    code = "InternalError"
    message = "The server encountered an internal error. Please retry the request."


def make_app(
    service: Service,
    settings: WireSettings,
    ready: Ready,
    extra_routes: Sequence[BaseRoute] = (),
) -> RestApp:
    """Make the application. `ready` says whether a write would succeed now.

    Raises ValueError when an account's key is not base64.
    """
    return RestApp(service, settings, ready, extra_routes)


class RestApp:
    """An ASGI application."""

    def __init__(
        self,
        service: Service,
        settings: WireSettings,
        ready: Ready,
        extra_routes: Sequence[BaseRoute],
    ) -> None:
        self._service = service
        self._settings = settings
        self._ready = ready
        self._room = Room(settings.bodies_limit)
        self._lists = asyncio.Semaphore(settings.lists_at_once)
        self.door = Door(settings, service)
        self._router = Router(OPERATIONS)
        self._extra_routes = tuple(extra_routes)
        self._extra = Starlette(routes=list(extra_routes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_extra(scope):
            await self._extra(scope, receive, send)
            return
        guid = self._settings.new_guid()
        request = Request(
            scope, receive, self._service, self._settings, guid, self._room, self._lists
        )
        request.base, request.path = request.origin, request.raw_path
        answer: Answer | None = None
        try:
            answer = await self._answer(request)
            await _send(request, answer, send)
        except ClientGone:
            log.debug("client_gone request=%s path=%s", guid, request.raw_path)
        finally:
            request.let_go()
            if answer is not None and answer.stream is not None:
                await answer.stream.close()

    def _is_extra(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is not Match.NONE for route in self._extra_routes)

    async def _answer(self, request: Request) -> Answer:
        """Carry the request out. Every refusal is rendered here, and every bug of ours."""
        try:
            if request.raw_path in _PROBES:
                return await self._probe(request)
            if request.crowded:
                raise ServerBusy(Reason="too many connections at once")
            return await self._carry_out(request)
        except Unreadable as refusal:
            log.error("database_unreadable request=%s reason=%s", request.guid, refusal.cause)
            return self._refused(request, refusal)
        except Refusal as refusal:
            return self._refused(request, refusal)
        except ClientGone:
            raise
        except Exception:
            # the edge of the server: the client is told that it was not its fault, and the
            # next request is served whatever this one has hit
            log.exception(
                "request_failed request=%s verb=%s path=%s",
                request.guid,
                request.method,
                request.raw_path[:512],
            )
            return self._refused(request, InternalError())

    def _refused(self, request: Request, refusal: Refusal) -> Answer:
        name = refusal.values.get("PropertyName")
        if name is not None and request.takes is not None:
            refusal.values["PropertyName"] = path_in(request.version, request.takes, str(name))
        return refused(refusal, request.base, request.guid, self._settings.now_us())

    async def _probe(self, request: Request) -> Answer:
        """``/alive`` and ``/ready``, which anyone may ask."""
        well = request.raw_path == "/alive" or await self._ready()
        name = request.raw_path.strip("/")
        return Answer(200 if well else 503, {"Content-Type": JSON_TYPE}, encoded({name: well}))

    async def _carry_out(self, request: Request) -> Answer:
        path, query, limit = request.raw_path, request.query_text, self._settings.url_limit
        if len(path) + len(query) > limit:
            raise InvalidUri(Reason=f"the URL has more than {limit} characters")
        caller = self._unsigned(request) or await self.door.caller(request)
        request.account = caller.account
        parts = self._below_account(request, segments(path))
        caller.check(request.method, parts)
        request.version = self._version(request, parts)
        operation, request.ids = self._router.find(request.method, parts, request.version)
        if not operation.extension:
            request.check_timeout()
        return await carry_out(operation, request)

    def _unsigned(self, request: Request) -> Caller | None:
        """Who sent a request that needs no signature, else None."""
        settings = self._settings
        if "authorization" in request.headers or not settings.emulator or not request.is_from_home:
            return None
        account = next(iter(settings.accounts))
        parts = segments(request.raw_path)
        if parts[0].lower() == account.lower():
            parts = parts[1:]
        operation = self._router.extension(request.method, parts)
        if operation is None or not operation.unsigned_at_home:
            return None
        return Caller(account)

    def _version(self, request: Request, parts: Sequence[str]) -> str:
        text = request.query.get("api-version")
        if not text and self._router.extension(request.method, parts) is not None:
            return NEWEST
        return checked(text)

    def _below_account(self, request: Request, parts: Sequence[str]) -> Sequence[str]:
        """Take the account off the path, where a local endpoint has it as first segment."""
        if parts[0].lower() != request.account.lower() or self._router.begins(parts[0]):
            return parts
        prefix, _, rest = request.raw_path.lstrip("/").partition("/")
        request.base = f"{request.origin}/{prefix}"
        request.path = f"/{rest.lstrip('/')}"  # an endpoint may have been given with a slash
        below = list(dropwhile(lambda part: not part, parts[1:]))
        return below or ("",)


async def _send(request: Request, answer: Answer, send: Send) -> None:
    """Send status, headers and body; a HEAD and a 304 have none."""
    headers = {
        "request-id": request.guid,
        "DataServiceVersion": "3.0",
        "X-Content-Type-Options": "nosniff",
        "Server": "Penstock",
        **answer.headers,
    }
    if request.scheme == "https" and not request.origin.startswith("https://localhost"):
        headers["Strict-Transport-Security"] = _HTTPS_ONLY
    if request.crowded:
        headers["Connection"] = "close"
    if request.headers.get("return-client-request-id", "").lower() == "true":
        client_id = request.headers.get("client-request-id")
        if client_id:
            headers["client-request-id"] = client_id[:128]
    bare = request.method == "HEAD" and answer.status >= 300
    if answer.status not in (204, 304) and answer.length is not None:
        headers["Content-Length"] = "0" if bare else str(answer.length)
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (name.encode("latin-1"), value.encode("latin-1", "replace"))
                for name, value in headers.items()
            ],
        }
    )
    if answer.stream is not None and answer.length is None:
        await _send_live(request, answer.stream, send)
    elif answer.stream is not None and request.method != "HEAD":
        await _send_stream(request, answer, send)
    else:
        body = b"" if request.method == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})


async def _send_stream(request: Request, answer: Answer, send: Send) -> None:
    """Pass on what comes, as fast as the client takes it, and not more than was promised.

    When it ends early, or the client goes away, the response is left unfinished: the server
    then closes the connection, which is how the other side learns that bytes are missing.
    """
    assert answer.stream is not None
    assert answer.length is not None
    left = answer.length
    gone = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        async for chunk in answer.stream.body():
            if gone.done():
                return
            part = chunk[:left]
            left -= len(part)
            async with asyncio.timeout(SLOWEST_DOWNLOAD_S):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            if not left:
                break
    except TimeoutError:
        log.warning("slow_reader_dropped request=%s", request.guid)
        return
    except ConnectionError:
        log.warning("file_cut request=%s missing_bytes=%d", request.guid, left)
    finally:
        gone.cancel()
    if not left:
        await send({"type": "http.response.body", "body": b""})


async def _send_live(request: Request, stream: Stream, send: Send) -> None:
    """Pass on what comes until the stream ends, the client goes, or it takes nothing any more."""
    gone = asyncio.ensure_future(_wait_for_disconnect(request))
    chunks = aiter(stream.body())
    try:
        while True:
            coming = asyncio.ensure_future(anext(chunks, None))
            await asyncio.wait({coming, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                await asyncio.wait({coming})
                return
            chunk = coming.result()
            if chunk is None:
                break
            async with asyncio.timeout(SLOWEST_READER_S):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except TimeoutError:
        log.warning("slow_reader_dropped request=%s", request.guid)
        return
    finally:
        gone.cancel()
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    await send({"type": "http.response.body", "body": b""})


async def _wait_for_disconnect(request: Request) -> None:
    """Return when the client has hung up; whatever it still sends is of no interest."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
