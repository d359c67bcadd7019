"""Requests of every kind, right and broken, against a server of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.harness import Penstock
from tests.fuzz.campaign import run
from tests.fuzz.framing import plain
from tests.fuzz.judge import Wrong, judge
from tests.fuzz.requests import ASKED, Asked
from tests.fuzz.talk import Answer

REQUESTS = 20_000
SEED = 20_260_101
LARGEST_GROWTH = 0.25


def test_nothing_breaks_hangs_or_changes_by_what_is_refused(tmp_path: Path) -> None:
    with Penstock(tmp_path / "data") as service:
        result = asyncio.run(run(service.ready, REQUESTS, SEED))

    assert {each.name for each in ASKED} <= set(result.operations), "some were never asked for"
    assert result.compared > REQUESTS / 100
    assert result.statuses[400] > result.requests / 5
    assert sum(result.statuses[good] for good in (200, 201, 202, 204)) > result.requests / 50
    assert result.growth() < LARGEST_GROWTH, [f"{size / 2**20:.0f} MiB" for size in result.memory]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, {"content-type": "application/json"}, b"{}"),
        Answer(503, {"content-type": "text/plain"}, b"busy"),
        Answer(400, {"content-type": "text/plain"}, b"Bad Request"),
        Answer(404, {"content-type": "application/json"}, b'{"code": "X"}'),
        Answer(404, {"content-type": "application/json"}, b""),
        Answer(204, {}, b"more"),
        Answer(-1, {}, b"noise"),
    ],
)
def test_what_must_not_be_is_seen(answer: Answer) -> None:
    asked = Asked("List pools", "GET", "/pools", {}, b"")
    with pytest.raises(Wrong):
        judge(plain(asked), [answer])


def test_a_missing_answer_is_seen() -> None:
    with pytest.raises(Wrong, match="0 answers"):
        judge(plain(Asked("List pools", "GET", "/pools", {}, b"")), [])
