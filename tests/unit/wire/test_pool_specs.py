"""The rules of the parts of pools: network, machines, mounts, accounts, certificates, scaling."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from penstock.domain.refusals import (
    AutoScalingFormulaTooLong,
    InvalidAutoScalingSettings,
    InvalidPropertyValue,
    MissingRequiredProperty,
    Refusal,
)
from penstock.domain.specs.common import encode_spec
from penstock.wire.specs.pools import (
    pool_from_wire,
    pool_patch_from_wire,
    pool_properties_from_wire,
    removal_from_wire,
    resize_from_wire,
)
from penstock.wire.specs.scaling import auto_scaling_from_wire, formula_from_wire

Reader = Callable[[bytes], Any]

IMAGE = {"publisher": "canonical", "offer": "ubuntu", "sku": "22_04"}
MACHINE = {"imageReference": IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 22.04"}
POOL = {"id": "p", "vmSize": "standard_d2s_v3", "virtualMachineConfiguration": MACHINE}
SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/a"
ADDRESS = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/publicIPAddresses/a"
THUMBPRINT = "0123456789ABCDEF0123456789abcdef01234567"


def read(reader: Reader, body: Any) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(encode_spec(reader(json.dumps(body).encode())))
    return spec


def refused(reader: Reader, body: Any) -> Refusal:
    with pytest.raises(Refusal) as raised:
        reader(json.dumps(body).encode())
    return raised.value


def stored(**parts: Any) -> dict[str, Any]:
    """What is kept of a pool with these parts; what a patch keeps of them is the same."""
    pool = read(pool_from_wire, {**POOL, **parts})
    patch = read(pool_patch_from_wire, parts)
    assert all(pool[name] == value for name, value in patch.items())
    return pool


def machine(**parts: Any) -> dict[str, Any]:
    return {"virtualMachineConfiguration": {**MACHINE, **parts}}


def stored_machine(**parts: Any) -> dict[str, Any]:
    found: dict[str, Any] = stored(**machine(**parts))["virtualMachineConfiguration"]
    return {name: found[name] for name in parts}


# --- network -----------------------------------------------------------------------------------


def nat(name: str = "a", backend: Any = 80, first: Any = 8000, **parts: Any) -> dict[str, Any]:
    return {
        "name": name,
        "protocol": "tcp",
        "backendPort": backend,
        "frontendPortRangeStart": first,
        "frontendPortRangeEnd": int(first) + 39,
        **parts,
    }


def rule(priority: Any = 150, source: str = "*", **parts: Any) -> dict[str, Any]:
    return {"priority": priority, "access": "allow", "sourceAddressPrefix": source, **parts}


def endpoints(*pools: dict[str, Any]) -> dict[str, Any]:
    return {"endpointConfiguration": {"inboundNATPools": list(pools)}}


def rules(*given: dict[str, Any]) -> dict[str, Any]:
    return endpoints(nat(networkSecurityGroupRules=list(given)))


def test_the_defaults_of_a_network() -> None:
    network = stored(networkConfiguration={"subnetId": SUBNET, "publicIPAddressConfiguration": {}})[
        "networkConfiguration"
    ]

    assert network == {
        "subnetId": SUBNET,
        "dynamicVNetAssignmentScope": "none",
        "publicIPAddressConfiguration": {"provision": "batchmanaged"},
        "enableAcceleratedNetworking": False,
    }


def test_spellings_of_a_network() -> None:
    given = {
        "dynamicVNetAssignmentScope": "Job",
        "enableAcceleratedNetworking": "true",
        "publicIPAddressConfiguration": {
            "provision": "UserManaged",
            "ipAddressIds": [ADDRESS],
            "ipFamilies": ["ipv4", "IPV6"],
            "ipTags": [{"ipTagType": "FirstPartyUsage", "tag": "SQL"}],
        },
        **endpoints(
            nat("ssh", "22", "1000", protocol="TCP"),
            nat(
                "dns",
                53,
                2000,
                protocol="Udp",
                networkSecurityGroupRules=[
                    rule("200", "10.0.0.0/8", access="Deny", sourcePortRanges=["22", "100-200"]),
                    rule(300, "fe80::1"),
                    rule(301, "virtualnetwork"),
                    rule(302, "Storage.WestUS"),
                ],
            ),
        ),
    }

    found = stored(networkConfiguration=given)["networkConfiguration"]

    assert found["dynamicVNetAssignmentScope"] == "job"
    assert found["enableAcceleratedNetworking"] is True
    assert found["publicIPAddressConfiguration"] == {
        "provision": "usermanaged",
        "ipFamilies": ["IPv4", "IPv6"],
        "ipAddressIds": [ADDRESS],
        "ipTags": [{"ipTagType": "FirstPartyUsage", "tag": "SQL"}],
    }
    ssh, dns = found["endpointConfiguration"]["inboundNATPools"]
    assert (ssh["protocol"], ssh["backendPort"], ssh["frontendPortRangeStart"]) == ("tcp", 22, 1000)
    assert "networkSecurityGroupRules" not in ssh
    assert dns["protocol"] == "udp"
    assert dns["networkSecurityGroupRules"] == [
        {
            "priority": 200,
            "access": "deny",
            "sourceAddressPrefix": "10.0.0.0/8",
            "sourcePortRanges": ["22", "100-200"],
        },
        {**rule(300, "fe80::1"), "sourcePortRanges": ["*"]},
        {**rule(301, "VirtualNetwork"), "sourcePortRanges": ["*"]},
        {**rule(302, "Storage.WestUS"), "sourcePortRanges": ["*"]},
    ]


@pytest.mark.parametrize("name", ["a", "A1_", "a.b-c_d", "9", "x" * 77])
def test_the_name_of_a_nat_pool(name: str) -> None:
    stored(networkConfiguration=endpoints(nat(name)))


_POOLS = "endpointConfiguration.inboundNATPools"
_RULE = f"{_POOLS}[0].networkSecurityGroupRules[0]"
_ADDRESSES = "publicIPAddressConfiguration"
BAD_NETWORKS: list[tuple[dict[str, Any], str]] = [
    ({"subnetId": "a"}, "subnetId"),
    ({"subnetId": SUBNET + "/more"}, "subnetId"),
    ({"dynamicVNetAssignmentScope": "pool"}, "dynamicVNetAssignmentScope"),
    ({"enableAcceleratedNetworking": "perhaps"}, "enableAcceleratedNetworking"),
    ({_ADDRESSES: {"provision": "none"}}, f"{_ADDRESSES}.provision"),
    ({_ADDRESSES: {"provision": "usermanaged"}}, f"{_ADDRESSES}.ipAddressIds"),
    ({_ADDRESSES: {"ipAddressIds": [ADDRESS]}}, f"{_ADDRESSES}.ipAddressIds"),
    (
        {_ADDRESSES: {"provision": "usermanaged", "ipAddressIds": ["1.2.3.4"]}},
        f"{_ADDRESSES}.ipAddressIds[0]",
    ),
    ({_ADDRESSES: {"ipFamilies": ["IPv4", "IPv5"]}}, f"{_ADDRESSES}.ipFamilies[1]"),
    ({_ADDRESSES: {"ipFamilies": ["IPv6"]}}, f"{_ADDRESSES}.ipFamilies"),
    ({_ADDRESSES: {"ipFamilies": ["IPv4", "ipv4"]}}, f"{_ADDRESSES}.ipFamilies"),
    ({"endpointConfiguration": {}}, _POOLS),
    ({**endpoints(nat()), _ADDRESSES: {"provision": "NoPublicIPAddresses"}}, _POOLS),
    (endpoints(*(nat(str(n), n + 1, 1000 + 40 * n) for n in range(6))), _POOLS),
    (endpoints({**nat(), "name": None}), f"{_POOLS}[0].name"),
    *((endpoints(nat(name)), f"{_POOLS}[0].name") for name in ("", "_a", "a-", "a b", "x" * 78)),
    (endpoints(nat(protocol="icmp")), f"{_POOLS}[0].protocol"),
    *((endpoints(nat(backend=port)), f"{_POOLS}[0].backendPort") for port in (0, 65_536, 29_876)),
    (endpoints(nat(first=0)), f"{_POOLS}[0].frontendPortRangeStart"),
    (endpoints(nat(first=65_500)), f"{_POOLS}[0].frontendPortRangeEnd"),
    (endpoints(nat(first=55_000)), f"{_POOLS}[0].frontendPortRangeStart"),
    (endpoints(nat(first=49_970)), f"{_POOLS}[0].frontendPortRangeEnd"),
    (endpoints(nat(frontendPortRangeEnd=8038)), f"{_POOLS}[0].frontendPortRangeEnd"),
    (
        endpoints(nat(first=49_000, frontendPortRangeEnd=56_000)),
        f"{_POOLS}[0].frontendPortRangeEnd",
    ),
    (endpoints(nat("a"), nat("A", 81, 9000)), f"{_POOLS}[1].name"),
    (endpoints(nat("a"), nat("b", 80, 9000)), f"{_POOLS}[1].backendPort"),
    (endpoints(nat("a", 80, 9000), nat("b", 81, 8961)), f"{_POOLS}[0].frontendPortRangeStart"),
    *((rules(rule(priority)), f"{_RULE}.priority") for priority in (149, 4097, "high")),
    (rules(rule(access="maybe")), f"{_RULE}.access"),
    *(
        (rules(rule(source=source)), f"{_RULE}.sourceAddressPrefix")
        for source in ("", "here", "1.2.3", "1.2.3.4/33", "300.1.1.1", "not-an-address", "a b")
    ),
    *(
        (rules(rule(sourcePortRanges=[ports])), f"{_RULE}.sourcePortRanges[0]")
        for ports in ("", "x", "65536", "9-8", "1-", "-1", "1-2-3", "١")
    ),
    *(
        (rules(rule(sourcePortRanges=list(ports))), f"{_RULE}.sourcePortRanges")
        for ports in (("*", "5"), ("1-10", "10"), ("5", "5"))
    ),
    (
        endpoints(
            nat(networkSecurityGroupRules=[rule(200)]),
            nat("b", 81, 9000, networkSecurityGroupRules=[rule(201), rule(200)]),
        ),
        f"{_POOLS}[1].networkSecurityGroupRules[1].priority",
    ),
    (rules(*(rule(150 + number) for number in range(26))), _POOLS),
]


@pytest.mark.parametrize(("network", "name"), BAD_NETWORKS)
def test_a_bad_network(network: dict[str, Any], name: str) -> None:
    for reader, body in ((pool_from_wire, POOL), (pool_patch_from_wire, {})):
        refusal = refused(reader, {**body, "networkConfiguration": network})
        assert refusal.status == 400
        assert refusal.values["PropertyName"] == f"networkConfiguration.{name}"
        assert refusal.values["Reason"]


# --- machines ----------------------------------------------------------------------------------

MANAGED = {"storageAccountType": "standard_lrs"}
GOOD_MACHINES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"windowsConfiguration": {}}, {"windowsConfiguration": {"enableAutomaticUpdates": True}}),
    (
        {"windowsConfiguration": {"enableAutomaticUpdates": False}},
        {"windowsConfiguration": {"enableAutomaticUpdates": False}},
    ),
    ({"licenseType": "WINDOWS_client"}, {"licenseType": "Windows_Client"}),
    ({"nodePlacementConfiguration": {}}, {"nodePlacementConfiguration": {"policy": "regional"}}),
    (
        {"nodePlacementConfiguration": {"policy": "Zonal"}},
        {"nodePlacementConfiguration": {"policy": "zonal"}},
    ),
    (
        {"dataDisks": [{"lun": "0", "diskSizeGB": "10"}]},
        {
            "dataDisks": [
                {"lun": 0, "caching": "readwrite", "diskSizeGB": 10, "managedDisk": MANAGED}
            ]
        },
    ),
    (
        {
            "dataDisks": [
                {
                    "lun": 63,
                    "diskSizeGB": 1,
                    "caching": "None",
                    "managedDisk": {
                        "storageAccountType": "Premium_LRS",
                        "diskEncryptionSet": {"id": "/x"},
                        "securityProfile": {"securityEncryptionType": "vmgueststateonly"},
                    },
                }
            ]
        },
        {
            "dataDisks": [
                {
                    "lun": 63,
                    "caching": "none",
                    "diskSizeGB": 1,
                    "managedDisk": {
                        "diskEncryptionSet": {"id": "/x"},
                        "storageAccountType": "premium_lrs",
                        "securityProfile": {"securityEncryptionType": "VMGuestStateOnly"},
                    },
                }
            ]
        },
    ),
    (
        {
            "osDisk": {
                "ephemeralOSDiskSettings": {"placement": "CacheDisk"},
                "caching": "ReadOnly",
                "diskSizeGB": "128",
                "managedDisk": {"storageAccountType": "StandardSSD_LRS"},
                "writeAcceleratorEnabled": "false",
            }
        },
        {
            "osDisk": {
                "ephemeralOSDiskSettings": {"placement": "cachedisk"},
                "caching": "readonly",
                "diskSizeGB": 128,
                "managedDisk": {"storageAccountType": "standardssd_lrs"},
                "writeAcceleratorEnabled": False,
            }
        },
    ),
    (
        {
            "containerConfiguration": {
                "type": "CRICompatible",
                "containerImageNames": ["a", "b:c"],
                "containerRegistries": [
                    {"username": "u", "password": "p", "registryServer": "r.io"},
                    {"identityReference": {"resourceId": "/i"}},
                ],
            }
        },
        {
            "containerConfiguration": {
                "type": "criCompatible",
                "containerImageNames": ["a", "b:c"],
                "containerRegistries": [
                    {"username": "u", "password": "p", "registryServer": "r.io"},
                    {"identityReference": {"resourceId": "/i"}},
                ],
            }
        },
    ),
    (
        {
            "diskEncryptionConfiguration": {
                "targets": ["OSDisk", "TemporaryDisk"],
                "customerManagedKey": {"identityReference": {"resourceId": "/i"}, "keyUrl": "k"},
            }
        },
        {
            "diskEncryptionConfiguration": {
                "customerManagedKey": {
                    "identityReference": {"resourceId": "/i"},
                    "keyUrl": "k",
                    "rotationToLatestKeyVersionEnabled": False,
                },
                "targets": ["osdisk", "temporarydisk"],
            }
        },
    ),
    (
        {
            "securityProfile": {
                "securityType": "ConfidentialVM",
                "encryptionAtHost": True,
                "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": False},
                "proxyAgentSettings": {
                    "wireServer": {"mode": "AUDIT", "inVMAccessControlProfileReferenceId": "/x"}
                },
            }
        },
        {
            "securityProfile": {
                "securityType": "confidentialvm",
                "encryptionAtHost": True,
                "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": False},
                "proxyAgentSettings": {
                    "enabled": False,
                    "wireServer": {"inVMAccessControlProfileReferenceId": "/x", "mode": "Audit"},
                },
            }
        },
    ),
    (
        {
            "extensions": [
                {
                    "name": "n",
                    "publisher": "p",
                    "type": "t",
                    "typeHandlerVersion": "2.1",
                    "autoUpgradeMinorVersion": True,
                    "enableAutomaticUpgrade": False,
                    "settings": {"a": {"b": [1, "2", None]}},
                    "protectedSettings": {"c": "d"},
                    "provisionAfterExtensions": ["m"],
                }
            ]
        },
        {},
    ),
    ({"serviceArtifactReference": {"id": "/subscriptions/s"}}, {}),
]


@pytest.mark.parametrize(("given", "kept"), GOOD_MACHINES)
def test_a_machine(given: dict[str, Any], kept: dict[str, Any]) -> None:
    assert stored_machine(**given) == (kept or given)


BAD_MACHINES: list[tuple[dict[str, Any], str]] = [
    ({"nodeAgentSKUId": ""}, "nodeAgentSKUId"),
    ({"imageReference": {}}, "imageReference.publisher"),
    ({"imageReference": {"virtualMachineImageId": "/a", "sku": "b"}}, "imageReference"),
    (
        {"imageReference": {"virtualMachineImageId": "/a", "communityGalleryImageId": "/b"}},
        "imageReference",
    ),
    ({"windowsConfiguration": "none"}, "windowsConfiguration"),
    ({"licenseType": "Linux"}, "licenseType"),
    ({"nodePlacementConfiguration": {"policy": "global"}}, "nodePlacementConfiguration.policy"),
    ({"dataDisks": [{"lun": 0}]}, "dataDisks[0].diskSizeGB"),
    ({"dataDisks": [{"diskSizeGB": 5}]}, "dataDisks[0].lun"),
    ({"dataDisks": [{"lun": 64, "diskSizeGB": 5}]}, "dataDisks[0].lun"),
    ({"dataDisks": [{"lun": 0, "diskSizeGB": 0}]}, "dataDisks[0].diskSizeGB"),
    ({"dataDisks": [{"lun": 0, "diskSizeGB": 1}] * 2}, "dataDisks[1].lun"),
    ({"dataDisks": [{"lun": 0, "diskSizeGB": 1, "caching": "x"}]}, "dataDisks[0].caching"),
    (
        {"dataDisks": [{"lun": 0, "diskSizeGB": 1, "managedDisk": {"storageAccountType": "x"}}]},
        "dataDisks[0].managedDisk.storageAccountType",
    ),
    ({"osDisk": {"diskSizeGB": "large"}}, "osDisk.diskSizeGB"),
    ({"osDisk": {"caching": "x"}}, "osDisk.caching"),
    (
        {"osDisk": {"ephemeralOSDiskSettings": {"placement": "x"}}},
        "osDisk.ephemeralOSDiskSettings.placement",
    ),
    (
        {"osDisk": {"managedDisk": {"securityProfile": {"securityEncryptionType": "x"}}}},
        "osDisk.managedDisk.securityProfile.securityEncryptionType",
    ),
    ({"containerConfiguration": {}}, "containerConfiguration.type"),
    ({"containerConfiguration": {"type": "lxc"}}, "containerConfiguration.type"),
    (
        {"containerConfiguration": {"type": "dockerCompatible", "containerImageNames": [""]}},
        "containerConfiguration.containerImageNames[0]",
    ),
    (
        {
            "containerConfiguration": {
                "type": "dockerCompatible",
                "containerRegistries": [{"identityReference": {}}],
            }
        },
        "containerConfiguration.containerRegistries[0].identityReference.resourceId",
    ),
    (
        {"diskEncryptionConfiguration": {"targets": ["osdisk", "floppy"]}},
        "diskEncryptionConfiguration.targets[1]",
    ),
    (
        {"diskEncryptionConfiguration": {"targets": ["osdisk", "OsDisk"]}},
        "diskEncryptionConfiguration.targets",
    ),
    ({"extensions": [{"name": "a", "publisher": "b"}]}, "extensions[0].type"),
    ({"extensions": [{"name": "", "publisher": "b", "type": "c"}]}, "extensions[0].name"),
    ({"extensions": [{"name": "a", "publisher": "b", "type": "c"}] * 2}, "extensions[1].name"),
    (
        {"extensions": [{"name": "a", "publisher": "b", "type": "c", "settings": 5}]},
        "extensions[0].settings",
    ),
    ({"securityProfile": {"securityType": "x"}}, "securityProfile.securityType"),
    (
        {"securityProfile": {"proxyAgentSettings": {"imds": {"mode": "x"}}}},
        "securityProfile.proxyAgentSettings.imds.mode",
    ),
    ({"serviceArtifactReference": {}}, "serviceArtifactReference.id"),
]


@pytest.mark.parametrize(("given", "name"), BAD_MACHINES)
def test_a_bad_machine(given: dict[str, Any], name: str) -> None:
    for reader, body in ((pool_from_wire, POOL), (pool_patch_from_wire, {})):
        refusal = refused(reader, {**body, **machine(**given)})
        assert refusal.values["PropertyName"] == f"virtualMachineConfiguration.{name}"


def test_disks_instead_of_an_image() -> None:
    """As clients of the oldest versions describe machines."""
    disk = {"imageUris": ["https://h/a.vhd"]}
    body = {**POOL, **machine(osDisk=disk)}
    name = "virtualMachineConfiguration.osDisk.imageUris"
    assert refused(pool_from_wire, body).values["PropertyName"] == name
    del body["virtualMachineConfiguration"]["imageReference"]
    kept = read(pool_from_wire, body)["virtualMachineConfiguration"]
    assert (kept["osDisk"], kept.get("imageReference")) == (disk, None)
    disk["imageUris"] = []
    name = "virtualMachineConfiguration.imageReference"
    assert refused(pool_from_wire, body).values["PropertyName"] == name


def test_the_first_name_for_containers() -> None:
    kept = stored_machine(containerConfiguration={"type": "Docker"})
    assert kept["containerConfiguration"]["type"] == "dockerCompatible"


def test_a_cloud_service_instead_of_machines() -> None:
    body: dict[str, Any] = {**POOL, "cloudServiceConfiguration": {"osFamily": "4"}}
    assert refused(pool_from_wire, body).values["PropertyName"] == "cloudServiceConfiguration"
    del body["virtualMachineConfiguration"]
    kept = read(pool_from_wire, body)
    assert kept["cloudServiceConfiguration"] == {"osFamily": "4", "osVersion": "*"}
    assert "virtualMachineConfiguration" not in kept
    body["cloudServiceConfiguration"] = {"osFamily": "1"}
    name = refused(pool_from_wire, body).values["PropertyName"]
    assert name == "cloudServiceConfiguration.osFamily"


def test_an_upgrade_policy() -> None:
    rolling = {
        "enableCrossZoneUpgrade": False,
        "maxBatchInstancePercent": "20",
        "maxUnhealthyInstancePercent": 20,
        "maxUnhealthyUpgradedInstancePercent": 0,
        "pauseTimeBetweenBatches": "PT0S",
        "prioritizeUnhealthyInstances": True,
        "rollbackFailedInstancesOnPolicyBreach": False,
    }
    automatic = {
        "disableAutomaticRollback": True,
        "enableAutomaticOSUpgrade": False,
        "useRollingUpgradePolicy": True,
        "osRollingUpgradeDeferral": False,
    }
    given = {
        "mode": "Rolling",
        "automaticOSUpgradePolicy": automatic,
        "rollingUpgradePolicy": rolling,
    }

    assert stored(upgradePolicy=given)["upgradePolicy"] == {
        "mode": "rolling",
        "automaticOSUpgradePolicy": automatic,
        "rollingUpgradePolicy": {**rolling, "maxBatchInstancePercent": 20},
    }


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        ({}, "mode"),
        ({"mode": "never"}, "mode"),
        *(
            ({"mode": "manual", "rollingUpgradePolicy": {part: value}}, part)
            for part, value in (
                ("maxBatchInstancePercent", 4),
                ("maxBatchInstancePercent", 101),
                ("maxUnhealthyInstancePercent", 4),
                ("maxUnhealthyUpgradedInstancePercent", -1),
                ("maxUnhealthyUpgradedInstancePercent", 101),
                ("pauseTimeBetweenBatches", "-PT1S"),
                ("pauseTimeBetweenBatches", "soon"),
            )
        ),
        (
            {
                "mode": "manual",
                "rollingUpgradePolicy": {
                    "maxBatchInstancePercent": 30,
                    "maxUnhealthyInstancePercent": 20,
                },
            },
            "maxBatchInstancePercent",
        ),
    ],
)
def test_a_bad_upgrade_policy(policy: dict[str, Any], name: str) -> None:
    found = refused(pool_from_wire, {**POOL, "upgradePolicy": policy}).values["PropertyName"]
    assert found.startswith("upgradePolicy.")
    assert found.endswith(f".{name}")


# --- mounts ------------------------------------------------------------------------------------

BLOBS = {"accountName": "a", "containerName": "c", "relativeMountPath": "m", "sasKey": "s"}
NFS = {"source": "nfs://h/x", "relativeMountPath": "m"}
CIFS = {"username": "u", "source": "//h/x", "relativeMountPath": "m", "password": "p"}
SHARE = {
    "accountName": "a",
    "azureFileUrl": "https://a.file.core.windows.net/",
    "accountKey": "k",
    "relativeMountPath": "m",
}
MOUNTS: dict[str, dict[str, Any]] = {
    "azureBlobFileSystemConfiguration": BLOBS,
    "nfsMountConfiguration": NFS,
    "cifsMountConfiguration": CIFS,
    "azureFileShareConfiguration": SHARE,
}


def without(part: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key != name}


def test_mounts_of_all_kinds() -> None:
    given = [
        {kind: {**mount, "relativeMountPath": f"m/{number}"}}
        for number, (kind, mount) in enumerate(MOUNTS.items())
    ]
    assert stored(mountConfiguration=given)["mountConfiguration"] == given


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind, mount in MOUNTS.items()
        for name in mount
        if name != "sasKey"  # one of three ways; see below
    ],
)
def test_what_a_mount_must_have(kind: str, name: str) -> None:
    for mount in (without(MOUNTS[kind], name), {**MOUNTS[kind], name: ""}):
        refusal = refused(pool_from_wire, {**POOL, "mountConfiguration": [{kind: mount}]})
        assert refusal.values["PropertyName"] == f"mountConfiguration[0].{kind}.{name}"


_BLOBS = "azureBlobFileSystemConfiguration"


@pytest.mark.parametrize(
    ("mounts", "name"),
    [
        ([{}], "[0]"),
        ([{"nfsMountConfiguration": NFS, "cifsMountConfiguration": CIFS}], "[0]"),
        ([{_BLOBS: without(BLOBS, "sasKey")}], f"[0].{_BLOBS}"),
        ([{_BLOBS: {**BLOBS, "accountKey": "k"}}], f"[0].{_BLOBS}"),
        (
            [{_BLOBS: {**without(BLOBS, "sasKey"), "identityReference": {}}}],
            f"[0].{_BLOBS}.identityReference.resourceId",
        ),
        (
            [{"nfsMountConfiguration": {**NFS, "relativeMountPath": "../m"}}],
            "[0].nfsMountConfiguration.relativeMountPath",
        ),
        (
            [{"azureFileShareConfiguration": {**SHARE, "azureFileUrl": "a.file"}}],
            "[0].azureFileShareConfiguration.azureFileUrl",
        ),
        ([{"nfsMountConfiguration": NFS}, {"cifsMountConfiguration": CIFS}], "[1]"),
        ([{"nfsMountConfiguration": NFS}] * 11, ""),
    ],
)
def test_bad_mounts(mounts: list[Any], name: str) -> None:
    refusal = refused(pool_patch_from_wire, {"mountConfiguration": mounts})
    assert refusal.values["PropertyName"] == f"mountConfiguration{name}"


# --- accounts, certificates, the others --------------------------------------------------------

USER = {"name": "u", "password": "p"}


def test_user_accounts() -> None:
    linux = {"uid": "1000", "gid": 1000, "sshPrivateKey": "k"}
    given = [
        {**USER, "elevationLevel": "Admin", "linuxUserConfiguration": linux},
        {"name": "w", "password": "p", "windowsUserConfiguration": {}},
        {"name": "x", "password": "p", "windowsUserConfiguration": {"loginMode": "Interactive"}},
    ]
    assert stored(userAccounts=given)["userAccounts"] == [
        {**USER, "elevationLevel": "admin", "linuxUserConfiguration": {**linux, "uid": 1000}},
        {
            "name": "w",
            "password": "p",
            "elevationLevel": "nonadmin",
            "windowsUserConfiguration": {"loginMode": "batch"},
        },
        {
            "name": "x",
            "password": "p",
            "elevationLevel": "nonadmin",
            "windowsUserConfiguration": {"loginMode": "interactive"},
        },
    ]


_LINUX = "linuxUserConfiguration"


@pytest.mark.parametrize(
    ("accounts", "name"),
    [
        ([{"password": "p"}], "[0].name"),
        ([{**USER, "name": ""}], "[0].name"),
        ([{**USER, "name": "x" * 21}], "[0].name"),
        ([{**USER, "password": ""}], "[0].password"),
        ([{**USER, "password": None}], "[0].password"),
        ([{**USER, "elevationLevel": "root"}], "[0].elevationLevel"),
        ([{**USER, _LINUX: {"uid": 5}}], f"[0].{_LINUX}"),
        ([{**USER, _LINUX: {"gid": 5}}], f"[0].{_LINUX}"),
        ([{**USER, _LINUX: {"uid": -1, "gid": 5}}], f"[0].{_LINUX}.uid"),
        (
            [{**USER, "windowsUserConfiguration": {"loginMode": "never"}}],
            "[0].windowsUserConfiguration.loginMode",
        ),
        ([USER, {**USER, "name": "U"}], "[1].name"),
    ],
)
def test_bad_user_accounts(accounts: list[Any], name: str) -> None:
    for reader, body in ((pool_from_wire, POOL), (pool_patch_from_wire, {})):
        refusal = refused(reader, {**body, "userAccounts": accounts})
        assert refusal.values["PropertyName"] == f"userAccounts{name}"


def test_references_to_certificates() -> None:
    given = [
        {"thumbprint": THUMBPRINT, "thumbprintAlgorithm": "SHA1"},
        {
            "thumbprint": "0" * 40,
            "thumbprintAlgorithm": "sha1",
            "storeLocation": "LocalMachine",
            "storeName": "Root",
            "visibility": ["StartTask", "task"],
        },
    ]
    kept = [
        {
            "thumbprint": THUMBPRINT.lower(),
            "thumbprintAlgorithm": "sha1",
            "storeLocation": "currentuser",
            "storeName": "My",
            "visibility": ["starttask", "task", "remoteuser"],
        },
        {
            "thumbprint": "0" * 40,
            "thumbprintAlgorithm": "sha1",
            "storeLocation": "localmachine",
            "storeName": "Root",
            "visibility": ["starttask", "task"],
        },
    ]
    lists = {"metadata": [], "applicationPackageReferences": [], "certificateReferences": given}

    assert stored(certificateReferences=given)["certificateReferences"] == kept
    assert read(pool_properties_from_wire, lists)["certificateReferences"] == kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("thumbprint", "abc"),
        ("thumbprint", "x" * 40),
        ("thumbprint", None),
        ("thumbprintAlgorithm", "md5"),
        ("thumbprintAlgorithm", None),
        ("storeLocation", "here"),
        ("visibility[1]", ["task", "nobody"]),
    ],
)
def test_a_bad_reference_to_a_certificate(name: str, value: Any) -> None:
    part = {name.partition("[")[0]: value}
    reference = {"thumbprint": THUMBPRINT, "thumbprintAlgorithm": "sha1", **part}
    refusal = refused(pool_from_wire, {**POOL, "certificateReferences": [reference]})
    assert refusal.values["PropertyName"] == f"certificateReferences[0].{name}"


def test_what_old_versions_know_of_pools() -> None:
    given = {"targetNodeCommunicationMode": "Classic", "resourceTags": {"password": "x"}}
    pool = stored(**given)
    assert pool["targetNodeCommunicationMode"] == "classic"
    assert pool["resourceTags"] == {"password": "x"}
    assert read(pool_from_wire, {**POOL, "applicationLicenses": ["maya"]})[
        "applicationLicenses"
    ] == ["maya"]


BAD_PARTS: list[tuple[dict[str, Any], str]] = [
    ({"targetNodeCommunicationMode": "loud"}, "targetNodeCommunicationMode"),
    ({"resourceTags": {"": "x"}}, "resourceTags"),
    ({"resourceTags": {"x": 5}}, "resourceTags[...]"),
    ({"applicationLicenses": [""]}, "applicationLicenses[0]"),
    (
        {"applicationPackageReferences": [{"applicationId": str(n)} for n in range(11)]},
        "applicationPackageReferences",
    ),
    (
        {
            "startTask": {
                "commandLine": "x",
                "resourceFiles": [
                    {"httpUrl": f"https://h/{number}{'x' * 300}", "filePath": "x"}
                    for number in range(100)
                ],
            }
        },
        "startTask",
    ),
    ({"startTask": {"commandLine": ""}}, "startTask.commandLine"),
    ({"startTask": {}}, "startTask.commandLine"),
    (
        {"startTask": {"commandLine": "x", "containerSettings": {"imageName": ""}}},
        "startTask.containerSettings.imageName",
    ),
    (
        {"startTask": {"commandLine": "x", "userIdentity": {"username": "u", "autoUser": {}}}},
        "startTask.userIdentity",
    ),
]


@pytest.mark.parametrize(("parts", "name"), BAD_PARTS)
def test_bad_parts_of_a_pool(parts: dict[str, Any], name: str) -> None:
    assert refused(pool_from_wire, {**POOL, **parts}).values["PropertyName"] == name


def test_a_start_task_in_a_container_may_have_no_command() -> None:
    task = {"commandLine": "", "containerSettings": {"imageName": "busybox"}}
    assert stored(startTask=task)["startTask"]["containerSettings"] == {
        "imageName": "busybox",
        "workingDirectory": "taskWorkingDirectory",
    }


def test_what_is_read_only_or_unknown_is_ignored() -> None:
    more = {
        "identity": {"type": "UserAssigned"},
        "state": "deleting",
        "currentDedicatedNodes": 5,
        "fish": 1,
    }
    assert read(pool_from_wire, {**POOL, **more}) == read(pool_from_wire, POOL)


# --- scaling -----------------------------------------------------------------------------------

FORMULA = "$TargetDedicatedNodes = 1;"
SCALED = {**POOL, "enableAutoScale": True, "autoScaleFormula": FORMULA}
INTERVAL = "autoScaleEvaluationInterval"


@pytest.mark.parametrize(
    ("body", "kind", "name"),
    [
        (
            {**SCALED, "targetDedicatedNodes": 0},
            InvalidAutoScalingSettings,
            "targetDedicatedNodes",
        ),
        (
            {**SCALED, "targetLowPriorityNodes": 1},
            InvalidAutoScalingSettings,
            "targetLowPriorityNodes",
        ),
        ({**POOL, "autoScaleFormula": FORMULA}, InvalidAutoScalingSettings, "autoScaleFormula"),
        ({**POOL, "enableAutoScale": True}, MissingRequiredProperty, "autoScaleFormula"),
        (
            {**SCALED, "autoScaleFormula": "x" * 8193},
            AutoScalingFormulaTooLong,
            "autoScaleFormula",
        ),
        ({**SCALED, INTERVAL: "PT4M59S"}, InvalidPropertyValue, INTERVAL),
        ({**SCALED, INTERVAL: "PT168H0.1S"}, InvalidPropertyValue, INTERVAL),
        ({**SCALED, INTERVAL: "PT168H"}, InvalidPropertyValue, "autoScaleFormula"),
        (SCALED, InvalidPropertyValue, "autoScaleFormula"),
    ],
)
def test_a_pool_that_is_to_scale(body: dict[str, Any], kind: type[Refusal], name: str) -> None:
    refusal = refused(pool_from_wire, body)
    assert type(refusal) is kind
    assert refusal.values["PropertyName"] == name


def test_that_formulas_are_not_supported_is_said() -> None:
    reason = refused(pool_from_wire, SCALED).values["Reason"]
    assert reason == "autoScaleFormula is not supported by this release"


def test_a_pool_that_says_that_it_does_not_scale() -> None:
    body = {**POOL, "enableAutoScale": False, "autoScaleFormula": "", INTERVAL: "PT5M"}
    assert read(pool_from_wire, body) == read(pool_from_wire, POOL)


def test_bodies_of_the_operations_on_scaling() -> None:
    assert read(auto_scaling_from_wire, {INTERVAL: "PT5M"}) == {INTERVAL: "PT5M"}
    assert auto_scaling_from_wire(b"").auto_scale_formula is None
    assert refused(auto_scaling_from_wire, {INTERVAL: "PT1S"}).values["PropertyName"] == INTERVAL
    assert formula_from_wire(json.dumps({"autoScaleFormula": FORMULA}).encode()) == FORMULA
    for body in ({}, {"autoScaleFormula": ""}):
        assert type(refused(formula_from_wire, body)) is MissingRequiredProperty
    for reader in (formula_from_wire, auto_scaling_from_wire):
        long = refused(reader, {"autoScaleFormula": "x" * 8193})
        assert type(long) is AutoScalingFormulaTooLong


@pytest.mark.parametrize(
    ("reader", "body"),
    [(resize_from_wire, {"targetDedicatedNodes": 1}), (removal_from_wire, {"nodeList": ["n"]})],
)
def test_each_resize_has_a_timeout_of_its_own(reader: Reader, body: dict[str, Any]) -> None:
    assert read(reader, body)["resizeTimeout"] == "PT15M"
    assert read(reader, {**body, "resizeTimeout": "PT20M"})["resizeTimeout"] == "PT20M"
