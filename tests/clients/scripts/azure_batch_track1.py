"""A walk through every operation of azure-batch before 15, whatever the version has.

The versions differ in names and in which operations there are. A step that the installed one
lacks is left out; an operation that it has and no step calls is complained about.

`azure_batch_track1.py everything|many`: the latter only adds very many tasks.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from azure.batch import models
from azure.batch.batch_auth import SharedKeyCredentials
from steps import ACCOUNT, ENDPOINT, KEY, check, go, step, until

try:
    from azure.batch import BatchServiceClient
except ImportError:
    from azure.batch.batch_service_client import BatchServiceClient

FILE = "https://account.blob.core.windows.net/in/part-{:04}.dat?sv=2024-05-04&sig=abcdefghijkl"
START_TEXT = "the node has started"
FAILED = "state eq 'completed' and executionInfo/exitCode ne 0"
CERTIFICATE = base64.b64decode(
    "MIIBeTCCAR+gAwIBAgIUUgeekrokdfTyV0swYuPbsfizygAwCgYIKoZIzj0EAwIwETEPMA0GA1UEAwwGd2Fsa2Vy"
    "MCAXDTI2MTEyMDE3MDQ0OFoYDzIxMjYxMDI3MTcwNDQ4WjARMQ8wDQYDVQQDDAZ3YWxrZXIwWTATBgcqhkjOPQIB"
    "BggqhkjOPQMBBwNCAASy9pi/oqfYJiCptxv8e3yYD6yZB3KVoyAgub/5Lp8z+9aBAzkUSBDkAC3BL6xqKV6KYl01"
    "474+CkPXfhPcu/zpo1MwUTAdBgNVHQ4EFgQUjzA9wpoLuuGR38mcEocxFOZdtQMwHwYDVR0jBBgwFoAUjzA9wpoL"
    "uuGR38mcEocxFOZdtQMwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAoHUy+BXUp1O4Qn90TnIi"
    "O1f7A7XNy4YC4toj4vbr838CIGE8/+Z+GDr1/x9t9ALUkxChsTCYSUrS0wgU75+rxt1U"
)
"""Of nobody: made for this walk, its key thrown away."""
THUMBPRINT = hashlib.sha1(CERTIFICATE).hexdigest()


def code_of(error: Exception) -> str | None:
    """The service's code, where the error is one of the service."""
    if not isinstance(error, models.BatchErrorException):
        return None
    code = getattr(error.error, "code", None)
    return str(code) if code else f"status {error.response.status_code}"


def fitted(model: Any, **values: Any) -> Any:
    """Make a model, without the properties that this version of it lacks."""
    known = inspect.signature(model.__init__).parameters
    if any(each.kind is each.VAR_KEYWORD for each in known.values()):
        known = {*known, *model._attribute_map}
    return model(**{name: value for name, value in values.items() if name in known})


def word(value: Any) -> Any:
    """The text of an enum's member, for some versions give these, and of different case."""
    return str(getattr(value, "value", value)).lower()


class Tour:
    """The client under test, and which of its operations were called."""

    def __init__(self) -> None:
        place = "batch_url" if _takes(BatchServiceClient, "batch_url") else "base_url"
        credentials = SharedKeyCredentials(ACCOUNT, KEY)
        self.client = BatchServiceClient(credentials, **{place: ENDPOINT})
        self.tried: set[str] = set()

    def untried(self) -> list[str]:
        """Operations of all groups that no step has called."""
        return [
            f"{group}.{name}"
            for group, operations in vars(self.client).items()
            if type(operations).__name__.endswith("Operations")
            for name, _ in inspect.getmembers(type(operations), inspect.isfunction)
            if name[0] != "_" and f"{group}.{name}" not in self.tried
        ]

    def has(self, operation: str) -> bool:
        """Whether this version has an operation."""
        return self._found(operation) is not None

    def ask(self, operation: str, *words: Any, **options: Any) -> Any:
        """Call an operation and give all that it gives, without a step for it."""
        method = self._found(operation)
        assert method is not None, operation
        taken = {name: value for name, value in options.items() if _takes(method, name)}
        answer = method(*words, **taken)
        if not hasattr(answer, "__next__"):
            return answer
        every = list(answer)
        return b"".join(every) if every and isinstance(every[0], bytes) else every

    def do(self, operation: str, *words: Any, called: str = "", **options: Any) -> Any:
        """Call an operation, if there is one, as a step."""
        if not self.has(operation):
            return None
        self.tried.add(operation)
        name = f"{operation}: {called}" if called else operation
        return step(name, lambda: self.ask(operation, *words, **options), code_of)

    def _found(self, operation: str) -> Callable[..., Any] | None:
        group, _, name = operation.partition(".")
        return getattr(getattr(self.client, group, None), name, None)


