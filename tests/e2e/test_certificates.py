"""Certificates, which only older api-versions have, over the bare wire and across a restart."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.batch import BatchClient

from tests.certificates import Certificate, body, new_certificate
from tests.e2e.harness import Penstock
from tests.e2e.signing import Wire
from tests.e2e.things import delete_pool, nodes_ready, pool_options, unique

VERSION = {"api-version": "2024-07-01.20.0"}
PASSWORD = "nobody reads this"


class Certificates:
    """Signed requests of the last version that has certificates."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def send(self, method: str, path: str, sent: Any = None, **query: str) -> httpx.Response:
        return self.wire.send(method, path, sent, query=VERSION | query)

    def add(self, certificate: Certificate) -> httpx.Response:
        file = certificate.pfx(PASSWORD)
        sent = body(file, certificate.thumbprint, "pfx", password=PASSWORD)
        return self.send("POST", "/certificates", sent)

    def get(self, thumbprint: str) -> dict[str, Any]:
        answer = self.send("GET", path_of(thumbprint))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def path_of(thumbprint: str) -> str:
    return f"/certificates(thumbprintAlgorithm=sha1,thumbprint={thumbprint})"


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.fixture
def certificates(wire: Wire) -> Iterator[Certificates]:
    """With none in the account afterwards."""
    made = Certificates(wire)
    yield made
    for it in made.send("GET", "/certificates").json()["value"]:
        assert made.send("DELETE", path_of(it["thumbprint"])).status_code == 202


def test_the_life_of_a_certificate(certificates: Certificates, plain: Penstock) -> None:
    mine = new_certificate()
    added = certificates.add(mine)
    assert (added.status_code, added.content) == (201, b"")
    assert added.headers["location"] == plain.ready.endpoint + path_of(mine.thumbprint)
    assert told(certificates.add(mine)) == (409, "CertificateExists")

    found = certificates.get(mine.thumbprint)
    assert found["odata.metadata"].endswith("$metadata#certificates/@Element")
    assert found["state"] == "active"
    assert found["publicData"] == body(mine.der, "")["data"]
    assert not {"data", "password", "previousState", "deleteCertificateError"} & found.keys()
    cancelled = certificates.send("POST", f"{path_of(mine.thumbprint)}/canceldelete")
    assert told(cancelled) == (409, "CertificateStateActive")

    deleted = certificates.send("DELETE", path_of(mine.thumbprint))
    assert (deleted.status_code, deleted.content) == (202, b"")
    gone = certificates.send("GET", path_of(mine.thumbprint))
    assert told(gone) == (404, "CertificateNotFound")


@pytest.mark.parametrize(
    "form",
    [
        "/Certificates(thumbprintAlgorithm=SHA1,thumbprint={upper})",
        "/certificates(thumbprint={lower},thumbprintAlgorithm=sha1)",
        "/certificates%28thumbprintAlgorithm%3Dsha1%2Cthumbprint%3D{lower}%29",
        "/certificates(thumbprintalgorithm=sha1,%20thumbprint={lower})",
    ],
)
def test_forms_of_its_path(certificates: Certificates, form: str) -> None:
    mine = new_certificate()
    assert certificates.add(mine).status_code == 201
    path = form.format(lower=mine.thumbprint, upper=mine.thumbprint.upper())
    answer = certificates.send("GET", path)
    assert answer.status_code == 200, answer.text
    assert answer.json()["thumbprint"] == mine.thumbprint


@pytest.mark.parametrize(
    "path",
    [
        "/certificates()",
        "/certificates(sha1)",
        "/certificates(thumbprint=1)",
        "/certificates(thumbprint=1,thumbprint=2)",
        "/certificates(thumbprintAlgorithm=sha1,thumbprint=1",
        "/certificates/sha1",
    ],
)
def test_paths_that_name_none(certificates: Certificates, path: str) -> None:
    for method in ("GET", "DELETE"):
        assert certificates.send(method, path).status_code == 404


