"""The command line: what it teaches, and how it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import __version__
from penstock.launch.exits import Exit


def penstock(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user without a terminal does."""
    clean = {name: it for name, it in os.environ.items() if not name.startswith("PENSTOCK_")}
    return subprocess.run(
        [sys.executable, "-m", "penstock", *words],
        env={**clean, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_it_says_its_version() -> None:
    assert penstock("--version").stdout == f"penstock {__version__}\n"


@pytest.mark.parametrize("command", ["up", "serve", "agent", "backup", "restore"])
def test_help_names_each_option_in_plain_text(command: str) -> None:
    done = penstock(command, "--help")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "--config" in done.stdout


@pytest.mark.parametrize(
    "words", [("clock",), ("clock", "advance"), ("events",), ("explain",), ("node", "preempt")]
)
def test_help_of_what_asks_a_server_says_where_it_is_and_how_it_ends(
    words: tuple[str, ...],
) -> None:
    done = penstock(*words, "--help")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    for part in ("--endpoint", "--ready-file", "AZURE_BATCH_ENDPOINT", "Exit codes: 0 done"):
        assert part in done.stdout


def test_options_of_the_server_are_not_lost_in_the_middle_of_a_command() -> None:
    done = penstock("clock", "--endpoint", "http://127.0.0.1:9", "advance", "1h")
    assert done.returncode == 2
    assert "behind the last word" in done.stderr


def test_the_first_help_says_where_to_start_and_what_exit_codes_mean() -> None:
    said = penstock("--help").stdout
    assert "penstock up" in said
    assert "Exit codes" in said


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["agent"], "give --server, --token-file and --data, or --join"),
        (["agent", "--join", "/d", "--server", "http://a"], "--join takes no other option"),
        (["agent", "--server", "a:1", "--token-file", "/t", "--data", "/d"], "http://host:port"),
        (["agent", "--null"], "give --server, --token-file and --data, or --join"),
        (["agent", "--null", "--join", "/d", "--data", "/e"], "--null takes no --data"),
        (["agent", "--join", "/nowhere"], "no token of the server in /nowhere/agent.token"),
        (["up", "--port", "70000"], "--port: Expected `int` <= 65535"),
        (["up", "--config", "/nowhere.toml"], "/nowhere.toml: No such file"),
        (["up", "--colour"], "No such option"),
        (["backup"], "Missing argument 'FILE'"),
        (["backup", "/nowhere/file"], "/nowhere/file cannot be written: no such directory"),
        (["restore", "f", "--output", "xml"], "'--output'"),
    ],
)
def test_words_that_make_no_sense_are_refused(words: list[str], reason: str) -> None:
    done = penstock(*words)
    assert done.returncode == Exit.USAGE
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_storage_that_makes_no_sense_starts_nothing(tmp_path: Path) -> None:
    ports = ("--port", "0", "--tls-port", "0")
    done = penstock("serve", "--data", str(tmp_path / "d"), *ports, "--storage", "nonsense")
    assert done.returncode == Exit.USAGE
    assert "storage is 'azurite', 'none', or a connection string" in done.stderr
    assert not list((tmp_path / "d").glob("*.process"))


def test_an_unknown_variable_is_refused_by_name(tmp_path: Path) -> None:
    done = penstock("up", "--data", str(tmp_path), PENSTOCK_PROT="1")
    assert done.returncode == Exit.USAGE
    assert done.stderr == "penstock: PENSTOCK_PROT: no such setting (did you mean port?)\n"


@pytest.mark.parametrize("option", ["--data", "--ready-file"])
def test_a_place_that_cannot_be_written_is_refused_by_name(option: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    places = {"--data": str(tmp_path / "data"), option: str(file / "below")}
    words = [word for pair in places.items() for word in pair]
    command = ["up", "--storage", "none", "--port", "0", "--tls-port", "0", *words]
    done = subprocess.run(
        [sys.executable, "-m", "penstock", *command],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert str(file / "below") in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr
