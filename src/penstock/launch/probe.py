"""Asking a server on this machine whether it answers, with nothing but a socket."""

from __future__ import annotations

import asyncio
from typing import Final

_LONGEST_HEAD: Final = 16_384


async def head_of(host: str, port: int, path: str, within_s: float = 2.0) -> tuple[int, str]:
    """GET `path`; give the status and the head of the answer. Raises OSError when there is none."""
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(host, port, limit=_LONGEST_HEAD)
            try:
                writer.write(
                    f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
                )
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            finally:
                writer.close()
    except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ConnectionError(f"no answer from port {port}") from error
    words = head.split(maxsplit=2)
    if len(words) < 2 or not words[1].isdigit():
        raise ConnectionError(f"port {port} does not speak HTTP")
    return int(words[1]), head
