"""Files of nodes and tasks: asked of the node, streamed to the client.

A node answers only about paths below the root that it is given. Whatever could lead out of it is
refused here already, as a file that does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from itertools import product
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from penstock.domain.conditions import Conditions
from penstock.domain.instants import http_date, instant_text
from penstock.domain.queries import Both, Either, Filter, StartsWith
from penstock.domain.records import NodeRecord
from penstock.domain.refusals import (
    ConditionNotMet,
    FileNotFound,
    InvalidRange,
    NodeBeingCreated,
    NodeBeingRebooted,
    NodeBeingReimaged,
    NodeBeingStarted,
    NodeStateUnusable,
    NotModified,
    OperationInvalidForCurrentState,
    Refusal,
    ServerBusy,
    TaskFilesCleanedup,
    TaskFilesUnavailable,
)
from penstock.domain.states import NodeState
from penstock.engine.service import FileAnswer
from penstock.messages import FileInfo, FilesPage
from penstock.wire.answers import Answer, Document, done, many
from penstock.wire.conditional import conditions
from penstock.wire.nodes import node_of
from penstock.wire.odata import filter_of
from penstock.wire.paging import next_link, page_size, start_of
from penstock.wire.request import Request
from penstock.wire.shown import node_path, task_directory, task_path
from penstock.wire.tasks import task_of

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)
_LISTING: Final = msgspec.json.Decoder(list[FileInfo])

_NOT_UP: Final[Mapping[NodeState, type[Refusal]]] = {
    NodeState.CREATING: NodeBeingCreated,
    NodeState.STARTING: NodeBeingStarted,
    NodeState.REBOOTING: NodeBeingRebooted,
    NodeState.REIMAGING: NodeBeingReimaged,
}


class Place(NamedTuple):
    """Where files are asked for: a node, a directory on it, and its URL for clients."""

    node: NodeRecord
    root: str
    url: str
    of_task: bool


PlaceFinder = Callable[[Request], Awaitable[Place]]


async def _node_place(request: Request) -> Place:
    pool, node = await node_of(request)
    return Place(node, "", request.base + node_path(pool.id, node.id) + "/files/", of_task=False)


async def _task_place(request: Request) -> Place:
    """Find the node that has the directory of a task, or say why there is none."""
    job, task, _ = await task_of(request)
    if task.files_gone:
        raise TaskFilesCleanedup
    if task.node_no is None or task.node_id is None or task.pool_id is None:
        raise TaskFilesUnavailable
    store = request.service.store
    pool = await store.pool(request.account, task.pool_id)
    node = None if pool is None else await store.node(pool.no, task.node_id)
    if node is None or node.no != task.node_no:
        raise TaskFilesUnavailable
    url = request.base + task_path(job.id, task.id) + "/files/"
    return Place(node, task_directory(job.id, task.id), url, of_task=True)


async def list_node_files(request: Request) -> Answer:
    """GET /pools/{pool}/nodes/{node}/files"""
    return await _list(request, _node_place)


async def list_task_files(request: Request) -> Answer:
    """GET /jobs/{job}/tasks/{task}/files"""
    return await _list(request, _task_place)


async def read_node_file(request: Request) -> Answer:
    """GET /pools/{pool}/nodes/{node}/files/{path}"""
    return await _read(request, _node_place)


async def read_task_file(request: Request) -> Answer:
    """GET /jobs/{job}/tasks/{task}/files/{path}"""
    return await _read(request, _task_place)


async def stat_node_file(request: Request) -> Answer:
    """HEAD /pools/{pool}/nodes/{node}/files/{path}"""
    return await _stat(request, _node_place)


async def stat_task_file(request: Request) -> Answer:
    """HEAD /jobs/{job}/tasks/{task}/files/{path}"""
    return await _stat(request, _task_place)


async def delete_node_file(request: Request) -> Answer:
    """DELETE /pools/{pool}/nodes/{node}/files/{path}"""
    return await _delete(request, _node_place)


async def delete_task_file(request: Request) -> Answer:
    """DELETE /jobs/{job}/tasks/{task}/files/{path}"""
    return await _delete(request, _task_place)


def file_path(request: Request) -> str:
    """The path that the client asks for; one that is not plainly below the root is not found."""
    path = request.ids[2]
    if "\0" in path or "\\" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise FileNotFound
    return path


async def _ask(
    request: Request,
    place: Place,
    what: str,
    path: str = "",
    *,
    recursive: bool = False,
    span: tuple[int | None, int | None] = (None, None),
    page: FilesPage | None = None,
) -> FileAnswer:
    """Ask the node, and turn every answer but ``ok`` into its refusal."""
    when = conditions(request) if path else Conditions()
    try:
        answer = await request.service.ask_file(
            place.node,
            place.root,
            what,
            path,
            recursive=recursive,
            start=span[0],
            end=span[1],
            modified_since_us=when.modified_since_us,
            unmodified_since_us=when.unmodified_since_us,
            page=page,
        )
    except NodeStateUnusable:
        raise _unavailable(place) from None
    if answer.status == "ok":
        return answer
    await answer.close()
    raise _refusal(answer.status, what, place, when)


def _refusal(status: str, what: str, place: Place, when: Conditions) -> Refusal:
    """What a node's word means to the client."""
    if status == "directory" and what == "delete":
        return OperationInvalidForCurrentState(Reason="the directory is not empty")
    if status == "kept":
        return OperationInvalidForCurrentState(Reason="the node cannot do without the directory")
    if status == "busy":
        return ServerBusy(Reason="the node has too many files to list")
    if status == "unavailable":
        return _unavailable(place)
    if status == "notmodified":
        return NotModified() if when.reading else ConditionNotMet()
    return {"range": InvalidRange, "condition": ConditionNotMet}.get(status, FileNotFound)()


