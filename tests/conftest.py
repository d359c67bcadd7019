"""What all test groups share: whoever starts a process sees it end."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest


@pytest.fixture(scope="session", autouse=True)
def no_child_is_left() -> Iterator[None]:
    """Fail the session when a process that it started still lives at its end."""
    yield
    _, alive = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=5)
    left = [" ".join(child.cmdline()) for child in alive if child.is_running()]
    assert not left, f"processes left behind: {left}"
