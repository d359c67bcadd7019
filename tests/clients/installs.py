"""Clients, installed once into the user's cache: a virtual environment or an npm directory each.

The directory's name holds the client, its version, the interpreter and what was asked for, so
that a change of any of these makes another one. It is made in place, for the programs in a virtual
environment name it, and a stamp that is written last says that it is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from penstock.launch import node_js
from tests.clients.interpreters import nearest

INSTALL_S: Final = 1200
_PIP: Final = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", "--quiet")
_NPM: Final = ("install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
_STAMP: Final = "whole"

Say = Callable[[str], object]
"""Shows a line of progress."""


class CannotInstall(Exception):
    """There can be no such client here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What a user would install."""

    name: str
    version: str
    packages: tuple[str, ...]
    """As pip takes them, or as npm does; the client's own with its version among them."""
    source: Literal["pip", "npm"] = "pip"
    python: str | None = None
    """The version it was made for; None takes the Python that runs the tests."""


@dataclass(frozen=True, slots=True)
class Install:
    """An installed client."""

    client: Client
    directory: Path
    runner: Path
    """The python or node that runs its scripts."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What has to be in the environment of these."""

    def program(self, name: str) -> Path:
        """A program that came with the client."""
        place = "bin" if self.client.source == "pip" else "node_modules/.bin"
        return self.directory / place / name


def user_cache() -> Path:
    """Where clients are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "penstock" / "clients"


def ensure(client: Client, say: Say = print, cache: Path | None = None) -> Install:
    """Give the client, installed first where needed. Raises CannotInstall.

    Safe for several processes at once: one installs, the others wait for it.
    """
    cache = cache or user_cache()
    cache.mkdir(parents=True, exist_ok=True)
    return (_with_pip if client.source == "pip" else _with_npm)(client, say, cache)


def _with_pip(client: Client, say: Say, cache: Path) -> Install:
    python = nearest(client.python)
    directory = cache / _name(client, f"py{python}")
    install = Install(client, directory, directory / "bin" / "python")

    def make() -> None:
        pip = [str(install.runner), *_PIP]
        bare = []
        if str(python.path) == sys.executable and find_spec("pip"):
            # the pip at hand does it, too, and saves half of the time
            pip = [sys.executable, *_PIP, "--python", str(install.runner)]
            bare = ["--without-pip"]
        _run([str(python.path), "-m", "venv", *bare, str(directory)], client)
        _run([*pip, "install", *client.packages], client)

    _once(install, say, f"Installing {client.name} {client.version} for Python {python}", make)
    return install


def _with_npm(client: Client, say: Say, cache: Path) -> Install:
    nodejs = node_js.find()
    if nodejs is None:
        raise CannotInstall(f"{client.name} needs node.js {node_js.OLDEST} or newer, with npm")
    directory = cache / _name(client, "npm")
    modules = {"NODE_PATH": str(directory / "node_modules")}
    install = Install(client, directory, nodejs.node, modules)

    def make() -> None:
        directory.mkdir()
        (directory / "package.json").write_text(json.dumps({"private": True}), "utf-8")
        path = f"{nodejs.node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        words = [*nodejs.npm, *_NPM, *client.packages]
        _run(words, client, cwd=directory, PATH=path, npm_config_update_notifier="false")

    _once(install, say, f"Installing {client.name} {client.version} with npm", make)
    return install


def _name(client: Client, runner: str) -> str:
    asked = hashlib.sha256("\n".join(client.packages).encode()).hexdigest()[:8]
    return f"{client.name.replace('/', '-').strip('@')}-{client.version}-{runner}-{asked}"


def _once(install: Install, say: Say, what: str, make: Callable[[], None]) -> None:
    """Make the directory where it is not whole; a part of one is taken away first and after."""
    directory = install.directory
    if _whole(install):
        return
    with _locked(directory.with_name(f".{directory.name}.lock")):
        if _whole(install):
            return
        say(f"{what} into {directory} (once)")
        shutil.rmtree(directory, ignore_errors=True)
        try:
            make()
            (directory / _STAMP).touch()
        finally:
            if not _whole(install):
                shutil.rmtree(directory, ignore_errors=True)


def _whole(install: Install) -> bool:
    """Whether all is there; the Python behind a virtual environment may have gone since."""
    return (install.directory / _STAMP).exists() and install.runner.exists()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(words: Sequence[str], client: Client, cwd: Path | None = None, **environment: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env={**kept, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(f"{client.name} {client.version}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        errors = [line for line in said if "error" in line.lower()] or said
        raise CannotInstall(f"{client.name} {client.version}: {' '.join(errors)[:600]}")