def _unavailable(place: Place) -> Refusal:
    """The node does not answer, or has nothing of it."""
    if place.of_task:
        return TaskFilesUnavailable()
    state = place.node.state
    return _NOT_UP.get(state, NodeStateUnusable)(NodeState=state.value)


async def _read(request: Request, find: PlaceFinder) -> Answer:
    place, path = await find(request), file_path(request)
    span = await _span(request, place, path)
    answer = await _ask(request, place, "read", path, span=span)
    info = answer.info
    if info is None or info.directory:
        await answer.close()
        raise FileNotFound
    headers = _headers(place, path, info)
    return Answer(200, headers, stream=answer, length=info.length)


async def _span(request: Request, place: Place, path: str) -> tuple[int | None, int | None]:
    """Read the range that is asked for: first and last byte, None where it is open."""
    text = request.headers.get("ocp-range") or request.headers.get("range")
    if not text:
        return None, None
    match = _RANGE.fullmatch(text.strip().replace(" ", ""))
    if match is None or match[1] == match[2] == "":
        raise InvalidRange(HeaderValue=text[:64], Reason="the form is bytes=first-last")
    if match[1]:
        start, end = int(match[1]), int(match[2]) if match[2] else None
        if end is not None and end < start:
            raise InvalidRange(HeaderValue=text[:64], Reason="the last byte is before the first")
        return start, end
    size = (await _info(request, place, path)).size
    if int(match[2]) == 0:
        raise InvalidRange(HeaderValue=text[:64], Reason="the last 0 bytes are no range")
    return max(size - int(match[2]), 0), None


async def _info(request: Request, place: Place, path: str) -> FileInfo:
    answer = await _ask(request, place, "stat", path)
    await answer.close()
    if answer.info is None:
        raise FileNotFound
    return answer.info


async def _stat(request: Request, find: PlaceFinder) -> Answer:
    place, path = await find(request), file_path(request)
    info = await _info(request, place, path)
    return Answer(200, _headers(place, path, info), length=0 if info.directory else info.size)


async def _delete(request: Request, find: PlaceFinder) -> Answer:
    place, path = await find(request), file_path(request)
    answer = await _ask(request, place, "delete", path, recursive=request.flag("recursive"))
    await answer.close()
    return done(request, 200)


def _headers(place: Place, path: str, info: FileInfo) -> dict[str, str]:
    """The headers that describe a file or directory."""
    return {
        "Content-Type": content_type(path),
        "Last-Modified": http_date(info.modified_us),
        "ocp-batch-file-isdirectory": str(info.directory),
        "ocp-batch-file-url": quote(_url(place, path), safe=""),
        "ocp-batch-file-mode": f"0o{info.mode:o}",
    }


def content_type(path: str) -> str:
    """Text for ``.txt``; anything else is bytes."""
    return "text/plain" if path.lower().endswith(".txt") else "application/octet-stream"


def _url(place: Place, path: str) -> str:
    return place.url + quote(path)


async def _list(request: Request, find: PlaceFinder) -> Answer:
    """List files in order of name, page by page."""
    prefixes = _prefixes(filter_of("files", request.query.get("$filter")))
    size, start = page_size(request), start_of(request)
    recursive = request.flag("recursive")
    place = await find(request)
    page = FilesPage(after=start, limit=size + 1, prefixes=prefixes)
    # An older node host lists more than it was asked for, in any order.
    found = sorted(
        (
            info
            for info in await _listing(request, place, page, recursive=recursive)
            if info.name > start and info.name.lower().startswith(prefixes)
        ),
        key=lambda info: info.name,
    )
    link = next_link(request, found[size - 1].name) if len(found) > size else None
    return many(request, "files", [_shown(place, info) for info in found[:size]], link)


async def _listing(
    request: Request, place: Place, page: FilesPage, *, recursive: bool
) -> list[FileInfo]:
    """Fetch a part of a listing from the node, up to a bound."""
    answer = await _ask(request, place, "list", recursive=recursive, page=page)
    content = bytearray()
    try:
        async for chunk in answer.body():
            content += chunk
            if len(content) > request.settings.list_limit:
                raise ServerBusy(Reason="the node has too many files to list")
    except ConnectionError:
        raise _unavailable(place) from None
    finally:
        await answer.close()
    return _LISTING.decode(content)


def _prefixes(wanted: Filter | None) -> tuple[str, ...]:
    """The beginnings, in lower case, of which a name must have one to pass a filter."""
    match wanted:
        case StartsWith(_, prefix):
            return (prefix.lower(),)
        case Either(left, right):
            return tuple(dict.fromkeys((*_prefixes(left), *_prefixes(right))))
        case Both(left, right):
            pairs = product(_prefixes(left), _prefixes(right))
            both = (max(pair, key=len) for pair in pairs if _agree(*pair))
            return tuple(dict.fromkeys(both))
    return ("",)


def _agree(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _shown(place: Place, info: FileInfo) -> Document:
    """A line of a listing; directories have no properties."""
    document: Document = {
        "name": info.name,
        "url": _url(place, info.name),
        "isDirectory": info.directory,
    }
    if not info.directory:
        document["properties"] = {
            "lastModified": instant_text(info.modified_us),
            "contentLength": str(info.size),
            "contentType": content_type(info.name),
            "fileMode": f"0o{info.mode:o}",
        }
    return document
