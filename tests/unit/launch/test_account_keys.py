"""The keys that a server made: shown, replaced one at a time, taken while it runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from penstock.config import Account
from penstock.launch import account_keys, accounts
from penstock.launch.account_keys import KeptKeys, regenerated, shown, watch
from penstock.launch.datadir import Layout
from penstock.launch.exits import CannotStart
from penstock.launch.files import write_atomically
from penstock.main import app

TWO = (Account(name="one"), Account(name="two"))


def _users(root: Path) -> tuple[Account, ...]:
    return accounts.of_service(TWO, "", Layout(root)).accounts


@pytest.fixture
def generated(tmp_path: Path) -> Account:
    """The account of a service without settings."""
    (account,) = accounts.of_service((), "", Layout(tmp_path)).accounts
    return account


def test_one_key_is_replaced_and_the_other_stays(tmp_path: Path, generated: Account) -> None:
    first = regenerated(tmp_path, None, "primary")
    assert first.account == generated.name
    assert first.keys[0] not in generated.keys
    assert first.keys[1] == generated.keys[1]

    second = regenerated(tmp_path, generated.name, "secondary")
    assert second.keys[0] == first.keys[0]
    assert second.keys[1] not in first.keys
    assert shown(tmp_path, None).keys == second.keys
    assert Layout(tmp_path).generated_account.stat().st_mode & 0o777 == 0o600


def test_so_it_is_for_accounts_of_the_settings(tmp_path: Path) -> None:
    before = {user.name: user.keys for user in _users(tmp_path)}

    regenerated(tmp_path, "two", "secondary")

    after = {user.name: user.keys for user in _users(tmp_path)}
    assert after["one"] == before["one"]
    assert after["two"][0] == before["two"][0]
    assert after["two"][1] != before["two"][1]
    assert Layout(tmp_path).account_keys.stat().st_mode & 0o777 == 0o600


def test_of_several_accounts_one_has_to_be_named(tmp_path: Path) -> None:
    accounts.of_service(TWO, "", Layout(tmp_path))
    with pytest.raises(CannotStart, match="name one of its accounts: one, two"):
        shown(tmp_path, None)
    with pytest.raises(CannotStart, match="keeps no keys of three, but of: one, two"):
        regenerated(tmp_path, "three", "primary")


def test_where_no_keys_are_kept_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="keeps no keys of accounts"):
        shown(tmp_path, None)
    assert list(tmp_path.iterdir()) == []


def test_the_commands(tmp_path: Path, generated: Account) -> None:
    run = CliRunner().invoke
    where = ["--data", str(tmp_path)]

    plain = run(app, ["account", "keys", *where]).stdout
    assert plain.split() == [
        "account", generated.name, "primary", generated.keys[0], "secondary", generated.keys[1],
    ]  # fmt: skip
    changed = run(app, ["account", "regenerate", "secondary", *where]).stdout
    assert changed.splitlines()[2].endswith("(new)")
    said = json.loads(
        run(app, ["account", "keys", generated.name, *where, "--output", "json"]).stdout
    )
    assert said["accountName"] == generated.name
    assert said["primary"] == generated.keys[0]
    assert said["secondary"] != generated.keys[1]
    assert run(app, ["account", "keys", "stranger", *where]).exit_code == 2
    assert run(app, ["account", "regenerate", "third", *where]).exit_code == 2


def test_a_server_that_runs_takes_the_new_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(account_keys, "LOOK_EVERY_S", 0.001)
    layout = Layout(tmp_path)
    users = accounts.of_service(TWO, "", layout)

    async def scenario() -> None:
        heard: asyncio.Queue[account_keys.Keys] = asyncio.Queue()
        watching = asyncio.create_task(
            watch(KeptKeys(layout), frozenset({"two"}), heard.put_nowait)
        )
        try:
            await asyncio.sleep(0)
            new = regenerated(tmp_path, "two", "primary")
            assert await asyncio.wait_for(heard.get(), 5) == {"two": new.keys}
            write_atomically(layout.account_keys, b"spoiled")
            async with asyncio.timeout(5):
                while "account_keys_unreadable" not in caplog.text:
                    await asyncio.sleep(account_keys.LOOK_EVERY_S)
            assert heard.empty()
            write_atomically(layout.account_keys, json.dumps({"two": ["a", "b"]}).encode())
            assert await asyncio.wait_for(heard.get(), 5) == {"two": ("a", "b")}
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    asyncio.run(scenario())
    assert users.kept == {"one", "two"}
