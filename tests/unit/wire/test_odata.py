"""``$filter``: what it means, and what is refused."""

from __future__ import annotations

import pytest

from penstock.domain.instants import instant
from penstock.domain.queries import PATHS, Both, Compare, Either, Filter, StartsWith
from penstock.domain.refusals import InvalidQueryParameterValue
from penstock.wire.odata import LONGEST, MOST_TOKENS, PROPERTIES, filter_of

NEW_YEAR_US = instant("2024-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("pools", "allocationState eq 'Steady'", Compare("allocationState", "eq", "steady")),
        ("pools", "enableAutoScale ne true", Compare("enableAutoScale", "ne", True)),
        ("pools", "id eq 'it''s'", Compare("id", "eq", "it's")),
        ("tasks", "executionInfo/exitCode ge -1", Compare("executionInfo/exitCode", "ge", -1)),
        ("tasks", "startswith(id, 'a b')", StartsWith("id", "a b")),
        ("tasks", "startswith ( id,'and or')", StartsWith("id", "and or")),
        ("files", "startswith(name,'wd/')", StartsWith("name", "wd/")),
        ("nodecounts", "poolId eq 'P'", Compare("poolId", "eq", "P")),
        (
            "jobs",
            "creationTime gt DateTime'2024-01-01T00:00:00Z'",
            Compare("creationTime", "gt", NEW_YEAR_US),
        ),
        (
            "jobs",
            "creationTime gt datetime'Mon, 01 Jan 2024 00:00:00 GMT'",
            Compare("creationTime", "gt", NEW_YEAR_US),
        ),
        (
            "pools",
            "creationTime ge DateTime'2024-01-01'",
            Compare("creationTime", "ge", NEW_YEAR_US),
        ),
        (
            "tasks",
            "lastModifiedTime le DateTime'2024-01-01T01:00:00+01:00'",
            Compare("lastModified", "le", NEW_YEAR_US),
        ),
        (
            "tasks",
            "id eq 'a' or id eq 'b' and state ne 'active'",
            Either(
                Compare("id", "eq", "a"),
                Both(Compare("id", "eq", "b"), Compare("state", "ne", "active")),
            ),
        ),
        (
            "tasks",
            " ( id eq 'a'or id eq 'b' )and(state ne 'active') ",
            Both(
                Either(Compare("id", "eq", "a"), Compare("id", "eq", "b")),
                Compare("state", "ne", "active"),
            ),
        ),
    ],
)
def test_a_filter(kind: str, text: str, expected: Filter) -> None:
    assert filter_of(kind, text) == expected


