"""What a person sees of a long copy."""

from __future__ import annotations

import io

import pytest

from penstock.launch.watching import shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_person_sees_both_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with shown("Copying", out) as watch:
        watch.copied(1, 2)
        watch.checking()
    assert "Copying" in out.getvalue()
    assert "Checking" in out.getvalue()


def test_a_program_sees_nothing() -> None:
    out = io.StringIO()
    with shown("Copying", out) as watch:
        watch.copied(1, 2)
        watch.checking()
    assert out.getvalue() == ""
