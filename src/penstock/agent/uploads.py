"""Output files: brought to their containers after a run's process has ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from penstock.agent.failures import public
from penstock.agent.patterns import LeavesNode, expand, find, has_wildcard, is_wanted
from penstock.agent.transfers import TransferFailed, Transfers, failed
from penstock.domain.records import Failure
from penstock.domain.specs.common import OutputContainer, OutputFile

_AT_ONCE: Final = 4  # uploads of one run
_MOST_FILES: Final = 100_000  # for one pattern

_CONTENT_HEADERS: Final = {
    "content-type": "content_type",
    "content-encoding": "content_encoding",
    "content-language": "content_language",
    "content-disposition": "content_disposition",
    "cache-control": "cache_control",
}


class Uploads:
    """Uploads the outputs of runs, and writes in the run's directory how that went."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers

    async def upload(
        self,
        files: Sequence[OutputFile],
        directory: str,
        root: str,
        environment: Mapping[str, str],
        *,
        failed_run: bool,
    ) -> Failure | None:
        """Upload what these ask for. All are tried; the first failure is given."""
        told = _Told(directory)
        first: Failure | None = None
        for file in files:
            if not is_wanted(file, failed=failed_run):
                continue
            try:
                await self._one(file, directory, root, environment, told)
            except TransferFailed as error:
                told.failure(file.file_pattern, error.why)
                first = first or error.why
        return first

    async def _one(
        self,
        file: OutputFile,
        directory: str,
        root: str,
        environment: Mapping[str, str],
        told: _Told,
    ) -> None:
        container = file.destination.container
        if container is None:
            raise failed("FileUploadMiscError", Message="No destination is given")
        found = await self._found(file, directory, root, environment)
        try:
            client = await self._transfers.container(container.container_url)
        except ValueError:
            raise failed(
                "FileUploadMiscError",
                Message="The destination is no URL of a container",
                ContainerUrl=public(container.container_url),
            ) from None
        exact = not has_wildcard(file.file_pattern)
        async with client:
            for start in range(0, len(found), _AT_ONCE):
                some = found[start : start + _AT_ONCE]
                await _all_of(
                    [
                        self._put(client, path, _blob_name(container, name, exact=exact), container)
                        for path, name in some
                    ]
                )
                for path, name in some:
                    told.done(path, _blob_name(container, name, exact=exact))

    async def _found(
        self,
        file: OutputFile,
        directory: str,
        root: str,
        environment: Mapping[str, str],
    ) -> list[tuple[Path, str]]:
        pattern = expand(file.file_pattern, environment)
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._transfers.executor, find, pattern, Path(directory, "wd"), Path(root)
            )
        except (LeavesNode, ValueError):
            raise failed(
                "FileUploadMiscError",
                Message="The pattern leads out of the node's directories",
                FilePath=file.file_pattern,
            ) from None
        if not found and not has_wildcard(file.file_pattern):
            raise failed(
                "FileUploadMiscError", Message="There is no such file", FilePath=file.file_pattern
            )
        return found[:_MOST_FILES]

    async def _put(self, client: Any, path: Path, blob: str, to: OutputContainer) -> None:
        from azure.core.exceptions import AzureError

        details = {"FilePath": str(path), "BlobPath": blob}
        settings, headers = _headers(to)
        try:
            async with self._transfers.slots:
                with path.open("rb") as file:  # read in blocks of some MiB at most
                    await client.upload_blob(
                        blob,
                        file,
                        length=os.fstat(file.fileno()).st_size,
                        overwrite=True,
                        content_settings=settings,
                        headers=headers,
                    )
        except AzureError as error:
            raise _upload_failure(error, to, details) from None
        except OSError as error:
            reason = error.strerror or "The file could not be read"
            raise failed("FileUploadMiscError", Message=reason, **details) from None
        except ValueError:
            raise failed(
                "FileUploadMiscError", Message="The blob's name or headers are bad", **details
            ) from None


class _Told:
    """``fileuploadout.txt`` and ``fileuploaderr.txt`` of a run."""

    def __init__(self, directory: str) -> None:
        self._out = Path(directory, "fileuploadout.txt")
        self._err = Path(directory, "fileuploaderr.txt")
        for file in (self._out, self._err):
            _append(file, "")

    def done(self, path: Path, blob: str) -> None:
        _append(self._out, f"uploaded {path} as {blob}\n")

    def failure(self, pattern: str, why: Failure) -> None:
        more = " ".join(f"{detail.name}={detail.value!r}" for detail in why.details)
        _append(self._err, f"not uploaded {pattern!r}: {why.code} {more}\n")


def _append(file: Path, text: str) -> None:
    """Add to a log of a run. A link in its place is not followed; a full disk is no matter."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(file, flags, 0o644)
    except OSError:
        return
    try:
        os.write(handle, text.encode(errors="replace"))
    except OSError:
        return
    finally:
        os.close(handle)


async def _all_of(puts: Sequence[Any]) -> None:
    """Run these to their ends, none outliving a failure or a cancellation."""
    tasks = [asyncio.ensure_future(put) for put in puts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _blob_name(container: OutputContainer, name: str, *, exact: bool) -> str:
    """A path is the whole name for a pattern of one file, else a directory for the names."""
    path = (container.path or "").replace("\\", "/").strip("/")
    if not path:
        return name
    return path if exact else f"{path}/{name}"


def _headers(to: OutputContainer) -> tuple[Any, dict[str, str]]:
    """Split the user's headers into what the client sets itself and the others."""
    from azure.storage.blob import ContentSettings

    known: dict[str, Any] = {}
    others: dict[str, str] = {}
    for header in to.upload_headers or ():
        name = header.name.lower()
        field = _CONTENT_HEADERS.get(name.removeprefix("x-ms-blob-"))
        if field is None:
            others[header.name] = header.value or ""
        else:
            known[field] = header.value or ""
    return ContentSettings(**known), others


def _upload_failure(error: Any, to: OutputContainer, details: dict[str, str]) -> TransferFailed:
    from azure.core.exceptions import (
        ServiceRequestTimeoutError,
        ServiceResponseTimeoutError,
    )

    status = getattr(error, "status_code", None)
    if status == 404:
        code = "FileUploadContainerNotFound"
    elif status in (401, 403):
        code = "FileUploadAccessDenied"
    elif status in (409, 412):
        code = "FileUploadConflict"
    elif isinstance(error, ServiceRequestTimeoutError | ServiceResponseTimeoutError):
        code = "FileUploadTimedOut"
    else:
        code = "FileUploadMiscError"
    message = f"The server answered {status}" if status else type(error).__name__
    return failed(code, Message=message, ContainerUrl=public(to.container_url), **details)
