"""Searches answer what PS3.4 C.2.2.2 and PS3.18 section 10.6 say, held to a plain model."""

from __future__ import annotations

import asyncio
import re
import string
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from keyhole.archive.folder import FolderArchive
from tests.archive.makers import ask, found, image, save

Serve = Callable[[], Awaitable[FolderArchive]]


@dataclass(frozen=True)
class Made:
    """A series with its study, as the model knows them."""

    study: str
    date: str
    time: str
    name: str
    patient: str
    accession: str
    series: str
    modality: str
    number: str
    instances: tuple[str, ...]


STUDIES = [
    ("1.1", "20240102", "101500", "DOE^JANE", "P1", "A1", ("CT", "MR")),
    ("1.2", "20240102", "101500.5", "Doe^John", "P2", "A2", ("CT",)),
    ("1.10", "20240102", "1015", "DOEHRING^J", "P10", "", ("US", "US", "SR")),
    ("1.3", "20231231", "235959", "Ångström^Ö", "P 3", "a1", ("MR",)),
    ("1.4", "20231231", "", "MÜLLER^HANS^^DR", "p1", "A*1", ("CT", "PT")),
    ("1.5", "", "080000", "", "", "", ("OT",)),
    ("1.6", "19991231", "000000", "O'NEIL^[X]", "P1", "A1", ("CT",)),
    ("01.07", "20240229", "120000", "YAMADA^TARO", "%1", "A_1", ("MR",)),
]
MADE = [
    Made(study, date, time, name, patient, accession, f"{study}.{at}", modality, str(at),
         tuple(f"{study}.{at}.{number}" for number in range(1, at + 1)))
    for study, date, time, name, patient, accession, modalities in STUDIES
    for at, modality in enumerate(modalities, 1)
]  # fmt: skip


def _write(folder: Path) -> None:
    for made in MADE:
        for number, uid in enumerate(made.instances, 1):
            dataset = image(
                made.study, made.series, uid,
                StudyDate=made.date, StudyTime=made.time, PatientName=made.name, PatientID=made.patient,
                AccessionNumber=made.accession, Modality=made.modality, SeriesNumber=made.number,
                InstanceNumber=str(number), SpecificCharacterSet="ISO_IR 192", StudyDescription=f"about {made.study}",
                SeriesDescription=f"series {made.number}", PatientComments="comment",
            )  # fmt: skip
            save(folder / f"{uid}.dcm", dataset)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    _write(folder / "files")
    return folder


@pytest.fixture
async def archive(world: Path) -> AsyncIterator[FolderArchive]:
    archive = FolderArchive("demo", world / "files", world / "index.sqlite")
    await archive.rescan()
    yield archive
    await archive.close()


def _order(made: Made) -> tuple[Any, ...]:
    date = -int(made.date or 0)
    time = made.time and f"{made.time.partition('.')[0].ljust(6, '0')}.{made.time.partition('.')[2].ljust(6, '0')}"
    return date, [-ord(character) for character in time or "\0"], made.study, made.series


def _like(pattern: str, value: str) -> bool:
    """Wildcards by brute force."""
    if not pattern:
        return not value
    if pattern[0] == "*":
        return any(_like(pattern[1:], value[at:]) for at in range(len(value) + 1))
    return bool(value) and pattern[0] in ("?", value[0]) and _like(pattern[1:], value[1:])


def _lies(query: str, value: str) -> bool:
    """A date in a range, both full."""
    low, dash, high = query.partition("-")
    return bool(value) and ((low or "0") <= value <= (high or "9") if dash else value == query)


