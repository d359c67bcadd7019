"""What users say of the network of a pool: checked, and filled with defaults.

Nodes do not join networks of a cloud: these settings are stored and returned.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from msgspec.structs import replace

from penstock.domain.specs.network import (
    EndpointConfiguration,
    NatPool,
    NetworkConfiguration,
    PublicAddresses,
    SecurityRule,
)
from penstock.wire.specs.bodies import missing, wrong
from penstock.wire.specs.checks import canonical, check_range, each, required

PROTOCOLS: Final = ("tcp", "udp")
ACCESSES: Final = ("allow", "deny")
SCOPES: Final = ("none", "job")
PROVISIONS: Final = ("batchmanaged", "usermanaged", "nopublicipaddresses")
FAMILIES: Final = ("IPv4", "IPv6")

MOST_NAT_POOLS: Final = 5
MOST_RULES: Final = 25
LONGEST_NAME: Final = 77
LEAST_FRONTEND_PORTS: Final = 40
LAST_PORT: Final = 65_535
LAST_FRONTEND_PORT: Final = 65_534
RESERVED_FRONTEND: Final = range(50_000, 55_001)
RESERVED_BACKEND: Final = (29_876, 29_877)
PRIORITIES: Final = (150, 4096)

_SUBNET: Final = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/[^/]+/virtualNetworks/[^/]+/subnets/[^/]+",
    re.IGNORECASE,
)
_ADDRESS_ID: Final = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/[^/]+/publicIPAddresses/[^/]+",
    re.IGNORECASE,
)
_NAT_POOL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_TAG: Final = re.compile(r"[A-Z][A-Za-z0-9]*(?:\.[A-Za-z0-9]+)?")
"""A service tag, perhaps of one region."""

_DEFAULT_TAGS: Final = {
    tag.lower(): tag for tag in ("VirtualNetwork", "AzureLoadBalancer", "Internet")
}


def network(config: NetworkConfiguration | None) -> NetworkConfiguration | None:
    """The networkConfiguration of a pool."""
    if config is None:
        return None
    name = "networkConfiguration"
    if config.subnet_id is not None and _SUBNET.fullmatch(config.subnet_id) is None:
        raise wrong(
            f"{name}.subnetId",
            config.subnet_id,
            "must be /subscriptions/{subscription}/resourceGroups/{group}/providers/{provider}"
            "/virtualNetworks/{network}/subnets/{subnet}",
        )
    scope = canonical(
        config.dynamic_vnet_assignment_scope, SCOPES, f"{name}.dynamicVNetAssignmentScope"
    )
    nat = f"{name}.endpointConfiguration.inboundNATPools"
    endpoints = _endpoints(config.endpoint_configuration, nat)
    addresses = _addresses(
        config.public_ip_address_configuration, f"{name}.publicIPAddressConfiguration"
    )
    if endpoints and endpoints.inbound_nat_pools and addresses:
        _check_reachable(addresses, nat)
    return replace(
        config,
        dynamic_vnet_assignment_scope=scope or "none",
        endpoint_configuration=endpoints,
        public_ip_address_configuration=addresses,
        enable_accelerated_networking=config.enable_accelerated_networking or False,
    )


def _check_reachable(addresses: PublicAddresses, name: str) -> None:
    if addresses.provision == "nopublicipaddresses":
        raise wrong(name, addresses.provision, "need public addresses, and provision has none")


def _addresses(config: PublicAddresses | None, name: str) -> PublicAddresses | None:
    if config is None:
        return None
    provision = canonical(config.provision, PROVISIONS, f"{name}.provision") or "batchmanaged"
    ids = config.ip_address_ids
    if ids and provision != "usermanaged":
        raise wrong(f"{name}.ipAddressIds", ids, "can be given only with usermanaged addresses")
    if provision == "usermanaged" and not ids:
        raise missing(f"{name}.ipAddressIds")
    for at, item in enumerate(ids or ()):
        if _ADDRESS_ID.fullmatch(item) is None:
            raise wrong(
                f"{name}.ipAddressIds[{at}]",
                item,
                "must be /subscriptions/{subscription}/resourceGroups/{group}/providers"
                "/Microsoft.Network/publicIPAddresses/{ip}",
            )
    families = _families(config.ip_families, f"{name}.ipFamilies")
    return replace(config, provision=provision, ip_families=families)


def _families(given: list[str] | None, name: str) -> list[str] | None:
    """IPv4 alone, or both."""
    if not given:
        return given
    found = [required(item, FAMILIES, f"{name}[{at}]") for at, item in enumerate(given)]
    if len(set(found)) < len(found) or "IPv4" not in found:
        raise wrong(name, given, "must be IPv4, or IPv4 and IPv6")
    return found


# --- endpoints -------------------------------------------------------------------------------


def _endpoints(config: EndpointConfiguration | None, name: str) -> EndpointConfiguration | None:
    if config is None:
        return None
    given = config.inbound_nat_pools
    if len(given) > MOST_NAT_POOLS:
        raise wrong(name, f"{len(given)} pools", f"must have {MOST_NAT_POOLS} at most")
    pools = each(given, name, _nat_pool) or []
    _check_apart(pools, name)
    _check_rules_of_all(pools, name)
    return EndpointConfiguration(inbound_nat_pools=pools)


def _nat_pool(pool: NatPool, name: str) -> NatPool:
    if len(pool.name) > LONGEST_NAME or _NAT_POOL.fullmatch(pool.name) is None:
        raise wrong(
            f"{name}.name",
            pool.name,
            f"must be up to {LONGEST_NAME} letters, digits, underscores, periods and hyphens, "
            "begin with a letter or digit and end with one or an underscore",
        )
    _check_backend(pool.backend_port, f"{name}.backendPort")
    _check_frontend(pool, name)
    return replace(
        pool,
        protocol=required(pool.protocol, PROTOCOLS, f"{name}.protocol"),
        network_security_group_rules=each(
            pool.network_security_group_rules, f"{name}.networkSecurityGroupRules", _rule
        ),
    )


def _check_backend(port: int, name: str) -> None:
    check_range(port, 1, LAST_PORT, name)
    if port in RESERVED_BACKEND:
        raise wrong(name, port, "is a port that the service keeps for itself")


def _check_frontend(pool: NatPool, name: str) -> None:
    first, last = pool.frontend_port_range_start, pool.frontend_port_range_end
    for port, which in ((first, "Start"), (last, "End")):
        check_range(port, 1, LAST_FRONTEND_PORT, f"{name}.frontendPortRange{which}")
        if port in RESERVED_FRONTEND:
            raise wrong(
                f"{name}.frontendPortRange{which}", port, "ports from 50000 to 55000 are reserved"
            )
    if last - first + 1 < LEAST_FRONTEND_PORTS:
        raise wrong(
            f"{name}.frontendPortRangeEnd",
            last,
            f"the range must have {LEAST_FRONTEND_PORTS} ports at least",
        )
    if first < RESERVED_FRONTEND.start <= last:
        raise wrong(f"{name}.frontendPortRangeEnd", last, "ports from 50000 to 55000 are reserved")


def _check_apart(pools: Sequence[NatPool], name: str) -> None:
    """Names and backend ports are unique in a pool, and frontend ranges do not overlap."""
    names: set[str] = set()
    ports: set[int] = set()
    for at, pool in enumerate(pools):
        if pool.name.lower() in names:
            raise wrong(f"{name}[{at}].name", pool.name, "is the name of another one, too")
        if pool.backend_port in ports:
            raise wrong(
                f"{name}[{at}].backendPort", pool.backend_port, "is the port of another one, too"
            )
        names.add(pool.name.lower())
        ports.add(pool.backend_port)
    in_order = sorted(enumerate(pools), key=lambda item: item[1].frontend_port_range_start)
    for (_, one), (at, other) in pairwise(in_order):
        if other.frontend_port_range_start <= one.frontend_port_range_end:
            raise wrong(
                f"{name}[{at}].frontendPortRangeStart",
                other.frontend_port_range_start,
                f"the range overlaps with that of {one.name}",
            )


# --- rules -----------------------------------------------------------------------------------


def _rule(rule: SecurityRule, name: str) -> SecurityRule:
    check_range(rule.priority, *PRIORITIES, f"{name}.priority")
    ranges = rule.source_port_ranges or ["*"]
    _check_ports(ranges, f"{name}.sourcePortRanges")
    return replace(
        rule,
        access=required(rule.access, ACCESSES, f"{name}.access"),
        source_address_prefix=_prefix(rule.source_address_prefix, f"{name}.sourceAddressPrefix"),
        source_port_ranges=ranges,
    )


def _prefix(text: str, name: str) -> str:
    """An address, a subnet, a tag, or all."""
    tag = _DEFAULT_TAGS.get(text.lower())
    if tag is not None or text == "*" or _TAG.fullmatch(text):
        return tag or text
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise wrong(name, text, "must be an IP address, a subnet, a tag or *") from None
    return text


def _check_ports(ranges: Sequence[str], name: str) -> None:
    """Ports and ranges of ports that do not overlap; ``*`` stands for all."""
    found = sorted(_ports(text, f"{name}[{at}]") for at, text in enumerate(ranges))
    for (_, last), (first, _) in pairwise(found):
        if first <= last:
            raise wrong(name, ", ".join(ranges), "must not overlap")


def _ports(text: str, name: str) -> tuple[int, int]:
    if text == "*":
        return 0, LAST_PORT
    first, dash, last = text.partition("-")
    both = (first, last) if dash else (first, first)
    if all(part.isascii() and part.isdigit() and len(part) <= 5 for part in both):
        low, high = int(both[0]), int(both[1])
        if low <= high <= LAST_PORT:
            return low, high
    raise wrong(name, text, f"must be a port, a range such as 100-200, or *, from 0 to {LAST_PORT}")


def _check_rules_of_all(pools: Sequence[NatPool], name: str) -> None:
    """Priorities are unique in a pool; there are not too many rules in all."""
    priorities: set[int] = set()
    for at, pool in enumerate(pools):
        for number, rule in enumerate(pool.network_security_group_rules or ()):
            if rule.priority in priorities:
                raise wrong(
                    f"{name}[{at}].networkSecurityGroupRules[{number}].priority",
                    rule.priority,
                    "is the priority of another rule of the pool, too",
                )
            priorities.add(rule.priority)
    if len(priorities) > MOST_RULES:
        raise wrong(
            name, f"{len(priorities)} rules", f"a pool must have {MOST_RULES} rules at most"
        )
