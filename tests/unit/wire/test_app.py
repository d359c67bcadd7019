"""The application: what is checked first, headers, pages, conditions, files, bugs of ours."""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from penstock.domain.records import PoolRecord
from penstock.messages import FileInfo, FilesPage
from penstock.wire.app import make_app
from penstock.wire.versions.releases import VERSIONS
from tests.wire.edge import ACCOUNT, Edge, call
from tests.wire.fakes import FakeFile

MACHINE = {
    "imageReference": {"publisher": "canonical", "offer": "ubuntu", "sku": "22_04"},
    "nodeAgentSKUId": "batch.node.ubuntu 22.04",
}
POOL = {
    "id": "Pool",
    "vmSize": "standard_d2s_v3",
    "virtualMachineConfiguration": MACHINE,
    "targetDedicatedNodes": 1,
}
JOB = {"id": "Job", "poolInfo": {"poolId": "Pool"}}
TASK = {"id": "Task", "commandLine": "/bin/true"}
ROOT = "workitems/Job/job-1/Task"
FILES = "/jobs/Job/tasks/Task/files"


@pytest.fixture
def edge() -> Edge:
    return Edge()


@pytest.fixture
def ran(edge: Edge) -> Edge:
    """With a pool, a job, and a task that has run and left files."""
    assert edge.ask("POST", "/pools", POOL).status_code == 201
    assert edge.ask("POST", "/jobs", JOB).status_code == 201
    assert edge.ask("POST", "/jobs/Job/tasks", TASK).status_code == 201
    asyncio.run(edge.service.run(ACCOUNT, "Job", "Task"))
    edge.service.files = {f"{ROOT}/stdout.txt": b"printed\n", f"{ROOT}/wd/digits": b"0123456789"}
    edge.service.directories = {f"{ROOT}/wd"}
    return edge


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def values(answer: httpx.Response) -> dict[str, str]:
    return {item["key"]: item["value"] for item in answer.json()["values"]}


# --- order of checks ---------------------------------------------------------------------------


def test_nobody_learns_anything_without_a_signature(edge: Edge) -> None:
    for target in ("/pools", "/nonsense", "/pools/p"):
        answer = edge.ask("GET", target, signed=False, version=None)
        assert told(answer) == (400, "MissingRequiredHeader")


def test_the_version_is_checked_before_the_path(edge: Edge) -> None:
    assert told(edge.ask("GET", "/fish", version=None)) == (400, "MissingRequiredQueryParameter")
    assert told(edge.ask("GET", "/fish", version="2024-01-01")) == (
        400,
        "UnsupportedRequestVersion",
    )
    assert told(edge.ask("GET", "/fish")) == (404, "ResourceNotFound")


def test_the_body_is_checked_before_the_state(edge: Edge) -> None:
    assert told(edge.ask("PATCH", "/pools/none", b"{")) == (400, "InvalidRequestBody")
    assert told(edge.ask("PATCH", "/pools/none", {})) == (404, "PoolNotFound")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_spoken(edge: Edge, version: str) -> None:
    assert edge.ask("GET", "/pools", version=version).status_code == 200


def test_a_url_that_is_too_long(edge: Edge) -> None:
    assert told(edge.ask("GET", f"/pools/{'x' * 20_000}")) == (400, "InvalidUri")


# --- paths -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/pools/Pool",
        "//pools/Pool/",
        "/POOLS/pOOL",
        "/pools/%50ool",
        f"/{ACCOUNT}/pools/Pool",
        f"/{ACCOUNT}//pools/Pool",
    ],
)
def test_ways_to_write_a_path(ran: Edge, target: str) -> None:
    answer = ran.ask("GET", target)

    assert (answer.status_code, answer.json().get("id")) == (200, "Pool")


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "",
        "/pools/",
        "/fish",
        "/pools/p/fish",
        "/pools//nodes",
        "/another/pools",
        "/*",
        "/pools/p/*",
    ],
)
def test_paths_that_mean_nothing_or_a_list(edge: Edge, target: str) -> None:
    answer = edge.ask("GET", target)

    if target == "/pools/":
        assert answer.status_code == 200
    else:
        assert told(answer) == (404, "ResourceNotFound")


