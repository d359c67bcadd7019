"""What users say of certificates: the file is opened, and has to be what the rest says of it.

Nothing of data or password is ever put into a refusal.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import warnings
from typing import Final

from penstock.domain.specs.certificate import (
    CertificateSecret,
    CertificateSpec,
    NewCertificate,
)
from penstock.wire.specs import pfx
from penstock.wire.specs.bodies import body_of, missing, wrong
from penstock.wire.specs.checks import canonical, required

LARGEST_BYTES: Final = 10 * 1024
ALGORITHMS: Final = ("sha1",)
FORMATS: Final = ("pfx", "cer")
_THUMBPRINT: Final = re.compile(r"[0-9A-Fa-f]{40}")


async def certificate_from_wire(document: bytes) -> NewCertificate:
    """The body of POST /certificates."""
    spec = body_of(CertificateSpec, document)
    algorithm = required(spec.thumbprint_algorithm, ALGORITHMS, "thumbprintAlgorithm")
    if _THUMBPRINT.fullmatch(spec.thumbprint) is None:
        raise wrong("thumbprint", spec.thumbprint, "must be 40 hexadecimal digits")
    form = canonical(spec.certificate_format, FORMATS, "certificateFormat") or "pfx"
    if form == "cer" and spec.password is not None:
        raise wrong("password", "", "must be omitted, since the format is cer")
    data = _data(spec.data)
    found = await _opened(data, spec.password) if form == "pfx" else [_certificate(data)]
    public = next((each for each in found if _thumbprint(each) == spec.thumbprint.lower()), None)
    if public is None:
        raise wrong("thumbprint", spec.thumbprint, "is not that of the certificate in the data")
    return NewCertificate(
        thumbprint=spec.thumbprint,
        algorithm=algorithm,
        format=form,
        public_data=base64.b64encode(public).decode(),
        secret=CertificateSecret(data=data, password=spec.password),
    )


def _data(text: str) -> bytes:
    if len(text) > 2 * LARGEST_BYTES:
        raise wrong("data", "", f"must have {LARGEST_BYTES} bytes at most")
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise wrong("data", "", "must be base64") from None
    if not data:
        raise wrong("data", "", "must not be empty")
    if len(data) > LARGEST_BYTES:
        raise wrong("data", "", f"must have {LARGEST_BYTES} bytes at most")
    return data


async def _opened(data: bytes, password: str | None) -> list[bytes]:
    """The certificates in a PFX file."""
    try:
        return await pfx.certificates_in(data, password)
    except pfx.Unreadable as unreadable:
        reason = str(unreadable)
    if reason != pfx.NOT_OPENED:
        raise wrong("data", "", reason)
    raise missing("password") if password is None else wrong("password", "", reason)


def _certificate(data: bytes) -> bytes:
    """The DER form of a certificate that is in DER or PEM form."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    load = (
        x509.load_pem_x509_certificate if b"-----BEGIN" in data else x509.load_der_x509_certificate
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a later release of the library refuses
            return load(data).public_bytes(Encoding.DER)
    except (ValueError, x509.InvalidVersion):
        raise wrong("data", "", "is not an X.509 certificate") from None


def _thumbprint(der: bytes) -> str:
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()
