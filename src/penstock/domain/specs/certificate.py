"""What a user may say of a certificate."""

from __future__ import annotations

import msgspec

from penstock.domain.specs.common import Spec


class CertificateSpec(Spec, frozen=True, kw_only=True):
    """A certificate as it is sent."""

    thumbprint: str
    thumbprint_algorithm: str
    data: str  # base64 of the file
    certificate_format: str | None = None  # pfx | cer
    password: str | None = None


class CertificateSecret(msgspec.Struct, frozen=True, kw_only=True):
    """What of a certificate is never shown again."""

    data: bytes  # the file
    password: str | None = None


class NewCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate that was looked at, and is what it says."""

    thumbprint: str
    algorithm: str
    format: str
    public_data: str
    secret: CertificateSecret
