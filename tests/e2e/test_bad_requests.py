"""What is wrong is refused with the right status and code, says why, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from azure.batch import BatchClient

from tests.e2e.signing import Wire, rfc1123
from tests.e2e.things import job_options, made_job, unique

Body = Mapping[str, Any]


def expect(answer: httpx.Response, status: int, code: str, **values: str | None) -> dict[str, str]:
    """Check a refusal: its form, its code, and the values that it names; None is any value."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    said = answer.json()
    assert said["odata.metadata"].endswith(
        "$metadata#Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element"
    )
    assert said["message"]["lang"]
    assert f"RequestId:{answer.headers['request-id']}" in said["message"]["value"]
    assert "Time:" in said["message"]["value"]
    assert "odata=minimalmetadata" in answer.headers["content-type"].replace(" ", "")
    told = {item["key"]: item["value"] for item in said.get("values", [])}
    for name, text in values.items():
        assert name in told, answer.text
        assert text is None or told[name] == text, answer.text
    return told


@pytest.fixture(scope="module")
def waiting(batch: BatchClient) -> Iterator[str]:
    """A job that runs nothing, with one task."""
    with made_job(batch, job_options(unique("Bad"), unique("no-pool"))) as job:
        yield job


@pytest.fixture(autouse=True)
def unchanged(wire: Wire, waiting: str) -> Iterator[None]:
    """After every refusal all is as it was before it."""

    def state() -> list[Any]:
        lists = ("/pools", "/jobs", f"/jobs/{waiting}/tasks")
        kept = ("id", "eTag", "lastModified", "priority", "metadata", "constraints")
        return [
            [{name: item.get(name) for name in kept} for item in answer["value"]]
            for answer in (wire.send("GET", path).json() for path in lists)
        ]

    before = state()
    yield
    assert state() == before


# --- who asks ----------------------------------------------------------------------------------


def test_no_authorization(wire: Wire) -> None:
    answer = wire.send("GET", "/pools", headers={"authorization": None})

    expect(answer, 400, "MissingRequiredHeader", HeaderName="Authorization")


@pytest.mark.parametrize(
    "text", ["SharedKey", "SharedKey nocolon", "Basic dTpw", "SharedKey a:!!!", "x" * 3000]
)
def test_an_authorization_that_can_not_be_read(wire: Wire, text: str) -> None:
    answer = wire.send("GET", "/pools", headers={"authorization": text})

    assert answer.json()["code"] in ("InvalidAuthenticationInfo", "AuthenticationFailed")
    assert answer.status_code == (403 if answer.json()["code"] == "AuthenticationFailed" else 400)


def test_a_wrong_key(wire: Wire) -> None:
    answer = wire.send("GET", "/pools", key="d3JvbmcgaW4gZXZlcnkgd2F5")

    expect(answer, 403, "AuthenticationFailed")
    assert wire.key not in answer.text


def test_an_unknown_account(wire: Wire) -> None:
    expect(wire.send("GET", "/pools", account="somebodyelse"), 403, "AuthenticationFailed")


def test_a_signature_for_another_request(wire: Wire) -> None:
    good = wire.send("GET", "/pools").request.headers

    for method, path in (("GET", "/jobs"), ("DELETE", "/pools"), ("GET", "/pools/p")):
        taken = {name: good[name] for name in ("authorization", "ocp-date")}
        expect(wire.send(method, path, headers=taken), 403, "AuthenticationFailed")


def test_a_body_that_was_exchanged_on_the_way(wire: Wire) -> None:
    body = json.dumps({"id": unique("pool"), "vmSize": "x"}).encode()
    good = wire.send("POST", "/pools", body).request.headers
    taken = {name: good[name] for name in ("authorization", "ocp-date")}

    expect(wire.send("POST", "/pools", body + b" ", headers=taken), 403, "AuthenticationFailed")


@pytest.mark.parametrize("minutes", [-16, 16, -60 * 24 * 365])
def test_a_date_too_far_from_now(wire: Wire, minutes: int) -> None:
    at = rfc1123(datetime.now(UTC) + timedelta(minutes=minutes))

    expect(wire.send("GET", "/pools", headers={"ocp-date": at}), 403, "AuthenticationFailed")


