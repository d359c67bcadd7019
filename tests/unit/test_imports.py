"""The arrows between packages, and what the pure ones may not touch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "penstock"
MODULES = sorted(SOURCE.rglob("*.py"))

ARROWS: dict[str, set[str]] = {
    "domain": set(),
    "messages": {"domain"},
    "scheduler": {"domain"},
    "autoscale": {"domain"},
    "store": {"domain"},
    "providers": {"domain"},
    "cli": {"domain"},
    "agent": {"domain", "messages"},
    "engine": {"domain", "messages", "scheduler", "autoscale", "store", "providers"},
    "wire": {"domain", "messages", "engine"},
    "clock": set(),
    "config": set(),
}
"""What each package may import of ours, besides itself. Those not listed see everything."""

PURE = (
    "domain",
    "scheduler",
    "store",
    "autoscale",
    "agent/admission.py",
    "agent/alarms.py",
    "agent/chores.py",
    "agent/core.py",
    "agent/ledger.py",
    "agent/nodes.py",
    "agent/runs.py",
    "agent/starts.py",
    "agent/state.py",
)

FORBIDDEN_NAMES = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "time"),
    ("time", "time_ns"),
    ("os", "environ"),
    ("os", "getenv"),
    ("os", "urandom"),
    ("uuid", "uuid1"),
    ("uuid", "uuid4"),
}


def _package(module: Path) -> str:
    return module.relative_to(SOURCE).with_suffix("").parts[0]


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Module and name of each import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((node.module or "", alias.name) for alias in node.names)


def wrong_arrows(package: str, tree: ast.AST) -> list[str]:
    """Imports of ours that the table does not allow to `package`."""
    allowed = ARROWS.get(package)
    if allowed is None:
        return []
    found = []
    for module, name in _imports(tree):
        parts = f"{module}.{name}".split(".")
        if parts[0] == "penstock" and parts[1] not in (*allowed, package, "__version__"):
            found.append(".".join(parts))
    return found


def impure(tree: ast.AST) -> list[str]:
    """Uses of the clock, of chance and of the environment."""
    found = [
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in FORBIDDEN_NAMES
    ]
    for module, name in _imports(tree):
        if (
            (module, name) in FORBIDDEN_NAMES
            or module == "secrets"
            or (module == "random" and name != "Random")
        ):
            found.append(f"{module}.{name}")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_follow_the_arrows(module: Path) -> None:
    assert wrong_arrows(_package(module), ast.parse(module.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "module",
    [path for path in MODULES if path.relative_to(SOURCE).as_posix().startswith(PURE)],
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_the_pure_packages_are_told_the_time(module: Path) -> None:
    assert impure(ast.parse(module.read_text("utf-8"))) == []


def test_all_packages_are_in_the_table_or_see_everything() -> None:
    everything = {"launch", "main", "__main__", "__init__"}
    assert {_package(module) for module in MODULES} <= set(ARROWS) | everything


@pytest.mark.parametrize(
    "source",
    [
        "from penstock.store.sqlite import SqliteStore",
        "import penstock.wire",
        "def later():\n    from penstock import launch",
    ],
)
def test_a_wrong_arrow_is_seen(source: str) -> None:
    assert wrong_arrows("wire", ast.parse(source.replace("wire", "launch"))) != []


@pytest.mark.parametrize(
    "source",
    [
        "x = datetime.now(UTC)",
        "import time\nx = time.time()",
        "from time import time",
        "import random",
        "from random import choice",
        "import os\nx = os.environ['A']",
        "import secrets",
    ],
)
def test_an_impure_line_is_seen(source: str) -> None:
    assert impure(ast.parse(source)) != []