def _takes(method: Any, name: str) -> bool:
    return name in inspect.signature(method).parameters


def pool(pool_id: str, nodes: int) -> Any:
    """A pool of ordinary Linux nodes."""
    return fitted(
        models.PoolAddParameter,
        id=pool_id,
        vm_size="standard_d2s_v3",
        virtual_machine_configuration=fitted(
            models.VirtualMachineConfiguration,
            image_reference=models.ImageReference(
                publisher="canonical",
                offer="0001-com-ubuntu-server-jammy",
                sku="22_04-lts",
                version="latest",
            ),
            node_agent_sku_id="batch.node.ubuntu 22.04",
            extensions=extensions(),
        ),
        target_dedicated_nodes=nodes,
        target_dedicated=nodes,
        enable_inter_node_communication=True,
        start_task=models.StartTask(
            command_line=f"/bin/sh -c 'echo {START_TEXT}'", wait_for_success=True
        ),
        metadata=[models.MetadataItem(name="made", value="by the walk")],
    )


def extensions() -> list[Any]:
    """One extension, where this version knows any."""
    if not hasattr(models, "VMExtension"):
        return []
    return [models.VMExtension(name="probe", publisher="walkers", type="Probe")]


def task(task_id: str, command_line: str, **more: Any) -> Any:
    """A task."""
    return models.TaskAddParameter(id=task_id, command_line=command_line, **more)


def all_idle(tour: Tour, count: int) -> None:
    """Wait until the pool has that many nodes and nothing to do."""

    def states() -> list[Any]:
        return [word(node.state) for node in tour.ask("compute_node.list", "main")]

    until(f"{count} idle nodes", lambda: states() == ["idle"] * count, seen=states)


def account(tour: Tour) -> None:
    """What needs no pool."""
    for name in ("list_supported_images", "list_node_agent_skus"):
        images = tour.do(f"account.{name}")
        linux = [each for each in images or () if word(each.os_type) == "linux"]
        check("there are images for Linux", bool(linux) or images is None, images)
    check("there are no applications", tour.do("application.list") == [])
    tour.do("application.get", "none")
    tour.do("pool.list_usage_metrics")
    tour.do("pool.list_pool_usage_metrics")
    for group, old in (("pool", "get_all_pools"), ("job", "get_all_jobs")):
        tour.do(f"{group}.get_all_lifetime_statistics")
        tour.do(f"{group}.{old}_lifetime_statistics")


def certificates(tour: Tour) -> None:
    """A certificate from its creation to its end."""
    name = ("sha1", THUMBPRINT)
    certificate = models.CertificateAddParameter(
        thumbprint=THUMBPRINT,
        thumbprint_algorithm="sha1",
        data=base64.b64encode(CERTIFICATE).decode(),
        certificate_format="cer",
    )
    tour.do("certificate.add", certificate)
    tour.do("certificate.add", certificate, called="again")
    shown = tour.do("certificate.get", *name)
    check("it is shown", shown and shown.thumbprint.lower() == THUMBPRINT, shown)
    listed = tour.do("certificate.list")
    check("it is listed", len(listed or ()) == 1, listed)
    tour.do("certificate.cancel_deletion", *name, called="active")
    holder = pool("holder", 0)
    holder.certificate_references = [
        models.CertificateReference(thumbprint=THUMBPRINT, thumbprint_algorithm="sha1")
    ]
    tour.ask("pool.add", holder)
    tour.do("certificate.delete", *name, called="in use")

    def in_state(wanted: str) -> None:
        until(wanted, lambda: word(tour.ask("certificate.get", *name).state) == wanted)

    in_state("deletefailed")
    tour.do("certificate.cancel_deletion", *name)
    in_state("active")
    tour.ask("pool.delete", "holder")
    until("the end of the pool", lambda: not tour.ask("pool.exists", "holder"))
    tour.do("certificate.delete", *name)
    until("its end", lambda: not tour.ask("certificate.list"))
    tour.do("certificate.get", *name, called="deleted")