@pytest.mark.parametrize("minutes", [-14, 14])
def test_a_date_near_enough(wire: Wire, minutes: int) -> None:
    at = rfc1123(datetime.now(UTC) + timedelta(minutes=minutes))

    assert wire.send("GET", "/pools", headers={"ocp-date": at}).status_code == 200


def test_the_plain_date_header_serves_too(wire: Wire) -> None:
    at = rfc1123(datetime.now(UTC))

    assert wire.send("GET", "/pools", headers={"ocp-date": None, "date": at}).status_code == 200


@pytest.mark.parametrize("at", [None, "yesterday", "2024-13-45"])
def test_no_date_or_one_that_can_not_be_read(wire: Wire, at: str | None) -> None:
    answer = wire.send("GET", "/pools", headers={"ocp-date": at})

    assert answer.status_code in (400, 403)
    assert answer.json()["code"] in (
        "AuthenticationFailed",
        "InvalidHeaderValue",
        "MissingRequiredHeader",
    )


# --- what is asked -----------------------------------------------------------------------------


def test_no_api_version(wire: Wire) -> None:
    bare = Wire(wire.client, wire.account, wire.key, query={})

    told = bare.send("GET", "/pools", query={"maxresults": "1"})

    expect(told, 400, "MissingRequiredQueryParameter", QueryParameterName="api-version")


@pytest.mark.parametrize("version", ["2099-01-01", "2024-07-01", "latest", "2025-06-01.21.0"])
def test_an_unknown_api_version(wire: Wire, version: str) -> None:
    answer = wire.send("GET", "/pools", query={"api-version": version})

    expect(answer, 400, "UnsupportedRequestVersion")


@pytest.mark.parametrize("path", ["/", "/fish", "/pools/p/fish", "/jobs/j/tasks/t/fish/x"])
def test_an_unknown_path(wire: Wire, path: str) -> None:
    expect(wire.send("GET", path), 404, "ResourceNotFound")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/pools"), ("DELETE", "/jobs"), ("PATCH", "/jobs/j/tasks")]
)
def test_a_verb_that_the_path_does_not_know(wire: Wire, method: str, path: str) -> None:
    answer = wire.send(method, path, {} if method in ("PUT", "PATCH") else None)

    expect(answer, 405, "UnsupportedHttpVerb")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"maxresults": "0"}, "OutOfRangeQueryParameterValue"),
        ({"maxresults": "1001"}, "OutOfRangeQueryParameterValue"),
        ({"maxresults": "-5"}, "InvalidQueryParameterValue"),
        ({"maxresults": "many"}, "InvalidQueryParameterValue"),
        ({"$filter": "fish eq 3"}, "InvalidQueryParameterValue"),
        ({"$filter": "state eq"}, "InvalidQueryParameterValue"),
        ({"$filter": "state eq 'active' or"}, "InvalidQueryParameterValue"),
        ({"$filter": "id eq 'unclosed"}, "InvalidQueryParameterValue"),
        ({"$filter": "(" * 2000}, "InvalidQueryParameterValue"),
        ({"$filter": "creationTime gt DateTime'never'"}, "InvalidQueryParameterValue"),
        ({"$skiptoken": "made-up"}, "InvalidQueryParameterValue"),
        ({"$expand": "fish"}, "InvalidQueryParameterValue"),
    ],
)
def test_a_bad_query(wire: Wire, query: Mapping[str, str], code: str) -> None:
    (name,) = query

    told = expect(wire.send("GET", "/pools", query=query), 400, code, QueryParameterName=name)

    assert told["QueryParameterValue"].startswith(query[name][:20])


# --- what does not exist -----------------------------------------------------------------------

