"""One server per data directory, and what it leaves for the next."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.launch.datadir import DataDir, DataDirInUse, default_root, read_endpoint
from penstock.launch.exits import CannotStart

HOLD = """
import sys
from pathlib import Path
from penstock.launch.exits import CannotStart
from penstock.launch.datadir import DataDir
data = DataDir(Path(sys.argv[1])).claim()
data.announce("http://127.0.0.1:1234")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_server_is_refused_with_the_first_ones_number_and_address(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(DataDirInUse, match=rf"process {first.pid}, at http://127.0.0.1:1234"):
            DataDir(tmp_path).claim()
        first.kill()
        first.wait(10)
        DataDir(tmp_path).claim().release()


def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    data = DataDir(tmp_path).claim()
    with subprocess.Popen(["sleep", "60"]) as child:
        data.release()
        DataDir(tmp_path).claim().release()
        child.kill()


def test_the_endpoint_is_there_only_while_the_server_is(tmp_path: Path) -> None:
    data = DataDir(tmp_path).claim()
    assert read_endpoint(tmp_path) is None
    data.announce("http://127.0.0.1:1")
    found = read_endpoint(tmp_path)
    assert found is not None
    assert found.url == "http://127.0.0.1:1"
    data.release()
    assert read_endpoint(tmp_path) is None


def test_id_and_token_stay_and_the_token_is_private(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    assert DataDir(tmp_path).server_id() == data.server_id()
    assert DataDir(tmp_path).token() == data.token()
    assert len(data.token()) >= 32
    assert data.agent_token.stat().st_mode & 0o777 == 0o600


def test_secrets_are_in_directories_that_others_cannot_enter(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "new")
    for private in (data.store, data.tls, data.logs, data.azurite):
        assert private.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, "/home/me/.local/share/penstock"),
        ({"XDG_DATA_HOME": "/data"}, "/data/penstock"),
        ({"XDG_DATA_HOME": "relative"}, "/home/me/.local/share/penstock"),
    ],
)
def test_the_default_is_a_directory_per_user(env: dict[str, str], expected: str) -> None:
    assert default_root(env, Path("/home/me")) == Path(expected)


def test_the_key_of_what_is_sealed_stays_and_is_private(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    sealed = data.vault().seal(b"secret", "it")
    assert data.vault_key.stat().st_mode & 0o777 == 0o600
    assert DataDir(tmp_path).vault().open(sealed, "it") == b"secret"


def test_a_key_that_was_cut_off_starts_no_server(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.vault_key.write_bytes(b"short")
    with pytest.raises(CannotStart, match=r"vault\.key"):
        data.vault()
