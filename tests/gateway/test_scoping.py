"""Searches equal the brute-force model: whatever the scope, the query, the paging and the archive."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyhole.access.decision import Reason, Scope
from keyhole.access.grant import StudyFilter, Target
from keyhole.access.resource import Level, Resource
from keyhole.archive.answer import ArchiveAnswer
from keyhole.dicom import dicomweb
from keyhole.dicom.query import SEARCHES, SearchQuery, parse_search
from keyhole.dicom.route import Match
from keyhole.errors import ArchiveFailed, ForeignAnswer
from keyhole.gateway import asking, scoping
from keyhole.gateway.asking import SearchRefused
from keyhole.gateway.reach import Reach
from keyhole.gateway.scoping import UID_TAGS, Capabilities, Found, metadata, search
from tests.gateway.fake_archive import FakeArchive, Item, element

STUDIES = [f"1.{number}" for number in range(1, 6)]
DATES = ["20260103", "20260101", "20260103", "", "20260102"]
WHOLE = Resource.whole("main")


def instance(study: str, series: str, number: int) -> Item:
    at = STUDIES.index(study) if study in STUDIES else 0
    return {
        "0020000D": element(study, vr="UI"),
        "0020000E": element(series, vr="UI"),
        "00080018": element(f"{series}.{number}", vr="UI"),
        "00080020": element(DATES[at], vr="DA"),
        "00080060": element("CT" if series.endswith("1") else "MR"),
        "00100020": element("P1" if at < 3 else "P2"),
        "00080061": element("CT", "MR"),
        "00201206": element(2, vr="IS"),
        "00201208": element(4, vr="IS"),
        "00201209": element(2, vr="IS"),
        "00201200": element(3, vr="IS"),
    }


INSTANCES = [
    instance(study, f"{study}.{series}", number)
    for study, series, number in itertools.product(STUDIES, ("1", "2"), (1, 2))
]


def asked(path: str) -> Match:
    found = dicomweb.match("GET", path.encode())
    assert isinstance(found, Match)
    return found


def understood(path: str, query: str = "") -> tuple[Match, SearchQuery]:
    found = asked(path)
    parsed = parse_search(query.encode(), SEARCHES[found.route.kind])
    assert isinstance(parsed, SearchQuery)
    return found, parsed


def reach(*targets: str | Target) -> Scope:
    """A scope of nodes written as ``1.1`` or ``1.1/1.1.1``, or of anything else."""
    return Scope(frozenset(Resource.of("main", *t.split("/")) if isinstance(t, str) else t for t in targets))


async def find(
    archive: FakeArchive, path: str, query: str, scope: Scope, capabilities: Capabilities | None = None
) -> Found:
    return await search(archive, *understood(path, query), scope, capabilities)


def uids(found: Found) -> list[str]:
    """The innermost UID of each item."""
    return [[item[tag]["Value"][0] for tag in UID_TAGS if tag in item][-1] for item in found.items]


# -- the law


def model(found: Match, query: SearchQuery, scope: Scope) -> list[tuple[str, ...]]:
    """Every node in scope that matches, in order, cut: the slow and simple way."""
    level = SEARCHES[found.route.kind]
    within = found.resource("main").path
    nodes = dict.fromkeys(
        tuple(item[tag]["Value"][0] for tag in UID_TAGS[: level - 1])
        for item in INSTANCES
        if all(item[tag]["Value"][0] == value for tag, value in query.matches)
    )
    kept = [
        node
        for node in nodes
        if node[: len(within)] == within
        and (within or query.studies is None or node[0] in query.studies)
        and not scope.within(Resource.of("main", *node)).empty
    ]
    if level is Level.STUDY and (WHOLE not in scope.targets or query.studies is not None):
        kept.sort()
        kept.sort(key=lambda node: DATES[STUDIES.index(node[0])], reverse=True)
    last = None if query.limit is None else query.offset + query.limit
    return kept[query.offset : last]


nodes = st.one_of(
    st.sampled_from(STUDIES),
    st.sampled_from([f"{study}/{study}.1" for study in STUDIES]),
    st.sampled_from([f"{study}/{study}.2/{study}.2.1" for study in STUDIES]),
    st.sampled_from([Resource.of("elsewhere", "1.1"), Resource.of("main", "1.99")]),
)
scopes = st.one_of(
    st.frozensets(nodes, max_size=5).map(lambda some: reach(*some)),
    st.just(reach(WHOLE)),
    st.just(reach(WHOLE, "1.1")),
)
paths = st.sampled_from(
    ["/studies", "/series", "/instances", "/studies/1.1/series", "/studies/1.1/instances", "/studies/1.2/series",
     "/studies/1.2/series/1.2.1/instances", "/studies/1.77/series"]
)  # fmt: skip
queries = st.builds(
    lambda studies, match, limit, offset: "&".join(filter(None, (studies, match, limit, offset))),
    st.lists(st.sampled_from([*STUDIES, "1.77"]), max_size=4).map(
        lambda some: f"StudyInstanceUID={','.join(some)}" if some else ""
    ),
    st.sampled_from(["", "", "PatientID=P1", "Modality=MR", "PatientID=P3"]),
    st.one_of(st.just(""), st.integers(1, 9).map("limit={}".format)),
    st.one_of(st.just(""), st.integers(0, 9).map("offset={}".format)),
)
archives: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    uid_lists=st.booleans(),
    relational=st.booleans(),
    largest_page=st.none() | st.integers(1, 4),
    says_204=st.booleans(),
)


@settings(max_examples=600)
@given(scopes, paths, queries, archives, st.integers(1, 3), st.booleans())
async def test_a_search_is_the_brute_force_model(
    scope: Scope, path: str, query: str, able: dict[str, Any], list_size: int, forgetful: bool
) -> None:
    found, parsed = understood(path, query)
    able_to = {name: able[name] for name in ("uid_lists", "relational", "largest_page")}
    archive = FakeArchive(INSTANCES, **able)
    if forgetful and found.resource("main").path:
        archive.leaves_out = frozenset(UID_TAGS[: len(found.resource("main").path)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoping, "MOST_UIDS", list_size)
        if (
            WHOLE in scope.targets
            and not archive.relational
            and path in ("/series", "/instances")
            and not parsed.studies
        ):
            with pytest.raises(SearchRefused):
                await search(archive, found, parsed, scope, Capabilities(**able_to))
            return
        result = await search(archive, found, parsed, scope, Capabilities(**able_to))
    tags = UID_TAGS[: SEARCHES[found.route.kind] - 1]
    assert [tuple(item[tag]["Value"][0] for tag in tags) for item in result.items] == model(found, parsed, scope)
    assert result.foreign == 0


@settings(max_examples=300)
@given(
    scopes, paths, queries,
    st.frozensets(st.sampled_from(["StudyInstanceUID", "00100020", "limit", "offset"])),
    st.sampled_from([[], [instance("1.88", "1.88.1", 1)], [{}], [instance("1.1", "1.99", 1)]]),
)  # fmt: skip
async def test_nothing_out_of_scope_comes_from_an_archive_that_ignores_what_it_is_asked(
    scope: Scope, path: str, query: str, ignores: frozenset[str], intruders: list[Item]
) -> None:
    found, parsed = understood(path, query)
    archive = FakeArchive(INSTANCES, ignores=ignores, intruders=intruders)
    result = await search(archive, found, parsed, scope)
    tags = UID_TAGS[: SEARCHES[found.route.kind] - 1]
    for item in result.items:
        node = tuple(item[tag]["Value"][0] for tag in tags if tag in item)
        assert scope.covers(Resource.of("main", *node)) or (
            len(node) == len(tags) and not scope.within(Resource.of("main", *node)).empty
        )
        assert node[0] in (found.resource("main").path[:1] or parsed.studies or node)
    assert parsed.limit is None or len(result.items) <= parsed.limit


@given(scopes, st.lists(st.sampled_from([*STUDIES, "1.1.1", "1.1.2", "1.1.2.1", "1.2.2", "1.2.2.1"]), max_size=3))
def test_a_reach_says_what_the_decision_point_says(scope: Scope, path: list[str]) -> None:
    resource, found = Resource.of("main", *path), Reach.of(scope, "main")
    assert found.touches(*path) == (not scope.within(resource).empty)
    assert found.covers(*path) == scope.covers(resource)


# -- the cases, one by one


async def test_an_empty_scope_is_answered_without_asking() -> None:
    archive = FakeArchive(INSTANCES)
    assert await find(archive, "/studies", "StudyInstanceUID=1.2", reach("1.1")) == Found([])
    assert await find(archive, "/series", "", reach()) == Found([])
    assert archive.asked == []


async def test_studies_are_asked_for_by_name_and_paging_is_ours() -> None:
    archive = FakeArchive(INSTANCES)
    found = await find(archive, "/studies", "limit=1&offset=1&00100020=P1", reach("1.1", "1.2", "1.3"))
    assert uids(found) == ["1.3"]
    assert archive.asked == ["/studies?00100020=P1&StudyInstanceUID=1.1,1.2,1.3"]


async def test_a_whole_archive_is_searched_as_asked() -> None:
    archive = FakeArchive(INSTANCES)
    assert uids(await find(archive, "/studies", "limit=2&offset=1", reach(WHOLE))) == ["1.2", "1.3"]
    assert archive.asked == ["/studies?limit=2&offset=1"]


async def test_long_lists_are_asked_for_in_several_requests_that_fit_a_head() -> None:
    studies = [f"1.{'9' * 57}.{number}" for number in range(1000, 1250)]
    archive = FakeArchive([instance(study, f"{study[:40]}.7", 1) for study in studies])
    assert len((await find(archive, "/studies", "", reach(*studies))).items) == 250
    assert len(archive.asked) == 3
    assert all(len(target) < 8192 for target in archive.asked)


async def test_a_scope_of_too_many_requests_is_too_broad() -> None:
    studies = [f"1.{number}" for number in range(200)]
    archive = FakeArchive([instance(study, f"{study}.1", 1) for study in studies], uid_lists=False)
    with pytest.raises(SearchRefused) as caught:
        await find(archive, "/studies", "", reach(*studies), Capabilities(uid_lists=False))
    assert caught.value.reason is Reason.SEARCH_TOO_BROAD
    assert len(archive.asked) == 100


@pytest.mark.parametrize("target", [Resource.patient("main", "P1"), StudyFilter("main", label="x")])
async def test_a_scope_that_names_no_studies_is_too_broad(target: Target) -> None:
    archive = FakeArchive(INSTANCES)
    with pytest.raises(SearchRefused) as caught:
        await find(archive, "/studies", "", reach(target, "1.1"))
    assert caught.value.reason is Reason.SEARCH_TOO_BROAD
    assert archive.asked == []


async def test_a_result_without_bounds_is_too_broad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MOST_RESULTS", 5)
    for capabilities in (Capabilities(), Capabilities(largest_page=2)):
        archive = FakeArchive(INSTANCES, largest_page=capabilities.largest_page)
        with pytest.raises(SearchRefused):
            await find(archive, "/instances", "", reach(WHOLE), capabilities)


async def test_pages_without_end_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MOST_CALLS", 3)
    archive = FakeArchive(INSTANCES, largest_page=1)
    with pytest.raises(SearchRefused):
        await find(archive, "/instances", "", reach("1.1"), Capabilities(largest_page=1))


async def test_an_archive_that_knows_no_offset_is_not_asked_for_ever() -> None:
    archive = FakeArchive(INSTANCES, largest_page=2, ignores=frozenset({"offset"}))
    found = await find(archive, "/studies", "", reach(*STUDIES), Capabilities(largest_page=2))
    assert len(found.items) == 2
    assert len(archive.asked) == 2


async def test_what_an_archive_answers_besides_is_dropped_and_counted() -> None:
    archive = FakeArchive(INSTANCES, ignores=frozenset({"StudyInstanceUID"}), intruders=[{}])
    found = await find(archive, "/studies", "", reach("1.2"))
    assert (uids(found), found.foreign) == (["1.2"], 5)


async def test_items_of_another_study_below_a_study_are_foreign() -> None:
    archive = FakeArchive(INSTANCES, intruders=[instance("1.2", "1.2.1", 1)])
    found = await find(archive, "/studies/1.1/series", "", reach("1.1", "1.2"))
    assert (uids(found), found.foreign) == (["1.1.1", "1.1.2"], 1)


async def test_series_beside_the_shared_one_are_cut_and_not_foreign() -> None:
    archive = FakeArchive(INSTANCES)
    for path in ("/studies/1.1/series", "/series"):
        found = await find(archive, path, "", reach("1.1/1.1.2"))
        assert (uids(found), found.foreign) == (["1.1.2"], 0)


async def test_without_a_series_uid_nothing_is_known_to_be_in_a_shared_series() -> None:
    archive = FakeArchive(INSTANCES, leaves_out=frozenset({"0020000E"}))
    assert (await find(archive, "/studies/1.1/series", "", reach("1.1/1.1.2"))).items == []
    assert len((await find(archive, "/studies/1.1/series", "", reach("1.1"))).items) == 2


async def test_counts_tell_nothing_about_what_is_not_shared() -> None:
    archive = FakeArchive(INSTANCES)
    counts = ("00080061", "00201206", "00201208")
    [whole] = (await find(archive, "/studies", "", reach("1.1"))).items
    assert all(tag in whole for tag in counts)
    assert "00201200" not in whole
    [part] = (await find(archive, "/studies", "", reach("1.1/1.1.2"))).items
    assert not any(tag in part for tag in (*counts, "00201209", "00201200"))
    [series] = (await find(archive, "/studies/1.1/series", "", reach("1.1/1.1.2"))).items
    assert "00201209" in series
    assert not any(tag in series for tag in counts)


async def test_counts_are_no_keys_where_they_would_tell() -> None:
    archive = FakeArchive(INSTANCES)
    query = "ModalitiesInStudy=NM&NumberOfStudyRelatedSeries=9&includefield=ModalitiesInStudy,PatientName"
    assert len((await find(archive, "/studies", query, reach("1.1/1.1.2"))).items) == 1
    assert archive.asked == ["/studies?includefield=00100010,0020000D&StudyInstanceUID=1.1"]


async def test_the_uids_are_asked_for_besides_what_the_client_asks_for() -> None:
    archive = FakeArchive(INSTANCES)
    await find(archive, "/studies/1.1/series", "includefield=00080021%2C00080031", reach("1.1"))
    await find(archive, "/studies", "includefield=all", reach("1.1"))
    assert archive.asked == [
        "/studies/1.1/series?includefield=00080021,00080031,0020000D,0020000E",
        "/studies?includefield=all&StudyInstanceUID=1.1",
    ]


async def test_a_study_that_is_gone_has_no_series() -> None:
    assert await find(FakeArchive(INSTANCES), "/studies/1.77/series", "", reach("1.77")) == Found([])


@pytest.mark.parametrize("path", ["/studies", "/series", "/studies/1.1/series"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, Reason.BAD_QUERY), (413, Reason.SEARCH_TOO_BROAD), (404, None), (406, None), (500, None)],
)
async def test_a_refusal_by_the_archive_is_said(path: str, status: int, expected: Reason | None) -> None:
    archive = FakeArchive(INSTANCES, status=status)
    if status == 404 and path.endswith("1.1/series"):
        return
    with pytest.raises(SearchRefused if expected else ArchiveFailed) as caught:
        await find(archive, path, "", reach("1.1"), Capabilities(relational=True))
    assert getattr(caught.value, "reason", None) is expected


# -- metadata


async def cut(archive: FakeArchive, path: str, scope: Scope) -> list[str]:
    async with archive.get(path, "", "application/dicom+json") as answer:
        return [item["00080018"]["Value"][0] async for item in metadata(answer, asked(path), scope, "main")]


@pytest.mark.parametrize(
    ("path", "scope", "expected"),
    [
        ("/studies/1.1/metadata", reach("1.1"), ["1.1.1.1", "1.1.1.2", "1.1.2.1", "1.1.2.2"]),
        ("/studies/1.1/metadata", reach(WHOLE), ["1.1.1.1", "1.1.1.2", "1.1.2.1", "1.1.2.2"]),
        ("/studies/1.1/metadata", reach("1.1/1.1.2"), ["1.1.2.1", "1.1.2.2"]),
        ("/studies/1.1/metadata", reach("1.1/1.1.2/1.1.2.1"), ["1.1.2.1"]),
        ("/studies/1.1/series/1.1.1/metadata", reach("1.1/1.1.1"), ["1.1.1.1", "1.1.1.2"]),
        ("/studies/1.1/series/1.1.1/instances/1.1.1.2/metadata", reach("1.1"), ["1.1.1.2"]),
    ],
)
async def test_metadata_is_cut_to_the_scope(path: str, scope: Scope, expected: list[str]) -> None:
    assert await cut(FakeArchive(INSTANCES), path, scope) == expected


@pytest.mark.parametrize("path", ["/studies/1.1/metadata", "/studies/1.1/series/1.1.1/metadata"])
@pytest.mark.parametrize("intruder", [instance("1.2", "1.2.1", 1), {}, {"0020000D": element("1.1", "1.2")}])
async def test_metadata_of_something_else_stops_the_answer(path: str, intruder: Item) -> None:
    with pytest.raises(ForeignAnswer):
        await cut(FakeArchive(INSTANCES, intruders=[intruder]), path, reach("1.1", "1.2"))


async def test_nothing_of_a_foreign_answer_is_passed_on() -> None:
    archive = FakeArchive(INSTANCES)
    async with archive.get("/studies/1.2/metadata", "", "application/dicom+json") as answer:
        assert isinstance(answer, ArchiveAnswer)
        passed = metadata(answer, asked("/studies/1.1/metadata"), reach("1.1"), "main")
        with pytest.raises(ForeignAnswer):
            await anext(passed)