def pools(tour: Tour) -> None:
    """The pool that all else runs on, "main", and what can be asked and said of it."""
    tour.do("pool.add", pool("main", 2))
    tour.do("pool.add", pool("main", 2), called="again")
    check("the pool exists", tour.do("pool.exists", "main") is True)
    check("no other exists", tour.do("pool.exists", "none", called="none") is False)
    expand = models.PoolGetOptions(expand="stats")
    shown = tour.do("pool.get", "main", pool_get_options=expand)
    check("the pool has its metadata", shown and shown.metadata[0].name == "made", shown)
    only = models.PoolListOptions(filter="startswith(id,'ma')", select="id,state", max_results=1)
    found = tour.do("pool.list", pool_list_options=only)
    check("the pool is listed", [each.id for each in found or ()] == ["main"], found)
    check("only what was selected", [each.vm_size for each in found or ()] == [None], found)
    metadata = [models.MetadataItem(name="changed", value="by the walk")]
    tour.do("pool.patch", "main", models.PoolPatchParameter(metadata=metadata))
    changed = tour.ask("pool.get", "main")
    check("the update shows", changed.metadata[0].name == "changed", changed)
    stale = models.PoolPatchOptions(if_match=shown.e_tag)
    patch = models.PoolPatchParameter(metadata=[])
    tour.do("pool.patch", "main", patch, pool_patch_options=stale, called="stale ETag")
    all_idle(tour, 2)
    counts = tour.do("account.list_pool_node_counts")
    check("two are idle", counts is None or [c.dedicated.idle for c in counts] == [2], counts)


def autoscale(tour: Tour) -> None:
    """A pool without nodes."""
    tour.ask("pool.add", pool("scaled", 0))
    until("steady", lambda: word(tour.ask("pool.get", "scaled").allocation_state) == "steady")
    formula = "$TargetDedicatedNodes = 0;"
    tour.do("pool.enable_auto_scale", "scaled", auto_scale_formula=formula)
    tour.do("pool.evaluate_auto_scale", "scaled", formula)
    tour.do("pool.disable_auto_scale", "scaled")
    tour.ask("pool.delete", "scaled")


def node_files(tour: Tour, node: str) -> None:
    """What the start task has left."""
    output = ("main", node, "startup/stdout.txt")
    files = tour.do("file.list_from_compute_node", "main", node, recursive=True)
    names = {file.name for file in files or ()}
    check("the start task's output is listed", "startup/stdout.txt" in names, sorted(names)[:20])
    tour.do("file.get_properties_from_compute_node", *output)
    tour.do("file.get_node_file_properties_from_compute_node", *output)
    text = tour.do("file.get_from_compute_node", *output)
    check("it is what was printed", text == f"{START_TEXT}\n".encode(), text)
    part = tour.do(
        "file.get_from_compute_node",
        *output,
        file_get_from_compute_node_options=models.FileGetFromComputeNodeOptions(
            ocp_range="bytes=4-7"
        ),
        called="range",
    )
    check("a range of it", part == START_TEXT[4:8].encode(), part)
    errors = ("main", node, "startup/stderr.txt")
    tour.do("file.delete_from_compute_node", *errors)
    tour.do("file.get_from_compute_node", *errors, called="deleted")


def node_parts(tour: Tour, node: str) -> None:
    """Users, extensions, remote login, logs."""
    now = datetime.now(timezone.utc)
    soon = now + timedelta(days=1)
    user = models.ComputeNodeUser(name="walker", password="Secret-1", expiry_time=soon)
    tour.do("compute_node.add_user", "main", node, user)
    change = models.NodeUpdateUserParameter(password="Secret-2", expiry_time=soon)
    tour.do("compute_node.update_user", "main", node, "walker", change)
    tour.do("compute_node.delete_user", "main", node, "walker")
    tour.do("compute_node.delete_user", "main", node, "walker", called="again")
    tour.do("compute_node.get_remote_login_settings", "main", node)
    tour.do("compute_node.get_remote_desktop", "main", node)
    listed = tour.do("compute_node_extension.list", "main", node)
    names = [each.vm_extension.name for each in listed or ()]
    check("the extension is listed", names == ["probe"] or listed is None, names)
    tour.do("compute_node_extension.get", "main", node, "probe")
    tour.do("compute_node_extension.get", "main", node, "none", called="none")
    if tour.has("compute_node.upload_batch_service_logs"):
        target = models.UploadBatchServiceLogsConfiguration(
            container_url="http://127.0.0.1:1/devstoreaccount1/logs?sig=none", start_time=now
        )
        tour.do("compute_node.upload_batch_service_logs", "main", node, target)


