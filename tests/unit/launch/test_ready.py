"""What programs and people are told when all is ready."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.launch import ready

READY = ready.Ready(
    endpoint="http://127.0.0.1:10600",
    tls_endpoint="https://127.0.0.1:10643",
    ca_file=Path("/data/tls/ca.pem"),
    account_name="devbatchaccount1",
    account_key="QUJD",
    storage=None,
    data=Path("/data"),
    told={"devbatchaccount1": ("QUJD", "REVG"), "other": ("R0hJ", "SktM")},
    keys_at="a file",
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_ready_file_has_exactly_the_names_that_programs_rely_on(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    ready.write(file, READY)
    assert json.loads(file.read_text("utf-8")) == {
        "endpoint": "http://127.0.0.1:10600",
        "tlsEndpoint": "https://127.0.0.1:10643",
        "caFile": "/data/tls/ca.pem",
        "accountName": "devbatchaccount1",
        "accountKey": "QUJD",
        "storageConnectionString": None,
        "dataDir": "/data",
        "pid": os.getpid(),
    }
    assert file.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [file]


def test_a_pipe_gets_plain_text_and_an_example_that_is_python() -> None:
    out = io.StringIO()
    ready.show(READY, "Penstock is up", out)
    text = out.getvalue()
    assert "\x1b" not in text
    for value in (READY.endpoint, READY.tls_endpoint, READY.account_key, str(READY.ca_file)):
        assert value in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for row in ("Key QUJD", "Second key REVG", "Key of other R0hJ", "Second key of other SktM"):
        assert row in lines
    compile(text[text.index("from azure") :], "example", "exec")


def test_a_terminal_gets_colours_and_all_values_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    out = Terminal()
    ready.show(READY, "Penstock is up", out)
    text = out.getvalue()
    assert "\x1b[" in text
    assert READY.account_key in text


def test_keys_that_were_shown_once_are_not_shown_again() -> None:
    again = replace(READY, told={"other": ("R0hJ", "SktM")})
    out = io.StringIO()
    ready.show(again, "Penstock serves", out)
    text = out.getvalue()
    assert READY.account_key not in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "Keys a file" in lines
    assert "Key of other R0hJ" in lines
    compile(text[text.index("from azure") :], "example", "exec")
