"""Who sent a request, and what they may do.

Three kinds of credential are taken: the signature of an account's key, which may do everything;
the token of an issuer that the settings name, which may read or also write; and the token that a
task was given, which may do what it likes to its own job. Tokens are good for whoever has them,
so they are taken only where nobody else can see them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from penstock.domain.records import key_of
from penstock.domain.refusals import (
    AuthenticationFailed,
    InsufficientAccountPermissions,
    InvalidAuthenticationInfo,
    MissingRequiredHeader,
)
from penstock.domain.task_tokens import is_task_token
from penstock.engine.service import Service
from penstock.wire.access.shared_keys import SharedKeys
from penstock.wire.request import Request, segments
from penstock.wire.settings import WireSettings

if TYPE_CHECKING:
    from penstock.wire.access.issuers import Issuers

READING: Final = frozenset({"GET", "HEAD"})
"""Every other verb is taken to write."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. `job_id` is the only job that they may touch; None: no such bound."""

    account: str
    may_write: bool = True
    job_id: str | None = None

    def check(self, method: str, parts: Sequence[str]) -> None:
        """Refuse what they may not do; `parts` is the path below the account."""
        if not self.may_write and method not in READING:
            raise InsufficientAccountPermissions(Reason="the token may read, and not write")
        if self.job_id is not None and not _is_within(parts, self.job_id):
            raise InsufficientAccountPermissions(
                Reason=f"the token of a task is good for its job {self.job_id} only"
            )


def _is_within(parts: Sequence[str], job_id: str) -> bool:
    return len(parts) > 1 and parts[0].lower() == "jobs" and key_of(parts[1]) == key_of(job_id)


class Door:
    """Lets those in who can show that they belong to an account."""

    def __init__(self, settings: WireSettings, service: Service) -> None:
        """Raises ValueError when an account's key is not base64."""
        self.keys = SharedKeys(settings.accounts)
        self._names = {name.lower(): name for name in settings.accounts}
        self._issuers = _issuers(settings)
        self._settings = settings
        self._service = service

    async def caller(self, request: Request) -> Caller:
        """Say who sent a request, or refuse it."""
        scheme, credential = _credential(request)
        now_us = self._settings.now_us()
        if scheme == "sharedkey":
            account = self.keys.authenticate(
                request.method,
                request.raw_path,
                request.query_text,
                request.headers,
                credential,
                now_us,
            )
            return Caller(account)
        if scheme != "bearer":
            raise _malformed("the scheme must be SharedKey or Bearer")
        if not credential:
            raise _malformed("the form is: Bearer token")
        if is_task_token(credential):
            return self._task(request, credential)
        if request.scheme != "https":
            raise _failed("Tokens are taken over https only.")
        if self._issuers is None:
            raise _failed("No issuer of tokens is known here; sign with an account key.")
        grant = await self._issuers.grant(credential, now_us)
        account = self._account(request)
        return Caller(account, may_write=grant.may_write(account))

    def _task(self, request: Request, token: str) -> Caller:
        """The job of a task that runs. On its own machine nobody listens to plain http."""
        if request.scheme != "https" and not request.is_from_home:
            raise _failed("The token of a task is taken over https, or from the server's machine.")
        job = self._service.job_of_token(token)
        if job is None:
            raise _failed("The token is none of a task that runs.")
        return Caller(job.account, job_id=job.id)

    def _account(self, request: Request) -> str:
        """The account that a token is used for, for it names none: by host, by path, or the one."""
        host = request.headers.get("host", "").partition(".")[0].lower()
        first = segments(request.raw_path)[0].lower()
        named = self._names.get(host) or self._names.get(first)
        if named is not None:
            return named
        if len(self._names) > 1:
            raise _failed(
                "The request names no account: put its name first in the host or in the path."
            )
        return next(iter(self._names.values()))


def _issuers(settings: WireSettings) -> Issuers | None:
    """Those of the settings. What reads tokens takes a while to load, and most need it not."""
    if not settings.issuers:
        return None
    from penstock.wire.access.issuers import Issuers

    return Issuers(settings.issuers)


def _credential(request: Request) -> tuple[str, str]:
    """The scheme, in lower case, and what follows it."""
    authorization = request.headers.get("authorization", "").strip()
    if not authorization:
        raise MissingRequiredHeader(HeaderName="Authorization")
    scheme, _, credential = authorization.partition(" ")
    return scheme.lower(), credential.strip()


def _malformed(reason: str) -> InvalidAuthenticationInfo:
    return InvalidAuthenticationInfo(HeaderName="Authorization", Reason=reason)


def _failed(detail: str) -> AuthenticationFailed:
    return AuthenticationFailed(AuthenticationErrorDetail=detail)
