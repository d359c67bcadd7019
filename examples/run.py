"""Run an example against a Penstock of its own, and leave nothing running.

    python examples/run.py examples/quickstart.py [WORDS FOR THE EXAMPLE]

The example gets the ready file as its first word. State lives in a temporary directory.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

START_S = 600  # the first start ever may install Azurite
STOP_S = 10


def main(example: str, words: list[str]) -> int:
    """Start `penstock up`, run the example, stop; give the example's exit code."""
    with tempfile.TemporaryDirectory(prefix="penstock-") as directory:
        ready = Path(directory) / "ready.json"
        server = _start(Path(directory), ready)
        try:
            _wait(server, ready, Path(directory) / "server.log")
            code = subprocess.run(
                [sys.executable, example, str(ready), *words], check=False
            ).returncode
            if code > 0:
                print((Path(directory) / "server.log").read_text("utf-8", "replace")[-4000:])
            return code
        finally:
            _stop(server)


def _start(directory: Path, ready: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "penstock", "up", "--port", "0", "--tls-port", "0"]
    command += ["--data", str(directory / "data"), "--ready-file", str(ready)]
    with (directory / "server.log").open("wb") as log:
        # A session of its own: Ctrl-C reaches the example alone, then the server is stopped here.
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _wait(server: subprocess.Popen[bytes], ready: Path, log: Path) -> None:
    until, told = time.monotonic() + START_S, False
    while not ready.exists():
        if server.poll() is not None or time.monotonic() > until:
            sys.exit(f"penstock up did not start:\n{log.read_text('utf-8', 'replace')}")
        if not told and b"Installing" in log.read_bytes():
            print("Installing Azurite, once; this takes half a minute", flush=True)
            told = True
        time.sleep(0.02)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    except KeyboardInterrupt:
        sys.exit(130)
