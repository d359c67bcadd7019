"""Dependencies: the book releases exactly those whose wishes are all met."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.specs.task import Dependencies, TaskIdRange
from penstock.scheduler.dependencies import DependencyBook, Then
from penstock.scheduler.numbers import BLOCK_BITS, Numbers

MOST = 5 << BLOCK_BITS
NUMBERS = st.integers(0, MOST) | st.builds(
    lambda block, offset: max(0, (block << BLOCK_BITS) + offset),
    st.integers(0, 4),
    st.integers(-2, 2),
)

NAMES = st.sampled_from(["a", "B", "c", "1", "2", "3", "4", "5", "6"])
RANGES = st.tuples(st.integers(1, 6), st.integers(0, 3)).map(
    lambda pair: TaskIdRange(start=pair[0], end=pair[0] + pair[1])
)
WISHES = st.builds(
    Dependencies,
    task_ids=st.none() | st.lists(NAMES, max_size=3),
    task_id_ranges=st.none() | st.lists(RANGES, max_size=2),
)


def met(wish: Dependencies, done: set[str]) -> bool:
    lower = {name.lower() for name in done}
    numbers = {int(name) for name in done if name.isdigit()}
    return all(name.lower() in lower for name in wish.task_ids or []) and all(
        number in numbers
        for span in wish.task_id_ranges or []
        for number in range(span.start, span.end + 1)
    )


def all_of(book: DependencyBook) -> list[tuple[int, Then]]:
    """All that the book has to release, bit by bit."""
    found = []
    while book.may_release:
        found += book.release(2)[0]
    return found


@settings(max_examples=400, deadline=None)
@given(wishes=st.lists(WISHES, max_size=6), events=st.lists(NAMES, max_size=12))
def test_a_task_is_released_when_all_it_wants_is_there_and_not_before(
    wishes: list[Dependencies], events: list[str]
) -> None:
    book = DependencyBook()
    done: set[str] = set()
    waiting = {
        number for number, wish in enumerate(wishes) if not book.add(number, wish, (number, None))
    }
    assert all(met(wish, done) != (number in waiting) for number, wish in enumerate(wishes))
    for name in events:
        done.add(name)
        book.satisfy(name)
        released = {number for number, (then, _) in all_of(book) if then == number}
        assert released <= waiting
        waiting -= released
        for number, wish in enumerate(wishes):
            assert met(wish, done) == (number not in waiting)
        for number in waiting:
            blocker = book.blocked_by(number)
            lower = {other.lower() for other in done}
            numbers = {int(other) for other in done if other.isdigit()}
            assert blocker is not None
            assert blocker not in (numbers if isinstance(blocker, int) else lower)
    assert len(book) == len(waiting)


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.just("wish"), WISHES)
        | st.tuples(st.sampled_from(("ends", "goes", "restart")), NAMES),
        max_size=16,
    )
)
def test_what_a_gone_task_has_released_stays_released(steps: list[tuple[str, Any]]) -> None:
    """The book that goes on and one that is built anew agree, whoever waits."""
    book, done, once = DependencyBook(), set[str](), dict[str, int]()
    wishes: dict[int, Dependencies] = {}
    waiting: set[int] = set()
    for number, (what, value) in enumerate(steps):
        if what == "wish":
            wishes[number] = value
            if not book.add(number, value, (1, None)):
                waiting.add(number)
        elif what == "ends":
            done.add(value)
            book.satisfy(value)
            waiting -= {no for no, _ in all_of(book)}
        elif what == "goes" and value in done:
            done.discard(value)
            once[value] = number
            book.unsatisfy(value, number)
        anew = DependencyBook(done, once)
        assert {no for no, wish in wishes.items() if not anew.add(no, wish, (1, None))} == waiting
        if what == "restart":
            book = anew


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.just("wish"), WISHES)
        | st.tuples(st.sampled_from(("ends", "goes")), NAMES)
        | st.tuples(st.sampled_from(("release", "leaves")), st.integers(0, 5)),
        min_size=1,
        max_size=16,
    )
)
def test_what_is_released_late_is_released_all_the_same(steps: list[tuple[str, Any]]) -> None:
    """Whatever happens before all that may go has gone, each goes once, and nobody is left."""
    book, done, once = DependencyBook(), set[str](), dict[str, int]()
    wishes: dict[int, Dependencies] = {}
    waiting: set[int] = set()
    for number, (what, value) in enumerate(steps):
        if what == "wish":
            wishes[number] = value
            if not book.add(number, value, (1, None)):
                waiting.add(number)
        elif what == "ends":
            done.add(value)
            book.satisfy(value)
        elif what == "goes" and value in done:
            done.discard(value)
            once[value] = number
            book.unsatisfy(value, number)
        elif what == "release":
            released, _ = book.release(value)
            assert {no for no, _ in released} <= waiting
            waiting -= {no for no, _ in released}
        elif what == "leaves":
            assert book.remove(value) == (value in waiting)
            waiting.discard(value)
            wishes.pop(value, None)
        anew = DependencyBook(done, once)
        blocked = {no for no, wish in wishes.items() if not anew.add(no, wish, (1, None))}
        assert blocked <= waiting
        assert {no for no in waiting if book.unmet(no) is not None} == blocked
    waiting -= {no for no, _ in all_of(book)}
    assert waiting == blocked
    assert len(book) == len(waiting)


@settings(max_examples=300)
@given(
    spans=st.lists(st.tuples(NUMBERS, NUMBERS), max_size=4),
    removed=st.lists(NUMBERS, max_size=6),
    asked=st.lists(st.tuples(NUMBERS, NUMBERS), max_size=6),
)
def test_numbers_are_a_set_that_knows_its_gaps(
    spans: list[tuple[int, int]], removed: list[int], asked: list[tuple[int, int]]
) -> None:
    numbers, model = Numbers(), set[int]()
    for start, end in spans:
        for number in range(start, end + 1):
            numbers.add(number)
            model.add(number)
    for number in removed:
        numbers.discard(number)
        model.discard(number)
    assert {number for number in range(MOST + 1) if number in numbers} == model
    assert len(numbers) == len(model)
    for start, end in asked:
        missing = [number for number in range(start, end + 1) if number not in model]
        assert numbers.last_missing(start, end) == (missing[-1] if missing else None)
