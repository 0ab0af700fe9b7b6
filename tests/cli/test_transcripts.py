"""What is typed and what comes out, as tests/transcripts/*.txt shows it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.transcript import FOLDER, Result, Run, play

TRANSCRIPTS = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_what_is_typed_gives_what_is_shown(
    path: Path, here: Run, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(environment)  # where files go that are named without a folder
    play(path, here)


@pytest.mark.e2e
@pytest.mark.parametrize("name", ["program", "share", "renew"])  # a process each time: some stand for all
def test_the_program_itself_gives_the_same(name: str, environment: Path) -> None:
    def program(arguments: Sequence[str], stdin: str) -> Result:
        command = [sys.executable, "-c", "from keyhole.cli import main; main()", *arguments]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=120, check=False, env=os.environ
        )
        return Result(done.returncode, done.stdout, done.stderr)

    play(FOLDER / f"{name}.txt", program)


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) >= 5


MAILS = {"KEYHOLE_SMTP_HOST": "mail.clinic.example", "KEYHOLE_MAIL_FROM": "Radiology <radiology@clinic.example>"}


def test_where_there_is_a_mail_server_links_wait_to_be_mailed(
    here: Run, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in MAILS.items():
        monkeypatch.setenv(name, value)
    play(FOLDER / "mail" / "server.txt", here)
