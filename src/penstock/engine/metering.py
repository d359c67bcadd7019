"""The meters of pools: read when the cores of a pool change, and when a host has a sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.metering import Meter, Sample
from penstock.engine.state import State
from penstock.engine.totals import lifetime_since


def measured(state: State, now_us: int) -> Iterator[c.Change]:
    """What follows for the meters of pools whose cores may have changed."""
    pool_nos, state.roster.measure = list(state.roster.measure), {}
    for pool_no in pool_nos:
        before = state.meters.get(pool_no)
        if pool_no in state.pools:
            yield from _read(state, pool_no, before, now_us)
        elif before is not None:
            yield from _closed(state, before, now_us)


def _read(state: State, pool_no: int, before: Meter | None, now_us: int) -> Iterator[c.Change]:
    pool = state.pools[pool_no]
    cores, vm_size = state.roster.members(pool_no).cores, pool.spec.vm_size
    if before is None:
        lifetime = lifetime_since(state.lifetimes.get(pool.account), pool.created_us)
        yield c.SetLifetime(pool.account, lifetime)
        yield c.PutMeter(
            Meter(
                pool_no=pool_no,
                account=pool.account,
                pool_id=pool.id,
                vm_size=vm_size,
                since_us=now_us,
                cores=cores,
            )
        )
    elif (before.cores, before.vm_size) != (cores, vm_size):
        meter, over = before.at(now_us)
        yield c.PutMeter(replace(meter, cores=cores, vm_size=vm_size))
        for span in over:
            yield c.AddPoolUsage(span)


def _closed(state: State, before: Meter, now_us: int) -> Iterator[c.Change]:
    """The pool is gone: what it has used stays with its account."""
    meter, over = before.at(now_us)
    for span in (*over, meter.open_span()):
        yield c.AddPoolUsage(span)
    lifetime = lifetime_since(state.lifetimes.get(meter.account), now_us)
    yield c.SetLifetime(
        meter.account,
        replace(
            lifetime,
            dedicated_s=lifetime.dedicated_s + meter.dedicated_s,
            resources=lifetime.resources + meter.resources,
        ),
    )
    yield c.DropMeter(meter.pool_no)


def sampled(state: State, host: str, sample: Sample, now_us: int) -> Iterator[c.Change]:
    """What a look at the machine of a host says of the pools that have nodes there."""
    nodes = Counter(node.pool_no for node in state.roster.of_host(host))
    for pool_no, count in nodes.items():
        meter = state.meters.get(pool_no)
        if meter is not None:
            resources = meter.resources.sampled(sample, count, now_us)
            yield c.PutMeter(replace(meter, resources=resources))