def test_a_list_of_certificates(certificates: Certificates) -> None:
    wanted = []
    for _ in range(3):
        made = new_certificate()
        assert certificates.add(made).status_code == 201
        wanted.append(made.thumbprint)

    first = certificates.send("GET", "/certificates", maxresults="2").json()
    assert first["odata.metadata"].endswith("$metadata#certificates")
    token = first["odata.nextLink"].rpartition("$skiptoken=")[2]
    rest = certificates.send("GET", "/certificates", **{"$skiptoken": token}).json()
    found = [it["thumbprint"] for it in (*first["value"], *rest["value"])]
    assert found == sorted(wanted)
    query = {"$filter": "state eq 'deletefailed'", "$select": "thumbprint"}
    assert certificates.send("GET", "/certificates", **query).json()["value"] == []
    query["$filter"] = "state eq 'Active' and stateTransitionTime gt DateTime'2020-01-01T00:00:00Z'"
    listed = certificates.send("GET", "/certificates", **query).json()["value"]
    assert listed == [{"thumbprint": it} for it in sorted(wanted)]
    odd = certificates.send("GET", "/certificates", **{"$filter": "thumbprint eq 'x'"})
    assert told(odd) == (400, "InvalidQueryParameterValue")


def test_a_certificate_of_a_pool(certificates: Certificates, batch: BatchClient) -> None:
    mine = new_certificate()
    assert certificates.add(mine).status_code == 201
    pool = unique("certified")
    reference = {"thumbprint": mine.thumbprint, "thumbprintAlgorithm": "sha1"}
    sent = {**pool_options(pool).as_dict(), "certificateReferences": [reference]}
    unknown = {**sent, "certificateReferences": [{**reference, "thumbprint": "0" * 40}]}
    refused = certificates.send("POST", "/pools", unknown)
    assert told(refused) == (409, "InvalidCertificateReferences")
    assert certificates.send("POST", "/pools", sent).status_code == 201
    try:
        (node,) = nodes_ready(batch, pool, 1)
        shown = certificates.send("GET", f"/pools/{pool}/nodes/{node.id}").json()
        (of_node,) = shown["certificateReferences"]
        assert of_node.items() >= reference.items()
        assert "certificate_references" not in node.as_dict()
        assert certificates.send("DELETE", path_of(mine.thumbprint)).status_code == 202
        failed = certificates.get(mine.thumbprint)
        assert (failed["state"], failed["previousState"]) == ("deletefailed", "deleting")
        assert failed["deleteCertificateError"]["code"] == "PoolsReferencingCertificate"
        named = failed["deleteCertificateError"]["values"]
        assert named == [{"name": "Pools", "value": pool}]
        kept = certificates.send("POST", f"{path_of(mine.thumbprint)}/canceldelete")
        assert (kept.status_code, kept.content) == (204, b"")
        assert certificates.get(mine.thumbprint)["state"] == "active"
    finally:
        delete_pool(batch, pool)


def test_the_newest_version_has_none(wire: Wire) -> None:
    assert told(wire.send("GET", "/certificates")) == (404, "ResourceNotFound")
    assert told(wire.send("GET", path_of("0" * 40))) == (404, "ResourceNotFound")


def test_they_outlive_the_server_and_nobody_reads_them(tmp_path: Path) -> None:
    mine = new_certificate()
    sent = body(mine.pfx(PASSWORD), mine.thumbprint, "pfx", password=PASSWORD)
    file_start = base64.b64decode(sent["data"])[:200]
    with Penstock(tmp_path / "data") as service:
        with Wire.to(service.ready) as wire:
            added = Certificates(wire).send("POST", "/certificates", sent)
            assert added.status_code == 201
        service.restart()
        with Wire.to(service.ready) as wire:
            assert Certificates(wire).get(mine.thumbprint)["state"] == "active"
        assert (service.data / "vault.key").stat().st_mode & 0o777 == 0o600
        kept = [file for file in service.data.rglob("*") if file.is_file()]
        assert kept
        for file in (*kept, service.log):
            content = file.read_bytes()
            assert PASSWORD.encode() not in content, file
            assert file_start not in content, file
