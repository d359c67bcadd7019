"""Who is let in, and what they may do then."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from penstock.domain.records import JobRecord
from penstock.wire.access.auth import Caller
from tests.wire.edge import ACCOUNT, Edge

TOKEN = "penstock-task.1.2.3.abc"
JOB = {"id": "Job-1", "poolInfo": {"poolId": "p"}}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def values(answer: httpx.Response) -> dict[str, str]:
    return {item["key"]: item["value"] for item in answer.json()["values"]}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (400, "MissingRequiredHeader")),
        (" ", (400, "MissingRequiredHeader")),
        ("SharedKey", (400, "InvalidAuthenticationInfo")),
        ("SharedKey name", (400, "InvalidAuthenticationInfo")),
        ("Basic dTpw", (400, "InvalidAuthenticationInfo")),
        ("Bearer", (400, "InvalidAuthenticationInfo")),
        ("Bearer abc", (403, "AuthenticationFailed")),
        (f"Bearer {TOKEN}", (403, "AuthenticationFailed")),
        (f"SharedKey {ACCOUNT}:c2ln", (403, "AuthenticationFailed")),
    ],
)
def test_a_credential_that_is_none(header: str | None, expected: tuple[int, str]) -> None:
    headers = {} if header is None else {"authorization": header}

    answer = Edge().ask("GET", "/pools", signed=False, headers=headers)

    assert code(answer) == expected
    said = values(answer)
    if expected[0] == 403:
        assert said["AuthenticationErrorDetail"]
    else:
        assert said["HeaderName"] == "Authorization"


def with_job(edge: Edge) -> JobRecord:
    """Have a job whose task runs and has `TOKEN`, and another job."""
    for job in (JOB, {**JOB, "id": "other"}):
        assert edge.ask("POST", "/jobs", job).status_code == 201
    found = asyncio.run(edge.service.store.job(ACCOUNT, "Job-1"))
    assert found is not None
    edge.service.tokens[TOKEN] = found
    return found


def bearer(edge: Edge, method: str, target: str, **options: object) -> httpx.Response:
    given: dict[str, object] = {"peer": "127.0.0.1", "signed": False, **options}
    headers = {"authorization": f"Bearer {TOKEN}", **given.pop("headers", {})}  # type: ignore[dict-item]
    return edge.ask(method, target, headers=headers, **given)


def test_the_token_of_a_task_is_good_for_its_job() -> None:
    edge = Edge()
    with_job(edge)

    assert bearer(edge, "GET", "/jobs/Job-1").json()["id"] == "Job-1"
    assert bearer(edge, "GET", "/jobs/job-1").status_code == 200
    assert bearer(edge, "GET", f"/{ACCOUNT}/jobs/Job-1/tasks").status_code == 200
    added = bearer(edge, "POST", "/jobs/Job-1/tasks", body={"id": "t", "commandLine": "true"})
    assert added.status_code == 201
    assert bearer(edge, "GET", "/jobs/Job-1/tasks/t").json()["id"] == "t"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/jobs"),
        ("POST", "/jobs"),
        ("GET", "/jobs/other"),
        ("GET", "/jobs/missing"),
        ("POST", "/jobs/other/tasks"),
        ("GET", "/jobs/other/../Job-1"),
        ("DELETE", "/jobs/other"),
        ("GET", "/pools"),
        ("GET", "/pools/Job-1"),
        ("GET", "/jobschedules/Job-1"),
        ("GET", "/events"),
        ("GET", "/clock"),
        ("GET", "/another/jobs/Job-1"),
        ("GET", "/"),
    ],
)
def test_and_for_nothing_else(method: str, target: str) -> None:
    edge = Edge()
    with_job(edge)

    answer = bearer(edge, method, target)

    assert code(answer) == (403, "InsufficientAccountPermissions")
    assert "Job-1" in values(answer)["Reason"]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"scheme": "https", "peer": "192.0.2.7"}, 200),
        ({"peer": "192.0.2.7"}, 403),
        ({"headers": {"x-forwarded-for": "192.0.2.7"}}, 403),
        ({"headers": {"origin": "https://web.example"}}, 403),
        ({"headers": {"x-forwarded-for": "192.0.2.7"}, "scheme": "https"}, 200),
    ],
)
def test_on_plain_http_it_is_taken_from_this_machine_only(
    options: dict[str, object], status: int
) -> None:
    edge = Edge()
    with_job(edge)

    assert bearer(edge, "GET", "/jobs/Job-1", **options).status_code == status


def test_it_ends_with_its_task() -> None:
    edge = Edge()
    with_job(edge)
    edge.service.tokens.clear()

    answer = bearer(edge, "GET", "/jobs/Job-1")

    assert code(answer) == (403, "AuthenticationFailed")
    assert "task that runs" in values(answer)["AuthenticationErrorDetail"]


def test_whoever_has_a_key_may_do_everything() -> None:
    for method in ("GET", "HEAD", "POST", "DELETE"):
        Caller(ACCOUNT).check(method, ["pools"])