def nodes(tour: Tour) -> None:
    """One node through all that can be done to it."""
    idle = models.ComputeNodeListOptions(filter="state eq 'idle'")
    node = tour.do("compute_node.list", "main", compute_node_list_options=idle)[0].id
    shown = tour.do("compute_node.get", "main", node)
    check("its start task succeeded", shown.start_task_info.exit_code == 0, shown)
    node_files(tour, node)
    node_parts(tour, node)

    def in_state(wanted: str) -> None:
        until(wanted, lambda: word(tour.ask("compute_node.get", "main", node).state) == wanted)

    tour.do("compute_node.disable_scheduling", "main", node)
    in_state("offline")
    tour.do("compute_node.enable_scheduling", "main", node)
    in_state("idle")
    tour.do("compute_node.reboot", "main", node)
    in_state("idle")
    tour.do("compute_node.reimage", "main", node)
    in_state("idle")


def job(job_id: str, **more: Any) -> Any:
    """A job on the pool."""
    return models.JobAddParameter(
        id=job_id, pool_info=models.PoolInformation(pool_id="main"), **more
    )


def jobs(tour: Tour) -> None:
    """A job with preparation and release, from its creation to its end."""
    work = job(
        "work",
        priority=5,
        uses_task_dependencies=True,
        job_preparation_task=models.JobPreparationTask(command_line="/bin/true"),
        job_release_task=models.JobReleaseTask(command_line="/bin/true"),
        metadata=[models.MetadataItem(name="made", value="by the walk")],
    )
    tour.do("job.add", work)
    tour.do("job.add", work, called="again")
    shown = tour.do("job.get", "work")
    check("the job has its priority", shown.priority == 5, shown)
    only = models.JobListOptions(filter="id eq 'work'", expand="stats")
    listed = tour.do("job.list", job_list_options=only)
    check("the job is listed", [each.id for each in listed or ()] == ["work"], listed)
    tour.do("job.patch", "work", models.JobPatchParameter(priority=7))
    check("PATCH changes what it names", tour.ask("job.get", "work").priority == 7)
    whole = models.JobUpdateParameter(pool_info=shown.pool_info, priority=9)
    tour.do("job.update", "work", whole)
    replaced = tour.ask("job.get", "work")
    check("PUT changes all", (replaced.priority, replaced.metadata) in ((9, None), (9, [])))
    tour.do("job.disable", "work", disable_tasks="requeue")
    until("disabled", lambda: word(tour.ask("job.get", "work").state) == "disabled")
    tour.do("job.enable", "work")
    until("enabled", lambda: word(tour.ask("job.get", "work").state) == "active")
    tasks(tour)
    task_files(tour)
    used = tour.ask("job.get", "work", job_get_options=models.JobGetOptions(expand="stats")).stats
    ended = used and (used.num_succeeded_tasks, used.num_failed_tasks)
    check("the job says how many ended", ended == (92, 2), used)
    prepared = tour.do("job.list_preparation_and_release_task_status", "work")
    done = [each.job_preparation_task_execution_info.exit_code for each in prepared or ()]
    check("the preparation ran", done and set(done) == {0}, prepared)
    tour.do("job.terminate", "work", terminate_reason="the walk is over")
    until("its end", lambda: word(tour.ask("job.get", "work").state) == "completed")
    ended = tour.ask("job.get", "work").execution_info
    check("it says why it ended", ended.terminate_reason == "the walk is over", ended)
    tour.do("job.delete", "work")


