"""The statements of `sql/sqlite.sql`, by name."""

from __future__ import annotations

from importlib import resources
from typing import Final

SQL_FILES: Final = resources.files("penstock.store") / "sql"


def _statements(text: str) -> dict[str, str]:
    parts = text.split("-- name: ")[1:]
    return {name.strip(): sql.strip() for name, _, sql in (part.partition("\n") for part in parts)}


SQL: Final = _statements((SQL_FILES / "sqlite.sql").read_text("utf-8"))
