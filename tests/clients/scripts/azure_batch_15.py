"""A walk through every public method of azure-batch 15's client.

`azure_batch_15.py sync|aio everything|many`: the latter only adds very many tasks.

The asynchronous client makes the same walk: what it gives is awaited and gathered here.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncIterable, Awaitable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.batch import models
from azure.batch.models import _models as unexported
from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.core.polling import AsyncLROPoller, LROPoller
from azure.core.rest import HttpRequest
from steps import ACCOUNT, ENDPOINT, KEY, check, go, step, until

POLL_S = 0.2
FILE = "https://account.blob.core.windows.net/in/part-{:04}.dat?sv=2024-05-04&sig=abcdefghijkl"
FAILED = "state eq 'completed' and executionInfo/exitCode ne 0"
START_TEXT = "the node has started"
UPDATE_OF_POOL = [models.BatchMetadataItem(name="changed", value="by the walk")]


def code_of(error: Exception) -> str | None:
    """The service's code, where the error is one of the service."""
    if not isinstance(error, HttpResponseError):
        return None
    return error.error.code if error.error is not None else f"status {error.status_code}"


class Tour:
    """The client under test, and which of its methods were called."""

    def __init__(self, kind: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.tried: set[str] = set()
        credential = AzureNamedKeyCredential(ACCOUNT, KEY)
        if kind == "aio":
            from azure.batch.aio import BatchClient
        else:
            from azure.batch import BatchClient
        self.client = BatchClient(ENDPOINT, credential)
        self.kind = BatchClient

    def untried(self) -> list[str]:
        """Public methods that no step has called."""
        methods = inspect.getmembers(self.kind, inspect.isfunction)
        return [name for name, _ in methods if name[0] != "_" and name not in self.tried]

    def ask(self, method: str, *words: Any, **options: Any) -> Any:
        """Call a method and give all that it gives, without a step for it."""
        return self._gathered(getattr(self.client, method)(*words, **options))

    def do(self, method: str, *words: Any, called: str = "", **options: Any) -> Any:
        """Call a method as a step, by default named as the method."""
        self.tried.add(method)
        if method.startswith("begin_"):
            options["polling_interval"] = POLL_S
        return step(called or method, lambda: self.ask(method, *words, **options), code_of)

    def _gathered(self, answer: Any) -> Any:
        if isinstance(answer, Awaitable):
            answer = self.loop.run_until_complete(answer)
        if isinstance(answer, LROPoller):
            return answer.result()
        if isinstance(answer, AsyncLROPoller):
            return self.loop.run_until_complete(answer.result())
        if isinstance(answer, AsyncIterable):
            answer = self.loop.run_until_complete(_list(answer))
        elif isinstance(answer, Iterator):
            answer = list(answer)
        if isinstance(answer, list) and answer and isinstance(answer[0], bytes):
            return b"".join(answer)
        return answer


async def _list(of: AsyncIterable[Any]) -> list[Any]:
    return [each async for each in of]


def machine() -> models.VirtualMachineConfiguration:
    """An ordinary Linux."""
    return models.VirtualMachineConfiguration(
        image_reference=models.BatchVmImageReference(
            publisher="canonical",
            offer="0001-com-ubuntu-server-jammy",
            sku="22_04-lts",
            version="latest",
        ),
        node_agent_sku_id="batch.node.ubuntu 22.04",
        extensions=[models.VMExtension(name="probe", publisher="walkers", type="Probe")],
    )


def pool(pool_id: str, nodes: int) -> models.BatchPoolCreateOptions:
    """A pool whose nodes can take tasks of several instances."""
    return models.BatchPoolCreateOptions(
        id=pool_id,
        vm_size="standard_d2s_v3",
        virtual_machine_configuration=machine(),
        target_dedicated_nodes=nodes,
        enable_inter_node_communication=True,
        start_task=models.BatchStartTask(
            command_line=f"/bin/sh -c 'echo {START_TEXT}'", wait_for_success=True
        ),
        metadata=[models.BatchMetadataItem(name="made", value="by the walk")],
    )


def task(task_id: str, command_line: str, **more: Any) -> models.BatchTaskCreateOptions:
    """A task."""
    return models.BatchTaskCreateOptions(id=task_id, command_line=command_line, **more)


def all_idle(tour: Tour, count: int) -> None:
    """Wait until the pool has that many nodes and nothing to do."""

    def nodes() -> list[Any]:
        return list(tour.ask("list_nodes", "main"))

    until(
        f"{count} idle nodes",
        lambda: [node.state for node in nodes()] == ["idle"] * count,
        seen=nodes,
    )


def account(tour: Tour) -> None:
    """What needs no pool."""
    images = tour.do("list_supported_images")
    check("there are images for Linux", any(i.os_type == "linux" for i in images or ()), images)
    check("there are no applications", tour.do("list_applications") == [])
    tour.do("get_application", "none")
    tour.do("list_pool_usage_metrics")


def pools(tour: Tour) -> None:
    """The pool that all else runs on, "main", and what can be asked and said of it."""
    tour.do("create_pool", pool("main", 2))
    tour.do("create_pool", pool("main", 2), called="create_pool: again")
    check("the pool exists", tour.do("pool_exists", "main") is True)
    tour.do("pool_exists", "none", called="pool_exists: none")
    shown = tour.do("get_pool", "main", expand=["stats"], called="get_pool: expand")
    check("the pool has its metadata", shown and shown.metadata[0].name == "made", shown)
    slim = tour.do("get_pool", "main", select=["id", "state"])
    check(
        "only what was selected", set(slim.as_dict()) - {"odata.metadata"} == {"id", "state"}, slim
    )
    found = tour.do("list_pools", filter="startswith(id,'ma')", max_results=1)
    check("the pool is listed", [each.id for each in found or ()] == ["main"], found)
    tour.do("update_pool", "main", models.BatchPoolUpdateOptions(metadata=UPDATE_OF_POOL))
    changed = tour.ask("get_pool", "main")
    check("the update shows", changed.metadata[0].name == "changed", changed)
    check("the ETag has changed", changed.etag != shown.etag, changed.etag)
    unchanged = {"etag": shown.etag, "match_condition": MatchConditions.IfNotModified}
    tour.do(
        "update_pool",
        "main",
        models.BatchPoolUpdateOptions(metadata=[]),
        called="update_pool: stale ETag",
        **unchanged,
    )
    all_idle(tour, 2)
    counts = tour.do("list_pool_node_counts")
    check("two nodes are idle", [c.dedicated.idle for c in counts or ()] == [2], counts)


def autoscale(tour: Tour) -> None:
    """A pool without nodes."""
    tour.ask("create_pool", pool("scaled", 0))
    until("steady", lambda: tour.ask("get_pool", "scaled").allocation_state == "steady")
    formula = "$TargetDedicatedNodes = 0;"
    every = timedelta(minutes=10)
    tour.do(
        "enable_pool_auto_scale",
        "scaled",
        models.BatchPoolEnableAutoScaleOptions(
            auto_scale_formula=formula, auto_scale_evaluation_interval=every
        ),
    )
    tour.do(
        "evaluate_pool_auto_scale",
        "scaled",
        models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula=formula),
    )
    tour.do("disable_pool_auto_scale", "scaled")
    tour.ask("begin_delete_pool", "scaled", polling_interval=POLL_S)


