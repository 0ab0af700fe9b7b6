"""``keyhole why`` about a link that asks something."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from keyhole.access.decision import Event, Record
from keyhole.access.share import Share
from keyhole.app import open_desk
from keyhole.settings import load_settings
from keyhole.sharing.link import parse_link
from tests.cli.transcript import Run

STUDY = "1.2.826.0.1.3680043.8.498.7245.1"


async def _lock(share_id: str) -> None:
    async with open_desk(load_settings(os.environ)) as desk:
        record = Record(at=desk.now(), event=Event.SHARE_LOCKED, subject="anonymous", share=share_id)
        taken = await desk.store.begin_attempt(share_id, 1, 1, desk.now(), record)
        assert isinstance(taken, Share)
        await desk.store.fail_attempt(share_id, 1, 1, desk.now(), record, record)


@pytest.fixture
def link(environment: Path, here: Run) -> str:
    assert environment.is_dir()
    return here(["share", STUDY, "--for", "7d", "--passcode", "-"], "correct horse\n").out.strip()


def told(here: Run, link: str) -> str:
    return here(["why", "GET", f"/dicom-web/studies/{STUDY}/metadata", "--link", "-"], link).out.splitlines()[2]


def test_tells_what_it_asks_for(link: str, here: Run) -> None:
    assert " is open, " in told(here, link)
    assert told(here, link).endswith(" UTC, asks for passcode")


def test_tells_that_it_is_locked_and_what_to_do(link: str, here: Run) -> None:
    name, _ = parse_link(link) or ("", "")
    asyncio.run(_lock(name))
    assert told(here, link).startswith(f"share:{name} is locked, ends ")
    assert told(here, link).endswith(f"too many answers were wrong: keyhole renew {name} --new-link")
