"""Dask distributed at the work of `floor.c`, driven by `peers`.

peer_dask.py WORKERS THREADS DIR: says ready once it has workers; then for each line ``DIR N`` on
standard input it runs /bin/true N times below DIR and prints the seconds that it took.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time

import dask
from distributed import Client, LocalCluster, wait


def run(task: str) -> None:
    """One task, as one would write it for Dask."""
    os.makedirs(f"{task}/wd")  # noqa: PTH103
    with open(f"{task}/stdout.txt", "wb") as out, open(f"{task}/stderr.txt", "wb") as err:
        subprocess.run(
            ["/bin/true"],
            cwd=f"{task}/wd",
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            check=True,
        )


def took_s(client: Client, root: str, tasks: int) -> float:
    """From the first task to the last one's end."""
    began = time.perf_counter()
    futures = client.map(run, [f"{root}/{number}" for number in range(tasks)], pure=False)
    done = wait(futures).done
    ended = time.perf_counter()
    assert {future.status for future in done} == {"finished"}
    return ended - began


def main() -> None:
    """Have a cluster without a dashboard, and carry out what is asked."""
    workers, threads, directory = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    dask.config.set({"distributed.worker.profile.enabled": False})
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=threads,
            processes=True,
            dashboard_address=None,
            local_directory=directory,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(workers)
        print("ready", flush=True)
        for line in sys.stdin:
            root, tasks = line.rsplit(maxsplit=1)
            print(took_s(client, root, int(tasks)), flush=True)


if __name__ == "__main__":
    main()
