"""What is wrong with a body is told by name and value."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.domain.refusals import (
    InvalidPropertyValue,
    InvalidRequestBody,
    MissingRequiredProperty,
    Refusal,
)
from penstock.domain.specs.job import JobPatch
from penstock.domain.specs.machine import Extension
from penstock.domain.specs.pool import PoolPatch
from penstock.domain.specs.task import TaskSpec
from penstock.wire.specs.bodies import LONGEST_SHOWN, body_of, items_of, storable, wrong


@pytest.mark.parametrize(
    ("document", "name", "value"),
    [
        ('{"id":5,"commandLine":"x"}', "id", "5"),
        ('{"id":"a","commandLine":["x"]}', "commandLine", '["x"]'),
        (
            '{"id":"a","commandLine":"x","constraints":{"maxTaskRetryCount":"many"}}',
            "constraints.maxTaskRetryCount",
            "many",
        ),
        (
            '{"id":"a","commandLine":"x","constraints":{"maxWallClockTime":"1 hour"}}',
            "constraints.maxWallClockTime",
            "1 hour",
        ),
        (
            '{"id":"a","commandLine":"x","constraints":{"maxWallClockTime":7}}',
            "constraints.maxWallClockTime",
            "7",
        ),
        (
            '{"id":"a","commandLine":"x","resourceFiles":[{},{"fileMode":8}]}',
            "resourceFiles[1].fileMode",
            "8",
        ),
        ('{"id":"a","commandLine":"x","resourceFiles":[null]}', "resourceFiles[0]", "null"),
        ('{"id":"a","commandLine":"x","requiredSlots":1.5}', "requiredSlots", "1.5"),
        ('{"id":"a","commandLine":"x","requiredSlots":true}', "requiredSlots", "true"),
    ],
)
def test_a_value_of_the_wrong_type(document: str, name: str, value: str) -> None:
    with pytest.raises(InvalidPropertyValue) as raised:
        body_of(TaskSpec, document.encode())
    assert raised.value.values["PropertyName"] == name
    assert raised.value.values["PropertyValue"] == value
    assert raised.value.values["Reason"]


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ('{"commandLine":"x"}', "id"),
        ('{"id":null,"commandLine":"x"}', "id"),
        ('{"id":"a","commandLine":"x","environmentSettings":[{}]}', "environmentSettings[0].name"),
        (
            '{"id":"a","commandLine":"x","outputFiles":[{"filePattern":"*","destination":{}}]}',
            "outputFiles[0].uploadOptions",
        ),
    ],
)
def test_a_part_that_is_missing(document: str, name: str) -> None:
    with pytest.raises(MissingRequiredProperty) as raised:
        body_of(TaskSpec, document.encode())
    assert raised.value.values["PropertyName"] == name
    assert raised.value.values["Reason"]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"  ",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b'{"id":"a","commandLine":"x","value":[]} x',
        b'{"id":"a",}',
        b'{"id":"\xff","commandLine":"x","value":[]}',
        b'{"id":"\\ud800","commandLine":"x","value":[]}',
        b'{"x":' * 100_000,
        b'{"containerSettings":' * 100_000,
        b"\0",
    ],
)
def test_a_body_that_is_no_json_object(document: bytes) -> None:
    with pytest.raises(InvalidRequestBody):
        body_of(TaskSpec, document)


@pytest.mark.parametrize(
    "document", [b"", b"{", b"[]", b'{"value":[{]}', b'{"value":["\xff"]} x', b'{"x":' * 9999]
)
def test_a_collection_that_is_no_json_object(document: bytes) -> None:
    with pytest.raises(InvalidRequestBody):
        items_of(document)


def test_what_is_forgiven() -> None:
    document = (
        b'\xef\xbb\xbf{"id":"a","commandLine":"x","requiredSlots":"3","displayName":null,'
        b'"colour":"red","constraints":{"maxTaskRetryCount":"-1"}}'
    )

    spec = body_of(TaskSpec, document)

    assert spec.required_slots == 3
    assert spec.display_name is None
    assert spec.constraints is not None
    assert spec.constraints.max_task_retry_count == -1


@pytest.mark.parametrize("document", [b"", b" \n", b"{}"])
def test_a_body_that_may_be_left_out(document: bytes) -> None:
    assert body_of(JobPatch, document, optional=True) == JobPatch()


def test_a_long_value_is_cut() -> None:
    shown = wrong("id", "x" * 1000, "is long").values["PropertyValue"]

    assert len(shown) == LONGEST_SHOWN
    assert shown.endswith("x…")


def nested(levels: int) -> Any:
    part: Any = {}
    for _ in range(levels):
        part = {"a": [part]}
    return part


def extension(settings: Any) -> Extension:
    return Extension(name="n", publisher="p", type="t", settings=settings)


def test_free_parts_have_a_depth_that_can_be_shown_again() -> None:
    shallow = extension(nested(10))
    assert storable(shallow) is shallow
    with pytest.raises(InvalidRequestBody):
        storable(extension(nested(40)))


def test_a_deep_body_is_refused_and_not_a_crash() -> None:
    document = msgspec.json.encode({"resourceTags": {"a": 0}})
    deep = document.replace(b"0", b'{"a":' * 900 + b"1" + b"}" * 900)

    with pytest.raises(Refusal):
        storable(body_of(PoolPatch, deep))
