"""Certificates for tests, made anew; one is fixed, for answers that are compared to the byte."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

FIXED = (
    "MIIBHzCBxqADAgECAhQjjf0uIl+IXRJ2XhTcBqXwWOrNZTAKBggqhkjOPQQDAjAQMQ4wDAYDVQQDDAVm"
    "aXhlZDAeFw0yNjExMjAxNjU4NDlaFw0yNjExMjExNjU4NDlaMBAxDjAMBgNVBAMMBWZpeGVkMFkwEwYH"
    "KoZIzj0CAQYIKoZIzj0DAQcDQgAEhBlTN4IZiT0ITaQ4gW2iAwGy5k9H4mkp327w2Hb5e7BcqBeyC2ac"
    "ia9/v5kcSnlcTRAMrkXwOVur15xAj8APvjAKBggqhkjOPQQDAgNIADBFAiEA9aaGiEc5k1MlFVnpOKhF"
    "EtQvYePsm1pLWAdUQpCRdy4CIBhFAj6Cvx3l3CWm6J8WK3r8HPnYzH5Vok4fYFw3sgC+"
)
"""Base64 of a DER certificate that nothing else knows."""


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def thumbprint(self) -> str:
        return thumbprint(self.der)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def pfx(self, password: str | None) -> bytes:
        """The file of certificate and key."""
        builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(2048)
        how = NoEncryption() if password is None else builder.build(password.encode())
        return pkcs12.serialize_key_and_certificates(b"it", self.key, self.certificate, None, how)


def new_certificate(name: str = "somebody") -> Certificate:
    """Make one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
    )
    return Certificate(builder.sign(key, hashes.SHA256()), key)


def thumbprint(der: bytes) -> str:
    """What names a certificate."""
    return hashlib.sha1(der).hexdigest()


def body(data: bytes, of: str, form: str = "cer", **more: Any) -> dict[str, Any]:
    """A request to add the certificate with the thumbprint `of`."""
    return {
        "thumbprint": of,
        "thumbprintAlgorithm": "sha1",
        "data": base64.b64encode(data).decode(),
        "certificateFormat": form,
        **more,
    }
