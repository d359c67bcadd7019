"""Azurite, installed once into the user's cache.

The version is pinned, and with it what was tested. The telemetry client that Azurite depends on
is replaced by an empty package: it is most of the download, and nothing is to be sent anywhere.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penstock.launch import node_js

VERSION: Final = "3.37.0"
_NPM_FLAGS: Final = ("install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
_NPM_TIME_S: Final = 600
_TRIES: Final = 2

Busy = Callable[[str], AbstractContextManager[object]]
"""Shows a text to a person while something long goes on."""


class AzuriteUnavailable(Exception):
    """There can be no Azurite here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What is needed to start Azurite's blob service."""

    node: Path
    main: Path


def cache_root(env: Mapping[str, str], home: Path) -> Path:
    """The user's cache directory of this program."""
    base = env.get("XDG_CACHE_HOME") or ""
    return (Path(base) if base.startswith("/") else home / ".cache") / "penstock"


def user_cache() -> Path:
    """The cache directory of whoever runs this process."""
    return cache_root(os.environ, Path.home())


def ensure(cache: Path, busy: Busy = nullcontext) -> Installation:
    """Give the installation, made first where needed. Raises AzuriteUnavailable.

    Safe for several processes at once: one installs, the others wait for it.
    """
    final = cache / f"azurite-{VERSION}"
    if found := _installed(final):
        return found
    nodejs = node_js.find()
    if nodejs is None:
        raise AzuriteUnavailable(
            "Azurite needs node.js with npm, version "
            f"{node_js.OLDEST} or newer: install it, or `pip install 'penstock[azurite]'`, "
            "or go without storage: `penstock up --storage none`"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with busy(f"Installing Azurite {VERSION} into {cache} (once)"), _locked(cache / "lock"):
        if not (found := _installed(final)):
            _install(nodejs, final)
            found = _installed(final)
    if not found:
        raise AzuriteUnavailable(f"npm installed something else than Azurite below {final}")
    return found


def _installed(final: Path) -> Installation | None:
    """What is complete in `final`; node.js is looked for again when the one in use is gone."""
    main = final / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    try:
        node = Path((final / "node.path").read_text("utf-8"))
    except FileNotFoundError:
        return None
    if not node.exists():
        nodejs = node_js.find()
        if nodejs is None:
            return None
        node = nodejs.node
    return Installation(node, main) if main.exists() else None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(nodejs: node_js.NodeJs, final: Path) -> None:
    """Install beside `final`, then rename, so that `final` is never half of it."""
    fresh = Path(tempfile.mkdtemp(dir=final.parent, prefix=".azurite-"))
    try:
        _write_package(fresh)
        _run_npm(nodejs, fresh)
        (fresh / "node.path").write_text(str(nodejs.node), "utf-8")
        shutil.rmtree(final, ignore_errors=True)
        fresh.rename(final)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _write_package(directory: Path) -> None:
    stub = directory / "stub"
    stub.mkdir()
    (stub / "index.js").write_text("module.exports = {}\n", "utf-8")
    about = {"name": "applicationinsights", "version": "3.16.0", "main": "index.js"}
    (stub / "package.json").write_text(json.dumps(about), "utf-8")
    package = {
        "private": True,
        "dependencies": {"azurite": VERSION},
        "overrides": {"applicationinsights": "file:./stub"},
    }
    (directory / "package.json").write_text(json.dumps(package), "utf-8")


def _run_npm(nodejs: node_js.NodeJs, directory: Path) -> None:
    path = f"{nodejs.node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    said = ""
    for _ in range(_TRIES):
        try:
            done = subprocess.run(
                [*nodejs.npm, *_NPM_FLAGS],
                cwd=directory,
                env={**os.environ, "PATH": path, "npm_config_update_notifier": "false"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_NPM_TIME_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            said = f"npm did not end within {_NPM_TIME_S} s"
            continue
        if done.returncode == 0:
            return
        said = (done.stderr or done.stdout).strip()[-1500:]
    raise AzuriteUnavailable(f"npm could not install Azurite {VERSION}:\n{said}")


if __name__ == "__main__":
    import sys

    try:
        ensure(user_cache(), lambda text: nullcontext(print(text, flush=True)))
    except AzuriteUnavailable as reason:
        sys.exit(f"penstock: {reason}")
