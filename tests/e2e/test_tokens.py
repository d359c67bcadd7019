"""Tokens on the real thing: those of issuers through the official SDK, those of tasks in tasks."""

from __future__ import annotations

import base64
import json
import shlex
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.batch import BatchClient
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ServiceRequestError

from tests.e2e.harness import Penstock, Ready
from tests.e2e.signing import Wire
from tests.e2e.things import job_options, made_job, stdout, unique
from tests.e2e.waiting import eventually
from tests.wire.issuer import TokenIssuer

WITH_TOKENS = {"api-version": "2024-07-01.20.0"}
"""The last version in which a task may ask for a token."""

FILE_ISSUER, URL_ISSUER = TokenIssuer("RS256"), TokenIssuer("ES256", name="https://url.example")


class Static:
    """A credential that has its token already."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        return AccessToken(self.token, int(time.time()) + 3600)


class _KeySet(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = URL_ISSUER.key_set()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def key_set_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.3", 0), _KeySet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory, key_set_port: int) -> Iterator[Ready]:
    """A service that takes tokens of two issuers."""
    place = tmp_path_factory.mktemp("trusting")
    (place / "keys.json").write_bytes(FILE_ISSUER.key_set())
    config = place / "penstock.toml"
    config.write_text(
        f"""
[[token_issuers]]
issuer = "{FILE_ISSUER.name}"
jwks_file = "{place / "keys.json"}"
read = {{ scp = ["Batch.Read"] }}
write = {{ roles = ["Batch.Contributor"] }}

[[token_issuers]]
issuer = "{URL_ISSUER.name}"
audience = ["api://penstock"]
jwks_url = "http://127.0.0.3:{key_set_port}/keys"
write = {{ sub = ["*"] }}
"""
    )
    with Penstock(place / "data", arguments=("--config", str(config))) as service:
        yield service.ready


def client(ready: Ready, token: str, endpoint: str = "") -> BatchClient:
    return BatchClient(
        endpoint or ready.tls_endpoint,
        Static(token),
        retry_total=0,
        connection_verify=str(ready.ca_file),
    )


def test_the_sdk_works_with_a_token(trusting: Ready) -> None:
    token = FILE_ISSUER.token(time.time(), roles=["Batch.Contributor"])
    with client(trusting, token) as batch:
        batch.create_job(job_options("by-token", "none"))
        assert batch.get_job("by-token").id == "by-token"
        named = f"{trusting.tls_endpoint}/{trusting.account_name}"
        with client(trusting, token, named) as by_path:
            assert [job.id for job in by_path.list_jobs()] == ["by-token"]
        batch.begin_delete_job("by-token", force=True).result()


def test_the_sdk_asks_for_a_token_that_is_meant_for_batch(trusting: Ready) -> None:
    credential = Static(FILE_ISSUER.token(time.time(), roles=["Batch.Contributor"]))
    with BatchClient(
        trusting.tls_endpoint, credential, connection_verify=str(trusting.ca_file)
    ) as batch:
        assert list(batch.list_jobs()) == []
    assert credential.scopes == ["https://batch.core.windows.net//.default"]


def test_keys_come_from_an_address_too(trusting: Ready) -> None:
    token = URL_ISSUER.token(time.time(), aud="api://penstock/", sub="somebody")
    with client(trusting, token) as batch:
        assert list(batch.list_pools()) == []


def test_a_client_of_old_sends_the_same_header(trusting: Ready) -> None:
    token = FILE_ISSUER.token(time.time(), roles=["Batch.Contributor"])

    answer = httpx.get(
        f"{trusting.tls_endpoint}/pools?api-version=2024-02-01.19.0",
        headers={"authorization": f"bearer {token}"},
        verify=ssl.create_default_context(cafile=str(trusting.ca_file)),
        trust_env=False,
    )

    assert answer.status_code == 200


def test_who_may_read_may_not_write(trusting: Ready) -> None:
    token = FILE_ISSUER.token(time.time(), scp="Batch.Read")
    with client(trusting, token) as batch:
        assert list(batch.list_jobs()) == []
        with pytest.raises(HttpResponseError) as raised:
            batch.create_job(job_options("j", "none"))
        assert raised.value.status_code == 403
        assert "InsufficientAccountPermissions" in str(raised.value)


@pytest.mark.parametrize("changed", [{"exp": 1}, {"aud": "https://vault.azure.net"}])
def test_a_token_that_is_not_good(trusting: Ready, changed: dict[str, Any]) -> None:
    token = FILE_ISSUER.token(time.time(), roles=["Batch.Contributor"], **changed)
    with client(trusting, token) as batch, pytest.raises(HttpResponseError) as raised:
        list(batch.list_jobs())
    assert raised.value.status_code == 403
    assert "AuthenticationFailed" in str(raised.value)


def test_no_token_goes_over_plain_http(trusting: Ready) -> None:
    token = FILE_ISSUER.token(time.time(), roles=["Batch.Contributor"])
    with client(trusting, token, trusting.endpoint) as batch, pytest.raises(ServiceRequestError):
        list(batch.list_jobs())  # the SDK itself refuses

    answer = httpx.get(
        f"{trusting.endpoint}/jobs?api-version=2025-06-01",
        headers={"authorization": f"Bearer {token}"},
        trust_env=False,
    )
    assert answer.status_code == 403
    assert "https" in answer.text


INSIDE = """
import json, os, urllib.error, urllib.request

