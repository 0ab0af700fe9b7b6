"""A backup comes back: the stricter of both states, no visit, and a trail that says what became of it."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from keyhole.app import signing
from keyhole.gateway import keys_file
from keyhole.operations.restore import restoration
from keyhole.settings import Settings, load_settings
from keyhole.sharing.link import KeyRing
from keyhole.store import seal
from tests.cli.transcript import Result, Run
from tests.operations.conftest import STUDY
from tests.operations.test_backup import backup, elsewhere, events, link, shared
from tests.servers.keyhole import share_id

__all__ = ["backup", "elsewhere", "link"]


def listed(here: Run) -> dict[str, dict[str, object]]:
    return {row["id"]: row for row in map(json.loads, here(["shares", "--all", "--json"], "").out.splitlines())}


def forget(data: Path) -> None:
    """A new machine, on which only the keys are."""
    for path in data.iterdir():
        if path.is_file() and path.name != keys_file.NAME:
            path.unlink()


def execute(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def restored(here: Run, file: Path, *options: str) -> Result:
    done = here(["restore", str(file), "--yes", *options], "")
    assert done.status == 0, done.err
    return done


class TestIntoAnEmptyPlace:
    def test_it_lists_what_would_live_again_and_waits_for_a_yes(
        self, environment: Path, backup: Path, here: Run, link: str
    ) -> None:
        forget(environment)
        asked = here(["restore", str(backup)], "")
        assert asked.status == 2
        assert share_id(link) in asked.out
        assert "1 share would live again" in asked.err
        assert "add --yes" in asked.err
        assert not (environment / "keyhole.db").exists()

    def test_everything_comes_back_and_the_trail_says_so(
        self, environment: Path, backup: Path, here: Run, link: str
    ) -> None:
        before = listed(here)
        forget(environment)
        restored(here, backup)
        assert listed(here) == before
        assert events(here)[:3] == ["share-created", "backup", "restored"]
        assert here(["trail", "--verify"], "").out.startswith("intact")
        assert link in here(["show", share_id(link), "--link"], "").out
        assert sorted(path.name for path in environment.iterdir() if "restore" in path.name) == []

    def test_all_visits_have_ended(self, environment: Path, backup: Path, here: Run) -> None:
        file = backup.with_name("visited")
        later = int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1_000_000)
        execute(
            environment / "keyhole.db",
            "INSERT INTO visits (id, digest, subject, archive, created_at, ends_at, resources, limited)"
            f" VALUES ('v', x'00', 'user:a', 'main', 1, {later}, '[]', 0)",
        )
        here(["backup", str(file)], "")
        forget(environment)
        assert "1 visit ended" in restored(here, file).err
        with closing(sqlite3.connect(environment / "keyhole.db")) as kept:
            assert kept.execute("SELECT count(*) FROM visits WHERE ended_at IS NULL").fetchone() == (0,)

    def test_shares_are_withdrawn_when_told(self, environment: Path, backup: Path, here: Run, link: str) -> None:
        limited = share_id(shared(here, "--visits", "1", "--force"))
        here(["key", "create", "viewer", "--role", "sharer"], "")
        file = backup.with_name("three")
        here(["backup", str(file)], "")
        forget(environment)
        asked = here(["restore", str(file)], "")
        assert "1 share of a number of openings: how often opened since the backup is not known" in asked.err
        assert "would work again" in asked.err
        restored(here, file, "--withdraw-limited")
        assert {name for name, row in listed(here).items() if row["withdrawn_at"]} == {limited}
        forget(environment)
        restored(here, file, "--withdraw-all")
        assert all(row["withdrawn_at"] for row in listed(here).values())
        assert events(here)[-5:-1] == ["restored", "share-withdrawn", "share-withdrawn", "key-revoked"]
        assert here(["trail", "--verify"], "").status == 0

    def test_a_restored_place_is_backed_up_and_restored_again(self, environment: Path, backup: Path, here: Run) -> None:
        forget(environment)
        restored(here, backup)
        again = backup.with_name("again")
        here(["backup", str(again)], "")
        forget(environment)
        restored(here, again)
        assert events(here).count("restored") == 2


class TestWhereThereIsADatabase:
    def test_it_is_refused_unless_told_and_set_aside(self, environment: Path, backup: Path, here: Run) -> None:
        later = share_id(shared(here))
        refused = here(["restore", str(backup), "--yes"], "")
        assert refused.status == 2
        assert "--replace" in refused.err
        assert later in listed(here)
        done = restored(here, backup, "--replace")
        assert "1 share made since will be gone" in done.err
        assert later not in listed(here)
        aside = next(environment.glob("keyhole.db.before-restore-*"))
        assert aside.stat().st_mode & 0o777 == 0o600
        with closing(sqlite3.connect(aside)) as kept:
            assert (later,) in kept.execute("SELECT id FROM shares").fetchall()

    def test_what_was_withdrawn_since_stays_withdrawn(
        self, environment: Path, backup: Path, here: Run, link: str
    ) -> None:
        here(["revoke", share_id(link)], "")
        done = restored(here, backup, "--replace")
        assert f"share {share_id(link)} was withdrawn since, and stays withdrawn" in done.err
        assert "no share would live again" in done.err
        assert listed(here)[share_id(link)]["withdrawn_at"]
        assert events(here)[-3:-1] == ["restored", "share-withdrawn"]

    def test_a_link_that_was_renewed_since_does_not_come_back(
        self, environment: Path, backup: Path, here: Run, link: str
    ) -> None:
        new = here(["renew", share_id(link), "--new-link"], "").out.strip()
        assert "got a new link since" in restored(here, backup, "--replace").err
        shown = here(["show", share_id(link), "--link"], "").out
        assert new in shown
        assert link not in shown

    def test_a_share_that_was_shortened_stays_short(
        self, environment: Path, backup: Path, here: Run, link: str
    ) -> None:
        here(["renew", share_id(link), "--for", "1h"], "")
        ends = listed(here)[share_id(link)]["expires_at"]
        assert "shortened since" in restored(here, backup, "--replace").err
        assert listed(here)[share_id(link)]["expires_at"] == ends

    def test_openings_since_count(self, environment: Path, backup: Path, here: Run) -> None:
        once = share_id(shared(here, "--visits", "1", "--force"))
        file = backup.with_name("two")
        here(["backup", str(file)], "")
        execute(environment / "keyhole.db", f"UPDATE shares SET visits = 1, last_opened_at = 5 WHERE id = '{once}'")
        assert f"share {once} was opened since" in restored(here, file, "--replace").err
        assert (listed(here)[once]["visits"], listed(here)[once]["max_visits"]) == (1, 1)

    def test_more_openings_that_were_granted_and_used_since_are_used_up(
        self, environment: Path, backup: Path, here: Run
    ) -> None:
        once = share_id(shared(here, "--visits", "1", "--force"))
        file = backup.with_name("two")
        here(["backup", str(file)], "")
        execute(environment / "keyhole.db", f"UPDATE shares SET visits = 2, max_visits = 3 WHERE id = '{once}'")
        restored(here, file, "--replace")
        assert (listed(here)[once]["visits"], listed(here)[once]["max_visits"]) == (2, 2)

    def test_what_recipients_must_show_and_how_often_they_were_wrong_stays(
        self, environment: Path, backup: Path, here: Run, link: str
    ) -> None:
        change = "locked_at = 5, attempts = 5, tried_at = 4, terms = 1"
        execute(environment / "keyhole.db", f"UPDATE shares SET {change} WHERE id = '{share_id(link)}'")
        told = restored(here, backup, "--replace").err
        for words in (
            "was answered since: the attempts count",
            "was locked since, and stays locked",
            "asks for other conditions since: they stand",
        ):
            assert f"share {share_id(link)} {words}" in told
        with closing(sqlite3.connect(environment / "keyhole.db")) as now:
            assert now.execute("SELECT locked_at, attempts, tried_at, terms FROM shares").fetchall() == [(5, 5, 4, 1)]
        assert events(here)[-3:-1] == ["restored", "share-locked"]

    def test_mail_that_waits_in_the_backup_is_not_sent_and_that_is_told(
        self, environment: Path, backup: Path, here: Run, link: str
    ) -> None:
        execute(
            environment / "keyhole.db",
            'INSERT INTO mails (id, share, generation, kind, "to", created_at, due_at, give_up_at, tries)'
            f" VALUES ('m', '{share_id(link)}', 1, 'link', 'm@example.org', 1, 1, {4 * 10**15}, 0)",
        )
        file = backup.with_name("mailing")
        here(["backup", str(file)], "")
        assert "1 mail that waited in the backup will not be sent" in restored(here, file, "--replace").err
        with closing(sqlite3.connect(environment / "keyhole.db")) as now:
            assert now.execute("SELECT sent_at, failed_at > 1 FROM mails").fetchall() == [(None, 1)]
        assert "1 mail not sent" in " ".join(here(["trail"], "").out.split())

    def test_a_key_that_was_revoked_since_stays_revoked(self, environment: Path, here: Run, elsewhere: Path) -> None:
        key = here(["key", "create", "viewer", "--role", "sharer"], "").out.split("_")[1]
        here(["backup", str(elsewhere / "b")], "")
        here(["key", "revoke", key], "")
        assert f"{key} was revoked since" in restored(here, elsewhere / "b", "--replace").err
        listed_keys = [json.loads(line) for line in here(["key", "list", "--json"], "").out.splitlines()]
        assert listed_keys[0]["revoked_at"]

    def test_shares_that_are_not_there_any_more_are_listed(
        self, environment: Path, backup: Path, here: Run, link: str
    ) -> None:
        execute(environment / "keyhole.db", "DELETE FROM shares")
        asked = here(["restore", str(backup), "--replace"], "")
        assert share_id(link) in asked.out

    def test_that_is_damaged_all_are_listed_and_it_is_set_aside_as_it_is(
        self, environment: Path, backup: Path, here: Run, link: str
    ) -> None:
        for rest in environment.glob("keyhole.db-*"):
            rest.unlink()
        (environment / "keyhole.db").write_bytes(b"damaged" * 1000)
        asked = here(["restore", str(backup), "--replace"], "")
        assert share_id(link) in asked.out
        restored(here, backup, "--replace")
        assert here(["trail", "--verify"], "").status == 0
        aside = next(environment.glob("keyhole.db.before-restore-*"))
        assert aside.read_bytes() == b"damaged" * 1000

    def test_the_rows_that_are_lost_are_told_and_the_cut_is_on_the_trail(
        self, environment: Path, backup: Path, here: Run
    ) -> None:
        shared(here)
        asked = here(["restore", str(backup), "--replace"], "")
        assert "the trail has 3 rows now: those after row 2 will not be on it" in asked.err
        restored(here, backup, "--replace")
        rows = [json.loads(line) for line in here(["trail", "--json"], "").out.splitlines()]
        assert (rows[2]["event"], rows[2]["detail"]["rows"], rows[2]["detail"]["rows_before"]) == ("restored", "2", "3")
        assert here(["trail", "--verify", "--json"], "").out.startswith('{"intact": true')
        before = next(environment.glob("trail.head.before-restore-*")).read_text()
        assert int(before.split()[0]) == 3

    def test_a_cut_after_the_restore_is_found(self, environment: Path, backup: Path, here: Run) -> None:
        shared(here)
        restored(here, backup, "--replace")
        execute(
            environment / "keyhole.db",
            "DROP TRIGGER trail_never_deleted",
            "DELETE FROM trail WHERE seq = 3",
            "UPDATE head SET seq = 2, digest = (SELECT digest FROM trail WHERE seq = 2)",
        )
        cut = here(["trail", "--verify"], "")
        assert (cut.status, cut.out) == (1, "broken: row 3 was written, and is gone with all that followed\n")

    def test_the_generation_moves_on(self, environment: Path, backup: Path, here: Run) -> None:
        for _ in range(3):
            shared(here)
        with closing(sqlite3.connect(environment / "keyhole.db")) as present:
            (before,) = present.execute("SELECT value FROM generation").fetchone()
        restored(here, backup, "--replace")
        with closing(sqlite3.connect(environment / "keyhole.db")) as present:
            assert present.execute("SELECT value FROM generation").fetchone()[0] > before

    def test_a_desk_that_is_open_refuses_it(self, environment: Path, backup: Path, here: Run) -> None:
        with closing(sqlite3.connect(environment / "keyhole.db")) as user:
            user.execute("SELECT count(*) FROM shares").fetchall()
            refused = here(["restore", str(backup), "--yes", "--replace"], "")
        assert refused.status == 2
        assert "stop keyhole serve" in refused.err
        assert "restored" not in events(here)

    def test_another_restore_under_way_refuses_it(self, environment: Path, backup: Path, here: Run) -> None:
        with restoration(load_settings(os.environ), backup):
            assert "another restore is under way" in here(["restore", str(backup)], "").err


class TestWhatIsRefused:
    def test_without_the_keys(self, environment: Path, backup: Path, here: Run) -> None:
        forget(environment)
        (environment / keys_file.NAME).unlink()
        refused = here(["restore", str(backup), "--yes"], "")
        assert refused.status == 2
        assert "put the backup of keys.json there first" in refused.err
        assert not (environment / keys_file.NAME).exists(), "no new ring opens a link"

    def test_with_other_keys(self, environment: Path, backup: Path, here: Run) -> None:
        forget(environment)
        keys_file.put(environment, KeyRing.new())
        refused = here(["restore", str(backup), "--yes"], "")
        assert refused.status == 2
        assert "was made with a key that is not in keys.json" in refused.err
        assert not (environment / "keyhole.db").exists()

    def test_keys_that_were_rotated_since_are_the_right_ones(
        self, environment: Path, backup: Path, here: Run, link: str
    ) -> None:
        here(["keys", "rotate"], "")
        restored(here, backup, "--replace")
        assert link in here(["show", share_id(link), "--link"], "").out

    @pytest.mark.parametrize(
        ("content", "said"),
        [(b"", "is no backup"), (b"no backup" * 1000, "is no backup"), (b"SQLite format 3\0" + bytes(5000), "its end")],
        ids=["empty", "something else", "another database"],
    )
    def test_what_is_no_backup(self, environment: Path, here: Run, elsewhere: Path, content: bytes, said: str) -> None:
        here(["keys", "list"], "")
        (elsewhere / "file").write_bytes(content)
        refused = here(["restore", str(elsewhere / "file"), "--yes", "--replace"], "")
        assert refused.status == 2
        assert said in refused.err

    @pytest.mark.parametrize("cut", [1, 1024, 5000])
    def test_what_is_cut_off(self, environment: Path, backup: Path, here: Run, cut: int) -> None:
        backup.write_bytes(backup.read_bytes()[:-cut])
        refused = here(["restore", str(backup), "--yes", "--replace"], "")
        assert refused.status == 2
        assert "its end is missing" in refused.err

    @pytest.mark.parametrize("place", [0.1, 0.5, 0.9, -1000, -700])
    def test_what_was_altered(self, environment: Path, backup: Path, here: Run, place: float) -> None:
        content = bytearray(backup.read_bytes())
        at = int(len(content) * place) if place > 0 else int(place)
        content[at] ^= 1
        backup.write_bytes(content)
        refused = here(["restore", str(backup), "--yes", "--replace"], "")
        assert refused.status == 2
        assert "damaged, or was altered" in refused.err or "is not in keys.json" in refused.err
        assert "restored" not in events(here)

    def test_a_share_that_somebody_has_put_into_it(self, environment: Path, backup: Path, here: Run) -> None:
        """Whoever can write to backups, and knows how digests are made, still lacks the key."""
        content = backup.read_bytes()
        block = json.loads(content[-1024:].split(b" ", 3)[3])
        (backup.with_name("db")).write_bytes(content[:-1024])
        execute(backup.with_name("db"), "UPDATE shares SET expires_at = expires_at * 2")
        altered = backup.with_name("db").read_bytes()
        block |= {"size": len(altered), "content": hashlib.sha256(altered).hexdigest()}
        backup.write_bytes(altered + (b"keyhole backup 1 " + json.dumps(block).encode()).ljust(1023) + b"\n")
        refused = here(["restore", str(backup), "--yes", "--replace"], "")
        assert refused.status == 2
        assert "damaged, or was altered" in refused.err

    def test_a_format_of_a_later_version(self, environment: Path, backup: Path, here: Run) -> None:
        backup.write_bytes(backup.read_bytes().replace(b"keyhole backup 1 ", b"keyhole backup 2 "))
        assert "restore it with a newer version" in here(["restore", str(backup), "--yes", "--replace"], "").err

    def test_a_trail_that_does_not_verify_unless_told(self, environment: Path, here: Run, elsewhere: Path) -> None:
        shared(here)
        execute(
            environment / "keyhole.db",
            "DROP TRIGGER trail_never_updated",
            "UPDATE trail SET subject = 'user:nobody' WHERE seq = 1",
        )
        here(["backup", str(elsewhere / "b")], "")
        forget(environment)
        refused = here(["restore", str(elsewhere / "b"), "--yes"], "")
        assert refused.status == 2
        assert "broken: row 1" in refused.err
        restored(here, elsewhere / "b", "--unverified")


def test_without_the_keys_a_backup_makes_no_link(
    environment: Path, backup: Path, here: Run, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thief serves the database of a backup with a ring of his own: no link that comes out of it is the one sent."""
    forget(environment)
    keys_file.put(environment, KeyRing.new())
    (environment / "keyhole.db").write_bytes(backup.read_bytes()[:-1024])
    assert link not in here(["show", share_id(link), "--link"], "").out
    new = here(["renew", share_id(link), "--new-link"], "").out.strip()
    assert share_id(new) == share_id(link)
    assert new != link