def tasks(tour: Tour) -> None:
    """Tasks added in all ways, run, changed, and deleted."""

    def finished(*ids: str) -> Any:
        found = [tour.ask("task.get", "work", each) for each in ids]
        return all(word(each.state) == "completed" for each in found) and found

    wide = models.MultiInstanceSettings(
        number_of_instances=2, coordination_command_line="/bin/true"
    )
    tour.ask("task.add", "work", task("wide", "/bin/true", multi_instance_settings=wide))
    until("wide", lambda: finished("wide"), seen=lambda: tour.ask("task.get", "work", "wide"))
    parts = tour.do("task.list_subtasks", "work", "wide")
    check("one part beside the first", parts and len(parts.value or ()) == 1, parts)

    tour.do("task.add", "work", task("one", "/bin/sh -c 'echo out of one; echo x > kept.txt'"))
    tour.do("task.add", "work", task("one", "/bin/true"), called="again")
    group = [task("bad", "/bin/sh -c 'exit 3'"), task("long", "/bin/sleep 300")]
    added = tour.do("task.add_collection", "work", group)
    statuses = [word(each.status) for each in (added and added.value) or ()]
    check("both were added", statuses == ["success"] * 2, statuses)
    after = models.TaskDependencies(task_ids=["one"])
    many = [task(f"m{number}", "/bin/true", depends_on=after) for number in range(90)]
    tour.do("task.add_collection", "work", many, threads=2, called="with threads")
    one, bad = until("one and bad", lambda: finished("one", "bad"))
    check("exit codes", (one.execution_info.exit_code, bad.execution_info.exit_code) == (0, 3))
    expand = models.TaskGetOptions(expand="stats")
    used = tour.do("task.get", "work", "one", task_get_options=expand).stats
    check("it says what it used", used and used.wall_clock_time, used)
    until("the dependent", lambda: finished("m0", "m89"))
    done = models.TaskListOptions(filter="state eq 'completed'", max_results=40)
    until("all", lambda: len(tour.ask("task.list", "work", task_list_options=done)) == 93)
    counts = tour.do("job.get_task_counts", "work")
    counts = getattr(counts, "task_counts", counts)
    seen = counts and (counts.running, counts.completed, counts.succeeded, counts.failed)
    check("counts", seen in (None, (1, 93, 92, 1)), counts)
    failed = tour.do("task.list", "work", task_list_options=models.TaskListOptions(filter=FAILED))
    check("one has failed", [each.id for each in failed or ()] == ["bad"], failed)

    change = models.TaskConstraints(max_task_retry_count=2)
    tour.do("task.update", "work", "long", constraints=change)
    changed = tour.ask("task.get", "work", "long").constraints.max_task_retry_count
    check("the constraints have changed", changed == 2, changed)
    tour.do("task.terminate", "work", "long")
    until("long", lambda: finished("long"))
    tour.do("task.terminate", "work", "long", called="again")
    tour.do("task.reactivate", "work", "bad")
    until("bad again", lambda: finished("bad"))
    tour.do("task.reactivate", "work", "one", called="successful")
    tour.do("task.delete", "work", "m0")
    tour.do("task.get", "work", "m0", called="deleted")


def task_files(tour: Tour) -> None:
    """What a task has left."""
    files = tour.do("file.list_from_task", "work", "one", recursive=True)
    names = {file.name for file in files or ()}
    check("its files are listed", {"stdout.txt", "wd/kept.txt"} <= names, names)
    tour.do("file.get_properties_from_task", "work", "one", "stdout.txt")
    tour.do("file.get_node_file_properties_from_task", "work", "one", "stdout.txt")
    text = tour.do("file.get_from_task", "work", "one", "stdout.txt")
    check("its output is read back", text == b"out of one\n", text)
    tour.do("file.delete_from_task", "work", "one", "wd/kept.txt")
    tour.do("file.get_from_task", "work", "one", "wd/kept.txt", called="deleted")


