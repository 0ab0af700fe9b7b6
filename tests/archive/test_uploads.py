"""What is uploaded is stored whole or not at all, found at once, and never instead of something else."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from keyhole.archive import receiver, uploads
from keyhole.archive.folder import FolderArchive
from keyhole.errors import ArchiveFailed, Refused
from tests.archive.makers import Answered, ask, found, image, save

pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")
TYPE = 'multipart/related; type="application/dicom"; boundary="b"'
REFERENCED, FAILED, OTHERS = "00081199", "00081198", "0008119A"


def whole(dataset: Dataset, preamble: bytes = bytes(128)) -> bytes:
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return preamble + out.getvalue()[128:]


def body(*contents: bytes, kind: str = "application/dicom") -> bytes:
    head = f"\r\n--b\r\nContent-Type: {kind}\r\n\r\n".encode()
    return b"".join(head + content for content in contents) + b"\r\n--b--\r\n"


async def _pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def post(
    archive: FolderArchive, content: bytes, *, study: str = "", content_type: str = TYPE, size: int = 64
) -> Answered:
    path = f"/studies/{study}" if study else "/studies"
    async with archive.post(path, content_type, _pieces(content, size), "application/dicom+json") as answer:
        read = b"".join([chunk async for chunk in answer.body])
    return Answered(answer.status, answer.content_type, dict(answer.headers), answer.length, read)


def told(answer: Answered) -> dict[str, list[tuple[str, int | None]]]:
    """The instances that a receipt names in each of its lists, and why they failed."""
    return {
        tag: [
            (item.get("00081155", {"Value": [""]})["Value"][0], item.get("00081197", {"Value": [None]})["Value"][0])
            for item in element["Value"]
        ]
        for tag, element in answer.json.items()
        if element["vr"] == "SQ"
    }


@pytest.fixture
async def archive(folder: Path, tmp_path: Path) -> AsyncIterator[FolderArchive]:
    archive = FolderArchive("demo", folder, tmp_path / "index.sqlite", uploads=True)
    await archive.rescan()
    yield archive
    await archive.close()


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*.dcm")}


async def test_nothing_is_taken_unless_the_operator_allows_it(folder: Path, tmp_path: Path) -> None:
    archive = FolderArchive("demo", folder, tmp_path / "index.sqlite")
    with pytest.raises(Refused):
        archive.post("/studies", TYPE, _pieces(b"", 1), "*/*")
    await archive.close()
    assert files(folder) == []


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_what_is_stored_is_found_at_once(archive: FolderArchive, folder: Path, size: int) -> None:
    contents = [whole(image(uid=f"1.1.1.{number}")) for number in (1, 2, 3)]
    answer = await post(archive, body(*contents), size=size)
    assert (answer.status, answer.content_type) == (200, "application/dicom+json")
    assert told(answer) == {REFERENCED: [("1.1.1.1", None), ("1.1.1.2", None), ("1.1.1.3", None)]}
    assert answer.json[REFERENCED]["Value"][0]["00081190"]["Value"] == [
        f"{archive.root}/studies/1.1/series/1.1.1/instances/1.1.1.1"
    ]
    assert await found(archive, "/studies/1.1/instances") == ["1.1.1.1", "1.1.1.2", "1.1.1.3"]
    stored = await ask(archive, "/studies/1.1/series/1.1.1/instances/1.1.1.2", accept="application/dicom")
    assert stored.content == contents[1]
    outcome = await archive.rescan()
    assert outcome is not None
    assert not outcome.changed
    assert files(folder) == [f"uploads/1.1/1.1.1.{number}.dcm" for number in (1, 2, 3)]
    assert modes(folder) == {0o600}


async def test_a_study_in_the_path_is_the_only_one_taken(archive: FolderArchive, folder: Path) -> None:
    contents = [whole(image()), whole(image("1.2", "1.2.1", "1.2.1.1"))]
    answer = await post(archive, body(*contents), study="1.1")
    assert answer.status == 202
    assert told(answer) == {FAILED: [("1.2.1.1", uploads.Failure.OTHER_STUDY)], REFERENCED: [("1.1.1.1", None)]}
    assert answer.json["00081190"]["Value"] == [f"{archive.root}/studies/1.1"]
    refused = await post(archive, body(contents[1]), study="1.1")
    assert refused.status == 409
    assert files(folder) == ["uploads/1.1/1.1.1.1.dcm"]


async def test_the_same_instance_again_is_no_failure_and_another_one_of_its_name_is(
    archive: FolderArchive, folder: Path
) -> None:
    save(folder / "here.dcm", image())
    await archive.rescan()
    same = (folder / "here.dcm").read_bytes()
    assert (await post(archive, body(same))).status == 200
    other = await post(archive, body(whole(image(PatientName="OTHER"))))
    assert (other.status, told(other)) == (409, {FAILED: [("1.1.1.1", uploads.Failure.DUPLICATE)]})
    elsewhere = await post(archive, body(whole(image("9.1", "9.1.1"))))
    assert told(elsewhere) == {FAILED: [("1.1.1.1", uploads.Failure.DUPLICATE)]}
    assert files(folder) == ["here.dcm"]
    assert (folder / "here.dcm").read_bytes() == same


async def test_a_file_that_is_there_and_not_indexed_yet_is_not_overwritten(
    archive: FolderArchive, folder: Path
) -> None:
    content = whole(image())
    assert (await post(archive, body(content))).status == 200
    path = folder / "uploads/1.1/1.1.1.1.dcm"
    path.rename(folder / "kept")
    await archive.rescan()
    (folder / "kept").rename(path)
    other = await post(archive, body(whole(image(PatientName="OTHER"))))
    assert other.status == 409
    assert (await post(archive, body(content))).status == 200
    assert path.read_bytes() == content
    assert await found(archive, "/instances") == ["1.1.1.1"]


async def test_an_instance_whose_file_has_gone_is_stored_again(archive: FolderArchive, folder: Path) -> None:
    save(folder / "here.dcm", image())
    await archive.rescan()
    (folder / "here.dcm").unlink()
    assert (await post(archive, body(whole(image())))).status == 200
    assert (await ask(archive, "/studies/1.1/series/1.1.1/instances/1.1.1.1")).status == 200
    await archive.rescan()
    assert await found(archive, "/instances") == ["1.1.1.1"]


async def test_nothing_is_added_to_the_study_of_another_patient(archive: FolderArchive, folder: Path) -> None:
    assert (await post(archive, body(whole(image())))).status == 200
    answer = await post(archive, body(whole(image(uid="1.1.1.2", PatientID="P2"))))
    assert told(answer) == {FAILED: [("1.1.1.2", uploads.Failure.NOT_AUTHORISED)]}
    assert len(files(folder)) == 1


async def test_of_many_uploads_of_one_instance_one_is_kept(folder: Path, tmp_path: Path) -> None:
    archives = [FolderArchive("demo", folder, tmp_path / "index.sqlite", uploads=True) for _ in range(3)]
    await archives[0].rescan()
    contents = [whole(image(PatientName=f"NUMBER^{number}")) for number in range(9)]
    answers = await asyncio.gather(
        *(post(archives[number % 3], body(content)) for number, content in enumerate(contents))
    )
    assert sorted(answer.status for answer in answers) == [200] + [409] * 8
    winner = next(number for number, answer in enumerate(answers) if answer.status == 200)
    assert (folder / "uploads/1.1/1.1.1.1.dcm").read_bytes() == contents[winner]
    assert len(files(folder)) == 1
    for archive in archives:
        assert await found(archive, "/instances") == ["1.1.1.1"]
        await archive.close()


@pytest.mark.parametrize(
    ("preamble", "kept"),
    [(b"MZ" + b"\x90" * 126, False), (b"#!/bin/sh\n" * 12 + b"\n" * 8, False), (b"II*\0" + b"\1" * 124, True),
     (b"MM\0*" + b"\1" * 124, True)],
    ids=["a program", "a script", "TIFF", "TIFF, big endian"],
)  # fmt: skip
async def test_a_preamble_that_could_run_is_taken_out(
    archive: FolderArchive, folder: Path, preamble: bytes, kept: bool
) -> None:
    content = whole(image(), preamble)
    assert (await post(archive, body(content))).status == 200
    stored = (folder / "uploads/1.1/1.1.1.1.dcm").read_bytes()
    assert stored == (content if kept else bytes(128) + content[128:])
    assert (await post(archive, body(content))).status == 200


async def test_parts_that_are_no_instances_fail_alone(archive: FolderArchive, folder: Path) -> None:
    good = whole(image())
    answer = await post(archive, body(b"no DICOM", good[:-3], b"", good, whole(image(SOPInstanceUID="1.a"))))
    assert answer.status == 202
    assert told(answer) == {REFERENCED: [("1.1.1.1", None)], OTHERS: [("", uploads.Failure.NOT_UNDERSTOOD)] * 4}
    picture = await post(archive, body(good, kind="image/jpeg"))
    assert (picture.status, told(picture)) == (409, {OTHERS: [("", uploads.Failure.NOT_UNDERSTOOD)]})
    assert files(folder) == ["uploads/1.1/1.1.1.1.dcm"]


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"", TYPE, 400),
        (b"--b--\r\n", TYPE, 400),
        (b"no parts", TYPE, 400),
        (body(whole(image()))[:-20], TYPE, 400),
        (body(b"x").replace(b"Content-Type:", b"Content-Type " + b"x" * 100_000), TYPE, 400),
        (body(b"x"), "multipart/form-data; boundary=b", 415),
        (body(b"x"), "multipart/related; type=application/dicom", 415),
        (body(b"x"), 'multipart/related; type="application/dicom+json"; boundary=b', 415),
        (body(b"x"), f"multipart/related; boundary={'b' * 71}", 415),
    ],
    ids=["empty", "no part", "no parts", "cut", "long head", "form", "no boundary", "JSON", "long boundary"],
)
async def test_what_is_no_upload_is_refused(
    archive: FolderArchive, folder: Path, content: bytes, content_type: str, status: int
) -> None:
    assert (await post(archive, content, content_type=content_type, size=1000)).status == status
    await archive.close()
    assert files(folder) == []


async def test_an_upload_has_bounds(archive: FolderArchive, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "PARTS_MOST", 2)
    many = [whole(image(uid=f"1.1.1.{number}")) for number in range(3)]
    assert (await post(archive, body(*many))).status == 413
    assert await found(archive, "/instances") == ["1.1.1.0", "1.1.1.1"]
    monkeypatch.setattr(receiver.Receiver.__init__, "__kwdefaults__", {"largest": 600})
    long = image(uid="1.1.1.9")
    long.ImageComments = "x" * 600
    answer = await post(archive, body(whole(long)))
    assert (answer.status, told(answer)) == (409, {OTHERS: [("", uploads.Failure.OUT_OF_RESOURCES)]})


@pytest.mark.parametrize(("number", "failure"), [(errno.ENOSPC, 0xA700), (errno.EIO, 0x0110)], ids=["full", "broken"])
@pytest.mark.parametrize("step", ["fsync", "open"])
async def test_a_disk_that_takes_no_more_leaves_nothing_behind(
    archive: FolderArchive, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, failure: int, step: str
) -> None:
    await post(archive, body(whole(image("1.5", "1.5.1", "1.5.1.1"))))
    real = getattr(os, step)

    def fails(*arguments: Any, **named: Any) -> Any:
        if step == "fsync" or str(arguments[0]).endswith(".part"):
            raise OSError(number, "as tested")
        return real(*arguments, **named)

    with monkeypatch.context() as broken:
        broken.setattr(os, step, fails)
        answer = await post(archive, body(whole(image())))
    assert answer.status == 409
    assert [item[1] for items in told(answer).values() for item in items] == [failure]
    assert files(folder) == ["uploads/1.5/1.5.1.1.dcm"]
    assert (await post(archive, body(whole(image())))).status == 200


async def test_a_sender_who_leaves_leaves_nothing_behind(archive: FolderArchive, folder: Path) -> None:
    async def leaving() -> AsyncIterator[bytes]:
        yield body(whole(image()), whole(image(uid="1.1.1.2")))[:-100]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        async with archive.post("/studies", TYPE, leaving(), "*/*"):
            pass
    await archive.close()
    assert files(folder) == ["uploads/1.1/1.1.1.1.dcm"]


async def test_uploads_wait_for_the_index(folder: Path, tmp_path: Path) -> None:
    archive = FolderArchive("demo", folder, tmp_path / "index.sqlite", uploads=True)
    with pytest.raises(ArchiveFailed, match="not indexed yet"):
        await post(archive, body(whole(image())))
    await archive.rescan()
    assert (await post(archive, body(whole(image())))).status == 200
    assert (await post(archive, b"", study="1.1/series/1")).status == 404
    await archive.close()


async def test_what_was_cut_off_long_ago_is_taken_away(folder: Path, tmp_path: Path) -> None:
    old, new = folder / "uploads/.old.part", folder / "uploads/.new.part"
    old.parent.mkdir()
    for path in (old, new):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    archive = FolderArchive("demo", folder, tmp_path / "index.sqlite", uploads=True)
    await archive.rescan()
    await post(archive, body(whole(image())))
    await archive.close()
    assert (old.exists(), new.exists()) == (False, True)
