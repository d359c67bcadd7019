"""Which parts of which indexes together have all tasks that pass a filter.

SQLite knows nothing of how many rows a condition finds, so it would walk a million tasks in
order of key for the ten that failed with exit code 7. Here a filter becomes *covers*, whose rows
can be counted before they are read; the cheapest wins. A cover may have more than what passes,
never less: the filter itself is applied to its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from penstock.domain.queries import Both, Compare, Either, Filter, StartsWith
from penstock.domain.records import key_of
from penstock.domain.states import TaskResult, TaskState
from penstock.store.filters import LAST_CHARACTER, OPERATORS, TASKS, TESTS

_COMPLETED: Final = int(TaskState.COMPLETED)
_STATES: Final = frozenset(int(state) for state in TaskState)
_RESULTS: Final = frozenset(int(result) for result in TaskResult)
_FAILED: Final = int(TaskResult.FAILURE)


class Part(msgspec.Struct, frozen=True):
    """Some tasks of a job, as one index finds them; `where` is beside the job's number."""

    index: str
    where: str
    values: tuple[Any, ...] = ()
    in_order: bool = False  # of key, as a page needs them


Cover = tuple[Part, ...]
Count = Callable[[Part], int]
"""How many rows a part has, up to a bound."""

EVERYTHING: Final = Part("task_key", "1", (), in_order=True)

_STATE, _RESULT, _EXIT_CODE = "state", "executionInfo/result", "executionInfo/exitCode"
_ODD = Part("task_odd", f"state <> {_COMPLETED} AND (exit_code IS NOT NULL OR result IS NOT NULL)")
"""Tasks that have an exit code or a result without being completed: none, in practice."""

_PLAIN_TIMES: Final = {
    "creationTime": "task_created",
    "executionInfo/startTime": "task_start",
    "executionInfo/endTime": "task_end",
}
_CHANGE_TIMES: Final = {
    "stateTransitionTime": "task_changed",
    "lastModified": "task_modified",
    "lastModifiedTime": "task_modified",
}


def conjuncts(wanted: Filter) -> Iterator[Filter]:
    """The filters that must all be passed."""
    if isinstance(wanted, Both):
        yield from conjuncts(wanted.left)
        yield from conjuncts(wanted.right)
    else:
        yield wanted


class Bounds(msgspec.Struct, frozen=True):
    """The keys between which all that passes lies."""

    low: str
    above: bool = True  # the low one itself is not wanted
    high: str | None = None  # what passes is below it

    @property
    def where(self) -> str:
        """The condition on keys, for `values`."""
        low = "key > ?" if self.above else "key >= ?"
        return low if self.high is None else f"{low} AND key < ?"

    @property
    def values(self) -> tuple[str, ...]:
        return (self.low,) if self.high is None else (self.low, self.high)

    def split(self, key: str) -> tuple[Bounds, Bounds]:
        """What is up to a key, and what is behind it."""
        return Bounds(self.low, self.above, key + "\0"), Bounds(key, True, self.high)


def bounds(wanted: Filter, after: str) -> Bounds:
    """What a filter and the page before say of keys."""
    low: tuple[str, bool] = (after, True)
    high: str | None = None
    for part in filter(bounds_keys, conjuncts(wanted)):
        if isinstance(part, StartsWith):
            prefix = key_of(part.prefix)
            low = max(low, (prefix, False))
            high = _least(high, prefix + LAST_CHARACTER)
        elif isinstance(part, Compare):
            key = key_of(str(part.value))
            if part.operator in ("eq", "ge", "gt"):
                low = max(low, (key, part.operator == "gt"))
            if part.operator in ("eq", "le"):
                high = _least(high, key + "\0")
            if part.operator == "lt":
                high = _least(high, key)
    return Bounds(*low, high)


def bounds_keys(part: Filter) -> bool:
    """Whether `bounds` says all that this conjunct says."""
    if isinstance(part, Compare):
        return part.path == "id" and part.operator != "ne"
    return isinstance(part, StartsWith) and part.path == "id"


def _least(one: str | None, other: str) -> str:
    return other if one is None else min(one, other)


