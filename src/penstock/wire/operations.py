"""Every operation of the protocol, and which handler carries it out.

The documentation's lists of operations are made from this table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from penstock.wire import (
    account,
    autoscale,
    certificates,
    clock,
    events,
    extensions,
    files,
    jobs,
    node_logs,
    node_users,
    nodes,
    pools,
    retired,
    schedules,
    stats,
    tasks,
    usage_metrics,
)
from penstock.wire.routing import Handler, Operation
from penstock.wire.versions.parts import Part
from penstock.wire.versions.releases import (
    V3_0,
    V3_1,
    V5_1,
    V6_1,
    V7,
    V8,
    V9,
    V14,
    V16,
    V19,
    V20,
    WIDE_PATCH,
)

POOL: Final = "/pools/*"
NODE: Final = "/pools/*/nodes/*"
JOB: Final = "/jobs/*"
TASK: Final = "/jobs/*/tasks/*"
SCHEDULE: Final = "/jobschedules/*"
CERTIFICATE: Final = "/certificates/*"


def _of(
    verb: str,
    path: str,
    name: str,
    handler: Handler,
    *,
    takes: Part | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Operation:
    return Operation(verb, path, name, handler, since, until, takes)


def _extension(
    verb: str, path: str, name: str, handler: Handler, *, unsigned_at_home: bool = False
) -> Operation:
    """An operation that the protocol does not have."""
    return Operation(verb, path, name, handler, extension=True, unsigned_at_home=unsigned_at_home)


def _files(base: str, of: str, handlers: tuple[Handler, ...]) -> Iterator[Operation]:
    """Nodes and tasks have the same operations on files."""
    listed, read, stat, delete = handlers
    yield _of("GET", f"{base}/files", f"List {of} files", listed)
    yield _of("GET", f"{base}/files/**", f"Get {of} file", read)
    yield _of("HEAD", f"{base}/files/**", f"Get {of} file properties", stat)
    yield _of("DELETE", f"{base}/files/**", f"Delete {of} file", delete)


OPERATIONS: Final[tuple[Operation, ...]] = (
    _of(
        "GET", "/supportedimages", "List supported images", account.list_supported_images, since=V9
    ),
    _of(
        "GET",
        "/nodeagentskus",
        "List node agent SKUs",
        retired.list_node_agents,
        since=V3_0,
        until=V8,
    ),
    _of("GET", "/nodecounts", "List pool node counts", account.list_node_counts, since=V6_1),
    _of("GET", "/applications", "List applications", account.list_applications),
    _of("GET", "/applications/*", "Get application", account.get_application),
    _of("GET", "/poolusagemetrics", "List pool usage metrics", usage_metrics.list_usage),
    _of(
        "GET",
        "/lifetimepoolstats",
        "Get lifetime pool statistics",
        stats.lifetime_of_pools,
        until=V16,
    ),
    _of(
        "GET", "/lifetimejobstats", "Get lifetime job statistics", stats.lifetime_of_jobs, until=V16
    ),
    # the service itself
    _extension("GET", "/events", "Read events (an extension)", events.read_events),
    _extension("GET", "/clock", "Get clock (an extension)", clock.get_clock, unsigned_at_home=True),
    _extension(
        "POST",
        "/clock",
        "Advance clock (an extension)",
        clock.advance_clock,
        unsigned_at_home=True,
    ),
    # pools
    _of("POST", "/pools", "Create pool", pools.add_pool, takes=Part.POOL),
    _of("GET", "/pools", "List pools", pools.list_pools),
    _of("HEAD", POOL, "Pool exists", pools.pool_exists),
    _of("GET", POOL, "Get pool", pools.get_pool),
    _of("PATCH", POOL, "Update pool", pools.patch_pool, takes=Part.POOL_PATCH),
    _of("DELETE", POOL, "Delete pool", pools.delete_pool),
    _of("POST", f"{POOL}/disableautoscale", "Disable pool autoscale", autoscale.disable_auto_scale),
    _of("POST", f"{POOL}/enableautoscale", "Enable pool autoscale", autoscale.enable_auto_scale),
    _of(
        "POST",
        f"{POOL}/evaluateautoscale",
        "Evaluate pool autoscale",
        autoscale.evaluate_auto_scale,
    ),
    _of("POST", f"{POOL}/resize", "Resize pool", pools.resize_pool, takes=Part.RESIZE),
    _of("POST", f"{POOL}/stopresize", "Stop pool resize", pools.stop_resize),
    _of(
        "POST",
        f"{POOL}/updateproperties",
        "Replace pool properties",
        pools.replace_properties,
        takes=Part.POOL_PROPERTIES,
    ),
    _of("POST", f"{POOL}/removenodes", "Remove nodes", pools.remove_nodes),
    _of("POST", f"{POOL}/upgradeos", "Upgrade pool OS", retired.upgrade_os, until=V7),
    # nodes
    _of("GET", f"{POOL}/nodes", "List nodes", nodes.list_nodes),
    _of("GET", NODE, "Get node", nodes.get_node),
    _of("POST", f"{NODE}/reboot", "Reboot node", nodes.reboot_node),
    _of("POST", f"{NODE}/reimage", "Reimage node", nodes.reimage_node),
    _of("POST", f"{NODE}/start", "Start node", nodes.start_node, since=WIDE_PATCH),
    _of("POST", f"{NODE}/deallocate", "Deallocate node", nodes.deallocate_node, since=WIDE_PATCH),
    _of(
        "POST",
        f"{NODE}/disablescheduling",
        "Disable node scheduling",
        nodes.disable_scheduling,
    ),
    _of("POST", f"{NODE}/enablescheduling", "Enable node scheduling", nodes.enable_scheduling),
    _extension("POST", f"{NODE}/preempt", "Preempt node (an extension)", nodes.preempt_node),
    _of(
        "GET",
        f"{NODE}/remoteloginsettings",
        "Get node remote login settings",
        node_users.remote_login_settings,
        since=V3_0,
    ),
    _of("GET", f"{NODE}/rdp", "Get node remote desktop file", node_users.remote_desktop, until=V19),
    _of(
        "POST",
        f"{NODE}/uploadbatchservicelogs",
        "Upload node logs",
        node_logs.upload_logs,
        since=V6_1,
    ),
    _of("GET", f"{NODE}/extensions", "List node extensions", extensions.list_extensions, since=V14),
    _of("GET", f"{NODE}/extensions/*", "Get node extension", extensions.get_extension, since=V14),
    _of("POST", f"{NODE}/users", "Create node user", node_users.add_user),
    _of("PUT", f"{NODE}/users/*", "Replace node user", node_users.replace_user),
    _of("DELETE", f"{NODE}/users/*", "Delete node user", node_users.delete_user),
    *_files(
        NODE,
        "node",
        (
            files.list_node_files,
            files.read_node_file,
            files.stat_node_file,
            files.delete_node_file,
        ),
    ),
    # jobs
    _of("POST", "/jobs", "Create job", jobs.add_job, takes=Part.JOB),
    _of("GET", "/jobs", "List jobs", jobs.list_jobs),
    _of("GET", JOB, "Get job", jobs.get_job),
    _of("PATCH", JOB, "Update job", jobs.patch_job, takes=Part.JOB),
    _of("PUT", JOB, "Replace job", jobs.replace_job, takes=Part.JOB),
    _of("DELETE", JOB, "Delete job", jobs.delete_job),
    _of("POST", f"{JOB}/disable", "Disable job", jobs.disable_job),
    _of("POST", f"{JOB}/enable", "Enable job", jobs.enable_job),
    _of("POST", f"{JOB}/terminate", "Terminate job", jobs.terminate_job),
    _of("GET", f"{JOB}/taskcounts", "Get job task counts", jobs.task_counts, since=V5_1),
    _of(
        "GET",
        f"{JOB}/jobpreparationandreleasetaskstatus",
        "List job preparation and release task status",
        jobs.preparation_and_release,
    ),
    # job schedules
    _of(
        "POST", "/jobschedules", "Create job schedule", schedules.add_schedule, takes=Part.SCHEDULE
    ),
    _of("GET", "/jobschedules", "List job schedules", schedules.list_schedules),
    _of("HEAD", SCHEDULE, "Job schedule exists", schedules.schedule_exists),
    _of("GET", SCHEDULE, "Get job schedule", schedules.get_schedule),
    _of("PATCH", SCHEDULE, "Update job schedule", schedules.patch_schedule, takes=Part.SCHEDULE),
    _of("PUT", SCHEDULE, "Replace job schedule", schedules.replace_schedule, takes=Part.SCHEDULE),
    _of("DELETE", SCHEDULE, "Delete job schedule", schedules.delete_schedule),
    _of("POST", f"{SCHEDULE}/disable", "Disable job schedule", schedules.disable_schedule),
    _of("POST", f"{SCHEDULE}/enable", "Enable job schedule", schedules.enable_schedule),
    _of("POST", f"{SCHEDULE}/terminate", "Terminate job schedule", schedules.terminate_schedule),
    _of("GET", f"{SCHEDULE}/jobs", "List jobs of a schedule", schedules.list_jobs),
    # tasks
    _of("POST", f"{JOB}/tasks", "Create task", tasks.add_task, takes=Part.TASK),
    _of(
        "POST",
        f"{JOB}/addtaskcollection",
        "Create task collection",
        tasks.add_collection,
        takes=Part.TASK_COLLECTION,
        since=V3_0,
    ),
    _of("GET", f"{JOB}/tasks", "List tasks", tasks.list_tasks),
    _of("GET", TASK, "Get task", tasks.get_task),
    _of("PUT", TASK, "Replace task", tasks.update_task, takes=Part.TASK_UPDATE),
    _of("DELETE", TASK, "Delete task", tasks.delete_task),
    _of("POST", f"{TASK}/terminate", "Terminate task", tasks.terminate_task),
    _of("POST", f"{TASK}/reactivate", "Reactivate task", tasks.reactivate_task, since=V3_1),
    _of("GET", f"{TASK}/subtasksinfo", "List subtasks", tasks.list_subtasks),
    _extension("GET", f"{TASK}/explain", "Explain task (an extension)", tasks.explain_task),
    _extension("GET", f"{JOB}/explain", "Explain job (an extension)", tasks.explain_job),
    *_files(
        TASK,
        "task",
        (
            files.list_task_files,
            files.read_task_file,
            files.stat_task_file,
            files.delete_task_file,
        ),
    ),
    # certificates, which the newest version no longer has
    _of("POST", "/certificates", "Create certificate", certificates.add_certificate, until=V20),
    _of("GET", "/certificates", "List certificates", certificates.list_certificates, until=V20),
    _of("GET", CERTIFICATE, "Get certificate", certificates.get_certificate, until=V20),
    _of("DELETE", CERTIFICATE, "Delete certificate", certificates.delete_certificate, until=V20),
    _of(
        "POST",
        f"{CERTIFICATE}/canceldelete",
        "Cancel certificate deletion",
        certificates.cancel_deletion,
        until=V20,
    ),
)
