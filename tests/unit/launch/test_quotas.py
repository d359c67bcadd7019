"""From settings to the quotas of each account."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.config import Config, ConfigRefused, read_file
from penstock.engine.settings import Quotas
from penstock.launch.assembly import quotas_of

FILE = """
dedicated_core_quota = 10
low_priority_core_quota = 20
pool_quota = 3
active_job_quota = 4

[[accounts]]
name = "usual"
keys = ["QUJD"]

[[accounts]]
name = "special"
keys = ["QUJD"]
dedicated_core_quota = 99
pool_quota = 0
"""


def test_an_account_may_have_its_own(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text(FILE)
    config = Config.read(read_file(file), {})
    usual, special = config.accounts

    common = Quotas(dedicated_cores=10, low_priority_cores=20, pools=3, active_jobs=4)
    assert quotas_of(config) == common
    assert quotas_of(config, usual) == common
    assert quotas_of(config, special) == Quotas(
        dedicated_cores=99, low_priority_cores=20, pools=0, active_jobs=4
    )
    assert quotas_of(Config()) == Quotas(), "there are none unless they are set"


def test_a_quota_is_no_debt() -> None:
    with pytest.raises(ConfigRefused, match="pool_quota"):
        Config.read({"pool_quota": -1}, {})
