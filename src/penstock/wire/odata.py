"""``$filter`` to `Filter`, against a table of what each list can be asked for.

The grammar is odata-query's. Its lexer takes keywords for prefixes of names (``allocationState``
starts with ``all``) and knows no ``DateTime'…'``, so the text is taken apart first: known
property paths become short names, and anything else that is not part of the language is refused
by name before the parser sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from odata_query import ast
from odata_query.exceptions import ODataException
from odata_query.grammar import ODataLexer, ODataParser

from penstock.domain.instants import from_datetime, instant
from penstock.domain.queries import Both, Compare, Either, Filter, Operator, StartsWith, Value
from penstock.domain.refusals import InvalidQueryParameterValue

LONGEST: Final = 8192
"""Characters of a filter."""

MOST_TOKENS: Final = 400
"""Names, operators, values and parentheses: about a hundred comparisons."""

DEEPEST: Final = 20
"""Parentheses in each other."""

_LARGEST: Final = 2**63 - 1


class Kind(Enum):
    """What values a property has."""

    TEXT = "a string in single quotes"
    NAME = "a string in single quotes, without regard to case"
    TIME = "a time such as DateTime'2024-01-31T08:00:00Z'"
    INTEGER = "an integer"
    BOOLEAN = "true or false"


class Property(NamedTuple):
    """What may be asked of one property. `path` is its name in `domain.queries`."""

    path: str
    kind: Kind
    operators: frozenset[str]


_EQUAL: Final = frozenset({"eq"})
_SAME: Final = frozenset({"eq", "ne"})
_ORDER: Final = frozenset({"eq", "ne", "gt", "ge", "lt", "le"})
_TEXT: Final = _ORDER | {"startswith"}


def _text(path: str) -> Property:
    return Property(path, Kind.TEXT, _TEXT)


def _same(path: str, kind: Kind = Kind.NAME) -> Property:
    return Property(path, kind, _SAME)


def _time(path: str) -> Property:
    return Property(path, Kind.TIME, _ORDER)


def _number(path: str) -> Property:
    return Property(path, Kind.INTEGER, _ORDER)


def _table(*properties: Property) -> dict[str, Property]:
    return {each.path: each for each in properties}


_COMMON: Final = (
    _text("id"),
    _same("state"),
    _time("stateTransitionTime"),
    _time("creationTime"),
    _time("lastModified"),
)


def _special(info: str) -> tuple[Property, ...]:
    return (
        Property(f"{info}/state", Kind.NAME, _EQUAL),
        _time(f"{info}/startTime"),
        _time(f"{info}/endTime"),
        _number(f"{info}/exitCode"),
        _same(f"{info}/result"),
    )


_RUN_OF_JOB: Final = (
    _time("executionInfo/startTime"),
    _time("executionInfo/endTime"),
    _text("executionInfo/poolId"),
)

PROPERTIES: Final[dict[str, dict[str, Property]]] = {
    "pools": _table(
        *_COMMON,
        _same("allocationState"),
        _time("allocationStateTransitionTime"),
        _same("enableAutoScale", Kind.BOOLEAN),
        _same("enableInterNodeCommunication", Kind.BOOLEAN),
        _same("vmSize"),
    ),
    "nodes": _table(
        _same("state"),
        _time("stateTransitionTime"),
        _time("lastBootTime"),
        _time("allocationTime"),
        Property("startTaskInfo/state", Kind.NAME, _EQUAL),
        _same("startTaskInfo/result"),
        _number("startTaskInfo/exitCode"),
        _time("startTaskInfo/startTime"),
        _time("startTaskInfo/endTime"),
    ),
    "jobs": _table(*_COMMON, *_RUN_OF_JOB),
    "jobs of a schedule": _table(*_COMMON[1:], *_RUN_OF_JOB),
    "jobschedules": _table(
        *_COMMON,
        _time("executionInfo/endTime"),
        _time("schedule/doNotRunUntil"),
        _time("schedule/doNotRunAfter"),
    ),
    "tasks": {
        **_table(
            *_COMMON,
            _time("executionInfo/startTime"),
            _time("executionInfo/endTime"),
            _number("executionInfo/exitCode"),
            _same("executionInfo/result"),
        ),
        "lastModifiedTime": _time("lastModified"),
    },
    "certificates": _table(_same("state"), _time("stateTransitionTime")),
    "jobpreparationandreleasetaskstatus": _table(
        _same("poolId"),
        _same("nodeId"),
        *_special("jobPreparationTaskExecutionInfo"),
        *_special("jobReleaseTaskExecutionInfo"),
    ),
    "files": _table(Property("name", Kind.TEXT, frozenset({"startswith"}))),
    "nodecounts": _table(Property("poolId", Kind.TEXT, _EQUAL)),
    "nodeagentskus": _table(_same("osType")),
    "poolusagemetrics": _table(Property("poolId", Kind.TEXT, _TEXT - {"ne"})),
    "supportedimages": _table(
        _same("osType"), _same("verificationType"), _same("nodeAgentSKUId", Kind.NAME)
    ),
}
"""By list and name: what can be filtered by."""

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<word>[A-Za-z_]\w*(?:/[A-Za-z_]\w*)*)"
    r"|(?P<number>[+-]?\d+)|(?P<mark>[(),]))"
)
_LANGUAGE: Final = frozenset(
    {"eq", "ne", "gt", "ge", "lt", "le", "and", "or", "true", "false", "startswith"}
)
_TIMES: Final = frozenset({"datetime", "datetimeoffset"})


class _Refused(Exception):
    """Why a filter cannot be used."""


def filter_of(kind: str, text: str | None) -> Filter | None:
    """Read the filter of a list, or refuse it with the reason."""
    if not text or not text.strip():
        return None
    try:
        return _parsed(kind, text)
    except _Refused as reason:
        raise InvalidQueryParameterValue(
            QueryParameterName="$filter", QueryParameterValue=text[:256], Reason=reason
        ) from None


@lru_cache(maxsize=256)
def _parsed(kind: str, text: str) -> Filter:
    if len(text) > LONGEST:
        raise _Refused(f"is longer than {LONGEST} characters")
    properties = PROPERTIES[kind]
    names = list(properties)
    prepared = " ".join(_tokens(text, names)).replace("startswith (", "startswith(")
    try:
        tree = ODataParser().parse(ODataLexer().tokenize(prepared))
    except ODataException:
        raise _Refused("is not a filter expression") from None
    return _Reader(properties, names).read(tree)


def _tokens(text: str, names: list[str]) -> Iterator[str]:
    """Give the filter token by token, each known property as ``p`` and its number."""
    at = depth = count = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise _Refused(f"cannot be read from {text[at : at + 20].strip()!r} on")
        at = match.end()
        count += 1
        token = match.group(match.lastgroup or 0)
        depth += (token == "(") - (token == ")")
        if count > MOST_TOKENS or depth > DEEPEST:
            raise _Refused("is too complex")
        if match.lastgroup != "word":
            yield token
        elif token in names:
            yield f"p{names.index(token)}"
        elif token.lower() in _LANGUAGE:
            yield token.lower()
        elif token.lower() not in _TIMES or text[at : at + 1] != "'":
            raise _Refused(f"{token!r} is not a property to filter by, or not an operator")


class _Reader:
    """Reads one parsed filter."""

    def __init__(self, properties: dict[str, Property], names: list[str]) -> None:
        self._properties = properties
        self._names = names

    def read(self, node: object) -> Filter:
        match node:
            case ast.BoolOp(op=ast.And()):
                return Both(self.read(node.left), self.read(node.right))
            case ast.BoolOp():
                return Either(self.read(node.left), self.read(node.right))
            case ast.Compare(left=ast.Identifier()):
                return self._compare(node)
            case ast.Call(
                func=ast.Identifier(name="startswith"), args=[left, ast.String() as text]
            ):
                found = self._property(left, "startswith")
                return StartsWith(found.path, text.val)
        raise _Refused("must be comparisons of a property with a value, joined by and, or")

    def _property(self, node: object, operator: str) -> Property:
        if not isinstance(node, ast.Identifier) or not node.name[1:].isdecimal():
            raise _Refused("must compare a property")
        name = self._names[int(node.name[1:])]
        found = self._properties[name]
        if operator not in found.operators:
            raise _Refused(f"{operator!r} cannot be asked of {name!r}")
        return found

    def _compare(self, node: ast.Compare) -> Filter:
        operator = _OPERATORS.get(type(node.comparator))
        if operator is None:
            raise _Refused("has an operator that is not eq, ne, gt, ge, lt or le")
        found = self._property(node.left, operator)
        return Compare(found.path, operator, _value(found, node.right))


_OPERATORS: Final[dict[type, Operator]] = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Gt: "gt",
    ast.GtE: "ge",
    ast.Lt: "lt",
    ast.LtE: "le",
}


def _value(found: Property, node: object) -> Value:
    """Convert a literal to the type of the property."""
    match found.kind, node:
        case Kind.TEXT, ast.String():
            return node.val
        case Kind.NAME, ast.String():
            return node.val.lower()
        case Kind.TIME, ast.String():
            return _instant(node.val)
        case Kind.BOOLEAN, ast.Boolean():
            return node.val.lower() == "true"
        case Kind.INTEGER, ast.Integer():
            digits = node.val
            if len(digits) < 20 and abs(int(digits)) <= _LARGEST:
                return int(digits)
    raise _Refused(f"{found.path!r} is compared with {found.kind.value}")


def _instant(text: str) -> int:
    """ISO 8601, or RFC 1123."""
    try:
        return instant(text) if text[:1].isdigit() else from_datetime(parsedate_to_datetime(text))
    except (ValueError, TypeError, OverflowError, IndexError):
        raise _Refused(f"{text[:64]!r} is not a time") from None
