"""How certificates come, are referred to, and go. Each function is one decision within a turn.

Nothing that a certificate waits for takes time as long as none is installed on a node, so one
that is to be deleted is gone at once, or its deletion has failed at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.records import (
    CertificateRecord,
    Detail,
    Failure,
    PoolRecord,
    certificate_id,
    key_of,
)
from penstock.domain.refusals import (
    CertificateExists,
    CertificateNotFound,
    CertificateStateActive,
    InvalidCertificateReferences,
)
from penstock.domain.specs.certificate import NewCertificate
from penstock.domain.states import CERTIFICATE_MOVES, CertificateEvent, CertificateState, after
from penstock.engine.turn import Turn

MOST_POOLS_NAMED: Final = 100


def secret_name(account: str, id_: str) -> str:
    """The name under which the secret of a certificate is sealed."""
    return f"certificate {account} {key_of(id_)}"


def add_certificate(
    turn: Turn, account: str, new: NewCertificate, secret: bytes
) -> CertificateRecord:
    """Add a certificate; `secret` is sealed."""
    id_ = certificate_id(new.algorithm, new.thumbprint)
    if turn.state.certificates.find(account, id_) is not None:
        raise CertificateExists
    certificate = CertificateRecord(
        no=turn.new_no(),
        account=account,
        thumbprint=new.thumbprint,
        algorithm=new.algorithm,
        format=new.format,
        public_data=new.public_data,
        state=CertificateState.ACTIVE,
        state_us=turn.now_us,
    )
    turn.put(c.PutCertificate(certificate, secret))
    return certificate


def delete_certificate(turn: Turn, account: str, id_: str) -> None:
    """Delete a certificate. While a pool refers to it, it stays, and says why.

    What has failed stays so until the user deletes it once more, or keeps it.
    """
    certificate = _moved(turn, _found(turn, account, id_), CertificateEvent.DELETED)
    turn.put(c.PutCertificate(certificate))
    pools = [pool.id for pool in _pools_with(turn, certificate)]
    if not pools:
        turn.put(c.DropCertificate(certificate.no))
        return
    error = Failure(
        "usererror",
        "PoolsReferencingCertificate",
        "The specified certificate is being used by the below mentioned pool(s)",
        tuple(Detail("Pools", name) for name in pools[:MOST_POOLS_NAMED]),
    )
    failed = _moved(turn, certificate, CertificateEvent.REFERENCED, delete_error=error)
    turn.put(c.PutCertificate(failed))


def keep_certificate(turn: Turn, account: str, id_: str) -> CertificateRecord:
    """Let a certificate whose deletion has failed be active again."""
    certificate = _found(turn, account, id_)
    if certificate.state is CertificateState.ACTIVE:
        raise CertificateStateActive
    kept = _moved(turn, certificate, CertificateEvent.KEPT, delete_error=None)
    turn.put(c.PutCertificate(kept))
    return kept


def _found(turn: Turn, account: str, id_: str) -> CertificateRecord:
    certificate = turn.state.certificates.find(account, id_)
    if certificate is None:
        raise CertificateNotFound
    return certificate


def _moved(
    turn: Turn, certificate: CertificateRecord, event: CertificateEvent, **new: Any
) -> CertificateRecord:
    return replace(
        certificate,
        state=after(CERTIFICATE_MOVES, certificate.state, event),
        state_us=turn.modified(certificate.state_us),
        previous_state=certificate.state,
        previous_state_us=certificate.state_us,
        **new,
    )


# --- references ------------------------------------------------------------------------------


class Reference(Protocol):
    """The part of a pool's reference to a certificate that names it."""

    @property
    def thumbprint(self) -> str: ...

    @property
    def thumbprint_algorithm(self) -> str: ...


def check_references(turn: Turn, account: str, references: Sequence[Reference] | None) -> None:
    """Refuse references to certificates that are not there."""
    for index, reference in enumerate(references or ()):
        if turn.state.certificates.find(account, _id_in(reference)) is None:
            raise InvalidCertificateReferences(
                PropertyName=f"certificateReferences[{index}].thumbprint",
                PropertyValue=reference.thumbprint[:256],
                Reason="there is no such certificate",
            )


def _id_in(reference: Reference) -> str:
    return certificate_id(reference.thumbprint_algorithm, reference.thumbprint)


def _pools_with(turn: Turn, certificate: CertificateRecord) -> Iterator[PoolRecord]:
    wanted = key_of(certificate.id)
    for pool in turn.state.pools.values():
        references = pool.spec.certificate_references or ()
        if pool.account == certificate.account and any(
            key_of(_id_in(reference)) == wanted for reference in references
        ):
            yield pool