MODEL: dict[str, Callable[[Made, str], bool]] = {
    "StudyInstanceUID": lambda made, value: made.study in re.split(r"[,\\]", value),
    "PatientID": lambda made, value: bool(made.patient) and _like(value, made.patient),
    "AccessionNumber": lambda made, value: bool(made.accession) and _like(value, made.accession),
    "PatientName": lambda made, value: bool(made.name) and _like(value.casefold().rstrip("^"), made.name.casefold()),
    "StudyDate": lambda made, value: _lies(value, made.date),
    "ModalitiesInStudy": lambda made, value: any(_like(value, one.modality) for one in MADE if one.study == made.study),
    "SeriesInstanceUID": lambda made, value: made.series in value.split(","),
    "Modality": lambda made, value: _like(value, made.modality),
    "SeriesNumber": lambda made, value: int(made.number) == int(value),
}
OF_STUDIES = tuple(MODEL)[:6]


def model(names: dict[str, str], level: str) -> list[str]:
    """The UIDs that a search finds, in order."""
    known = {name: value for name, value in names.items() if level != "studies" or name in OF_STUDIES}
    universal = {name for name, value in known.items() if not value.strip("*")}
    hits = [
        made
        for made in sorted(MADE, key=_order)
        if all(MODEL[name](made, value) for name, value in known.items() if name not in universal)
    ]
    if level == "studies":
        return list(dict.fromkeys(made.study for made in hits))
    if level == "series":
        return [made.series for made in hits]
    return [uid for made in hits for uid in sorted(made.instances)]


def _some(values: set[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(sorted(values - {""}))


def _wild(values: set[str]) -> st.SearchStrategy[str]:
    def put(value: str, at: int, by: str) -> str:
        at %= len(value)
        return value[:at] + by + value[at + 1 :]

    letters = st.text(string.ascii_letters + string.digits + "^*?%_' []Ü", max_size=4)
    return st.one_of(_some(values), letters, st.builds(put, _some(values), st.integers(0, 20), st.sampled_from("*?")))


_DATES = st.one_of(st.just(""), _some({made.date for made in MADE} | {"20240101", "20250101"}))
KEYS = {
    "StudyInstanceUID": st.lists(_some({made.study for made in MADE} | {"1", "1.7"}), min_size=1).map(",".join),
    "PatientID": _wild({made.patient for made in MADE}),
    "AccessionNumber": _wild({made.accession for made in MADE}),
    "PatientName": _wild({made.name for made in MADE}),
    "StudyDate": st.one_of(_DATES, st.builds("{}-{}".format, _DATES, _DATES).filter(lambda text: text != "-")),
    "ModalitiesInStudy": _wild({made.modality for made in MADE}),
    "SeriesInstanceUID": st.lists(_some({made.series for made in MADE}), min_size=1).map(",".join),
    "Modality": _wild({made.modality for made in MADE}),
    "SeriesNumber": st.sampled_from("1239"),
}
_TAGS = {"PatientID": "00100020", "StudyInstanceUID": "0020000d", "Modality": "00080060"}


@given(data=st.data(), level=st.sampled_from(["studies", "series", "instances"]))
def test_a_search_finds_what_the_model_finds_in_its_order_and_pages(
    world: Path, data: st.DataObject, level: str
) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(KEYS)), unique=True, max_size=3))
    query = {name: data.draw(KEYS[name].map(lambda text: text.strip())) for name in names}
    offset, limit = data.draw(st.integers(0, 4)), data.draw(st.one_of(st.none(), st.integers(0, 5)))
    spelt = [
        f"{data.draw(st.sampled_from([name, _TAGS.get(name, name)]))}={quote(value)}" for name, value in query.items()
    ]
    spelt += [f"offset={offset}"] + ([] if limit is None else [f"limit={limit}"])

    async def search() -> tuple[list[str], list[str], str]:
        archive = FolderArchive("demo", world / "files", world / "index.sqlite")
        await archive.rescan()
        try:
            every = await found(archive, f"/{level}", "&".join(spelt[: len(query)]))
            page = await found(archive, f"/{level}", "&".join(spelt))
            answer = await ask(archive, f"/{level}", "&".join(spelt))
        finally:
            await archive.close()
        return every, page, answer.headers.get("warning", "")

    every, page, warning = asyncio.run(search())
    expected = model(query, level)
    assert every == expected
    assert page == expected[offset:][:limit]
    left = len(expected[offset:]) - len(page)
    told = f"299 keyhole: There are {left} additional results that can be requested"
    assert warning == (told if left else "")


