"""`penstock backup` and `penstock restore`: what they refuse, and what they leave as it was."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from penstock.agent.journal import host_id
from penstock.domain.records import NodeRecord
from penstock.launch import backup as backups
from penstock.launch import restore as restores
from penstock.launch.datadir import DataDir, Layout
from penstock.launch.exits import CannotStart, Exit
from penstock.launch.watching import Watch
from penstock.store import sqlite_copy
from penstock.store.contract import StoreDamaged
from penstock.store.sqlite import SCHEMA, SqliteStore
from tests.records import NOW_US
from tests.store import damage

TASKS = 100


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    """The data directory of a server that is stopped."""
    data = DataDir(tmp_path / "data")
    damage.fill(data.database, TASKS)
    data.server_id()
    data.token()
    data.vault()
    data.generated_account.write_text("old account")
    (data.tls / "ca.pem").write_text("old authority")
    return data


@pytest.fixture
def file(tmp_path: Path, data: DataDir) -> Path:
    """A backup of it."""
    backup(data, tmp_path / "backup")
    return tmp_path / "backup"


def backup(layout: Layout, file: Path, *, force: bool = False) -> backups.Backup:
    return backups.backup(layout.root, file, NOW_US, Watch(), force=force)


def restore(file: Path, root: Path, *, force: bool = False) -> restores.Restored:
    return restores.restore(file, root, NOW_US, Watch(), force=force)


def refusal(call: Callable[[], object]) -> tuple[Exit, str]:
    with pytest.raises(CannotStart) as found:
        call()
    return found.value.code, str(found.value)


def names(directory: Path) -> set[str]:
    return {file.name for file in directory.iterdir()}


# --- backup ------------------------------------------------------------------------------------


def test_a_backup_says_what_it_holds(data: DataDir, tmp_path: Path) -> None:
    made = backup(data, tmp_path / "backup")
    assert made.document() == {
        "path": str(tmp_path / "backup"),
        "dataDir": str(data.root),
        "bytes": (tmp_path / "backup").stat().st_size,
        "time": "2023-11-14T22:13:20.0000000Z",
        "schema": SCHEMA,
        "revision": 1,
        "pools": 1,
        "jobs": 1,
        "tasks": TASKS,
    }
    assert "1 pool, 1 job and 100 tasks (revision 1)" in made.text()


def test_a_backup_is_for_its_owner_and_leaves_nothing_else(data: DataDir, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    backup(data, out / "backup")
    assert (out / "backup").stat().st_mode & 0o777 == 0o600
    assert names(out) == {"backup"}
    assert names(data.store) == {"penstock.db"}


def test_a_backup_is_not_overwritten_by_chance(data: DataDir, file: Path) -> None:
    before = file.read_bytes()
    code, reason = refusal(lambda: backup(data, file))
    assert (code, reason) == (Exit.USAGE, f"{file} exists; --force replaces it")
    assert file.read_bytes() == before
    backup(data, file, force=True)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("data", "is a directory"),
        ("nowhere/backup", "no such directory"),
        ("data/store/penstock.db", "is the database itself"),
        ("link", "is the database itself"),
    ],
)
def test_places_where_no_backup_goes(
    data: DataDir, tmp_path: Path, target: str, reason: str
) -> None:
    (tmp_path / "link").symlink_to(data.database)
    before = data.database.read_bytes()
    code, said = refusal(lambda: backup(data, tmp_path / target, force=True))
    assert code == Exit.USAGE
    assert reason in said
    assert data.database.read_bytes() == before


@pytest.mark.parametrize(
    "hurt", [hurt for hurt in damage.DAMAGES if hurt is not damage.only_its_wal]
)
def test_no_backup_is_made_of_what_cannot_be_restored(
    data: DataDir, file: Path, hurt: Callable[[Path], None]
) -> None:
    before = file.read_bytes()
    hurt(data.database)
    code, reason = refusal(lambda: backup(data, file, force=True))
    assert code == Exit.NO_STORE
    assert str(data.database) in reason
    assert reason.endswith("no backup was made")
    assert file.read_bytes() == before
    assert "backup" in names(file.parent)
    assert not [name for name in names(file.parent) if name.startswith(".")]


def test_a_large_damaged_database_is_found_out_by_its_copy(
    data: DataDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.store.sqlite_file.CHECKED_WHOLE_BYTES", 0)
    damage.ruined_page(data.database)
    code, reason = refusal(lambda: backup(data, tmp_path / "backup"))
    assert code == Exit.NO_STORE
    assert "it is damaged" in reason
    assert not (tmp_path / "backup").exists()


def test_where_there_is_no_database(tmp_path: Path) -> None:
    code, reason = refusal(lambda: backup(Layout(tmp_path / "none"), tmp_path / "backup"))
    assert code == Exit.NO_STORE
    assert "penstock.db: it is not there" in reason
    assert not (tmp_path / "none").exists()


# --- restore -----------------------------------------------------------------------------------


def test_what_is_restored_is_what_was_backed_up(data: DataDir, file: Path, tmp_path: Path) -> None:
    restored = restore(file, tmp_path / "new")
    new = Layout(tmp_path / "new")
    assert restored.document() == {
        "path": str(file),
        "dataDir": str(new.root),
        "time": "2023-11-14T22:13:20.0000000Z",
        "replaced": None,
        "schema": SCHEMA,
        "revision": 1,
        "pools": 1,
        "jobs": 1,
        "tasks": TASKS,
    }
    assert "as of 2023-11-14" in restored.text()
    for kept in ("server.id", "agent.token", "vault.key", "account", "tls/ca.pem"):
        assert (new.root / kept).read_bytes() == (data.root / kept).read_bytes()
    assert new.database.stat().st_mode & 0o777 == 0o600
    assert new.agent_token.stat().st_mode & 0o777 == 0o600
    assert new.vault_key.stat().st_mode & 0o777 == 0o600
    assert names(new.store) == {"penstock.db"}
    assert sqlite_copy.mark_of(new.database) is None, "keys are not left in the database"


@pytest.mark.parametrize(
    "hurt", [hurt for hurt in damage.DAMAGES if hurt is not damage.only_its_wal]
)
def test_what_is_no_backup_changes_nothing(
    file: Path, tmp_path: Path, hurt: Callable[[Path], None]
) -> None:
    hurt(file)
    code, reason = refusal(lambda: restore(file, tmp_path / "new"))
    assert code == Exit.NO_BACKUP
    assert reason.startswith(f"{file}: ")
    assert reason.endswith("nothing was restored")
    assert not (tmp_path / "new").exists()


def test_a_backup_that_is_not_there(tmp_path: Path) -> None:
    code, reason = refusal(lambda: restore(tmp_path / "none", tmp_path / "new"))
    assert (code, reason) == (
        Exit.NO_BACKUP,
        f"{tmp_path / 'none'}: there is no such file; nothing was restored",
    )


def test_a_large_damaged_backup_leaves_the_database_that_is_there(
    data: DataDir, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.store.sqlite_file.CHECKED_WHOLE_BYTES", 0)
    damage.ruined_page(file)
    before = data.database.read_bytes()
    code, _ = refusal(lambda: restore(file, data.root, force=True))
    assert code == Exit.NO_BACKUP
    assert data.database.read_bytes() == before
    assert names(data.store) == {"penstock.db"}


def test_a_directory_that_a_server_uses_is_left_alone(data: DataDir, file: Path) -> None:
    data.claim()
    code, reason = refusal(lambda: restore(file, data.root, force=True))
    data.release()
    assert code == Exit.IN_USE
    assert reason.endswith("stop that one first")


def test_a_database_is_replaced_only_by_force_and_kept(data: DataDir, file: Path) -> None:
    before = data.database.read_bytes()
    code, reason = refusal(lambda: restore(file, data.root))
    assert code == Exit.USAGE
    assert "has a database already; --force" in reason
    assert data.database.read_bytes() == before
    wal = data.database.with_name("penstock.db-wal")
    wal.write_bytes(b"commits that were not written back")

    restored = restore(file, data.root, force=True)

    assert restored.replaced == data.store / "replaced.db"
    assert restored.replaced.read_bytes() == before
    assert (data.store / "replaced.db-wal").read_bytes() == b"commits that were not written back"
    assert not wal.exists()
    restore(file, data.root, force=True)
    assert names(data.store) == {"penstock.db", "replaced.db"}, "one is kept, and no more"


def test_a_database_that_is_no_database_any_more_is_replaced(data: DataDir, file: Path) -> None:
    damage.garbage(data.database)
    restore(file, data.root, force=True)
    asyncio.run(SqliteStore.open(data.database).close())


def test_the_database_itself_is_no_backup_of_it(data: DataDir) -> None:
    code, reason = refusal(lambda: restore(data.database, data.root, force=True))
    assert code == Exit.USAGE
    assert "is the database itself" in reason


def test_cut_short_in_the_last_moment_it_starts_no_server(
    data: DataDir, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new database is there, and so are commits of the old one, which must not get into it."""
    wal = data.database.with_name("penstock.db-wal")
    wal.write_bytes(b"commits that were not written back")
    monkeypatch.setattr(Path, "unlink", lambda *_args, **_named: None)
    restore(file, data.root, force=True)
    monkeypatch.undo()
    assert wal.exists()
    with pytest.raises(StoreDamaged, match="belongs to another database"):
        SqliteStore.open(data.database)
    restore(file, data.root, force=True)
    asyncio.run(SqliteStore.open(data.database).close())