UNKNOWN: list[tuple[str, str, Body | None, str]] = [
    ("GET", "/pools/{no}", None, "PoolNotFound"),
    ("PATCH", "/pools/{no}", {"metadata": []}, "PoolNotFound"),
    ("DELETE", "/pools/{no}", None, "PoolNotFound"),
    ("POST", "/pools/{no}/resize", {"targetDedicatedNodes": 1}, "PoolNotFound"),
    ("GET", "/pools/{no}/nodes", None, "PoolNotFound"),
    ("GET", "/pools/{pool}/nodes/{no}", None, "NodeNotFound"),
    ("GET", "/pools/{pool}/nodes/{no}/files", None, "NodeNotFound"),
    ("GET", "/pools/{no}/nodes/n/files/stdout.txt", None, "PoolNotFound"),
    ("GET", "/jobs/{no}", None, "JobNotFound"),
    ("PATCH", "/jobs/{no}", {"priority": 3}, "JobNotFound"),
    ("DELETE", "/jobs/{no}", None, "JobNotFound"),
    ("POST", "/jobs/{no}/terminate", None, "JobNotFound"),
    ("GET", "/jobs/{no}/taskcounts", None, "JobNotFound"),
    ("GET", "/jobs/{no}/tasks", None, "JobNotFound"),
    ("POST", "/jobs/{no}/tasks", {"id": "t", "commandLine": "x"}, "JobNotFound"),
    (
        "POST",
        "/jobs/{no}/addtaskcollection",
        {"value": [{"id": "t", "commandLine": "x"}]},
        "JobNotFound",
    ),
    ("GET", "/jobs/{job}/tasks/{no}", None, "TaskNotFound"),
    ("DELETE", "/jobs/{job}/tasks/{no}", None, "TaskNotFound"),
    ("POST", "/jobs/{job}/tasks/{no}/terminate", None, "TaskNotFound"),
    ("POST", "/jobs/{job}/tasks/{no}/reactivate", None, "TaskNotFound"),
    ("PUT", "/jobs/{job}/tasks/{no}", {"constraints": {}}, "TaskNotFound"),
    ("GET", "/jobs/{job}/tasks/{no}/files", None, "TaskNotFound"),
    ("GET", "/jobs/{job}/tasks/{no}/files/stdout.txt", None, "TaskNotFound"),
]


@pytest.mark.parametrize("request_", UNKNOWN, ids=lambda request_: " ".join(request_[:2]))
def test_an_unknown_id(
    wire: Wire, pool: str, waiting: str, request_: tuple[str, str, Body | None, str]
) -> None:
    method, path, body, code = request_

    def ask(unknown: str) -> httpx.Response:
        return wire.send(method, path.format(no=unknown, pool=pool, job=waiting), body)

    expect(ask("no-such"), 404, code)
    for tricky in ("a%20b", "%2e%2e", "..%2F..%2Fx", "x%00", "%C3%A4", "x%27%20or%201"):
        answer = ask(tricky)
        told = (answer.status_code, answer.json()["code"])
        assert told in ((404, code), (400, "InvalidUri"), (404, "ResourceNotFound")), tricky


def test_head_of_an_unknown_pool_has_no_body(wire: Wire) -> None:
    answer = wire.send("HEAD", "/pools/no-such")

    assert answer.status_code == 404
    assert answer.content == b""
    assert answer.headers["request-id"]


# --- bodies ------------------------------------------------------------------------------------

MACHINE = {
    "imageReference": {"publisher": "p", "offer": "o", "sku": "s"},
    "nodeAgentSKUId": "batch.node.ubuntu 22.04",
}


