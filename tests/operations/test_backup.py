"""A backup made while Keyhole runs holds everything but the keys."""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path

import pytest

from keyhole.gateway import keys_file
from keyhole.sharing.link import KeyRing
from keyhole.store import heads
from keyhole.store.chain import Head
from tests.cli.transcript import Run
from tests.operations.conftest import STUDY


def shared(here: Run, *options: str) -> str:
    return here(["share", STUDY, "--for", "7d", *options], "").out.strip()


def events(here: Run) -> list[str]:
    return [json.loads(line)["event"] for line in here(["trail", "--json"], "").out.splitlines()]


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where backups go."""
    return tmp_path_factory.mktemp("backups")


@pytest.fixture
def link(here: Run) -> str:
    return shared(here)


@pytest.fixture
def backup(link: str, here: Run, elsewhere: Path) -> Path:
    """A backup of one share, with the data it was made of still there."""
    assert link
    file = elsewhere / "keyhole.backup"
    made = here(["backup", str(file)], "")
    assert (made.status, made.out.strip()) == (0, str(file)), made.err
    return file


def key_bytes(ring: KeyRing) -> list[bytes]:
    raw = [*ring.keys.values(), *ring.trail_keys().values()]
    return [form for key in raw for form in (key, base64.b64encode(key), key.hex().encode())]


class TestABackup:
    def test_can_be_read_by_its_owner_alone_and_leaves_nothing_beside_it(self, backup: Path) -> None:
        assert backup.stat().st_mode & 0o777 == 0o600
        assert list(backup.parent.iterdir()) == [backup]

    def test_holds_no_key_and_no_link(self, environment: Path, backup: Path, link: str) -> None:
        content = backup.read_bytes()
        secret = link.partition("#")[2].encode()
        assert not [one for one in (*key_bytes(keys_file.load(environment)), secret, secret[:32]) if one in content]

    def test_holds_the_trail_with_itself_on_it(self, backup: Path) -> None:
        with sqlite3.connect(backup) as kept:
            assert kept.execute("SELECT event FROM trail ORDER BY seq").fetchall() == [("share-created",), ("backup",)]

    def test_is_not_overwritten_unless_told(self, backup: Path, here: Run) -> None:
        before = backup.read_bytes()
        refused = here(["backup", str(backup)], "")
        assert refused.status == 2
        assert "--overwrite" in refused.err
        assert backup.read_bytes() == before
        assert here(["backup", str(backup), "--overwrite"], "").status == 0
        assert backup.read_bytes() != before

    def test_that_fails_leaves_the_one_from_before(
        self, environment: Path, backup: Path, here: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = backup.read_bytes()
        monkeypatch.setattr("keyhole.operations.backup.seal.put", lambda *_, **__: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            here(["backup", str(backup), "--overwrite"], "")
        assert backup.read_bytes() == before
        assert list(backup.parent.iterdir()) == [backup]

    def test_to_nowhere_is_refused(self, here: Run, elsewhere: Path) -> None:
        refused = here(["backup", str(elsewhere / "no" / "file")], "")
        assert (refused.status, refused.out) == (2, "")
        assert "cannot be written" in refused.err

    def test_of_a_broken_trail_is_made_and_says_so(self, environment: Path, here: Run, elsewhere: Path) -> None:
        shared(here)
        with sqlite3.connect(environment / "keyhole.db") as spoilt:
            spoilt.execute("DROP TRIGGER trail_never_updated")
            spoilt.execute("UPDATE trail SET subject = 'user:nobody' WHERE seq = 1")
        spoilt.close()
        made = here(["backup", str(elsewhere / "b")], "")
        assert made.status == 1
        assert "broken: row 1" in made.err
        assert (elsewhere / "b").exists()


class TestABackupOfTheKeys:
    def test_is_the_ring_for_its_owner_alone_with_a_loud_word(
        self, environment: Path, here: Run, elsewhere: Path
    ) -> None:
        made = here(["backup-keys", str(elsewhere / "k")], "")
        assert (made.status, made.out) == (0, f"{elsewhere / 'k'}\n")
        assert "CAN MAKE EVERY LINK" in made.err
        assert (elsewhere / "k").stat().st_mode & 0o777 == 0o600
        assert KeyRing.load((elsewhere / "k").read_text()) == keys_file.load(environment)
        assert [path.name for path in elsewhere.iterdir()] == ["k"]
        assert events(here)[0] == "backup"

    def test_is_not_overwritten_unless_told(self, here: Run, elsewhere: Path) -> None:
        here(["backup-keys", str(elsewhere / "k")], "")
        here(["keys", "rotate"], "")
        assert here(["backup-keys", str(elsewhere / "k")], "").status == 2
        assert here(["backup-keys", str(elsewhere / "k"), "--overwrite"], "").status == 0
        assert len(KeyRing.load((elsewhere / "k").read_text()).keys) == 2


class TestHeadsThatWerePromised:
    HEAD = Head(7, bytes(31) + b"\7")

    def test_begin_anew_once_the_database_is_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "trail.head").write_text("before")
        heads.promise(tmp_path, self.HEAD, "aside")
        heads.settle(tmp_path, lambda head: head == self.HEAD)
        assert heads.Heads(tmp_path).read().heads == (self.HEAD, self.HEAD)
        assert (tmp_path / "trail.head.aside").read_text() == "before"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["trail.head", "trail.head.aside", "trail.heads"]

    def test_stay_when_it_never_came_there(self, tmp_path: Path) -> None:
        (tmp_path / "trail.head").write_text("before")
        heads.promise(tmp_path, self.HEAD, "aside")
        heads.settle(tmp_path, lambda _: False)
        assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("trail.head", "before")]

    def test_set_aside_what_was_there_and_nothing_newer_when_it_was_interrupted(self, tmp_path: Path) -> None:
        (tmp_path / "trail.head").write_text("new")
        (tmp_path / "trail.head.aside").write_text("before")
        heads.promise(tmp_path, self.HEAD, "aside")
        heads.settle(tmp_path, lambda _: True)
        assert (tmp_path / "trail.head.aside").read_text() == "before"
        assert heads.Heads(tmp_path).read().last == self.HEAD
