"""A study downloaded by a person and by programs, in front of each kind of archive."""

from __future__ import annotations

import io
import subprocess
import zipfile
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path

import pydicom
import pytest
from playwright.sync_api import Browser, expect

from tests.e2e import dataset
from tests.e2e.visitor import Visitor, visitor
from tests.servers.keyhole import Keyhole, Opened, share_id
from tests.servers.process import wait_until

pytestmark = pytest.mark.e2e
ZIP = "?accept=application/zip"
PARTS = 'multipart/related; type="application/dicom"'
BARE = "application/dicom"
CT = f"{dataset.STUDY}.1"


def studies(visit: Opened, *below: str) -> str:
    return "/".join((f"{visit.below}dicom-web/studies/{dataset.STUDY}", *below))


@pytest.fixture
def keeper(server: Keyhole) -> Opened:
    return server.open(server.share(dataset.STUDY, download=True))


def files_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        assert package.testzip() is None
        return {name: package.read(name) for name in package.namelist()}


def uids(content: bytes) -> tuple[str, str, str]:
    read = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
    return str(read.StudyInstanceUID), str(read.SeriesInstanceUID), str(read.SOPInstanceUID)


def test_a_study_is_a_file_set_of_exactly_its_instances(server: Keyhole, keeper: Opened, tmp_path: Path) -> None:
    answer = server.get(studies(keeper) + ZIP, keeper.as_cookie)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/zip")
    (tmp_path / "dicom.zip").write_bytes(answer.body)
    assert subprocess.run(["unzip", "-q", tmp_path / "dicom.zip", "-d", tmp_path / "disc"], check=False).returncode == 0
    assert subprocess.run(["7zz", "t", "-bd", tmp_path / "dicom.zip"], capture_output=True, check=False).returncode == 0

    dump = subprocess.run(["dcmdump", tmp_path / "disc" / "DICOMDIR"], capture_output=True, text=True, check=True)
    assert not dump.stderr
    listed = pydicom.dcmread(tmp_path / "disc" / "DICOMDIR").DirectoryRecordSequence
    images = [record for record in listed if "ReferencedFileID" in record]
    assert len(images) == len(list((tmp_path / "disc" / "DICOM").rglob("IM*"))) > 60
    for record in images:
        content = (tmp_path / "disc" / Path(*record.ReferencedFileID)).read_bytes()
        study, _, instance = uids(content)
        assert (study, instance) == (dataset.STUDY, record.ReferencedSOPInstanceUIDInFile)

    described = server.get(studies(keeper, "metadata"), keeper.as_cookie).json()
    held = {item["00080018"]["Value"][0] for item in described}
    assert {record.ReferencedSOPInstanceUIDInFile for record in images} == held


def test_it_is_the_same_every_time_and_its_length_is_right_where_it_is_told(server: Keyhole, keeper: Opened) -> None:
    target = studies(keeper) + ZIP
    first, second = (server.get(target, keeper.as_cookie) for _ in range(2))
    assert first.body == second.body
    asked = server.ask("HEAD", target, keeper.as_cookie)
    assert (asked.status, asked.body) == (200, b"")
    if "content-length" in asked.headers:
        assert int(asked.headers["content-length"]) == len(first.body)
    knows = not server.environment["KEYHOLE_ARCHIVE"].startswith("http")
    assert ("content-length" in asked.headers) is knows


def test_a_share_of_a_series_gives_its_files_alone(server: Keyhole) -> None:
    keeper = server.open(server.share(dataset.STUDY, series=CT, download=True))
    answer = server.get(studies(keeper, "series", CT) + ZIP, keeper.as_cookie)
    contents = [content for name, content in files_of(answer.body).items() if name != "DICOMDIR"]
    assert {uids(content)[:2] for content in contents} == {(dataset.STUDY, CT)}
    assert server.get(studies(keeper) + ZIP, keeper.as_cookie).status == 404


def test_whoever_may_only_look_gets_no_files(server: Keyhole) -> None:
    viewer = server.open(server.share(dataset.STUDY))
    instance = studies(viewer, "series", CT, "instances", f"{CT}.1")
    for target in (studies(viewer) + ZIP, studies(viewer, "series", CT) + ZIP, instance):
        assert server.get(target, viewer.as_cookie).status == 403
    assert b"application/zip" not in server.get(viewer.below, viewer.as_cookie).body