@pytest.mark.parametrize(
    ("query", "studies"),
    [
        pytest.param("PatientName=doe*", ["1.2", "1.1", "1.10"], id="names are compared without case"),
        pytest.param("PatientName=%C3%A5NGSTR%C3%96M%5E*", ["1.3"], id="in any alphabet"),
        pytest.param("PatientName=DOE^JANE^^", ["1.1"], id="and without the carets at the end"),
        pytest.param("PatientName=M%C3%9CLLER^HANS", [], id="but as a whole"),
        pytest.param("PatientID=p1", ["1.4"], id="an id is compared with case"),
        pytest.param("PatientID=%251", ["01.07"], id="a percent sign is nothing special"),
        pytest.param("AccessionNumber=A_1", ["01.07"], id="nor is an underscore"),
        pytest.param("AccessionNumber=A1%20", ["1.1", "1.6"], id="spaces at the end do not count"),
        pytest.param("PatientName=O'NEIL^[X]", ["1.6"], id="nor are quotes and brackets"),
        pytest.param("PatientID=%27%20OR%201=1--", [], id="nobody speaks SQL"),
        pytest.param("StudyDate=20231231-20240102&StudyTime=1015", ["1.2", "1.1", "1.10"], id="a minute is all of it"),
        pytest.param("StudyTime=10-11", ["1.2", "1.1", "1.10"], id="a range of hours includes the last"),
        pytest.param("StudyTime=-080000", ["1.6", "1.5"], id="an open range"),
        pytest.param("StudyDate=-20000101", ["1.6"], id="a study without a date is in no range"),
        pytest.param("ModalitiesInStudy=PT", ["1.4"], id="one modality of several"),
        pytest.param("NumberOfStudyRelatedSeries=3", ["1.10"], id="a computed number"),
        pytest.param("StudyDescription=about%201.3", ["1.3"], id="an attribute that is no default"),
        pytest.param("PatientSex=M", [], id="an attribute that none has"),
        pytest.param("Modality=CT&StudyInstanceUID=1.3", ["1.3"], id="a key below the level is passed over"),
        pytest.param("Nonsense=1&StudyInstanceUID=1.3", ["1.3"], id="a name nobody knows is passed over"),
        pytest.param("&&StudyInstanceUID=1.3&", ["1.3"], id="an empty parameter is passed over"),
        pytest.param("StudyInstanceUID=1.1%5C1.3", ["1.1", "1.3"], id="DIMSE's list"),
        pytest.param("StudyInstanceUID=1.7", [], id="a UID is compared as text"),
        pytest.param("StudyInstanceUID=1.3&SOPInstanceUID=&limit=", ["1.3"], id="what is empty asks nothing"),
    ],
)  # fmt: skip
async def test_matching(archive: FolderArchive, query: str, studies: list[str]) -> None:
    assert await found(archive, "/studies", query) == studies


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1", "limit=abc", "limit=1.5", "offset=+1", "limit=%D9%A1", "limit=1&limit=2",
        "limit=9999999999999999999",
        "StudyInstanceUID=1.*", "StudyInstanceUID=1.1,", "StudyInstanceUID=1..1", "StudyInstanceUID=abc",
        f"StudyInstanceUID=1.{'1' * 63}", "StudyDate=2024", "StudyDate=20240101-20240102-20240103", "StudyDate=-",
        "StudyTime=25x", "StudyDate=yesterday", "PatientID=a&PatientID=b", "PatientID=a&00100020=b", "PatientID=%",
        "PatientID=%G1", "PatientID=%ff", "PatientID=%00", "PatientID=a%0Ab", "fuzzymatching=maybe",
        "emptyvaluematching=true", "multiplevaluematching=false", "NumberOfStudyRelatedSeries=many",
    ],
)  # fmt: skip
async def test_a_bad_query_is_refused(archive: FolderArchive, query: str) -> None:
    answer = await ask(archive, "/studies", query)
    assert (answer.status, answer.content_type) == (400, "application/problem+json")


