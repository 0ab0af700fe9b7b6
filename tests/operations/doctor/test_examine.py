"""``keyhole doctor`` as it is typed: what it says, how it ends, what it leaves alone, and what never shows."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import pytest

from keyhole.gateway import keys_file
from keyhole.operations.doctor import archives, database, examine, weak
from keyhole.operations.doctor.finding import Finding
from keyhole.settings import Settings, load_settings
from keyhole.sharing.link import KeyRing
from tests.cli.transcript import FOLDER, Run, play
from tests.operations.conftest import STUDY
from tests.store.raw import tampering

pytestmark = pytest.mark.loopback

TRANSCRIPTS = sorted((FOLDER / "doctor").glob("*.txt"))
GOOD = "kT9vQ2xWz7LmB4nR8sYd"


def told(here: Run, *words: str) -> dict[str, str]:
    """The worst severity by check."""
    order = ["ok", "note", "warning", "error"]
    rows = [json.loads(line) for line in here(["doctor", "--json", *words], "").out.splitlines()]
    return {
        check: max((row["severity"] for row in rows if row["check"] == check), key=order.index)
        for check in {row["check"] for row in rows}
    }


def state(folder: Path) -> dict[str, str]:
    """Every file in *folder*, and what it holds."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_what_is_typed_gives_what_is_shown(path: Path, place: Path, here: Run) -> None:
    play(path, here)


def test_nothing_is_made_where_there_is_nothing(place: Path, here: Run) -> None:
    here(["doctor"], "")
    assert state(place) == {}


def test_nothing_is_changed_where_there_is_something(place: Path, here: Run) -> None:
    here(["share", STUDY, "--for", "7d"], "")
    before = state(place)
    assert told(here)["trail"] == "ok"
    assert state(place) == before


def test_what_is_well_with_a_share_is_told(place: Path, here: Run) -> None:
    here(["share", STUDY, "--for", "7d"], "")
    found = told(here)
    assert {
        name: found[name] for name in ("database-schema", "ring", "ring-lacks", "trail", "folder")
    } == dict.fromkeys(("database-schema", "ring", "ring-lacks", "trail", "folder"), "ok")
    assert "trail-heads" not in found


def test_a_trail_that_somebody_has_worked_on_is_told(place: Path, here: Run) -> None:
    here(["share", STUDY, "--for", "7d"], "")
    with tampering(f"sqlite:///{place}/keyhole.db") as run:
        run("UPDATE trail SET subject = 'user:nobody' WHERE seq = 1")
    assert told(here)["trail"] == "error"


def test_heads_that_were_removed_are_told(place: Path, here: Run) -> None:
    here(["share", STUDY, "--for", "7d"], "")
    for name in ("trail.head", "trail.heads"):
        (place / name).unlink()
    assert told(here)["trail-heads"] == "warning"


def test_links_that_the_ring_cannot_open_are_told(place: Path, here: Run) -> None:
    here(["share", STUDY, "--for", "7d"], "")
    keys_file.put(place, KeyRing.new())
    found = told(here)
    assert (found["ring-lacks"], found["trail"]) == ("error", "error")


@pytest.mark.parametrize("spoil", [lambda path: path.chmod(0o644), lambda path: path.write_text("{}"), Path.unlink])
def test_a_ring_that_cannot_be_used_is_told_and_no_other_is_made(place: Path, here: Run, spoil: object) -> None:
    here(["share", STUDY, "--for", "7d"], "")
    ring = place / keys_file.NAME
    spoil(ring)  # type: ignore[operator]
    before = state(place)
    assert told(here)["ring"] == "error"
    assert state(place) == before


def test_a_database_that_is_none_is_told(place: Path, here: Run) -> None:
    here(["share", STUDY, "--for", "7d"], "")
    (place / "keyhole.db").write_bytes(b"nothing" * 1000)
    result = here(["doctor"], "")
    assert result.status == 2
    assert "its file is no SQLite database" in result.out


