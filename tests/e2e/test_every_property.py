"""Jobs, schedules and tasks with every property set, through the SDK: read back as they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from azure.batch import BatchClient, models
from azure.core import MatchConditions

from tests.e2e.things import add, delete_job, job_options, made_job, unique
from tests.wire.bodies import disagreements

IDENTITY = models.BatchNodeIdentityReference(
    resource_id="/subscriptions/s/resourceGroups/g/providers/M/userAssignedIdentities/i"
)
NETWORK = models.BatchJobNetworkConfiguration(
    subnet_id="/subscriptions/s/resourceGroups/g/providers/M/virtualNetworks/v/subnets/n",
    skip_withdraw_from_vnet=True,
)
CONTAINER = models.BatchTaskContainerSettings(
    image_name="registry.example/tool:1",
    container_run_options="--rm",
    registry=models.ContainerRegistryReference(
        registry_server="registry.example", identity_reference=IDENTITY
    ),
    working_directory=models.ContainerWorkingDirectory.CONTAINER_IMAGE_DEFAULT,
    container_host_batch_bind_mounts=[
        models.ContainerHostBatchBindMountEntry(
            source=models.ContainerHostDataPath.VFS_MOUNTS, is_read_only=True
        )
    ],
)
FILES = [
    models.ResourceFile(
        http_url="https://example.invalid/b?sig=s", file_path="in/b", file_mode="0755"
    ),
    models.ResourceFile(
        storage_container_url="https://example.invalid/c",
        blob_prefix="p",
        file_path="in",
        identity_reference=IDENTITY,
    ),
]
OUTPUTS = [
    models.OutputFile(
        file_pattern="**/*.txt",
        destination=models.OutputFileDestination(
            container=models.OutputFileBlobContainerDestination(
                container_url="https://example.invalid/out",
                path="a",
                identity_reference=IDENTITY,
                upload_headers=[models.OutputFileUploadHeader(name="x-ms-meta-a", value="1")],
            )
        ),
        upload_options=models.OutputFileUploadConfiguration(
            upload_condition=models.OutputFileUploadCondition.TASK_FAILURE
        ),
    )
]
SETTINGS = [models.EnvironmentSetting(name="A", value="1")]
USER = models.UserIdentity(
    auto_user=models.AutoUserSpecification(
        scope=models.AutoUserScope.TASK, elevation_level=models.ElevationLevel.ADMIN
    )
)
CONSTRAINTS = models.BatchTaskConstraints(
    max_wall_clock_time=timedelta(hours=1),
    retention_time=timedelta(days=1),
    max_task_retry_count=3,
)
TERMINATE = models.ExitOptions(
    job_action=models.BatchJobActionKind.TERMINATE,
    dependency_action=models.DependencyAction.SATISFY,
)
COMMON: dict[str, Any] = {
    "command_line": "/bin/true",
    "container_settings": CONTAINER,
    "resource_files": FILES,
    "environment_settings": SETTINGS,
    "user_identity": USER,
}


def template(pool_id: str) -> dict[str, Any]:
    """The parts of a job and of the jobs of a schedule."""
    return {
        "display_name": "a job",
        "uses_task_dependencies": True,
        "priority": -1000,
        "allow_task_preemption": True,
        "max_parallel_tasks": 7,
        "constraints": models.BatchJobConstraints(
            max_wall_clock_time=timedelta(days=10), max_task_retry_count=-1
        ),
        "job_manager_task": models.BatchJobManagerTask(
            id="Manager",
            display_name="a manager",
            output_files=OUTPUTS,
            constraints=CONSTRAINTS,
            required_slots=2,
            kill_job_on_completion=False,
            run_exclusive=False,
            allow_low_priority_node=False,
            **COMMON,
        ),
        "job_preparation_task": models.BatchJobPreparationTask(
            id="Before",
            constraints=CONSTRAINTS,
            wait_for_success=False,
            rerun_on_node_reboot_after_success=False,
            **COMMON,
        ),
        "job_release_task": models.BatchJobReleaseTask(
            id="After",
            max_wall_clock_time=timedelta(minutes=5),
            retention_time=timedelta(hours=1),
            **COMMON,
        ),
        "common_environment_settings": SETTINGS,
        "pool_info": models.BatchPoolInfo(pool_id=pool_id),
        "all_tasks_complete_mode": models.BatchAllTasksCompleteMode.NO_ACTION,
        "task_failure_mode": models.BatchTaskFailureMode.PERFORM_EXIT_OPTIONS_JOB_ACTION,
        "network_configuration": NETWORK,
        "metadata": [models.BatchMetadataItem(name="a", value="1")],
    }


def same(sent: Any, got: Any) -> None:
    """What was sent is there, whatever the service says beside it."""
    assert disagreements(sent.as_dict(), got.as_dict()) == []


def test_a_job_and_a_task(batch: BatchClient) -> None:
    nowhere = unique("nowhere")
    job = models.BatchJobCreateOptions(id=unique("Full"), **template(nowhere))
    batch.create_job(job)
    try:
        got = batch.get_job(job.id)
        same(job, got)
        task = models.BatchTaskCreateOptions(
            id="Full",
            display_name="a task",
            exit_conditions=models.ExitConditions(
                exit_codes=[models.ExitCodeMapping(code=1, exit_options=TERMINATE)],
                exit_code_ranges=[
                    models.ExitCodeRangeMapping(start=2, end=9, exit_options=TERMINATE)
                ],
                pre_processing_error=TERMINATE,
                file_upload_error=TERMINATE,
                default=TERMINATE,
            ),
            output_files=OUTPUTS,
            affinity_info=models.BatchAffinityInfo(affinity_id="TVM:node"),
            constraints=CONSTRAINTS,
            required_slots=1,
            multi_instance_settings=models.MultiInstanceSettings(
                number_of_instances=2,
                coordination_command_line="/bin/true",
                common_resource_files=FILES,
            ),
            depends_on=models.BatchTaskDependencies(
                task_ids=["a"], task_id_ranges=[models.BatchTaskIdRange(start=1, end=5)]
            ),
            **COMMON,
        )
        add(batch, job.id, task)
        read = batch.get_task(job.id, "full")
        same(task, read)

        read.constraints = models.BatchTaskConstraints(max_task_retry_count=9)
        batch.replace_task(job.id, "Full", read)
        changed = batch.get_task(job.id, "Full")
        assert changed.constraints is not None
        assert changed.constraints.max_task_retry_count == 9
        assert changed.constraints.retention_time == timedelta(days=7)
        assert changed.etag != read.etag

        got.priority = 5
        batch.replace_job(job.id, got, etag=got.etag, match_condition=MatchConditions.IfNotModified)
        again = batch.get_job(job.id)
        assert again.as_dict() == {
            **got.as_dict(),
            "priority": 5,
            "eTag": again.etag,
            "lastModified": again.as_dict()["lastModified"],
        }
        new = models.BatchJobUpdateOptions(
            max_parallel_tasks=3, metadata=[], network_configuration=NETWORK
        )
        batch.update_job(job.id, new)
        patched = batch.get_job(job.id)
        assert (patched.max_parallel_tasks, patched.priority, patched.metadata) == (3, 5, [])
    finally:
        delete_job(batch, job.id)


def test_a_schedule(batch: BatchClient) -> None:
    until, after = datetime(2050, 1, 1, tzinfo=UTC), datetime(2051, 1, 1, tzinfo=UTC)
    schedule = models.BatchJobScheduleCreateOptions(
        id=unique("Full"),
        display_name="a schedule",
        schedule=models.BatchJobScheduleConfiguration(
            do_not_run_until=until,
            do_not_run_after=after,
            start_window=timedelta(minutes=1),
            recurrence_interval=timedelta(days=1),
        ),
        job_specification=models.BatchJobSpecification(**template(unique("nowhere"))),
        metadata=[models.BatchMetadataItem(name="b", value="")],
    )
    batch.create_job_schedule(schedule)
    try:
        got = batch.get_job_schedule(schedule.id)
        assert got.schedule is not None
        assert (got.schedule.do_not_run_until, got.schedule.do_not_run_after) == (until, after)
        got.schedule.do_not_run_until = got.schedule.do_not_run_after = None
        schedule.schedule.do_not_run_until = schedule.schedule.do_not_run_after = None
        same(schedule, got)

        got.metadata = []
        batch.replace_job_schedule(schedule.id, got)
        batch.update_job_schedule(
            schedule.id,
            models.BatchJobScheduleUpdateOptions(
                schedule=models.BatchJobScheduleConfiguration(do_not_run_until=until)
            ),
        )
        changed = batch.get_job_schedule(schedule.id)
        assert changed.schedule is not None
        assert changed.schedule.as_dict().keys() == {"doNotRunUntil"}
        assert changed.job_specification.as_dict() == got.job_specification.as_dict()
        assert not changed.metadata
    finally:
        batch.begin_delete_job_schedule(schedule.id).result()


def test_tasks_that_are_too_large_for_one_request(batch: BatchClient) -> None:
    """The SDK halves what is answered with 413, and takes a task that is there for one added."""
    count = 150
    with made_job(batch, job_options(unique("large"), unique("nowhere"))) as job:
        for _ in range(2):
            batch.create_tasks(job, [large(f"t{at}") for at in range(count)])
        found = list(batch.list_tasks(job))
        assert len(found) == len({task.id for task in found}) == count
        assert all(len(task.resource_files or []) == 100 for task in found)


def large(task_id: str) -> models.BatchTaskCreateOptions:
    """A task of about 15 KB: a hundred of them are more than a request may have."""
    url = "https://example.invalid/container/{}?sig=" + "s" * 80
    files = [models.ResourceFile(http_url=url.format(at), file_path=f"{at}") for at in range(100)]
    return models.BatchTaskCreateOptions(id=task_id, command_line="/bin/true", resource_files=files)
