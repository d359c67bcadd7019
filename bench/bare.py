"""What Python itself can do: the work of `floor.c` in a loop over `os.posix_spawn`.

bare.py DIR N AT_ONCE: runs /bin/true N times below DIR and prints the seconds that it took.
"""

from __future__ import annotations

import os
import sys
import time

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
FLAGS = os.O_WRONLY | os.O_CREAT


def start(task: str) -> None:
    """Make the directories and files of a process, and start it."""
    os.mkdir(task)  # noqa: PTH102  # a Path costs more than the call
    os.mkdir(f"{task}/wd")  # noqa: PTH102
    files = [
        (os.POSIX_SPAWN_OPEN, 1, f"{task}/stdout.txt", FLAGS, 0o644),
        (os.POSIX_SPAWN_OPEN, 2, f"{task}/stderr.txt", FLAGS, 0o644),
    ]
    os.posix_spawn("/bin/true", ["/bin/true"], ENVIRONMENT, file_actions=files)


def main() -> None:
    """Keep processes running until all have run."""
    root, processes, at_once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    began = time.perf_counter()
    running = 0
    for number in range(processes):
        if running == at_once:
            os.waitpid(-1, 0)
            running -= 1
        start(f"{root}/{number}")
        running += 1
    for _ in range(running):
        os.waitpid(-1, 0)
    print(f"{time.perf_counter() - began:.6f}")


if __name__ == "__main__":
    main()
