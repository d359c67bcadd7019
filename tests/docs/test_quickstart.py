"""`make quickstart`, which is also the example of the README, does what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.docs.tables import ROOT


def test_the_quickstart_runs_and_leaves_nothing_running(tmp_path: Path) -> None:
    output = tmp_path / "output"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *sys.path]),
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "examples/run.py", "examples/quickstart.py", str(output)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    found = json.loads((output / "total.json").read_text("utf-8"))
    assert found["totals"]["files"] > 300
    assert found["longest"][0][0] > 100
    assert "functions" in (output / "task-1-stdout.txt").read_text("utf-8")
    for words in ("Longest functions", "add to running", "25 tasks on 4 nodes", "Try next"):
        assert words in done.stdout
    running = [it.info["cmdline"] or [] for it in psutil.process_iter(["cmdline"])]
    assert [words for words in running if str(tmp_path) in " ".join(words)] == []
    assert [path.name for path in tmp_path.iterdir()] == ["output"]
