"""The suites' own parts: what they measure with has to be right itself."""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.clients import results
from tests.clients.installs import CannotInstall, Client, Install, ensure
from tests.clients.interpreters import nearest
from tests.clients.results import Step
from tests.clients.walk import Walk
from tests.clients.witness import Exchange, Witness

VERSION = "2025-06-01"
NOWHERE = Client(name="nobody", version="1", packages=("./no-such-package",), source="npm")


def exchange(status: int, code: str = "", operation: str = "Get pool") -> Exchange:
    return Exchange("GET", "/pools/p", VERSION, operation, status, code)


def result_of(*steps: Step, broken: str = "") -> tuple[str, str]:
    found = results.measured("c", VERSION, steps, {"Get pool": broken} if broken else None)
    entry = found["operations"]["Get pool"]
    return entry["result"], entry["note"]


def test_a_witness_tells_requests_on_one_connection_apart(witness: Witness) -> None:
    talk = http.client.HTTPConnection(urlsplit(witness.endpoint).netloc)
    with witness.watching() as seen:
        for verb, path in (
            ("HEAD", "/pools/p"),
            ("GET", "/jobs/j/tasks/t/files/wd%2Fa.txt"),
            ("HEAD", "/alive"),
            ("POST", "/jobs/j/addtaskcollection"),
        ):
            talk.request(verb, f"{path}?api-version={VERSION}", body=b"{}" * (verb == "POST"))
            talk.getresponse().read()
    talk.close()

    assert witness.unreadable == []
    assert [(each.operation, each.status, each.code) for each in seen] == [
        ("Pool exists", 400, ""),
        ("Get task file", 400, "MissingRequiredHeader"),
        (None, 200, ""),
        ("Create task collection", 400, "MissingRequiredHeader"),
    ]


def test_an_operation_works_when_the_client_takes_one_success() -> None:
    failed = Step("a", "PoolNotFound", "PoolNotFound", [exchange(404, "PoolNotFound")])

    assert result_of() == ("not in client", "")
    assert result_of(failed) == ("refused", "404 PoolNotFound")
    assert result_of(failed, Step("b", exchanges=[exchange(200)])) == ("works", "")
    assert result_of(Step("until it is gone", exchanges=[exchange(404)])) == ("works", "")
    assert result_of(Step("b", "KeyError: x", exchanges=[exchange(200)])) == (
        "client fails",
        "KeyError: x",
    )


def test_a_fault_of_the_client_is_one_only_while_it_fails_before_it_sends() -> None:
    well = Step("well", exchanges=[exchange(200)])

    assert result_of(well, Step("bare", "ValueError: y"), broken="bare") == (
        "client fails",
        "bare: ValueError: y; called otherwise it works",
    )
    assert result_of(well, Step("bare"), broken="bare") == ("works", "")


def test_a_walk_fails_for_what_nobody_expected() -> None:
    refused = Step("a", "PoolExists", "PoolExists", [exchange(409, "PoolExists")])
    hidden = Step("b", exchanges=[exchange(500, "InternalError"), exchange(200)])

    Walk([refused], []).expect({"a": "PoolExists"})
    for walk, expected in (
        (Walk([refused], []), {}),
        (Walk([Step("a")], []), {"a": "PoolExists"}),
        (Walk([hidden], []), {}),
        (Walk([], ["no"]), {}),
    ):
        with pytest.raises(AssertionError):
            walk.expect(expected)


def test_a_result_that_differs_from_the_stored_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "DIRECTORY", tmp_path)
    monkeypatch.setenv("PENSTOCK_RECORD", "1")
    works = results.measured("c", VERSION, [Step("a", exchanges=[exchange(200)])])
    results.check("c", works)
    monkeypatch.delenv("PENSTOCK_RECORD")

    results.check("c", works)
    with pytest.raises(AssertionError, match=r"Get pool: stored .*works.*not in client"):
        results.check("c", results.measured("c", VERSION, []))


def test_what_cannot_be_installed_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(CannotInstall, match=r"nobody 1: .*no-such-package"):
        ensure(NOWHERE, said.append, tmp_path)

    assert len(said) == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_what_is_whole_is_used_and_what_is_a_part_is_made_anew(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(CannotInstall):
        ensure(NOWHERE, said.append, tmp_path)
    directory = Path(said.pop().removesuffix(" (once)").rpartition(" into ")[2])
    directory.mkdir()
    (directory / "whole").touch()

    assert ensure(NOWHERE, said.append, tmp_path).directory == directory
    assert said == []

    (directory / "whole").unlink()
    with pytest.raises(CannotInstall):
        ensure(NOWHERE, said.append, tmp_path)
    assert len(said) == 1
    assert not directory.exists()


def test_a_client_takes_the_running_python_or_the_nearest() -> None:
    running = nearest(None)

    assert nearest(f"3.{running.version[1]}") == running
    assert nearest("3.99").version >= running.version
    assert isinstance(Install(NOWHERE, Path("d"), Path("r")).program("az"), Path)
