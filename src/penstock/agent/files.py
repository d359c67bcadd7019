"""Answers to questions about the files of nodes: each is a POST of its own to the server."""

# Plain strings: what a resolved name begins with is what counts here.
# ruff: noqa: PTH106, PTH108, PTH115, PTH116, PTH118

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import stat
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from penstock.agent import log
from penstock.agent.layout import NODE_DIRECTORIES
from penstock.agent.link import tls_context
from penstock.agent.settings import ServerAddress
from penstock.messages import (
    FILE_INFO_HEADER,
    FILE_STATUS_HEADER,
    FILES_PATH,
    AskFile,
    FileInfo,
    FilesPage,
)

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

_CHUNK_BYTES: Final = 256 << 10
_AT_ONCE: Final = 32
_MOST_WAITING: Final = 2000
_MOST_ENTRIES: Final = 100_000  # of a list that nobody bounds
_LIST_WITHIN_S: Final = 25.0  # a little less than the server waits
_SECOND_US: Final = 1_000_000


class Refused(Exception):
    """The question has no good answer; the text is the value of the status header."""


class Files:
    """Looks at the files of this host's nodes on behalf of the server."""

    def __init__(
        self,
        root_of: Callable[[int], str | None],
        server: Callable[[], ServerAddress | None],
        token: str,
        executor: Executor,
    ) -> None:
        self._root_of = root_of
        self._server = server
        self._token = token
        self._executor = executor
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None
        self._client_of: ServerAddress | None = None

    def ask(self, question: AskFile) -> None:
        """Answer as soon as may be. Beyond the bound of waiting questions they are dropped,
        and the server's patience with the answer ends by itself."""
        if len(self._tasks) >= _MOST_WAITING:
            log.warning("file_question_dropped", request=question.request)
            return
        task = asyncio.ensure_future(self._answer(question))
        self._tasks.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("file_answer_fault", trace=task.exception())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _answer(self, question: AskFile) -> None:
        async with self._slots:
            try:
                opened = await self._in_thread(self._look, question)
            except Refused as refusal:
                await self._post(question, str(refusal), None, b"")
                return
            if isinstance(opened, _Reading):
                try:
                    await self._post(question, "ok", opened.info, self._bytes(opened))
                finally:
                    os.close(opened.file)
            elif isinstance(opened, list):
                body = await self._in_thread(msgspec.json.encode, opened)
                await self._post(question, "ok", None, body)
            else:
                await self._post(question, "ok", opened, b"")

    def _in_thread(self, function: Callable[..., T], *values: Any) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._executor, function, *values)

    def _look(self, question: AskFile) -> _Answer:
        """Find out the answer; runs in a worker thread. Raises Refused."""
        node_root = self._root_of(question.node_no)
        if node_root is None:
            raise Refused("unavailable")
        try:
            return looked(question, node_root)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            raise Refused("notfound") from None
        except OSError as error:
            log.info("file_unreadable", request=question.request, reason=error.strerror)
            raise Refused("notfound") from None

    async def _bytes(self, reading: _Reading) -> AsyncIterator[bytes]:
        at, left = reading.info.start, reading.info.length
        while left:
            chunk = await self._in_thread(os.pread, reading.file, min(left, _CHUNK_BYTES), at)
            if not chunk:
                raise OSError("the file became shorter")
            at += len(chunk)
            left -= len(chunk)
            yield chunk

    async def _post(
        self,
        question: AskFile,
        status: str,
        info: FileInfo | None,
        body: bytes | AsyncIterator[bytes],
    ) -> None:
        import httpx

        server = self._server()
        if server is None:
            return
        headers = {FILE_STATUS_HEADER: status, "Authorization": f"Bearer {self._token}"}
        if info is not None:
            # JSON keeps to ASCII with escapes, which is what a header may hold.
            headers[FILE_INFO_HEADER] = _ascii_json(info)
        url = server.url.rstrip("/") + FILES_PATH + question.request
        try:
            client = await self._client_for(server)
            answer = await client.post(url, content=body, headers=headers)
        except (httpx.HTTPError, OSError) as error:
            log.info("file_answer_lost", request=question.request, reason=type(error).__name__)
            return
        if answer.status_code >= 400:
            log.info("file_answer_refused", request=question.request, status=answer.status_code)

    async def _client_for(self, server: ServerAddress) -> httpx.AsyncClient:
        """The client for this server; a server that moved gets a new one."""
        import httpx

        if self._client is None or self._client_of != server:
            old, self._client_of = self._client, server
            self._client = httpx.AsyncClient(
                timeout=httpx.Timeout(30.0, connect=5.0, pool=None),
                limits=httpx.Limits(max_connections=_AT_ONCE),
                verify=tls_context(server) or False,
                trust_env=False,
            )
            if old is not None:
                await old.aclose()
        return self._client


