"""What goes back: status, headers, body. Errors are rendered here, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec

from penstock.domain.instants import etag_text, http_date, instant_text
from penstock.domain.refusals import Refusal
from penstock.wire.request import Request
from penstock.wire.versions.showing import shown_in

JSON_TYPE: Final = "application/json;odata=minimalmetadata"
_ERRORS: Final = "Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element"
_ENCODER: Final = msgspec.json.Encoder()

Document = dict[str, Any]
ItemT = TypeVar("ItemT")

SHOWN_AT_ONCE: Final = 50
"""Items of a list that are shown without a pause: about a millisecond."""


class Answer:
    """Status, headers and body. A stream is `length` bytes and must be closed.

    One whose length is None goes on until it or its reader ends.
    """

    __slots__ = ("body", "headers", "length", "status", "stream")

    def __init__(
        self,
        status: int,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        *,
        stream: Stream | None = None,
        length: int | None = None,
    ) -> None:
        self.status = status
        self.headers = headers if headers is not None else {}
        self.body = body
        self.stream = stream
        self.length = len(body) if length is None and stream is None else length


class Stream(Protocol):
    """Bytes that are not in memory. `engine.service.FileAnswer` is one."""

    def body(self) -> AsyncIterator[bytes]:
        """The bytes, once."""

    async def close(self) -> None:
        """Let go of where they come from."""


def encoded(document: object) -> bytes:
    """Write JSON."""
    return _ENCODER.encode(document)


def one(request: Request, kind: str, document: Document, modified_us: int | None = None) -> Answer:
    """200 with a single thing of `kind` (``pools``, ``taskcounts``), after ``$select``.

    The document has the newest names, and is shown in those of the version asked for; so below.
    """
    show = shown_in(request.version, kind)
    if show is not None:
        document = show(document)
    body = {"odata.metadata": f"{request.base}/$metadata#{kind}/@Element"}
    body.update(selected(request, document))
    headers = {"Content-Type": JSON_TYPE, **_state(modified_us)}
    return Answer(200, headers, encoded(body))


def many(
    request: Request, kind: str, items: Sequence[Document], next_link: str | None = None
) -> Answer:
    """200 with a page of a list, after ``$select``."""
    in_version = shown_in(request.version, kind)
    if in_version is not None:
        items = list(map(in_version, items))
    names = _names(request)
    if names:
        items = [_only(item, names) for item in items]
    return _page(request, kind, items, next_link)


def _page(request: Request, kind: str, items: Sequence[object], next_link: str | None) -> Answer:
    body: Document = {"odata.metadata": f"{request.base}/$metadata#{kind}", "value": items}
    if next_link:
        body["odata.nextLink"] = next_link
    return Answer(200, {"Content-Type": JSON_TYPE}, encoded(body))


async def listed(
    request: Request,
    kind: str,
    page: Sequence[ItemT],
    show: Callable[[ItemT], Document],
    next_link: str | None,
) -> Answer:
    """200 with a page of what is in the store, which may be long: others go on in between."""
    names = _names(request)
    in_version = shown_in(request.version, kind)
    items: list[msgspec.Raw] = []
    for number, item in enumerate(page, 1):
        document = show(item) if in_version is None else in_version(show(item))
        items.append(msgspec.Raw(encoded(_only(document, names) if names else document)))
        if not number % SHOWN_AT_ONCE:
            await asyncio.sleep(0)
    return _page(request, kind, items, next_link)


def created(request: Request, path: str, modified_us: int | None = None) -> Answer:
    """201 for the new resource at `path`."""
    url = request.base + path
    return Answer(201, {"Location": url, "DataServiceId": url, **_state(modified_us)})


def done(request: Request, status: int, modified_us: int | None = None) -> Answer:
    """An operation that answers without a body."""
    return Answer(status, {"DataServiceId": request.base + request.path, **_state(modified_us)})


def _state(modified_us: int | None) -> dict[str, str]:
    if modified_us is None:
        return {}
    return {"ETag": etag_text(modified_us), "Last-Modified": http_date(modified_us)}


def _names(request: Request) -> frozenset[str]:
    text = request.query.get("$select", "")
    return frozenset(filter(None, (name.strip() for name in text.split(","))))


def _only(document: Document, names: frozenset[str]) -> Document:
    return {name: value for name, value in document.items() if name in names}


def selected(request: Request, document: Document) -> Document:
    """Leave only what ``$select`` names, where it is given."""
    names = _names(request)
    return _only(document, names) if names else document


def error_part(refusal: Refusal, guid: str, now_us: int) -> Document:
    """Code, message and values, as the whole answer and each failed task of a collection show."""
    text = f"{refusal.message}\nRequestId:{guid}\nTime:{instant_text(now_us)}"
    part: Document = {"code": refusal.code, "message": {"lang": "en-US", "value": text}}
    if refusal.values:
        part["values"] = [{"key": key, "value": value} for key, value in refusal.values.items()]
    return part


def refused(refusal: Refusal, base: str, guid: str, now_us: int) -> Answer:
    """The answer to a request that is not carried out; a 304 has no body."""
    headers: dict[str, str] = {}
    if refusal.status == 503:
        headers["Retry-After"] = "1"
    if refusal.status == 304:
        return Answer(304, refusal.values)
    headers["Content-Type"] = JSON_TYPE
    body = {
        "odata.metadata": f"{base}/$metadata#{_ERRORS}",
        **error_part(refusal, guid, now_us),
    }
    return Answer(refusal.status, headers, encoded(body))


def without_none(document: Mapping[str, Any]) -> Document:
    """Leave out what is absent."""
    return {name: value for name, value in document.items() if value is not None}
