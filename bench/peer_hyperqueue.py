"""HyperQueue at the work of `floor.c`, driven by `peers`.

peer_hyperqueue.py WORKERS CPUS DIR: says ready once it has workers; then for each line ``DIR N``
on standard input it runs /bin/true N times below DIR and prints the seconds that it took.
"""

from __future__ import annotations

import os
import sys
import time

from hyperqueue import Client, Job, LocalCluster
from hyperqueue.cluster import WorkerConfig


def took_s(client: Client, root: str, tasks: int) -> float:
    """From handing in to the start of the last task.

    The client looks once a second whether all is done, so the end is taken from the newest
    output file: too early by one task, in this peer's favour.
    """
    job = Job(max_fails=0)
    for number in range(tasks):
        task = f"{root}/{number}"
        job.program(
            ["/bin/true"],
            cwd=f"{task}/wd",
            stdout=f"{task}/stdout.txt",
            stderr=f"{task}/stderr.txt",
        )
    began = time.time()
    submitted = client.submit(job)
    client.wait_for_jobs([submitted])
    client.forget(submitted)
    return max(_made(f"{root}/{number}/stderr.txt") for number in range(tasks)) - began


def _made(file: str) -> float:
    return os.stat(file).st_ctime  # noqa: PTH116


def main() -> None:
    """Have a server and its workers, and carry out what is asked."""
    workers, cpus, directory = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # where HyperQueue prints about itself
    with LocalCluster(directory) as cluster:
        for _ in range(workers):
            cluster.start_worker(WorkerConfig(cores=cpus))
        client = cluster.client()
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            root, tasks = line.rsplit(maxsplit=1)
            print(took_s(client, root, int(tasks)), file=answers, flush=True)


if __name__ == "__main__":
    main()