def older(file: Path, settings: Settings) -> None:
    """A backup as the first version's schema had it, with a share."""
    config = Config()
    config.set_main_option("script_location", "keyhole.store:migrations")
    config.set_main_option("path_separator", "os")
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    execute(
        file,
        "INSERT INTO shares (id, archive, resources, kind, creator, created_at, expires_at, key_id, generation, visits,"
        f" deidentification) VALUES ('{'a' * 16}', 'main', '[[\"main\",2,[\"{STUDY}\"]]]', 'view', 'user:a', 1,"
        f" {4 * 10**15},"
        " 'k', 1, 0, 'none')",
    )
    keys = signing(keys_file.load(settings.data))
    seal.put(file, keys, made_at="2026-01-01T00:00:00+00:00", version="0.1.0", rows=0)


def test_a_backup_of_an_older_version_is_brought_up_to_date(environment: Path, here: Run, elsewhere: Path) -> None:
    older(elsewhere / "b", load_settings(os.environ))
    asked = here(["restore", str(elsewhere / "b")], "")
    assert "1 link will not open: their key is not in keys.json" in asked.err
    restored(here, elsewhere / "b")
    assert list(listed(here)) == ["a" * 16]
    assert here(["trail", "--verify"], "").status == 0


def test_a_backup_of_a_newer_version_is_refused(environment: Path, here: Run, elsewhere: Path) -> None:
    older(elsewhere / "b", load_settings(os.environ))
    (elsewhere / "b").write_bytes((elsewhere / "b").read_bytes()[:-1024])
    execute(elsewhere / "b", "UPDATE alembic_version SET version_num = '9999'")
    keys = signing(keys_file.load(environment))
    seal.put(elsewhere / "b", keys, made_at="2026-01-01T00:00:00+00:00", version="99.0", rows=0)
    assert "made by a newer version, 99.0" in here(["restore", str(elsewhere / "b"), "--yes"], "").err
