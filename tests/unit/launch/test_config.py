"""Where settings come from, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.config import Account, Config, ConfigRefused, read_file


def test_options_win_over_the_environment_and_that_over_the_file() -> None:
    config = Config.read(
        {"port": 1, "tls_port": 1, "heartbeat_s": 1},
        {"PENSTOCK_PORT": "2", "PENSTOCK_TLS_PORT": "2", "HOME": "/root"},
        {"port": 3, "host": None},
    )
    assert (config.port, config.tls_port, config.heartbeat_s) == (3, 2, 1.0)
    assert config.host == Config().host


def test_all_mistakes_are_told_at_once_with_the_nearest_name() -> None:
    with pytest.raises(ConfigRefused) as refused:
        Config.read(
            {"prot": 1, "storage": 7, "log_level": "loud"},
            {"PENSTOCK_TLS_PORT": "70000", "PENSTOCK_HEARTBEATS": "1", "PENSTOCK_ACCOUNTS": "a"},
            {"port": -1},
        )
    lines = str(refused.value).splitlines()
    assert len(lines) == 7
    assert "prot in the file: no such setting (did you mean port?)" in lines
    assert "PENSTOCK_HEARTBEATS: no such setting (did you mean heartbeat_s?)" in lines
    assert any(line.startswith("PENSTOCK_TLS_PORT:") and "65535" in line for line in lines)
    assert any("log_level" in line and "debug, info, warning, error" in line for line in lines)
    assert any(line.startswith("--port:") for line in lines)


@pytest.mark.parametrize(
    "account",
    [
        {"keys": ["a"]},
        {"name": "abc", "keys": []},
        {"name": "abc", "keys": ["a", "b", "c"]},
        {"name": "No", "keys": ["a"]},
        {"name": "abc", "keys": ["a"], "key": "b"},
    ],
)
def test_accounts_are_checked(account: dict[str, object]) -> None:
    with pytest.raises(ConfigRefused, match="accounts in the file"):
        Config.read({"accounts": [account]}, {})


def test_a_file_is_toml(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text('port = 0\n[[accounts]]\nname = "mine"\nkeys = ["QUJD"]\n', "utf-8")
    config = Config.read(read_file(file), {})
    assert config.port == 0
    assert config.accounts == (Account(name="mine", keys=("QUJD",)),)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    with pytest.raises(ConfigRefused, match=r"penstock\.toml: No such file"):
        read_file(file)
    file.write_text("port =", "utf-8")
    with pytest.raises(ConfigRefused, match=r"penstock\.toml is not TOML"):
        read_file(file)


def test_a_node_host_reads_the_same_settings() -> None:
    config = Config(kill_grace_s=7.5, max_processes=0, min_free_bytes=1)
    assert Config.read({}, config.for_node_host()) == config


def test_names_of_the_certificate_are_a_list_in_the_environment() -> None:
    config = Config.read({}, {"PENSTOCK_TLS_NAMES": "batch.example, 10.0.0.1"})
    assert config.tls_names == ("batch.example", "10.0.0.1")


def test_nodes_are_not_lost_between_two_heartbeats() -> None:
    with pytest.raises(ConfigRefused, match="twice heartbeat_s"):
        Config.read({"heartbeat_s": 10, "node_silent_s": 15}, {})


@pytest.mark.parametrize("url", ["batch.example", "ftp://batch.example", "https://", "https://a b"])
def test_what_tasks_are_told_is_an_address(url: str) -> None:
    assert Config.read({"account_url": "https://batch.example:10643/render"}, {}).account_url
    with pytest.raises(ConfigRefused, match="account_url"):
        Config.read({"account_url": url}, {})
