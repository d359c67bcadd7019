"""From the settings to the keys of issuers."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from penstock.config import Account, Config, ConfigRefused, TokenIssuer
from penstock.domain.refusals import ServerBusy
from penstock.launch import tls
from penstock.launch.exits import CannotStart
from penstock.launch.issuers import LARGEST_KEY_SET, issuers_of
from penstock.wire.settings import Issuer
from tests.wire.issuer import NAME
from tests.wire.issuer import TokenIssuer as Signer

SIGNER = Signer("RS256")
ACCOUNTS = (Account(name="render", keys=("QUJD",)),)
ENTRY: dict[str, Any] = {"issuer": NAME, "jwks_file": "keys.json", "read": {"scp": ["a"]}}


def read(**changed: Any) -> TokenIssuer:
    entry = {key: value for key, value in {**ENTRY, **changed}.items() if value is not None}
    return Config.read({"token_issuers": [entry]}, {}).token_issuers[0]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"jwks_file": None}, "jwks_file or jwks_url"),
        ({"jwks_url": "https://a.example"}, "jwks_file or jwks_url"),
        ({"jwks_file": None, "jwks_url": "http://a.example/keys"}, "https"),
        ({"jwks_file": None, "jwks_url": "http://127.0.0.1.example/keys"}, "https"),
        ({"jwks_file": None, "jwks_url": "http://[::1/keys"}, "https"),
        ({"jwks_file": None, "jwks_url": "file:///etc/keys"}, "https"),
        ({"read": None}, "neither read nor write"),
        ({"issuer": ""}, "length"),
        ({"issuer": None}, "issuer"),
        ({"algorithms": ["HS256"]}, "HS256"),
        ({"algorithms": ["none"]}, "none"),
        ({"algorithms": []}, "length"),
        ({"audience": []}, "length"),
        ({"read": {"scp": []}}, "length"),
        ({"read": ["a"]}, "object"),
        ({"secret": "a"}, "secret"),
    ],
)
def test_settings_that_cannot_be(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigRefused, match="token_issuers") as raised:
        read(**changed)
    assert reason in str(raised.value)


def test_issuers_are_set_in_the_file_only() -> None:
    with pytest.raises(ConfigRefused, match="PENSTOCK_TOKEN_ISSUERS: token_issuers are set in"):
        Config.read({}, {"PENSTOCK_TOKEN_ISSUERS": "a"})


def test_what_the_edge_is_told(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(SIGNER.key_set())

    (issuer,) = issuers_of((read(jwks_file=str(file), accounts=["Render"]),), ACCOUNTS)

    assert issuer.name == NAME
    assert issuer.audiences == {"https://batch.core.windows.net"}
    assert issuer.algorithms == {"RS256", "ES256"}
    assert issuer.accounts == {"render"}
    assert issuer.read == {"scp": {"a"}}
    assert issuer.write == {}
    assert asyncio.run(issuer.keys.key("key-of-RS256", "RS256"))


@pytest.mark.parametrize("audience", ["https://a.example/", ["https://a.example"]])
def test_an_audience_is_a_text_or_a_list(tmp_path: Path, audience: object) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(SIGNER.key_set())

    (issuer,) = issuers_of((read(jwks_file=str(file), audience=audience),), ACCOUNTS)

    assert issuer.audiences == {"https://a.example"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"accounts": ["stranger"]}, "no account stranger"),
        ({"jwks_file": "/nowhere/keys.json"}, "No such file"),
        ({"jwks_file": None, "jwks_url": "https://a.example", "jwks_ca_file": "/no"}, "/no"),
    ],
)
def test_what_names_nothing_is_told_at_the_start(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(CannotStart, match=reason):
        issuers_of((read(**changed),), ACCOUNTS)


class _Handler(BaseHTTPRequestHandler):
    """Answers by the path."""

    def do_GET(self) -> None:
        status = int(self.path.rpartition("/")[2])
        body = SIGNER.key_set() if status == 200 else b"{}"
        if status == 201:
            status, body = 200, b" " * (LARGEST_KEY_SET + 1)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/200")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            return  # who asked had enough

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def publishing(trust: ssl.SSLContext | None = None) -> Iterator[int]:
    """An issuer's web server on a port of its own."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        if trust is not None:
            server.socket = trust.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def at(url: str, **more: str) -> Issuer:
    return issuers_of((read(jwks_file=None, jwks_url=url, **more),), ACCOUNTS)[0]


async def key_at(url: str, **more: str) -> object | None:
    return await at(url, **more).keys.key("key-of-RS256", "RS256")


def test_keys_at_an_address() -> None:
    with publishing() as port:
        assert asyncio.run(key_at(f"http://127.0.0.1:{port}/200"))


@pytest.mark.parametrize("status", [201, 204, 302, 404, 500])
def test_an_address_that_answers_something_else(status: int) -> None:
    with publishing() as port, pytest.raises(ServerBusy):
        asyncio.run(key_at(f"http://127.0.0.1:{port}/{status}"))


def test_an_address_where_nobody_is() -> None:
    with publishing() as port:
        pass
    with pytest.raises(ServerBusy):
        asyncio.run(key_at(f"http://127.0.0.1:{port}/200"))


def test_an_address_with_a_certificate_of_a_private_authority(tmp_path: Path) -> None:
    files = tls.ensure(tmp_path, tls.names_for(("127.0.0.1",)), datetime.now(UTC))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    with publishing(server) as port:
        url = f"https://127.0.0.1:{port}/200"
        assert asyncio.run(key_at(url, jwks_ca_file=str(files.ca)))
        with pytest.raises(ServerBusy):
            asyncio.run(key_at(url))
