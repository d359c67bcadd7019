"""The table of VM sizes."""

from __future__ import annotations

import pytest

from penstock.domain.sizes import most_slots, size_of


@pytest.mark.parametrize(
    ("name", "cores", "gib"),
    [
        ("STANDARD_A1", 1, 1.75),
        ("standard_a1_v2", 1, 2),
        ("Standard_A8m_v2", 8, 64),
        ("Standard_B2ms", 2, 8),
        ("standard_d1_v2", 1, 3.5),
        ("Standard_DS14_v2", 16, 112),
        ("Standard_D2s_v3", 2, 8),
        ("Standard_D4ds_v5", 4, 16),
        ("Standard_D8as_v5", 8, 32),
        ("Standard_D96pls_v5", 96, 192),
        ("Standard_D192alds_v6", 192, 384),
        ("Standard_E64_v3", 64, 432),
        ("Standard_E8ads_v5", 8, 64),
        ("Standard_F72s_v2", 72, 144),
        ("Standard_GS5", 32, 448),
        ("Standard_H16mr", 16, 224),
        ("Standard_HB120rs_v3", 120, 448),
        ("Standard_HB120-16rs_v3", 16, 448),
        ("Standard_HC44rs", 44, 352),
        ("Standard_L8s_v3", 8, 64),
        ("Standard_M128ms", 128, 3892),
        ("Standard_NC6", 6, 56),
        ("Standard_NC24s_v3", 24, 448),
        ("Standard_NC4as_T4_v3", 4, 28),
        ("Standard_ND96asr_v4", 96, 900),
        ("Standard_NV12s_v3", 12, 112),
        ("small", 1, 1.75),
    ],
)
def test_a_size(name: str, cores: int, gib: float) -> None:
    size = size_of(name)

    assert size is not None
    assert size == (name.lower(), cores, gib * 1024)


@pytest.mark.parametrize("name", ["", "standard", "standard_d3s_v3", "Standard_D2s_v3 ", "m"])
def test_no_size(name: str) -> None:
    assert size_of(name) is None


def test_slots() -> None:
    small, large = size_of("standard_a1_v2"), size_of("standard_d96s_v5")
    assert small is not None
    assert large is not None

    assert (most_slots(small), most_slots(large)) == (4, 256)