@pytest.mark.parametrize("text", [None, "", "  "])
def test_no_filter(text: str | None) -> None:
    assert filter_of("tasks", text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("colour eq 'red'", "'colour' is not a property"),
        ("ID eq 'a'", "'ID' is not a property"),
        ("executionInfo/exitcode eq 1", "'executionInfo/exitcode' is not a property"),
        ("id has 'a'", "'has' is not a property"),
        ("endswith(id,'a')", "'endswith' is not a property"),
        ("state gt 'active'", "'gt' cannot be asked of 'state'"),
        ("startswith(state,'a')", "'startswith' cannot be asked of 'state'"),
        ("id eq 5", "a string"),
        ("executionInfo/exitCode eq '5'", "an integer"),
        ("executionInfo/exitCode eq 99999999999999999999", "an integer"),
        ("creationTime gt 'soon'", "'soon' is not a time"),
        ("creationTime gt DateTime'2024-13-01T00:00:00Z'", "is not a time"),
        ("creationTime gt 5", "a time"),
        ("id eq id", "a string"),
        ("'a' eq id", "comparisons of a property"),
        ("id", "comparisons of a property"),
        ("startswith eq 'a'", "must compare a property"),
        ("id eq", "not a filter expression"),
        ("(id eq 'a'", "not a filter expression"),
        ("id eq 'a' and", "not a filter expression"),
        ("id eq 'a", "cannot be read from"),
        ("id eq 5.5", "cannot be read from"),
        ("id = 'a'", "cannot be read from"),
        ("true", "comparisons of a property"),
        ("datetime eq 'a'", "'datetime' is not a property"),
        ("(" * 21 + "id eq 'a'" + ")" * 21, "too complex"),
        (" or ".join(["id eq 'a'"] * (MOST_TOKENS // 3)), "too complex"),
        ("id eq '" + "x" * LONGEST + "'", "longer than"),
    ],
)
def test_a_filter_that_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidQueryParameterValue) as raised:
        filter_of("tasks", text)
    assert reason in raised.value.values["Reason"]
    assert raised.value.values["QueryParameterName"] == "$filter"
    assert text.startswith(raised.value.values["QueryParameterValue"])


def test_every_path_is_one_that_stores_answer() -> None:
    for kind, paths in PATHS.items():
        asked = {each.path for each in PROPERTIES[kind].values()}
        assert asked <= paths
        assert paths - {"lastModifiedTime"} <= asked


_ORDER = "eq ne gt ge lt le"
_SPECIAL = {"state": "eq", "startTime": _ORDER, "endTime": _ORDER, "exitCode": _ORDER}
_TIMES = dict.fromkeys(("stateTransitionTime", "creationTime", "lastModified"), _ORDER)
_RUN = {"executionInfo/startTime": _ORDER, "executionInfo/endTime": _ORDER}
_ID = {"id": f"{_ORDER} startswith"}
_JOBS = {"state": "eq ne", **_TIMES, **_RUN, "executionInfo/poolId": f"{_ORDER} startswith"}
DOCUMENTED: dict[str, dict[str, str]] = {
    "pools": {
        **_ID,
        **_TIMES,
        "state": "eq ne",
        "allocationState": "eq ne",
        "allocationStateTransitionTime": _ORDER,
        "enableAutoScale": "eq ne",
        "enableInterNodeCommunication": "eq ne",
        "vmSize": "eq ne",
    },
    "nodes": {
        "state": "eq ne",
        "stateTransitionTime": _ORDER,
        "lastBootTime": _ORDER,
        "allocationTime": _ORDER,
        "startTaskInfo/result": "eq ne",
        **{f"startTaskInfo/{name}": asked for name, asked in _SPECIAL.items()},
    },
    "nodecounts": {"poolId": "eq"},
    "files": {"name": "startswith"},
    "jobs": {**_ID, **_JOBS},
    "jobs of a schedule": _JOBS,
    "jobschedules": {
        **_ID,
        **_TIMES,
        "state": "eq ne",
        "executionInfo/endTime": _ORDER,
        "schedule/doNotRunUntil": _ORDER,
        "schedule/doNotRunAfter": _ORDER,
    },
    "tasks": {
        **_ID,
        **_TIMES,
        **_RUN,
        "lastModifiedTime": _ORDER,
        "state": "eq ne",
        "executionInfo/exitCode": _ORDER,
        "executionInfo/result": "eq ne",
    },
    "jobpreparationandreleasetaskstatus": {
        "poolId": "eq ne",
        "nodeId": "eq ne",
        **{
            f"job{which}TaskExecutionInfo/{name}": asked
            for which in ("Preparation", "Release")
            for name, asked in {**_SPECIAL, "result": "eq ne"}.items()
        },
    },
    "supportedimages": dict.fromkeys(("osType", "verificationType", "nodeAgentSKUId"), "eq ne"),
    "certificates": {"state": "eq ne", "stateTransitionTime": _ORDER},
    "poolusagemetrics": {"poolId": "eq gt ge lt le startswith"},
}


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_what_may_be_asked_is_what_azure_documents(kind: str) -> None:
    asked = {name: set(each.operators) for name, each in PROPERTIES[kind].items()}
    assert asked == {name: set(text.split()) for name, text in DOCUMENTED[kind].items()}
