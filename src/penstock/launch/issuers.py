"""The issuers of tokens that the settings name, with the way to their public keys."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from penstock.config import Account, TokenIssuer, is_near
from penstock.launch.exits import CannotStart, Exit
from penstock.wire.settings import Issuer

LARGEST_KEY_SET: Final = 1 << 20  # bytes
_FILE_PAUSE_S: Final = 1.0
_URL_PAUSE_S: Final = 10.0


def issuers_of(
    configured: Sequence[TokenIssuer], accounts: Sequence[Account]
) -> tuple[Issuer, ...]:
    """What the edge is told of them. Raises CannotStart for what names nothing that is there."""
    known = {account.name for account in accounts}
    return tuple(_issuer(one, known) for one in configured)


def _issuer(one: TokenIssuer, known: set[str]) -> Issuer:
    from penstock.wire.access.key_sets import KeySet

    for account in one.accounts:
        if account.lower() not in known:
            raise _refused(one, f"there is no account {account}")
    if one.jwks_file:
        file = Path(one.jwks_file).expanduser()
        _check_readable(one, file)
        keys = KeySet(one.issuer, _FromFile(file), time.monotonic, _FILE_PAUSE_S)
    else:
        fetch = _FromUrl(one.jwks_url, _trust(one))
        keys = KeySet(one.issuer, fetch, time.monotonic, _URL_PAUSE_S)
    return Issuer(
        name=one.issuer,
        audiences=frozenset(text.rstrip("/") for text in one.audiences),
        algorithms=frozenset(one.algorithms),
        accounts=frozenset(name.lower() for name in one.accounts),
        read={claim: frozenset(values) for claim, values in one.read.items()},
        write={claim: frozenset(values) for claim, values in one.write.items()},
        keys=keys,
    )


def _refused(one: TokenIssuer, reason: str) -> CannotStart:
    return CannotStart(Exit.USAGE, f"token_issuers: {one.issuer}: {reason}")


def _check_readable(one: TokenIssuer, file: Path) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        raise _refused(one, f"jwks_file {file}: {error.strerror}") from None


def _trust(one: TokenIssuer) -> ssl.SSLContext:
    file = str(Path(one.jwks_ca_file).expanduser()) if one.jwks_ca_file else None
    try:
        return ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise _refused(one, f"jwks_ca_file {one.jwks_ca_file}: {error}") from None


class _FromFile:
    """A key set in a file, which may be replaced at any time."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def __call__(self) -> bytes:
        return await asyncio.to_thread(self._file.read_bytes)


class _FromUrl:
    """A key set at an address. No redirection is followed, and no endless answer read."""

    def __init__(self, url: str, trust: ssl.SSLContext) -> None:
        self._url = url
        self._trust = trust
        self._near = is_near(url)

    async def __call__(self) -> bytes:
        import httpx

        client = httpx.AsyncClient(verify=self._trust, trust_env=not self._near)
        try:
            async with client, client.stream("GET", self._url) as answer:
                if answer.status_code != 200:
                    raise OSError(f"{self._url} answered {answer.status_code}")
                content = b""
                async for part in answer.aiter_bytes():
                    content += part
                    if len(content) > LARGEST_KEY_SET:
                        raise OSError(f"{self._url} answered more than {LARGEST_KEY_SET} bytes")
                return content
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OSError(f"{self._url}: {error or type(error).__name__}") from None
