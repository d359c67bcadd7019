"""Requests: mostly ones that could be meant, spoiled in one way or several.

Each is made from a row of the service's own table of operations, so that an operation that is
added is asked for from then on. What the bytes of a request become on their way is `framing`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from urllib.parse import quote

from penstock.wire.operations import OPERATIONS
from penstock.wire.routing import Operation
from penstock.wire.versions.releases import NEWEST, VERSIONS
from tests.e2e.signing import JSON, rfc1123, signature
from tests.fuzz.bodies import body
from tests.fuzz.values import odd, spoiled, text_of, torn

PLACE: Final = "fuzz-"
"""What ids start with; each worker puts its number behind it, so that it alone changes them."""

ASKED: Final[tuple[Operation, ...]] = tuple(
    each
    for each in OPERATIONS
    if each.path != "/events" and not (each.verb == "POST" and each.path == "/clock")
)
"""All but the ones that wait for events, and that move the time of everybody."""

_IDS: Final = ("fuzz-0", "fuzz-0", "fuzz-0", "fuzz-1", "fuzz-2", "FUZZ-0")
_BAD_IDS: Final = (
    "no-such-thing",
    "x" * 65,
    "x" * 5000,
    "a:job-1",
    "..",
    "%00",
    "%2e%2e%2f",
    "%FF%FE",
    "%zz",
    "%",
    "a%2Fb",
    "'",
    "{}",
    "*",
    "**",
    "%F0%9F%92%A5",
)
_OTHER_VERBS: Final = ("PUT", "POST", "GET", "HEAD", "OPTIONS", "BREW", "DELETE")
_FILES: Final = (
    "stdout.txt",
    "wd%2Fout.txt",
    "wd/out.txt",
    "workitems",
    "..%2F..%2Fetc%2Fpasswd",
    "../../etc/passwd",
    "%2Fetc%2Fpasswd",
    "startup/wd/..",
    "x" * 3000,
    "%00",
)
_FILTERS: Final = (
    "state eq 'active'",
    "id eq 'fuzz-0' and state ne 'completed'",
    "startswith(id,'fuzz')",
    "creationTime gt DateTime'2020-01-01T00:00:00Z'",
    "executionInfo/exitCode ne 0",
    "(((((state eq 'a')))))",
    "(" * 500,
    "state eq 'active' and " * 200,
    "state eq 5",
    "nothing eq 'x'",
    "id eq ''''",
    "id eq 'unended",
    "state eq\0'x'",
    "exitCode gt 99999999999999999999999",
    "concat(id,'x') eq 'x'",
    "not state eq 'x'",
    "DateTime'x' lt creationTime",
    "ü",
)
_QUERY: Final[dict[str, tuple[str, ...]]] = {
    "$filter": _FILTERS,
    "$select": ("id,state", "id, state", "nothing", ",,,", "x" * 3000, "id" + ",id" * 500),
    "$expand": ("stats", "STATS", "nothing", "stats,stats", ""),
    "$skiptoken": ("", "AAAA", "%%%", "x" * 3000, "ZnV6eg", "/w", "4pyT"),
    "maxresults": ("1", "0", "-5", "1001", "ten", "9" * 400, "1.5", " 7", "٣"),
    "timeout": ("30", "0", "-1", "x", "9" * 50),
    "timeOut": ("30",),
    "recursive": ("true", "false", "x", ""),
    "force": ("true", "x"),
    "starttime": ("2024-01-01T00:00:00Z", "x", ""),
    "endtime": ("1999-01-01T00:00:00Z", "9999-99-99"),
    "wait": ("x",),
}
_HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "if-match": ("*", '"0x8D000"', "0x1, 0x2", "", "x" * 5000, "W/"),
    "if-none-match": ("*", '"0x8D000"', ","),
    "if-modified-since": ("Sun, 06 Nov 1994 08:49:37 GMT", "x", "99", "9999-99-99T00:00:00Z"),
    "if-unmodified-since": ("Sun, 06 Nov 2094 08:49:37 GMT", "Sun, 99 Nov 1994 08:49:37 GMT"),
    "ocp-range": ("bytes=0-10", "bytes=-1", "bytes=9-1", "x", "bytes=0-" + "9" * 60, "bytes=,"),
    "range": ("bytes=0-10",),
    "client-request-id": ("11111111-1111-1111-1111-111111111111", "x" * 4000, "\u00e9"),
    "return-client-request-id": ("true", "x"),
    "content-type": ("application/json", "text/xml", "", "x" * 2000, "multipart/form-data"),
    "content-encoding": ("gzip", "deflate", "x"),
    "accept": ("application/json", "*/*", "text/html", "x"),
    "accept-encoding": ("gzip", "x"),
    "x-forwarded-for": ("10.0.0.1",),
    "origin": ("http://example.invalid",),
    "x-ms-version": ("x",),
    "ocp-date": ("x", "", "Sun, 06 Nov 1994 08:49:37 GMT"),
    "authorization": (
        "",
        "SharedKey",
        "SharedKey x",
        "SharedKey devbatchaccount1:",
        "SharedKey devbatchaccount1:AAAA",
        "SharedKey devbatchaccount1:\u00e9",
        "SharedKey nobody:AAAA",
        "Bearer ",
        "Bearer x.y.z",
        "Bearer eyJhbGciOiJub25lIn0.eyJhdWQiOiJ4In0.",
        "Basic QTpC",
        "x" * 5000,
    ),
    "expect": ("100-continue", "x"),
    "connection": ("close", "keep-alive", "upgrade", "x"),
    "upgrade": ("websocket", "h2c"),
}


@dataclass(slots=True)
class Account:
    """Whose key signs."""

    name: str
    key: str


@dataclass(slots=True)
class Asked:
    """A request as it will be put on the wire; `target` is quoted already."""

    operation: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def changes(self) -> bool:
        """Whether it could change anything, were it right."""
        return self.method not in ("GET", "HEAD", "OPTIONS")


class Maker:
    """Makes requests of one worker."""

    def __init__(self, random: Random, account: Account, worker: int, host: str) -> None:
        self._random = random
        self._account = account
        self._mine = f"fuzz{worker}-"
        self._host = host
        self.known: list[str] = []  # ids of nodes

    def right(self, method: str, path: str, body: Any = None, **query: str) -> Asked:
        """A request with nothing wrong, to look at what there is, or to have something there."""
        asked = {"api-version": NEWEST, **query}
        target = path + "?" + "&".join(f"{name}={quote(text)}" for name, text in asked.items())
        text = b"" if body is None else text_of(body).replace(PLACE.encode(), self._mine.encode())
        headers = {"content-type": JSON} if text else {}
        target = target.replace(PLACE, self._mine)
        return self._signed(Asked("", method, target, headers, text))

    def any(self) -> Asked:
        """A request with something wrong, mostly."""
        random = self._random
        operation = random.choice(ASKED)
        asked = Asked(
            operation.name,
            operation.verb,
            self._path(operation) + self._query(),
            self._headers(),
            self._body(operation),
        )
        if random.random() < 0.03:
            asked.method = random.choice(
                ("PUT", "POST", "GET", "HEAD", "OPTIONS", "BREW", "DELETE")
            )
        if random.random() < 0.01:
            asked.headers["ocp-date"] = rfc1123(datetime.now(UTC) - timedelta(minutes=16))
        if asked.body:
            asked.headers.setdefault("content-type", JSON)
        asked.body = asked.body.replace(PLACE.encode(), self._mine.encode())
        asked.target = asked.target.replace(PLACE, self._mine)
        return self._signed(asked)

    def _signed(self, asked: Asked) -> Asked:
        headers = {"host": self._host, "ocp-date": rfc1123(datetime.now(UTC)), **asked.headers}
        if asked.method not in ("GET", "HEAD") or asked.body:
            headers["content-length"] = str(len(asked.body))
        if "authorization" not in headers:
            headers["authorization"] = signature(
                asked.method, asked.target, headers, self._account.name, self._account.key
            )
        asked.headers = headers
        return asked

    def _path(self, operation: Operation) -> str:
        random = self._random
        parts = []
        for part in operation.path.strip("/").split("/"):
            if part == "**":
                parts.append(random.choice(_FILES))
            elif part != "*":
                parts.append(part if random.random() < 0.98 else part.upper())
            elif parts[-1:] == ["nodes"] and self.known and random.random() < 0.3:
                parts.append(random.choice(self.known))
            elif operation.path.startswith("/certificates"):
                parts.append("(thumbprintAlgorithm=sha1,thumbprint=" + "0" * 40 + ")")
            else:
                parts.append(random.choice(_IDS if random.random() < 0.85 else _BAD_IDS))
        path = "/" + "/".join(parts).replace("certificates/(", "certificates(")
        if random.random() < 0.97:
            return path
        return random.choice(_ODD_PATHS).replace("{path}", path)

    def _query(self) -> str:
        random = self._random
        version = NEWEST if random.random() < 0.7 else random.choice(VERSIONS)
        pairs = [("api-version", version)]
        if random.random() < 0.03:
            pairs[0] = ("api-version", random.choice(("", "x", "2025-06-01.1", "\0", "9" * 900)))
        if random.random() < 0.01:
            pairs = []
        if random.random() < 0.3:
            for name in random.sample(list(_QUERY), random.randint(1, 3)):
                pairs.append((name, random.choice(_QUERY[name])))
        if random.random() < 0.02:
            pairs += [("x", str(n)) for n in range(random.choice((2, 70, 300)))]
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
        return f"?{text}" if random.random() < 0.98 else f"?{text}&%FF=%FE&&=&%zz"

    def _headers(self) -> dict[str, str]:
        random = self._random
        if random.random() < 0.7:
            return {}
        names = random.sample(list(_HEADERS), random.randint(1, 3))
        return {name: random.choice(_HEADERS[name]) for name in names}

    def _body(self, operation: Operation) -> bytes:
        random = self._random
        if operation.verb in ("GET", "HEAD") and random.random() < 0.97:
            return b""
        if operation.verb == "DELETE" and random.random() < 0.9:
            return b""
        made = body(random, operation.name)
        chance = random.random()
        if chance < 0.6:
            made = spoiled(random, made)
        elif chance < 0.65:
            made = odd(random)
        text = text_of(made)
        return torn(random, text) if random.random() < 0.3 else text


_ODD_PATHS: Final = (
    "{path}/",
    "/{path}",
    "//{path}//",
    "/devbatchaccount1{path}",
    "/nobody{path}",
    "{path}/" + "x/" * 200,
    "{path}" + "x" * 20_000,
    "{path}%2F..%2F..",
    "/",
    "//",
    "{path};x=y",
    "{path}%C0%AF",
    "/_agent/link",
    "/alive",
)