def node_files(tour: Tour, node: str) -> None:
    """What the start task has left."""
    files = tour.do("list_node_files", "main", node, recursive=True)
    names = {file.name for file in files or ()}
    check("the start task's output is listed", "startup/stdout.txt" in names, sorted(names)[:20])
    about = tour.do("get_node_file_properties", "main", node, "startup/stdout.txt")
    check("it has its length", about and about.content_length == len(START_TEXT) + 1, about)
    text = tour.do("download_node_file", "main", node, "startup/stdout.txt")
    check("it is what was printed", text == f"{START_TEXT}\n".encode(), text)
    part = tour.do(
        "download_node_file",
        "main",
        node,
        "startup/stdout.txt",
        ocp_range="bytes=4-7",
        called="download_node_file: range",
    )
    check("a range of it", part == START_TEXT[4:8].encode(), part)
    tour.do("delete_node_file", "main", node, "startup/stderr.txt")
    tour.do(
        "get_node_file_properties",
        "main",
        node,
        "startup/stderr.txt",
        called="get_node_file_properties: deleted",
    )


def node_parts(tour: Tour, node: str) -> None:
    """Users, extensions, remote login, logs."""
    soon = datetime.now(UTC) + timedelta(days=1)
    user = models.BatchNodeUserCreateOptions(name="walker", password="Secret-1", expiry_time=soon)
    tour.do("create_node_user", "main", node, user)
    tour.do(
        "replace_node_user",
        "main",
        node,
        "walker",
        models.BatchNodeUserReplaceOptions(password="Secret-2", expiry_time=soon),
    )
    tour.do("delete_node_user", "main", node, "walker")
    tour.do("delete_node_user", "main", node, "walker", called="delete_node_user: again")
    tour.do("get_node_remote_login_settings", "main", node)
    listed = tour.do("list_node_extensions", "main", node)
    names = [each.vm_extension.name for each in listed or ()]
    check("the extension is listed", names == ["probe"], names)
    tour.do("get_node_extension", "main", node, "probe")
    tour.do("get_node_extension", "main", node, "none", called="get_node_extension: none")
    tour.do(
        "upload_node_logs",
        "main",
        node,
        models.UploadBatchServiceLogsOptions(
            container_url="http://127.0.0.1:1/devstoreaccount1/logs?sig=none",
            start_time=datetime.now(UTC) - timedelta(hours=1),
        ),
    )


