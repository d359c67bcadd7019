"""The failures that a node host reports: codes, categories and texts in one place.

An address is always named without its query, because the query of a SAS URL is a credential.
"""

from __future__ import annotations

import errno
from typing import Final
from urllib.parse import urlsplit

from penstock.domain.records import Detail, Failure

USER: Final = "usererror"
SERVER: Final = "servererror"

_TEXTS: Final[dict[str, tuple[str, str]]] = {
    "FailureExitCode": (USER, "The task exited with an exit code representing a failure"),
    "TaskEnded": (USER, "The task was ended by user request"),
    "CommandProgramNotFound": (USER, "The specified command program is not found"),
    "CommandLaunchFailed": (USER, "The specified command could not be started"),
    "DiskFull": (SERVER, "There is not enough disk space on the compute node"),
    "ResourceDirectoryCreateFailed": (SERVER, "A directory of the task could not be created"),
    "ResourceFileCreateFailed": (SERVER, "A resource file could not be created on the node"),
    "ResourceFileWriteFailed": (SERVER, "A resource file could not be written on the node"),
    "BlobNotFound": (USER, "One of the specified Azure Blob(s) is not found"),
    "BlobAccessDenied": (USER, "Access to one of the specified Azure Blob(s) is denied"),
    "BlobDownloadTimedOut": (SERVER, "The download of a resource file timed out"),
    "BlobDownloadMiscError": (SERVER, "A resource file could not be downloaded"),
    "ResourceContainerNotFound": (USER, "A specified Azure Blob container is not found"),
    "ResourceContainerAccessDenied": (USER, "Access to an Azure Blob container is denied"),
    "ResourceContainerListTimedOut": (SERVER, "Listing an Azure Blob container timed out"),
    "ResourceContainerListMiscError": (SERVER, "An Azure Blob container could not be listed"),
    "FileUploadContainerNotFound": (USER, "The container for an output file is not found"),
    "FileUploadAccessDenied": (USER, "Access to the container for an output file is denied"),
    "FileUploadConflict": (USER, "An output file conflicts with a blob that exists"),
    "FileUploadTimedOut": (SERVER, "The upload of an output file timed out"),
    "FileUploadMiscError": (SERVER, "An output file could not be uploaded"),
}


def failure(code: str, **details: str) -> Failure:
    """Make a failure; `details` keep their order."""
    category, message = _TEXTS[code]
    listed = tuple(Detail(name, value) for name, value in details.items())
    return Failure(category=category, code=code, message=message, details=listed)


def failed_exit(exit_code: int) -> Failure:
    return failure("FailureExitCode", Message=f"The task exited with code {exit_code}")


def ended_by_user() -> Failure:
    return failure("TaskEnded")


def wall_clock(limit_us: int) -> Failure:
    return failure(
        "TaskEnded",
        Message=f"The task exceeded its maximum execution time of {limit_us / 1e6:g} seconds",
    )


def too_much_output(name: str, limit_bytes: int) -> Failure:
    return failure(
        "DiskFull", Message=f"{name} exceeded the limit of {limit_bytes} bytes", FilePath=name
    )


def disk_low(free_bytes: int, limit_bytes: int) -> Failure:
    return failure(
        "DiskFull",
        Message=f"The disk of the node has {free_bytes} bytes free, fewer than {limit_bytes}, "
        "and this task had written most",
    )


def no_space(**details: str) -> Failure:
    return failure("DiskFull", **details)


def is_no_space(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def public(url: str) -> str:
    """Name an address without what makes it secret: user, password, query."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(not a URL)"
    return f"{parts.scheme}://{host}{port}{parts.path}"