class _Reading(msgspec.Struct):
    file: int  # open for reading; whoever takes this closes it
    info: FileInfo


_Answer = _Reading | list[FileInfo] | FileInfo | None


def _ascii_json(info: FileInfo) -> str:
    return json.dumps(msgspec.to_builtins(info))


def looked(question: AskFile, node_root: str) -> _Answer:
    """The answer, as of the disk. Raises Refused, and what the system refuses."""
    try:
        base = _inside(node_root, question.root, node_root)
    except FileNotFoundError:  # the node was wiped since, or the directory is removed
        raise Refused("unavailable") from None
    if question.what == "list":
        return _listed(base, _inside(base, question.path, node_root), question, node_root)
    if question.what == "delete":
        _deleted(base, question, node_root)
        return None
    path = _inside(base, question.path, node_root)
    state = os.stat(path)
    _check_times(state, question)
    if question.what == "stat":
        if not stat.S_ISREG(state.st_mode) and not stat.S_ISDIR(state.st_mode):
            raise Refused("notfound")
        return _info(question.path, state)
    return _opened(path, question, node_root)


def _inside(base: str, path: str, node_root: str) -> str:
    """Resolve a path below `base`. Raises Refused when it leads out of the node, or nowhere."""
    parts = path.split("/") if path else []
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise Refused("notfound")
    resolved = os.path.realpath(os.path.join(base, *parts), strict=True)
    if not _is_below(resolved, node_root):
        raise Refused("notfound")
    return resolved


def _is_below(resolved: str, node_root: str) -> bool:
    root = os.path.realpath(node_root)
    return resolved == root or resolved.startswith(root + "/")


def _info(name: str, state: os.stat_result) -> FileInfo:
    directory = stat.S_ISDIR(state.st_mode)
    return FileInfo(
        name=_shown(name),
        directory=directory,
        size=0 if directory else state.st_size,
        modified_us=state.st_mtime_ns // 1000,
        mode=state.st_mode,
    )


def _shown(name: str) -> str:
    """A name whose bytes that are no UTF-8 are question marks."""
    return name.encode(errors="replace").decode()


def _check_times(state: os.stat_result, question: AskFile) -> None:
    """Compare in whole seconds, which is what the conditions of HTTP can say."""
    modified_s = state.st_mtime_ns // 1_000_000_000
    since, until = question.modified_since_us, question.unmodified_since_us
    if since is not None and modified_s <= since // _SECOND_US:
        raise Refused("notmodified")
    if until is not None and modified_s > until // _SECOND_US:
        raise Refused("condition")


def _opened(path: str, question: AskFile, node_root: str) -> _Reading:
    # O_NONBLOCK: a pipe that took the file's place after the look must not hold us.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        state = os.fstat(file)
        if stat.S_ISDIR(state.st_mode):
            raise Refused("directory")
        where = os.readlink(f"/proc/self/fd/{file}")
        if not stat.S_ISREG(state.st_mode) or not _is_below(where, node_root):
            raise Refused("notfound")
        start, length = _range(question, state.st_size)
        info = msgspec.structs.replace(_info(question.path, state), start=start, length=length)
    except BaseException:
        os.close(file)
        raise
    return _Reading(file, info)