def nodes(tour: Tour) -> None:
    """One node through all that can be done to it."""
    listed = tour.do("list_nodes", "main", filter="state eq 'idle'")
    node = listed[0].id
    shown = tour.do("get_node", "main", node)
    check("its start task succeeded", shown.start_task_info.exit_code == 0, shown)
    node_files(tour, node)
    node_parts(tour, node)

    def in_state(*wanted: str) -> None:
        until(f"node {wanted}", lambda: tour.ask("get_node", "main", node).state in wanted)

    tour.do(
        "disable_node_scheduling", "main", node, called="disable_node_scheduling without options"
    )
    terminate = models.BatchNodeDisableSchedulingOptions(node_disable_scheduling_option="terminate")
    tour.do("disable_node_scheduling", "main", node, terminate)
    in_state("offline")
    tour.do("enable_node_scheduling", "main", node)
    in_state("idle")
    for method, options, kind in (
        ("reboot", unexported.BatchNodeRebootOptions, "node_reboot_kind"),
        ("reimage", unexported.BatchNodeReimageOptions, "node_reimage_option"),
    ):
        tour.do(f"begin_{method}_node", "main", node, called=f"begin_{method}_node without options")
        tour.do(f"begin_{method}_node", "main", node, options(**{kind: "requeue"}))
        in_state("idle")
    tour.do("begin_deallocate_node", "main", node, called="begin_deallocate_node without options")
    options = unexported.BatchNodeDeallocateOptions(node_deallocate_option="requeue")
    tour.do("begin_deallocate_node", "main", node, options)
    in_state("deallocated")
    tour.do("begin_start_node", "main", node)
    in_state("idle")


def job(job_id: str, **more: Any) -> models.BatchJobCreateOptions:
    """A job on the pool."""
    return models.BatchJobCreateOptions(
        id=job_id, pool_info=models.BatchPoolInfo(pool_id="main"), **more
    )