async def test_a_study_answers_its_default_attributes(archive: FolderArchive) -> None:
    (study,) = (await ask(archive, "/studies", "StudyInstanceUID=1.10")).json
    assert study == {
        "00080020": {"vr": "DA", "Value": ["20240102"]},
        "00080030": {"vr": "TM", "Value": ["1015"]},
        "00080050": {"vr": "SH"},
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080061": {"vr": "CS", "Value": ["SR", "US"]},
        "00080090": {"vr": "PN"},
        "00081190": {"vr": "UR", "Value": ["http://demo.keyhole.invalid/dicom-web/studies/1.10"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "DOEHRING^J"}]},
        "00100020": {"vr": "LO", "Value": ["P10"]},
        "00100030": {"vr": "DA"},
        "00100040": {"vr": "CS"},
        "0020000D": {"vr": "UI", "Value": ["1.10"]},
        "00200010": {"vr": "SH"},
        "00201206": {"vr": "IS", "Value": [3]},
        "00201208": {"vr": "IS", "Value": [6]},
    }


SERIES = {
    "00080060", "0008103E", "00081190", "0020000D", "0020000E", "00200011", "00201209", "00400244", "00400245",
    "00400275",
}  # fmt: skip
INSTANCE = {
    "00080016", "00080018", "00080056", "00081190", "00083002", "0020000D", "0020000E", "00200013", "00280010",
    "00280011", "00280100",
}  # fmt: skip
STUDY = {
    "00080020", "00080030", "00080050", "00080056", "00080061", "00080090", "00081190", "00100010", "00100020",
    "00100030", "00100040", "0020000D", "00200010", "00201206", "00201208",
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "tags"),
    [
        ("/studies", STUDY),
        ("/series", STUDY - {"00080056"} | SERIES),
        ("/instances", STUDY | SERIES | INSTANCE),
        ("/studies/1.1/series", SERIES),
        ("/studies/1.1/instances", SERIES | INSTANCE),
        ("/studies/1.1/series/1.1.1/instances", INSTANCE),
    ],
)
async def test_each_level_answers_its_own_defaults(archive: FolderArchive, path: str, tags: set[str]) -> None:
    result = (await ask(archive, path)).json[0]
    assert set(result) - {"00080056"} == tags - {"00080056"}


async def test_links_and_numbers_of_a_series_and_an_instance(archive: FolderArchive) -> None:
    series = (await ask(archive, "/studies/1.1/series", "SeriesInstanceUID=1.1.2")).json[0]
    assert series["00081190"]["Value"] == [f"{archive.root}/studies/1.1/series/1.1.2"]
    assert series["00201209"]["Value"] == [2]
    instance = (await ask(archive, "/studies/1.1/series/1.1.2/instances", "InstanceNumber=2")).json[0]
    assert instance["00081190"]["Value"] == [f"{archive.root}/studies/1.1/series/1.1.2/instances/1.1.2.2"]
    assert instance["00083002"] == {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]}
    assert instance["00280010"] == {"vr": "US", "Value": [2]}


BOTH = {"00081030", "00104000"}
BELOW = "/studies/1.1/series/1.1.1/instances"


@pytest.mark.parametrize(
    ("path", "query", "more"),
    [
        pytest.param("/studies", "includefield=00081030,PatientComments", BOTH, id="both spellings"),
        pytest.param("/studies", "includefield=00081030%2C00104000", BOTH, id="encoded comma"),
        pytest.param("/studies", "includefield=StudyDescription&includefield=00104000", BOTH, id="repeated"),
        pytest.param("/studies", "includefield=Modality,Rows", set(), id="no attribute of a lower level"),
        pytest.param("/studies", "includefield=Nonsense,99999999", set(), id="nobody knows it"),
        pytest.param("/studies", "includefield=all", BOTH, id="all of the level"),
        pytest.param("/studies/1.1/series", "includefield=StudyDescription", {"00081030"}, id="of a level above"),
        pytest.param(BELOW, "includefield=PixelRepresentation", {"00280103"}, id="of an instance"),
        pytest.param(BELOW, "includefield=PixelData", set(), id="never bulk"),
    ],
)
async def test_more_is_answered_on_request(archive: FolderArchive, path: str, query: str, more: set[str]) -> None:
    target = f"{query}&StudyInstanceUID=1.1" if path == "/studies" else query
    plain = (await ask(archive, path, "StudyInstanceUID=1.1")).json[0]
    result = (await ask(archive, path, target)).json[0]
    assert {tag for tag in result if tag not in plain} == more


