"""Resource files: brought into the working directory of a run before its command starts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

from penstock.agent.failures import is_no_space, no_space, public
from penstock.agent.transfers import (
    RETRY_PAUSES_S,
    TRANSIENT,
    TransferFailed,
    Transfers,
    failed,
)
from penstock.domain.specs.common import ResourceFile

_DEFAULT_MODE: Final = 0o770
_MOST_BLOBS: Final = 100_000  # of one container for one run
_AT_ONCE: Final = 8  # downloads of one run
_BUFFER_BYTES: Final = 1 << 20
_CHUNK_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file to fetch, with the name that it gets below the working directory."""

    url: str
    name: str
    mode: int


class Downloads:
    """Fetches the resource files of runs."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers

    async def fetch(
        self, files: Sequence[ResourceFile], work: str, container_urls: Mapping[str, str]
    ) -> None:
        """Bring all files into `work`. Raises TransferFailed; nothing is at work after that."""
        running: set[asyncio.Task[None]] = set()
        try:
            async with aclosing(self._wanted(files, container_urls)) as waiting:
                async for wanted in waiting:
                    target = _target(wanted, work)
                    running.add(asyncio.ensure_future(self._one(wanted, target)))
                    if len(running) >= _AT_ONCE:
                        running = await _some_done(running, asyncio.FIRST_COMPLETED)
            while running:
                running = await _some_done(running, asyncio.FIRST_EXCEPTION)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _wanted(
        self, files: Sequence[ResourceFile], container_urls: Mapping[str, str]
    ) -> AsyncGenerator[Wanted, None]:
        for file in files:
            mode = _mode(file)
            if file.http_url is not None:
                name = file.file_path or public(file.http_url).rsplit("/", 1)[-1]
                yield Wanted(file.http_url, name, mode)
                continue
            url = file.storage_container_url or _linked(file, container_urls)
            prefix = (file.file_path or "").rstrip("/")
            async with aclosing(self._blobs(url, file.blob_prefix)) as blobs:
                async for blob in blobs:
                    name = f"{prefix}/{blob}" if prefix else blob
                    yield Wanted(_blob_url(url, blob), name, mode)

    async def _blobs(self, url: str, prefix: str | None) -> AsyncGenerator[str, None]:
        """The names of the blobs of a container; names of mere directories are left out."""
        count = 0
        try:
            client = await self._transfers.container(url)
            async with client:
                async for name in client.list_blob_names(name_starts_with=prefix):
                    if name.endswith("/"):
                        continue
                    count += 1
                    if count > _MOST_BLOBS:
                        raise failed(
                            "ResourceContainerListMiscError",
                            Message=f"More than {_MOST_BLOBS} blobs",
                            BlobSource=public(url),
                        )
                    yield name
        except TransferFailed:
            raise
        except _azure_errors() as error:
            raise _list_failure(error, url) from None

    async def _one(self, wanted: Wanted, target: Path) -> None:
        if not wanted.url.lower().startswith(("http://", "https://")):
            raise failed(
                "BlobDownloadMiscError",
                Message="Only http and https addresses are fetched",
                FilePath=wanted.name,
                BlobSource=public(wanted.url),
            )
        for pause_s in (*RETRY_PAUSES_S[: self._transfers.settings.transfer_tries - 1], None):
            try:
                await self._get(wanted, target)
            except _Transient as error:
                if pause_s is None:
                    raise failed(
                        error.code,
                        Message=error.message,
                        FilePath=wanted.name,
                        BlobSource=public(wanted.url),
                    ) from None
                await asyncio.sleep(pause_s)
            else:
                return

    async def _get(self, wanted: Wanted, target: Path) -> None:
        import httpx

        try:
            async with (
                self._transfers.http() as client,
                client.stream("GET", wanted.url) as response,
            ):
                _check(response.status_code, wanted)
                await self._write(response.aiter_bytes(_CHUNK_BYTES), wanted, target)
        except httpx.TimeoutException:
            raise _Transient("BlobDownloadTimedOut", "No answer in time") from None
        except (httpx.TransportError, httpx.TooManyRedirects) as error:
            # The text of the error may hold the address, so its kind has to do.
            raise _Transient("BlobDownloadMiscError", type(error).__name__) from None
        except (httpx.InvalidURL, httpx.HTTPError, ValueError):
            raise failed(
                "BlobDownloadMiscError",
                Message="The address cannot be fetched",
                FilePath=wanted.name,
                BlobSource=public(wanted.url),
            ) from None

    async def _write(self, chunks: AsyncIterator[bytes], wanted: Wanted, target: Path) -> None:
        """Write a body: small ones at once, the rest of large ones in a worker thread."""
        loop = asyncio.get_running_loop()
        details = {"FilePath": wanted.name, "BlobSource": public(wanted.url)}
        try:
            file = os.open(
                target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise _disk_failure("ResourceFileCreateFailed", error, details) from None
        try:
            held, size, large = [], 0, False
            async for chunk in chunks:
                held.append(chunk)
                size += len(chunk)
                if size >= _BUFFER_BYTES:
                    large = True
                    await loop.run_in_executor(
                        self._transfers.executor, _write_all, file, b"".join(held)
                    )
                    held, size = [], 0
            if large:
                await loop.run_in_executor(
                    self._transfers.executor, _write_all, file, b"".join(held)
                )
            else:
                _write_all(file, b"".join(held))
            os.fchmod(file, wanted.mode)
        except OSError as error:
            raise _disk_failure("ResourceFileWriteFailed", error, details) from None
        finally:
            os.close(file)


class _Transient(Exception):
    """Worth another try."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


