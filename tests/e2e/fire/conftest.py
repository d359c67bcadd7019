"""What the tests of this group share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.fire.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger."""
    return Ledger.below(tmp_path)
