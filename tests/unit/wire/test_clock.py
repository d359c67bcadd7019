"""The clock over HTTP: who may move it, how far, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wire.edge import Edge

HOME = "127.0.0.1"


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("path", ["/clock", "/devbatchaccount1/clock", "/Clock"])
def test_at_home_no_signature_is_needed(peer: str, path: str) -> None:
    edge = Edge(emulator=True)
    body = {"advance": "PT6H"}
    answer = edge.ask("POST", path, body, signed=False, version=None, peer=peer)
    assert answer.status_code == 200
    assert answer.json()["offset"] == "PT6H"
    again = edge.ask("GET", path, signed=False, version=None, peer=peer).json()
    assert (again["offset"], again["advancing"]) == ("PT6H", False)


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        ("192.0.2.7", {}),
        ("", {}),
        (HOME, {"origin": "https://elsewhere.example"}),
        (HOME, {"x-forwarded-for": "192.0.2.7"}),
        (HOME, {"authorization": "SharedKey devbatchaccount1:d3Jvbmc="}),
    ],
)
def test_others_sign(peer: str, headers: dict[str, str]) -> None:
    edge = Edge(emulator=True)
    body = {"advance": "PT6H"}
    answer = edge.ask("POST", "/clock", body, signed=False, peer=peer, headers=headers)
    assert answer.status_code in (400, 403)
    assert edge.service.clock.offset_us == 0
    signed = {name: text for name, text in headers.items() if name != "authorization"}
    assert edge.ask("POST", "/clock", body, peer=peer, headers=signed).status_code == 200


def test_nothing_else_goes_unsigned_at_home() -> None:
    edge = Edge(emulator=True)
    for method, path in (("GET", "/pools"), ("GET", "/events"), ("PUT", "/clock")):
        assert edge.ask(method, path, signed=False, peer=HOME).status_code == 400, path


def test_a_service_keeps_its_clock() -> None:
    edge = Edge(emulator=False)
    assert (
        edge.ask("POST", "/clock", {"advance": "PT1H"}, signed=False, peer=HOME).status_code == 400
    )
    answer = edge.ask("POST", "/clock", {"advance": "PT1H"}, peer=HOME)
    assert (answer.status_code, answer.json()["code"]) == (403, "ClockIsFixed")
    assert "penstock up" in answer.json()["message"]["value"]
    assert edge.ask("GET", "/clock").json()["advanceable"] is False


@pytest.mark.parametrize(
    ("body", "code", "name"),
    [
        (b"", "MissingRequiredProperty", "advance"),
        (b"{", "InvalidRequestBody", None),
        ({}, "MissingRequiredProperty", "advance"),
        ({"advance": None}, "MissingRequiredProperty", "advance"),
        ({"advance": 6}, "InvalidPropertyValue", "advance"),
        ({"advance": "6h"}, "InvalidPropertyValue", "advance"),
        ({"advance": "PT0S"}, "InvalidPropertyValue", "advance"),
        ({"advance": "-PT1H"}, "InvalidPropertyValue", "advance"),
        ({"advance": "P3650DT1S"}, "InvalidPropertyValue", "advance"),
        ({"advance": "P10675199DT2H48M5.4775807S"}, "InvalidPropertyValue", "advance"),
    ],
)
def test_a_bad_body_is_refused_by_name(body: Any, code: str, name: str | None) -> None:
    answer = Edge(emulator=True).ask("POST", "/clock", body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    values = {item["key"]: item["value"] for item in answer.json().get("values", ())}
    assert values.get("PropertyName") == name
    if code == "InvalidPropertyValue":
        assert "PropertyValue" in values
        assert values["Reason"]


def test_all_advances_together_are_bounded() -> None:
    edge = Edge(emulator=True)
    assert edge.ask("POST", "/clock", {"advance": "P3649D"}).status_code == 200
    answer = edge.ask("POST", "/clock", {"advance": "P2D"})
    assert answer.status_code == 400
    assert "P3650D" in answer.text
    assert edge.ask("POST", "/clock", {"advance": "P1D"}).status_code == 200