def test_a_server_that_is_no_database_is_told(place: Path, here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYHOLE_DATABASE", f"postgresql://keyhole:{GOOD}@127.0.0.1:9/keyhole")
    result = here(["doctor"], "")
    assert result.status == 2
    assert "the database failed" in result.out
    assert GOOD not in result.out + result.err


def test_an_archive_that_is_down_is_told(place: Path, here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYHOLE_ARCHIVE", "http://127.0.0.1:9/dicom-web")
    found = told(here)
    assert (found["archive-answers"], found["archive-open"]) == ("error", "note")


def test_an_archive_without_an_address_is_told(place: Path, here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYHOLE_ARCHIVE", "https://pacs.invalid/dicom-web")
    assert "its name has no address" in here(["doctor"], "").out


def test_settings_that_cannot_work_are_findings_too(place: Path, here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYHOLE_PUBLIC_URL", "localhost")
    monkeypatch.setenv("KEYHOLE_WORKRES", "4")
    assert told(here) == {"settings": "error", "unknown-variable": "warning"}
    assert here(["doctor"], "").status == 2


def test_keys_of_the_file_that_are_none_are_told(
    place: Path, here: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("etc") / "keyhole.toml"
    file.write_text("workres = 4\n")
    result = here(["--config", str(file), "doctor"], "")
    assert result.status == 2
    assert "workres in" in result.out
    assert "did you mean workers?" in result.out


def test_the_exit_status_is_that_of_the_worst(place: Path, here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here(["doctor"], "").status == 2, "there is no viewer"
    monkeypatch.setenv("KEYHOLE_BIND", "off")
    assert here(["doctor"], "").status == 0
    monkeypatch.setenv("KEYHOLE_WORKRES", "4")
    assert here(["doctor"], "").status == 1


def test_quiet_says_nothing_when_nothing_is_wrong(place: Path, here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYHOLE_BIND", "off")
    result = here(["doctor", "--quiet"], "")
    assert (result.status, result.out, result.err) == (0, "", "")


def test_every_part_that_hangs_is_left_and_told(place: Path, here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(*_: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(examine, "LIMIT", 1.0)
    monkeypatch.setattr(archives, "holds", hangs)
    rows = [json.loads(line) for line in here(["doctor", "--json"], "").out.splitlines()]
    assert [row["part"] for row in rows if row["check"] == "unfinished"] == ["archive main"]
    assert {"database", "data folder"} <= {row["part"] for row in rows}


def test_a_fault_of_its_own_is_a_finding_that_quotes_nothing(
    place: Path, here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Settings) -> Iterable[Finding]:
        raise RuntimeError(GOOD)

    monkeypatch.setattr(database, "look", fails)
    result = here(["doctor"], "")
    assert result.status == 2
    assert "looking at this part failed (RuntimeError): database" in result.out
    assert GOOD not in result.out + result.err


def test_names_that_would_steer_a_terminal_are_defused(place: Path, here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYHOLE_\x1b[2J", "1")
    assert "\x1b" not in here(["doctor"], "").out


@pytest.mark.parametrize("words", [["doctor"], ["doctor", "--json"], ["doctor", "--quiet"]], ids=" ".join)
def test_no_secret_of_the_settings_is_ever_shown(
    place: Path, here: Run, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    """Each one different, each one weak, so that each one is spoken of."""
    file = tmp_path_factory.mktemp("etc") / "keyhole.toml"
    file.write_text(
        '[archives.old]\nroot = "http://127.0.0.1:9/old"\nuser = "ou"\npassword = "Swordfish1"\n'
        'headers = "A: Swordfish2"\n'
        '[plugin_callers.one]\nuser = "pu"\npassword = "Swordfish3Swordfish3"\n'
    )
    file.chmod(0o600)
    variables = {
        "KEYHOLE_ARCHIVE": "http://127.0.0.1:9/dicom-web",
        "KEYHOLE_ARCHIVE_USER": "keyhole",
        "KEYHOLE_ARCHIVE_PASSWORD": "Swordfish4",
        "KEYHOLE_ARCHIVE_HEADERS": "X-Key: Bearer Swordfish5",
        "KEYHOLE_DATABASE": "postgresql://keyhole:Swordfish6@127.0.0.1:9/keyhole",
        "KEYHOLE_METRICS_TOKEN": "Swordfish7Swordfish7",
        "KEYHOLE_ARCHIVE_PASSWROD": "Swordfish8",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    keys_file.load(place)
    ring = json.loads((place / keys_file.NAME).read_text())
    result = here(["--config", str(file), *words], "")
    assert result.status == 2
    assert result.out.count("short, or made of words") >= 6
    secrets = {each.value for each in weak.named(load_settings({**dict(_environment()), **variables}, file))}
    assert len(secrets) >= 7
    for secret in {*secrets, "Swordfish", *ring["keys"].values()}:
        assert secret not in result.out + result.err


def _environment() -> Iterable[tuple[str, str]]:

    return ((name, value) for name, value in os.environ.items() if name.startswith("KEYHOLE_"))


def test_rights_of_the_data_folder_are_looked_at(place: Path, here: Run) -> None:
    place.chmod(0o755)
    assert told(here)["data-folder"] == "warning"
    place.chmod(stat.S_IRWXU)
    assert told(here)["data-folder"] == "ok"