def _range(question: AskFile, size: int) -> tuple[int, int]:
    start = question.start or 0
    end = size - 1 if question.end is None else min(question.end, size - 1)
    if start < 0 or start > size or (start == size and size > 0):
        raise Refused("range")
    if question.end is not None and question.end < start:
        raise Refused("range")
    return start, max(0, end - start + 1)


def _listed(base: str, top: str, question: AskFile, node_root: str) -> list[FileInfo]:
    """List what lies below `top`, with names relative to `base`, sorted."""
    listing = _Listing(question.page or FilesPage(limit=_MOST_ENTRIES))
    until = time.monotonic() + _LIST_WITHIN_S
    waiting = [top]
    while waiting:
        directory = waiting.pop()
        if time.monotonic() > until:
            raise Refused("busy")
        try:
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except FileNotFoundError:
            if directory == top:
                raise
            continue  # removed while we look
        below = os.path.relpath(directory, base) + "/" if directory != base else ""
        inside = []
        for entry in entries:
            name = _shown(below + entry.name)
            state = _state(entry, node_root) if listing.wants(name) else None
            if state is not None:
                listing.take(_info(name, state))
            if (
                question.recursive
                and listing.may_want_below(name)
                and entry.is_dir(follow_symlinks=False)
            ):
                inside.append(entry.path)
        waiting += reversed(inside)  # the first names first, so that the page is soon full
    return listing.sorted()


class _Listing:
    """The first names of a page, found in any order.

    It holds twice as many as are wanted at most, and passes by directories that have none of
    them. Names are ordered as text, so what is in ``a`` lies between ``a/`` and ``a0``, for the
    latter's last character follows a slash.
    """

    def __init__(self, page: FilesPage) -> None:
        self._page = page
        self._found: list[FileInfo] = []
        self._last: str | None = None  # nothing that follows it is wanted

    def wants(self, name: str) -> bool:
        if name <= self._page.after or (self._last is not None and name > self._last):
            return False
        return name.lower().startswith(self._page.prefixes)

    def may_want_below(self, directory: str) -> bool:
        first, beyond = f"{directory}/", f"{directory}0"
        if self._page.after >= beyond or (self._last is not None and first > self._last):
            return False
        lower = first.lower()
        prefixes = self._page.prefixes
        return lower.startswith(prefixes) or any(it.startswith(lower) for it in prefixes)

    def take(self, info: FileInfo) -> None:
        self._found.append(info)
        if len(self._found) >= 2 * self._page.limit:
            self._last = self.sorted()[-1].name

    def sorted(self) -> list[FileInfo]:
        self._found.sort(key=lambda info: info.name)
        del self._found[self._page.limit :]
        return self._found


def _state(entry: os.DirEntry[str], node_root: str) -> os.stat_result | None:
    """What to show of an entry: nothing of links that lead out, of pipes and devices."""
    try:
        if entry.is_symlink() and not _is_below(
            os.path.realpath(entry.path, strict=True), node_root
        ):
            return None
        state = entry.stat()
    except OSError:
        return None
    regular = stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)
    return state if regular else None


def _deleted(base: str, question: AskFile, node_root: str) -> None:
    above, _, name = question.path.rpartition("/")
    if name in ("", ".", ".."):
        raise Refused("notfound")
    path = os.path.join(_inside(base, above, node_root), name)
    state = os.lstat(path)
    _check_times(state, question)
    if os.path.relpath(path, os.path.realpath(node_root)) in NODE_DIRECTORIES:
        raise Refused("kept")
    if not stat.S_ISDIR(state.st_mode):
        os.unlink(path)
    elif question.recursive:
        shutil.rmtree(path)
    else:
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise Refused("directory") from None
            raise
