"""The main job of a Batch user, whole: data up, pool, job, tasks that depend, results down.

Each part `n` is a file of numbers. A task multiplies its part's sum with a factor from a lookup
table; a last task, which depends on all the others by range and by id, adds the products up.
Some tasks fail on purpose, so that the conditions of uploads have something to decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from azure.batch.models import (
    BatchJobCreateOptions,
    BatchMetadataItem,
    BatchPoolCreateOptions,
    BatchStartTask,
    BatchTaskCreateOptions,
    BatchTaskDependencies,
    BatchTaskIdRange,
    EnvironmentSetting,
    OutputFile,
    OutputFileBlobContainerDestination,
    OutputFileDestination,
    OutputFileUploadCondition,
    OutputFileUploadConfiguration,
    ResourceFile,
)

from tests.e2e.storage import Container
from tests.e2e.things import job_options, pool_options, shell, task_options

NODES = 4
SLOTS = 4
FACTORS = {0: 3, 1: 5, 2: 7}
NUMBERS = 50
"""How many numbers a part has."""

WORK = """\
set -eu
token=$(cat "$AZ_BATCH_NODE_SHARED_DIR/token")
factor=$(awk -v k="$KIND" '$1 == k { print $2 }' tables/lookup/factors.txt)
mkdir -p out/deep
awk -v f="$factor" '{ s += $1 } END { print s * f }' "$1" > "out/product-$PART.txt"
echo "$PROJECT $LEVEL $token" > "out/deep/note.log"
echo "part $PART kind $KIND"
echo "to stderr" >&2
"""

MERGE = """\
set -eu
cat results/*/out/product-*.txt | awk '{ s += $1 } END { print s }' > total.txt
ls results | wc -l
"""


def numbers(part: int) -> list[int]:
    """The data of a part."""
    return [(part * 31 + i * 17) % 1009 for i in range(NUMBERS)]


def product(part: int) -> int:
    """What the task of a part has to find."""
    return sum(numbers(part)) * FACTORS[part % len(FACTORS)]


@dataclass(frozen=True, slots=True)
class MainJob:
    """How large it is: `ranged` tasks have numbers for ids, `named` have words."""

    pool_id: str
    job_id: str
    ranged: int
    named: int
    failing: int
    inputs: Container
    tables: Container
    outputs: Container

    @property
    def parts(self) -> dict[str, int]:
        """The number of the part, by the id of its task."""
        by_number = {str(n): n for n in range(1, self.ranged + 1)}
        return by_number | {f"named-{n}": n for n in range(self.ranged + 1, self.size + 1)}

    @property
    def size(self) -> int:
        """How many parts there are."""
        return self.ranged + self.named

    @property
    def bad(self) -> list[str]:
        """The ids of the tasks that fail."""
        return [f"failing-{n}" for n in range(self.failing)]

    @property
    def total(self) -> int:
        """How many tasks there are, the merging one included."""
        return self.size + self.failing + 1

    # --- 1. files up -------------------------------------------------------------------------

    def upload(self) -> None:
        """Put data and programs into the linked storage account."""
        for part in self.parts.values():
            text = "".join(f"{n}\n" for n in numbers(part))
            self.inputs.put(f"data/part-{part}.txt", text.encode())
        self.inputs.put("tools/work.sh", WORK.encode())
        self.inputs.put("tools/merge.sh", MERGE.encode())
        table = "".join(f"{kind} {factor}\n" for kind, factor in FACTORS.items())
        self.tables.put("lookup/factors.txt", table.encode())
        self.tables.put("unwanted/other.txt", b"nobody asked for this\n")
        self.inputs.put("start/token.txt", b"token-of-the-pool\n")

    # --- 2. and 3. pool and job --------------------------------------------------------------

    def pool(self) -> BatchPoolCreateOptions:
        """Nodes whose start task leaves something for all tasks."""
        script = 'cp given/token "$AZ_BATCH_NODE_SHARED_DIR/token"; echo "$GREETING"; sleep 0.3'
        start = BatchStartTask(
            command_line=shell(script),
            resource_files=[
                ResourceFile(
                    http_url=self.inputs.blob_url("start/token.txt"), file_path="given/token"
                )
            ],
            environment_settings=[EnvironmentSetting(name="GREETING", value="hello nodes")],
            wait_for_success=True,
        )
        options = pool_options(self.pool_id, nodes=NODES, slots=SLOTS, start_task=start)
        options.metadata = [BatchMetadataItem(name="purpose", value="the main job")]
        return options

    def job(self) -> BatchJobCreateOptions:
        """A job with settings for all of its tasks."""
        options = job_options(self.job_id, self.pool_id)
        options.priority = 100
        options.uses_task_dependencies = True
        options.common_environment_settings = [
            EnvironmentSetting(name="PROJECT", value="penstock"),
            EnvironmentSetting(name="LEVEL", value="job"),
        ]
        options.metadata = [BatchMetadataItem(name="who", value="a test")]
        return options

    # --- 4. tasks ----------------------------------------------------------------------------

    def tasks(self) -> Sequence[BatchTaskCreateOptions]:
        """All tasks but the merging one."""
        work = [self._work(task_id, part) for task_id, part in self.parts.items()]
        return [*work, *(self._failing(task_id) for task_id in self.bad)]

    def merge(self) -> BatchTaskCreateOptions:
        """The task that waits for all parts."""
        task = task_options("merge", "/bin/sh tools/merge.sh", wall_clock_s=300)
        task.resource_files = [
            self._tools(),
            ResourceFile(storage_container_url=self.outputs.url("rl"), blob_prefix="results/"),
        ]
        task.output_files = [
            self._output(
                "total.txt", "merged/the-total.txt", OutputFileUploadCondition.TASK_SUCCESS
            )
        ]
        task.depends_on = BatchTaskDependencies(
            task_ids=[task_id for task_id in self.parts if task_id.startswith("named-")],
            task_id_ranges=[BatchTaskIdRange(start=1, end=self.ranged)],
        )
        return task

    def _work(self, task_id: str, part: int) -> BatchTaskCreateOptions:
        given = f"in/part-{part}.txt"
        task = task_options(task_id, f"/bin/sh tools/work.sh {given}", retries=1, wall_clock_s=120)
        task.resource_files = [
            ResourceFile(http_url=self.inputs.blob_url(f"data/part-{part}.txt"), file_path=given),
            self._tools(),
            ResourceFile(
                auto_storage_container_name=self.tables.name,
                blob_prefix="lookup/",
                file_path="tables",
            ),
        ]
        task.environment_settings = [
            EnvironmentSetting(name="PART", value=str(part)),
            EnvironmentSetting(name="KIND", value=str(part % len(FACTORS))),
            EnvironmentSetting(name="LEVEL", value="task"),
        ]
        task.output_files = [
            self._output("out/*.txt", f"results/{task_id}", OutputFileUploadCondition.TASK_SUCCESS),
            self._output(
                "../std*.txt", f"logs/{task_id}", OutputFileUploadCondition.TASK_COMPLETION
            ),
            self._output(
                "out/**/*", f"post-mortem/{task_id}", OutputFileUploadCondition.TASK_FAILURE
            ),
        ]
        return task

    def _failing(self, task_id: str) -> BatchTaskCreateOptions:
        script = "mkdir -p out; echo evidence > out/clue.txt; echo wrong >&2; exit 3"
        task = task_options(task_id, shell(script), retries=0)
        task.output_files = [
            self._output("out/*.txt", f"results/{task_id}", OutputFileUploadCondition.TASK_SUCCESS),
            self._output(
                "out/**/*", f"post-mortem/{task_id}", OutputFileUploadCondition.TASK_FAILURE
            ),
        ]
        return task

    def _tools(self) -> ResourceFile:
        return ResourceFile(
            storage_container_url=self.inputs.url("rl"), blob_prefix="tools/", file_mode="0750"
        )

    def _output(self, pattern: str, path: str, when: OutputFileUploadCondition) -> OutputFile:
        container = OutputFileBlobContainerDestination(
            container_url=self.outputs.url("racwl"), path=path
        )
        return OutputFile(
            file_pattern=pattern,
            destination=OutputFileDestination(container=container),
            upload_options=OutputFileUploadConfiguration(upload_condition=when),
        )
