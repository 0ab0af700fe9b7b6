"""What is broken is told as such, with a status of its own, and without a traceback."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keyhole.access.subject import Kind
from keyhole.cli import session
from keyhole.cli.speech import plural, size
from tests.cli.transcript import Result, Run

STUDY = "1.2.826.0.1.3680043.8.498.7245.1"


def test_a_damaged_database_is_breakage(environment: Path, here: Run) -> None:
    here(["shares"], "")
    (environment / "keyhole.db").write_bytes(b"no database at all" * 1000)
    for rest in environment.glob("keyhole.db-*"):
        rest.unlink()
    result = here(["shares"], "")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("keyhole: the database failed: ")
    assert "KEYHOLE_DATA" in result.err


def test_a_first_start_makes_the_data_folder_for_its_owner_alone(
    environment: Path, here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = environment / "new" / "data"
    monkeypatch.setenv("KEYHOLE_DATA", str(folder))
    assert here(["shares"], "").status == 0
    assert folder.stat().st_mode & 0o777 == 0o700
    for secret in ("keys.json", "keyhole.db"):
        assert (folder / secret).stat().st_mode & 0o077 == 0


def test_a_damaged_key_file_is_a_matter_of_settings(environment: Path, here: Run) -> None:
    here(["shares"], "")
    (environment / "keys.json").write_text("{}")
    result = here(["shares"], "")
    assert result.status == 2
    assert "put the backup of it back" in result.err


def test_a_name_spelt_wrong_is_told_before_what_is_missing_for_it(
    environment: Path, here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEYHOLE_ARCHIVE")
    monkeypatch.setenv("KEYHOLE_ARCHVE", str(environment))
    told = here(["serve"], "").err.splitlines()
    assert told[0] == "keyhole: KEYHOLE_ARCHVE is no setting: did you mean KEYHOLE_ARCHIVE?"
    assert told[1].startswith("keyhole: KEYHOLE_ARCHIVE is not set")


@pytest.mark.loopback
def test_an_archive_that_is_down_is_breakage(environment: Path, here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYHOLE_ARCHIVE", "http://127.0.0.1:9")
    result = here(["share", STUDY, "--for", "7d"], "")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("keyhole: the archive cannot be reached\n")
    assert "KEYHOLE_ARCHIVE" in result.err


def test_ctrl_c_ends_quietly(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session.Session, "at_desk", interrupted)
    assert here(["shares"], "") == Result(130, "", "")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_a_reader_that_leaves_gets_no_traceback(environment: Path, option: str) -> None:
    command = [sys.executable, "-c", "from keyhole.cli import main; main()", option]
    reading, writing = os.pipe()
    os.close(reading)
    with contextlib.closing(os.fdopen(writing, "wb")) as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.stderr == b""


def test_the_operator_is_an_administrator_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "Anna Maria")
    who = session.operator()
    assert (who.kind, who.name) == (Kind.OPERATOR, "user:Anna_Maria")
    assert "role:administrator" in who.principals


def test_a_user_without_a_name_goes_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError

    monkeypatch.setattr("getpass.getuser", nobody)
    assert session.operator().name == f"user:{os.getuid()}"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (63_000_000, "63.0 MB"),
        (10**13, "10.0 TB"),
        (10**16, "10000.0 TB"),
    ],
)
def test_sizes_are_told_in_decimal_units(count: int, text: str) -> None:
    assert size(count) == text


def test_things_are_counted_in_words() -> None:
    assert [plural(count, "study", "studies") for count in (0, 1, 2)] == ["0 studies", "1 study", "2 studies"]