def test_a_path_that_is_not_utf_8(edge: Edge) -> None:
    assert told(edge.ask("GET", "/pools/%ff")) == (400, "InvalidUri")


def test_a_verb_that_the_path_does_not_know(edge: Edge) -> None:
    answer = edge.ask("PUT", "/pools", {})

    assert told(answer) == (405, "UnsupportedHttpVerb")
    assert values(answer)["SupportedHttpVerbs"] == "GET, POST"


# --- headers -----------------------------------------------------------------------------------


def test_headers_of_every_answer(edge: Edge) -> None:
    good = edge.ask("GET", "/pools")
    bad = edge.ask("GET", "/pools/none")

    for answer in (good, bad):
        assert answer.headers["request-id"].startswith("00000000-")
        assert answer.headers["dataserviceversion"] == "3.0"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"] == "application/json;odata=minimalmetadata"
        assert "client-request-id" not in answer.headers
        assert "strict-transport-security" not in answer.headers
    assert good.headers["request-id"] != bad.headers["request-id"]
    assert f"RequestId:{bad.headers['request-id']}\nTime:2024" in bad.json()["message"]["value"]


def test_browsers_are_told_to_stay_with_https(edge: Edge) -> None:
    for host, told_so in (("batch.test:10643", True), ("localhost:10643", False)):
        for path in ("/pools", "/nothing"):
            answer = edge.ask("GET", path, headers={"host": host}, scheme="https")
            assert ("strict-transport-security" in answer.headers) is told_so


def test_the_client_request_id_comes_back_when_asked_for(edge: Edge) -> None:
    asked = {"client-request-id": "abc", "return-client-request-id": "True"}

    assert edge.ask("GET", "/pools/none", headers=asked).headers["client-request-id"] == "abc"


def test_urls_have_the_host_that_the_client_used(ran: Edge) -> None:
    for host, origin in (
        ("127.0.0.1:10600", "http://127.0.0.1:10600"),
        ("acct.batch.local", "http://acct.batch.local"),
        ('evil"<>\\host', "http://localhost"),
    ):
        pool = ran.ask("GET", "/pools/Pool", headers={"host": host}).json()
        assert pool["url"] == f"{origin}/pools/Pool"


def test_mutations_have_no_body(ran: Edge) -> None:
    created = ran.ask("POST", "/pools", {**POOL, "id": "Other"})
    changed = ran.ask("PATCH", "/pools/Other", {"metadata": []})
    resized = ran.ask("POST", "/pools/Other/resize", {"targetDedicatedNodes": 2})
    deleted = ran.ask("DELETE", "/pools/Other")

    assert created.headers["location"] == "http://batch.test:10600/pools/Other"
    assert created.headers["dataserviceid"] == created.headers["location"]
    assert resized.headers["dataserviceid"] == "http://batch.test:10600/pools/Other/resize"
    for answer in (created, changed, resized):
        assert answer.headers["etag"].startswith("0x8D")
        assert answer.headers["last-modified"].endswith("GMT")
    assert "etag" not in deleted.headers
    assert {answer.content for answer in (created, changed, resized, deleted)} == {b""}


# --- bodies ------------------------------------------------------------------------------------


def test_a_body_that_is_too_large_is_not_read(edge: Edge) -> None:
    answer = edge.ask("POST", "/pools", b" " * (1024 * 1024 + 1))

    assert told(answer) == (413, "RequestBodyTooLarge")
    assert values(answer) == {"MaxLimit": "1048576"}


def test_a_body_of_unknown_length_has_the_same_limit(edge: Edge) -> None:
    async def use() -> list[Any]:
        sent: list[Any] = []
        scope = await signed_scope(edge, "POST", "/pools")
        parts = iter([{"type": "http.request", "body": b" " * 700_000, "more_body": True}] * 2)

        async def receive() -> Any:
            return next(parts)

        async def send(message: Any) -> None:
            sent.append(message)

        await edge.app(scope, receive, send)
        return sent

    assert asyncio.run(use())[0]["status"] == 413


def test_a_client_that_hangs_up_in_its_body_gets_no_answer(edge: Edge) -> None:
    async def use() -> list[Any]:
        sent: list[Any] = []
        scope = await signed_scope(edge, "POST", "/pools")

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await edge.app(scope, receive, send)
        return sent

    assert asyncio.run(use()) == []