async def _some_done(running: set[asyncio.Task[None]], until: str) -> set[asyncio.Task[None]]:
    """Wait as told and give those still at work. Raises what one of the others raised."""
    done, pending = await asyncio.wait(running, return_when=until)
    for task in done:
        if not task.cancelled() and task.exception() is not None:
            running.intersection_update(pending)
            task.result()
    return pending


def _linked(file: ResourceFile, container_urls: Mapping[str, str]) -> str:
    name = file.auto_storage_container_name or ""
    url = container_urls.get(name)
    if url is None:
        raise failed(
            "ResourceContainerAccessDenied",
            Message=f"There is no linked storage account to read container {name!r} from",
        )
    return url


def _mode(file: ResourceFile) -> int:
    if not file.file_mode:
        return _DEFAULT_MODE
    try:
        mode = int(file.file_mode, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise failed(
            "ResourceFileCreateFailed",
            Message=f"The file mode {file.file_mode!r} is not octal",
            FilePath=file.file_path or "",
        )
    return mode


def _target(wanted: Wanted, work: str) -> Path:
    """The place of a file, its directories made. Never outside of `work`."""
    parts = wanted.name.split("/")
    outside = wanted.name.startswith("/") or ".." in parts or "\0" in wanted.name
    details = {"FilePath": wanted.name, "BlobSource": public(wanted.url)}
    if outside or not parts[-1]:
        raise failed(
            "ResourceFileCreateFailed",
            Message="The file path must name a file below the working directory",
            **details,
        )
    target = Path(work, *parts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        inside = target.parent.resolve().is_relative_to(Path(work).resolve())
    except OSError as error:
        raise _disk_failure("ResourceDirectoryCreateFailed", error, details) from None
    if not inside:
        raise failed(
            "ResourceFileCreateFailed",
            Message="The file path leads out of the working directory",
            **details,
        )
    return target


def _blob_url(container_url: str, blob: str) -> str:
    parts = urlsplit(container_url)
    path = f"{parts.path.rstrip('/')}/{quote(blob)}"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _check(status: int, wanted: Wanted) -> None:
    if status < 300:
        return
    if status in TRANSIENT:
        raise _Transient("BlobDownloadMiscError", f"The server answered {status}")
    code = {
        401: "BlobAccessDenied",
        403: "BlobAccessDenied",
        409: "BlobAccessDenied",  # public access is not permitted on this account
        404: "BlobNotFound",
        410: "BlobNotFound",
    }.get(status, "BlobDownloadMiscError")
    raise failed(
        code,
        Message=f"The server answered {status}",
        FilePath=wanted.name,
        BlobSource=public(wanted.url),
    )


def _disk_failure(code: str, error: OSError, details: dict[str, str]) -> TransferFailed:
    message = error.strerror or "The file could not be written"
    if is_no_space(error):
        return TransferFailed(no_space(Message=message, **details))
    return failed(code, Message=message, **details)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _azure_errors() -> tuple[type[BaseException], ...]:
    from azure.core.exceptions import AzureError

    return (AzureError, ValueError)


def _list_failure(error: Any, url: str) -> TransferFailed:
    from azure.core.exceptions import (
        ServiceRequestTimeoutError,
        ServiceResponseTimeoutError,
    )

    status = getattr(error, "status_code", None)
    if status == 404:
        code = "ResourceContainerNotFound"
    elif status in (401, 403, 409):
        code = "ResourceContainerAccessDenied"
    elif isinstance(error, ServiceRequestTimeoutError | ServiceResponseTimeoutError):
        code = "ResourceContainerListTimedOut"
    else:
        code = "ResourceContainerListMiscError"
    message = f"The server answered {status}" if status else type(error).__name__
    return failed(code, Message=message, BlobSource=public(url))
