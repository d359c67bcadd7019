"""The documentation says what the code does."""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from penstock.cli.exits import Exit as Answered
from penstock.config import Config
from penstock.domain.development import DEVELOPMENT_KEY, DEVELOPMENT_NAME
from penstock.launch.exits import Exit
from penstock.scheduler.reasons import Code
from tests.docs.diagrams import MACHINES, Machine, states
from tests.docs.tables import ROOT, between, invariants, refused_parts, supported

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
KINDS = {"added", "changed", "fixed", "removed"}


def rows(document: str, name: str) -> dict[str, list[str]]:
    """A table of a document, by its first column."""
    lines = between(document, name).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first.strip("`"): rest for first, *rest in cells}


def test_each_setting_is_documented_with_its_default() -> None:
    said = {name: cells[0] for name, cells in rows("docs/configuration.md", "settings").items()}
    assert said == {field.name: f"`{_shown(field.default)}`" for field in fields(Config)}


def _shown(default: object) -> str:
    assert default is not MISSING
    if isinstance(default, str):
        return f'"{default}"'
    return "[]" if default == () else str(default)


def test_each_exit_code_is_documented() -> None:
    said = rows("docs/configuration.md", "exit codes")
    assert {int(code) for code in said} == {int(code) for code in (*Exit, *Answered)}


def test_each_event_is_documented() -> None:
    source = (ROOT / "src/penstock/engine/events.py").read_text("utf-8")
    said = {name.partition(" ")[0].strip("`") for name in rows("docs/events.md", "events")}
    assert said == set(re.findall(r'"(\w+Event)"', source))


def test_each_cause_that_keeps_a_task_is_documented() -> None:
    said = rows("docs/explain.md", "causes")
    assert list(said) == [code.value for code in Code]
    assert all(means and changes for means, changes in said.values())


def test_the_development_account_is_published() -> None:
    text = (ROOT / "docs/configuration.md").read_text("utf-8")
    assert DEVELOPMENT_NAME in text
    assert DEVELOPMENT_KEY in text


def test_the_list_of_operations_is_that_of_the_code() -> None:
    assert between("README.md", "operations") == supported()


def test_the_list_of_refused_parts_is_that_of_the_code() -> None:
    assert between("docs/limits.md", "refused parts") == refused_parts()


def test_the_list_of_invariants_is_that_of_the_simulation() -> None:
    assert between("tests/sim/README.md", "invariants") == invariants()


def test_the_diagrams_are_those_of_the_tables() -> None:
    assert between("docs/states.md", "states") == states()


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_state_has_a_row_and_can_be_reached(machine: Machine) -> None:
    assert set(machine.table) == set(type(machine.first))
    reached, new = {machine.first}, [machine.first]
    while new:
        following = set(machine.table[new.pop()].values()) - reached
        reached |= following
        new += following
    assert reached == set(machine.table)


def test_the_readme_quotes_the_quickstart() -> None:
    source = (ROOT / "examples/quickstart.py").read_text("utf-8")
    quoted = source.partition("# [start: readme]\n")[2].partition("# [end: readme]")[0]
    assert quoted.strip()
    assert between("README.md", "example") == f"```python\n{quoted.rstrip()}\n```"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text("utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (document.parent / link).exists()] == []


def test_each_decision_is_numbered_and_has_the_same_parts() -> None:
    decisions = sorted((ROOT / "docs/adr").glob("*.md"))
    numbers = [int(decision.name[:4]) for decision in decisions]
    assert numbers == list(range(1, len(decisions) + 1))
    for decision in decisions:
        headings = re.findall(r"^## (.+)$", decision.read_text("utf-8"), re.MULTILINE)
        assert headings == ["Context", "Choice", "Cost"], decision.name


def test_each_change_is_one_paragraph_of_a_known_kind() -> None:
    fragments = [path for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    assert fragments
    for fragment in fragments:
        assert re.fullmatch(rf"[a-z0-9-]+\.({'|'.join(sorted(KINDS))})\.md", fragment.name)
        text = fragment.read_text("utf-8")
        assert re.fullmatch(r"[A-Z`].*\.\n", text, re.DOTALL), fragment.name
        assert "\n\n" not in text, fragment.name


def test_each_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {re.split(r"[^A-Za-z0-9-]", it)[0] for group in groups for it in group}
    said = {*rows("docs/dependencies.md", "dependencies"), *rows("docs/dependencies.md", "tools")}
    assert said == wanted