async def signed_scope(edge: Edge, method: str, target: str) -> dict[str, Any]:
    """The scope of a signed request without a body."""
    found: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.update(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    real, edge.app = edge.app, app  # type: ignore[assignment]
    await edge.send(method, target)
    edge.app = real
    found["headers"] = [pair for pair in found["headers"] if pair[0] != b"content-length"]
    return found


def test_content_types(edge: Edge) -> None:
    for kind in ("application/json", "application/json;charset=utf-8", "text/plain"):
        answer = edge.ask("POST", "/jobs", b"{", headers={"content-type": kind})
        assert told(answer) == (400, "InvalidRequestBody")
    answer = edge.ask("POST", "/jobs", b"<x/>", headers={"content-type": "text/xml"})
    assert told(answer) == (400, "InvalidHeaderValue")


# --- lists -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "code"),
    [
        ("0", "OutOfRangeQueryParameterValue"),
        ("1001", "OutOfRangeQueryParameterValue"),
        ("-5", "InvalidQueryParameterValue"),
        ("many", "InvalidQueryParameterValue"),
        ("9" * 5000, "OutOfRangeQueryParameterValue"),
    ],
)
@pytest.mark.parametrize("target", ["/pools", "/jobs", "/nodecounts", "/supportedimages"])
def test_page_sizes_that_are_refused(edge: Edge, target: str, size: str, code: str) -> None:
    answer = edge.ask("GET", f"{target}?maxresults={size}")

    assert told(answer) == (400, code)
    assert values(answer)["QueryParameterName"] == "maxresults"


def follow(edge: Edge, target: str) -> list[list[Any]]:
    """All pages of a list."""
    pages = []
    while target:
        answer = edge.ask("GET", target, version=None if "api-version" in target else VERSIONS[-1])
        assert answer.status_code == 200, answer.text
        pages.append(answer.json()["value"])
        target = answer.json().get("odata.nextLink", "").removeprefix("http://batch.test:10600")
    return pages


def test_pages_of_every_list(ran: Edge) -> None:
    for number in range(4):
        ran.ask("POST", "/pools", {**POOL, "id": f"p{number}"})
        ran.ask("POST", "/jobs", {**JOB, "id": f"j{number}"})
        ran.ask("POST", "/jobs/Job/tasks", {**TASK, "id": f"t{number}"})
        ran.service.files[f"{ROOT}/f{number}"] = b""
    ran.ask("POST", "/pools", {**POOL, "id": "large", "targetDedicatedNodes": 5})
    for target in (
        "/pools",
        "/jobs",
        "/jobs/Job/tasks",
        "/nodecounts",
        "/pools/large/nodes",
        FILES,
        "/supportedimages",
    ):
        whole = follow(ran, f"{target}?maxresults=1000")
        parts = follow(ran, f"{target}?maxresults=2")
        assert len(whole) == 1
        assert [item for part in parts for item in part] == whole[0], target
        assert {len(part) for part in parts[:-1]} == {2}, target


def test_a_page_that_is_just_full_has_no_next(ran: Edge) -> None:
    assert "odata.nextLink" not in ran.ask("GET", "/pools?maxresults=1").json()


def test_the_next_link_keeps_the_query(ran: Edge) -> None:
    for number in range(3):
        ran.ask("POST", "/jobs/Job/tasks", {**TASK, "id": f"t{number}"})
    target = "/jobs/Job/tasks?%24select=id&$filter=startswith(id,%27t%27)&maxresults=1"

    first = ran.ask("GET", target).json()["odata.nextLink"]
    second = ran.ask("GET", first.removeprefix("http://batch.test:10600"), version=None).json()

    assert second["value"] == [{"id": "t1"}]
    assert second["odata.nextLink"].count("skiptoken") == 1
    assert "%24select=id&$filter=startswith(id,%27t%27)&maxresults=1" in second["odata.nextLink"]


@pytest.mark.parametrize("token", ["!!!", "a", "%00", "/w=="])
def test_a_token_that_is_not_ours(edge: Edge, token: str) -> None:
    answer = edge.ask("GET", f"/pools?$skiptoken={token}")

    assert told(answer) == (400, "InvalidQueryParameterValue")


