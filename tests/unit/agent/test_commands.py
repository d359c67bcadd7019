"""Command lines are split and programs found as the C library would."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.agent.commands import Programs, split


@given(st.text(alphabet=" \t\n\"'\\ab$#;|é\x0b", max_size=24))
def test_split_is_that_of_shlex(line: str) -> None:
    try:
        expected = shlex.split(line)
    except ValueError:
        with pytest.raises(ValueError, match="No "):
            split(line)
    else:
        assert split(line) == expected


def program(directory: Path, name: str, mode: int = 0o755) -> Path:
    directory.mkdir(exist_ok=True)
    file = directory / name
    file.write_text("#!/bin/sh\n")
    file.chmod(mode)
    return file


def test_find_takes_the_first_that_can_be_executed(tmp_path: Path) -> None:
    program(tmp_path / "a", "tool", 0o644)
    second = program(tmp_path / "b", "tool")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "dir").mkdir()
    path = ":".join(str(tmp_path / part) for part in "abc")
    programs = Programs()
    assert programs.find("tool", path) == str(second)
    assert programs.find("x/tool", path) == "x/tool"
    with pytest.raises(FileNotFoundError):
        programs.find("dir", path)
    with pytest.raises(PermissionError):
        programs.find("tool", str(tmp_path / "a"))


def test_what_was_found_is_remembered_until_told_otherwise(tmp_path: Path) -> None:
    tool = program(tmp_path / "a", "tool")
    programs = Programs()
    assert programs.find("tool", str(tmp_path / "a")) == str(tool)
    tool.unlink()
    assert programs.find("tool", str(tmp_path / "a")) == str(tool)
    assert programs.forget("tool", str(tmp_path / "a"))
    assert not programs.forget("tool", str(tmp_path / "a"))
    with pytest.raises(FileNotFoundError):
        programs.find("tool", str(tmp_path / "a"))


def test_an_empty_part_of_the_path_is_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "tool")
    monkeypatch.chdir(tmp_path)
    programs = Programs()
    assert programs.find("tool", "/nowhere:") == "./tool"
    assert not programs.forget("tool", "/nowhere:")
