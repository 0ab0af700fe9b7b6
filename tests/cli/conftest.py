"""A Keyhole of its own for each test of the command line: sample studies, an empty data folder, nothing running."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from keyhole.archive.sample import write_sample
from keyhole.cli import run
from tests.cli.transcript import Result, Run


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample studies")
    write_sample(folder)
    return folder


@pytest.fixture
def environment(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a Keyhole that the environment describes."""
    for name in [name for name in os.environ if name.startswith("KEYHOLE_") or name == "COLUMNS"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KEYHOLE_ARCHIVE", str(sample))
    monkeypatch.setenv("KEYHOLE_ARCHIVE_NAME", "main")
    monkeypatch.setenv("KEYHOLE_DATA", str(tmp_path))
    monkeypatch.setenv("KEYHOLE_PUBLIC_URL", "http://127.0.0.1:8000")
    monkeypatch.setenv("KEYHOLE_LONGEST_SHARE", "30d")
    monkeypatch.setenv("KEYHOLE_REQUIRED_CONDITIONS", "none")
    return tmp_path


@pytest.fixture
def here(environment: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line in this process."""

    def typed(arguments: Sequence[str], stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run(arguments)
        return Result(status, out.getvalue(), err.getvalue())

    return typed