def ask(method, path, body=None):
    request = urllib.request.Request(
        os.environ["AZ_BATCH_ACCOUNT_URL"] + path + "?api-version=2024-07-01.20.0",
        data=None if body is None else json.dumps(body).encode(),
        method=method,
        headers={
            "Authorization": "Bearer " + os.environ["AZ_BATCH_AUTHENTICATION_TOKEN"],
            "Content-Type": "application/json; odata=minimalmetadata",
        },
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.status

mine, other = "/jobs/" + os.environ["AZ_BATCH_JOB_ID"], "/jobs/" + OTHER
task = {"id": "child", "commandLine": "true"}
print(json.dumps([
    ask("POST", mine + "/tasks", task),
    ask("GET", mine + "/tasks/child"),
    ask("GET", mine),
    ask("GET", other),
    ask("POST", other + "/tasks", task),
    ask("GET", "/pools"),
]))
"""


def test_a_task_works_on_its_own_job_with_its_token(
    batch: BatchClient, wire: Wire, pool: str, job: str, plain: Penstock
) -> None:
    with made_job(batch, job_options(unique("other"), pool)) as other:
        script = base64.b64encode(f"OTHER = {other!r}\n{INSIDE}".encode()).decode()
        code = f"import base64; exec(base64.b64decode({script!r}))"
        body = {
            "id": "parent",
            "commandLine": f"{sys.executable} -c {shlex.quote(code)}",
            "authenticationTokenSettings": {"access": ["Job"]},
        }
        added = wire.send("POST", f"/jobs/{job}/tasks", body, query=WITH_TOKENS)
        assert added.status_code == 201, added.text
        eventually(lambda: batch.get_task(job, "parent").state == "completed", 30, "its end")

        assert json.loads(stdout(batch, job, "parent")) == [201, 200, 200, 403, 403, 403]
        assert batch.get_task(job, "child").id == "child"
        assert [task.id for task in batch.list_tasks(other)] == []
        shown = wire.send("GET", f"/jobs/{job}/tasks/parent", query=WITH_TOKENS).text
        assert "penstock-task" not in shown
        assert "penstock-task" not in plain.printed()


def test_the_secret_of_the_tokens_is_the_owner_s_alone(plain: Penstock) -> None:
    secret = plain.ready.data_dir / "task-token.secret"

    assert secret.stat().st_mode & 0o777 == 0o600
    assert len(secret.read_bytes()) >= 32


def test_a_token_ends_with_its_task(
    batch: BatchClient, wire: Wire, job: str, tmp_path: Path
) -> None:
    printed, go_on = tmp_path / "token", tmp_path / "go-on"
    tmp_path.chmod(0o777)
    script = (
        f'printf %s "$AZ_BATCH_AUTHENTICATION_TOKEN" > {printed}.new; mv {printed}.new {printed};'
        f" until test -e {go_on}; do sleep 0.05; done"
    )
    body = {
        "id": "t",
        "commandLine": f"/bin/sh -c {shlex.quote(script)}",
        "authenticationTokenSettings": {"access": ["job"]},
    }
    assert wire.send("POST", f"/jobs/{job}/tasks", body, query=WITH_TOKENS).status_code == 201
    eventually(printed.exists, 20, "the token")
    token = {"authorization": f"Bearer {printed.read_text()}"}

    assert wire.send("GET", f"/jobs/{job}", headers=token).status_code == 200
    through_a_proxy = {**token, "x-forwarded-for": "192.0.2.7"}
    assert wire.send("GET", f"/jobs/{job}", headers=through_a_proxy).status_code == 403
    go_on.touch()
    eventually(lambda: batch.get_task(job, "t").state == "completed", 20, "its end")
    refused = wire.send("GET", f"/jobs/{job}", headers=token)

    assert (refused.status_code, refused.json()["code"]) == (403, "AuthenticationFailed")
