"""The certificates in a PFX file, which somebody else made.

To open one takes as much work as the file demands, with the interpreter locked: it may ask for a
key to be derived in a billion rounds, or hold one so long that to check it takes minutes. So it
is done in a process of its own, whose time is bounded.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

WITHIN_S: Final = 10.0
_CPU_S: Final = 3
"""Bounds of one file; a usual one takes a tenth of a second, nearly all of it to start."""

_OPENERS: Final = ThreadPoolExecutor(2, "pfx")
"""Threads that wait for a process each; other files wait for them."""

NOT_OPENED: Final = "does not open it"


class Unreadable(Exception):
    """The file cannot be read with this password, and why."""


class _Question(msgspec.Struct):
    data: bytes
    password: str | None


class _Answer(msgspec.Struct):
    certificates: list[bytes] = []  # DER, that of the private key first
    reason: str = ""


async def certificates_in(data: bytes, password: str | None) -> list[bytes]:
    """Give the certificates in DER form, that of the private key first. Raises Unreadable."""
    question = msgspec.msgpack.encode(_Question(data, password))
    answer = await asyncio.get_running_loop().run_in_executor(_OPENERS, _ask, question)
    if answer.reason:
        raise Unreadable(answer.reason)
    return answer.certificates


def _ask(question: bytes) -> _Answer:
    try:
        done = subprocess.run(
            (sys.executable, "-m", __name__),
            input=question,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WITHIN_S,
            check=True,
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return _Answer(reason="takes too long to open, or is damaged")
    return msgspec.msgpack.decode(done.stdout, type=_Answer)


def opened(data: bytes, password: str | None) -> list[bytes]:
    """What the process does. Raises Unreadable."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

    try:
        secret = None if password is None else password.encode()
        found = pkcs12.load_pkcs12(data, secret)
    except ValueError as error:
        raise Unreadable(NOT_OPENED if "password" in str(error) else "is not a PFX file") from None
    except (UnsupportedAlgorithm, x509.InvalidVersion):
        raise Unreadable("has something in it that is not supported") from None
    certificates = [each.certificate for each in (found.cert, *found.additional_certs) if each]
    return [certificate.public_bytes(Encoding.DER) for certificate in certificates]


def main() -> None:
    """Answer one question."""
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    question = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=_Question)
    try:
        answer = _Answer(opened(question.data, question.password))
    except Unreadable as reason:
        answer = _Answer(reason=str(reason))
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer))


if __name__ == "__main__":
    main()
