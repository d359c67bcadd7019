"""What the client commands make of options, the environment, and answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.cli.api import Api, refusal
from penstock.cli.exits import Exit, GaveUp
from penstock.cli.lengths import length
from penstock.cli.place import Wanted, find
from penstock.cli.signing import authorization
from penstock.domain.development import DEVELOPMENT_ENDPOINT, DEVELOPMENT_NAME
from penstock.wire.access.shared_keys import SharedKeys
from tests.wire.edge import ACCOUNT, KEY
from tests.wire.fakes import NOON_US

AZURE = {
    "AZURE_BATCH_ENDPOINT": "render.westeurope.batch.azure.example",
    "AZURE_BATCH_ACCOUNT": "render",
    "AZURE_BATCH_ACCESS_KEY": KEY,
}


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("6h", "PT6H"),
        ("90m", "PT1H30M"),
        ("1h30m", "PT1H30M"),
        ("2d", "P2D"),
        ("1w", "P7D"),
        ("45s", "PT45S"),
        ("1D 2H", "P1DT2H"),
        ("PT6H", "PT6H"),
        ("pt0.5s", "PT0.5S"),
        ("P7D", "P7D"),
    ],
)
def test_lengths_of_time(text: str, iso: str) -> None:
    assert str(length(text)) == iso


@pytest.mark.parametrize("text", ["", "6", "h", "6 hours", "30m1h", "-6h", "P1M"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        length(text)


def test_the_usual_place_is_that_of_penstock_up() -> None:
    place = find(Wanted(), {})
    assert (place.endpoint, place.account) == (DEVELOPMENT_ENDPOINT, DEVELOPMENT_NAME)
    assert place.is_near


def test_the_environment_is_that_of_az_batch() -> None:
    place = find(Wanted(), AZURE)
    assert place.endpoint == "https://render.westeurope.batch.azure.example"
    assert place.account == "render"
    assert not place.is_near


def test_options_win_over_the_environment_and_both_over_the_ready_file(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    file.write_text(
        json.dumps({"endpoint": "http://127.0.0.1:7", "accountName": "a", "accountKey": KEY})
    )
    of_file = {"PENSTOCK_READY_FILE": str(file)}
    assert find(Wanted(), of_file).endpoint == "http://127.0.0.1:7"
    assert find(Wanted(), {**AZURE, **of_file}).account == "render"
    assert find(Wanted(ready_file=file), AZURE).account == "a"
    assert find(Wanted(endpoint="http://127.0.0.1:8/"), of_file).endpoint == "http://127.0.0.1:8"
    given = find(Wanted(endpoint="http://b.example", account="b", key=KEY), AZURE)
    assert (given.endpoint, given.account) == ("http://b.example", "b")


@pytest.mark.parametrize(
    ("wanted", "env", "code"),
    [
        (Wanted(endpoint="http://a.example"), {}, Exit.USAGE),
        (Wanted(endpoint="ftp://a.example"), AZURE, Exit.USAGE),
        (Wanted(endpoint="http://"), AZURE, Exit.USAGE),
        (Wanted(endpoint="http://a:port"), AZURE, Exit.USAGE),
        (Wanted(endpoint="http://a", account="a", key="no base64"), {}, Exit.USAGE),
        (Wanted(endpoint="http://a", ready_file=Path("b")), {}, Exit.USAGE),
        (Wanted(ready_file=Path("/nowhere/ready.json")), {}, Exit.UNREACHABLE),
        (Wanted(ready_file=Path(__file__)), {}, Exit.USAGE),
        (Wanted(ca_file=Path("/nowhere/ca.pem")), {}, Exit.USAGE),
    ],
)
def test_what_names_no_server(wanted: Wanted, env: dict[str, str], code: Exit) -> None:
    with pytest.raises(GaveUp) as caught:
        Api(find(wanted, env))
    assert caught.value.code is code


@pytest.mark.parametrize(
    "target",
    [
        "/clock?api-version=2025-06-01",
        "/jobs/a%3Ajob-1/tasks?api-version=2025-06-01&%24filter=state%20eq%20%27active%27",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_signed_here_is_accepted_there(method: str, target: str) -> None:
    import base64

    headers = {"ocp-date": "Mon, 01 Jan 2024 12:00:00 GMT"}
    if method == "POST":
        headers |= {"content-type": "application/json", "content-length": "2"}
    signed = authorization(ACCOUNT, base64.b64decode(KEY), method, target, headers)
    path, _, query = target.partition("?")
    keys = SharedKeys({ACCOUNT: [KEY]})
    scheme, _, credential = signed.partition(" ")
    assert scheme == "SharedKey"
    assert keys.authenticate(method, path, query, headers, credential, NOON_US) == ACCOUNT


@pytest.mark.parametrize(
    ("status", "body", "code", "says"),
    [
        (
            403,
            {"code": "AuthenticationFailed", "message": {"value": "No.\nRequestId:1"}},
            Exit.REFUSED,
            "No. (AuthenticationFailed)",
        ),
        (
            400,
            {
                "code": "InvalidPropertyValue",
                "message": {"value": "Bad."},
                "values": [{"key": "Reason", "value": "too long"}],
            },
            Exit.REFUSED,
            "Reason: too long",
        ),
        (503, {"code": "ServerBusy", "message": {"value": "Busy."}}, Exit.BROKEN, "Busy."),
        (404, "<html>", Exit.BROKEN, "answered 404"),
    ],
)
def test_refusals_are_told(status: int, body: Any, code: Exit, says: str) -> None:
    request = httpx.Request("GET", "http://127.0.0.1/clock")
    reason = refusal(httpx.Response(status, json=body, request=request))
    assert reason.code is code
    assert says in str(reason)
    assert "RequestId" not in str(reason)
