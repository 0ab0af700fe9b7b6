"""``keyhole import-auth-service`` at the terminal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.transcript import FOLDER, Run, play


def test_the_service_before_is_replaced_as_the_transcript_shows(
    here: Run, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old.env", "permissions.json"):
        shutil.copy(FOLDER / "auth-service" / name, environment)
    monkeypatch.chdir(environment)
    play(FOLDER / "auth-service" / "import.txt", here)
    assert (environment / "new" / "plugin-password").read_text() == "change-me"
