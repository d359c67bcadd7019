"""Certificates: from and to the wire. The newest api-version has none."""

from __future__ import annotations

import re
from functools import partial
from typing import Final

from penstock.domain.instants import instant_text
from penstock.domain.records import CertificateRecord, Failure, certificate_id
from penstock.domain.refusals import CertificateNotFound, ResourceNotFound
from penstock.wire.answers import Answer, Document, created, done, listed, one, without_none
from penstock.wire.paging import cut, query_of
from penstock.wire.request import Request
from penstock.wire.shown import pairs, time_or_none
from penstock.wire.specs.certificates import certificate_from_wire

_KEY: Final = re.compile(r"\((?P<first>[^,=()]+=[^,=()]+),(?P<second>[^,=()]+=[^,=()]+)\)")
_NAMES: Final = ("thumbprintalgorithm", "thumbprint")


async def add_certificate(request: Request) -> Answer:
    """POST /certificates"""
    new = await certificate_from_wire(await request.json_body())
    certificate = await request.service.add_certificate(request.account, new)
    return created(request, certificate_path(certificate), certificate.state_us)


async def list_certificates(request: Request) -> Answer:
    """GET /certificates"""
    query = query_of(request, "certificates")
    async with request.lists:
        found = await request.service.store.list_certificates(request.account, query)
        page, link = cut(request, query, found, lambda certificate: certificate.id)
        show = partial(shown_certificate, request)
        return await listed(request, "certificates", page, show, link)


async def get_certificate(request: Request) -> Answer:
    """GET /certificates(thumbprintAlgorithm={algorithm},thumbprint={thumbprint})"""
    certificate = await request.service.store.certificate(request.account, _id(request))
    if certificate is None:
        raise CertificateNotFound
    shown = shown_certificate(request, certificate)
    return one(request, "certificates", shown, certificate.state_us)


async def delete_certificate(request: Request) -> Answer:
    """DELETE /certificates(…)"""
    await request.service.delete_certificate(request.account, _id(request))
    return done(request, 202)


async def cancel_deletion(request: Request) -> Answer:
    """POST /certificates(…)/canceldelete"""
    certificate = await request.service.keep_certificate(request.account, _id(request))
    return done(request, 204, certificate.state_us)


def _id(request: Request) -> str:
    """The certificate that the path names; the order of its two parts is free."""
    match = _KEY.fullmatch(request.ids[0])
    parts = dict(_part(text) for text in match.groups()) if match else {}
    if set(parts) != set(_NAMES):
        raise ResourceNotFound
    algorithm, thumbprint = (parts[name] for name in _NAMES)
    return certificate_id(algorithm, thumbprint)


def _part(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip()


def certificate_path(certificate: CertificateRecord) -> str:
    return (
        f"/certificates(thumbprintAlgorithm={certificate.algorithm},"
        f"thumbprint={certificate.thumbprint})"
    )


def shown_certificate(request: Request, certificate: CertificateRecord) -> Document:
    """A certificate as clients see it."""
    previous = certificate.previous_state
    return without_none(
        {
            "thumbprint": certificate.thumbprint,
            "thumbprintAlgorithm": certificate.algorithm,
            "url": request.base + certificate_path(certificate),
            "state": certificate.state.value,
            "stateTransitionTime": instant_text(certificate.state_us),
            "previousState": None if previous is None else previous.value,
            "previousStateTransitionTime": time_or_none(certificate.previous_state_us),
            "publicData": certificate.public_data,
            "deleteCertificateError": _error(certificate.delete_error),
        }
    )


def _error(failure: Failure | None) -> Document | None:
    if failure is None:
        return None
    return without_none(
        {"code": failure.code, "message": failure.message, "values": pairs(failure)}
    )
