"""Whatever a client sends, it gets an answer that is not our fault, and nothing is half done."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.cases import COLLECTION, JOB, POOL, RICH, TASK, prepared
from tests.wire.edge import Edge

names = st.sampled_from(
    ["id", "commandLine", "name", "value", "metadata", "constraints", "filePath", "userIdentity"]
)
numbers = st.one_of(
    st.integers(), st.integers(min_value=2**60), st.floats(allow_nan=False, allow_infinity=False)
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.text(max_size=20),
    st.sampled_from(["PT5M", "-1", "x" * 70]),
)
documents = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(names | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)

BODIES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/pools", POOL),
    ("POST", "/pools", RICH),
    ("PATCH", "/pools/Pool", {name: part for name, part in RICH.items() if name != "id"}),
    ("POST", "/pools/Pool/enableautoscale", {"autoScaleEvaluationInterval": "PT5M"}),
    ("POST", "/pools/Pool/evaluateautoscale", {"autoScaleFormula": "$a = 1;"}),
    ("PATCH", "/pools/Pool", {name: POOL[name] for name in ("startTask", "metadata", "vmSize")}),
    (
        "POST",
        "/pools/Pool/updateproperties",
        {"metadata": [], "applicationPackageReferences": [], "startTask": POOL["startTask"]},
    ),
    ("POST", "/pools/Pool/resize", {"targetDedicatedNodes": 1, "resizeTimeout": "PT5M"}),
    ("POST", "/pools/Pool/removenodes", {"nodeList": ["n"], "nodeDeallocationOption": "requeue"}),
    ("POST", "/jobs", JOB),
    ("PATCH", "/jobs/Job", {"priority": 1, "constraints": {"maxTaskRetryCount": 1}}),
    ("PUT", "/jobs/Job", {"poolInfo": {"poolId": "Pool"}, "metadata": []}),
    ("POST", "/jobs/Job/disable", {"disableTasks": "wait"}),
    ("POST", "/jobs/Job/terminate", {"terminateReason": "x"}),
    ("POST", "/jobs/Job/tasks", TASK),
    ("PUT", "/jobs/Job/tasks/Task", {"constraints": TASK["constraints"]}),
    ("POST", "/jobs/Job/addtaskcollection", COLLECTION),
]


def places(part: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    if isinstance(part, dict):
        found: list[tuple[Any, Any]] = [(part, key) for key in part]
    elif isinstance(part, list):
        found = [(part, index) for index in range(len(part))]
    else:
        return []
    return found + [place for container, key in found for place in places(container[key])]


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, str, Any]:
    """A good request with some of its parts exchanged for anything."""
    method, target, good = draw(st.sampled_from(BODIES))
    body = copy.deepcopy(good)
    if draw(st.booleans()):
        body["id"] = "Fresh"
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(places(body)))
        container[key] = draw(documents)
    return method, target, body


async def all_is_readable(edge: Edge) -> None:
    """What was accepted can be shown."""
    for target in ("/pools", "/jobs", "/jobs/Job/tasks", "/pools/Pool/nodes"):
        answer = await edge.send("GET", target)
        assert answer.status_code == 200, answer.text


def explains_itself(answer: Any) -> bool:
    """A refusal has a code and says something."""
    body = answer.json()
    return bool(body["code"]) and "RequestId:" in body["message"]["value"]


@settings(max_examples=400, deadline=None)
@given(spoiled())
def test_no_body_is_our_fault(request: tuple[str, str, Any]) -> None:
    method, target, body = request

    async def use() -> None:
        edge = await prepared()
        answer = await edge.send_json(method, target, body)
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert explains_itself(answer)
        await all_is_readable(edge)

    asyncio.run(use())


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(BODIES),
    st.binary(max_size=60) | documents.map(lambda d: json.dumps(d).encode()),
)
def test_no_bytes_are_our_fault(place: tuple[str, str, Any], body: bytes) -> None:
    async def use() -> None:
        edge = await prepared()
        answer = await edge.send(place[0], place[1], body)
        assert answer.status_code < 500, answer.text

    asyncio.run(use())


paths = st.lists(
    st.sampled_from(
        ["pools", "jobs", "tasks", "files", "nodes", "Pool", "Job", "Task", "node-0-d", "wd", "",
         "..", "%2e%2e", "%00", "%ff", "%", "*", "**", "certificates(a=b)", "devbatchaccount1"]
    ) | st.text(st.characters(codec="ascii", exclude_characters="?# \r\n"), max_size=8),
    max_size=8,
).map(lambda parts: "/" + "/".join(parts))  # fmt: skip
queries = st.lists(
    st.tuples(
        st.sampled_from(["$filter", "$select", "$expand", "maxresults", "$skiptoken", "recursive"]),
        st.text(st.characters(codec="ascii", exclude_characters="&#\r\n"), max_size=20)
        | st.sampled_from(["id eq 'a'", "state ne 'active'", "1", "true", "bm9kZQ"]),
    ),
    max_size=3,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["GET", "HEAD", "DELETE", "POST", "PUT", "PATCH", "FETCH"]), paths, queries)
def test_no_url_is_our_fault(method: str, path: str, query: str) -> None:
    async def use() -> None:
        edge = await prepared()
        answer = await edge.send(method, f"{path}?{query}" if query else path)
        assert answer.status_code < 500, answer.text
        assert method != "HEAD" or not answer.content

    asyncio.run(use())


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["id", "state", "creationTime", "executionInfo/exitCode", "eq", "gt", "and", "or",
             "(", ")", "'a'", "5", "true", "null", "startswith", ",", "DateTime'2024-01-01'", "all",
             "not", "any", "DateTime", "''", "in", "/", "duration'P1D'"]
        ),
        max_size=9,
    )
)  # fmt: skip
def test_no_filter_is_our_fault(tokens: list[str]) -> None:
    async def use() -> None:
        edge = await prepared()
        answer = await edge.send("GET", "/jobs/Job/tasks?$filter=" + "%20".join(tokens))
        assert answer.status_code in (200, 400), answer.text

    asyncio.run(use())
