"""How a request becomes bytes on a connection, properly and in all the ways that are not.

A `Frame` is pieces to write, with pauses, and how many answers must come: what was sent whole is
answered; what was cut short, or could be read in two ways, may also end in a closed connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.fuzz.requests import Asked

PAUSE_S: Final = 0.01

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""The parser takes others for no HTTP."""


@dataclass(slots=True)
class Frame:
    """Bytes to send."""

    pieces: Sequence[bytes]
    asked: Sequence[Asked]  # in this order
    pause_s: float = 0.0
    certain: bool = True  # each must be answered, in order
    end: bool = False  # nothing more is sent: the connection is shut on this side
    heads: list[bool] = field(default_factory=list)  # which are answered without a body

    def __post_init__(self) -> None:
        self.heads = [each.method == "HEAD" for each in self.asked]


def head_of(asked: Asked, *, version: str = "HTTP/1.1", more: bytes = b"") -> bytes:
    """Request line and headers."""
    line = f"{asked.method} {asked.target} {version}\r\n".encode("utf-8", "replace")
    lines = [
        name.encode("latin-1") + b": " + value.encode("latin-1", "replace") + b"\r\n"
        for name, value in asked.headers.items()
    ]
    return line + b"".join(lines) + more + b"\r\n"


def plain(asked: Asked) -> Frame:
    """As clients send it."""
    return Frame([head_of(asked) + asked.body], [asked], certain=_answerable(asked))


def framed(random: Random, asked: Asked, make: Callable[[], Asked]) -> Frame:
    """In any way; `make` gives other requests to go with it."""
    if random.random() < 0.85:
        return plain(asked)
    way = random.choice(_WAYS)
    if way not in _CERTAIN and asked.method == "HEAD":
        asked.method = "GET"  # what is answered may not be what was asked, and then has a body
    return way(random, asked, make)


def _answerable(asked: Asked) -> bool:
    """Whether the head leaves no doubt about where the request ends."""
    return asked.method in _METHODS and all(
        "\0" not in value and "\n" not in value for value in asked.headers.values()
    )


