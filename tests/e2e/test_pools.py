"""Pools as the SDK describes them: all that can be said of one, and what becomes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from azure.batch import BatchClient, models
from azure.batch.models import BatchNodeState, BatchPoolCreateOptions

from tests.e2e.things import (
    delete_pool,
    made_pool,
    pool_options,
    refusal,
    shell,
    unique,
)
from tests.e2e.waiting import eventually

ARM = "/subscriptions/s/resourceGroups/g/providers"
IDENTITY = models.BatchNodeIdentityReference(resource_id=f"{ARM}/Microsoft.ManagedIdentity/i")
SECRETS = ("password", "sshPrivateKey", "accountKey", "sasKey", "protectedSettings")


@contextmanager
def kept_pool(client: BatchClient, options: BatchPoolCreateOptions) -> Iterator[str]:
    """A pool that is deleted at the end, whatever its nodes do."""
    client.create_pool(options)
    try:
        yield options.id
    finally:
        delete_pool(client, options.id)


def machine() -> models.VirtualMachineConfiguration:
    managed = models.ManagedDisk(
        disk_encryption_set=models.DiskEncryptionSetParameters(id=f"{ARM}/d"),
        storage_account_type=models.StorageAccountType.PREMIUM_LRS,
        security_profile=models.BatchVmDiskSecurityProfile(
            security_encryption_type=models.SecurityEncryptionTypes.NON_PERSISTED_TPM
        ),
    )
    endpoint = models.HostEndpointSettings(
        in_vm_access_control_profile_reference_id=f"{ARM}/v", mode="Enforce"
    )
    return models.VirtualMachineConfiguration(
        image_reference=models.BatchVmImageReference(
            publisher="canonical", offer="ubuntuserver", sku="18.04-lts", version="18.04.1"
        ),
        node_agent_sku_id="batch.node.ubuntu 18.04",
        windows_configuration=models.WindowsConfiguration(enable_automatic_updates=False),
        data_disks=[
            models.DataDisk(
                logical_unit_number=3, caching="none", disk_size_gb=64, managed_disk=managed
            )
        ],
        license_type="Windows_Server",
        container_configuration=models.BatchContainerConfiguration(
            type=models.ContainerType.CRI_COMPATIBLE,
            container_image_names=["busybox"],
            container_registries=[
                models.ContainerRegistryReference(
                    username="u", password="p", registry_server="r.io"
                ),
                models.ContainerRegistryReference(
                    registry_server="s.io", identity_reference=IDENTITY
                ),
            ],
        ),
        disk_encryption_configuration=models.DiskEncryptionConfiguration(
            customer_managed_key=models.DiskCustomerManagedKey(
                identity_reference=models.BatchPoolIdentityReference(resource_id=f"{ARM}/i"),
                key_url="https://vault/key/1",
                rotation_to_latest_key_version_enabled=True,
            ),
            targets=[models.DiskEncryptionTarget.OS_DISK],
        ),
        node_placement_configuration=models.BatchNodePlacementConfiguration(policy="zonal"),
        extensions=[
            models.VMExtension(
                name="watch",
                publisher="p",
                type="t",
                type_handler_version="1.0",
                auto_upgrade_minor_version=True,
                enable_automatic_upgrade=False,
                settings={"a": "b"},
                protected_settings={"c": "d"},
                provision_after_extensions=["other"],
            )
        ],
        os_disk=models.BatchOsDisk(
            ephemeral_os_disk_settings=models.BatchDiffDiskSettings(placement="cachedisk"),
            caching="readonly",
            disk_size_gb=128,
            managed_disk=managed,
            write_accelerator_enabled=True,
        ),
        security_profile=models.SecurityProfile(
            encryption_at_host=True,
            proxy_agent_settings=models.ProxyAgentSettings(
                enabled=True, imds=endpoint, wire_server=endpoint
            ),
            security_type=models.SecurityTypes.CONFIDENTIAL_VM,
            uefi_settings=models.BatchUefiSettings(secure_boot_enabled=True, vtpm_enabled=False),
        ),
        service_artifact_reference=models.ServiceArtifactReference(id=f"{ARM}/a"),
    )


def network() -> models.NetworkConfiguration:
    rule = models.NetworkSecurityGroupRule(
        priority=200, access="deny", source_address_prefix="10.0.0.0/8", source_port_ranges=["22"]
    )
    return models.NetworkConfiguration(
        subnet_id=f"{ARM}/Microsoft.Network/virtualNetworks/n/subnets/s",
        dynamic_vnet_assignment_scope="job",
        endpoint_configuration=models.BatchPoolEndpointConfiguration(
            inbound_nat_pools=[
                models.BatchInboundNatPool(
                    name="ssh",
                    protocol="tcp",
                    backend_port=22,
                    frontend_port_range_start=2000,
                    frontend_port_range_end=2100,
                    network_security_group_rules=[rule],
                )
            ]
        ),
        public_ip_address_configuration=models.BatchPublicIpAddressConfiguration(
            ip_address_provisioning_type="usermanaged",
            ip_families=["IPv4", "IPv6"],
            ip_address_ids=[f"{ARM}/Microsoft.Network/publicIPAddresses/a"],
            ip_tags=[models.IPTag(ip_tag_type="FirstPartyUsage", tag="SQL")],
        ),
        enable_accelerated_networking=True,
    )


def mounts() -> list[models.MountConfiguration]:
    """All four kinds; of blobs all three ways to get at them."""
    ways: tuple[dict[str, Any], ...] = (
        {"account_key": "k"},
        {"sas_key": "s"},
        {"identity_reference": IDENTITY},
    )
    blobs = [
        models.AzureBlobFileSystemConfiguration(
            account_name="a",
            container_name="c",
            relative_mount_path=f"blobs/{number}",
            blobfuse_options="-o ro",
            **way,
        )
        for number, way in enumerate(ways)
    ]
    return [
        *(models.MountConfiguration(azure_blob_file_system_configuration=each) for each in blobs),
        models.MountConfiguration(
            nfs_mount_configuration=models.NfsMountConfiguration(
                source="h:/x", relative_mount_path="nfs", mount_options="-o ro"
            )
        ),
        models.MountConfiguration(
            cifs_mount_configuration=models.CifsMountConfiguration(
                username="u",
                source="//h/x",
                relative_mount_path="cifs",
                mount_options="-o ro",
                password="p",
            )
        ),
        models.MountConfiguration(
            azure_file_share_configuration=models.AzureFileShareConfiguration(
                account_name="a",
                account_key="k",
                azure_file_url="https://a.file.core.windows.net/",
                relative_mount_path="share",
                mount_options="-o ro",
            )
        ),
    ]


def parts() -> dict[str, Any]:
    """All that a pool and a change of one have in common, as arguments of the SDK."""
    return {
        "display_name": "everything",
        "vm_size": "standard_d4s_v3",
        "virtual_machine_configuration": machine(),
        "enable_inter_node_communication": True,
        "network_configuration": network(),
        "start_task": models.BatchStartTask(
            command_line="/bin/true",
            container_settings=models.BatchTaskContainerSettings(
                container_run_options="--rm",
                image_name="busybox",
                registry=models.ContainerRegistryReference(
                    username="u", password="p", registry_server="r.io"
                ),
                working_directory="containerImageDefault",
                container_host_batch_bind_mounts=[
                    models.ContainerHostBatchBindMountEntry(source="Shared", is_read_only=True)
                ],
            ),
            resource_files=[
                models.ResourceFile(
                    http_url="https://h/x",
                    file_path="x",
                    file_mode="0770",
                    identity_reference=IDENTITY,
                ),
                models.ResourceFile(storage_container_url="https://h/c", blob_prefix="p"),
            ],
            environment_settings=[models.EnvironmentSetting(name="a", value="b")],
            user_identity=models.UserIdentity(username="u"),
            max_task_retry_count=2,
            wait_for_success=False,
        ),
        "application_package_references": [],
        "task_slots_per_node": 16,
        "task_scheduling_policy": models.BatchTaskSchedulingPolicy(
            job_default_order="creationtime", node_fill_type="pack"
        ),
        "user_accounts": [
            models.UserAccount(
                name="u",
                password="p",
                elevation_level="admin",
                linux_user_configuration=models.LinuxUserConfiguration(
                    uid=1000, gid=1001, ssh_private_key="k"
                ),
                windows_user_configuration=models.WindowsUserConfiguration(
                    login_mode="interactive"
                ),
            )
        ],
        "metadata": [models.BatchMetadataItem(name="a", value="b")],
        "mount_configuration": mounts(),
        "upgrade_policy": models.UpgradePolicy(
            mode="rolling",
            automatic_os_upgrade_policy=models.AutomaticOsUpgradePolicy(
                disable_automatic_rollback=True,
                enable_automatic_os_upgrade=True,
                use_rolling_upgrade_policy=True,
                os_rolling_upgrade_deferral=True,
            ),
            rolling_upgrade_policy=models.RollingUpgradePolicy(
                enable_cross_zone_upgrade=True,
                max_batch_instance_percent=20,
                max_unhealthy_instance_percent=30,
                max_unhealthy_upgraded_instance_percent=40,
                pause_time_between_batches=timedelta(seconds=61),
                prioritize_unhealthy_instances=True,
                rollback_failed_instances_on_policy_breach=True,
            ),
        ),
    }


def everything(pool_id: str) -> BatchPoolCreateOptions:
    """A pool of which all is said that the SDK knows."""
    return BatchPoolCreateOptions(
        id=pool_id,
        resize_timeout=timedelta(minutes=20),
        target_dedicated_nodes=0,
        target_low_priority_nodes=0,
        enable_auto_scale=False,
        **parts(),
    )


NOT_SAID = {"autoScaleFormula", "autoScaleEvaluationInterval"}
"""What a pool cannot have beside all the rest."""

ALTERNATIVES: dict[str, set[str]] = {
    "imageReference": {"virtualMachineImageId", "sharedGalleryImageId", "communityGalleryImageId"},
    "registry": {"identityReference"},
    "userIdentity": {"autoUser"},
    "resourceFiles": {"autoStorageContainerName"},
}


def unsaid(model: Any, name: str = "") -> Iterator[str]:
    """Properties that a description leaves out, though they could be said."""
    given = model.as_dict()
    for field in model._attr_to_rest_field.values():
        if field._visibility == ["read"]:
            continue
        rest = field._rest_name
        if rest not in given and rest not in ALTERNATIVES.get(name, ()):
            yield f"{name}.{rest}".lstrip(".")


def nested(model: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All models within one."""
    yield name, model
    for attribute, field in model._attr_to_rest_field.items():
        value = getattr(model, attribute)
        for item in value if isinstance(value, list) else (value,):
            if hasattr(item, "_attr_to_rest_field"):
                yield from nested(item, field._rest_name)


