"""What two api-versions both know passes from one to the other and back unchanged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.wire.versions.releases import NEWEST, VERSIONS
from tests.wire.test_versions import ROUND_TRIPS, read, sendable, shown

LEAVES = {
    "elevationLevel": st.sampled_from(["admin", "nonadmin"]),
    "ipAddressIds": st.lists(st.text("ab", min_size=1), max_size=2),
}
ANY = st.one_of(st.integers(0, 9), st.booleans(), st.text("ab", min_size=1, max_size=2))


def like(name: str, example: Any) -> st.SearchStrategy[Any]:
    """Values in the form of one that has everything: each property may be absent."""
    if isinstance(example, list) and name not in LEAVES:
        return st.lists(like(name, example[0]), max_size=2)
    if isinstance(example, dict):
        parts = {inner: like(inner, value) for inner, value in example.items()}
        return st.fixed_dictionaries({}, optional=parts)
    return LEAVES.get(name, ANY)


def kept(before: Any, after: Any) -> bool:
    """Whether all that was there still is; there may be more."""
    if isinstance(before, dict):
        return isinstance(after, dict) and all(
            name in after and kept(value, after[name]) for name, value in before.items()
        )
    if isinstance(before, list):
        return (
            isinstance(after, list) and len(before) == len(after) and all(map(kept, before, after))
        )
    return bool(before == after)


NARROWED = {"userIdentity", "publicIPAddressConfiguration"}
"""Of these, old versions know less than one of the properties that are in them."""


def agree(new: Any, back: Any) -> bool:
    """Whether what is in both is the same in both."""
    if isinstance(new, dict) and isinstance(back, dict):
        return all(agree(new[name], back[name]) for name in new.keys() & back.keys() - NARROWED)
    if isinstance(new, list) and isinstance(back, list):
        return len(new) == len(back) and all(map(agree, new, back))
    return bool(new == back)


@pytest.mark.parametrize("kind", ROUND_TRIPS)
@given(st.data(), st.sampled_from(VERSIONS))
@settings(max_examples=60, deadline=None)
def test_from_new_to_old_to_new(kind: str, data: st.DataObject, version: str) -> None:
    operation, part = ROUND_TRIPS[kind]
    new = data.draw(like("", sendable(operation)))

    old = shown(version, kind, new)
    back = read(version, part, old)

    assert agree(new, back)
    assert kept(old, shown(version, kind, back))
    assert shown(version, kind, read(version, part, shown(version, kind, back))) == shown(
        version, kind, back
    )
    if version == NEWEST:
        assert back == old