def cheapest(
    wanted: Filter, count: Count, states: frozenset[int] = _STATES
) -> tuple[int, Cover] | None:
    """The cover with the fewest rows, without parts that have none; None where no index helps.

    `states` are those that what passes can have.
    """
    parts = list(conjuncts(wanted))
    own = [part for part in parts if isinstance(part, Compare) and part.path == _STATE]
    for comparison in own:
        states &= _states_of(comparison)
    covers = [cover for cover in _of_comparisons(parts, states) if cover is not None]
    if own:
        covers.append(_in_states(states))
    found = [_counted(cover, count) for cover in covers]
    for part in parts:
        if isinstance(part, Either):
            sides = [cheapest(side, count, states) for side in (part.left, part.right)]
            known = [side for side in sides if side is not None]
            if len(known) == 2:
                (left_rows, left), (right_rows, right) = known
                found.append((left_rows + right_rows, tuple(dict.fromkeys(left + right))))
    # Of two that are both long the one that can be walked in order is the better one.
    return min(found, key=lambda pair: (pair[0], not ordered(pair[1])), default=None)


def ordered(cover: Cover) -> bool:
    """Whether a cover gives its rows in order of key."""
    return len(cover) == 1 and cover[0].in_order


def _counted(cover: Cover, count: Count) -> tuple[int, Cover]:
    rows = {part: count(part) for part in cover}
    return sum(rows.values()), tuple(part for part in cover if rows[part])


def _states_of(part: Compare) -> frozenset[int]:
    value = TASKS[_STATE].value(part.value)
    if part.operator == "ne":
        return frozenset(state for state in _STATES if state != value)
    return frozenset(state for state in _STATES if TESTS[part.operator](state, value))


def _in_states(states: Iterable[int]) -> Cover:
    return tuple(
        Part("task_state", "state = ?", (state,), in_order=True) for state in sorted(states)
    )


def _of_comparisons(parts: Sequence[Filter], states: frozenset[int]) -> Iterator[Cover | None]:
    """A cover for each property that is compared, by all that it is compared with."""
    ranges: dict[str, list[Compare]] = {}
    for part in parts:
        if isinstance(part, Compare) and part.operator != "ne":
            ranges.setdefault(part.path, []).append(part)
        elif isinstance(part, Compare) and part.path == _EXIT_CODE:
            yield _unlike(part.value, states)
        elif isinstance(part, StartsWith) and part.path == "id":
            low = key_of(part.prefix)
            values = (low, low + LAST_CHARACTER)
            yield (Part("task_key", "key >= ? AND key < ?", values, in_order=True),)
    for path, compared in ranges.items():
        yield _in_range(path, compared, states)


def _in_range(path: str, compared: Sequence[Compare], states: frozenset[int]) -> Cover | None:
    column = TASKS[path].column
    where = " AND ".join(f"{column} {OPERATORS[part.operator]} ?" for part in compared)
    values = tuple(TASKS[path].value(part.value) for part in compared)
    same = len(compared) == 1 and compared[0].operator == "eq"
    if path == "id":
        return (Part("task_key", where, values, in_order=True),)
    if path in _PLAIN_TIMES:
        return (Part(_PLAIN_TIMES[path], where, values),)
    if path in _CHANGE_TIMES:
        # What has not changed since it was made is found by that time; only the rest is indexed.
        made = " AND ".join(f"created_us {OPERATORS[part.operator]} ?" for part in compared)
        changed = f"{where} AND {column} <> created_us"
        return (Part("task_created", made, values), Part(_CHANGE_TIMES[path], changed, values))
    if path == _RESULT and same:
        if values == (_FAILED,):
            return (Part("task_failed", f"result = {_FAILED}", (), in_order=True),)
        return _completed_or_odd(states) if values[0] in _RESULTS else ()
    if path == _EXIT_CODE and all(TESTS[part.operator](0, part.value) for part in compared):
        return _completed_or_odd(states)
    if path == _EXIT_CODE:
        where = f"{where} AND exit_code <> 0"
        return (Part("task_exit_code", where, values, in_order=same),)
    return None


def _completed_or_odd(states: frozenset[int]) -> Cover:
    """All that may have an exit code or a result."""
    completed = _in_states(states & {_COMPLETED})
    return (*completed, _ODD) if states - {_COMPLETED} else completed


def _unlike(code: object, states: frozenset[int]) -> Cover:
    """Tasks whose exit code is not this one; those without any are among them."""
    if code != 0:
        return _in_states(states)
    codes = Part("task_exit_code", "exit_code <> 0")
    without = Part("task_no_code", f"state = {_COMPLETED} AND exit_code IS NULL", (), in_order=True)
    waiting = _in_states(states - {_COMPLETED})
    return (codes, *waiting, without) if _COMPLETED in states else (codes, *waiting)