def jobs(tour: Tour) -> None:
    """A job with preparation and release, from its creation to its end."""
    tour.do(
        "create_job",
        job(
            "work",
            priority=5,
            uses_task_dependencies=True,
            job_preparation_task=models.BatchJobPreparationTask(command_line="/bin/true"),
            job_release_task=models.BatchJobReleaseTask(command_line="/bin/true"),
            metadata=[models.BatchMetadataItem(name="made", value="by the walk")],
        ),
    )
    tour.do("create_job", job("work"), called="create_job: again")
    shown = tour.do("get_job", "work")
    check("the job has its priority", shown.priority == 5, shown)
    listed = tour.do("list_jobs", filter="id eq 'work'", expand=["stats"])
    check("the job is listed", [each.id for each in listed or ()] == ["work"], listed)
    tour.do("update_job", "work", models.BatchJobUpdateOptions(priority=7))
    check("PATCH changes what it names", tour.ask("get_job", "work").priority == 7)
    changed = tour.ask("get_job", "work")
    changed.priority = 9
    tour.do("replace_job", "work", changed)
    check("PUT changes all", tour.ask("get_job", "work").priority == 9)
    disable = models.BatchJobDisableOptions(disable_tasks="requeue")
    tour.do("begin_disable_job", "work", disable)
    check("the job is disabled", tour.ask("get_job", "work").state == "disabled")
    tour.do("begin_enable_job", "work")
    check("the job is active", tour.ask("get_job", "work").state == "active")
    tasks(tour)
    task_files(tour)
    used = tour.ask("get_job", "work", expand=["stats"]).job_statistics
    ended = used and (used.succeeded_tasks_count, used.failed_tasks_count)
    check("the job says how many ended", ended == (122, 2), used)
    prepared = tour.do("list_job_preparation_and_release_task_status", "work")
    done = [each.job_preparation_task_execution_info.exit_code for each in prepared or ()]
    check("the preparation ran", done and set(done) == {0}, prepared)
    tour.do("begin_terminate_job", "work", called="begin_terminate_job without options")
    why = unexported.BatchJobTerminateOptions(termination_reason="the walk is over")
    tour.do("begin_terminate_job", "work", why)
    ended = tour.ask("get_job", "work")
    check("it says why it ended", ended.execution_info.termination_reason == "the walk is over")
    tour.do("begin_delete_job", "work", force=True)


def tasks(tour: Tour) -> None:
    """Tasks added in three ways, run, changed, and deleted."""

    def finished(*ids: str) -> Any:
        found = [tour.ask("get_task", "work", each) for each in ids]
        return all(each.state == "completed" for each in found) and found

    wide = models.MultiInstanceSettings(
        number_of_instances=2, coordination_command_line="/bin/true"
    )
    tour.ask("create_task", "work", task("wide", "/bin/true", multi_instance_settings=wide))
    until("wide", lambda: finished("wide"), seen=lambda: tour.ask("get_task", "work", "wide"))
    tour.do("create_task", "work", task("one", "/bin/sh -c 'echo out of one; echo x > kept.txt'"))
    tour.do("create_task", "work", task("one", "/bin/true"), called="create_task: again")
    group = [task("bad", "/bin/sh -c 'exit 3'"), task("long", "/bin/sleep 300")]
    added = tour.do("create_task_collection", "work", models.BatchTaskGroup(task_values=group))
    statuses = [each.status.lower() for each in added.result_values or ()]
    check("both were added", statuses == ["success"] * 2, added)
    after = models.BatchTaskDependencies(task_ids=["one"])
    many = [task(f"m{number}", "/bin/true", depends_on=after) for number in range(120)]
    tour.do("create_tasks", "work", many, max_concurrency=2)
    tour.do("create_tasks", "work", many, max_concurrency=2, called="create_tasks: again")
    one, bad = until("one and bad", lambda: finished("one", "bad"))
    check("exit codes", (one.execution_info.exit_code, bad.execution_info.exit_code) == (0, 3))
    used = tour.do("get_task", "work", "one", expand=["stats"]).task_statistics
    check("it says what it used", used and used.wall_clock_time, used)
    until(
        "all but the long one",
        lambda: tour.ask("get_job_task_counts", "work").task_counts.completed == 123,
    )
    counts = tour.do("get_job_task_counts", "work").task_counts
    check("counts", (counts.running, counts.succeeded, counts.failed) == (1, 122, 1), counts)
    failed = tour.do("list_tasks", "work", filter=FAILED, select=["id"])
    check("one has failed", [each.id for each in failed or ()] == ["bad"], failed)
    paged = tour.ask("list_tasks", "work", max_results=50)
    check("all in pages", len({each.id for each in paged}) == 124, len(paged))
    parts = tour.do("list_subtasks", "work", "wide")
    check("one part beside the first", len(parts or ()) == 1, parts)

    change = models.BatchTask(constraints=models.BatchTaskConstraints(max_task_retry_count=2))
    tour.do("replace_task", "work", "long", change)
    changed = tour.ask("get_task", "work", "long").constraints.max_task_retry_count
    check("the constraints have changed", changed == 2, changed)
    tour.do("terminate_task", "work", "long")
    until("long", lambda: finished("long"))
    tour.do("terminate_task", "work", "long", called="terminate_task: again")
    tour.do("reactivate_task", "work", "bad")
    until("bad again", lambda: finished("bad"))
    tour.do("reactivate_task", "work", "one", called="reactivate_task: successful")
    tour.do("delete_task", "work", "m0")
    tour.do("get_task", "work", "m0", called="get_task: deleted")


