"""Tokens of issuers that the settings name: whether they are good, and what they are good for.

A token (JWT) is taken when its issuer is named, its signature is that of a key which the issuer
published, by an algorithm that was allowed to it, when it is meant for this service, and now is
within its time. Only then its claims count: they say whether its bearer may read, or also write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from penstock.domain.instants import SECOND_US
from penstock.domain.refusals import AuthenticationFailed, InsufficientAccountPermissions
from penstock.wire.settings import Claims, Issuer

LEEWAY_S: Final = 60
"""How far the clock of an issuer may be off."""

LONGEST_TOKEN: Final = 16 * 1024
ANY: Final = "*"

LATEST_S: Final = 1 << 53
"""Seconds since 1970; no token says more."""

_UNCHECKED: Final[Any] = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""Times are compared with the server's clock, names as this module says."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A token that is good, by those entries of the settings that it is good by."""

    claims: Mapping[str, Any]
    issuers: Sequence[Issuer]

    def may_write(self, account: str) -> bool:
        """Whether its bearer may change what an account has; refuses who may not even read."""
        mine = [
            issuer
            for issuer in self.issuers
            if not issuer.accounts or account.lower() in issuer.accounts
        ]
        if any(_has(self.claims, issuer.write) for issuer in mine):
            return True
        if any(_has(self.claims, issuer.read) for issuer in mine):
            return False
        raise InsufficientAccountPermissions(
            Reason="the token has no claim that lets its bearer use this account"
        )


class Issuers:
    """Those whose tokens are taken."""

    def __init__(self, issuers: Sequence[Issuer]) -> None:
        self._issuers = tuple(issuers)

    async def grant(self, token: str, now_us: int) -> Grant:
        """Look whether a token is good. Raises AuthenticationFailed, or ServerBusy without keys."""
        if len(token) > LONGEST_TOKEN:
            raise _failed(f"The token has more than {LONGEST_TOKEN} characters.")
        header, said = _unchecked(token)
        named = [issuer for issuer in self._issuers if issuer.name == said.get("iss")]
        if not named:
            raise _failed("The issuer of the token is not known here.")
        reasons: dict[str, None] = {}
        good = []
        for issuer in named:
            reason = await _reason_against(issuer, token, header, said, now_us)
            if reason is None:
                good.append(issuer)
            else:
                reasons[reason] = None
        if not good:
            raise _failed(" ".join(reasons))
        return Grant(said, good)


def _failed(detail: str) -> AuthenticationFailed:
    return AuthenticationFailed(AuthenticationErrorDetail=detail)


def _unchecked(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims of a token that may be anybody's."""
    try:
        parts = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise _failed("The token is none: it is not a signed JWT.") from None
    return parts["header"], parts["payload"]


async def _reason_against(
    issuer: Issuer, token: str, header: Mapping[str, Any], said: Mapping[str, Any], now_us: int
) -> str | None:
    algorithm, name = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
        return "The token is signed by an algorithm that its issuer is not allowed here."
    key: Any = await issuer.keys.key(name if isinstance(name, str) else None, algorithm)
    if key is None:
        return "The token is signed with a key that its issuer has not published."
    try:
        jwt.decode(token, key, algorithms=[algorithm], options=_UNCHECKED)
    except (jwt.InvalidTokenError, jwt.InvalidKeyError, ValueError):
        return "The signature of the token is wrong."
    return _reason_against_audience(issuer, said) or _reason_against_time(said, now_us)


def _reason_against_audience(issuer: Issuer, said: Mapping[str, Any]) -> str | None:
    given = {text.rstrip("/") for text in _texts(said.get("aud"))}
    return None if given & issuer.audiences else "The token is meant for another audience."


def _reason_against_time(said: Mapping[str, Any], now_us: int) -> str | None:
    now_s = now_us / SECOND_US
    end_s, start_s = said.get("exp"), said.get("nbf", 0)
    if end_s is None or not _is_time(end_s) or not _is_time(start_s):
        return "The token does not say until when it is good."
    if now_s >= end_s + LEEWAY_S:
        return "The token has expired."
    if now_s < start_s - LEEWAY_S:
        return "The token is not good yet."
    return None


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LATEST_S


def _texts(value: object) -> list[str]:
    """The values of a claim, which may be one or a list of them."""
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def _has(said: Mapping[str, Any], wanted: Claims) -> bool:
    for claim, values in wanted.items():
        given = _texts(said.get(claim))
        if claim == "scp":
            given = [scope for text in given for scope in text.split()]
        if given and (ANY in values or not values.isdisjoint(given)):
            return True
    return False
