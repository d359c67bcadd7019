"""Which keys may guard a service."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from penstock.config import Account
from penstock.domain.development import DEVELOPMENT_KEY, DEVELOPMENT_SECOND_KEY
from penstock.launch import accounts
from penstock.launch.datadir import Layout
from penstock.launch.exits import CannotStart

GOOD = base64.b64encode(bytes(range(64))).decode()


def test_the_development_account_is_fixed() -> None:
    (account,) = accounts.development("").accounts
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
        accounts.of_service(configured, "", Layout(tmp_path))


def test_a_service_without_accounts_keeps_one_of_its_own(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    first = accounts.of_service((), "", layout)
    again = accounts.of_service((), "", layout)
    (account,) = first.accounts
    assert first.accounts == again.accounts
    assert [len(base64.b64decode(key)) for key in account.keys] == [64, 64]
    assert len(set(account.keys)) == 2
    assert layout.generated_account.stat().st_mode & 0o777 == 0o600
    assert first.kept == again.kept == first.fresh == {account.name}
    assert again.fresh == frozenset()


def test_an_account_that_was_made_with_one_key_gets_a_second(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.generated_account.write_text(f'{{"name": "mine", "keys": ["{GOOD}"]}}')
    (account,) = accounts.of_service((), "", layout).accounts
    assert account.keys[0] == GOOD
    assert len(account.keys) == 2
    assert accounts.of_service((), "", layout).accounts == (account,)


def test_accounts_without_keys_get_two_that_are_kept(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    configured = (Account(name="own", keys=(GOOD,)), Account(name="one"), Account(name="two"))
    first = accounts.of_service(configured, "", layout)
    again = accounts.of_service(configured, "", layout)
    assert first.accounts == again.accounts
    assert len({key for user in first.accounts for key in user.keys}) == 5
    assert layout.account_keys.stat().st_mode & 0o777 == 0o600
    assert first.kept == again.kept == first.fresh == {"one", "two"}
    assert again.fresh == frozenset()


@pytest.mark.parametrize("content", ["", "[]", '{"one": "key"}'])
def test_a_file_of_keys_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "account-keys").write_text(content)
    with pytest.raises(CannotStart, match="account-keys has no keys of accounts"):
        accounts.of_service((Account(name="one"),), "", Layout(tmp_path))


def test_storage_is_linked_to_accounts_that_name_none(tmp_path: Path) -> None:
    configured = (
        Account(name="one", keys=(GOOD,), storage="own"),
        Account(name="two", keys=(GOOD,)),
    )
    users = accounts.of_service(configured, "common", Layout(tmp_path)).accounts
    assert [user.storage for user in users] == ["own", "common"]


def test_two_accounts_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="same name"):
        accounts.of_service((Account(name="one", keys=(GOOD,)),) * 2, "", Layout(tmp_path))
