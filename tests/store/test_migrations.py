"""The schema is made from nothing, brought up to date, and told apart; on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Table, create_engine
from sqlalchemy.pool import NullPool

from keyhole.access.mail import Mail, MailCode
from keyhole.access.resource import Resource
from keyhole.access.share import ApiKey, Origin, Share, ShareChange, ShareKind, Visit
from keyhole.errors import Misconfigured, StoreFailed
from keyhole.store import schema
from keyhole.store.address import parse_url
from keyhole.store.chain import moment
from keyhole.store.database import open_store
from keyhole.store.migrations import Schema, check_schema, migrate, standing
from keyhole.store.rows import columns_of
from tests.store.makers import ASKED, NOW, SIGNING, record, visit
from tests.store.raw import migrate_to, raw


def test_an_empty_database_is_behind_and_then_current(empty_url: str) -> None:
    assert check_schema(empty_url) is Schema.BEHIND
    migrate(empty_url)
    assert check_schema(empty_url) is Schema.CURRENT


async def test_migrating_again_changes_and_loses_nothing(empty_url: str, tmp_path: Path) -> None:
    migrate(empty_url)
    store = open_store(empty_url, SIGNING, tmp_path)
    await store.append([record()])
    migrate(empty_url)
    assert len(await store.timeline("x")) == 0
    assert (await store.verify()).count == 1  # type: ignore[union-attr]
    await store.close()


def test_several_processes_may_migrate_at_once(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(migrate, empty_url) for _ in range(4)]:
            done.result()
    assert check_schema(empty_url) is Schema.CURRENT


def test_the_scripts_names_tell_alembics_revisions() -> None:
    config = Config()
    config.set_main_option("script_location", "keyhole.store:migrations")
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    everything = tuple(script.revision for script in scripts.walk_revisions())
    assert standing(tuple(scripts.get_heads())) is Schema.CURRENT
    assert [standing((each,)) for each in everything[1:]] == [Schema.BEHIND] * (len(everything) - 1)


def test_a_newer_schema_is_ahead_and_left_alone(empty_url: str) -> None:
    migrate(empty_url)
    with raw(empty_url) as run:
        run("UPDATE alembic_version SET version_num = '9999'")
    assert check_schema(empty_url) is Schema.AHEAD
    with pytest.raises(StoreFailed):
        migrate(empty_url)


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    with raw(empty_url) as run:
        run("CREATE TABLE generation (id integer)")
    with pytest.raises(StoreFailed):
        migrate(empty_url)
    with raw(empty_url) as run:
        run("DROP TABLE generation")
    migrate(empty_url)
    assert check_schema(empty_url) is Schema.CURRENT


async def test_what_was_kept_before_recipients_were_asked_for_anything_stays_and_opens(
    empty_url: str, tmp_path: Path
) -> None:
    migrate_to(empty_url, "0002")
    with raw(empty_url) as run:
        run(
            "INSERT INTO shares (id, archive, resources, kind, creator, created_at, expires_at, key_id, generation,"
            " visits, max_visits, deidentification, origin, token_type, bearer, orthanc_ids) VALUES"
            " ('aaaaaaaaaaaaaaaa', 'main', '[[\"main\",2,[\"1.2\"]]]', 'download', 'user:a', 1,"
            " 4000000000000000, 'k', 2, 1, 2, 'none', 'plugin', 'stone-viewer-publication', ?, '[\"o\"]')",
            True,
        )
        run("INSERT INTO share_studies (study, share) VALUES ('1.2', 'aaaaaaaaaaaaaaaa')")
    migrate(empty_url)
    assert check_schema(empty_url) is Schema.CURRENT
    store = open_store(empty_url, SIGNING, tmp_path)
    kept = Share(
        id="aaaaaaaaaaaaaaaa",
        archive="main",
        resources=(Resource.of("main", "1.2"),),
        kind=ShareKind.DOWNLOAD,
        creator="user:a",
        created_at=moment(1),
        expires_at=moment(4 * 10**15),
        key_id="k",
        generation=2,
        visits=1,
        max_visits=2,
        origin=Origin.PLUGIN,
        token_type="stone-viewer-publication",
        bearer=True,
        orthanc_ids=("o",),
    )
    assert await store.shares(study="1.2") == [kept]
    assert await store.mails(kept.id) == []
    assert isinstance(await store.begin_visit(visit(kept), NOW, record()), Share)
    assert await store.change_share(kept.id, ShareChange(conditions=ASKED), record()) == replace(
        kept, visits=2, first_opened_at=NOW, last_opened_at=NOW, conditions=ASKED, bearer=False
    )
    await store.close()


def test_the_migrations_make_what_the_schema_says(empty_url: str) -> None:
    migrate(empty_url)
    engine = create_engine(parse_url(empty_url), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


@pytest.mark.parametrize(
    ("table", "value"),
    [
        (schema.shares, Share),
        (schema.visits, Visit),
        (schema.keys, ApiKey),
        (schema.mails, Mail),
        (schema.mail_codes, MailCode),
    ],
    ids=str,
)
def test_a_table_has_the_fields_of_its_value_in_their_order(table: Table, value: type) -> None:
    assert tuple(column.name for column in table.columns) == columns_of(value)


def test_only_the_owner_may_read_a_new_sqlite_file(sqlite_url: str, tmp_path: Path) -> None:
    migrate(sqlite_url)
    assert (tmp_path / "keyhole.db").stat().st_mode & 0o777 == 0o600


def test_a_missing_sqlite_file_is_behind_and_not_made_by_asking(sqlite_url: str, tmp_path: Path) -> None:
    assert check_schema(sqlite_url) is Schema.BEHIND
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed):
        migrate(f"sqlite:///{tmp_path}/missing/keyhole.db")


def test_a_server_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(StoreFailed):
        check_schema("postgresql://nobody@127.0.0.1:1/nothing")


@pytest.mark.parametrize("url", ["", "keyhole.db", "mysql://u:secret@h/d", "sqlite://", "postgresql+asyncpg://h/d"])
def test_other_addresses_are_refused_without_their_secrets(url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)
