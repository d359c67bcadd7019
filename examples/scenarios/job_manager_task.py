"""What the manager of job_manager.py does on its node: count primes, a task for each part.

It knows its job from its environment, as every task does, and the account from settings that it
was given. Besides the parts it adds a task that never ends, which shows that all that still runs
ends with the manager.
"""

from __future__ import annotations

import os
import shlex
import time
from typing import Final

from azure.batch import BatchClient
from azure.batch.models import BatchTaskCreateOptions
from azure.core.credentials import AzureNamedKeyCredential

PATIENCE_S: Final = 120
PROGRAM: Final = """
first, last = {first}, {last}
print(sum(n > 1 and all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(first, last)))
"""


def part(number: int, first: int, last: int) -> BatchTaskCreateOptions:
    """A task that counts the primes of a part."""
    program = PROGRAM.format(first=first, last=last)
    return BatchTaskCreateOptions(
        id=f"part-{number}", command_line=f"python3 -c {shlex.quote(program)}"
    )


def wait(batch: BatchClient, job_id: str, task_id: str) -> None:
    """Wait until a task has succeeded; raises RuntimeError where it did not."""
    until = time.monotonic() + PATIENCE_S
    while (task := batch.get_task(job_id, task_id)).state != "completed":
        if time.monotonic() > until:
            raise RuntimeError(f"{task_id} is {task.state} after {PATIENCE_S} s")
        time.sleep(0.1)
    if task.execution_info.result != "success":
        raise RuntimeError(f"{task_id} failed")


def main() -> None:
    """Add the parts, wait, and print the sum of what they found."""
    settings = os.environ
    job_id = settings["AZ_BATCH_JOB_ID"]
    up_to, parts = int(settings["UP_TO"]), int(settings["PARTS"])
    credential = AzureNamedKeyCredential(settings["BATCH_ACCOUNT"], settings["BATCH_KEY"])
    with BatchClient(settings["BATCH_ENDPOINT"], credential) as batch:
        cuts = [up_to * number // parts for number in range(parts + 1)]
        tasks = [part(n, cuts[n], cuts[n + 1]) for n in range(parts)]
        endless = BatchTaskCreateOptions(id="endless", command_line="sleep 1000")
        batch.create_tasks(job_id, [endless, *tasks])
        total = 0
        for task in tasks:
            wait(batch, job_id, task.id)
            said = b"".join(batch.download_task_file(job_id, task.id, "stdout.txt"))
            total += int(said)
    print(f"{total} primes below {up_to}")


if __name__ == "__main__":
    main()
