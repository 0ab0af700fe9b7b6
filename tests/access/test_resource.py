"""Resources: what names one, and what lies below what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.resource import Level, Resource, is_uid
from tests.access.world import ANNA, ARCHIVE, BORIS, ELSEWHERE, INSTANCE, OTHER, SERIES, SISTER, STUDY, TWIN

UIDS = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}", fullmatch=True)


@pytest.mark.parametrize("text", ["1", "1.2.3", "0.0", "1.02.3", "1" * 64, ".".join(["1"] * 32)])
def test_is_a_uid(text: str) -> None:
    assert is_uid(text)


@pytest.mark.parametrize(
    "text", ["", ".", "1.", ".1", "1..2", "1.2a", "1 ", "1\n", "1.2\u0663", "*", "1.2,1.3", "1" * 65, "-1", "1/2"]
)
def test_is_no_uid(text: str) -> None:
    assert not is_uid(text)


@pytest.mark.parametrize(
    ("level", "path"),
    [
        pytest.param(Level.ARCHIVE, ("1.2",), id="an archive has no path"),
        pytest.param(Level.PATIENT, ("PAT-1",), id="a patient has an issuer, if only an empty one"),
        pytest.param(Level.PATIENT, ("", "clinic"), id="a patient without id is nobody"),
        pytest.param(Level.STUDY, (), id="a study has a UID"),
        pytest.param(Level.STUDY, ("1.2", "1.3"), id="and only one"),
        pytest.param(Level.STUDY, ("PAT-1",), id="which is a UID"),
        pytest.param(Level.SERIES, ("1.2", ""), id="a series has two"),
        pytest.param(Level.INSTANCE, ("1.2", "1.3"), id="an instance three"),
    ],
)
def test_what_names_nothing_cannot_be_built(level: Level, path: tuple[str, ...]) -> None:
    with pytest.raises(ValueError):
        Resource("main", level, path)


def test_a_patient_is_named_by_id_and_issuer_which_may_be_nobody() -> None:
    assert Resource.patient("main", "PAT-1") == Resource("main", Level.PATIENT, ("PAT-1", ""))
    assert Resource.patient("main", "PAT-1", "clinic") == Resource("main", Level.PATIENT, ("PAT-1", "clinic"))


def test_a_resource_needs_an_archive() -> None:
    with pytest.raises(ValueError):
        Resource("", Level.STUDY, ("1.2",))


@pytest.mark.parametrize(
    ("uids", "level"),
    [((), Level.ARCHIVE), (("1",), Level.STUDY), (("1", "2"), Level.SERIES), (("1", "2", "3"), Level.INSTANCE)],
)
def test_the_number_of_uids_tells_the_level(uids: tuple[str, ...], level: Level) -> None:
    assert Resource.of("main", *uids) == Resource("main", level, uids)


def test_a_resource_knows_its_study_and_series() -> None:
    assert (ARCHIVE.study, ANNA.study, STUDY.study, INSTANCE.study) == (None, None, "1.2.3", "1.2.3")
    assert (STUDY.series, SERIES.series, INSTANCE.series) == (None, "1.2.3.1", "1.2.3.1")


@pytest.mark.parametrize(
    ("upper", "lower", "contained"),
    [
        pytest.param(ARCHIVE, INSTANCE, True, id="an archive contains everything in it"),
        pytest.param(ARCHIVE, ANNA, True, id="patients too"),
        pytest.param(ARCHIVE, TWIN, False, id="but nothing of another"),
        pytest.param(ELSEWHERE, TWIN, True, id="that is in the other"),
        pytest.param(STUDY, STUDY, True, id="a study contains itself"),
        pytest.param(STUDY, INSTANCE, True, id="and its instances"),
        pytest.param(STUDY, OTHER, False, id="not a study whose UID continues its own"),
        pytest.param(SERIES, STUDY, False, id="a series does not contain its study"),
        pytest.param(SERIES, SISTER, False, id="nor its sister"),
        pytest.param(ANNA, ANNA, True, id="a patient is themselves"),
        pytest.param(ANNA, BORIS, False, id="and nobody else"),
        pytest.param(ANNA, STUDY, False, id="which studies are theirs is not in the names"),
        pytest.param(STUDY, ANNA, False, id="nor whose a study is"),
        pytest.param(STUDY, Resource.patient("main", "1.2.3"), False, id="nor when the patient's id is its UID"),
        pytest.param(
            Resource.patient("main", "1.2.3", "1.2.3.1"),
            INSTANCE,
            False,
            id="nor when id and issuer are those of a series",
        ),
    ],
)
def test_what_contains_what(upper: Resource, lower: Resource, contained: bool) -> None:
    assert upper.contains(lower) is contained


@given(st.lists(UIDS, max_size=3), st.lists(UIDS, max_size=3))
def test_containing_is_starting_with_the_same_uids(upper: list[str], lower: list[str]) -> None:
    contained = upper == lower[: len(upper)]
    assert Resource.of("main", *upper).contains(Resource.of("main", *lower)) is contained


def test_a_resource_is_written_without_the_patient_s_id() -> None:
    assert str(ANNA) == "main:patient"
    assert str(SERIES) == "main:1.2.3/1.2.3.1"
    assert str(ARCHIVE) == "main:"
