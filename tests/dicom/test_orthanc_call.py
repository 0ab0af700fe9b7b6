"""Orthanc's REST API as it is called through the gateway: queries, bodies, and which rows are open."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.resource import Action, Level
from keyhole.dicom import orthanc, orthanc_call
from keyhole.dicom.orthanc_call import Body, Form, OrthancQuery, above, besides, call_of, parse_query, tag_of
from keyhole.dicom.orthanc_find import LONGEST, Find, parse_find, parse_identifier
from keyhole.dicom.parameter import parameters
from keyhole.dicom.route import Kind, Match, Refusal
from tests.dicom.vectors import ORTHANC_ID, lines


def understood(request: str) -> OrthancQuery | Refusal:
    method, _, target = request.partition(" ")
    path, _, query = target.partition("?")
    found = orthanc_call.match(method, path.replace("ID", ORTHANC_ID).encode())
    assert isinstance(found, Match), found
    return parse_query(query.encode(), found.route)


@pytest.mark.parametrize(("asked", "meaning"), lines("orthanc-query.txt"))
def test_a_query_means_what_its_vector_says(asked: str, meaning: str) -> None:
    query = understood(asked)
    assert (query.reason if isinstance(query, Refusal) else query.encode() or "nothing") == meaning


@pytest.mark.parametrize(("asked", "meaning"), lines("orthanc-find.txt"))
def test_a_body_means_what_its_vector_says(asked: str, meaning: str) -> None:
    found = parse_find(asked.replace("ID", ORTHANC_ID).encode() if '"ID"' in asked else asked.encode())
    said = found.reason if isinstance(found, Refusal) else found.encode(found.studies).decode()
    assert said.replace(ORTHANC_ID, "ID") == meaning


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_received_is_refused_or_understood(body: bytes) -> None:
    assert isinstance(parse_find(body), Find | Refusal)
    assert isinstance(parse_identifier(body), str | Refusal)


@pytest.mark.parametrize("vector", lines("orthanc-find.txt"))
def test_a_body_that_is_sent_is_understood_as_the_same(vector: tuple[str, str]) -> None:
    first = parse_find(vector[0].replace("ID", ORTHANC_ID).encode())
    if isinstance(first, Find):
        assert parse_find(first.encode(first.studies)) == first


@pytest.mark.parametrize("nested", [b"[", b'{"a":'])
def test_what_is_nested_beyond_measure_is_refused(nested: bytes) -> None:
    assert isinstance(parse_find(nested * (LONGEST // len(nested))), Refusal)


def test_what_is_too_long_is_refused() -> None:
    assert isinstance(parse_find(b" " * (LONGEST + 1)), Refusal)
    many: Any = {"Level": "Study", "Labels": ["a"] * 300}
    assert isinstance(parse_find(json.dumps(many).encode()), Refusal)
    wide: Any = {"Level": "Study", "Query": {f"{n:08x}": "" for n in range(300)}}
    assert isinstance(parse_find(json.dumps(wide).encode()), Refusal)
    assert isinstance(understood("GET /studies?requested-tags=" + "PatientName;" * 65), Refusal)


def test_what_is_as_long_as_its_bound_is_not_too_long() -> None:
    assert parse_find(b'{"Level":"Study"}'.ljust(LONGEST)) == Find(Level.STUDY)
    order = {"Type": "DicomTag", "Key": "StudyDate", "Direction": "ASC"}
    for most, one in (("Labels", "a"), ("OrderBy", order)):
        assert isinstance(parse_find(json.dumps({"Level": "Study", most: [one] * 256}).encode()), Find)
        assert isinstance(parse_find(json.dumps({"Level": "Study", most: [one] * 257}).encode()), Refusal)
    for wide, known in ((256, Find), (257, Refusal)):
        query = {f"{n:08x}": "" for n in range(wide)}
        assert isinstance(parse_find(json.dumps({"Level": "Study", "Query": query}).encode()), known)
    assert isinstance(understood("GET /studies?requested-tags=" + "PatientName;" * 64), OrthancQuery)


@pytest.mark.parametrize("studies", [(), ("*",), ("1.2", "")])
def test_a_search_is_never_sent_for_no_study_in_particular(studies: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="UIDs"):
        Find(Level.STUDY).encode(studies)


@pytest.mark.parametrize("body", [b"", b"  ", b"\xff", b"a\nb", b"a" * 257])
def test_what_is_no_identifier_is_not_looked_up(body: bytes) -> None:
    assert isinstance(parse_identifier(body), Refusal)


def test_an_identifier_is_looked_up_without_the_line_end_that_shells_add() -> None:
    assert parse_identifier(b"1.2.3\n") == "1.2.3"


def test_every_open_row_is_in_orthancs_table_and_said_how_to_be_called() -> None:
    assert set(orthanc_call.ROUTES) < set(orthanc.ROUTES)
    for route in orthanc_call.ROUTES:
        assert route.kind in (Kind.REST, Kind.LIST)
        assert (call_of(route).body is Body.NOTHING) is (route.method != "POST")
        assert route.method == "GET" or not call_of(route).readers


def test_pictures_are_what_is_rendered_and_files_are_what_is_downloaded() -> None:
    for route in orthanc_call.ROUTES:
        form = call_of(route).form
        assert (form is Form.PICTURE) is (route.action is Action.RENDER)
        assert form is Form.OTHER or route.action is not Action.DOWNLOAD
    others = {route.template for route in orthanc_call.ROUTES if call_of(route).form is Form.OTHER}
    assert {"/instances/{id}/frames/{number}", "/instances/{id}/frames/{number}/raw", "/instances/{id}/pdf"} <= others


def test_nothing_administers_and_nothing_of_the_plugins_is_open() -> None:
    assert not [route for route in orthanc_call.ROUTES if route.action in (Action.ADMINISTER, Action.SHARE)]
    closed = ("/auth/", "/ui/", "/dicom-web", "/web-viewer", "/osimis-viewer", "/wsi", "/stl", "/worklists")
    assert not [route for route in orthanc_call.ROUTES if route.template.startswith(closed)]


def test_whoever_has_things_modified_may_do_so_to_everything_and_delete() -> None:
    for route in orthanc_call.ROUTES:
        if route.action in (Action.MODIFY, Action.ANONYMISE):
            assert set(besides(route)) == {route.action, Action.DELETE}
        else:
            assert set(besides(route)) <= {Action.RETRIEVE}


def test_what_orthanc_keeps_beside_the_images_is_for_those_who_have_the_archive() -> None:
    for route in orthanc_call.ROUTES:
        _, _, named, beside, *_ = [*route.template.split("/"), "", ""]
        kept = named == "{id}" and beside in {"metadata", "attachments", "labels", "protected"}
        read = (kept and route.method == "GET") or route.template == "/tools/create-dicom"
        assert (Action.RETRIEVE in besides(route)) is read


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("PatientID", "00100020"),
        ("00100020", "00100020"),
        ("0010,0020", "00100020"),
        ("0020-000d", "0020000D"),
        ("patientid", None),
        ("10,20", None),
        ("0010:0020", None),
        ("0010,0020\n", None),
        ("", None),
    ],
)
def test_a_tag_has_few_spellings(name: str, tag: str | None) -> None:
    assert tag_of(name) == tag


@pytest.mark.parametrize(
    ("level", "kept"),
    [
        (Level.ARCHIVE, "0020-1200;0020-1206;0020-1209;0010-0010"),
        (Level.PATIENT, "0020-1200;0020-1206;0020-1209;0010-0010"),
        (Level.STUDY, "0020-1206;0020-1209;0010-0010"),
        (Level.SERIES, "0020-1209;0010-0010"),
        (Level.INSTANCE, "0010-0010"),
    ],
)
def test_what_counts_things_beside_a_resource_is_not_asked_for(level: Level, kept: str) -> None:
    query = OrthancQuery({"requested-tags": "0020-1200;0020-1206;0020-1209;0010-0010", "expand": "true"})
    assert query.telling_nothing_above(level).values == {"requested-tags": kept, "expand": "true"}
    only = OrthancQuery({"requestedTags": "0020-1200"})
    assert only.telling_nothing_above(level).values == ({} if level >= Level.STUDY else only.values)
    assert ("00201200" in above(level)) is (level >= Level.STUDY)
    skipped = OrthancQuery({"ignore-length": "0020-1200"})
    assert skipped.telling_nothing_above(level) == skipped


@given(st.sampled_from(orthanc_call.ROUTES), st.binary(max_size=60))
def test_what_is_sent_is_understood_as_the_same_query(route: Any, raw_query: bytes) -> None:
    first = parse_query(raw_query, route)
    if isinstance(first, OrthancQuery):
        assert parse_query(first.encode().encode(), route) == first
        assert dict(parameters(first.encode().encode())) == dict(first.values)


def test_a_number_is_told() -> None:
    assert OrthancQuery({"limit": "7"}).number("limit") == 7
    assert OrthancQuery().number("limit") is None
