"""What the documents say is what the tables say, and what they point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keyhole.access.decision import Reason
from keyhole.gateway.relay import STATUS

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")


def test_every_reason_is_explained_with_its_status() -> None:
    page = (ROOT / "docs/reference/reasons.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (\d{3})", page, re.MULTILINE))
    assert rows == {reason.value: str(STATUS[reason]) for reason in Reason}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    from keyhole.cli.commands import app  # noqa: PLC0415 - half a second that only this test needs

    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    known |= {group.name for group in app.registered_groups if group.name}
    named = re.findall(r"(?:^\$ |^|`)(?:\.venv/bin/)?keyhole ([a-z][a-z-]*)", page.read_text(), re.MULTILINE)
    assert set(named) <= known
