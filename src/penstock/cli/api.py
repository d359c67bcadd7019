"""Asking the server: one request, its answer, and a clear word when there is none."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

import httpx

from penstock.cli.exits import Exit, GaveUp
from penstock.cli.place import Place
from penstock.cli.signing import authorization

VERSION: Final = "2025-06-01"
_JSON: Final = "application/json; odata=minimalmetadata"
_WAIT_S: Final = 65.0  # for an answer; the server lets readers of events wait for a minute
_CONNECT_S: Final = 10.0


def path_of(*parts: str) -> str:
    """A path of names that may hold any character."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


class Api:
    """A connection to a server. Every method raises GaveUp when the answer is not a good one."""

    def __init__(self, place: Place) -> None:
        self._place = place
        try:
            verify = ssl.create_default_context(cafile=place.ca_file) if place.ca_file else True
        except (OSError, ssl.SSLError) as error:
            raise GaveUp(Exit.USAGE, f"{place.ca_file}: {error}") from None
        timeout = httpx.Timeout(_WAIT_S, connect=_CONNECT_S)
        self._client = httpx.Client(timeout=timeout, verify=verify, trust_env=not place.is_near)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def get(self, path: str, **query: str | int) -> bytes:
        """The body of the answer."""
        return self._ask("GET", path, query)

    def post(self, path: str, body: Any, *, patient: bool = False) -> bytes:
        """Likewise; a `patient` one waits for as long as it takes."""
        return self._ask("POST", path, {}, body, patient=patient)

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int],
        body: Any = None,
        *,
        patient: bool = False,
    ) -> bytes:
        content = None if body is None else json.dumps(body).encode()
        text = urlencode({"api-version": VERSION, **query}, quote_via=quote)
        headers = {"ocp-date": format_datetime(datetime.now(UTC), usegmt=True)}
        if method != "GET":
            headers |= {"content-type": _JSON, "content-length": str(len(content or b""))}
        request = self._client.build_request(
            method, f"{self._place.endpoint}{path}?{text}", headers=headers, content=content
        )
        target = request.url.raw_path.decode()
        request.headers["authorization"] = authorization(
            self._place.account, self._place.key, method, target, headers
        )
        if patient:
            request.extensions["timeout"] = httpx.Timeout(None, connect=_CONNECT_S).as_dict()
        with self._reached():
            answer = self._client.send(request)
        if not answer.is_success:
            raise refusal(answer)
        return answer.content

    @contextmanager
    def _reached(self) -> Iterator[None]:
        where = self._place.endpoint
        try:
            yield
        except httpx.ConnectError as error:
            if "CERTIFICATE" in str(error).upper():
                raise GaveUp(
                    Exit.UNREACHABLE,
                    f"{where} is not vouched for: {error}",
                    "give --ca-file with the server's ca.pem",
                ) from None
            raise GaveUp(
                Exit.UNREACHABLE,
                f"no server answers at {where}",
                "start one with `penstock up`, or say where it is with --endpoint",
            ) from None
        except httpx.TimeoutException:
            raise GaveUp(
                Exit.UNREACHABLE, f"{where} took too long to answer", f"see {where}/ready"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise GaveUp(
                Exit.UNREACHABLE,
                f"the connection to {where} broke: {error}",
                "is the server still running?",
            ) from None


def decoded(body: bytes) -> Any:
    """The JSON of an answer."""
    try:
        return json.loads(body)
    except ValueError:
        raise GaveUp(Exit.BROKEN, "the answer is not JSON", _IS_IT_PENSTOCK) from None


_IS_IT_PENSTOCK: Final = "is that a Penstock of this release?"


def refusal(answer: httpx.Response) -> GaveUp:
    """What a refusing answer means to a person."""
    try:
        said = answer.json()
        code: str = said["code"]
        message = said["message"]["value"].partition("\n")[0]
        values = [f"  {item['key']}: {item['value']}" for item in said.get("values", ())]
    except (ValueError, KeyError, TypeError):
        return GaveUp(
            Exit.BROKEN, f"{answer.request.url} answered {answer.status_code}", _IS_IT_PENSTOCK
        )
    reason = "\n".join([f"{message} ({code})", *values])
    if answer.status_code >= 500:
        return GaveUp(Exit.BROKEN, reason, _NEXT.get(code, "see the server's log"))
    return GaveUp(Exit.REFUSED, reason, _NEXT.get(code, ""))


_NEXT: Final = {
    "AuthenticationFailed": "check account and key: --account, --key, or AZURE_BATCH_ACCOUNT"
    " and AZURE_BATCH_ACCESS_KEY",
    "ClockIsFixed": "try it on a `penstock up` of your own",
    "ServerBusy": "try again in a moment",
    "JobNotFound": "see which there are: az batch job list",
    "TaskNotFound": "without a task, `penstock explain JOB` tells of all that wait",
    "PoolNotFound": "see which there are: az batch pool list",
    "NodeNotFound": "see which there are: az batch node list --pool-id POOL",
}