def task_files(tour: Tour) -> None:
    """What a task has left."""
    files = tour.do("list_task_files", "work", "one", recursive=True)
    names = {file.name for file in files or ()}
    check("its files are listed", {"stdout.txt", "wd/kept.txt"} <= names, names)
    about = tour.do("get_task_file_properties", "work", "one", "stdout.txt")
    check("its output has a length", about and about.content_length == 11, about)
    text = tour.do("download_task_file", "work", "one", "stdout.txt")
    check("its output is read back", text == b"out of one\n", text)
    tour.do("delete_task_file", "work", "one", "wd/kept.txt")
    tour.do(
        "download_task_file", "work", "one", "wd/kept.txt", called="download_task_file: deleted"
    )


def schedules(tour: Tour) -> None:
    """A schedule, its first job, and its end."""
    specification = models.BatchJobSpecification(
        pool_info=models.BatchPoolInfo(pool_id="main"), priority=1
    )
    hourly = models.BatchJobScheduleConfiguration(recurrence_interval=timedelta(hours=1))
    tour.do(
        "create_job_schedule",
        models.BatchJobScheduleCreateOptions(
            id="clock", schedule=hourly, job_specification=specification
        ),
    )
    check("it exists", tour.do("job_schedule_exists", "clock") is True)
    tour.do("job_schedule_exists", "none", called="job_schedule_exists: none")
    until("its first job", lambda: tour.ask("list_jobs_from_schedule", "clock"))
    made = tour.do("list_jobs_from_schedule", "clock")
    check("it has a job", [each.id for each in made or ()] == ["clock:job-1"], made)
    tour.do("get_job", "clock:job-1", called="get_job: of a schedule")
    shown = tour.do("get_job_schedule", "clock")
    check("it names its job", shown.execution_info.recent_job.id == "clock:job-1", shown)
    listed = tour.do("list_job_schedules", filter="state eq 'active'")
    check("it is listed", [each.id for each in listed or ()] == ["clock"], listed)
    metadata = [models.BatchMetadataItem(name="changed", value="yes")]
    tour.do("update_job_schedule", "clock", models.BatchJobScheduleUpdateOptions(metadata=metadata))
    changed = tour.ask("get_job_schedule", "clock")
    check("PATCH changes what it names", changed.metadata[0].name == "changed", changed)
    changed.job_specification.priority = 2
    tour.do("replace_job_schedule", "clock", changed)
    check(
        "PUT changes all",
        tour.ask("get_job_schedule", "clock").job_specification.priority == 2,
    )
    tour.do("disable_job_schedule", "clock")
    check("it is disabled", tour.ask("get_job_schedule", "clock").state == "disabled")
    tour.do("enable_job_schedule", "clock")
    tour.do("begin_terminate_job_schedule", "clock", force=True)
    check("it is completed", tour.ask("get_job_schedule", "clock").state == "completed")
    tour.do("begin_delete_job_schedule", "clock")


