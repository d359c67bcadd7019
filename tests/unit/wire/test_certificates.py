"""What users say of certificates: the file is opened, and refused where it is not what they say."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.refusals import InvalidPropertyValue, MissingRequiredProperty
from penstock.domain.specs.certificate import NewCertificate
from penstock.wire.specs import pfx
from penstock.wire.specs.certificates import LARGEST_BYTES, certificate_from_wire
from tests.certificates import body, new_certificate, thumbprint

MINE = new_certificate()
OTHER = new_certificate()
PASSWORD = "päss word"
FILE = MINE.pfx(PASSWORD)


def read(sent: dict[str, Any]) -> NewCertificate:
    return asyncio.run(certificate_from_wire(json.dumps(sent).encode()))


def test_a_file_with_a_key() -> None:
    found = read(body(FILE, MINE.thumbprint.upper(), "PFX", password=PASSWORD))

    assert found.thumbprint == MINE.thumbprint.upper(), "as the client wrote it"
    assert (found.algorithm, found.format) == ("sha1", "pfx")
    assert found.public_data == body(MINE.der, "")["data"]
    assert (found.secret.data, found.secret.password) == (FILE, PASSWORD)


def test_the_format_is_pfx_unless_said() -> None:
    sent = body(FILE, MINE.thumbprint, password=PASSWORD)
    del sent["certificateFormat"]
    assert read(sent).format == "pfx"


@pytest.mark.parametrize("pem", [False, True])
def test_a_certificate_alone(pem: bool) -> None:
    found = read(body(MINE.pem if pem else MINE.der, MINE.thumbprint))
    assert (found.format, found.secret.password) == ("cer", None)
    assert found.public_data == body(MINE.der, "")["data"]


def test_a_file_without_a_password() -> None:
    assert read(body(MINE.pfx(None), MINE.thumbprint, "pfx")).secret.password is None


GOOD = body(FILE, MINE.thumbprint, "pfx", password=PASSWORD)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"thumbprintAlgorithm": "md5"}, "thumbprintAlgorithm"),
        ({"thumbprint": "12"}, "thumbprint"),
        ({"thumbprint": "g" * 40}, "thumbprint"),
        ({"thumbprint": OTHER.thumbprint}, "thumbprint"),
        ({"certificateFormat": "jks"}, "certificateFormat"),
        ({"certificateFormat": "cer"}, "password"),
        ({"password": "wrong"}, "password"),
        ({"password": ""}, "password"),
        ({"data": ""}, "data"),
        ({"data": "?"}, "data"),
        ({"data": "AAAA"}, "data"),
        ({"data": "A" * 4 * LARGEST_BYTES}, "data"),
        ({"data": body(b"x" * (LARGEST_BYTES + 1), "")["data"]}, "data"),
        ({"data": body(FILE[:-60], "")["data"]}, "data"),
        ({"certificateFormat": "cer", "password": None}, "data"),
    ],
)
def test_what_is_refused(change: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidPropertyValue) as caught:
        read(GOOD | change)

    assert caught.value.values["PropertyName"] == name
    told = str(caught.value)
    assert PASSWORD not in told
    assert GOOD["data"] not in told


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(MINE.der) - 1), st.binary(max_size=2)), min_size=1))
def test_a_damaged_certificate_is_refused_or_another_one(
    damage: list[tuple[int, bytes]],
) -> None:
    data = bytearray(MINE.der)
    for at, what in damage:
        data[at : at + 1] = what
    if bytes(data) != MINE.der:
        with pytest.raises(InvalidPropertyValue):
            read(body(bytes(data), MINE.thumbprint))


def test_a_certificate_of_no_version() -> None:
    version = MINE.der.index(b"\xa0\x03\x02\x01\x02") + 4
    data = MINE.der[:version] + b"\x63" + MINE.der[version + 1 :]
    with pytest.raises(InvalidPropertyValue) as caught:
        read(body(data, thumbprint(data)))
    assert caught.value.values["PropertyName"] == "data"


@pytest.mark.parametrize("name", ["thumbprint", "thumbprintAlgorithm", "data", "password"])
def test_what_is_missing(name: str) -> None:
    sent = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(MissingRequiredProperty) as caught:
        read(sent)
    assert caught.value.values["PropertyName"] == name


def test_a_file_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pfx, "WITHIN_S", 0.001)
    with pytest.raises(InvalidPropertyValue) as caught:
        read(GOOD)
    assert caught.value.values["PropertyName"] == "data"
    assert "takes too long" in caught.value.values["Reason"]
