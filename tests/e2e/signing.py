"""Requests over the bare wire, signed or spoiled as a test wants them.

The SDK cannot make most mistakes; this can. What is signed is what is sent: the request line
goes out byte for byte, without the tidying that HTTP clients do to paths.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote_plus

import httpx

from tests.e2e.harness import Ready

VERSION = "2025-06-01"
JSON = "application/json; odata=minimalmetadata"
SIGNED_HEADERS = (
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


def rfc1123(at: datetime) -> str:
    """Write a time as headers do."""
    return format_datetime(at.astimezone(UTC), usegmt=True)


def signature(method: str, target: str, headers: Mapping[str, str], account: str, key: str) -> str:
    """The value of the Authorization header; `headers` has lower-case names."""
    path, _, query = target.partition("?")
    lines = [method, *(headers.get(name, "") for name in SIGNED_HEADERS)]
    lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("ocp-")]
    resource = f"/{account}{path}"
    for name, _, value in sorted(pair.partition("=") for pair in query.split("&") if pair):
        if value:
            resource += f"\n{name}:{unquote_plus(value)}"
    text = "\n".join([*lines, resource])
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    return f"SharedKey {account}:{base64.b64encode(digest).decode()}"


@dataclass(frozen=True, slots=True)
class Wire:
    """A connection to a service, with an account to sign for."""

    client: httpx.Client
    account: str
    key: str
    query: Mapping[str, str] = field(default_factory=lambda: {"api-version": VERSION})

    @classmethod
    def to(cls, ready: Ready) -> Wire:
        """Connect to a running Penstock over plain http."""
        client = httpx.Client(base_url=ready.endpoint, timeout=30, trust_env=False)
        return cls(client, ready.account_name, ready.account_key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str | None] | None = None,
        account: str | None = None,
        key: str | None = None,
    ) -> httpx.Response:
        """Send a request whose path is already encoded.

        A body that is not bytes goes as JSON. `query` is added to the api-version. A header
        that is None is left out; an Authorization given here replaces the right one.
        """
        wanted = {**self.query, **(query or {})}
        target = path + "?" + "&".join(f"{name}={quote(text)}" for name, text in wanted.items())
        request = self.client.build_request(
            method,
            "/",
            content=body if isinstance(body, bytes | None) else json.dumps(body).encode(),
            extensions={"target": target.encode()},
        )
        request.headers["ocp-date"] = rfc1123(datetime.now(UTC))
        if body is not None:
            request.headers["content-type"] = JSON
        elif method in ("POST", "PUT", "PATCH"):
            request.headers["content-length"] = "0"
        for name, text in (headers or {}).items():
            if text is None:
                request.headers.pop(name, None)
            else:
                request.headers[name] = text
        if "authorization" not in {name.lower() for name in headers or {}}:
            sent = {name.lower(): text for name, text in request.headers.items()}
            request.headers["authorization"] = signature(
                method, target, sent, account or self.account, key or self.key
            )
        return self.client.send(request)
