"""Odd values, and JSON that is spoiled by them: as objects while it is some, then as bytes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    101,
    2**31 - 1,
    2**31,
    2**53 + 1,
    2**63,
    -(2**63) - 1,
    10**30,
    0.5,
    -0.0,
    1e300,
    "",
    " ",
    "0",
    "-1",
    "1e9",
    "99999999999999999999999",
    "true",
    "NaN",
    "a" * 65,
    "a" * 1025,
    "a" * 40_000,
    "../../etc/passwd",
    "a/b",
    "a%2Fb",
    "a:job-1",
    "nul\0byte",
    "new\nline",
    "quote ' and \"",
    "\ud800",
    "\u202e\u0000\uffff",
    "ünï-çødé",
    "💥" * 30,
    "PT15M",
    "PT0S",
    "-PT1S",
    "P10675199DT2H48M5.4775807S",
    "P99999999999999D",
    "PT1H1M1.123456789S",
    "2024-01-31T08:00:00Z",
    "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:59.9999999Z",
    "not-a-date",
    "http://127.0.0.1/x",
    "https://",
    "file:///etc/passwd",
    "http://[::1",
    [],
    [None],
    [[]],
    ["a"] * 101,
    {},
    {"": ""},
    {"name": None},
    {"a": {"b": {"c": []}}},
)

_LITERALS: Final = (
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e400",
    b"-1e400",
    b"9" * 5000,
    b"1." + b"0" * 5000 + b"1",
    b"0x10",
    b"01",
    b"+1",
    b"'single'",
    b'"\\ud800"',
    b'"\\u0000"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"\xc0\xaf"',
    b'"unended',
    b"undefined",
    b"[" * 200 + b"]" * 200,
    b"[" * 100_000,
    b'{"a":' * 3000 + b"1" + b"}" * 3000,
    b"// comment",
)
"""What stands for a value and is not JSON, or more of it than anybody reads."""


def odd(random: Random) -> Any:
    """Any value that a client should not have sent, and some that it may."""
    return copy.deepcopy(random.choice(ODD))


def spoiled(random: Random, document: Any) -> Any:
    """Exchange, remove, add or double some parts of a document, in place where it has any."""
    for _ in range(random.randint(1, 3)):
        places = list(_places(document))
        if not places:
            return odd(random)
        container, key = random.choice(places)
        act = random.random()
        if act < 0.65:
            container[key] = odd(random)
        elif act < 0.8:
            del container[key]
        elif isinstance(container, dict):
            container[random.choice(("id", "name", "Value", "x" * 300, "", "\0"))] = odd(random)
        else:
            container.extend([container[key]] * random.choice((1, 3, 120)))
    return document


def _places(part: Any) -> Iterator[tuple[Any, Any]]:
    items: Any = ()
    if isinstance(part, dict):
        items = part.items()
    elif isinstance(part, list):
        items = enumerate(part)
    for key, value in list(items):
        yield part, key
        yield from _places(value)


def text_of(document: Any) -> bytes:
    """JSON, of lone surrogates too, as a careless client would write it."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


def torn(random: Random, text: bytes) -> bytes:
    """Spoil bytes that were JSON."""
    return random.choice(_TEARS)(random, text)


def _cut(random: Random, text: bytes) -> bytes:
    return text[: random.randrange(len(text) + 1)]


def _flipped(random: Random, text: bytes) -> bytes:
    if not text:
        return b"\xff"
    at = random.randrange(len(text))
    return text[:at] + bytes([random.randrange(256)]) + text[at + 1 :]


def _other_literal(random: Random, text: bytes) -> bytes:
    """Put something that is no value in the place of one."""
    ends = [at + 1 for at, byte in enumerate(text) if byte == ord(":")]
    if not ends:
        return random.choice(_LITERALS)
    at = random.choice(ends)
    return text[:at] + random.choice(_LITERALS) + b"," + text[at:]


def _twice(random: Random, text: bytes) -> bytes:
    """Every key of the outer object twice, or the whole text."""
    if text.startswith(b"{") and text.endswith(b"}") and len(text) > 2:
        return text[:-1] + b"," + text[1:]
    return text + text


def _around(random: Random, text: bytes) -> bytes:
    before = random.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"[", b"\0", b" " * 5000, b""))
    return before + text + random.choice((b"", b"x", b"\0", b"]", b"{}", b"\n" * 100))


def _nothing(random: Random, text: bytes) -> bytes:
    return random.choice((b"", b" ", b"null", b"[]", b"{}", b'""', b"0", b"\xff\xff"))


_TEARS: Final[tuple[Callable[[Random, bytes], bytes], ...]] = (
    _cut,
    _flipped,
    _other_literal,
    _twice,
    _around,
    _nothing,
)
