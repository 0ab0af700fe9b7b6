"""The printed reference of commands is what the commands say."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyhole.cli.reference import page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
HINT = f"print it again: python -c 'from keyhole.cli.reference import page; print(page(), end=\"\")' > {PAGE.name}"


def test_the_reference_of_commands_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert PAGE.read_text(encoding="utf-8") == page(), HINT
