"""The tables of what works are those of the code and of the clients, and leave nothing open."""

from __future__ import annotations

import re

import pytest

from penstock.wire.versions.releases import VERSIONS
from tests.docs.compatibility import LEGEND, RESULTS_KNOWN, TABLES, protocol, results, short
from tests.docs.tables import between

DOCUMENT = "docs/compatibility.md"


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_those_of_the_code(name: str) -> None:
    assert between(DOCUMENT, name) == TABLES[name]()


def test_versions_have_names_of_their_own() -> None:
    assert len({short(version) for version in VERSIONS}) == len(VERSIONS)


@pytest.mark.parametrize("name", ["operations by version", "operations by client"])
def test_every_cell_is_marked_and_every_mark_explained(name: str) -> None:
    lines = between(DOCUMENT, name).splitlines()
    explained = {line.split(" ")[1] for line in lines if line.startswith("- ")}
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| ")][2:]
    if not rows:
        assert not results()
        return
    assert [row[0].strip() for row in rows] == [operation.name for operation in protocol()]
    marks = {cell.strip() for row in rows for cell in row[1:]}
    assert marks <= explained
    assert all(mark in LEGEND or re.fullmatch(r"\(\d+\)", mark) for mark in marks)


def test_results_of_clients_say_why() -> None:
    names = {operation.name for operation in protocol()}
    for client in results():
        assert client["apiVersion"] in VERSIONS, client["client"]
        for name, did in client["operations"].items():
            assert name in names, (client["client"], name)
            assert did["result"] in RESULTS_KNOWN, (client["client"], name)
            if did["result"] in ("refused", "client fails"):
                assert did.get("note"), (client["client"], name)
