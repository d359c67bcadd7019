"""How tasks end, and what the record says of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from azure.batch import BatchClient
from azure.batch.models import (
    BatchJobConstraints,
    BatchNodeState,
    BatchStartTask,
    BatchTask,
    BatchTaskCreateOptions,
    BatchTaskExecutionInfo,
    BatchTaskExecutionResult,
    BatchTaskFailureInfo,
    BatchTaskState,
    EnvironmentSetting,
    OutputFile,
    OutputFileBlobContainerDestination,
    OutputFileDestination,
    OutputFileUploadCondition,
    OutputFileUploadConfiguration,
    ResourceFile,
)
from azure.batch.models._models import BatchJobTerminateOptions

from tests.e2e.harness import Penstock
from tests.e2e.storage import Container
from tests.e2e.things import (
    add,
    completed,
    delete_pool,
    in_state,
    job_options,
    made_job,
    made_pool,
    pool_options,
    refusal,
    run,
    running,
    shell,
    stdout,
    task_file,
    task_options,
    unique,
)
from tests.e2e.waiting import eventually

SUCCESS = BatchTaskExecutionResult.SUCCESS
FAILURE = BatchTaskExecutionResult.FAILURE


def outcome(task: BatchTask) -> BatchTaskExecutionInfo:
    """How a completed task ended, after a check of what holds for all of them."""
    info = task.execution_info
    assert info is not None
    assert task.state == BatchTaskState.COMPLETED
    assert task.previous_state == BatchTaskState.RUNNING
    assert info.start_time is not None
    assert info.end_time is not None
    assert info.start_time <= info.end_time <= datetime.now(UTC) + timedelta(seconds=1)
    assert (info.result == FAILURE) == (info.failure_info is not None)
    assert info.requeue_count == 0
    assert (info.retry_count > 0) == (info.last_retry_time is not None)
    return info


def failure(task: BatchTask, code: str, *, category: str = "usererror") -> BatchTaskFailureInfo:
    """The failure of a completed task, which has to have this code."""
    info = outcome(task)
    assert info.result == FAILURE
    assert info.failure_info is not None
    assert info.failure_info.code == code, info.as_dict()
    assert info.failure_info.category == category
    assert info.failure_info.message
    return info.failure_info


def details(told: BatchTaskFailureInfo) -> str:
    """All details of a failure as one text."""
    return " ".join(f"{item.name}={item.value}" for item in told.details or [])


# --- the process -------------------------------------------------------------------------------


def test_exit_codes_decide_the_result(batch: BatchClient, job: str) -> None:
    tasks = run(batch, job, [task_options(f"exit-{n}", shell(f"exit {n}")) for n in (0, 1, 255)])

    assert outcome(tasks["exit-0"]).result == SUCCESS
    assert outcome(tasks["exit-0"]).exit_code == 0
    for code in (1, 255):
        failure(tasks[f"exit-{code}"], "FailureExitCode")
        assert outcome(tasks[f"exit-{code}"]).exit_code == code
    counts = batch.get_job_task_counts(job).task_counts
    assert (counts.succeeded, counts.failed, counts.completed) == (1, 2, 3)


def test_a_command_that_does_not_exist(batch: BatchClient, job: str) -> None:
    missing = ("no-such-program", "/no/such/program --flag", "wd-relative/no-such")
    tasks = run(batch, job, [task_options(f"t{i}", line) for i, line in enumerate(missing)])

    for task in tasks.values():
        failure(task, "CommandProgramNotFound")
        assert outcome(task).exit_code is None


def test_a_file_that_can_not_be_executed(batch: BatchClient, job: str) -> None:
    task = run(batch, job, [task_options("t", "/etc/passwd")])["t"]

    info = outcome(task)
    assert info.failure_info is not None
    assert info.failure_info.code in ("CommandLaunchFailed", "CommandProgramNotFound")
    assert info.exit_code is None


def test_the_command_line_is_run_without_a_shell(batch: BatchClient, job: str) -> None:
    lines = {
        "plain": ("/bin/echo $HOME *.txt | cat > x", "$HOME *.txt | cat > x\n"),
        "double": ('/bin/echo "two  words" one', "two  words one\n"),
        "single": ("/bin/echo 'a \"b\"  c'", 'a "b"  c\n'),
        "nested": ("""/bin/sh -c 'echo "$AZ_BATCH_TASK_ID" $((1+2))'""", "nested 3\n"),
        "double-nested": ('/bin/sh -c "echo \\"x  y\\""', "x  y\n"),
        "unicode": ("/bin/echo grüße 水", "grüße 水\n"),
    }
    tasks = run(batch, job, [task_options(name, line) for name, (line, _) in lines.items()])

    assert {task.id: outcome(task).exit_code for task in tasks.values()} == dict.fromkeys(lines, 0)
    assert {name: stdout(batch, job, name) for name in lines} == {
        name: printed for name, (_, printed) in lines.items()
    }


def test_a_command_from_the_path(batch: BatchClient, job: str) -> None:
    assert outcome(run(batch, job, [task_options("t", "true")])["t"]).exit_code == 0


def test_an_end_by_signal(batch: BatchClient, job: str) -> None:
    tasks = run(
        batch,
        job,
        [
            task_options("killed", shell("kill -KILL $$")),
            task_options("segv", shell("kill -SEGV $$")),
        ],
    )

    for task in tasks.values():
        failure(task, "FailureExitCode")
    assert outcome(tasks["killed"]).exit_code == 137
    assert outcome(tasks["segv"]).exit_code == 139


# --- retries -----------------------------------------------------------------------------------


def test_a_bad_exit_is_retried_as_often_as_asked(batch: BatchClient, job: str) -> None:
    began = datetime.now(UTC)
    task = run(batch, job, [task_options("t", shell("echo again; exit 3"), retries=2)])["t"]

    failure(task, "FailureExitCode")
    info = outcome(task)
    assert info.exit_code == 3
    assert info.retry_count == 2
    assert info.last_retry_time is not None
    assert info.start_time is not None
    assert began - timedelta(seconds=1) < info.last_retry_time <= info.start_time
    assert stdout(batch, job, "t") == "again\n", "each attempt has a fresh directory"


def test_a_retry_may_succeed(batch: BatchClient, job: str, tmp_path: Path) -> None:
    script = f"[ -e {tmp_path}/tried ] || {{ touch {tmp_path}/tried; exit 1; }}"
    task = run(batch, job, [task_options("t", shell(script), retries=5)])["t"]

    info = outcome(task)
    assert info.result == SUCCESS
    assert info.exit_code == 0
    assert info.retry_count == 1


def test_the_job_says_how_often_where_the_task_does_not(batch: BatchClient, pool: str) -> None:
    options = job_options(unique("job"), pool)
    options.constraints = BatchJobConstraints(max_task_retry_count=1)
    with made_job(batch, options) as job:
        tasks = run(
            batch,
            job,
            [
                task_options("as-the-job-says", shell("exit 1")),
                task_options("never", shell("exit 1"), retries=0),
            ],
        )

    assert outcome(tasks["as-the-job-says"]).retry_count == 1
    assert outcome(tasks["never"]).retry_count == 0


# --- ended from outside ------------------------------------------------------------------------


def test_the_wall_clock_ends_a_task(batch: BatchClient, job: str) -> None:
    line = shell("echo began; sleep 1000")
    task = run(batch, job, [task_options("t", line, wall_clock_s=1, retries=3)])["t"]

    told = failure(task, "TaskEnded")
    assert "maximum" in details(told).lower()
    info = outcome(task)
    assert info.retry_count == 0, "retries are for exit codes"
    assert info.start_time is not None
    assert info.end_time is not None
    assert timedelta(seconds=1) <= info.end_time - info.start_time < timedelta(seconds=15)
    assert stdout(batch, job, "t") == "began\n"


def test_a_user_ends_a_running_task(batch: BatchClient, job: str) -> None:
    add(batch, job, task_options("t", shell("echo began; sleep 1000"), retries=3))
    running(batch, job, "t")

    batch.terminate_task(job, "t")

    task = completed(batch, job, "t")
    failure(task, "TaskEnded")
    assert outcome(task).retry_count == 0
    assert refusal(lambda: batch.terminate_task(job, "t")) == (409, "TaskCompleted")


def test_a_user_ends_a_waiting_task(batch: BatchClient) -> None:
    with made_job(batch, job_options(unique("job"), unique("no-such-pool"))) as job:
        add(batch, job, task_options("t", "/bin/true"))
        batch.terminate_task(job, "t")
        task = completed(batch, job, "t")

    info = task.execution_info
    assert info is not None
    assert task.previous_state == BatchTaskState.ACTIVE
    assert info.exit_code is None
    assert info.result == FAILURE
    assert info.failure_info is not None
    assert info.failure_info.code == "TaskEnded"
    assert task.node_info is None


def test_a_failed_task_is_reactivated(batch: BatchClient, job: str, tmp_path: Path) -> None:
    script = f"[ -e {tmp_path}/mended ]"
    first = run(batch, job, [task_options("t", shell(script), retries=1)])["t"]
    assert outcome(first).retry_count == 1
    (tmp_path / "mended").touch()

    batch.reactivate_task(job, "t")

    def succeeded() -> bool:
        return batch.get_job_task_counts(job).task_counts.succeeded == 1

    eventually(succeeded, 15, "the success of the reactivated task")
    again = outcome(batch.get_task(job, "t"))
    assert again.retry_count == 0
    assert again.exit_code == 0
    assert refusal(lambda: batch.reactivate_task(job, "t")) == (409, "TaskSucceeded")


def test_a_terminated_job_kills_what_runs_and_leaves_what_waits(
    batch: BatchClient, pool: str
) -> None:
    options = job_options(unique("job"), pool)
    options.max_parallel_tasks = 1
    with made_job(batch, options) as job:
        add(batch, job, task_options("first", shell("sleep 1000")))
        running(batch, job, "first")
        add(batch, job, task_options("second", "/bin/true"))

        batch.begin_terminate_job(
            job, options=BatchJobTerminateOptions(termination_reason="enough"), polling_interval=1
        ).result(timeout=20)

        ended = batch.get_job(job)
        assert ended.state == "completed"
        assert ended.execution_info is not None
        assert ended.execution_info.termination_reason == "enough"
        failure(batch.get_task(job, "first"), "TaskEnded")
        assert batch.get_task(job, "second").state == BatchTaskState.ACTIVE
        third = task_options("third", "/bin/true")
        assert refusal(lambda: batch.create_task(job, third)) == (409, "JobCompleted")


# --- files in and out --------------------------------------------------------------------------


def with_input(task_id: str, *files: ResourceFile) -> BatchTaskCreateOptions:
    """A task that has resource files and would succeed if it got them."""
    task = task_options(task_id, "/bin/true", retries=2)
    task.resource_files = list(files)
    return task


def with_output(task_id: str, pattern: str, url: str, script: str) -> BatchTaskCreateOptions:
    """A task whose files go to a container."""
    task = task_options(task_id, shell(script), retries=2)
    to = OutputFileDestination(container=OutputFileBlobContainerDestination(container_url=url))
    when = OutputFileUploadConfiguration(upload_condition=OutputFileUploadCondition.TASK_COMPLETION)
    task.output_files = [OutputFile(file_pattern=pattern, destination=to, upload_options=when)]
    return task


def test_input_that_can_not_be_had_and_output_that_is_refused(stored: Penstock) -> None:
    client = stored.client()
    blobs = stored.blobs()
    options = pool_options(unique("pool"), nodes=1, slots=4)
    with (
        Container.made(blobs) as box,
        made_pool(client, options) as pool,
        made_job(client, job_options(unique("job"), pool)) as job,
    ):
        box.put("there.txt", b"hello")
        good = box.blob_url("there.txt")
        spoiled = good.replace("sig=", "sig=AAAA")
        gone = Container(blobs, "never-made")
        tasks = run(
            client,
            job,
            [
                with_input("good", ResourceFile(http_url=good, file_path="a/b/there.txt")),
                with_input("missing", ResourceFile(http_url=box.blob_url("no"), file_path="x")),
                with_input("bad-sas", ResourceFile(http_url=spoiled, file_path="x")),
                with_input("no-container", ResourceFile(storage_container_url=gone.url())),
                with_input(
                    "no-auto", ResourceFile(auto_storage_container_name=f"never{unique('x')}")
                ),
                with_input("no-host", ResourceFile(http_url="http://127.0.0.1:9/x", file_path="x")),
                with_output("kept", "out.txt", box.url(), "echo kept > out.txt"),
                with_output("refused", "*.txt", box.url("r"), "echo x > out.txt; exit 0"),
                with_output("nowhere", "*.txt", gone.url(), "echo x > out.txt; exit 0"),
                with_output("none", "no-such-*.txt", box.url(), "exit 0"),
                with_output("failed-too", "*.txt", box.url("r"), "echo x > out.txt; exit 9"),
            ],
            60,
        )

        assert outcome(tasks["good"]).result == SUCCESS
        assert task_file(client, job, "good", "wd/a/b/there.txt") == b"hello"
        told = failure(tasks["missing"], "BlobNotFound")
        assert "FilePath=x" in details(told)
        failure(tasks["bad-sas"], "BlobAccessDenied")
        failure(tasks["no-container"], "ResourceContainerNotFound")
        failure(tasks["no-auto"], "ResourceContainerNotFound")
        failure(tasks["no-host"], "BlobDownloadMiscError", category="servererror")
        for unfetched in ("missing", "bad-sas", "no-container", "no-auto", "no-host"):
            assert outcome(tasks[unfetched]).exit_code is None
            assert outcome(tasks[unfetched]).retry_count == 0

        assert outcome(tasks["kept"]).result == SUCCESS
        assert box.get("out.txt") == b"kept\n"
        failure(tasks["refused"], "FileUploadAccessDenied")
        failure(tasks["nowhere"], "FileUploadContainerNotFound")
        for unsent in ("refused", "nowhere"):
            assert outcome(tasks[unsent]).exit_code == 0, "the process's own code is kept"
            assert outcome(tasks[unsent]).retry_count == 0
        assert outcome(tasks["none"]).result == SUCCESS, "a pattern without a match is no error"
        assert outcome(tasks["failed-too"]).result == FAILURE
        assert outcome(tasks["failed-too"]).exit_code == 9


def test_input_from_the_auto_storage_without_storage(batch: BatchClient, job: str) -> None:
    task = with_input("t", ResourceFile(auto_storage_container_name="anything"))

    if (told := refusal(lambda: batch.create_task(job, task))) is not None:
        assert told[0] in (400, 409)
    else:
        failure(completed(batch, job, "t"), "ResourceContainerNotFound")


# --- where a task runs -------------------------------------------------------------------------


def test_the_environment_of_a_task(batch: BatchClient, pool: str, plain: Penstock) -> None:
    options = job_options(unique("job"), pool)
    options.common_environment_settings = [
        EnvironmentSetting(name="FROM_JOB", value="job"),
        EnvironmentSetting(name="FROM_BOTH", value="job"),
    ]
    with made_job(batch, options) as job:
        task = task_options("t", "/usr/bin/env")
        task.environment_settings = [
            EnvironmentSetting(name="FROM_BOTH", value="task"),
            EnvironmentSetting(name="LITERAL", value="$HOME `id` 'x'"),
            EnvironmentSetting(name="EMPTY", value=""),
        ]
        ended = run(batch, job, [task])["t"]
        env = dict(line.partition("=")[::2] for line in stdout(batch, job, "t").splitlines())

    node = ended.node_info
    assert node is not None
    root = env["AZ_BATCH_NODE_ROOT_DIR"]
    assert root.startswith(str(plain.data))
    task_dir = f"{root}/workitems/{job}/job-1/t"
    expected = {
        "AZ_BATCH_ACCOUNT_NAME": "devbatchaccount1",
        "AZ_BATCH_ACCOUNT_URL": plain.ready.endpoint,
        "AZ_BATCH_POOL_ID": pool,
        "AZ_BATCH_NODE_ID": node.node_id,
        "AZ_BATCH_NODE_IS_DEDICATED": "true",
        "AZ_BATCH_NODE_ROOT_DIR": root,
        "AZ_BATCH_NODE_SHARED_DIR": f"{root}/shared",
        "AZ_BATCH_NODE_STARTUP_DIR": f"{root}/startup",
        "AZ_BATCH_NODE_STARTUP_WORKING_DIR": f"{root}/startup/wd",
        "AZ_BATCH_NODE_MOUNTS_DIR": f"{root}/fsmounts",
        "AZ_BATCH_JOB_ID": job,
        "AZ_BATCH_TASK_ID": "t",
        "AZ_BATCH_TASK_DIR": task_dir,
        "AZ_BATCH_TASK_WORKING_DIR": f"{task_dir}/wd",
        "FROM_JOB": "job",
        "FROM_BOTH": "task",
        "LITERAL": "$HOME `id` 'x'",
        "EMPTY": "",
    }
    assert {name: env.get(name) for name in expected} == expected
    assert env["AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES"].isdigit()
    assert "PATH" in env
    # What the server and the node host were started with is none of a task's business.
    assert not {"PYTHONPATH", "REQUESTS_CA_BUNDLE", "AZURITE_ACCOUNTS"} & set(env)


def test_the_directories_of_a_task(batch: BatchClient, pool: str, job: str) -> None:
    script = "pwd; echo error >&2; mkdir -p deep/er; echo x > deep/er/x; touch $AZ_BATCH_TASK_DIR/y"
    task = run(batch, job, [task_options("t", shell(script))])["t"]

    assert task.node_info is not None
    node_id = task.node_info.node_id
    assert node_id is not None
    assert task.node_info.pool_id == pool
    assert task.node_info.affinity_id == f"TVM:{node_id}"
    assert task.node_info.task_root_directory == f"workitems/{job}/job-1/t"
    assert stdout(batch, job, "t").strip().endswith(f"/workitems/{job}/job-1/t/wd")
    assert task_file(batch, job, "t", "stderr.txt") == b"error\n"
    names = {file.name for file in batch.list_task_files(job, "t", recursive=True)}
    assert {"stdout.txt", "stderr.txt", "wd", "wd/deep/er/x", "y"} <= names
    below = f"workitems/{job}/job-1/t/wd/deep/er/x"
    assert b"".join(batch.download_node_file(pool, node_id, below)) == b"x\n"


def test_the_node_counts_its_tasks(batch: BatchClient, job: str, pool: str) -> None:
    run(batch, job, [task_options("good", "/bin/true"), task_options("bad", "/bin/false")])

    recent = {
        (info.job_id, info.task_id): info.execution_info
        for node in batch.list_nodes(pool)
        for info in node.recent_tasks or []
    }
    good, bad = recent[job, "good"], recent[job, "bad"]
    assert good is not None
    assert bad is not None
    assert (good.exit_code, bad.exit_code) == (0, 1)
    nodes = list(batch.list_nodes(pool))
    assert sum(node.total_tasks_run for node in nodes) > sum(
        node.total_tasks_succeeded or 0 for node in nodes
    )


def test_a_start_task_that_fails_keeps_tasks_away(batch: BatchClient) -> None:
    from tests.e2e.waiting import eventually

    start = BatchStartTask(command_line=shell("exit 4"), max_task_retry_count=1)
    pool = unique("failing")
    batch.create_pool(pool_options(pool, start_task=start))
    try:
        node = eventually(
            lambda: next(
                (n for n in batch.list_nodes(pool) if n.state == BatchNodeState.START_TASK_FAILED),
                None,
            ),
            20,
            "a node whose start task failed",
        )
        with made_job(batch, job_options(unique("job"), pool)) as job:
            add(batch, job, task_options("t", "/bin/true"))
            assert in_state(batch, job, "t", BatchTaskState.ACTIVE).state == BatchTaskState.ACTIVE
    finally:
        delete_pool(batch, pool)

    info = node.start_task_info
    assert info is not None
    assert info.exit_code == 4
    assert info.retry_count == 1
    assert info.result == FAILURE
    assert info.failure_info is not None
    assert info.failure_info.code == "FailureExitCode"
