"""What is listed is what can be opened, on Orthanc's REST API as on DICOMweb; held to a plain model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.decision import Reason, Scope
from keyhole.access.grant import StudyFilter
from keyhole.access.resource import Level, Resource
from keyhole.dicom import orthanc, orthanc_call
from keyhole.dicom.orthanc_call import parse_query
from keyhole.dicom.orthanc_find import Find
from keyhole.dicom.route import Match
from keyhole.errors import ArchiveFailed
from keyhole.gateway.answer import Answer
from keyhole.gateway.fetch import Order, Unanswerable
from keyhole.gateway.lineage import OrthancLineage
from keyhole.gateway.orthanc_lists import Lists
from keyhole.gateway.orthanc_rest import OrthancFetcher, OrthancSource
from keyhole.gateway.reach import Reach
from tests.gateway.small_orthanc import KINDS, PATIENT, TYPES, SmallOrthanc, name_of

PATHS = [
    (study, f"{study}.{series}", f"{study}.{series}.{instance}")
    for study in ("1.1", "1.2", "1.3")
    for series in (1, 2)
    for instance in (1, 2)
]
NODES = sorted({path[:depth] for path in PATHS for depth in (1, 2, 3)} | {("9.9",), ("1.1", "9.9")})
ITEMS = st.sampled_from(NODES)
LEVELS = st.sampled_from(list(KINDS))


def reach(*nodes: tuple[str, ...]) -> Scope:
    return Scope(frozenset(Resource.of("main", *node) for node in nodes))


def held(node: tuple[str, ...], nodes: set[tuple[str, ...]]) -> bool:
    """The model: whether the node itself is in scope, or one above it."""
    return any(node[: len(each)] == each for each in nodes)


async def listed(archive: SmallOrthanc, method: str, target: str, scope: Scope, body: bytes = b"") -> Any:
    """What the gateway answers to whoever holds *scope*."""
    path, _, query = target.partition("?")
    found = orthanc_call.match(method, path.encode())
    assert isinstance(found, Match)
    understood = parse_query(query.encode(), found.route)
    assert isinstance(understood, orthanc_call.OrthancQuery)
    lineage = OrthancLineage(archive, "main")
    name = orthanc.named(found)
    asked = Resource.whole("main") if name is None else await lineage.resource(name)
    assert asked is not None
    order = Order(
        archive="main",
        found=found,
        query=understood,
        reach=scope.within(asked),
        held=scope,
        public_root="",
        resource=asked,
        body=_pieces(body) if body else None,
    )
    fetcher = OrthancFetcher({"main": OrthancSource(archive, lineage)})
    async with fetcher(order) as answer:
        received = await read(answer)
        assert scope.covers(Resource.whole("main")) or b"secret" not in received
        return json.loads(received), answer.foreign


async def read(answer: Answer) -> bytes:
    return b"".join([piece async for piece in answer.body])


async def _pieces(body: bytes) -> Any:
    yield body


def names(nodes: list[tuple[str, ...]]) -> set[str]:
    return {name_of(PATIENT, *node) for node in nodes}


@given(nodes=st.sets(ITEMS, max_size=4), level=LEVELS, expand=st.booleans())
async def test_a_list_holds_exactly_what_can_be_opened(nodes: set[tuple[str, ...]], level: Level, expand: bool) -> None:
    archive = SmallOrthanc(PATHS)
    target = f"/{KINDS[level]}?expand" if expand else f"/{KINDS[level]}"
    found, foreign = await listed(archive, "GET", target, reach(*nodes))
    got = [item["ID"] for item in found] if expand else found
    assert len(got) == len(set(got))
    assert set(got) == names([node for node in archive.nodes(level) if held(node, nodes)])
    assert foreign == 0


@given(
    nodes=st.sets(ITEMS, max_size=4),
    level=LEVELS,
    studies=st.lists(st.sampled_from(["1.1", "1.2", "9.9"]), max_size=3),
    series=st.sampled_from(["", "1.1.1", "1.2.2"]),
    form=st.sampled_from(["", "Full", "Short"]),
    ignores=st.booleans(),
    page=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
async def test_a_search_finds_exactly_what_can_be_opened_and_matches(
    nodes: set[tuple[str, ...]],
    level: Level,
    studies: list[str],
    series: str,
    form: str,
    ignores: bool,
    page: tuple[int, int],
) -> None:
    archive = SmallOrthanc(PATHS, ignores_queries=ignores)
    query = {"StudyInstanceUID": "\\".join(studies)} | ({"SeriesInstanceUID": series} if series else {})
    since, limit = page
    body = {"Level": TYPES[level], "Query": query, "Expand": True, "Since": since, "Limit": limit}
    body |= {form: True} if form else {}
    found, foreign = await listed(archive, "POST", "/tools/find", reach(*nodes), json.dumps(body).encode())
    matching = [node for node in archive.nodes(level) if held(node, nodes) and (not studies or node[0] in studies)]
    if not ignores:
        matching = [node for node in matching if not series or (len(node) > 1 and node[1] == series)]
        assert foreign == 0
    got = [item["ID"] for item in found]
    assert set(got) <= names(matching)
    assert len(got) == len(set(got)) == len(matching[since : since + limit if limit else None])


@given(
    nodes=st.sets(ITEMS, min_size=1, max_size=4),
    above=ITEMS,
    level=LEVELS,
    expand=st.sampled_from(["", "?expand=false"]),
)
async def test_what_is_listed_below_a_node_is_what_can_be_opened_there(
    nodes: set[tuple[str, ...]], above: tuple[str, ...], level: Level, expand: str
) -> None:
    archive = SmallOrthanc(PATHS)
    if above not in [path[: len(above)] for path in PATHS] or level <= Level.PATIENT + len(above) or len(above) == 3:
        return
    kind = KINDS[Level(Level.PATIENT + len(above))]
    target = f"/{kind}/{name_of(PATIENT, *above)}/{KINDS[level]}{expand}"
    found, _ = await listed(archive, "GET", target, reach(*nodes))
    got = found if expand else [item["ID"] for item in found]
    below = [node for node in archive.nodes(level) if node[: len(above)] == above]
    assert set(got) == names([node for node in below if held(node, nodes)])


@given(nodes=st.sets(ITEMS, max_size=4), uid=st.sampled_from(["1.1", "1.1.1", "1.1.1.1", "7.7"]))
async def test_what_is_looked_up_is_what_can_be_opened(nodes: set[tuple[str, ...]], uid: str) -> None:
    archive = SmallOrthanc(PATHS)
    found, _ = await listed(archive, "POST", "/tools/lookup", reach(*nodes), uid.encode())
    every = [node for level in KINDS for node in archive.nodes(level)]
    assert {each["ID"] for each in found} == names([node for node in every if node[-1] == uid and held(node, nodes)])


class TestAsking:
    async def test_only_studies_in_scope_are_ever_asked_for(self) -> None:
        archive = SmallOrthanc(PATHS)
        await listed(archive, "GET", "/series", reach(("1.1",), ("1.2", "1.2.1")))
        (sent,) = [json.loads(body) for _, body in archive.sent if body]
        assert sent["Query"] == {"StudyInstanceUID": "1.1\\1.2"}

    @pytest.mark.parametrize("scope", [Scope(), reach(("9.9",))])
    async def test_nothing_is_asked_for_nobody(self, scope: Scope) -> None:
        archive = SmallOrthanc(PATHS)
        body = json.dumps({"Level": "Study", "Query": {"StudyInstanceUID": "1.1"}}).encode()
        assert await listed(archive, "POST", "/tools/find", scope, body) == ([], 0)
        assert archive.asked == []

    async def test_many_studies_are_asked_for_in_turns(self) -> None:
        archive = SmallOrthanc([(f"1.{n}", f"1.{n}.1", f"1.{n}.1.1") for n in range(150)])
        found, _ = await listed(archive, "GET", "/studies", reach(*((f"1.{n}",) for n in range(150))))
        assert len(found) == 150
        assert len([each for each in archive.asked if each == "POST /tools/find"]) == 2

    async def test_patients_are_listed_to_nobody_who_does_not_hold_the_archive(self) -> None:
        archive = SmallOrthanc(PATHS)
        assert await listed(archive, "GET", "/patients", reach(("1.1",))) == ([], 0)
        assert archive.asked == []

    async def test_attributes_that_count_things_beside_are_not_asked_for(self) -> None:
        archive = SmallOrthanc(PATHS)
        await listed(archive, "GET", "/series?requested-tags=00201200;00201206;00100010&full", reach(("1.1",)))
        sent = json.loads(archive.sent[0][1])
        assert sent["RequestedTags"] == ["0010,0010"]
        assert sent["Full"] is True

    async def test_whoever_holds_all_gets_orthancs_own_answer(self) -> None:
        archive = SmallOrthanc(PATHS)
        whole = Scope(frozenset({Resource.whole("main")}))
        found, _ = await listed(archive, "GET", "/studies?since=1&limit=1", whole)
        assert archive.asked == ["GET /studies?since=1&limit=1"]
        assert len(found) == 3
        body = b'{"Level":"Study","Query":{"0020000D":"1.1"},"Expand":false}'
        assert await listed(archive, "POST", "/tools/find", whole, body) == ([name_of(PATIENT, "1.1")], 0)
        assert json.loads(archive.sent[-1][1]) == {
            "Level": "Study",
            "Query": {"StudyInstanceUID": "1.1"},
            "Expand": False,
        }


class TestRefusals:
    @pytest.mark.parametrize(
        "more",
        [
            {"OrderBy": [{"Type": "DicomTag", "Key": "PatientName", "Direction": "ASC"}]},
            {"ResponseContent": ["Labels"]},
            {"Query": {"00201200": "2"}},
            {"Query": {"NumberOfPatientRelatedStudies": "2"}},
        ],
    )
    async def test_a_search_that_would_tell_of_others_is_refused_to_whoever_holds_a_part(
        self, more: dict[str, Any]
    ) -> None:
        archive = SmallOrthanc(PATHS)
        body = json.dumps({"Level": "Study", "Query": {}} | more).encode()
        with pytest.raises(Unanswerable) as refused:
            await listed(archive, "POST", "/tools/find", reach(("1.1",)), body)
        assert refused.value.reason is Reason.BAD_QUERY
        assert archive.asked == []

    async def test_a_scope_that_names_no_studies_is_too_broad(self) -> None:
        archive = SmallOrthanc(PATHS)
        scope = Scope(frozenset({StudyFilter("main", owner="user:anna")}))
        with pytest.raises(Unanswerable) as refused:
            await listed(archive, "GET", "/studies", scope)
        assert refused.value.reason is Reason.SEARCH_TOO_BROAD


def lists(archive: SmallOrthanc, *nodes: tuple[str, ...]) -> Lists:
    return Lists(archive, OrthancLineage(archive, "main"), "main", Reach.of(reach(*nodes), "main"))


class TestWhatOrthancAnswers:
    @pytest.mark.parametrize(
        "item",
        [
            {},
            {"ID": name_of(PATIENT, "1.1")},
            {"ID": name_of(PATIENT, "1.1"), "MainDicomTags": "1.1"},
            {"ID": name_of(PATIENT, "1.1"), "MainDicomTags": {"StudyInstanceUID": ["1.1"]}},
            {"ID": name_of(PATIENT, "1.1"), "MainDicomTags": {"StudyInstanceUID": "1.1", "0020,000d": "1.1"}},
            {"ID": name_of(PATIENT, "1.1"), "MainDicomTags": {"StudyInstanceUID": "1.3"}},
            {"ID": "../x", "MainDicomTags": {"StudyInstanceUID": "1.3"}},
        ],
    )
    async def test_what_does_not_say_what_it_is_is_foreign(self, item: dict[str, Any]) -> None:
        archive = SmallOrthanc(PATHS, answers={"/tools/find": ("application/json", json.dumps([item]).encode())})
        found = lists(archive, ("1.1",))
        assert await found.found(Find(Level.STUDY)) == []
        assert found.foreign == 1

    @pytest.mark.parametrize("parent", ["", "x", name_of(PATIENT, "7.7"), None])
    async def test_what_has_no_parent_that_is_there_is_foreign(self, parent: str | None) -> None:
        item = {"ID": name_of(PATIENT, "1.1", "1.1.1"), "MainDicomTags": {"SeriesInstanceUID": "1.1.1"}}
        item |= {"ParentStudy": parent}
        archive = SmallOrthanc(PATHS, answers={"/tools/find": ("application/json", json.dumps([item]).encode())})
        found = lists(archive, ("1.1",))
        assert await found.found(Find(Level.SERIES)) == []
        assert found.foreign == 1

    async def test_an_item_without_a_name_of_orthancs_is_dropped(self) -> None:
        item = {"ID": "../x", "MainDicomTags": {"StudyInstanceUID": "1.1"}}
        archive = SmallOrthanc(PATHS, answers={"/tools/find": ("application/json", json.dumps([item]).encode())})
        assert await lists(archive, ("1.1",)).found(Find(Level.STUDY)) == []

    async def test_what_was_looked_up_needs_a_kind_and_a_name(self) -> None:
        answers = [{"ID": "x", "Type": "Study"}, {"ID": name_of(PATIENT, "1.1"), "Type": "Nothing"}, {}]
        archive = SmallOrthanc(PATHS, answers={"/tools/lookup": ("application/json", json.dumps(answers).encode())})
        assert await lists(archive, ("1.1",)).looked_up("1.1") == []

    @pytest.mark.parametrize(
        ("kind", "body"), [("text/html", b"[]"), ("application/json", b"{}"), ("application/json", b"[1]")]
    )
    async def test_what_is_no_list_is_a_failure(self, kind: str, body: bytes) -> None:
        archive = SmallOrthanc(PATHS, answers={"/tools/find": (kind, body)})
        with pytest.raises(ArchiveFailed):
            await lists(archive, ("1.1",)).found(Find(Level.STUDY))

    @pytest.mark.parametrize(
        ("status", "reason"),
        [
            (404, Reason.NOT_THERE),
            (410, Reason.NOT_THERE),
            (400, Reason.BAD_QUERY),
            (406, Reason.NOT_ACCEPTABLE),
            (415, Reason.UNSUPPORTED_MEDIA),
        ],
    )
    async def test_its_status_is_told_as_a_reason(self, status: int, reason: Reason) -> None:
        archive = SmallOrthanc(PATHS, status=status)
        with pytest.raises(Unanswerable) as refused:
            await lists(archive, ("1.1",)).found(Find(Level.STUDY))
        assert refused.value.reason is reason

    async def test_another_status_is_a_failure(self) -> None:
        with pytest.raises(ArchiveFailed):
            await lists(SmallOrthanc(PATHS, status=409), ("1.1",)).found(Find(Level.STUDY))

    async def test_too_much_is_too_broad(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("MOST_RESULTS", "_LONGEST_ANSWER"):
            with monkeypatch.context() as patched:
                patched.setattr(f"keyhole.gateway.orthanc_lists.{name}", 1)
                with pytest.raises(Unanswerable) as refused:
                    await lists(SmallOrthanc(PATHS), ("1.1",)).found(Find(Level.SERIES))
                assert refused.value.reason is Reason.SEARCH_TOO_BROAD