def end(tour: Tour) -> None:
    """The pool tells what was used of it, grows, shrinks, and goes."""
    used = tour.ask("get_pool", "main", expand=["stats"]).pool_statistics
    check("it says what was used", used and used.usage_statistics.dedicated_core_time, used)
    tour.do("begin_resize_pool", "main", models.BatchPoolResizeOptions(target_dedicated_nodes=3))
    all_idle(tour, 3)
    tour.ask("create_job", job("busy"))
    tour.ask("create_task", "busy", task("long", "/bin/sleep 300"))
    until("it runs", lambda: tour.ask("get_task", "busy", "long").state == "running")
    patient = models.BatchPoolResizeOptions(
        target_dedicated_nodes=0, node_deallocation_option="taskcompletion"
    )
    started(tour, "begin_resize_pool", "main", patient)
    tour.do("begin_stop_pool_resize", "main")
    check("it has stopped", tour.ask("get_pool", "main").allocation_state == "steady")
    tour.do("begin_stop_pool_resize", "main", called="begin_stop_pool_resize: steady")
    tour.ask("begin_delete_job", "busy", polling_interval=POLL_S)
    node = tour.ask("list_nodes", "main")[0].id
    tour.do("begin_remove_nodes", "main", models.BatchNodeRemoveOptions(node_ids=[node]))
    left = [each.id for each in tour.ask("list_nodes", "main")]
    check("it is gone", node not in left, left)
    tour.do(
        "replace_pool_properties",
        "main",
        models.BatchPoolReplaceOptions(application_package_references=[], metadata=UPDATE_OF_POOL),
    )
    replaced = tour.ask("get_pool", "main")
    check("the start task is gone", replaced.start_task is None, replaced.start_task)
    answer = tour.do("send_request", HttpRequest("GET", "/pools?api-version=2025-06-01"))
    check("any request goes through", answer is not None and answer.status_code == 200, answer)
    tour.do("begin_delete_pool", "main")
    tour.do("get_pool", "main", called="get_pool: deleted")


def started(tour: Tour, method: str, *words: Any) -> None:
    """Begin what takes long, and do not wait for it."""
    answer = getattr(tour.client, method)(*words)
    if isinstance(answer, Awaitable):
        tour.loop.run_until_complete(answer)


def many(tour: Tour) -> None:
    """Two thousand tasks of a hundred files each, twice."""
    files = [
        models.ResourceFile(http_url=FILE.format(number), file_path=f"in/part-{number}.dat")
        for number in range(100)
    ]
    tasks = [task(f"t{number}", "/bin/true", resource_files=files) for number in range(2000)]
    tour.ask("create_job", job("many"))
    tour.do("create_tasks", "many", tasks, max_concurrency=3)
    tour.do("create_tasks", "many", tasks, max_concurrency=3, called="create_tasks: again")
    found = [each.id for each in tour.ask("list_tasks", "many", select=["id"])]
    check("each is there once", sorted(found) == sorted(each.id for each in tasks), len(found))
    tour.ask("begin_delete_job", "many", polling_interval=POLL_S)
    tour.ask("close")


def everything(tour: Tour) -> None:
    """All public methods."""
    for part in (account, pools, autoscale, nodes, jobs, schedules, end):
        go(part, tour)
    tour.do("close")
    check("every method has a step", not tour.untried(), tour.untried())


if __name__ == "__main__":
    go({"everything": everything, "many": many}[sys.argv[2]], Tour(sys.argv[1]))