def test_nothing_of_another_study_comes(server: Keyhole, keeper: Opened) -> None:
    for other in (dataset.PRIOR, dataset.STRANGER):
        assert server.get(f"{keeper.below}dicom-web/studies/{other}{ZIP}", keeper.as_cookie).status == 404


@pytest.mark.parametrize("accept", [PARTS, f"{PARTS}; transfer-syntax=*"])
def test_a_program_gets_the_study_in_parts(server: Keyhole, keeper: Opened, accept: str) -> None:
    answer = server.get(studies(keeper), {**keeper.as_bearer, "Accept": accept})
    assert answer.status == 200
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = list(BytesParser(policy=HTTP).parsebytes(head + answer.body).iter_parts())
    packed = files_of(server.get(studies(keeper) + ZIP, keeper.as_bearer).body)
    assert len(parts) == len(packed) - 1
    assert {part.get_content_type() for part in parts} == {BARE}


def test_a_program_gets_one_instance_bare(server: Keyhole, keeper: Opened) -> None:
    target = studies(keeper, "series", CT, "instances", f"{CT}.1")
    answer = server.get(target, {**keeper.as_bearer, "Accept": BARE})
    assert (answer.status, answer.headers["content-type"]) == (200, BARE)
    assert uids(answer.body) == (dataset.STUDY, CT, f"{CT}.1")
    packed = files_of(server.get(studies(keeper) + ZIP, keeper.as_bearer).body)
    assert answer.body in packed.values()
    assert server.get(studies(keeper), {**keeper.as_bearer, "Accept": BARE}).status == 406


def test_the_sender_sees_that_it_was_downloaded(server: Keyhole) -> None:
    link = server.share(dataset.STUDY, download=True)
    keeper = server.open(link)
    size = len(server.get(studies(keeper) + ZIP, keeper.as_cookie).body)
    [row] = [row for row in server.trail("--share", share_id(link)) if row["event"] == "export"]
    assert (row["action"], row["visit"], row["study"]) == ("download", keeper.id, dataset.STUDY)

    def counted() -> bool:
        counts = [row for row in server.trail("--share", share_id(link)) if row["event"] == "count"]
        return any(row["action"] == "download" and row["bytes"] == size and row["images"] > 60 for row in counts)

    wait_until(counted, 10, "the download is not counted")
    assert "downloaded" in server.run("show", share_id(link)).stdout


@pytest.fixture
def person(browser: Browser, server: Keyhole) -> Iterator[Visitor]:
    with visitor(browser, server) as who:
        yield who
        assert not who.elsewhere, "requests left the origin"


def test_a_person_presses_the_button_and_has_a_file_that_opens(
    person: Visitor, server: Keyhole, tmp_path: Path
) -> None:
    person.open(server.share(dataset.STUDY, download=True))
    with person.page.expect_download() as saving:
        person.page.get_by_role("link", name="Download this study").click()
    assert saving.value.suggested_filename == "dicom.zip"
    saving.value.save_as(tmp_path / "dicom.zip")
    assert "DICOMDIR" in files_of((tmp_path / "dicom.zip").read_bytes())
    expect(person.page.get_by_role("link", name="Open in viewer")).to_be_visible()
    assert person.complaints == []


def test_a_page_for_looking_has_no_such_button(person: Visitor, server: Keyhole) -> None:
    person.open(server.share(dataset.STUDY))
    expect(person.page.get_by_role("link", name="Open in viewer")).to_be_visible()
    expect(person.page.get_by_role("link", name="Download")).to_have_count(0)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_button_fits_any_screen(person: Visitor, server: Keyhole, width: int) -> None:
    person.page.set_viewport_size({"width": width, "height": 844})
    person.open(server.share(dataset.STUDY, series=CT, download=True))
    button = person.page.get_by_role("link", name="Download “phantom”")
    expect(button).to_be_visible()
    box = button.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["height"] >= 44
