"""The pattern language of output files."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.agent.patterns import LeavesNode, expand, find, has_wildcard, matches


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("a.txt", "a.txt", True),
        ("a.txt", "A.txt", False),
        ("*.txt", "a.txt", True),
        ("*.txt", "d/a.txt", False),
        ("*", ".hidden", False),
        (".*", ".hidden", True),
        ("?hidden", ".hidden", False),
        ("[.]hidden", ".hidden", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("[abc].x", "b.x", True),
        ("[a-c].x", "d.x", False),
        ("[!abc].x", "d.x", True),
        ("[!abc].x", "a.x", False),
        ("[!a-c]x", "bx", False),
        ("[*].x", "*.x", True),
        ("[*].x", "a.x", False),
        ("[?]", "?", True),
        ("[[]", "[", True),
        ("[]]", "]", True),
        ("[!]]", "a", True),
        ("[!]]", "]", False),
        ("[^a]", "^", True),
        ("[a-]", "-", True),
        ("[z-a]", "b", False),
        ("[a", "[a", True),
        ("**", "a", True),
        ("**", "d/e/a", True),
        ("**/*.txt", "a.txt", True),
        ("**/*.txt", "d/e/a.txt", True),
        ("**/*.txt", ".d/a.txt", False),
        ("**/*.txt", "d/.a.txt", False),
        ("d/**/a", "d/a", True),
        ("d/**/a", "d/e/f/a", True),
        ("d/**", "d/e/f/a", True),
        ("d/**", "e/a", False),
        ("**/e/**", "d/e/f/a", True),
        ("d/*/a", "d/e/a", True),
        ("d/*/a", "d/e/f/a", False),
        ("a**b", "axxb", True),
        ("a(b|c)+.x", "a(b|c)+.x", True),
        ("a.x", "abx", False),
        ("*\n", "a\n", True),
    ],
)
def test_matches(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


def test_a_nasty_pattern_takes_no_time() -> None:
    assert not matches("/".join(["**", "*a*a*"] * 8), "/".join(["a" * 20] * 20) + "/b")


def test_expand() -> None:
    environment = {"A": "x", "B_1": "y"}
    assert expand("$A/${B_1}/%A%/$NO/50%", environment) == "x/y/x/$NO/50%"


def test_has_wildcard() -> None:
    assert [has_wildcard(text) for text in ("a", "*", "a?", "[a]", "**/x")] == [
        False,
        True,
        True,
        True,
        True,
    ]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """``wd`` of a task in a node, with the files that the tests look for."""
    work = tmp_path / "node/workitems/j/job-1/t/wd"
    for name in ("a.txt", "b.log", ".c.txt", "d/a.txt", "d/e/a.txt", "../stdout.txt"):
        file = work / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (work.parent / "stderr.txt").touch()
    (tmp_path / "secret.txt").touch()
    (work / "out.txt").symlink_to(tmp_path / "secret.txt")
    (work / "in.txt").symlink_to(work / "a.txt")
    (work / "up").symlink_to(tmp_path)
    return work


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.txt", ["a.txt"]),
        ("d/a.txt", ["d/a.txt"]),
        ("./d/a.txt", ["d/a.txt"]),
        ("*.txt", ["a.txt", "in.txt"]),
        ("**/*.txt", ["a.txt", "d/a.txt", "d/e/a.txt", "in.txt"]),
        ("d/**/a.txt", ["d/a.txt", "d/e/a.txt"]),
        ("../std*.txt", ["stderr.txt", "stdout.txt"]),
        ("../stdout.txt", ["stdout.txt"]),
        ("nothing", []),
        ("no/such/*", []),
        ("d", []),
        ("up/*.txt", []),
    ],
)
def test_find(work: Path, pattern: str, names: list[str]) -> None:
    root = work.parents[4]
    assert [name for _, name in find(pattern, work, root)] == names


def test_find_takes_absolute_patterns_inside_the_node(work: Path) -> None:
    root = work.parents[4]
    assert [name for _, name in find(f"{work}/*.log", work, root)] == ["b.log"]
    for pattern in ("/etc/*", "../../../../../../*", f"{root}/../x", "*/../../x"):
        with pytest.raises(LeavesNode):
            find(pattern, work, root)