def schedules(tour: Tour) -> None:
    """A schedule, its first job, and its end."""
    specification = models.JobSpecification(
        pool_info=models.PoolInformation(pool_id="main"), priority=1
    )
    hourly = models.Schedule(recurrence_interval=timedelta(hours=1))
    tour.do(
        "job_schedule.add",
        models.JobScheduleAddParameter(
            id="clock", schedule=hourly, job_specification=specification
        ),
    )
    check("it exists", tour.do("job_schedule.exists", "clock") is True)
    check("no other exists", tour.do("job_schedule.exists", "none", called="none") is False)
    until("its first job", lambda: tour.ask("job.list_from_job_schedule", "clock"))
    made = tour.do("job.list_from_job_schedule", "clock")
    check("it has a job", [each.id for each in made or ()] == ["clock:job-1"], made)
    tour.do("job.get", "clock:job-1", called="of a schedule")
    shown = tour.do("job_schedule.get", "clock")
    check("it names its job", shown.execution_info.recent_job.id == "clock:job-1", shown)
    active = models.JobScheduleListOptions(filter="state eq 'active'")
    listed = tour.do("job_schedule.list", job_schedule_list_options=active)
    check("it is listed", [each.id for each in listed or ()] == ["clock"], listed)
    metadata = [models.MetadataItem(name="changed", value="yes")]
    tour.do("job_schedule.patch", "clock", models.JobSchedulePatchParameter(metadata=metadata))
    changed = tour.ask("job_schedule.get", "clock")
    check("PATCH changes what it names", changed.metadata[0].name == "changed", changed)
    specification.priority = 2
    whole = models.JobScheduleUpdateParameter(schedule=hourly, job_specification=specification)
    tour.do("job_schedule.update", "clock", whole)
    replaced = tour.ask("job_schedule.get", "clock")
    check("PUT changes all", replaced.job_specification.priority == 2, replaced)
    tour.do("job_schedule.disable", "clock")
    tour.do("job_schedule.enable", "clock")
    tour.do("job_schedule.terminate", "clock")
    until("its end", lambda: word(tour.ask("job_schedule.get", "clock").state) == "completed")
    tour.do("job_schedule.delete", "clock")


def end(tour: Tour) -> None:
    """The pool tells what was used of it, grows, shrinks, and goes."""
    expand = models.PoolGetOptions(expand="stats")
    used = tour.ask("pool.get", "main", pool_get_options=expand).stats
    check("it says what was used", used and used.usage_stats.dedicated_core_time, used)

    def steady() -> None:
        until("steady", lambda: word(tour.ask("pool.get", "main").allocation_state) == "steady")

    def resized(nodes: int, **more: Any) -> Any:
        return fitted(
            models.PoolResizeParameter, target_dedicated_nodes=nodes, target_dedicated=nodes, **more
        )

    tour.do("pool.resize", "main", resized(3))
    steady()
    all_idle(tour, 3)
    tour.ask("job.add", job("busy"))
    tour.ask("task.add", "busy", task("long", "/bin/sleep 300"))
    until("it runs", lambda: word(tour.ask("task.get", "busy", "long").state) == "running")
    tour.ask("pool.resize", "main", resized(0, node_deallocation_option="taskcompletion"))
    tour.do("pool.stop_resize", "main")
    steady()
    tour.do("pool.stop_resize", "main", called="steady")
    tour.ask("job.delete", "busy")
    node = tour.ask("compute_node.list", "main")[0].id
    tour.do("pool.remove_nodes", "main", models.NodeRemoveParameter(node_list=[node]))
    steady()
    left = [each.id for each in tour.ask("compute_node.list", "main")]
    check("it is gone", node not in left, left)
    tour.do(
        "pool.update_properties",
        "main",
        models.PoolUpdatePropertiesParameter(
            certificate_references=[], application_package_references=[], metadata=[]
        ),
    )
    replaced = tour.ask("pool.get", "main")
    check("the start task is gone", replaced.start_task is None, replaced.start_task)
    tour.do("pool.upgrade_os", "main", "*")
    tour.do("pool.delete", "main")
    until("its end", lambda: not tour.ask("pool.exists", "main"))
    tour.do("pool.get", "main", called="deleted")


def many(tour: Tour) -> None:
    """Two thousand tasks of a hundred files each, and some of them again."""
    files = [
        models.ResourceFile(http_url=FILE.format(number), file_path=f"in/part-{number}.dat")
        for number in range(100)
    ]
    tasks = [task(f"t{number}", "/bin/true", resource_files=files) for number in range(2000)]
    tour.ask("job.add", job("many"))
    tour.do("task.add_collection", "many", tasks, threads=3)
    tour.do("task.add_collection", "many", tasks[:400], threads=3, called="again")
    found = [each.id for each in tour.ask("task.list", "many")]
    check("each is there once", sorted(found) == sorted(each.id for each in tasks), len(found))
    tour.ask("job.delete", "many")


def everything(tour: Tour) -> None:
    """All operations."""
    for part in (account, certificates, pools, autoscale, nodes, jobs, schedules, end):
        go(part, tour)
    check("every operation has a step", not tour.untried(), tour.untried())


if __name__ == "__main__":
    go({"everything": everything, "many": many}[sys.argv[1]], Tour())