def _split(random: Random, asked: Asked, make: Callable[[], Asked]) -> Frame:
    """In a few pieces, with pauses."""
    data = head_of(asked) + asked.body
    step = max(1, len(data) // random.randint(2, 8))
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    return Frame(pieces, [asked], pause_s=PAUSE_S, certain=_answerable(asked))


def _pipelined(random: Random, asked: Asked, make: Callable[[], Asked]) -> Frame:
    """Several at once, without waiting for an answer."""
    several = [asked, *(make() for _ in range(random.randint(1, 4)))]
    closing = {"connection", "upgrade"}  # what is behind such a request may be left unread
    certain = all(_answerable(each) and not closing & each.headers.keys() for each in several)
    data = b"".join(head_of(each) + each.body for each in several)
    return Frame([data], several, certain=certain, end=not certain)


def _chunked(random: Random, asked: Asked, make: Callable[[], Asked]) -> Frame:
    """In chunks, as the standard has them."""
    asked.headers.pop("content-length", None)
    asked.headers["transfer-encoding"] = "chunked"
    parts, body = [], asked.body
    while body:
        size = random.randint(1, max(1, len(body)))
        parts.append(b"%x\r\n" % size + body[:size] + b"\r\n")
        body = body[size:]
    return Frame([head_of(asked), *parts, b"0\r\n\r\n"], [asked], 0.0, _answerable(asked))


def _bad_chunks(random: Random, asked: Asked, make: Callable[[], Asked]) -> Frame:
    """In what only looks like chunks."""
    asked.headers.pop("content-length", None)
    asked.headers["transfer-encoding"] = random.choice(
        ("chunked", "chunked, chunked", "identity", "gzip, chunked", "x", "\tchunked")
    )
    body = random.choice(
        (
            b"zz\r\nabc\r\n0\r\n\r\n",
            b"ffffffffffffffffff\r\nabc",
            b"-1\r\n\r\n",
            b"5\r\nab\r\n0\r\n\r\n",
            b"3;x=" + b"y" * 9000 + b"\r\nabc\r\n0\r\n\r\n",
            b"0\r\nx: y\r\n\r\n",
            b"",
        )
    )
    return Frame([head_of(asked) + body], [asked], certain=False, end=True)


def _cut(random: Random, asked: Asked, make: Callable[[], Asked]) -> Frame:
    """Not to its end."""
    data = head_of(asked) + asked.body
    return Frame([data[: random.randrange(len(data))]], [asked], certain=False, end=True)


def _long_length(random: Random, asked: Asked, make: Callable[[], Asked]) -> Frame:
    """With another length than it has."""
    asked.headers["content-length"] = random.choice(
        ("0", "1", "999999", "99999999999999999999", "-1", "+5", "5, 5", "0x5", "", "5 5", "1e3")
    )
    return Frame([head_of(asked) + asked.body], [asked], certain=False, end=True)


def _two_lengths(random: Random, asked: Asked, make: Callable[[], Asked]) -> Frame:
    """With two ways to tell where it ends, as smugglers do."""
    more = random.choice(
        (
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Length: 7\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            b"Transfer-Encoding : chunked\r\n",
        )
    )
    data = head_of(asked, more=more) + random.choice((asked.body, b"0\r\n\r\nGET / HTTP/1.1\r\n"))
    return Frame([data], [asked], certain=False, end=True)


def _odd_head(random: Random, asked: Asked, make: Callable[[], Asked]) -> Frame:
    """With lines that are none, doubles, and more than anybody reads."""
    more = random.choice(
        (
            b"Host: other.invalid\r\n",
            b"Authorization: SharedKey x:AAAA\r\n",
            b"ocp-date: x\r\nocp-date: y\r\n",
            b"if-match: *\r\nif-match: x\r\n",
            b"no colon here\r\n",
            b": no name\r\n",
            b"sp ace: x\r\n",
            b"folded: a\r\n b\r\n",
            b"nul: \0\r\n",
            b"high: \xff\xfe\r\n",
            b"long: " + b"x" * 70_000 + b"\r\n",
            b"".join(b"h%d: x\r\n" % n for n in range(2000)),
            b"ocp-" + b"y" * 9000 + b": x\r\n",
            b"lf: only\n",
        )
    )
    return Frame([head_of(asked, more=more) + asked.body], [asked], certain=False, end=True)


def _odd_line(random: Random, asked: Asked, make: Callable[[], Asked]) -> Frame:
    """With a request line of its own kind."""
    head = head_of(asked).partition(b"\r\n")[2]
    line = random.choice(
        (
            f"{asked.method} {asked.target} HTTP/1.0",
            f"{asked.method} {asked.target} HTTP/2.0",
            f"{asked.method} {asked.target} HTTP/9.9",
            f"{asked.method} {asked.target}",
            f"{asked.method}  {asked.target} HTTP/1.1",
            f"{asked.method.lower()} {asked.target} HTTP/1.1",
            f"{asked.method} http://other.invalid{asked.target} HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "CONNECT other.invalid:80 HTTP/1.1",
            "PRI * HTTP/2.0",
            f"{asked.method} {asked.target}#fragment HTTP/1.1",
            f"{asked.method} nonsense HTTP/1.1",
            "\u00e9 / HTTP/1.1",
            "",
            "\x16\x03\x01\x02",
        )
    )
    data = line.encode("latin-1", "replace") + b"\r\n" + head + asked.body
    return Frame([data], [asked], certain=False, end=True)


def _noise(random: Random, asked: Asked, make: Callable[[], Asked]) -> Frame:
    """No request at all."""
    return Frame([random.randbytes(random.randint(1, 4000))], [asked], certain=False, end=True)


_Way = Callable[[Random, Asked, Callable[[], Asked]], Frame]
_WAYS: Final[tuple[_Way, ...]] = (
    _split,
    _pipelined,
    _pipelined,
    _chunked,
    _chunked,
    _bad_chunks,
    _cut,
    _long_length,
    _two_lengths,
    _odd_head,
    _odd_head,
    _odd_line,
    _noise,
)
_CERTAIN: Final = (_split, _pipelined, _chunked)
