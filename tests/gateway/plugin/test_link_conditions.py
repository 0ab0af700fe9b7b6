"""Links made in Orthanc ask the patient's birth date, unless the operator says otherwise."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from keyhole.access.condition import NO_CONDITIONS, ConditionName
from keyhole.access.decision import Event
from keyhole.access.share import Share
from keyhole.errors import Refused
from keyhole.gateway.opening import Needed, Opened
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.link_desk import LinkOrder
from keyhole.gateway.plugin.naming import Wanted
from keyhole.sharing.condition import NO_ANSWERS, Answers, birth_date_right
from keyhole.sharing.token import TYPES, AsksFor, Creation, Opens, parse_token
from tests.gateway.fake_archive import element
from tests.gateway.gate import HERE, OK, SECOND
from tests.gateway.plugin.world import PAGE, World, name

BORN = "19850214"
BOTH = Wanted(dicom_uid=OK, orthanc_id=name(OK), level="study")
PUBLICATIONS = sorted(each for each, kind in TYPES.items() if not kind.instant)
INSTANT = sorted(each for each, kind in TYPES.items() if kind.instant and each != "meddream-instant-link")


def world(born: str = BORN, **more: Any) -> World:
    caller = Caller(name="orthanc", archive="main", conditions=AsksFor.BIRTH_DATE)
    made = World(caller=replace(caller, **more.pop("caller", {})), **more)
    for item in made.gate.archive.instances:
        item["00100030"] = element(born, vr="DA")
    return made


async def made(of: World, kind: str = PAGE, *wanted: Wanted) -> Share:
    answer = await of.desk.create(of.caller, kind, LinkOrder(type=kind, resources=wanted or (BOTH,)), HERE)
    parsed = parse_token(answer.token)
    assert parsed is not None
    share = await of.gate.store.share(parsed[0])
    assert share is not None
    return share


@pytest.mark.parametrize("kind", PUBLICATIONS)
async def test_a_publication_asks_the_birth_date_and_its_token_opens_nothing(kind: str) -> None:
    here = world()
    share = await made(here, kind)
    assert share.conditions.names == (ConditionName.BIRTH_DATE,)
    assert not share.bearer
    assert birth_date_right(share, Answers(birth_date=BORN), here.gate.ring)
    assert not await here.granted(share)


async def test_its_page_opens_to_who_knows_it() -> None:
    here = world()
    share = await made(here)
    secret = here.gate.secret(share)
    assert isinstance(await here.gate.openings.begin(share.id, secret, NO_ANSWERS, HERE), Needed)
    assert isinstance(await here.gate.openings.begin(share.id, secret, Answers(birth_date=BORN), HERE), Opened)


async def test_that_it_asks_is_on_the_trail_and_the_date_is_not() -> None:
    here = world()
    await made(here)
    [row] = await here.gate.trail(Event.SHARE_CREATED)
    assert row.detail["conditions"] == "birth-date"
    assert BORN not in repr(row)


@pytest.mark.parametrize("kind", INSTANT)
async def test_links_for_minutes_ask_nothing(kind: str) -> None:
    here = world(born="")
    share = await made(here, kind)
    assert share.conditions == NO_CONDITIONS
    assert share.bearer


@pytest.mark.parametrize("kind", PUBLICATIONS)
async def test_what_would_be_direct_leads_to_the_page_when_something_is_asked(kind: str) -> None:
    here = world(types=dict.fromkeys(PUBLICATIONS, Opens.DIRECT), caller={"creation": Creation.TRUSTED})
    answer = await here.desk.create(here.caller, kind, LinkOrder(type=kind, resources=(BOTH,)), HERE)
    [share] = await here.gate.store.shares()
    assert not share.bearer
    assert answer.url == here.staff.link(share)
    assert answer.token not in answer.url
    assert not await here.granted(answer.token)


@pytest.mark.parametrize("born", ["", "19000101", "1985", "19700101"])
async def test_a_study_without_a_usable_date_is_not_shared_and_says_why(
    born: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="keyhole")
    here = world(born)
    with pytest.raises(Refused) as refused:
        await made(here)
    why = f"that of study {OK} is missing, incomplete or a placeholder"
    assert refused.value.problem == f"the birth date cannot be asked for: {why}"
    assert "no birth date to ask for" in caplog.text
    assert OK not in caplog.text
    assert not await here.gate.store.shares()
    assert await here.gate.trail(Event.SHARE_CREATED) == []


async def test_over_the_wire_the_refusal_is_in_words() -> None:
    here = world("")
    answer = await here.put(f"tokens/{PAGE}", {"type": PAGE, "resources": [{"dicom-uid": OK, "level": "study"}]})
    assert answer.status == 400
    assert b"the birth date cannot be asked for" in answer.body


async def test_studies_of_two_dates_are_not_shared_together() -> None:
    here = world()
    for item in here.gate.archive.instances:
        if item["0020000D"]["Value"] == [SECOND]:
            item["00100030"] = element("19991231", vr="DA")
    second = Wanted(dicom_uid=SECOND, orthanc_id=name(SECOND), level="study")
    with pytest.raises(Refused, match="do not have the same"):
        await made(here, PAGE, BOTH, second)
    assert not await here.gate.store.shares()


async def test_nothing_is_asked_where_the_operator_says_so() -> None:
    here = world(born="", caller={"conditions": AsksFor.NONE})
    share = await made(here)
    assert share.conditions == NO_CONDITIONS
    assert isinstance(await here.gate.openings.begin(share.id, here.gate.secret(share), NO_ANSWERS, HERE), Opened)
