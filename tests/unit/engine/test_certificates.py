"""Certificates: added, referred to by pools, deleted or not, kept sealed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from penstock.domain.conditions import ANY
from penstock.domain.records import CertificateRecord
from penstock.domain.refusals import (
    CertificateExists,
    CertificateNotFound,
    CertificateStateActive,
    InvalidCertificateReferences,
)
from penstock.domain.specs.certificate import CertificateSecret, NewCertificate
from penstock.domain.specs.pool import CertificateReference, PoolPatch, PoolReplacement
from penstock.domain.states import CertificateState
from penstock.engine.certificates import MOST_POOLS_NAMED, secret_name
from penstock.engine.vault import KEY_BYTES, Vault
from tests.records import ACCOUNT
from tests.unit.engine.house import House, play

THUMBPRINT = "Ab" * 20
ID = f"sha1-{THUMBPRINT}"
SECRET = CertificateSecret(data=b"a private key", password="a password")


def new(thumbprint: str = THUMBPRINT) -> NewCertificate:
    return NewCertificate(
        thumbprint=thumbprint, algorithm="sha1", format="pfx", public_data="AAAA", secret=SECRET
    )


def to(thumbprint: str = THUMBPRINT) -> CertificateReference:
    return CertificateReference(thumbprint=thumbprint, thumbprint_algorithm="SHA1")


async def add(house: House, account: str = ACCOUNT, **more: Any) -> CertificateRecord:
    return await house.engine.add_certificate(account, new(**more))


async def the_certificate(house: House) -> CertificateRecord | None:
    return await house.store.certificate(ACCOUNT, ID)


def test_a_certificate_is_kept_sealed() -> None:
    async def scenario(house: House) -> None:
        added = await add(house)

        assert await the_certificate(house) == added
        assert added.state is CertificateState.ACTIVE
        assert added.previous_state is None
        sealed = await house.store.certificate_secret(added.no)
        assert sealed is not None
        assert b"a private key" not in sealed
        vault = house.settings.vault
        assert vault is not None
        opened = vault.open(sealed, secret_name(ACCOUNT, ID.upper()))
        assert msgspec.msgpack.decode(opened, type=CertificateSecret) == SECRET

    play(scenario)


def test_one_thumbprint_is_one_certificate_of_an_account() -> None:
    async def scenario(house: House) -> None:
        await add(house)
        await add(house, "other")
        with pytest.raises(CertificateExists):
            await add(house, thumbprint=THUMBPRINT.upper())
        await house.crash()
        with pytest.raises(CertificateExists):
            await add(house)

    play(scenario)


def test_a_certificate_that_nothing_refers_to_goes_at_once() -> None:
    async def scenario(house: House) -> None:
        added = await add(house)
        await house.engine.delete_certificate(ACCOUNT, ID.upper())

        assert await the_certificate(house) is None
        assert await house.store.certificate_secret(added.no) is None
        with pytest.raises(CertificateNotFound):
            await house.engine.delete_certificate(ACCOUNT, ID)
        with pytest.raises(CertificateNotFound):
            await house.engine.keep_certificate(ACCOUNT, ID)
        again = await add(house)
        assert await house.store.certificate_secret(again.no) is not None

    play(scenario)


def test_a_certificate_of_a_pool_stays_and_names_the_pool() -> None:
    async def scenario(house: House) -> None:
        await add(house)
        await house.pool(0, name="One", certificate_references=[to(THUMBPRINT.lower())])
        await house.pool(0, name="another")
        before_us = house.now_us
        house.elapse(1)
        await house.engine.delete_certificate(ACCOUNT, ID)

        failed = await the_certificate(house)
        assert failed is not None
        assert failed.state is CertificateState.DELETE_FAILED
        assert failed.previous_state is CertificateState.DELETING
        assert (failed.previous_state_us or 0) > before_us
        assert failed.delete_error is not None
        assert failed.delete_error.code == "PoolsReferencingCertificate"
        assert [(it.name, it.value) for it in failed.delete_error.details] == [("Pools", "One")]

    play(scenario)


def test_a_failed_deletion_can_be_tried_again_or_be_called_off() -> None:
    async def scenario(house: House) -> None:
        await add(house)
        await house.pool(0, certificate_references=[to()])
        with pytest.raises(CertificateStateActive):
            await house.engine.keep_certificate(ACCOUNT, ID)
        await house.engine.delete_certificate(ACCOUNT, ID)
        await house.crash()
        await house.engine.keep_certificate(ACCOUNT, ID)
        kept = await the_certificate(house)
        assert kept is not None
        assert (kept.state, kept.delete_error) == (CertificateState.ACTIVE, None)
        assert kept.previous_state is CertificateState.DELETE_FAILED
        await house.engine.delete_certificate(ACCOUNT, ID)
        await house.engine.delete_certificate(ACCOUNT, ID)
        assert await the_certificate(house) is not None
        await house.engine.delete_pool(ACCOUNT, "pool", ANY)
        await house.engine.delete_certificate(ACCOUNT, ID)
        assert await the_certificate(house) is None

    play(scenario)


def test_pools_may_refer_only_to_what_is_there() -> None:
    async def scenario(house: House) -> None:
        await add(house, "other")
        with pytest.raises(InvalidCertificateReferences):
            await house.pool(0, certificate_references=[to()])
        await house.pool(1)
        patch = PoolPatch(certificate_references=[to()])
        replacement = PoolReplacement(
            certificate_references=[to()], application_package_references=[], metadata=[]
        )
        with pytest.raises(InvalidCertificateReferences):
            await house.engine.patch_pool(ACCOUNT, "pool", patch, ANY)
        with pytest.raises(InvalidCertificateReferences):
            await house.engine.replace_pool_properties(ACCOUNT, "pool", replacement)

        await add(house)
        await house.engine.patch_pool(ACCOUNT, "pool", patch, ANY)
        pool = await house.pool_record()
        assert pool is not None
        assert pool.spec.certificate_references == [to()]
        none = PoolReplacement(
            certificate_references=[], application_package_references=[], metadata=[]
        )
        await house.engine.replace_pool_properties(ACCOUNT, "pool", none)
        await house.engine.delete_certificate(ACCOUNT, ID)
        assert await the_certificate(house) is None

    play(scenario)


def test_of_many_pools_some_are_named() -> None:
    async def scenario(house: House) -> None:
        await add(house)
        for number in range(MOST_POOLS_NAMED + 1):
            await house.pool(0, name=f"pool{number}", certificate_references=[to()])
        await house.engine.delete_certificate(ACCOUNT, ID)
        failed = await the_certificate(house)
        assert failed is not None
        assert failed.delete_error is not None
        assert len(failed.delete_error.details) == MOST_POOLS_NAMED

    play(scenario)


def test_a_key_that_does_not_open_what_is_kept_is_noticed() -> None:
    async def scenario(house: House) -> None:
        assert await house.engine.opens_certificates()
        await add(house)
        assert await house.engine.opens_certificates()
        house.settings = replace(house.settings, vault=Vault(b"x" * KEY_BYTES))
        await house.crash()
        assert not await house.engine.opens_certificates()
        await add(house, thumbprint="cd" * 20)
        assert await house.engine.opens_certificates(), "the newest is what counts"

    play(scenario)
