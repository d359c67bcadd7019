"""How much of the machines a pool has, and what these are busy with.

The cores of a pool change seldom and are needed for any span of time, so what is kept is their
integral: a meter holds it up to the last change, and the usage of spans that are over is written
down when the next change comes. A span is an interval of `INTERVAL_US`, or several of them
through which nothing changed.
"""

from __future__ import annotations

from typing import Final

import msgspec

from penstock.domain.instants import MINUTE_US, SECOND_US
from penstock.domain.usage import Totals

INTERVAL_US: Final = 30 * MINUTE_US
"""Usage is told for intervals of this length, which begin at the hour and at half past."""


KEPT_US: Final = 60 * 24 * 2 * INTERVAL_US
"""Spans that were over for longer than sixty days are forgotten."""


class Sample(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A look at the machine of a host. Counts and bytes are those since the look before."""

    cpu_percent: float  # of all its cores, since the look before
    memory_bytes: int  # in use, caches not counted
    disk_bytes: int  # in use, of the file system that has the nodes
    disk_reads: int
    disk_writes: int
    disk_read_bytes: int
    disk_written_bytes: int
    received_bytes: int  # over its network, but for what it sends to itself
    sent_bytes: int


class Resources(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the machines of a pool were busy with, by their samples.

    Sums of averages are over samples and nodes, so `weight` is what divides them.
    """

    since_us: int | None = None  # of the first sample
    changed_us: int | None = None  # of the last one
    weight: int = 0
    cpu: float = 0.0
    memory: float = 0.0
    disk: float = 0.0
    most_memory: int = 0
    most_disk: int = 0
    disk_reads: int = 0
    disk_writes: int = 0
    disk_read_bytes: int = 0
    disk_written_bytes: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0

    def sampled(self, sample: Sample, nodes: int, at_us: int) -> Resources:
        """Take in a sample of a machine that has so many nodes of the pool.

        Each node shows what the whole machine does; its work counts once.
        """
        one = Resources(
            since_us=at_us,
            changed_us=at_us,
            weight=nodes,
            cpu=sample.cpu_percent * nodes,
            memory=float(sample.memory_bytes) * nodes,
            disk=float(sample.disk_bytes) * nodes,
            most_memory=sample.memory_bytes,
            most_disk=sample.disk_bytes,
            disk_reads=sample.disk_reads,
            disk_writes=sample.disk_writes,
            disk_read_bytes=sample.disk_read_bytes,
            disk_written_bytes=sample.disk_written_bytes,
            received_bytes=sample.received_bytes,
            sent_bytes=sample.sent_bytes,
        )
        return self + one

    def __add__(self, other: Resources) -> Resources:
        firsts = [us for us in (self.since_us, other.since_us) if us is not None]
        lasts = [us for us in (self.changed_us, other.changed_us) if us is not None]
        return Resources(
            since_us=min(firsts, default=None),
            changed_us=max(lasts, default=None),
            weight=self.weight + other.weight,
            cpu=self.cpu + other.cpu,
            memory=self.memory + other.memory,
            disk=self.disk + other.disk,
            most_memory=max(self.most_memory, other.most_memory),
            most_disk=max(self.most_disk, other.most_disk),
            disk_reads=self.disk_reads + other.disk_reads,
            disk_writes=self.disk_writes + other.disk_writes,
            disk_read_bytes=self.disk_read_bytes + other.disk_read_bytes,
            disk_written_bytes=self.disk_written_bytes + other.disk_written_bytes,
            received_bytes=self.received_bytes + other.received_bytes,
            sent_bytes=self.sent_bytes + other.sent_bytes,
        )


class Cores(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The cores that a pool has now."""

    dedicated: int = 0
    low_priority: int = 0


class PoolUsage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How long a pool had cores within a span, which begins and ends with an interval."""

    account: str
    pool_no: int
    pool_id: str
    vm_size: str
    start_us: int
    end_us: int
    core_s: float  # core time of all together


class Meter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The usage of a pool up to `since_us`; from then on it has `cores`."""

    pool_no: int
    account: str
    pool_id: str
    vm_size: str
    since_us: int
    cores: Cores = Cores()
    dedicated_s: float = 0.0  # core time of all its life
    interval_s: float = 0.0  # core time within the interval of `since_us`
    resources: Resources = Resources()

    def at(self, now_us: int) -> tuple[Meter, list[PoolUsage]]:
        """The meter as it stands now, and the spans that are over since."""
        now_us = max(now_us, self.since_us)
        both = (self.cores.dedicated + self.cores.low_priority) / SECOND_US
        begun_us, current_us = start_of(self.since_us), start_of(now_us)
        over: list[PoolUsage] = []
        used_s, from_us = self.interval_s, self.since_us
        if current_us > begun_us:
            end_us = begun_us + INTERVAL_US
            over.append(self._span(begun_us, end_us, used_s + both * (end_us - from_us)))
            if current_us > end_us:
                over.append(self._span(end_us, current_us, both * (current_us - end_us)))
            used_s, from_us = 0.0, current_us
        dedicated_s = self.cores.dedicated * (now_us - self.since_us) / SECOND_US
        meter = msgspec.structs.replace(
            self,
            since_us=now_us,
            dedicated_s=self.dedicated_s + dedicated_s,
            interval_s=used_s + both * (now_us - from_us),
        )
        return meter, over

    def open_span(self) -> PoolUsage:
        """What was used so far of the interval that is not over."""
        start_us = start_of(self.since_us)
        return self._span(start_us, start_us + INTERVAL_US, self.interval_s)

    def _span(self, start_us: int, end_us: int, core_s: float) -> PoolUsage:
        return PoolUsage(
            account=self.account,
            pool_no=self.pool_no,
            pool_id=self.pool_id,
            vm_size=self.vm_size,
            start_us=start_us,
            end_us=end_us,
            core_s=core_s,
        )


def start_of(at_us: int) -> int:
    """Where the interval of an instant begins."""
    return at_us - at_us % INTERVAL_US


class Lifetime(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an account has used since it was first used: by tasks, and by pools that are gone."""

    since_us: int
    jobs: Totals
    dedicated_s: float = 0.0
    resources: Resources = Resources()