def pool_body(**changes: Any) -> dict[str, Any]:
    """A good pool, or one spoiled by `changes`; None leaves a property out."""
    body = {
        "id": unique("pool"),
        "vmSize": "standard_d2s_v3",
        "virtualMachineConfiguration": MACHINE,
        "targetDedicatedNodes": 0,
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def job_body(**changes: Any) -> dict[str, Any]:
    """A good job, or one spoiled."""
    body = {"id": unique("job"), "poolInfo": {"poolId": "nowhere"}, **changes}
    return {name: value for name, value in body.items() if value is not None}


def task_body(**changes: Any) -> dict[str, Any]:
    """A good task, or one spoiled."""
    body = {"id": unique("task"), "commandLine": "/bin/true", **changes}
    return {name: value for name, value in body.items() if value is not None}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'id': 'x'}",
        b'{"id": "x",}',
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe\x00",
        b'{"id": "\xff"}',
        b'{"id": NaN}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
    ],
    ids=[
        "empty",
        "open",
        "single-quotes",
        "comma",
        "list",
        "null",
        "string",
        "binary",
        "bad-utf8",
        "nan",
        "deep-lists",
        "deep-objects",
    ],
)
@pytest.mark.parametrize("path", ["/pools", "/jobs", "/jobs/{job}/tasks"])
def test_a_body_that_is_not_a_json_object(wire: Wire, waiting: str, path: str, body: bytes) -> None:
    answer = wire.send("POST", path.format(job=waiting), body)

    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] in ("InvalidRequestBody", "MissingRequiredProperty")


@pytest.mark.parametrize("missing", ["id", "vmSize", "virtualMachineConfiguration"])
def test_a_pool_without_a_property_that_it_needs(wire: Wire, missing: str) -> None:
    answer = wire.send("POST", "/pools", pool_body(**{missing: None}))

    told = expect(answer, 400, "MissingRequiredProperty", PropertyName=None)
    assert missing.lower() in told["PropertyName"].lower()


@pytest.mark.parametrize(
    ("spoiled", "name"),
    [
        ({"targetDedicatedNodes": -1}, "targetDedicatedNodes"),
        ({"targetDedicatedNodes": "many"}, "targetDedicatedNodes"),
        ({"targetDedicatedNodes": 1.5}, "targetDedicatedNodes"),
        ({"targetLowPriorityNodes": -1}, "targetLowPriorityNodes"),
        ({"taskSlotsPerNode": 0}, "taskSlotsPerNode"),
        ({"taskSlotsPerNode": 257}, "taskSlotsPerNode"),
        ({"resizeTimeout": "PT1M"}, "resizeTimeout"),
        ({"resizeTimeout": "soon"}, "resizeTimeout"),
        ({"metadata": {"name": "value"}}, "metadata"),
        ({"vmSize": 3}, "vmSize"),
        ({"displayName": "x" * 1025}, "displayName"),
        ({"taskSchedulingPolicy": {"nodeFillType": "sideways"}}, "nodeFillType"),
        ({"startTask": {"commandLine": ""}}, "commandLine"),
        ({"startTask": {"commandLine": "x", "maxTaskRetryCount": -2}}, "maxTaskRetryCount"),
    ],
    ids=str,
)
def test_a_pool_with_a_bad_property(wire: Wire, spoiled: Body, name: str) -> None:
    answer = wire.send("POST", "/pools", pool_body(**spoiled))

    told = expect(answer, 400, "InvalidPropertyValue", PropertyName=None, Reason=None)
    assert name.lower() in told["PropertyName"].lower()


@pytest.mark.parametrize(
    ("spoiled", "name"),
    [
        ({"priority": 1001}, "priority"),
        ({"priority": -1001}, "priority"),
        ({"maxParallelTasks": 0}, "maxParallelTasks"),
        ({"constraints": {"maxTaskRetryCount": -2}}, "maxTaskRetryCount"),
        ({"constraints": {"maxWallClockTime": "1 hour"}}, "maxWallClockTime"),
        ({"onAllTasksComplete": "celebrate"}, "onAllTasksComplete"),
        ({"poolInfo": {}}, "poolInfo"),
        ({"poolInfo": {"poolId": "a b"}}, "poolId"),
    ],
    ids=str,
)
def test_a_job_with_a_bad_property(wire: Wire, spoiled: Body, name: str) -> None:
    answer = wire.send("POST", "/jobs", job_body(**spoiled))

    assert answer.json()["code"] in ("InvalidPropertyValue", "MissingRequiredProperty")
    told = expect(answer, 400, answer.json()["code"], PropertyName=None)
    assert name.lower() in told["PropertyName"].lower()


