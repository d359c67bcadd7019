"""The private certificate authority of a data directory, and the server's certificate.

The authority is made once, so that clients need to be told of its file once. The certificate
is made again when it would soon end, or when the server gets another name. Reading what there
is takes no cryptography, so a usual start does not pay for loading it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from penstock.launch.files import write_atomically

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

ALWAYS: Final = ("localhost", "127.0.0.1", "::1", "*.localhost", "*.batch.localhost")
"""Names in each certificate. Some clients want two labels behind a star, so there are two."""

FILES: Final = ("ca.pem", "ca.key", "server.pem", "server.key", "server.json")
"""All that lies in the directory."""

_CA_LIFE: Final = timedelta(days=3650)
_LIFE: Final = timedelta(days=397)  # longer ones are refused by some clients
_RENEW: Final = timedelta(days=30)  # before the end
_SKEW: Final = timedelta(minutes=10)  # clients' clocks may be late


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the authority for clients, certificate and key for the server."""

    ca: Path
    certificate: Path
    key: Path


class _Made(msgspec.Struct, frozen=True):
    """What the certificate says, in a form that is quick to read."""

    names: tuple[str, ...]
    until: datetime
    ca_until: datetime


def names_for(hosts: Iterable[str]) -> tuple[str, ...]:
    """All names of the certificate; addresses that mean "all of them" are no names."""
    extra = {host for host in hosts if host and host not in ("0.0.0.0", "::")}
    return (*ALWAYS, *sorted(extra - set(ALWAYS)))


def ensure(directory: Path, names: Sequence[str], now: datetime) -> TlsFiles:
    """Give the files, made or renewed where needed."""
    files = TlsFiles(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    ca_key, about = directory / "ca.key", directory / "server.json"
    made = _read(about)
    complete = all(path.exists() for path in (files.ca, files.certificate, files.key, ca_key))
    if made and complete and made.names == tuple(names) and now + _RENEW < made.until:
        return files
    if not made or not complete or made.ca_until < now + _LIFE:
        ca_until = _make_ca(files.ca, ca_key, now)
    else:
        ca_until = made.ca_until
    about.unlink(missing_ok=True)
    _make_certificate(files, ca_key, names, now)
    new = _Made(tuple(names), now + _LIFE, ca_until)
    write_atomically(about, msgspec.json.encode(new))
    return files


def _read(about: Path) -> _Made | None:
    try:
        return msgspec.json.decode(about.read_bytes(), type=_Made)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _make_ca(ca: Path, ca_key: Path, now: datetime) -> datetime:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    key = _new_key(ca_key)
    name = _name("Penstock private CA")
    certificate = (
        _builder(name, name, key.public_key(), now, _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_certificates(ca, certificate)
    return now + _CA_LIFE


def _make_certificate(files: TlsFiles, ca_key: Path, names: Sequence[str], now: datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority = x509.load_pem_x509_certificate(files.ca.read_bytes())
    signer = serialization.load_pem_private_key(ca_key.read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = _new_key(files.key)
    certificate = (
        _builder(_name("Penstock"), authority.subject, key.public_key(), now, _LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.OID_SERVER_AUTH]), False)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False
        )
        .sign(signer, hashes.SHA256())
    )
    _write_certificates(files.certificate, certificate, authority)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _new_key(path: Path) -> ec.EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_atomically(path, pem)
    return key


def _name(common: str) -> x509.Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_certificates(path: Path, *certificates: x509.Certificate) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    pem = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
    write_atomically(path, pem, mode=0o644)


def utc_now() -> datetime:
    """The present, for callers outside the pure folders."""
    return datetime.now(UTC)
