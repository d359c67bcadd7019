"""Changes of the protocol that a new name for a property does not express.

Each pair turns one object, in place, into its newest shape and back. The ways up see what a client
sent, of any type; they leave alone what is not as it should be, for it is refused later, by name.
The ways down see what this service shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

Document = dict[str, Any]


class Shape(NamedTuple):
    """How properties looked before, by the `old` names, of which none is in the newest shape."""

    old: tuple[str, ...]
    up: Callable[[Document], None]
    down: Callable[[Document], None]
    says: str  # for the documentation


def _first_resize_error(pool: Document) -> None:
    errors = pool.pop("resizeErrors", None)
    if errors:
        pool["resizeError"] = errors[0]


def _drop_resize_error(pool: Document) -> None:
    pool.pop("resizeError", None)


RESIZE_ERRORS: Final = Shape(
    ("resizeError",),
    _drop_resize_error,
    _first_resize_error,
    says="`resizeError`, the first of them, stood for `resizeErrors`",
)
"""There was one kind of node, and so one error."""


def _flat_cloud_service(pool: Document) -> None:
    service = pool.pop("cloudServiceConfiguration", None)
    if service:
        pool.update(service)


def _gathered_cloud_service(pool: Document) -> None:
    service = {name: pool.pop(name) for name in ("osFamily", "targetOSVersion") if name in pool}
    pool.pop("currentOSVersion", None)
    if service:
        pool.setdefault("cloudServiceConfiguration", service)


FLAT_CLOUD_SERVICE: Final = Shape(
    ("osFamily", "targetOSVersion", "currentOSVersion"),
    _gathered_cloud_service,
    _flat_cloud_service,
    says="the properties of `cloudServiceConfiguration` stood beside the others",
)
"""At first a pool was a cloud service."""

ANY_OS_VERSION: Final = "*"


def _both_os_versions(service: Document) -> None:
    version = service.pop("osVersion", None)
    if version is not None:
        service["targetOSVersion"] = version
        if version != ANY_OS_VERSION:
            service["currentOSVersion"] = version


def _one_os_version(service: Document) -> None:
    service.pop("currentOSVersion", None)
    if "targetOSVersion" in service:
        service.setdefault("osVersion", service.pop("targetOSVersion"))


OS_VERSION: Final = Shape(
    ("targetOSVersion", "currentOSVersion"),
    _one_os_version,
    _both_os_versions,
    says="`targetOSVersion` and `currentOSVersion` stood for `osVersion`",
)
"""A version was asked for, and another could be on its way."""


def _without_current_os(pool: Document) -> None:
    pool.pop("currentOSVersion", None)


def _as_it_is(_: Document) -> None:
    """Nobody sends it, or nobody is shown it."""


NO_CURRENT_OS: Final = Shape(
    (),
    _as_it_is,
    _without_current_os,
    says="`currentOSVersion` is not shown",
)
"""A pool that is yet to be made runs nothing."""


def _elevated(task: Document) -> None:
    identity = task.pop("userIdentity", None) or {}
    level = (identity.get("autoUser") or {}).get("elevationLevel")
    task["runElevated"] = level == "admin"


def _identified(task: Document) -> None:
    elevated = task.pop("runElevated", None)
    if elevated is True or str(elevated).lower() == "true":
        task.setdefault("userIdentity", {"autoUser": {"elevationLevel": "admin"}})


RUN_ELEVATED: Final = Shape(
    ("runElevated",),
    _identified,
    _elevated,
    says="`runElevated` stood for `userIdentity`",
)
"""A task ran as one of two users."""


def _without_result(run: Document) -> None:
    run.pop("result", None)
    failure = run.pop("failureInfo", None)
    if failure and failure.get("code") != "FailureExitCode":
        run["schedulingError"] = failure


FAILURE: Final = Shape(
    (),
    _as_it_is,
    _without_result,
    says="`schedulingError` stood for `failureInfo`, but not for exit codes; no `result`",
)
"""A task that exits with another code than 0 had just that to say of it."""


def _flat_counts(counts: Document) -> None:
    tasks = counts.pop("taskCounts")
    del counts["taskSlotCounts"]
    counts.update(tasks)


FLAT_COUNTS: Final = Shape(
    (),
    _as_it_is,
    _flat_counts,
    says="the counts of `taskCounts` stood alone, slots were not counted",
)
"""There were no slots to count."""


def _validated(counts: Document) -> None:
    counts["validationStatus"] = "validated"


VALIDATED: Final = Shape(
    (),
    _as_it_is,
    _validated,
    says="a `validationStatus`, which is `validated`",
)
"""Counts could be known not to be exact."""


def _storage_type(disk: Document) -> None:
    managed = disk.pop("managedDisk", None) or {}
    if "storageAccountType" in managed:
        disk["storageAccountType"] = managed["storageAccountType"]


def _managed(disk: Document) -> None:
    if "storageAccountType" in disk:
        kind = disk.pop("storageAccountType")
        if isinstance(disk.setdefault("managedDisk", {}), dict) and kind is not None:
            disk["managedDisk"].setdefault("storageAccountType", kind)


STORAGE_TYPE: Final = Shape(
    ("storageAccountType",),
    _managed,
    _storage_type,
    says="`storageAccountType` stood for `managedDisk`",
)
"""Of data disks, when nothing else could be said of how they are managed."""


def _address_ids(network: Document) -> None:
    addresses = network.pop("publicIPAddressConfiguration", None) or {}
    if addresses.get("ipAddressIds"):
        network["publicIPs"] = addresses["ipAddressIds"]


def _user_managed(network: Document) -> None:
    ids = network.pop("publicIPs", None)
    if ids:
        network.setdefault(
            "publicIPAddressConfiguration", {"provision": "usermanaged", "ipAddressIds": ids}
        )


PUBLIC_IPS: Final = Shape(
    ("publicIPs",),
    _user_managed,
    _address_ids,
    says="`publicIPs` stood for `publicIPAddressConfiguration`",
)
"""Addresses were the user's if any were named."""


def _linux_user(account: Document) -> None:
    key = account.pop("sshPrivateKey", None)
    if key is not None:
        account.setdefault("linuxUserConfiguration", {"sshPrivateKey": key})


SSH_KEY: Final = Shape(
    ("sshPrivateKey",),
    _linux_user,
    _as_it_is,
    says="`sshPrivateKey` stood for `linuxUserConfiguration`",
)
"""Never shown, and so only taken."""


def _traffic(usage: Document) -> None:
    usage.setdefault("dataIngressGiB", 0.0)
    usage.setdefault("dataEgressGiB", 0.0)


TRAFFIC: Final = Shape(
    (),
    _as_it_is,
    _traffic,
    says="`dataIngressGiB` and `dataEgressGiB`, which are 0",
)
"""Traffic was billed once; nodes of one's own have none to bill."""
