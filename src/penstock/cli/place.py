"""Where the server is, and who asks: from options, the environment, a ready file, or as usual."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from penstock.cli.exits import Exit, GaveUp
from penstock.domain.development import (
    DEVELOPMENT_ENDPOINT,
    DEVELOPMENT_KEY,
    DEVELOPMENT_NAME,
)

ENDPOINT: Final = "AZURE_BATCH_ENDPOINT"
ACCOUNT: Final = "AZURE_BATCH_ACCOUNT"
KEY: Final = "AZURE_BATCH_ACCESS_KEY"
"""The variables of `az batch`."""

READY_FILE: Final = "PENSTOCK_READY_FILE"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the options say; None is what they leave open."""

    endpoint: str | None = None
    account: str | None = None
    key: str | None = None
    ready_file: Path | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A server and an account on it."""

    endpoint: str  # scheme and host, perhaps a path, no slash at the end
    account: str
    key: bytes
    ca_file: Path | None = None

    @property
    def is_near(self) -> bool:
        """Whether it is on this machine."""
        return _is_near(urlsplit(self.endpoint).hostname or "")


def find(wanted: Wanted, env: Mapping[str, str]) -> Place:
    """Put together what was given. Raises GaveUp where that names no server or no account."""
    if wanted.endpoint and wanted.ready_file:
        raise GaveUp(Exit.USAGE, "--endpoint and --ready-file exclude each other")
    ready_file = wanted.ready_file
    endpoint = wanted.endpoint
    if not endpoint and ready_file is None:
        endpoint = env.get(ENDPOINT)
        if not endpoint and env.get(READY_FILE):
            ready_file = Path(env[READY_FILE])
    if ready_file is not None:
        return _of_file(ready_file, wanted)
    endpoint = _url(endpoint or DEVELOPMENT_ENDPOINT)
    account = wanted.account or env.get(ACCOUNT)
    key = wanted.key or env.get(KEY)
    near = _is_near(urlsplit(endpoint).hostname or "")
    if near and account in (None, DEVELOPMENT_NAME) and not key:
        account, key = DEVELOPMENT_NAME, DEVELOPMENT_KEY
    if not account or not key:
        raise GaveUp(
            Exit.USAGE,
            f"no account and key for {endpoint}",
            f"give --account and --key, or set {ACCOUNT} and {KEY}",
        )
    return Place(endpoint, account, _decoded(key), wanted.ca_file)


def _of_file(file: Path, wanted: Wanted) -> Place:
    try:
        said = json.loads(file.read_text("utf-8"))
        account = wanted.account or said["accountName"]
        key = wanted.key or said["accountKey"]
        return Place(_url(said["endpoint"]), account, _decoded(key), wanted.ca_file)
    except OSError as error:
        raise GaveUp(
            Exit.UNREACHABLE, f"{file}: {error.strerror}", "is the server of this file running?"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise GaveUp(Exit.USAGE, f"{file} is not a ready file of `penstock up`") from None


def _url(text: str) -> str:
    url = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = None
    if not good:
        raise GaveUp(Exit.USAGE, f"{text!r} is no endpoint", "it looks like http://127.0.0.1:10600")
    return url.rstrip("/")


def _decoded(key: str) -> bytes:
    try:
        return base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise GaveUp(Exit.USAGE, "the key of the account is not base64") from None


def _is_near(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
