"""Fifty thousand tasks over HTTP and a restart: counted, paged and filtered, none missing.

What this takes with a million of them is measured by the benchmark `million`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.e2e.harness import Penstock
from tests.e2e.signing import Wire

TASKS = 50_000
COLLECTION = 100
PAGE = 1000


def add(wire: Wire) -> None:
    wire.send("POST", "/jobs", {"id": "crowd", "poolInfo": {"poolId": "no-such-pool"}})
    for first in range(0, TASKS, COLLECTION):
        tasks = [
            {"id": f"t{n:05}", "commandLine": "/bin/true"} for n in range(first, first + COLLECTION)
        ]
        answer = wire.send("POST", "/jobs/crowd/addtaskcollection", {"value": tasks})
        assert [item["status"] for item in answer.json()["value"]] == ["success"] * COLLECTION


def active(wire: Wire) -> int:
    counts = wire.send("GET", "/jobs/crowd/taskcounts").json()["taskCounts"]
    assert counts["completed"] == counts["running"] == 0
    return int(counts["active"])


def pages(wire: Wire, **query: str) -> Iterator[list[dict[str, Any]]]:
    """Each page, by the link of the one before."""
    token: dict[str, str] = {}
    while True:
        said = wire.send("GET", "/jobs/crowd/tasks", query={**query, **token}).json()
        yield said["value"]
        if "odata.nextLink" not in said:
            return
        (skip,) = parse_qs(urlsplit(said["odata.nextLink"]).query)["$skiptoken"]
        token = {"$skiptoken": skip}


def first_page(wire: Wire, text: str) -> list[str]:
    return [task["id"] for task in next(pages(wire, **{"$filter": text}))]


def test_fifty_thousand_tasks_are_all_there_after_a_restart(tmp_path: Path) -> None:
    with Penstock(tmp_path / "data") as service:
        with Wire.to(service.ready) as wire:
            add(wire)
            assert active(wire) == TASKS
        with Wire.to(service.restart()) as wire:
            assert active(wire) == TASKS
            found = list(pages(wire, **{"$select": "id,state"}))
            assert [len(page) for page in found] == [PAGE] * (TASKS // PAGE)
            everything = [task for page in found for task in page]
            assert everything == [{"id": f"t{n:05}", "state": "active"} for n in range(TASKS)]
            assert len(first_page(wire, "state eq 'active'")) == PAGE
            assert first_page(wire, "state eq 'completed' or executionInfo/exitCode eq 0") == []
            assert first_page(wire, "state eq 'active' and id ge 't49998'") == ["t49998", "t49999"]
            last = [f"t4{n:04}" for n in range(9_999, 8_999, -1)]
            assert first_page(wire, "startswith(id, 't49')") == sorted(last)
            assert wire.send("DELETE", "/jobs/crowd/tasks/t25000").status_code == 200
            assert active(wire) == TASKS - 1
            assert len(list(pages(wire, maxresults="999"))[-1]) == (TASKS - 1) % 999
