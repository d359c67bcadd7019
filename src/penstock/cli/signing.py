"""Signing a request with the key of an account, as Azure Batch wants it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

_SIGNED: Final = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


def authorization(
    account: str, key: bytes, method: str, target: str, headers: Mapping[str, str]
) -> str:
    """The header of a request to `target`, which is path and query as on the request line.

    Names of headers are lower case; the time is in ``ocp-date``.
    """
    path, _, query = target.partition("?")
    lines = [method, *(headers.get(name, "") for name in _SIGNED)]
    lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("ocp-")]
    pairs = sorted(parse_qsl(query))
    resource = f"/{account}{path}" + "".join(f"\n{name}:{value}" for name, value in pairs)
    text = "\n".join([*lines, resource]).encode()
    signature = base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
    return f"SharedKey {account}:{signature}"
