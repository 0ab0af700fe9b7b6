"""``keyhole why`` about visits, which no command begins."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from keyhole.access.decision import Event, Record
from keyhole.access.secret import Secret, new_id, new_secret
from keyhole.access.share import Share, Visit
from keyhole.app import open_desk
from keyhole.cli.session import operator
from keyhole.gateway.desk import Desk
from keyhole.gateway.order import ShareOrder
from keyhole.settings import load_settings
from keyhole.sharing import visit as visiting
from tests.cli.transcript import Run

STUDY = "1.2.826.0.1.3680043.8.498.7245.1"


async def _open(desk: Desk) -> tuple[Share, Visit, Secret]:
    now = desk.now()
    order = ShareOrder(
        archive="main", resources=((STUDY,),), expires_at=now + visiting.LONGEST, max_visits=1, forced=True
    )
    share = await desk.create_share(operator(), order)
    secret = new_secret()
    visit = visiting.begin(share, new_id(), secret, now)
    await desk.store.begin_visit(visit, now, Record(at=now, event=Event.VISIT_BEGUN, subject=visit.subject))
    return share, visit, secret


async def _end(desk: Desk, visit: Visit) -> None:
    now = desk.now()
    await desk.store.end_visit(visit.id, now, Record(at=now, event=Event.VISIT_ENDED, subject=visit.subject))


async def _opened() -> tuple[Share, Visit, Secret]:
    async with open_desk(load_settings(os.environ)) as desk:
        return await _open(desk)


async def _ended(visit: Visit) -> None:
    async with open_desk(load_settings(os.environ)) as desk:
        await _end(desk, visit)


@pytest.fixture
def opened(environment: Path) -> tuple[Share, Visit, Secret]:
    return asyncio.run(_opened())


def test_a_path_from_a_log_is_the_request_of_its_visit(opened: tuple[Share, Visit, Secret], here: Run) -> None:
    share, visit, _ = opened
    for who in ([], ["--as", f"visit:{visit.id}"], ["--as", f"share:{share.id}"]):
        told = here(["why", "GET", f"/v/{visit.id}/dicom-web/studies/{STUDY}/metadata", *who], "").out.splitlines()
        assert told[:2] == [f"allowed: retrieve main:{STUDY}", f"as visit:{visit.id}, of share:{share.id}"]


def test_a_bearer_may_be_pasted_as_it_was_sent(opened: tuple[Share, Visit, Secret], here: Run) -> None:
    _, visit, secret = opened
    bearer = visiting.bearer(visit, secret)
    for text in (bearer, f"Bearer {bearer}", f"authorization: bearer {bearer}", f"  {bearer}  "):
        told = here(["why", "GET", "/dicom-web/studies", "--bearer", "-", "--json"], f"{text}\n")
        found = json.loads(told.out)
        assert (found["allowed"], found["as"]) == (True, f"visit:{visit.id}")
        assert found["within"] == [f"main:{STUDY}"]
        assert secret.reveal() not in told.out + told.err


def test_of_what_has_ended_the_holder_of_its_secret_is_told_and_nobody_else(
    opened: tuple[Share, Visit, Secret], here: Run
) -> None:
    _, visit, secret = opened
    asyncio.run(_ended(visit))
    asked = ["why", "GET", "/dicom-web/studies", "--bearer", "-", "--json"]
    found = json.loads(here(asked, visiting.bearer(visit, secret)).out)
    assert (found["reason"], found["as"], found["next"]) == ("visit-ended", f"visit:{visit.id}", "open the link again")
    assert found["grants"]
    found = json.loads(here(asked, visiting.bearer(visit, new_secret())).out)
    assert (found["reason"], found["as"], found["grants"]) == ("bad-credential", "anonymous", [])


def test_a_pasted_link_says_that_it_is_used_up_and_counts_nothing(
    opened: tuple[Share, Visit, Secret], here: Run
) -> None:
    share, _, _ = opened

    async def link() -> str:
        async with open_desk(load_settings(os.environ)) as desk:
            return desk.link(share)

    text = asyncio.run(link())
    told = here(["why", "GET", f"/dicom-web/studies/{STUDY}/metadata", "--link", "-"], text).out.splitlines()
    assert told[0] == f"allowed: retrieve main:{STUDY}"
    assert told[2].startswith(f"share:{share.id} is used up, ends ")
    assert told[2].endswith(", 0 openings left")


def test_a_wrong_secret_tells_nothing_of_the_share(opened: tuple[Share, Visit, Secret], here: Run) -> None:
    share, _, _ = opened
    other = share.id[:-1] + ("a" if share.id[-1] != "a" else "b")

    async def link() -> str:
        async with open_desk(load_settings(os.environ)) as desk:
            return desk.link(share)

    text = asyncio.run(link())
    told = here(["why", "GET", "/dicom-web/studies", "--link", "-"], text.replace(share.id, other)).out.splitlines()
    assert told[:2] == ["refused (wrong-secret): GET /dicom-web/studies", "as nobody"]


def test_an_answer_that_could_hold_nothing_is_told_to_be_empty(environment: Path, here: Run) -> None:
    told = here(["why", "GET", "/dicom-web/studies", "--as", "role:nurse"], "").out.splitlines()
    assert told == [
        "allowed: search all of main",
        "as role:nurse",
        "the answer is empty: nothing was granted that it could hold",
    ]