def test_select_and_expand(ran: Edge) -> None:
    pool = ran.ask("GET", "/pools/Pool?$select=id,%20state,nothing&$expand=stats").json()

    assert list(pool) == ["odata.metadata", "id", "state"]
    assert ran.ask("GET", "/jobs?$select=priority").json()["value"] == [{"priority": 0}]
    assert told(ran.ask("GET", "/jobs?$expand=everything")) == (400, "InvalidQueryParameterValue")


def test_node_counts(ran: Edge) -> None:
    ran.ask("POST", "/pools", {**POOL, "id": "two", "targetLowPriorityNodes": 2})

    (one,) = ran.ask("GET", "/nodecounts?$filter=poolId%20eq%20'TWO'").json()["value"]

    assert one["dedicated"]["idle"] == one["dedicated"]["total"] == 1
    assert one["lowPriority"]["total"] == 2
    assert len(one["dedicated"]) == 17


def test_images_by_agent(edge: Edge) -> None:
    wanted = "nodeAgentSKUId%20eq%20'batch.node.debian%2012'%20and%20osType%20eq%20'Linux'"

    (image,) = edge.ask("GET", f"/supportedimages?$filter={wanted}").json()["value"]

    assert image["imageReference"]["offer"] == "debian-12"
    assert edge.ask("GET", "/supportedimages?$filter=osType%20ne%20'linux'").json()["value"] == []


# --- conditions --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{}", '"{}"', 'W/"{}"', '"0x0", "{}"'])
def test_conditions_by_tag(ran: Edge, form: str) -> None:
    tag = ran.ask("GET", "/jobs/Job").headers["etag"]
    same = form.format(tag)

    assert ran.ask("GET", "/jobs/Job", headers={"if-match": same}).status_code == 200
    assert ran.ask("GET", "/jobs/Job", headers={"if-none-match": same}).status_code == 304
    bad = ran.ask("PATCH", "/jobs/Job", {"priority": 1}, headers={"if-none-match": same})
    assert told(bad) == (412, "ConditionNotMet")
    good = ran.ask("PATCH", "/jobs/Job", {"priority": 1}, headers={"if-match": same})
    assert good.status_code == 200
    bad = ran.ask("PATCH", "/jobs/Job", {"priority": 1}, headers={"if-match": same})
    assert told(bad) == (412, "ConditionNotMet")


def test_a_304_and_a_head_have_no_body(ran: Edge) -> None:
    for method, target, headers, status in (
        ("GET", "/pools/Pool", {"if-none-match": "*"}, 304),
        ("HEAD", "/pools/Pool", {"if-none-match": "*"}, 304),
        ("HEAD", "/pools/Pool", {"if-match": "0x0"}, 412),
        ("HEAD", "/pools/none", {}, 404),
        ("HEAD", "/pools/Pool", {}, 200),
    ):
        answer = ran.ask(method, target, headers=headers)
        assert (answer.status_code, answer.content) == (status, b"")
        assert answer.headers["request-id"]


def test_conditions_by_time(ran: Edge) -> None:
    at = ran.ask("GET", "/jobs/Job").headers["last-modified"]
    past, future = "Mon, 01 Jan 2018 00:00:00 GMT", "Tue, 01 Jan 2030 00:00:00 GMT"

    assert ran.ask("GET", "/jobs/Job", headers={"if-modified-since": at}).status_code == 304
    assert ran.ask("GET", "/jobs/Job", headers={"if-modified-since": past}).status_code == 200
    assert ran.ask("GET", "/jobs/Job", headers={"if-unmodified-since": future}).status_code == 200
    assert ran.ask("GET", "/jobs/Job", headers={"if-unmodified-since": past}).status_code == 412


def test_a_tag_decides_where_a_time_is_given_too(ran: Edge) -> None:
    tag = ran.ask("GET", "/jobs/Job").headers["etag"]
    past, future = "Mon, 01 Jan 2018 00:00:00 GMT", "Tue, 01 Jan 2030 00:00:00 GMT"

    for headers, status in (
        ({"if-match": tag, "if-unmodified-since": past}, 200),
        ({"if-match": "0x1", "if-unmodified-since": future}, 412),
        ({"if-none-match": "0x1", "if-modified-since": future}, 200),
        ({"if-none-match": tag, "if-modified-since": past}, 304),
    ):
        assert ran.ask("GET", "/jobs/Job", headers=headers).status_code == status


