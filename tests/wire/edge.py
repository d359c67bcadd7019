"""The REST edge with a fake service behind it, and a client that signs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import httpx

from penstock.domain.instants import http_date
from penstock.wire.app import RestApp, make_app
from penstock.wire.settings import Issuer, WireSettings
from tests.wire.fakes import FakeService

ACCOUNT = "devbatchaccount1"
KEY = base64.b64encode(b"the first key of the account").decode()
SECOND_KEY = base64.b64encode(b"the second key of the account").decode()
VERSION = "2025-06-01"
SIGNED = (
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


def sign(text: str, key: str = KEY) -> str:
    """The signature of a text."""
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def text_to_sign(method: str, target: str, headers: Mapping[str, str], account: str) -> str:
    """What the newest SDK signs; header names are lower case."""
    path, _, query = target.partition("?")
    lines = [method, *(headers.get(name, "") for name in SIGNED)]
    lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("ocp-")]
    pairs: dict[str, str] = {}
    for name, value in parse_qsl(query):
        pairs.setdefault(name, value)
    resource = "".join(f"\n{name}:{pairs[name]}" for name in sorted(pairs))
    return "\n".join([*lines, f"/{account}{path}{resource}"])


class Edge:
    """An application and the service behind it."""

    account = ACCOUNT

    def __init__(
        self,
        service: FakeService | None = None,
        *,
        emulator: bool = False,
        issuers: Sequence[Issuer] = (),
    ) -> None:
        self.service = service or FakeService()
        self.is_ready = True
        numbers = itertools.count(1)
        self.settings = WireSettings(
            accounts={ACCOUNT: [KEY, SECOND_KEY], "another": [KEY]},
            now_us=self.service.now,
            issuers=issuers,
            emulator=emulator,
            new_guid=lambda: f"00000000-0000-4000-8000-{next(numbers):012}",
        )
        self.app: RestApp = make_app(self.service, self.settings, self._ready)

    async def _ready(self) -> bool:
        return self.is_ready

    async def send(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        version: str | None = VERSION,
        signed: bool = True,
        account: str | None = None,
        peer: str = "192.0.2.7",
        scheme: str = "http",
    ) -> httpx.Response:
        """Send one request; `target` goes out as it is, with the api-version added to it."""
        if version is not None:
            target += ("&" if "?" in target else "?") + f"api-version={version}"
        sent = {"host": "batch.test:10600", "ocp-date": http_date(self.service.now_us)}
        if body is not None:
            sent |= {"content-type": "application/json; odata=minimalmetadata"}
        if method not in ("GET", "HEAD"):
            sent["content-length"] = str(len(body or b""))
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        if signed:
            account = account or self.account
            signature = sign(text_to_sign(method, target, sent, account))
            sent["authorization"] = f"SharedKey {account}:{signature}"
        return await call(self.app, method, target, sent, body or b"", peer, scheme)

    async def send_json(
        self, method: str, target: str, body: Any = None, **options: Any
    ) -> httpx.Response:
        """Like `send`, with a body that is made JSON unless it is bytes."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return await self.send(method, target, body, **options)

    def ask(self, method: str, target: str, body: Any = None, **options: Any) -> httpx.Response:
        """Like `send_json`, from a test that is not asynchronous."""
        return asyncio.run(self.send_json(method, target, body, **options))


async def call(
    app: RestApp,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    peer: str = "192.0.2.7",
    scheme: str = "http",
) -> httpx.Response:
    """Call an ASGI application with exactly this request line."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "scheme": scheme,
        "client": (peer, 5),
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *parts = sent
    content = b"".join(part.get("body", b"") for part in parts)
    return httpx.Response(start["status"], headers=start["headers"], content=content)
