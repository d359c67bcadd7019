"""What an answer must be, whatever was asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from tests.fuzz.framing import Frame
from tests.fuzz.requests import Asked
from tests.fuzz.talk import Answer

_ERRORS: Final = "$metadata#Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element"
_PROBES: Final = ("/alive", "/ready")


class Wrong(AssertionError):
    """An answer that no request deserves."""


def judge(frame: Frame, answers: Sequence[Answer]) -> None:
    """Check the answers to a frame. Raises Wrong."""
    for asked, answer in zip(frame.asked, answers, strict=False):
        try:
            _judge(asked, answer, certain=frame.certain)
        except (AssertionError, ValueError) as wrong:
            shown = f"{asked.method} {asked.target[:300]} {asked.body[:1000]!r} {asked.headers}"
            said = f"{answer.status} {answer.headers} {answer.body[:2000]!r}"
            raise Wrong(f"{wrong}\nasked: {shown}\nsaid: {said}") from None
    if frame.certain and len(answers) < len(frame.asked):
        # a connection that an earlier answer has closed takes the requests behind it along
        closed = answers and answers[-1].headers.get("connection", "").lower() == "close"
        if not closed and "connection" not in frame.asked[max(0, len(answers) - 1)].headers:
            raise Wrong(f"{len(answers)} answers to {b''.join(frame.pieces)[:3000]!r}")


def _judge(asked: Asked, answer: Answer, *, certain: bool) -> None:
    assert answer.status != -1, "this is not HTTP"
    busy = answer.status == 503 and b"ServerBusy" in answer.body
    assert answer.status < 500 or busy, "a 5xx"
    if answer.status in (204, 304):
        assert not answer.body, "a body where none may be"
        return
    if certain and asked.method == "HEAD":
        assert not answer.body, "an answer to HEAD has no body"
        return
    if answer.status >= 400 and (answer.body or (certain and asked.method != "HEAD")):
        _judge_error(answer)
    elif answer.body and "json" in answer.headers.get("content-type", ""):
        json.loads(answer.body)


def _judge_error(answer: Answer) -> None:
    assert "application/json" in answer.headers.get("content-type", ""), "an error that is not JSON"
    said: Any = json.loads(answer.body)
    assert isinstance(said, dict)
    assert str(said.get("odata.metadata", "")).endswith(_ERRORS), "not the one shape of errors"
    assert isinstance(said.get("code"), str), "no code"
    assert said["code"]
    message = said.get("message")
    assert isinstance(message, dict), "no message"
    assert message.get("lang")
    assert "RequestId:" in message.get("value", ""), "no request id"
    assert set(said) <= {"odata.metadata", "code", "message", "values"}
    for item in said.get("values", []):
        assert set(item) == {"key", "value"}, "values of another shape"
        assert all(isinstance(text, str) for text in item.values()), "values that are no text"