def test_conditions_that_do_not_go_together(ran: Edge) -> None:
    past = "Mon, 01 Jan 2018 00:00:00 GMT"

    for headers in (
        {"if-match": "a", "if-none-match": "b"},
        {"if-modified-since": past, "if-unmodified-since": past},
    ):
        answer = ran.ask("GET", "/jobs/Job", headers=headers)
        assert told(answer) == (400, "MultipleConditionHeadersNotSupported")
    answer = ran.ask("GET", "/jobs/Job", headers={"if-modified-since": "once"})
    assert told(answer) == (400, "InvalidHeaderValue")


# --- options that reach the service ------------------------------------------------------------


def test_force_reason_and_how(ran: Edge) -> None:
    ran.service.heard.clear()
    ran.ask("POST", "/jobs/Job/disable", {"disableTasks": "WAIT"})
    ran.ask("POST", "/jobs/Job/terminate?Force=TRUE", {"terminateReason": "enough"})
    ran.ask("DELETE", "/jobs/Job?force=false")

    assert ran.service.heard == [
        ("disable_job", "wait"),
        ("terminate_job", "enough", True),
        ("delete_job", False),
    ]
    assert told(ran.ask("DELETE", "/jobs/x?force=maybe")) == (400, "InvalidQueryParameterValue")


def test_slots_in_a_patch_go_by_the_cores_of_the_pool(ran: Edge) -> None:
    assert ran.ask("PATCH", "/pools/Pool", {"taskSlotsPerNode": 8}).status_code == 200
    answer = ran.ask("PATCH", "/pools/Pool", {"taskSlotsPerNode": 9})
    assert told(answer) == (400, "InvalidPropertyValue")


# --- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["wd%2Fdigits", "wd/digits", "wd%2fdigits"])
def test_a_file(ran: Edge, path: str) -> None:
    answer = ran.ask("GET", f"{FILES}/{path}")

    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == "10"
    assert answer.headers["ocp-batch-file-isdirectory"] == "False"
    assert answer.headers["ocp-batch-file-mode"] == "0o100644"
    assert answer.headers["ocp-batch-file-url"].endswith("%2Ftasks%2FTask%2Ffiles%2Fwd%2Fdigits")
    assert all(file.closed for file in ran.service.given)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-3", b"0123"),
        ("Bytes = 7-", b"789"),
        ("bytes=8-100", b"89"),
        ("bytes=-3", b"789"),
        ("bytes=-30", b"0123456789"),
    ],
)
@pytest.mark.parametrize("header", ["ocp-range", "range"])
def test_a_part_of_a_file(ran: Edge, header: str, asked: str, expected: bytes) -> None:
    answer = ran.ask("GET", f"{FILES}/wd%2Fdigits", headers={header: asked})

    assert (answer.status_code, answer.content) == (200, expected)


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=3-2", "bytes=-", "lines=1-2", "bytes=-0"])
def test_a_range_that_is_none(ran: Edge, asked: str) -> None:
    answer = ran.ask("GET", f"{FILES}/wd%2Fdigits", headers={"ocp-range": asked})

    assert told(answer) == (416, "InvalidRange")


