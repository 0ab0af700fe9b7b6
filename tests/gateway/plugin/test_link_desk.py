"""Links that are made in Orthanc: what may be made, of what, for how long, and what leads where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.decision import Event, Reason
from keyhole.access.resource import Resource
from keyhole.access.share import Origin, Share, ShareKind
from keyhole.dicom.orthanc import name_of
from keyhole.errors import ArchiveFailed, Refused, StoreFailed
from keyhole.gateway.office import NotAllowed
from keyhole.gateway.order import MOST_RESOURCES
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.link_desk import LinkOrder, Made
from keyhole.gateway.plugin.naming import Wanted
from keyhole.sharing.address import Addresses
from keyhole.sharing.token import TYPES, Creation, Opens, parse_token
from tests.gateway.fake_archive import element
from tests.gateway.gate import HERE, NOW, OK, OTHER_SERIES, PUBLIC, SECOND, SERIES, SIBLING
from tests.gateway.plugin.world import DOWNLOAD, INSTANT, OHIF_URL, ORTHANC_URL, PAGE, World, name, trusted

DAY, SECONDS = timedelta(days=1), timedelta(seconds=1)
BOTH = Wanted(dicom_uid=OK, orthanc_id=name(OK), level="study")
PUBLICATIONS = sorted(each for each, kind in TYPES.items() if not kind.instant)
DIRECT = dict.fromkeys(TYPES, Opens.DIRECT)


async def make(world: World, kind: str = PAGE, *wanted: Wanted, **more: Any) -> Made:
    order = LinkOrder(**{"type": kind, "resources": wanted or (BOTH,), **more})
    return await world.desk.create(world.caller, kind, order, HERE)


async def made(world: World, kind: str = PAGE, *wanted: Wanted, **more: Any) -> Share:
    """The share that was made."""
    parsed = parse_token((await make(world, kind, *wanted, **more)).token)
    assert parsed is not None
    share = await world.gate.store.share(parsed[0])
    assert share is not None
    return share


async def refused(world: World, kind: str = PAGE, *wanted: Wanted, **more: Any) -> str:
    with pytest.raises(Refused) as refusal:
        await make(world, kind, *wanted, **more)
    assert not await world.gate.store.shares()
    return refusal.value.problem


@pytest.mark.parametrize("kind", PUBLICATIONS)
async def test_a_publication_is_a_link_to_keyholes_own_page(kind: str) -> None:
    world = World()
    answer = await make(world, kind)
    share = (await world.gate.store.shares())[0]
    assert answer.url == world.staff.link(share)
    assert answer.url.startswith(f"{PUBLIC}/s/{share.id}#")
    assert not share.bearer
    assert not await world.granted(answer.token)


async def test_such_a_share_tells_what_is_known_of_it() -> None:
    world = World()
    share = await made(world, expiration_date="2026-03-03T12:00:00.000Z", server_id="orthanc-1")
    assert share.creator == "plugin:orthanc"
    assert (share.origin, share.token_type, share.kind) == (Origin.PLUGIN, PAGE, ShareKind.VIEW)
    assert share.resources == (Resource.of("main", OK),)
    assert share.orthanc_ids == (name(OK),)
    assert (share.expires_at, share.note, share.recipient) == (NOW + 2 * DAY, None, None)
    (row,) = await world.gate.trail(Event.SHARE_CREATED)
    assert (row.subject, row.archive, row.study, row.share) == ("plugin:orthanc", "main", OK, share.id)
    assert row.detail == {
        "resources": f"main:{OK}",
        "expires_at": "2026-03-03T12:00:00+00:00",
        "type": PAGE,
        "server_id": "orthanc-1",
        "opens": "page",
    }


async def test_it_is_on_the_trail_before_it_is_given_out() -> None:
    world = World()
    world.gate.store.lost = StoreFailed("gone")
    with pytest.raises(StoreFailed):
        await make(world)
    world.gate.store.lost = None
    assert not await world.gate.store.shares()


async def test_what_orthanc_is_answered_does_not_show_itself() -> None:
    answer = await make(World())
    assert answer.url is not None
    assert answer.url.partition("#")[2] not in repr(answer)
    assert answer.token not in repr(answer)


async def test_an_instant_link_is_a_bearer_of_minutes_without_an_address() -> None:
    world = World()
    for kind in (INSTANT, DOWNLOAD):
        answer = await make(world, kind)
        assert answer.url is None
        assert await world.granted(answer.token)
        assert not await world.granted(answer.token, SECOND)
    world.after(200 * SECONDS)
    assert not await world.granted(answer.token)


@pytest.mark.parametrize(
    ("more", "lasts"),
    [
        pytest.param({}, 200 * SECONDS, id="as the Explorer has it"),
        pytest.param({"validity_duration": 30}, 30 * SECONDS, id="shorter"),
        pytest.param({"validity_duration": 600}, 600 * SECONDS, id="ten minutes"),
        pytest.param({"validity_duration": 601}, 200 * SECONDS, id="more is no wish"),
        pytest.param({"validity_duration": 94881346242483}, 200 * SECONDS, id="a number of nobody's"),
        pytest.param({"expiration_date": "2099-01-01T00:00:00Z"}, 600 * SECONDS, id="a date is cut"),
    ],
)
@pytest.mark.parametrize("caller", [Caller(name="orthanc", archive="main"), trusted()])
async def test_instant_links_last_ten_minutes_at_most(caller: Caller, more: dict[str, Any], lasts: timedelta) -> None:
    assert (await made(World(caller=caller), INSTANT, **more)).expires_at == NOW + lasts


@pytest.mark.parametrize(
    ("more", "lasts"),
    [
        pytest.param({}, 7 * DAY, id="nothing said"),
        pytest.param({"validity_duration": 3600}, timedelta(hours=1), id="an hour"),
        pytest.param({"validity_duration": 1296000}, 7 * DAY, id="the Explorer's 15 days"),
        pytest.param({"validity_duration": 94881346242483}, 7 * DAY, id="a number of nobody's"),
        pytest.param({"validity_duration": 10**30}, 7 * DAY, id="a huge number"),
        pytest.param({"validity_duration": 0}, 7 * DAY, id="never, as the Explorer says it"),
        pytest.param({"validity_duration": -1}, 7 * DAY, id="less than nothing"),
        pytest.param({"validity_duration": None}, 7 * DAY, id="null"),
        pytest.param({"validity_duration": "3600"}, 7 * DAY, id="a text"),
        pytest.param({"validity_duration": True}, 7 * DAY, id="a truth value"),
        pytest.param({"validity_duration": 60.5}, 7 * DAY, id="a fraction"),
        pytest.param({"expiration_date": ""}, 7 * DAY, id="an empty date"),
        pytest.param({"expiration_date": "2026-03-01T13:00:00"}, timedelta(hours=1), id="a date without zone is UTC"),
        pytest.param({"expiration_date": "9999-12-31T23:59:59-12:00"}, 7 * DAY, id="the last date there is"),
        pytest.param(
            {"expiration_date": "2026-03-01T13:00:00Z", "validity_duration": 60}, timedelta(hours=1), id="a date wins"
        ),
    ],
)
async def test_no_link_is_without_an_end(more: dict[str, Any], lasts: timedelta) -> None:
    assert (await made(World(), **more)).expires_at == NOW + lasts


async def test_what_a_caller_says_of_itself_is_legible_on_the_trail() -> None:
    world = World()
    await made(world, server_id="one\n\x1b[31m\u202e" + "x" * 1000)
    (row,) = await world.gate.trail(Event.SHARE_CREATED)
    assert row.detail["server_id"] == "one??[31m?" + "x" * 190


async def test_how_long_was_asked_for_is_on_record_where_it_was_not_followed() -> None:
    world = World()
    await made(world, validity_duration=94881346242483)
    await made(world, validity_duration=3600)
    absurd, followed = await world.gate.trail(Event.SHARE_CREATED)
    assert absurd.detail["asked_seconds"] == "94881346242483"
    assert "asked_seconds" not in followed.detail


async def test_a_trusted_orthanc_may_make_them_as_long_as_anybody() -> None:
    world = World(caller=trusted())
    assert (await made(world, validity_duration=20 * 86400)).expires_at == NOW + 20 * DAY
    assert (await made(world)).expires_at == NOW + 7 * DAY
    assert (await made(world, expiration_date="2099-01-01T00:00:00Z")).expires_at == NOW + 30 * DAY


@pytest.mark.parametrize("date", ["tomorrow", "2026-03-01T11:59:59Z", "0001-01-01T00:00:00+14:00", "2026-13-01"])
async def test_an_end_that_is_none_makes_no_link(date: str) -> None:
    await refused(World(), expiration_date=date, validity_duration=3600)


# -- what may be made


async def test_where_links_are_switched_off_none_is_made() -> None:
    world = World(caller=Caller(name="orthanc", archive="main", creation=Creation.OFF))
    for kind in TYPES:
        with pytest.raises(NotAllowed):
            await make(world, kind)
    assert not await world.gate.store.shares()
    assert {(row.subject, row.reason) for row in await world.gate.trail(Event.REFUSAL)} == {
        ("plugin:orthanc", Reason.NO_GRANT)
    }


@pytest.mark.parametrize("kind", ["inbox-link", "", "stone-viewer-publication ", "STONE-VIEWER-PUBLICATION"])
async def test_an_unknown_type_is_refused(kind: str) -> None:
    await refused(World(types=DIRECT), kind)


async def test_a_type_that_is_switched_off_is_refused() -> None:
    await refused(World(types={PAGE: Opens.OFF}), PAGE)


async def test_the_type_in_the_body_is_the_one_in_the_path() -> None:
    await refused(World(), PAGE, type="viewer-instant-link")
    assert (await made(World(), PAGE, type=None)).token_type == PAGE
    assert (await made(World(), PAGE, type="")).token_type == PAGE


async def test_another_orthanc_makes_no_links_here() -> None:
    world = World(caller=Caller(name="orthanc", archive="main", server_id="one"))
    with pytest.raises(NotAllowed):
        await make(world, server_id="two")
    assert (await made(world, server_id="one")).creator == "plugin:orthanc"


# -- direct links


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        (
            "stone-viewer-publication",
            f"{ORTHANC_URL}/stone-webviewer/index.html?study={OK}&selectedStudies={OK}&token=TOKEN",
        ),
        ("ohif-viewer-publication", f"{OHIF_URL}/viewer?StudyInstanceUIDs={OK}&token=TOKEN"),
        (
            "volview-viewer-publication",
            f"{ORTHANC_URL}/volview/index.html?names=[archive.zip]&urls=../studies/{name(OK)}/archive&token=TOKEN",
        ),
        (
            "osimis-viewer-publication",
            f"{ORTHANC_URL}/osimis-viewer/app/index.html?pickableStudyIds=ID&selectedStudyIds=ID&token=TOKEN",
        ),
    ],
)
async def test_a_trusted_orthanc_gets_the_viewers_own_address(kind: str, address: str) -> None:
    world = World(caller=trusted(), types=DIRECT)
    answer = await make(world, kind)
    assert answer.url == address.replace("TOKEN", answer.token).replace("=ID", f"={name(OK)}")
    assert await world.granted(answer.token)


async def test_one_that_is_not_trusted_gets_the_page_all_the_same() -> None:
    world = World(types=DIRECT)
    answer = await make(world)
    assert str(answer.url).startswith(f"{PUBLIC}/s/")
    assert not await world.granted(answer.token)


async def test_a_viewers_address_that_nobody_has_set_is_said_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    world = World(caller=trusted(), types=DIRECT, addresses=Addresses())
    await refused(world, "stone-viewer-publication")
    await refused(world, PAGE)
    assert "KEYHOLE_PLUGIN_ORTHANC_URL" in caplog.text
    assert "KEYHOLE_PLUGIN_OHIF_URL" in caplog.text
    assert "kht_" not in caplog.text


async def test_meddream_has_no_address_of_its_own_yet() -> None:
    await refused(World(caller=trusted(), types=DIRECT), "meddream-viewer-publication")


async def test_several_studies_are_opened_together() -> None:
    world = World(caller=trusted(), types=DIRECT)
    both = (BOTH, Wanted(dicom_uid=SECOND))
    answer = await make(world, PAGE, *both)
    assert f"StudyInstanceUIDs={OK},{SECOND}&" in str(answer.url)
    await make(world, "stone-viewer-publication", *both)
    with pytest.raises(Refused):
        await make(world, "volview-viewer-publication", *both)


async def test_a_link_to_a_series_leads_to_the_page_that_can_show_it() -> None:
    world = World(caller=trusted(), types=DIRECT)
    answer = await make(world, PAGE, Wanted(orthanc_id=name(OK, SERIES), level="series"))
    assert str(answer.url).startswith(f"{PUBLIC}/s/")


# -- of what

STUDY = {Resource.of("main", OK): name(OK)}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param((BOTH,), STUDY, id="a study by both names"),
        pytest.param((Wanted(dicom_uid=OK),), STUDY, id="by its UID, no level"),
        pytest.param((Wanted(dicom_uid=OK, orthanc_id="", level=""),), STUDY, id="what is empty is not there"),
        pytest.param((Wanted(orthanc_id=name(OK), level="study"),), STUDY, id="by Orthanc's name"),
        pytest.param((BOTH, BOTH, Wanted(dicom_uid=OK)), STUDY, id="the same, said thrice"),
        pytest.param(
            (BOTH, Wanted(dicom_uid=SIBLING)), STUDY | {Resource.of("main", SIBLING): name(SIBLING)}, id="two studies"
        ),
        pytest.param(
            (Wanted(orthanc_id=name(OK, SERIES), level="series"),),
            {Resource.of("main", OK, SERIES): name(OK, SERIES)},
            id="a series",
        ),
        pytest.param(
            (Wanted(orthanc_id=name(OK, SERIES), dicom_uid=SERIES, level="series"),),
            {Resource.of("main", OK, SERIES): name(OK, SERIES)},
            id="a series by both names",
        ),
        pytest.param(
            (Wanted(dicom_uid="P1", orthanc_id=name_of("P1"), level="patient"),),
            STUDY | {Resource.of("main", SECOND): name(SECOND)},
            id="a patient's studies",
        ),
        pytest.param(
            (Wanted(orthanc_id=name_of("P1"), level="patient"),),
            STUDY | {Resource.of("main", SECOND): name(SECOND)},
            id="a patient by Orthanc's name",
        ),
    ],
)
async def test_what_is_named_is_found(wanted: tuple[Wanted, ...], found: dict[Resource, str]) -> None:
    share = await made(World(), PAGE, *wanted)
    assert dict(zip(share.resources, share.orthanc_ids, strict=True)) == found


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param((BOTH,), id="a study by both names"),
        pytest.param((Wanted(dicom_uid=OK),), id="a study by its UID"),
        pytest.param((Wanted(dicom_uid="P2", orthanc_id=name_of("P2"), level="patient"),), id="a patient by both"),
        pytest.param((Wanted(dicom_uid="P2", level="patient"),), id="a patient by its PatientID"),
    ],
)
async def test_without_orthancs_own_api_its_names_are_worked_out(wanted: tuple[Wanted, ...]) -> None:
    share = await made(World(rest=False), PAGE, *wanted)
    assert share.orthanc_ids == tuple(name(resource.path[0]) for resource in share.resources)


UNKNOWN = Wanted(orthanc_id=name_of("P9", "1.9"))


@pytest.mark.parametrize("rest", [True, False])
@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param((), id="nothing"),
        pytest.param((Wanted(),), id="no name"),
        pytest.param((Wanted(dicom_uid="1.9"),), id="a study that is not there"),
        pytest.param((UNKNOWN,), id="a name that is not there"),
        pytest.param((BOTH, Wanted(dicom_uid="1.9")), id="one that is there and one that is not"),
        pytest.param((Wanted(dicom_uid=OK, orthanc_id=name(SECOND)),), id="names of two studies"),
        pytest.param((Wanted(dicom_uid=OK, orthanc_id=name_of("P9", "1.9")),), id="a name that is nobody's"),
        pytest.param((Wanted(dicom_uid="1.9", orthanc_id=name(OK)),), id="a UID that is not there"),
        pytest.param((Wanted(dicom_uid=f"{OK},{SECOND}"),), id="two UIDs in one"),
        pytest.param((Wanted(dicom_uid=f"{OK}\\{SECOND}"),), id="two UIDs, DICOM's way"),
        pytest.param((Wanted(dicom_uid="*"),), id="a wildcard"),
        pytest.param((Wanted(dicom_uid=f"{OK}&PatientID=P3"),), id="a query in a UID"),
        pytest.param((Wanted(orthanc_id="../patients"),), id="a path for a name"),
        pytest.param((Wanted(dicom_uid=SERIES, level="series"),), id="a series by its UID alone"),
        pytest.param((Wanted(dicom_uid=OTHER_SERIES, orthanc_id=name(OK, SERIES), level="series"),), id="two series"),
        pytest.param((Wanted(dicom_uid=OK, orthanc_id=name(OK), level="series"),), id="a study said to be a series"),
        pytest.param((Wanted(dicom_uid="1.2.1.1.1", level="instance"),), id="an instance"),
        pytest.param((Wanted(level="system"),), id="the system"),
        pytest.param((Wanted(dicom_uid="P9", level="patient"),), id="a patient who is not there"),
        pytest.param((Wanted(dicom_uid="P*", level="patient"),), id="patients"),
        pytest.param((Wanted(dicom_uid="P1\\P2", level="patient"),), id="two patients"),
        pytest.param((Wanted(dicom_uid="P1&limit=1", level="patient"),), id="a query in a PatientID"),
        pytest.param((Wanted(dicom_uid="P1", orthanc_id=name_of("P2"), level="patient"),), id="names of two patients"),
        pytest.param((Wanted(dicom_uid="", level="patient"),), id="nobody"),
        pytest.param((BOTH,) * (MOST_RESOURCES + 1), id="too many"),
    ],
)
async def test_what_is_not_there_cannot_be_shared(wanted: tuple[Wanted, ...], rest: bool) -> None:
    world = World(rest=rest)
    with pytest.raises(Refused):
        await world.desk.create(world.caller, PAGE, LinkOrder(resources=wanted), HERE)
    assert not await world.gate.store.shares()


async def test_what_orthanc_had_until_now_cannot_be_shared_by_a_name_that_is_still_remembered() -> None:
    world = World()
    small = world.gate.archive
    for level, below in (("study", ()), ("series", (SERIES,))):
        wanted = Wanted(orthanc_id=name(OK, *below), level=level)
        await made(world, PAGE, wanted)
    kept = await world.gate.store.shares()
    small.instances = [item for item in small.instances if item["0020000D"]["Value"] != [OK]]
    for level, below in (("study", ()), ("series", (SERIES,))):
        wanted = Wanted(orthanc_id=name(OK, *below), level=level)
        with pytest.raises(Refused):
            await made(world, PAGE, wanted)
    assert await world.gate.store.shares() == kept


async def test_missing_resources_are_none() -> None:
    world = World()
    with pytest.raises(Refused):
        await world.desk.create(world.caller, PAGE, LinkOrder(resources=None), HERE)


async def test_two_patients_with_one_number_are_not_guessed_at() -> None:
    world = World()
    for item in world.gate.archive.instances:
        if item["0020000D"]["Value"] == [SECOND]:
            item["00100021"] = element("elsewhere")
    await refused(world, PAGE, Wanted(dicom_uid="P1", level="patient"))


async def test_an_archive_that_fails_makes_no_link() -> None:
    world = World(rest=False)
    world.gate.archive.status = 500
    with pytest.raises(ArchiveFailed):
        await make(world)
    assert not await world.gate.store.shares()


@given(
    date=st.none()
    | st.datetimes().map(datetime.isoformat)
    | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    seconds=st.none() | st.integers() | st.floats() | st.text(max_size=3),
    kind=st.sampled_from(sorted(TYPES)),
    caller=st.sampled_from([Caller(name="orthanc", archive="main"), trusted(), trusted(longest=400 * DAY)]),
)
def test_every_link_has_an_end_that_its_orthanc_may_give(date: Any, seconds: Any, kind: str, caller: Caller) -> None:
    world = World(caller=caller)
    order = LinkOrder(expiration_date=date, validity_duration=seconds)
    try:
        end = world.desk._ends(caller, TYPES[kind], order, NOW)
    except Refused:
        assert date is not None
        return
    longest = timedelta(minutes=10) if TYPES[kind].instant else 30 * DAY
    if not TYPES[kind].instant and caller.creation is Creation.LANDING:
        longest = 7 * DAY
    assert NOW < end <= NOW + longest
