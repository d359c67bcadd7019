"""Which keys may guard a service."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from penstock.config import Account
from penstock.domain.development import DEVELOPMENT_KEY, DEVELOPMENT_SECOND_KEY
from penstock.launch import accounts
from penstock.launch.exits import CannotStart

GOOD = base64.b64encode(bytes(range(64))).decode()


def test_the_development_account_is_fixed() -> None:
    account = accounts.development("")
    assert account.name == "devbatchaccount1"
    assert account.keys == (
        "UGVuc3RvY2sgZGV2ZWxvcG1lbnQga2V5OiBwdWJsaXNoZWQsIHNvIGl0IHByb3RlY3RzIG5vdGhpbmcuLi4uLg==",
        "UGVuc3RvY2sgc2Vjb25kIGRldmVsb3BtZW50IGtleTogcHVibGlzaGVkLCBwcm90ZWN0cyBub3RoaW5nLi4uLg==",
    )
    assert [len(base64.b64decode(key, validate=True)) for key in account.keys] == [64, 64]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (DEVELOPMENT_KEY, "published development key"),
        (DEVELOPMENT_SECOND_KEY, "published development key"),
        ("not base64!", "not base64"),
        ("QUJD", "fewer than 16 bytes"),
    ],
)
def test_a_service_refuses_keys_that_protect_nothing(tmp_path: Path, key: str, reason: str) -> None:
    configured = (Account(name="mine", keys=(GOOD, key)),)
    with pytest.raises(CannotStart, match=reason):
        accounts.of_service(configured, "", tmp_path / "account")


def test_a_service_without_accounts_keeps_one_of_its_own(tmp_path: Path) -> None:
    kept = tmp_path / "account"
    (first,) = accounts.of_service((), "", kept)
    (again,) = accounts.of_service((), "", kept)
    assert first == again
    assert len(base64.b64decode(first.keys[0])) == 64
    assert kept.stat().st_mode & 0o777 == 0o600


def test_storage_is_linked_to_accounts_that_name_none(tmp_path: Path) -> None:
    configured = (
        Account(name="one", keys=(GOOD,), storage="own"),
        Account(name="two", keys=(GOOD,)),
    )
    users = accounts.of_service(configured, "common", tmp_path / "account")
    assert [user.storage for user in users] == ["own", "common"]


def test_two_accounts_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="same name"):
        accounts.of_service((Account(name="one", keys=(GOOD,)),) * 2, "", tmp_path / "account")