@pytest.mark.parametrize(
    ("spoiled", "name"),
    [
        ({"commandLine": ""}, "commandLine"),
        ({"commandLine": "/bin/echo 'open"}, "commandLine"),
        ({"requiredSlots": 0}, "requiredSlots"),
        ({"constraints": {"maxTaskRetryCount": -2}}, "maxTaskRetryCount"),
        ({"constraints": {"maxWallClockTime": "-PT5S"}}, "maxWallClockTime"),
        ({"resourceFiles": [{"filePath": "x"}]}, "resourceFiles"),
        ({"resourceFiles": [{"httpUrl": "http://h/x"}]}, "filePath"),
        (
            {"resourceFiles": [{"httpUrl": "http://h/x", "autoStorageContainerName": "c"}]},
            "resourceFiles",
        ),
        ({"resourceFiles": [{"httpUrl": "http://h/x", "filePath": "../../x"}]}, "filePath"),
        ({"resourceFiles": [{"httpUrl": "http://h/x", "filePath": "/etc/x"}]}, "filePath"),
        (
            {"resourceFiles": [{"httpUrl": "http://h/x", "filePath": "x", "fileMode": "rw"}]},
            "fileMode",
        ),
        ({"environmentSettings": [{"value": "x"}]}, "environmentSettings"),
        ({"outputFiles": [{"filePattern": "*"}]}, "outputFiles"),
    ],
    ids=str,
)
def test_a_task_with_a_bad_property(wire: Wire, waiting: str, spoiled: Body, name: str) -> None:
    answer = wire.send("POST", f"/jobs/{waiting}/tasks", task_body(**spoiled))

    assert answer.json()["code"] in ("InvalidPropertyValue", "MissingRequiredProperty")
    told = expect(answer, 400, answer.json()["code"], PropertyName=None)
    assert name.lower() in told["PropertyName"].lower()


def test_a_task_with_dependencies_in_a_job_without(wire: Wire, waiting: str) -> None:
    body = task_body(dependsOn={"taskIds": ["x"]})

    answer = wire.send("POST", f"/jobs/{waiting}/tasks", body)

    expect(answer, 400, "TaskDependenciesNotSpecifiedOnJob")


def test_metadata_without_a_name(wire: Wire) -> None:
    body = pool_body(metadata=[{"name": "", "value": "x"}])

    expect(wire.send("POST", "/pools", body), 400, "EmptyMetadataKey")


ILLEGAL = ["a b", "a/b", "a:b", "a.b", "ä", "x" * 65, "..", "a\nb", "a\u0000b", "{job}"]


@pytest.mark.parametrize("bad", ILLEGAL)
@pytest.mark.parametrize(
    ("path", "make"), [("/pools", pool_body), ("/jobs", job_body), ("/jobs/{job}/tasks", task_body)]
)
def test_an_id_with_illegal_characters(
    wire: Wire, waiting: str, path: str, make: Any, bad: str
) -> None:
    answer = wire.send("POST", path.format(job=waiting), make(id=bad))

    expect(answer, 400, "InvalidPropertyValue", PropertyName="id", PropertyValue=bad, Reason=None)


# --- what exists already -----------------------------------------------------------------------


def test_an_id_that_is_taken_in_any_case(wire: Wire, waiting: str, pool: str) -> None:
    task = task_body(id="Taken")
    assert wire.send("POST", f"/jobs/{waiting}/tasks", task).status_code == 201
    try:
        for swapped in (False, True):

            def spelled(text: str, swapped: bool = swapped) -> str:
                return text.swapcase() if swapped else text

            again = wire.send("POST", "/pools", pool_body(id=spelled(pool)))
            expect(again, 409, "PoolExists")
            again = wire.send("POST", "/jobs", job_body(id=spelled(waiting)))
            expect(again, 409, "JobExists")
            again = wire.send(
                "POST", f"/jobs/{spelled(waiting)}/tasks", task_body(id=spelled("Taken"))
            )
            expect(again, 409, "TaskExists")
            got = wire.send("GET", f"/jobs/{spelled(waiting)}/tasks/{spelled('Taken')}")
            assert got.json()["id"] == "Taken", "ids keep the case of their creation"
    finally:
        wire.send("DELETE", f"/jobs/{waiting}/tasks/Taken")


