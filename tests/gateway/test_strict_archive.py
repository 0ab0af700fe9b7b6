"""The laws hold on the least able archive too, whatever the record says of it; and its record is found by asking."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyhole.access.decision import Scope
from keyhole.access.grant import Grant
from keyhole.access.pdp import scope
from keyhole.access.resource import Action, Resource
from keyhole.access.subject import Kind, Subject
from keyhole.dicom.query import SEARCHES, SearchQuery
from keyhole.gateway import asking, scoping
from keyhole.gateway.asking import SearchRefused
from keyhole.gateway.fetch import Source
from keyhole.gateway.probe import probe
from keyhole.gateway.scoping import UID_TAGS, Capabilities, Found, search
from tests.gateway.fake_archive import FakeArchive, element
from tests.gateway.gate import Gate
from tests.gateway.small_archive import instance
from tests.gateway.strict_archive import ELSEWHERE, StrictArchive, picture_of
from tests.gateway.test_scoping import INSTANCES, WHOLE, model, paths, queries, scopes, understood

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LISTS = ("whole", "first", "ignored", "bad")
HEEDED = {"00100020"}

stricts: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "lists": st.sampled_from([*LISTS, "all"]),
        "relational": st.booleans(),
        "largest_page": st.integers(1, 4),
        "says_204": st.booleans(),
        "checks_parents": st.booleans(),
    }
)
records = st.builds(
    Capabilities,
    uid_lists=st.none() | st.booleans(),
    relational=st.none() | st.booleans(),
    largest_page=st.none() | st.integers(1, 5),
    parents=st.none() | st.booleans(),
)


def true_of(able: dict[str, Any]) -> Capabilities:
    return Capabilities(
        uid_lists=able["lists"] == "all", relational=able["relational"], largest_page=able["largest_page"]
    )


async def found_by(
    archive: FakeArchive, path: str, query: SearchQuery, within: Scope, record: Capabilities, round_page: int = 100
) -> Found:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "ROUND", round_page)
        patch.setattr(scoping, "MOST_UIDS", 3)
        return await search(archive, understood(path)[0], query, within, record)


def nodes_of(found: Found, path: str) -> list[tuple[str, ...]]:
    tags = UID_TAGS[: SEARCHES[understood(path)[0].route.kind] - 1]
    return [tuple(item[tag]["Value"][0] for tag in tags) for item in found.items]


def too_broad(path: str, query: SearchQuery, within: Scope, able: dict[str, Any]) -> bool:
    return (
        WHOLE in within.targets and path in ("/series", "/instances") and not query.studies and not able["relational"]
    )


@settings(max_examples=500)
@given(scopes, paths, queries, stricts, st.sampled_from(["true", "none"]))
async def test_with_the_right_record_or_none_a_search_is_the_brute_force_model(
    within: Scope, path: str, query: str, able: dict[str, Any], known: str
) -> None:
    match, parsed = understood(path, query)
    archive = StrictArchive(list(INSTANCES), **able)
    record = true_of(able) if known == "true" else Capabilities()
    if too_broad(path, parsed, within, able):
        with pytest.raises(SearchRefused):
            await found_by(archive, path, parsed, within, record, able["largest_page"])
        return
    found = await found_by(archive, path, parsed, within, record, able["largest_page"])
    heeded = replace(parsed, matches=tuple(pair for pair in parsed.matches if pair[0] in HEEDED))
    assert nodes_of(found, path) == model(match, heeded, within)


@settings(max_examples=500)
@given(scopes, paths, queries, stricts, records)
async def test_with_a_wrong_record_nothing_out_of_scope_is_found_and_nothing_twice(
    within: Scope, path: str, query: str, able: dict[str, Any], record: Capabilities
) -> None:
    match, parsed = understood(path, query)
    archive = StrictArchive(list(INSTANCES), **able)
    try:
        found = await found_by(archive, path, parsed, within, record)
    except SearchRefused:
        return
    except asking.NoSuchSearch:
        assert record.relational
        assert not able["relational"]
        return
    nodes = nodes_of(found, path)
    assert len(set(nodes)) == len(nodes) <= (parsed.limit or len(nodes))
    assert set(nodes) <= set(model(match, SearchQuery(studies=parsed.studies), within))


@settings(max_examples=150)
@given(scopes, paths, stricts, st.integers(1, 4))
async def test_paging_gives_each_result_exactly_once(within: Scope, path: str, able: dict[str, Any], page: int) -> None:
    match, everything = understood(path)
    archive = StrictArchive(list(INSTANCES), **able)
    if too_broad(path, everything, within, able):
        return
    pages: list[tuple[str, ...]] = []
    for offset in itertools.count(step=page):
        asked = everything.paged(page, offset)
        turned = nodes_of(await found_by(archive, path, asked, within, Capabilities(), able["largest_page"]), path)
        pages += turned
        if not turned:
            break
    assert pages == model(match, everything, within)


async def test_what_is_foreign_on_a_page_does_not_end_the_search_for_what_is_not() -> None:
    within = Scope(frozenset(Resource.of("main", study) for study in ("1.1", "1.2", "1.4")))
    archive = StrictArchive(list(INSTANCES), lists="ignored", largest_page=1)
    _, everything = understood("/studies")
    found = await found_by(archive, "/studies", everything, within, Capabilities(), round_page=1)
    assert nodes_of(found, "/studies") == [("1.1",), ("1.2",), ("1.4",)]


targets = st.sampled_from(
    [WHOLE, Resource.of("main", "1.1"), Resource.of("main", "1.2", "1.2.2"), Resource.of("elsewhere", "1.1"),
     Resource.of("main", "1.1", "1.1.1", "1.1.1.1"), Resource.whole("elsewhere")]
)  # fmt: skip
grants = st.builds(
    Grant,
    principal=st.sampled_from(["share:me", "share:other", "role:reader"]),
    actions=st.sampled_from([frozenset({Action.SEARCH}), frozenset({Action.RETRIEVE}), frozenset(Action)]),
    target=targets,
    cause=st.just("test"),
    expires_at=st.sampled_from([None, NOW, NOW.replace(year=2027)]),
    withdrawn_at=st.sampled_from([None, None, NOW]),
)


@settings(max_examples=300)
@given(st.sampled_from(Kind), st.lists(grants, max_size=4), paths, stricts, records)
async def test_no_kind_of_subject_finds_more_than_its_scope(
    kind: Kind, held: list[Grant], path: str, able: dict[str, Any], record: Capabilities
) -> None:
    subject = Subject(kind, "share:me", frozenset({"share:me", "role:reader"}))
    within = scope(Action.SEARCH, subject, held, NOW)
    archive = StrictArchive(list(INSTANCES), **able)
    match, parsed = understood(path)
    try:
        found = await found_by(archive, path, parsed, within, record)
    except (SearchRefused, asking.NoSuchSearch):
        return
    assert set(nodes_of(found, path)) <= set(model(match, parsed, within))
    if kind is Kind.ANONYMOUS:
        assert found == Found([])


# -- pictures


@pytest.fixture
def held() -> list[Any]:
    root = FakeArchive([]).root
    return [
        instance(study, f"{study}.{series}", f"{study}.{series}.{number}", root)
        for study, series, number in itertools.product(("1.1", "1.2"), (1, 2), (1, 2))
    ]


def every_place(held: list[Any]) -> Iterator[tuple[str, str, str]]:
    """Every study with every series with every instance: the right ones and all the others."""
    uids = [FakeArchive._uids(item) for item in held]
    yield from itertools.product(*(sorted({each[level] for each in uids}) for level in range(3)))


@pytest.mark.parametrize("below", ["frames/1", "rendered", "bulkdata", "bulk/7FE00010", "frames/1/rendered"])
@pytest.mark.parametrize("parents", [False, None])
@pytest.mark.parametrize("shared", [("1.1",), ("1.1", "1.1.1"), ("1.1", "1.1.2")])
async def test_no_picture_comes_from_where_it_is_not(
    held: list[Any], below: str, parents: bool | None, shared: tuple[str, ...]
) -> None:
    archive = StrictArchive(held)
    gate = Gate(archive)
    gate.sources["main"] = Source(archive, Capabilities(parents=parents))
    visitor = await gate.visitor(shared)
    for place in every_place(held):
        study, series, sop = place
        item = next(each for each in held if FakeArchive._uids(each)[2] == sop)
        answer = await gate.get(visitor, f"/studies/{study}/series/{series}/instances/{sop}/{below}")
        right = FakeArchive._uids(item) == place and place[: len(shared)] == shared
        assert answer.status == (200 if right else 404), place
        assert (picture_of(item) in answer.body) is right
        assert ELSEWHERE.encode() not in answer.body


async def test_a_part_of_a_study_is_verified_whatever_the_record_says(held: list[Any]) -> None:
    archive = StrictArchive(held)
    gate = Gate(archive)
    gate.sources["main"] = Source(archive, Capabilities(parents=True))
    visitor = await gate.visitor(("1.1", "1.1.1"))
    astray = "/studies/1.1/series/1.1.1/instances/1.1.2.1/frames/1"
    assert (await gate.get(visitor, astray)).status == 404
    assert astray not in archive.asked


async def test_links_elsewhere_are_dropped_and_the_viewer_gets_its_pictures(held: list[Any]) -> None:
    archive = StrictArchive(held)
    gate = Gate(archive)
    gate.sources["main"] = Source(archive, Capabilities())
    visitor = await gate.visitor(("1.1",), ("1.2",))
    for path in ("/studies", "/studies?includefield=all", "/studies/1.1/series", "/studies/1.1/metadata"):
        answer = await gate.get(visitor, path)
        assert answer.status == 200
        assert answer.json()
        assert ELSEWHERE.encode() not in answer.body
    assert (await gate.get(visitor, "/studies?StudyInstanceUID=1.9")).json() == []
    answer = await gate.get(visitor, "/studies/1.1/series/1.1.1/instances/1.1.1.1/frames/1")
    assert 'type="application/octet-stream"' in dict(answer.headers)["content-type"]


# -- what is found out by asking


def archive_of(studies: int, **able: Any) -> StrictArchive:
    strict = StrictArchive([], **able)
    for number in range(studies):
        uid = f"1.2.{number}"
        strict.holding(uid, f"{uid}.1", f"{uid}.2")
    return strict


ABLE = {"lists": "all", "relational": True, "checks_parents": True, "thumbnails": True, "says_204": False,
        "largest_page": None}  # fmt: skip


@pytest.mark.parametrize("studies", [1, 2, 3, 250])
@pytest.mark.parametrize("lists", [*LISTS, "all"])
async def test_lists_are_told_from_what_only_looks_like_them(studies: int, lists: str) -> None:
    for more in ({}, {"heeds": frozenset[str]()}):
        strict = archive_of(studies, **{**ABLE, "lists": lists, **more})
        found = await probe(strict, strict.root, NOW)
        assert found.uid_lists is (lists == "all" and not more)


@pytest.mark.parametrize("studies", [2, 150, 250])
async def test_the_least_able_archive_is_seen_for_what_it_is(studies: int) -> None:
    strict = archive_of(studies)
    found = await probe(strict, strict.root, NOW)
    assert (found.uid_lists, found.relational, found.thumbnails, found.parents) == (False, False, False, False)
    assert found.largest_page == (100 if studies > 100 else None)
    assert found.empty == 204
    assert len(strict.asked) < 30


@pytest.mark.parametrize("studies", [2, 150, 250])
async def test_the_most_able_archive_is_seen_for_what_it_is(studies: int) -> None:
    strict = archive_of(studies, **ABLE)
    found = await probe(strict, strict.root, NOW)
    assert (found.uid_lists, found.relational, found.thumbnails, found.parents) == (True, True, True, True)
    assert (found.largest_page, found.empty) == (None, 200)
    assert (found.root, found.at) == (strict.root, "2026-03-01T12:00:00+00:00")
    assert len(strict.asked) < 30


async def test_an_empty_archive_tells_nothing_but_how_it_says_so() -> None:
    strict = archive_of(0, **ABLE)
    found = await probe(strict, strict.root, NOW)
    assert found.capabilities == Capabilities()
    assert found.empty == 200


async def test_without_another_series_and_study_nobody_knows_whether_parents_are_checked() -> None:
    strict = StrictArchive([], **ABLE).holding("1.1", "1.1.1")
    assert isinstance(strict, StrictArchive)
    assert (await probe(strict, strict.root, NOW)).parents is None


async def test_a_search_that_ignores_what_it_is_asked_is_no_relational_one() -> None:
    strict = archive_of(1, **{**ABLE, "heeds": frozenset({"limit", "offset"})})
    found = await probe(strict, strict.root, NOW)
    assert (found.relational, found.empty) == (False, None)


async def test_without_pictures_nothing_is_known_of_them() -> None:
    strict = archive_of(2, **ABLE)
    for item in strict.instances:
        item["00080060"] = element("SR", vr="CS")
    found = await probe(strict, strict.root, NOW)
    assert (found.thumbnails, found.parents) == (None, None)


@pytest.mark.parametrize("most", [10, 50, 100, 200])
async def test_the_largest_page_is_found(most: int) -> None:
    strict = archive_of(250, **{**ABLE, "largest_page": most})
    assert (await probe(strict, strict.root, NOW)).largest_page == most
