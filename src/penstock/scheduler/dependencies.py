"""Which tasks of a job wait for others, and which the end of one releases.

A dependent watches one unmet dependency at a time. When that is met it moves on to its next
unmet one, and is released when there is none. So an edge costs something only when the watched
one is met, and "who blocks this task?" is a lookup. Of a range the last one that is missing is
watched: tasks end about in the order of their numbers, so that a thousand tasks that wait for
the same million move on when it is nearly over, and not a million times each.

One end may release a hundred thousand. So what watched it is only noted at first, and moves on
as far as its owner has time for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from penstock.domain.records import key_of
from penstock.domain.specs.task import Dependencies
from penstock.scheduler.numbers import Numbers

LONGEST_ID = 64
"""A longer text is no id, and as a number it might be longer than the interpreter reads."""

Watched = str | int
"""A task by its lower-case id, or by the number that its id spells."""


def number_of(task_id: str) -> int | None:
    """The number that an id spells (``1``, ``01`` and ``001`` alike), or None."""
    if len(task_id) > LONGEST_ID or not task_id.isascii() or not task_id.isdigit():
        return None
    return int(task_id)


Then = tuple[Any, ...]
"""What its owner wants to know of a dependent when it is released."""


MOST_SPANS: Final = 10
FIRST_OF_SPAN: Final = 5
"""What is told of ranges: of so many of them, and so many of the numbers of each."""


class UnmetSpan(msgspec.Struct, frozen=True):
    """A range of which some tasks have not succeeded."""

    start: int
    end: int
    count: int
    first: tuple[int, ...]  # of those, some


class Unmet(msgspec.Struct, frozen=True):
    """What a dependent still waits for."""

    ids: tuple[str, ...]  # in lower case
    spans: tuple[UnmetSpan, ...]

    @property
    def count(self) -> int:
        return len(self.ids) + sum(span.count for span in self.spans)


class _Wish:
    """A dependent: what it wants, and how far down that list all is met."""

    __slots__ = ("at", "no", "then", "unmet", "wants")

    def __init__(self, no: int, wants: Dependencies, then: Then) -> None:
        self.no = no
        self.wants = wants
        self.then = then
        self.at = 0  # ids first, then ranges
        self.unmet: Watched = 0


class DependencyBook:
    """The dependencies among the tasks of one job.

    A task that ended well and is gone, or runs again, still counts for those tasks that were
    there before: it may have released them already. `once` has such tasks with the number before
    which a dependent counts them.
    """

    def __init__(
        self, satisfied: Iterable[str] = (), once: Mapping[str, int] | None = None
    ) -> None:
        self._once: dict[Watched, int] = {}
        for task_id, before_no in (once or {}).items():
            self._note_once(task_id, before_no)
        self._ids: set[str] = set()
        self._numbers = Numbers()
        self._wishes: dict[int, _Wish] = {}
        self._watchers: dict[Watched, dict[int, None]] = {}
        self._met_now: deque[tuple[Watched, Iterator[int]]] = deque()  # with those that watched
        for task_id in satisfied:
            self._note(task_id)

    def __len__(self) -> int:
        return len(self._wishes)

    def add(self, task_no: int, wants: Dependencies, then: Then) -> bool:
        """Note a dependent. True when all it wants is there, so that it need not wait."""
        wish = _Wish(task_no, wants, then)
        if self._met(wish):
            return True
        self._wishes[task_no] = wish
        self._watchers.setdefault(wish.unmet, {})[task_no] = None
        return False

    def remove(self, task_no: int) -> bool:
        """Forget a dependent; False when it was not waiting."""
        wish = self._wishes.pop(task_no, None)
        if wish is None:
            return False
        self._watch_no_more(wish)
        return True

    def blocked_by(self, task_no: int) -> Watched | None:
        """What a dependent waits for now: one of its unmet dependencies."""
        wish = self._wishes.get(task_no)
        return None if wish is None else wish.unmet

    def unmet(self, task_no: int) -> Unmet | None:
        """All that a dependent waits for now; None when it does not wait.

        Cost: its list of ids, and for each range its blocks or all that there are.
        """
        wish = self._wishes.get(task_no)
        if wish is None:
            return None
        ids = wish.wants.task_ids or []
        keys = (key_of(name) for name in ids[wish.at :])
        missing = (key for key in keys if not (self._has(key) or self._had(wish, key)))
        spans = (wish.wants.task_id_ranges or [])[max(0, wish.at - len(ids)) :]
        found = (self._unmet_span(wish, span.start, span.end) for span in spans)
        unmet = Unmet(
            tuple(dict.fromkeys(missing)),
            tuple(islice((span for span in found if span.count), MOST_SPANS)),
        )
        return unmet if unmet.count else None  # all is met, and it is about to be released

    def _unmet_span(self, wish: _Wish, start: int, end: int) -> UnmetSpan:
        had = sum(number not in self._numbers for number in self._once_in(wish, start, end))
        count = end - start + 1 - self._numbers.count(start, end) - had
        first: list[int] = []
        at = self._numbers.first_missing(start, end) if count else None
        while at is not None and len(first) < FIRST_OF_SPAN:
            if not (had and self._had(wish, at)):
                first.append(at)
            at = self._numbers.first_missing(at + 1, end)
        return UnmetSpan(start, end, count, tuple(first))

    def _once_in(self, wish: _Wish, start: int, end: int) -> Iterator[int]:
        """The numbers of a range that had ended well for a dependent."""
        few = end - start < len(self._once)
        for watched in range(start, end + 1) if few else self._once:
            if isinstance(watched, int) and start <= watched <= end and self._had(wish, watched):
                yield watched

    def first(self, most: int) -> list[int]:
        """The dependents that have waited for longest, up to so many."""
        return list(islice(self._wishes, most))

    def satisfy(self, task_id: str) -> None:
        """A task ended well; `release` then gives the dependents that need wait no more."""
        self._note(task_id)
        number = number_of(task_id)
        for met in (key_of(task_id),) if number is None else (key_of(task_id), number):
            if met in self._watchers:
                self._met_now.append((met, iter(list(self._watchers[met]))))

    @property
    def may_release(self) -> bool:
        """Whether tasks have ended well that dependents still watch."""
        return bool(self._met_now)

    def release(self, most: int) -> tuple[list[tuple[int, Then]], int]:
        """Let dependents move on, over about so many edges.

        Gives those that need wait no more, oldest first, and how many edges it took.
        """
        released: list[tuple[int, Then]] = []
        took = 0
        while self._met_now and took < most:
            met, watchers = self._met_now[0]
            task_no = next(watchers, None)
            if task_no is None:
                self._met_now.popleft()
            elif task_no in self._watchers.get(met, ()):  # else it was removed meanwhile
                wish = self._wishes[task_no]
                at = wish.at
                if self._advance(wish):
                    released.append((task_no, wish.then))
                took += 1 + wish.at - at
        return sorted(released, key=lambda pair: pair[0]), took

    def unsatisfy(self, task_id: str, before_no: int) -> None:
        """A task that had ended well is gone or runs again; for those before `before_no` it has."""
        self._note_once(task_id, before_no)
        self._ids.discard(key_of(task_id))
        number = number_of(task_id)
        if number is not None:
            self._numbers.discard(number)

    def _note(self, task_id: str) -> None:
        number = number_of(task_id)
        if number is not None:
            self._numbers.add(number)
        if number is None or task_id != str(number):
            self._ids.add(key_of(task_id))

    def _note_once(self, task_id: str, before_no: int) -> None:
        number = number_of(task_id)
        if number is not None:
            self._once[number] = before_no
        if number is None or task_id != str(number):
            self._once[key_of(task_id)] = before_no

    def _had(self, wish: _Wish, watched: Watched) -> bool:
        """Whether the task of this id, or of this number, had ended well for a dependent."""
        if watched in self._once:
            return self._once[watched] > wish.no
        number = number_of(watched) if isinstance(watched, str) else None
        return number is not None and watched == str(number) and self._once.get(number, 0) > wish.no

    def _has(self, key: str) -> bool:
        """Whether the task of this id is satisfied. Ids that are plain numbers live as such."""
        if key in self._ids:
            return True
        number = number_of(key)
        return number is not None and key == str(number) and number in self._numbers

    def _advance(self, wish: _Wish) -> bool:
        """Let a dependent watch its next unmet dependency; True when there is none."""
        self._watch_no_more(wish)
        if self._met(wish):
            del self._wishes[wish.no]
            return True
        self._watchers.setdefault(wish.unmet, {})[wish.no] = None
        return False

    def _watch_no_more(self, wish: _Wish) -> None:
        watchers = self._watchers[wish.unmet]
        del watchers[wish.no]
        if not watchers:
            del self._watchers[wish.unmet]

    def _met(self, wish: _Wish) -> bool:
        """Move on to the next unmet dependency; True when there is none."""
        ids = wish.wants.task_ids or []
        spans = wish.wants.task_id_ranges or []
        while wish.at < len(ids):
            key = key_of(ids[wish.at])
            if not (self._has(key) or self._had(wish, key)):
                wish.unmet = key
                return False
            wish.at += 1
        while wish.at < len(ids) + len(spans):
            span = spans[wish.at - len(ids)]
            missing = self._numbers.last_missing(span.start, span.end)
            while missing is not None and self._had(wish, missing):
                missing = self._numbers.last_missing(span.start, missing - 1)
            if missing is not None:
                wish.unmet = missing
                return False
            wish.at += 1
        return True