def test_a_collection_tells_of_each_task_apart(wire: Wire, waiting: str) -> None:
    body = {
        "value": [
            task_body(id="c-good"),
            task_body(id="c-bad id"),
            task_body(id="c-empty", commandLine=""),
            task_body(id="C-GOOD"),
        ]
    }
    try:
        answer = wire.send("POST", f"/jobs/{waiting}/addtaskcollection", body)
        assert answer.status_code == 200, answer.text
        said = {item["taskId"]: item for item in answer.json()["value"]}
        assert said["c-good"]["status"].lower() == "success"
        assert said["c-good"]["eTag"]
        assert said["c-bad id"]["status"] == "clienterror"
        assert said["c-bad id"]["error"]["code"] == "InvalidPropertyValue"
        assert said["c-empty"]["status"] == "clienterror"
        assert said["C-GOOD"]["status"] == "clienterror"
        assert said["C-GOOD"]["error"]["code"] == "TaskExists"
        again = wire.send(
            "POST", f"/jobs/{waiting}/addtaskcollection", {"value": body["value"][:1]}
        )
        (result,) = again.json()["value"]
        assert (result["status"], result["error"]["code"]) == ("clienterror", "TaskExists")
    finally:
        assert wire.send("DELETE", f"/jobs/{waiting}/tasks/c-good").status_code == 200


# --- too much ----------------------------------------------------------------------------------


def test_a_body_over_the_limit(wire: Wire, waiting: str) -> None:
    long = "x" * 20_000
    tasks = [task_body(commandLine=long) for _ in range(60)]

    answer = wire.send("POST", f"/jobs/{waiting}/addtaskcollection", {"value": tasks})

    expect(answer, 413, "RequestBodyTooLarge", MaxLimit="1048576")


def test_a_body_far_over_the_limit(wire: Wire) -> None:
    try:
        answer = wire.send("POST", "/pools", b" " * 40_000_000)
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        return  # the server may hang up before it has read it all
    expect(answer, 413, "RequestBodyTooLarge")


def test_too_many_tasks_at_once(wire: Wire, waiting: str) -> None:
    answer = wire.send(
        "POST", f"/jobs/{waiting}/addtaskcollection", {"value": [task_body() for _ in range(101)]}
    )

    expect(answer, 400, "InvalidPropertyValue", PropertyName="value")


def test_no_tasks_at_all(wire: Wire, waiting: str) -> None:
    answer = wire.send("POST", f"/jobs/{waiting}/addtaskcollection", {"value": []})

    assert answer.status_code == 400, answer.text


# --- conditions --------------------------------------------------------------------------------


def test_a_condition_that_does_not_hold(wire: Wire, waiting: str) -> None:
    tag = wire.send("GET", f"/jobs/{waiting}").headers["etag"]
    patch = {"priority": 7}

    for header in ({"if-match": '"0x8D0"'}, {"if-none-match": tag}):
        answer = wire.send("PATCH", f"/jobs/{waiting}", patch, headers=header)
        expect(answer, 412, "ConditionNotMet")
    for header in ({"if-none-match": tag}, {"if-none-match": f'"{tag}"'}):
        answer = wire.send("GET", f"/jobs/{waiting}", headers=header)
        assert (answer.status_code, answer.content) == (304, b"")
    assert wire.send("GET", f"/jobs/{waiting}", headers={"if-match": tag}).status_code == 200
    assert wire.send("GET", f"/jobs/{waiting}", headers={"if-match": f'"{tag}"'}).status_code == 200


# --- answers -----------------------------------------------------------------------------------


def test_the_client_request_id_comes_back_when_asked_for(wire: Wire) -> None:
    asked = {"client-request-id": "11111111-2222-3333-4444-555555555555"}

    silent = wire.send("GET", "/pools/none", headers=asked)
    loud = wire.send("GET", "/pools/none", headers={**asked, "return-client-request-id": "true"})

    assert "client-request-id" not in silent.headers
    assert loud.headers["client-request-id"] == asked["client-request-id"]
    assert loud.headers["dataserviceversion"] == "3.0"
