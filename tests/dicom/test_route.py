"""Laws of paths: what matches is rebuilt to the byte, and what is changed never names something else unseen."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.decision import Ask, Reason
from keyhole.access.resource import Action, Level, Resource, is_uid
from keyhole.dicom import dicomweb, orthanc
from keyhole.dicom.orthanc import OrthancName
from keyhole.dicom.route import PLACEHOLDERS, Kind, Match, Refusal, Route, Table, canonical
from tests.dicom.vectors import ORTHANC_ID

UIDS = st.from_regex(r"[0-9]{1,5}(\.[0-9]{1,8}){0,5}", fullmatch=True)
VALUES = {
    name: UIDS if name in {"study", "series", "instance"} else st.from_regex(f"(?:{pattern})", fullmatch=True)
    for name, pattern in PLACEHOLDERS.items()
}
# what changes the meaning of a path for somebody, and what looks harmless
BYTES = st.sampled_from([bytes([byte]) for byte in range(256)])
PIECES = st.one_of(
    BYTES,
    st.sampled_from(
        [
            b"..",
            b"/../",
            b"/./",
            b"//",
            b"%2F",
            b"%2e",
            b"%252F",
            b";x=1",
            b"\\",
            b"%00",
            b"\xc0\xaf",
            b"/1.2.4",
            b"?a=b",
        ]
    ),
)


@st.composite
def requests(draw: st.DrawFn, routes: tuple[Route, ...]) -> tuple[Route, dict[str, str], bytes]:
    """A row, values for its placeholders, and the path they make."""
    route = draw(st.sampled_from(routes))
    ids = {name: draw(VALUES[name].filter(fine)) for name in re.findall(r"\{([a-z]+)\}", route.template)}
    return route, ids, route.template.format_map(ids).encode()


def fine(value: str) -> bool:
    """Dots at the end of a segment are refused before any row is looked at; so is what is far too long.

    In a list nothing may be there twice.
    """
    listed = value.split(",")
    return not value.endswith(".") and len(value) < 200 and len(set(listed)) == len(listed)


@given(requests(dicomweb.ROUTES))
def test_a_canonical_path_is_understood_and_rebuilt(request_: tuple[Route, dict[str, str], bytes]) -> None:
    route, ids, raw_path = request_
    found = dicomweb.match(route.method, raw_path)
    assert isinstance(found, Match)
    assert (found.route, dict(found.ids), found.path().encode()) == (route, ids, raw_path)


@given(requests(orthanc.ROUTES))
def test_so_is_one_of_orthanc(request_: tuple[Route, dict[str, str], bytes]) -> None:
    route, _, raw_path = request_
    found = orthanc.match(route.method, raw_path)
    if isinstance(found, Refusal):  # PUT /worklists/create: a value that spells another row's word
        assert found.reason is Reason.METHOD_NOT_ALLOWED
    else:
        assert found.path().encode() == raw_path


@given(requests(dicomweb.ROUTES), st.data())
def test_a_changed_path_is_refused_or_means_exactly_what_it_says(
    request_: tuple[Route, dict[str, str], bytes], data: st.DataObject
) -> None:
    route, _, raw_path = request_
    start = data.draw(st.integers(0, len(raw_path)))
    end = data.draw(st.integers(start, min(start + 3, len(raw_path))))
    changed = raw_path[:start] + data.draw(PIECES) + raw_path[end:]
    found = dicomweb.match(route.method, changed)
    if isinstance(found, Match):
        assert found.path().encode() == changed
        assert re.fullmatch(rb"[A-Za-z0-9._,/-]+", changed)
    elif changed != raw_path:
        assert found.reason in {Reason.NOT_CANONICAL, Reason.UNKNOWN_ROUTE, Reason.METHOD_NOT_ALLOWED}


@given(st.sampled_from(["GET", "POST", "DELETE", "PUT"]), st.binary(max_size=60))
def test_any_bytes_are_refused_or_rebuilt(method: str, raw_path: bytes) -> None:
    for match in (dicomweb.match, orthanc.match):
        found = match(method, raw_path)
        if isinstance(found, Match):
            assert found.path().encode() == raw_path


@given(requests(dicomweb.ROUTES))
def test_head_is_understood_as_get(request_: tuple[Route, dict[str, str], bytes]) -> None:
    assert dicomweb.match("HEAD", request_[2]) == dicomweb.match("GET", request_[2])


@given(st.text("0123456789.", min_size=1, max_size=70))
def test_a_uid_in_a_path_is_what_a_resource_takes_for_one(text: str) -> None:
    understood = isinstance(dicomweb.match("GET", f"/studies/{text}/metadata".encode()), Match)
    assert understood == is_uid(text)


@pytest.mark.parametrize("length", [2049, 100_000])
def test_a_path_that_is_too_long_is_refused_unread(length: int) -> None:
    refused = canonical(b"/" + b"a" * (length - 1))
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.NOT_CANONICAL


def test_a_path_may_be_as_long_as_its_bound() -> None:
    assert canonical(b"/" + b"a" * 2047) == "/" + "a" * 2047


def test_a_frame_list_has_at_most_a_hundred_frames() -> None:
    frames = "/studies/1/series/2/instances/3/frames/"
    assert isinstance(dicomweb.match("GET", (frames + ",".join(map(str, range(1, 101)))).encode()), Match)
    assert isinstance(dicomweb.match("GET", (frames + ",".join(map(str, range(1, 102)))).encode()), Refusal)


def test_nested_bulk_data_ends_somewhere() -> None:
    bulk = "/studies/1/series/2/instances/3/bulk/"
    assert isinstance(dicomweb.match("GET", (bulk + "54000100/1/" * 8 + "54001010").encode()), Match)
    assert isinstance(dicomweb.match("GET", (bulk + "54000100/1/" * 9 + "54001010").encode()), Refusal)


@pytest.mark.parametrize("raw_path", [b"/zQ9x", b"/studies/zQ9x", b"/studies/1.2/zQ9x/", b"/zQ9x%2f"])
def test_a_refusal_never_repeats_what_the_client_sent(raw_path: bytes) -> None:
    refused = dicomweb.match("GET", raw_path)
    assert isinstance(refused, Refusal)
    assert "zQ9x" not in refused.detail


def test_two_rows_for_the_same_request_cannot_be_a_table() -> None:
    row = Route("GET", "/studies", Action.SEARCH, Kind.SEARCH_STUDIES)
    with pytest.raises(ValueError, match="two rows"):
        Table([row, Route("GET", "/studies", Action.RETRIEVE, Kind.METADATA)])


def test_an_ask_has_the_action_the_resource_and_whether_a_part_will_do() -> None:
    found = dicomweb.match("GET", b"/studies/1.2/series")
    assert isinstance(found, Match)
    assert dicomweb.ask(found, "main") == Ask(Action.SEARCH, Resource.of("main", "1.2"), divisible=True)
    found = dicomweb.match("GET", b"/studies/1.2/series/3/instances/4/frames/1")
    assert isinstance(found, Match)
    assert dicomweb.ask(found, "main") == Ask(Action.RETRIEVE, Resource.of("main", "1.2", "3", "4"))


class TestOrthancNames:
    def found(self, path: str) -> Match:
        found = orthanc.match("GET", path.replace("ID", ORTHANC_ID).encode())
        assert isinstance(found, Match)
        return found

    def test_a_name_has_to_be_resolved_before_it_can_be_asked_for(self) -> None:
        found = self.found("/series/ID/archive")
        series = Resource.of("main", "1.2", "3")
        assert orthanc.named(found) == OrthancName(Level.SERIES, ORTHANC_ID)
        assert orthanc.ask(found, "main", series) == Ask(Action.DOWNLOAD, series)

    @pytest.mark.parametrize(
        "resource",
        [
            pytest.param(None, id="nothing"),
            pytest.param(Resource.whole("main"), id="the archive"),
            pytest.param(Resource.of("main", "1.2"), id="another level"),
            pytest.param(Resource.of("research", "1.2", "3"), id="another archive"),
        ],
    )
    def test_and_what_is_not_what_it_names_is_refused(self, resource: Resource | None) -> None:
        with pytest.raises(ValueError, match="not resolved"):
            orthanc.ask(self.found("/series/ID/archive"), "main", resource)

    def test_a_list_below_a_name_is_asked_for_in_part(self) -> None:
        study = Resource.of("main", "1.2")
        assert orthanc.ask(self.found("/studies/ID/series"), "main", study) == Ask(Action.SEARCH, study, divisible=True)

    def test_a_name_is_the_one_that_orthanc_gives(self) -> None:
        # the sample study BRAINIX, as the Orthanc Book calls it
        assert orthanc.name_of("5Yp0E") == "16738bc3-e47ed42a-43ce044c-a3414a45-cb069bd0"
        study = "2.16.840.1.113669.632.20.1211.10000357775"
        assert orthanc.name_of("5Yp0E", study) == "27f7126f-4f66fb14-03f4081b-f9341db2-53925988"

    def test_it_never_passes_for_the_archive(self) -> None:
        with pytest.raises(ValueError, match="lineage"):
            self.found("/studies/ID/series").resource("main")

    def test_what_names_nothing_is_asked_of_the_archive(self) -> None:
        assert orthanc.ask(self.found("/changes"), "main") == Ask(Action.SEARCH, Resource.whole("main"))

    def test_dicomweb_below_orthanc_is_asked_as_dicomweb(self) -> None:
        asked = orthanc.ask(self.found("/dicom-web/studies/1.2/metadata"), "main")
        assert asked == Ask(Action.RETRIEVE, Resource.of("main", "1.2"), divisible=True)

    @pytest.mark.parametrize(
        ("level", "name"),
        [(Level.ARCHIVE, ORTHANC_ID), (Level.STUDY, "1.2.3"), (Level.STUDY, ORTHANC_ID.upper()), (Level.STUDY, "")],
    )
    def test_a_name_that_orthanc_cannot_have_given_is_refused(self, level: Level, name: str) -> None:
        with pytest.raises(ValueError, match="identifier"):
            OrthancName(level, name)
