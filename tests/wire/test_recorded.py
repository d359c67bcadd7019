"""Whole answers, compared with the files in ``recorded/``, which are reviewed like code.

Time and ids of the fake service are fixed, so answers are equal to the byte. To record anew,
remove the files that changed on purpose, run this test with PENSTOCK_RECORD=1, and read the diff.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.domain import refusals
from penstock.domain.refusals import Refusal
from penstock.wire.operations import OPERATIONS as TABLE
from penstock.wire.request import segments
from penstock.wire.routing import Operation, Router
from tests.wire.cases import ERRORS, OLD_ANSWERS, OPERATIONS, Case, prepared
from tests.wire.edge import VERSION, Edge

RECORDED = Path(__file__).parent / "recorded"
RECORDING = "PENSTOCK_RECORD" in os.environ


async def answer_to(case: Case, edge: Edge) -> httpx.Response:
    return await edge.send_json(
        case.method,
        case.target,
        case.body,
        headers=case.headers,
        signed=case.signed,
        version=case.version,
    )


async def exchange(case: Case) -> dict[str, Any]:
    """The request and its whole answer, as they are written to a file."""
    edge = await (prepared(emulator=True) if case.emulator else case.service())
    for method, target, sent in case.after:
        answer = await edge.send_json(method, target, sent, version=case.version or VERSION)
        assert answer.is_success, answer.text
    answer = await answer_to(case, edge)
    json_answer = answer.headers.get("content-type", "").startswith("application/json")
    body = case.body
    if isinstance(body, bytes):
        body = f"{len(body)} bytes"
    return {
        "request": {
            "method": case.method,
            "target": case.target,
            "version": case.version,
            "headers": case.headers,
            "body": body,
        },
        "answer": {
            "status": answer.status_code,
            "headers": dict(answer.headers),
            "body": answer.json() if json_answer and answer.content else answer.text,
        },
    }


def compare(name: str, found: dict[str, Any]) -> None:
    file = RECORDED / f"{name}.json"
    if RECORDING and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    text = file.read_text()
    assert found == json.loads(text)
    order = list(json.loads(text)["answer"]["body"] or ())
    assert list(found["answer"]["body"] or ()) == order, "properties are in order"


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation(name: str) -> None:
    compare(f"operations/{name}", asyncio.run(exchange(OPERATIONS[name])))


@pytest.mark.parametrize("name", OLD_ANSWERS)
def test_an_operation_under_an_old_version(name: str) -> None:
    compare(f"versions/{name}", asyncio.run(exchange(OLD_ANSWERS[name])))


@pytest.mark.parametrize("name", ERRORS)
def test_an_error(name: str) -> None:
    found = asyncio.run(exchange(ERRORS[name]))

    assert found["answer"]["status"] == getattr(refusals, name).status
    compare(f"errors/{name}", found)


def test_every_operation_is_recorded() -> None:
    router = Router(TABLE)
    found: set[Operation] = set()
    for case in OPERATIONS.values():
        if case.version is not None:
            path = case.target.partition("?")[0]
            found.add(router.find(case.method, segments(path), case.version)[0])

    missing = {operation.name for operation in TABLE} - {operation.name for operation in found}
    assert not missing


def every_refusal() -> list[type[Refusal]]:
    return [
        kind
        for kind in vars(refusals).values()
        if isinstance(kind, type) and issubclass(kind, Refusal) and hasattr(kind, "code")
    ]


@pytest.mark.parametrize("kind", every_refusal(), ids=lambda kind: kind.__name__)
def test_every_refusal_of_the_engine_is_rendered(
    kind: type[Refusal], monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = asyncio.run(prepared())

    async def refuse(*_: object, **__: object) -> None:
        raise kind(PropertyName="id", Reason=5)

    monkeypatch.setattr(edge.service, "delete_pool", refuse)
    answer = edge.ask("DELETE", "/pools/Pool")

    assert answer.status_code == kind.status
    if kind.status == 304:
        assert answer.content == b""
        return
    body = answer.json()
    assert list(body) == ["odata.metadata", "code", "message", "values"]
    assert body["code"] == kind.code
    assert body["message"]["lang"] == "en-US"
    first, request, time = body["message"]["value"].split("\n")
    assert first == kind.message
    assert request == f"RequestId:{answer.headers['request-id']}"
    assert time.startswith("Time:2024-01-01T12:00:")
    assert body["values"] == [
        {"key": "PropertyName", "value": "id"},
        {"key": "Reason", "value": "5"},
    ]
