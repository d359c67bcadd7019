"""Sizes of compute nodes: what the common names of Azure's virtual machines stand for.

The names carry most of it: family, cores, features, version. Each family is one row of core
counts and memory per core; sizes that follow no rule are listed by themselves. Names compare
without regard to case, and are given back in lower case.

Source: the "Sizes for virtual machines in Azure" pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final, NamedTuple


class Size(NamedTuple):
    """Cores and memory of one node."""

    name: str
    cores: int
    memory_mib: int


MOST_SLOTS: Final = 256
"""A node has no more task slots than this, nor than four for each core."""


def size_of(name: str) -> Size | None:
    """Find a size by its name, in any case."""
    return _SIZES.get(name.lower())


def cores_of(name: str) -> int:
    """The cores of a size; 1 where it is not known."""
    size = size_of(name)
    return size.cores if size else 1


def most_slots(size: Size) -> int:
    """How many task slots a node of this size may have."""
    return min(4 * size.cores, MOST_SLOTS)


def _family(
    pattern: str, cores: Iterable[int], gib_per_core: float
) -> Iterator[tuple[str, int, float]]:
    """Sizes of one family: `pattern` has ``{}`` where the number of cores stands."""
    for count in cores:
        yield pattern.format(count), count, count * gib_per_core


_TO_64: Final = (2, 4, 8, 16, 32, 48, 64)
_TO_96: Final = (*_TO_64, 96)
_TO_192: Final = (*_TO_96, 128, 192)
_B: Final = (2, 4, 8, 16, 32)
_L: Final = (8, 16, 32, 48, 64, 80)


def _general() -> Iterator[tuple[str, int, float]]:
    """Families A, B, D, E, F of the newer versions, with all their letters."""
    yield from _family("a{}_v2", (1, 2, 4, 8), 2)
    yield from _family("a{}m_v2", (2, 4, 8), 8)
    for letter in ("", "a", "p"):
        yield from _family(f"b{{}}{letter}ls_v2", _B, 2)
        yield from _family(f"b{{}}{letter}s_v2", _B, 4)
    for letter in ("", "s"):
        yield from _family(f"d{{}}{letter}_v3", _TO_64, 4)
        yield from _family(f"e{{}}{letter}_v3", (2, 4, 8, 16, 20, 32, 48), 8)
        yield (f"e64{letter}_v3", 64, 432)
    for maker, low, disk, premium in product(("", "a", "p"), ("", "l"), ("", "d"), ("", "s")):
        letters = f"{maker}{low}{disk}{premium}"
        for version, cores in (("v4", _TO_64), ("v5", _TO_96), ("v6", _TO_192), ("v7", _TO_192)):
            yield from _family(f"d{{}}{letters}_{version}", cores, 2 if low else 4)
            if not low:
                yield from _family(f"e{{}}{letters}_{version}", (*cores, 20), 8)
    for letters in ("bs", "bds"):
        yield from _family(f"e{{}}{letters}_v5", (*_TO_96, 112), 8)
    yield from _family("f{}", (1, 2, 4, 8, 16), 2)
    yield from _family("f{}s", (1, 2, 4, 8, 16), 2)
    yield from _family("f{}s_v2", (2, 4, 8, 16, 32, 48, 64, 72), 2)
    for letters, memory in (("as", 4), ("als", 2), ("ams", 8)):
        yield from _family(f"f{{}}{letters}_v6", _TO_64, memory)


def _special() -> Iterator[tuple[str, int, float]]:
    """Families G, H, L, M, N, which are large."""
    for letter in ("", "s"):
        for number, cores in enumerate((2, 4, 8, 16, 32), start=1):
            yield f"g{letter}{number}", cores, 14 * cores
    yield from _family("h{}", (8, 16), 7)
    yield from _family("h{}m", (8, 16), 14)
    yield from (("h16r", 16, 112), ("h16mr", 16, 224))
    yield from _limited("hb60{}rs", 60, (15, 30, 45), 228)
    yield from _limited("hb120{}rs_v2", 120, (16, 32, 64, 96), 456)
    yield from _limited("hb120{}rs_v3", 120, (16, 32, 64, 96), 448)
    yield from _limited("hb176{}rs_v4", 176, (24, 48, 96, 144), 768)
    yield from _limited("hc44{}rs", 44, (16, 32), 352)
    yield from _limited("hx176{}rs", 176, (24, 48, 96, 144), 1408)
    yield from _family("l{}s", (4, 8, 16, 32), 8)
    yield from _family("l{}s_v2", _L, 8)
    yield from _family("l{}s_v3", _L, 8)
    yield from _family("l{}as_v3", _L, 8)
    for number, (cores, memory) in {1: (6, 56.0), 2: (12, 112.0), 4: (24, 224.0)}.items():
        yield f"nc{6 * number}", cores, memory
        yield f"nv{6 * number}", cores, memory
        for family in ("nc{}s_v2", "nc{}s_v3", "nd{}s"):
            yield family.format(6 * number), cores, 2 * memory
    yield from _family("nv{}s_v3", (12, 24, 48), 112 / 12)
    yield from _family("nv{}as_v4", (4, 8, 16, 32), 3.5)
    yield from _family("nc{}ads_a100_v4", (24, 48, 96), 220 / 24)
    yield from _family("nc{}ads_h100_v5", (40,), 8)


def _limited(
    pattern: str, cores: int, fewer: Iterable[int], memory: float
) -> Iterator[tuple[str, int, float]]:
    """One machine, whole and with fewer of its cores but all of its memory."""
    yield pattern.format(""), cores, memory
    for count in fewer:
        yield pattern.format(f"-{count}"), count, memory


_BY_NAME: Final[tuple[tuple[str, int, float], ...]] = (
    *(("a0", 1, 0.75), ("a1", 1, 1.75), ("a2", 2, 3.5), ("a3", 4, 7), ("a4", 8, 14)),
    *(("a5", 2, 14), ("a6", 4, 28), ("a7", 8, 56), ("a8", 8, 56), ("a9", 16, 112)),
    *(("a10", 8, 56), ("a11", 16, 112)),
    *(("b1ls", 1, 0.5), ("b1s", 1, 1), ("b1ms", 1, 2), ("b2s", 2, 4), ("b2ms", 2, 8)),
    *(("b4ms", 4, 16), ("b8ms", 8, 32), ("b12ms", 12, 48), ("b16ms", 16, 64), ("b20ms", 20, 80)),
    *(("b2ts_v2", 2, 1), ("b2ats_v2", 2, 1), ("b2pts_v2", 2, 1)),
    *(("nc24r", 24, 224), ("nc24rs_v2", 24, 448), ("nc24rs_v3", 24, 448), ("nd24rs", 24, 448)),
    *(("nc4as_t4_v3", 4, 28), ("nc8as_t4_v3", 8, 56), ("nc16as_t4_v3", 16, 110)),
    *(("nc64as_t4_v3", 64, 440), ("nc80adis_h100_v5", 80, 640), ("nd40rs_v2", 40, 672)),
    *(("nd96asr_v4", 96, 900), ("nd96amsr_a100_v4", 96, 1900), ("nd96isr_h100_v5", 96, 1900)),
    *(("nv6ads_a10_v5", 6, 55), ("nv12ads_a10_v5", 12, 110), ("nv18ads_a10_v5", 18, 220)),
    *(("nv36ads_a10_v5", 36, 440), ("nv36adms_a10_v5", 36, 880), ("nv72ads_a10_v5", 72, 880)),
    *(("m8ms", 8, 218.75), ("m16ms", 16, 437.5), ("m32ts", 32, 192), ("m32ls", 32, 256)),
    *(("m32ms", 32, 875), ("m64ls", 64, 512), ("m64s", 64, 1024), ("m64ms", 64, 1792)),
    *(("m128s", 128, 2048), ("m128ms", 128, 3892), ("m32ms_v2", 32, 875)),
    *(("m64s_v2", 64, 1024), ("m64ms_v2", 64, 1792), ("m128s_v2", 128, 2048)),
    *(("m128ms_v2", 128, 3892), ("m208s_v2", 208, 2850), ("m208ms_v2", 208, 5700)),
    *(("m416s_v2", 416, 5700), ("m416ms_v2", 416, 11400)),
)

_OLD_D: Final = {1: (1, 3.5), 2: (2, 7), 3: (4, 14), 4: (8, 28)}
_OLD_D_LARGE: Final = {11: (2, 14), 12: (4, 28), 13: (8, 56), 14: (16, 112)}


def _old_d() -> Iterator[tuple[str, int, float]]:
    """The first two versions of D count their sizes, not their cores."""
    for letter, version in product(("d", "ds"), ("", "_v2")):
        for number, (cores, memory) in {**_OLD_D, **_OLD_D_LARGE}.items():
            yield f"{letter}{number}{version}", cores, memory
    for letter in ("d", "ds"):
        yield from ((f"{letter}5_v2", 16, 56), (f"{letter}15_v2", 20, 140))


def _all() -> Iterator[Size]:
    for name, cores, gib in (*_BY_NAME, *_old_d(), *_general(), *_special()):
        yield Size(f"standard_{name}", cores, round(gib * 1024))
    for number, (cores, gib) in enumerate(((1, 0.75), (1, 1.75), (2, 3.5), (4, 7), (8, 14))):
        yield Size(f"basic_a{number}", cores, round(gib * 1024))
    old = (("extrasmall", 1, 0.75), ("small", 1, 1.75), ("medium", 2, 3.5), ("large", 4, 7.0))
    for name, cores, gib in (*old, ("extralarge", 8, 14.0)):
        yield Size(name, cores, round(gib * 1024))


_SIZES: Final = {size.name: size for size in _all()}