def bare(part: Any) -> Any:
    """A part of a body without secrets, and with durations as the service writes them."""
    if isinstance(part, dict):
        return {name: bare(value) for name, value in part.items() if name not in SECRETS}
    if isinstance(part, str) and part.startswith("PT"):
        return re.sub(r"(?<=[A-Z])0+(?:[HMS]|(?=\d))", "", part)
    return [bare(item) for item in part] if isinstance(part, list) else part


def test_the_description_says_all_there_is_to_say() -> None:
    """So that what a newer SDK can say is missed here."""
    left_out: dict[str, set[str]] = {}
    for name, model in nested(everything("pool")):
        missing = set(unsaid(model, name))
        left_out[name] = left_out.get(name, missing) & missing
    left_out.pop("mountConfiguration")  # one kind each
    assert set().union(*left_out.values()) == NOT_SAID


def test_everything_that_is_said_of_a_pool_comes_back(batch: BatchClient) -> None:
    options = everything(unique("everything"))
    with kept_pool(batch, options) as pool_id:
        said = bare(options.as_dict())
        found = batch.get_pool(pool_id).as_dict()
        assert {name: found.get(name) for name in said} == said
        [listed] = [pool for pool in batch.list_pools() if pool.id == pool_id]
        del found["odata.metadata"]
        assert listed.as_dict() == found