async def test_all_of_an_instance_is_all_of_its_level(archive: FolderArchive) -> None:
    result = (await ask(archive, "/studies/1.1/series/1.1.1/instances", "includefield=all")).json[0]
    assert {"00280002", "00280004", "00280101", "00280103"} <= set(result)
    assert not {"00100010", "00081030", "00080060", "7FE00010"} & set(result)


async def test_the_path_wins_over_the_query(archive: FolderArchive) -> None:
    assert await found(archive, "/studies/1.1/series", "StudyInstanceUID=1.3") == ["1.1.1", "1.1.2"]
    assert await found(archive, "/studies/1.1/series/1.1.1/instances", "SeriesInstanceUID=1.1.2") == ["1.1.1.1"]


async def test_a_series_is_searched_below_its_own_study_only(archive: FolderArchive) -> None:
    assert await found(archive, "/studies/1.1/series/1.2.1/instances") == []
    assert await found(archive, "/studies/9.9/series") == []


async def test_fuzzy_matching_is_not_done_and_that_is_said(archive: FolderArchive) -> None:
    answer = await ask(archive, "/studies", "fuzzymatching=true&PatientName=DOE^JANE&limit=1")
    assert len(answer.json) == 1
    assert "fuzzymatching parameter is not supported" in answer.headers["warning"]
    assert "warning" not in (await ask(archive, "/studies", "fuzzymatching=false")).headers


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/dicom+json", 200),
        ("*/*", 200),
        ("", 200),
        ("application/json", 200),
        ("application/dicom+xml", 406),
        ('multipart/related; type="application/dicom+xml"', 406),
    ],
)
async def test_searches_answer_json(archive: FolderArchive, accept: str, status: int) -> None:
    answer = await ask(archive, "/studies", accept=accept)
    assert answer.status == status
    assert answer.content_type == ("application/dicom+json" if status == 200 else "application/problem+json")


async def test_items_of_sequences_are_keys(folder: Path, serve: Serve) -> None:
    item = Dataset()
    item.ScheduledProcedureStepID, item.RequestedProcedureID = "STEP1", "REQ1"
    save(folder / "1.dcm", image(RequestAttributesSequence=[item]))
    save(folder / "2.dcm", image(study="1.2", series="1.2.1", uid="1.2.1.1"))
    archive = await serve()
    for key in ("RequestAttributesSequence.ScheduledProcedureStepID", "00400275.00400009"):
        assert await found(archive, "/series", f"{key}=STEP*") == ["1.1.1"]
        assert await found(archive, "/series", f"{key}=OTHER") == []
    (series,) = (await ask(archive, "/studies/1.1/series")).json
    assert series["00400275"]["Value"][0]["00401001"]["Value"] == ["REQ1"]


async def test_more_results_than_are_read_at_once_come_whole_and_in_order(folder: Path, serve: Serve) -> None:
    uids = sorted(f"1.1.1.{number}" for number in range(1, 451))
    for uid in uids:
        save(folder / uid, image(uid=uid, InstanceNumber=uid.rpartition(".")[2]))
    archive = await serve()
    assert await found(archive, "/studies/1.1/instances") == uids
    assert await found(archive, "/instances", "InstanceNumber=450") == ["1.1.1.450"]
    numbers = [one["00200013"]["Value"][0] for one in (await ask(archive, "/studies/1.1/metadata")).json]
    assert numbers == list(range(1, 451))
