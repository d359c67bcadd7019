"""Certificates that real clients accept, made as rarely as possible."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from penstock.launch import tls

NOW = datetime.now(UTC)


def _greet(server: ssl.SSLContext, listener: socket.socket) -> None:
    """Serve one connection; clients that do not trust us hang up on us."""
    with listener, listener.accept()[0] as plain:
        try:
            with server.wrap_socket(plain, server_side=True) as secure:
                secure.sendall(b"x")
        except (ssl.SSLError, OSError):
            pass


def _connect(files: tls.TlsFiles, name: str) -> bytes:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_greet, args=(server, listener))
    port = listener.getsockname()[1]
    thread.start()
    try:
        client = ssl.create_default_context(cafile=str(files.ca))
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            client.wrap_socket(plain, server_hostname=name) as secure,
        ):
            return secure.recv(1)
    finally:
        thread.join(10)


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "::1", "devbatchaccount1.localhost", "a.batch.localhost"]
)
def test_a_client_with_the_ca_file_trusts_the_server(tmp_path: Path, name: str) -> None:
    names = tls.names_for(["127.0.0.1", "devbatchaccount1.localhost"])
    assert _connect(tls.ensure(tmp_path, names, NOW), name) == b"x"


def test_another_name_is_not_trusted(tmp_path: Path) -> None:
    files = tls.ensure(tmp_path, tls.names_for([]), NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        _connect(files, "example.org")


def test_nothing_is_made_twice(tmp_path: Path) -> None:
    names = tls.names_for([])
    files = tls.ensure(tmp_path, names, NOW)
    before = [path.read_bytes() for path in (files.ca, files.certificate, files.key)]
    again = tls.ensure(tmp_path, names, NOW + timedelta(days=300))
    assert [path.read_bytes() for path in (again.ca, again.certificate, again.key)] == before


@pytest.mark.parametrize(
    ("names", "later"), [(["box.example"], timedelta()), ([], timedelta(days=380))]
)
def test_a_new_name_or_a_near_end_renews_the_certificate_under_the_same_ca(
    tmp_path: Path, names: list[str], later: timedelta
) -> None:
    files = tls.ensure(tmp_path, tls.names_for([]), NOW)
    ca, certificate = files.ca.read_bytes(), files.certificate.read_bytes()
    tls.ensure(tmp_path, tls.names_for(names), NOW + later)
    assert files.ca.read_bytes() == ca
    assert files.certificate.read_bytes() != certificate
    if names:
        assert _connect(files, "box.example") == b"x"


def test_an_old_ca_is_replaced_before_it_ends(tmp_path: Path) -> None:
    files = tls.ensure(tmp_path, tls.names_for([]), NOW)
    ca = files.ca.read_bytes()
    tls.ensure(tmp_path, tls.names_for([]), NOW + timedelta(days=3400))
    assert files.ca.read_bytes() != ca


def test_a_lost_file_is_made_again(tmp_path: Path) -> None:
    files = tls.ensure(tmp_path, tls.names_for([]), NOW)
    files.key.unlink()
    assert _connect(tls.ensure(tmp_path, tls.names_for([]), NOW), "localhost") == b"x"


def test_keys_are_private_and_the_ca_is_public(tmp_path: Path) -> None:
    files = tls.ensure(tmp_path, tls.names_for([]), NOW)
    for key in (files.key, tmp_path / "ca.key"):
        assert key.stat().st_mode & 0o777 == 0o600
    assert files.ca.stat().st_mode & 0o777 == 0o644