def test_everything_that_is_said_in_an_update_comes_back(batch: BatchClient) -> None:
    with kept_pool(batch, pool_options(unique("updated"), nodes=0)) as pool_id:
        update = models.BatchPoolUpdateOptions(**parts())
        batch.update_pool(pool_id, update)
        said = bare(update.as_dict())
        found = batch.get_pool(pool_id).as_dict()
        assert {name: found.get(name) for name in said} == said


def test_file_systems_that_are_not_mounted_are_errors_of_each_node(batch: BatchClient) -> None:
    options = pool_options(unique("mounts"), nodes=2)
    options.mount_configuration = mounts()[:2]
    with made_pool(batch, options) as pool_id:
        for node in batch.list_nodes(pool_id):
            assert node.state == BatchNodeState.IDLE
            assert [error.code for error in node.errors or ()] == ["MountConfigurationError"] * 2


def test_a_start_task_in_a_container_fails(batch: BatchClient) -> None:
    options = pool_options(unique("container"))
    options.start_task = models.BatchStartTask(
        command_line=shell("echo pretended"),
        container_settings=models.BatchTaskContainerSettings(image_name="busybox"),
    )
    with kept_pool(batch, options) as pool_id:

        def failed() -> models.BatchNode | None:
            nodes = list(batch.list_nodes(pool_id))
            state = BatchNodeState.START_TASK_FAILED
            return next((node for node in nodes if node.state == state), None)

        node = eventually(failed, 20, "a node whose start task failed")
        info = node.start_task_info
        assert info is not None
        assert info.exit_code is None
        assert info.failure_info is not None
        assert info.failure_info.code == "ContainerInvalidSettings"


def test_a_pool_with_nodes_keeps_its_machines(batch: BatchClient, pool: str) -> None:
    update = models.BatchPoolUpdateOptions(upgrade_policy=models.UpgradePolicy(mode="manual"))
    found = refusal(lambda: batch.update_pool(pool, update))
    assert found == (409, "OperationInvalidForCurrentState")


def test_formulas_are_refused(batch: BatchClient, pool: str) -> None:
    formula = "$TargetDedicatedNodes = 1;"
    settings = models.BatchPoolEnableAutoScaleOptions(auto_scale_formula=formula)
    trial = models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula=formula)
    found = refusal(lambda: batch.enable_pool_auto_scale(pool, settings))
    assert found == (400, "InvalidPropertyValue")
    found = refusal(lambda: batch.evaluate_pool_auto_scale(pool, trial))
    assert found == (409, "OperationNotValidOnPool")
    batch.disable_pool_auto_scale(pool)
    assert batch.get_pool(pool).enable_auto_scale is False


def test_there_are_no_applications(batch: BatchClient) -> None:
    assert list(batch.list_applications()) == []
    assert refusal(lambda: batch.get_application("blender")) == (404, "ApplicationNotFound")
