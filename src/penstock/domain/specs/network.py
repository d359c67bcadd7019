"""What a user may say of the network of a pool."""

from __future__ import annotations

from msgspec import field

from penstock.domain.specs.common import Spec


class SecurityRule(Spec, frozen=True, kw_only=True):
    """Who may use an endpoint. Of several rules the one with the lowest priority decides."""

    priority: int
    access: str  # allow | deny
    source_address_prefix: str
    source_port_ranges: list[str] | None = None


class NatPool(Spec, frozen=True, kw_only=True):
    """A port of the nodes that is reached from outside: each node has one of the range."""

    name: str
    protocol: str  # tcp | udp
    backend_port: int
    frontend_port_range_start: int
    frontend_port_range_end: int
    network_security_group_rules: list[SecurityRule] | None = None


class EndpointConfiguration(Spec, frozen=True, kw_only=True):
    inbound_nat_pools: list[NatPool] = field(name="inboundNATPools")


class IPTag(Spec, frozen=True, kw_only=True):
    ip_tag_type: str | None = None
    tag: str | None = None


class PublicAddresses(Spec, frozen=True, kw_only=True):
    provision: str | None = None  # batchmanaged | usermanaged | nopublicipaddresses
    ip_families: list[str] | None = None  # IPv4 | IPv6
    ip_address_ids: list[str] | None = None
    ip_tags: list[IPTag] | None = None


class NetworkConfiguration(Spec, frozen=True, kw_only=True):
    subnet_id: str | None = None
    dynamic_vnet_assignment_scope: str | None = field(
        name="dynamicVNetAssignmentScope", default=None
    )  # none | job
    endpoint_configuration: EndpointConfiguration | None = None
    public_ip_address_configuration: PublicAddresses | None = field(
        name="publicIPAddressConfiguration", default=None
    )
    enable_accelerated_networking: bool | None = None
