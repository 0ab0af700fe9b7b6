"""Backups of real servers under load, moves from one database to the other, and restores that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from keyhole.gateway import keys_file
from tests.cli.transcript import Run
from tests.operations.conftest import STUDY
from tests.operations.test_backup import elsewhere, events, shared
from tests.operations.test_restore import execute, forget, listed, restored
from tests.servers.keyhole import COMMAND, Keyhole, keyhole, share_id

__all__ = ["elsewhere"]

pytestmark = pytest.mark.e2e


@dataclass
class Writers:
    """Four who open links all the time, and what was answered for."""

    server: Keyhole
    links: list[str]
    visits: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def write(self) -> None:
        while not self.over.is_set():
            for link in self.links:
                self.visits.append(self.server.open(link).id)

    @contextmanager
    def writing(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.write) for _ in range(4)]
        with ExitStack() as stack:
            for thread in threads:
                thread.start()
                stack.callback(thread.join)
            stack.callback(self.over.set)
            yield


def another_machine(
    folder: Path, archive: Mapping[str, str], keys: Path, database: str | None = None
) -> dict[str, str]:
    """The environment of a machine that has nothing but the backup of the keys."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / keys_file.NAME).touch(mode=0o600)
    (folder / "data" / keys_file.NAME).write_text(keys.read_text())
    where = {"KEYHOLE_DATA": str(folder / "data"), "KEYHOLE_PUBLIC_URL": "http://127.0.0.1:1", **archive}
    return {**os.environ, **where, **({"KEYHOLE_DATABASE": database} if database else {})}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_was_answered_for_before_a_backup_is_in_it_while_four_go_on_writing(
    tmp_path: Path, archive: Mapping[str, str], kind: str, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue("postgresql_url") if kind == "postgresql" else None
    file, keys = tmp_path / "backup", tmp_path / "keys"
    with keyhole(tmp_path, archive, database=database) as server:
        writers = Writers(server, [server.share(STUDY), server.share(STUDY)])
        server.run("backup-keys", str(keys))
        with writers.writing():
            time.sleep(1)
            before = set(writers.visits)
            assert "intact" in server.run("backup", str(file)).stderr
            during = len(writers.visits) - len(before)
        assert during > 0
        content = file.read_bytes()
        assert not [secret for secret in server.secrets if secret.encode() in content]
        visit = server.open(writers.links[0])
    environment = another_machine(tmp_path / "again", archive, keys)
    subprocess.run([COMMAND, "restore", file, "--yes"], env=environment, check=True, timeout=120)
    with keyhole(tmp_path / "again", archive) as again:
        told = {row["visit"] for row in again.trail() if row["event"] == "visit-begun"}
        assert before <= told
        again.verify_trail()
        again.open(writers.links[0].replace(server.public_url, again.public_url))
        assert again.get(f"{visit.below}dicom-web/studies", visit.as_cookie).status in (401, 403, 410)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_running_server_refuses_a_restore(
    tmp_path: Path, archive: Mapping[str, str], kind: str, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue("postgresql_url") if kind == "postgresql" else None
    with keyhole(tmp_path, archive, database=database) as server:
        link = server.share(STUDY)
        server.run("backup", str(tmp_path / "b"))
        refused = server.run("restore", str(tmp_path / "b"), "--yes", "--replace", fails=True)
        assert "the database is in use" in refused.stderr
        server.open(link)


def test_a_backup_goes_from_sqlite_to_postgresql_and_back(
    environment: Path, here: Run, elsewhere: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = shared(here)
    here(["backup", str(elsewhere / "1")], "")
    forget(environment)
    monkeypatch.setenv("KEYHOLE_DATABASE", postgresql_url)
    restored(here, elsewhere / "1")
    assert here(["trail", "--verify"], "").status == 0
    assert link in here(["show", share_id(link), "--link"], "").out
    assert here(["backup", str(elsewhere / "2")], "").status == 0
    monkeypatch.delenv("KEYHOLE_DATABASE")
    forget(environment)
    restored(here, elsewhere / "2")
    assert here(["trail", "--verify"], "").status == 0
    assert events(here).count("restored") == 2
    assert link in here(["show", share_id(link), "--link"], "").out


def test_on_postgresql_the_stricter_state_is_kept_and_the_tables_from_before_are_set_aside(
    environment: Path, here: Run, elsewhere: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYHOLE_DATABASE", postgresql_url)
    stays, withdrawn = share_id(shared(here)), share_id(shared(here))
    here(["backup", str(elsewhere / "b")], "")
    here(["revoke", withdrawn], "")
    lost = share_id(shared(here))
    assert "--replace" in here(["restore", str(elsewhere / "b"), "--yes"], "").err
    assert lost in listed(here)
    done = restored(here, elsewhere / "b", "--replace")
    assert f"share {withdrawn} was withdrawn since, and stays withdrawn" in done.err
    assert {name for name, row in listed(here).items() if not row["withdrawn_at"]} == {stays}
    assert here(["trail", "--verify"], "").status == 0
    with psycopg.connect(postgresql_url) as connection:
        found = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'keyhole_before%'").fetchall()
        assert len(found) == 1
        kept = connection.execute(f"SELECT id FROM {found[0][0]}.shares".encode()).fetchall()
        assert (lost,) in kept
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM trail")


def test_another_node_notices_that_the_generation_has_moved(
    environment: Path, here: Run, elsewhere: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYHOLE_DATABASE", postgresql_url)
    shared(here)
    here(["backup", str(elsewhere / "b")], "")
    shared(here)
    with closing(psycopg.connect(postgresql_url, autocommit=True)) as node:
        node.execute("LISTEN keyhole_generation")
        before = node.execute("SELECT value FROM generation").fetchone()
        restored(here, elsewhere / "b", "--replace")
        after = node.execute("SELECT value FROM generation").fetchone()
        assert before is not None
        assert after is not None
        assert after[0] > before[0]
        assert list(node.notifies(timeout=5, stop_after=1))


def test_a_node_with_heads_from_before_is_told_of_the_restore(
    environment: Path,
    here: Run,
    elsewhere: Path,
    postgresql_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.setenv("KEYHOLE_DATABASE", postgresql_url)
    shared(here)
    here(["backup", str(elsewhere / "b")], "")
    other = tmp_path_factory.mktemp("node")
    (other / keys_file.NAME).touch(mode=0o600)
    (other / keys_file.NAME).write_text((environment / keys_file.NAME).read_text())
    monkeypatch.setenv("KEYHOLE_DATA", str(other))
    for _ in range(3):
        shared(here)
    monkeypatch.setenv("KEYHOLE_DATA", str(environment))
    restored(here, elsewhere / "b", "--replace")
    assert here(["trail", "--verify"], "").status == 0
    monkeypatch.setenv("KEYHOLE_DATA", str(other))
    told = here(["trail", "--verify"], "")
    assert told.status == 1
    assert "a backup was restored before row 3" in told.err
    for name in ("trail.head", "trail.heads"):
        (other / name).rename(other / f"{name}.before")
    assert here(["trail", "--verify"], "").status == 0


def filled(database: str | None, data: Path) -> None:
    """Enough rows that there is a middle to be killed in."""
    visits = "SELECT 'v' || n, 'x', 'user:a', 'main', 1, 2, '[]', {0} FROM {1}"
    columns = "INSERT INTO visits (id, digest, subject, archive, created_at, ends_at, resources, limited)"
    if database:
        with psycopg.connect(database) as connection:
            connection.execute(f"{columns} {visits.format('false', 'generate_series(1, 20000) AS n')}".encode())
    else:
        numbers = "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000) SELECT n FROM c)"
        execute(data / "keyhole.db", f"{columns} {visits.format('0', numbers)}")


KILLED = """
import importlib, os, signal, sys
from keyhole.cli import run
module, name, calls, *words = sys.argv[1:]
place = importlib.import_module(module)
*outer, name = name.split(".")
for each in outer:
    place = getattr(place, each)
real, left = getattr(place, name), int(calls)
def called(*given, **named):
    global left
    result = real(*given, **named)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(place, name, called)
sys.exit(run(words))
"""
"""The command line, killed right after a function was called so many times."""

OLD, NEW = True, False
MOMENTS = {
    "before the place is taken": ("keyhole.store.stricter", "end_visits", 1, OLD),
    "before the heads are promised": ("keyhole.store.portable", "head_of", 1, OLD),
    "after the heads are promised": ("keyhole.store.heads", "promise", 1, OLD),
    "before the heads begin anew": ("keyhole.app", "check_schema", 1, NEW),
    "while the heads begin anew": ("keyhole.store.heads", "_set_aside", 1, NEW),
    "after one head has begun anew": ("keyhole.store.heads", "_write", 2, NEW),
    "after both heads have": ("keyhole.store.heads", "_write", 3, NEW),
}
SQLITE = {
    "after the old one was copied": ("keyhole.store.place", "copy_pages", 1, OLD),
    "after the pages were copied": ("keyhole.store.place", "_File._overwrite", 1, NEW),
}
POSTGRESQL = {
    "after the tables were set aside": ("keyhole.store.place", "_Served._set_aside", 1, OLD),
    "after the rows were copied": ("keyhole.store.place", "copy_rows", 1, OLD),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_restore_that_is_killed_leaves_the_old_or_the_new(
    environment: Path,
    here: Run,
    elsewhere: Path,
    kind: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database = request.getfixturevalue("postgresql_url") if kind == "postgresql" else None
    if database:
        monkeypatch.setenv("KEYHOLE_DATABASE", database)
    first = share_id(shared(here))
    filled(database, environment)
    here(["backup", str(elsewhere / "b")], "")
    words = ["restore", str(elsewhere / "b"), "--yes", "--replace"]
    for moment, (module, name, calls, old) in {**MOMENTS, **(POSTGRESQL if database else SQLITE)}.items():
        later = share_id(shared(here))
        place = [module, name, str(calls)]
        done = subprocess.run([sys.executable, "-c", KILLED, *place, *words], check=False, timeout=120)
        assert done.returncode == -signal.SIGKILL, moment
        verified = here(["trail", "--verify"], "")
        assert verified.status == 0, f"{moment}: {verified.out}"
        assert set(listed(here)) == ({first, later} if old else {first}), moment
        here(["revoke", later], "")
        restored(here, elsewhere / "b", "--replace")
    assert not (environment / "restore.unfinished").exists()
    assert not (environment / "trail.restart").exists()


@pytest.mark.slow
def test_a_restore_that_is_killed_in_the_middle_of_a_page_leaves_the_old(
    environment: Path, here: Run, elsewhere: Path
) -> None:
    shared(here)
    filled(None, environment)
    here(["backup", str(elsewhere / "b")], "")
    later = share_id(shared(here))
    killed = KILLED.replace("sys.exit", IN_THE_MIDDLE + "sys.exit")
    words = ["os", "getpid", "-1", "restore", str(elsewhere / "b"), "--yes", "--replace"]
    done = subprocess.run([sys.executable, "-c", killed, *words], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert later in listed(here)
    assert here(["trail", "--verify"], "").status == 0


IN_THE_MIDDLE = """
import contextlib
import keyhole.cli.backup
def bar(title):
    return lambda done, total: title == "restoring" and 0 < done < total and os.kill(os.getpid(), signal.SIGKILL)
keyhole.cli.backup.bars = lambda: contextlib.nullcontext(bar)
"""
"""A progress bar that kills."""