def test_keys_that_were_changed_since_stay(data: DataDir, file: Path) -> None:
    data.agent_token.write_text("new token")
    restore(file, data.root, force=True)
    assert data.agent_token.read_text() == "new token"


def test_the_key_of_what_is_sealed_comes_with_its_database(data: DataDir, file: Path) -> None:
    old = data.vault_key.read_bytes()
    data.vault_key.unlink()
    data.vault()
    assert data.vault_key.read_bytes() != old
    restore(file, data.root, force=True)
    assert data.vault_key.read_bytes() == old


def test_a_directory_of_another_server_becomes_that_of_the_backup(
    data: DataDir, file: Path, tmp_path: Path
) -> None:
    other = DataDir(tmp_path / "other")
    other.server_id()
    other.token()
    code, reason = refusal(lambda: restore(file, other.root))
    assert code == Exit.USAGE
    assert "is that of another server" in reason
    restore(file, other.root, force=True)
    assert other.server_id() == data.server_id()
    assert other.token() == data.token()


def test_a_plain_copy_of_a_database_is_taken_by_node_hosts_for_a_new_server(
    data: DataDir, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(data.database.read_bytes())
    before = data.server_id()
    restored = restore(copy, data.root, force=True)
    assert restored.made_us is None
    assert data.server_id() != before


def test_nodes_of_the_old_machine_go_to_the_new_one(data: DataDir, tmp_path: Path) -> None:
    data.node_host.mkdir()
    old = host_id(data.host_id)
    with closing(sqlite3.connect(data.database, isolation_level=None)) as connection:
        connection.execute(
            'UPDATE node SET document = replace(document, \'"host":"host"\', ?)',
            (f'"host":"{old}"',),
        )
    backup(data, tmp_path / "backup")

    restore(tmp_path / "backup", tmp_path / "new")

    here = host_id(Layout(tmp_path / "new").host_id)
    assert here != old, "two node hosts of one machine are not to be taken for one"
    assert [node.host for node in nodes_in(Layout(tmp_path / "new").database)] == [here]


def nodes_in(path: Path) -> list[NodeRecord]:
    async def read() -> list[NodeRecord]:
        store = SqliteStore.open(path)
        saved = await store.load()
        await store.close()
        return list(saved.nodes)

    return asyncio.run(read())