@pytest.mark.parametrize(
    "path",
    [
        "none",
        "wd",
        "..",
        "wd%2F..%2F..%2Fsecret",
        "%2e%2e/secret",
        "%2Fetc%2Fpasswd",
        "/etc/passwd",
        "wd//digits",
        "wd%5Cdigits",
        "wd/%00",
        ".",
        "./stdout.txt",
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_paths_that_lead_nowhere_or_out(ran: Edge, method: str, path: str) -> None:
    ran.service.heard.clear()
    answer = ran.ask(method, f"{FILES}/{path}")

    if (method, path) == ("DELETE", "wd"):
        assert told(answer) == (409, "OperationInvalidForCurrentState")
    else:
        assert told(answer) == (404, "FileNotFound")
    asked = [each[3] for each in ran.service.heard]
    assert set(asked) <= {"none", "wd"}, "no trick ever reaches a node"


def test_properties_of_a_file_and_of_a_directory(ran: Edge) -> None:
    file = ran.ask("HEAD", f"{FILES}/wd/digits")
    directory = ran.ask("HEAD", f"{FILES}/wd")

    assert (file.headers["content-length"], file.content) == ("10", b"")
    assert directory.headers["ocp-batch-file-isdirectory"] == "True"


def test_listing(ran: Edge) -> None:
    ran.service.files[f"{ROOT}/Std.bin"] = b""
    flat = ran.ask("GET", FILES).json()["value"]
    some = ran.ask("GET", f"{FILES}?recursive=True&$filter=startswith(name,'wd')").json()["value"]

    assert [file["name"] for file in flat] == ["Std.bin", "stdout.txt", "wd"]
    assert flat[2] == {
        "name": "wd",
        "url": f"http://batch.test:10600{FILES}/wd",
        "isDirectory": True,
    }
    assert flat[1]["properties"]["contentLength"] == "8"
    assert [file["name"] for file in some] == ["wd", "wd/digits"]


def test_deleting(ran: Edge) -> None:
    assert ran.ask("DELETE", f"{FILES}/wd?recursive=true").status_code == 200
    assert ran.ask("DELETE", f"{FILES}/stdout.txt").status_code == 200
    assert told(ran.ask("GET", f"{FILES}/stdout.txt")) == (404, "FileNotFound")


def test_files_by_time(ran: Edge) -> None:
    late, early = "Tue, 01 Jan 2030 00:00:00 GMT", "Mon, 01 Jan 2018 00:00:00 GMT"
    target = f"{FILES}/stdout.txt"

    assert ran.ask("GET", target, headers={"if-modified-since": late}).status_code == 304
    assert ran.ask("GET", target, headers={"if-unmodified-since": early}).status_code == 412
    assert ran.ask("GET", target, headers={"if-modified-since": early}).status_code == 200


def test_a_node_that_does_not_answer(ran: Edge) -> None:
    ran.service.node_away = True

    assert told(ran.ask("GET", f"{FILES}/stdout.txt")) == (409, "TaskFilesUnavailable")
    answer = ran.ask("GET", "/pools/Pool/nodes/node-0-d/files")
    assert told(answer) == (409, "NodeStateUnusable")


def test_files_that_are_not_there(ran: Edge) -> None:
    ran.ask("POST", "/jobs/Job/tasks", {**TASK, "id": "waiting"})
    waiting = ran.ask("GET", "/jobs/Job/tasks/waiting/files")
    assert told(waiting) == (409, "TaskFilesUnavailable")

    async def lose(**changed: Any) -> None:
        (job,) = ran.service.memory.jobs.values()
        found = await ran.service.store.task(job.no, "Task")
        assert found is not None
        await ran.service.put_task(*found, **changed)

    asyncio.run(lose(node_no=99))
    assert told(ran.ask("GET", FILES)) == (409, "TaskFilesUnavailable")
    asyncio.run(lose(files_gone=True))
    assert told(ran.ask("GET", FILES)) == (409, "TaskFilesCleanedup")


def test_a_listing_without_bound_is_not_read_to_its_end(
    ran: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = FakeFile("ok", None, [b" " * (1 << 20)] * 1000)
    monkeypatch.setattr(ran.service, "_look", lambda *_: endless)

    assert told(ran.ask("GET", FILES)) == (503, "ServerBusy")
    assert endless.closed


@pytest.mark.parametrize(
    ("wanted", "prefixes"),
    [
        (None, ("",)),
        ("startswith(name,'WD/')", ("wd/",)),
        ("startswith(name,'a') or startswith(name,'b') or startswith(name,'A')", ("a", "b")),
        ("startswith(name,'a') and startswith(name,'ab')", ("ab",)),
        ("startswith(name,'a') and startswith(name,'b')", ()),
        (
            "(startswith(name,'a') or startswith(name,'b')) and startswith(name,'ab')",
            ("ab",),
        ),
    ],
)
def test_a_node_is_asked_for_a_page(
    ran: Edge, monkeypatch: pytest.MonkeyPatch, wanted: str | None, prefixes: tuple[str, ...]
) -> None:
    asked: list[FilesPage] = []

    def look(*question: Any) -> FakeFile:
        asked.append(question[-1])
        return FakeFile("ok", None, [b"[]"])

    monkeypatch.setattr(ran.service, "_look", look)
    query = "" if wanted is None else f"&$filter={quote(wanted)}"
    token = base64.urlsafe_b64encode(b"last").decode().rstrip("=")
    ran.ask("GET", f"{FILES}?maxresults=5&$skiptoken={token}{query}")
    assert asked == [FilesPage(after="last", limit=6, prefixes=prefixes)]


def test_an_older_node_host_lists_all_in_any_order(
    ran: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    infos = [FileInfo(name=name, directory=False) for name in ("c", "a", "b", "d")]
    monkeypatch.setattr(
        ran.service, "_look", lambda *_: FakeFile("ok", None, [msgspec.json.encode(infos)])
    )
    answer = ran.ask("GET", f"{FILES}?maxresults=2").json()
    assert [it["name"] for it in answer["value"]] == ["a", "b"]
    token = answer["odata.nextLink"].partition("$skiptoken=")[2]
    rest = ran.ask("GET", f"{FILES}?maxresults=2&$skiptoken={token}").json()
    assert [it["name"] for it in rest["value"]] == ["c", "d"]
    assert "odata.nextLink" not in rest


def test_a_node_that_goes_away_in_a_listing(ran: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = FakeFile("ok", None, [b"["], ConnectionResetError())
    monkeypatch.setattr(ran.service, "_look", lambda *_: cut)

    assert told(ran.ask("GET", FILES)) == (409, "TaskFilesUnavailable")
    assert cut.closed


def test_a_file_that_grows_is_sent_as_long_as_was_promised(
    ran: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = FileInfo(name="f", directory=False, size=4, length=4)
    growing = FakeFile("ok", info, [b"01", b"2345", b"67"])
    monkeypatch.setattr(ran.service, "_look", lambda *_: growing)

    answer = ran.ask("GET", f"{FILES}/f")

    assert answer.content == b"0123"
    assert growing.closed


def test_a_client_that_hangs_up_in_a_file_stops_the_node(
    ran: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = FileInfo(name="f", directory=False, size=1 << 30, length=1 << 30)
    endless = FakeFile("ok", info, [b"x" * 1024] * (1 << 20))
    monkeypatch.setattr(ran.service, "_look", lambda *_: endless)

    async def use() -> int:
        sent: list[Any] = []
        hung_up = asyncio.Event()

        async def receive() -> Any:
            await hung_up.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if len(sent) == 5:
                hung_up.set()
            await asyncio.sleep(0)

        await ran.app(await signed_scope(ran, "GET", f"{FILES}/f"), receive, send)
        return len(sent)

    assert asyncio.run(use()) < 20
    assert endless.closed


# --- probes, other routes, bugs ----------------------------------------------------------------


def test_probes_need_no_signature(edge: Edge) -> None:
    def probe(path: str) -> int:
        return edge.ask("GET", path, signed=False, version=None).status_code

    assert (probe("/alive"), probe("/ready")) == (200, 200)
    edge.is_ready = False
    assert (probe("/alive"), probe("/ready")) == (200, 503)


def test_other_routes_come_first(edge: Edge) -> None:
    async def hello(request: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse(f"hello {request.path_params['name']}")

    async def ready() -> bool:
        return True

    app = make_app(edge.service, edge.settings, ready, [Route("/_agent/{name}", hello)])

    assert asyncio.run(call(app, "GET", "/_agent/me", {}, b"")).text == "hello me"
    assert asyncio.run(call(app, "GET", "/alive", {}, b"")).status_code == 200


def test_a_bug_of_ours_is_a_500_with_its_id_in_the_log(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(account: str, name: str) -> PoolRecord:
        raise ZeroDivisionError(f"{account} {name}")

    monkeypatch.setattr(edge.service.memory, "pool", broken)
    with caplog.at_level(logging.ERROR):
        answer = edge.ask("GET", "/pools/p")

    assert told(answer) == (500, "InternalError")
    assert "ZeroDivisionError" not in answer.text
    assert answer.headers["request-id"] in caplog.text
    assert "ZeroDivisionError" in caplog.text
