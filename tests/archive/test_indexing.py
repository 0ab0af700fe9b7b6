"""The index is what the folder holds."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from keyhole.archive.folder import FolderArchive
from keyhole.archive.index import APPLICATION
from keyhole.errors import ArchiveFailed, Misconfigured
from tests.archive.makers import BUNDLED, ask, found, image, later, save

pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")
Serve = Callable[[], Awaitable[FolderArchive]]


async def test_files_are_found_in_folders_with_spaces_and_any_letters(folder: Path, serve: Serve) -> None:
    save(folder / "a b" / "Ärzte 日本" / "no suffix", image())
    save(folder / os.fsdecode(b"\xff latin"), image(study="1.2", series="1.2.1", uid="1.2.1.1"))
    archive = await serve()
    assert sorted(await found(archive, "/studies")) == ["1.1", "1.2"]
    assert (await ask(archive, "/studies/1.2/series/1.2.1/instances/1.2.1.1/frames/1")).status == 200


async def test_an_empty_folder_has_no_studies(serve: Serve) -> None:
    answer = await ask(await serve(), "/studies")
    assert (answer.status, answer.json) == (200, [])


def _cut(name: str, length: int) -> bytes:
    return (BUNDLED / name).read_bytes()[:length]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"", "empty", id="an empty file"),
        pytest.param(b"hello", "not a DICOM file", id="a text"),
        pytest.param(os.urandom(4096), "not a DICOM file", id="noise"),
        pytest.param(b"\0" * 128 + b"DICM", "truncated", id="a preamble alone"),
        pytest.param(_cut("CT_small.dcm", 1000), "truncated", id="cut in a value"),
        pytest.param(_cut("CT_small.dcm", 6290), "truncated", id="cut before its pixel data"),
        pytest.param(_cut("CT_small.dcm", 6288), "its pixel data is missing", id="cut between two elements"),
        pytest.param(_cut("CT_small.dcm", 6304), "truncated", id="cut in its pixel data"),
        pytest.param(_cut("MR_small_RLE.dcm", 5000), "truncated", id="cut in a fragment"),
        pytest.param(_cut("image_dfl.dcm", 2000), "truncated", id="cut in what is deflated"),
        pytest.param((BUNDLED / "MR_truncated.dcm").read_bytes(), "truncated", id="the truncated file of pydicom"),
        pytest.param(
            (BUNDLED / "dicomdirtests" / "DICOMDIR").read_bytes(), "a DICOMDIR, which holds no images", id="a DICOMDIR"
        ),
    ],
)
async def test_what_is_not_a_whole_instance_is_named_and_the_rest_is_served(
    folder: Path, serve: Serve, content: bytes, why: str
) -> None:
    save(folder / "good.dcm", image())
    (folder / "bad file").write_bytes(content)
    archive = await serve()
    assert archive.unreadable == [("bad file", why)]
    assert await found(archive, "/studies") == ["1.1"]


async def test_every_place_where_a_file_can_be_cut_is_noticed(folder: Path, serve: Serve) -> None:
    whole = save(folder / "whole.dcm", image()).read_bytes()
    for length in range(len(whole)):
        (folder / f"z cut {length}").write_bytes(whole[:length])
    archive = await serve()
    # Nobody can tell that a file which ends before it says anything of its pixels lacks them: it is a duplicate here.
    told = {name for name, _ in (*archive.unreadable, *archive.duplicates)}
    assert told == {f"z cut {length}" for length in range(len(whole))}


@pytest.mark.parametrize(
    ("attribute", "why"),
    [
        ("StudyInstanceUID", "has no UID of its study"),
        ("SeriesInstanceUID", "has no UID of its series"),
        ("SOPInstanceUID", "has no UID of its instance"),
    ],
)
async def test_an_instance_without_a_name_is_unreadable(folder: Path, serve: Serve, attribute: str, why: str) -> None:
    save(folder / "a.dcm", image(**{attribute: None}))
    archive = await serve()
    assert archive.unreadable == [("a.dcm", why)]


async def test_a_uid_that_is_none_is_unreadable(folder: Path, serve: Serve) -> None:
    path = save(folder / "a.dcm", image(study="1.2.777"))
    path.write_bytes(path.read_bytes().replace(b"1.2.777", b"1.2./.."))
    archive = await serve()
    assert archive.unreadable == [("a.dcm", "the UID of its study is none")]


async def test_of_files_with_the_same_instance_the_first_path_counts(folder: Path, serve: Serve) -> None:
    save(folder / "b.dcm", image(PatientName="SECOND"))
    archive = await serve()
    save(folder / "a.dcm", image(PatientName="FIRST"))
    save(folder / "c.dcm", image(PatientName="THIRD"))
    await serve()
    (study,) = (await ask(archive, "/studies")).json
    assert study["00100010"]["Value"] == [{"Alphabetic": "FIRST"}]
    assert study["00201208"]["Value"] == [1]
    assert archive.duplicates == [("b.dcm", "the same instance as a.dcm"), ("c.dcm", "the same instance as a.dcm")]
    assert archive.unreadable == []


async def test_when_the_first_of_several_goes_the_next_takes_its_place(folder: Path, serve: Serve) -> None:
    for name in ("a", "b", "c"):
        save(folder / f"{name}.dcm", image(PatientName=name))
    archive = await serve()
    (folder / "a.dcm").unlink()
    await serve()
    (study,) = (await ask(archive, "/studies", "PatientName=b")).json
    assert study["00201208"]["Value"] == [1]
    assert [name for name, _ in archive.duplicates] == ["c.dcm"]


async def test_a_study_of_several_patients_is_warned_of_and_is_the_first_files(folder: Path, serve: Serve) -> None:
    save(folder / "2.dcm", image(uid="1.1.1.2", PatientID="P2", PatientName="TWO"))
    save(folder / "1.dcm", image(uid="1.1.1.1", PatientID="P1", PatientName="ONE"))
    archive = await serve()
    (study,) = (await ask(archive, "/studies")).json
    assert study["00100020"]["Value"] == ["P1"]
    assert [uid for uid, _ in archive.warnings] == ["1.1"]
    assert await found(archive, "/studies", "PatientID=P2") == []


async def test_new_changed_and_removed_files_are_noticed(folder: Path, serve: Serve) -> None:
    one = save(folder / "1.dcm", image(uid="1.1.1.1"))
    archive = await serve()
    save(folder / "2.dcm", image(uid="1.1.1.2", series="1.1.2", Modality="MR"))
    await serve()
    (study,) = (await ask(archive, "/studies")).json
    assert [study[tag]["Value"] for tag in ("00080061", "00201206", "00201208")] == [["CT", "MR"], [2], [2]]
    save(one, image(study="1.9", series="1.9.1", uid="1.9.1.1"))
    later(one)
    await serve()
    assert sorted(await found(archive, "/studies")) == ["1.1", "1.9"]
    assert await found(archive, "/studies/1.1/series") == ["1.1.2"]
    one.unlink()
    (folder / "2.dcm").unlink()
    await serve()
    assert await found(archive, "/studies") == []
    assert await found(archive, "/series") == []


async def test_nothing_is_read_again_that_has_not_changed(folder: Path, serve: Serve) -> None:
    save(folder / "1.dcm", image())
    (folder / "readme").write_text("hello")
    archive = await serve()
    outcome = await archive.rescan()
    assert outcome is not None
    assert (outcome.files, outcome.read, outcome.removed, outcome.changed) == (2, 0, 0, False)


async def test_a_file_that_becomes_whole_is_served(folder: Path, serve: Serve) -> None:
    path = save(folder / "1.dcm", image())
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    archive = await serve()
    assert await found(archive, "/studies") == []
    path.write_bytes(whole)
    later(path)
    await serve()
    assert await found(archive, "/studies") == ["1.1"]
    assert archive.unreadable == []


async def test_links_out_of_the_folder_are_not_followed(folder: Path, serve: Serve, tmp_path: Path) -> None:
    outside = save(tmp_path / "outside" / "secret.dcm", image(study="1.66"))
    (folder / "file").symlink_to(outside)
    (folder / "folder").symlink_to(outside.parent)
    (folder / "up").symlink_to("..")
    (folder / "nowhere").symlink_to("/nonexistent")
    save(folder / "real.dcm", image())
    (folder / "inside").symlink_to("real.dcm")
    archive = await serve()
    assert await found(archive, "/studies") == ["1.1"]
    assert [name for name, _ in archive.unreadable] == ["file", "folder", "nowhere", "up"]
    assert archive.duplicates == []


async def test_what_is_hidden_and_what_is_no_file_is_passed_over(folder: Path, serve: Serve) -> None:
    save(folder / ".trash" / "1.dcm", image())
    save(folder / ".1.dcm", image())
    os.mkfifo(folder / "pipe")
    archive = await serve()
    assert await found(archive, "/studies") == []
    assert archive.unreadable == [("pipe", "not a regular file")]


async def test_the_index_may_lie_in_the_folder(folder: Path) -> None:
    save(folder / "1.dcm", image())
    archive = FolderArchive("demo", folder, folder / "index.sqlite")
    await archive.rescan()
    assert await found(archive, "/studies") == ["1.1"]
    assert archive.unreadable == []
    await archive.close()


async def test_an_index_outlives_its_process(folder: Path, serve: Serve, tmp_path: Path) -> None:
    save(folder / "1.dcm", image())
    await (await serve()).close()
    again = FolderArchive("demo", folder, tmp_path / "index" / "folder.sqlite")
    assert await found(again, "/studies") == ["1.1"]
    outcome = await again.rescan()
    assert outcome is not None
    assert outcome.read == 0
    await again.close()


async def test_the_index_of_another_folder_is_made_anew(folder: Path, serve: Serve, tmp_path: Path) -> None:
    save(folder / "1.dcm", image())
    await (await serve()).close()
    other = tmp_path / "other"
    save(other / "2.dcm", image(study="1.2"))
    archive = FolderArchive("demo", other, tmp_path / "index" / "folder.sqlite")
    await archive.rescan()
    assert await found(archive, "/studies") == ["1.2"]
    await archive.close()


@pytest.mark.parametrize("kind", ["another database", "no database"])
async def test_a_file_that_is_no_index_is_left_alone(folder: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "keyhole.db"
    if kind == "no database":
        path.write_bytes(b"precious" * 1000)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE precious (value)")
        connection.close()
    before = path.read_bytes()
    archive = FolderArchive("demo", folder, path)
    with pytest.raises(Misconfigured):
        await archive.rescan()
    assert path.read_bytes() == before
    await archive.close()


async def test_an_index_of_another_version_is_made_anew(folder: Path, serve: Serve, tmp_path: Path) -> None:
    save(folder / "1.dcm", image())
    await (await serve()).close()
    path = tmp_path / "index" / "folder.sqlite"
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
        connection.execute("PRAGMA user_version = 0")
        connection.execute("DROP TABLE series")
    connection.close()
    archive = FolderArchive("demo", folder, path)
    await archive.rescan()
    assert await found(archive, "/studies/1.1/series") == ["1.1.1"]
    await archive.close()


async def test_a_folder_that_cannot_be_listed_loses_nothing(folder: Path, serve: Serve, tmp_path: Path) -> None:
    save(folder / "1.dcm", image())
    archive = await serve()
    shutil.move(folder, tmp_path / "elsewhere")
    with pytest.raises(ArchiveFailed):
        await archive.rescan()
    assert await found(archive, "/studies") == ["1.1"]


async def test_there_is_no_archive_without_a_folder(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        FolderArchive("demo", tmp_path / "missing", tmp_path / "index.sqlite")


async def test_before_the_first_index_the_archive_fails(folder: Path, tmp_path: Path) -> None:
    archive = FolderArchive("demo", folder, tmp_path / "index.sqlite")
    with pytest.raises(ArchiveFailed):
        await ask(archive, "/studies")
    assert archive.unreadable == []
    await archive.close()


async def test_progress_tells_of_files_done_and_of_all(folder: Path, tmp_path: Path) -> None:
    for number in range(250):
        (folder / f"{number}.txt").write_text("hello")
    heard: list[tuple[int, int]] = []
    archive = FolderArchive("demo", folder, tmp_path / "index.sqlite")
    await archive.rescan(lambda done, total: heard.append((done, total)))
    await archive.close()
    assert heard == [(100, 250), (200, 250), (250, 250)]


async def test_many_files_in_nested_folders_pair_with_what_is_known(folder: Path, serve: Serve) -> None:
    names = ["a.b", "a/b", "a/b.c", "a0", "ab/x", "b/a-b/c", "b/a/b", "b/a.c", "z" * 200]
    for number, name in enumerate(names):
        save(folder / name, image(study=f"2.{number}", series=f"2.{number}.1", uid=f"2.{number}.1.1"))
    archive = await serve()
    outcome = await archive.rescan()
    assert outcome is not None
    assert (outcome.files, outcome.read, outcome.removed) == (len(names), 0, 0)
    assert len(await found(archive, "/studies")) == len(names)


async def test_only_its_owner_may_read_the_index(folder: Path, serve: Serve, tmp_path: Path) -> None:
    save(folder / "1.dcm", image())
    await serve()
    files = sorted((tmp_path / "index").iterdir())
    assert {path.name: path.stat().st_mode & 0o077 for path in files} == dict.fromkeys((path.name for path in files), 0)


async def test_a_transfer_syntax_that_is_none_is_unreadable(folder: Path, serve: Serve) -> None:
    raw = save(folder / "1.dcm", image()).read_bytes()
    (folder / "1.dcm").write_bytes(raw.replace(b"1.2.840.10008.1.2.1\0", b"1.2.8\r\nSet-Cookie: a"))
    archive = await serve()
    assert archive.unreadable == [("1.dcm", "its transfer syntax is none")]


@pytest.mark.parametrize("keyword", ["NumberOfFrames", "InstanceNumber", "SeriesNumber"])
async def test_numbers_beyond_all_bounds_stop_nothing(folder: Path, serve: Serve, keyword: str) -> None:
    save(folder / "1.dcm", image(**{keyword: "9" * 12}))
    raw = save(folder / "2.dcm", image(uid="1.1.1.2", **{keyword: "9" * 12})).read_bytes()
    (folder / "2.dcm").write_bytes(raw.replace(b"IS\x0c\x00" + b"9" * 12, b"IS\x20\x00" + b"9" * 32))
    archive = await serve()
    assert await found(archive, "/studies/1.1/instances") == ["1.1.1.1", "1.1.1.2"]
    assert len((await ask(archive, "/studies/1.1/metadata")).json) == 2


async def test_folders_may_be_nested_deeply(folder: Path, serve: Serve) -> None:
    here = os.open(folder, os.O_RDONLY)
    try:
        for _ in range(1500):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        save(folder / "1.dcm", image())
        archive = await serve()
        assert await found(archive, "/studies") == ["1.1"]
    finally:
        os.close(here)
        subprocess.run(["rm", "-rf", str(folder / "d")], check=True)  # noqa: ASYNC221 - Python itself removes no such tree


async def test_sequences_nested_beyond_reason_stop_nothing(folder: Path, serve: Serve) -> None:
    raw = save(folder / "good.dcm", image(uid="1.1.1.2")).read_bytes()
    at = raw.index(b"\x20\x00\x0d\x00UI")
    deep = b"\x19\x00\x01\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 3000
    (folder / "deep.dcm").write_bytes(raw[:at] + deep + raw[at:])
    archive = await serve()
    assert await found(archive, "/studies") == ["1.1"]
    assert [name for name, _ in archive.unreadable] == ["deep.dcm"]


async def test_a_folder_that_may_not_be_listed_is_named(folder: Path, serve: Serve, monkeypatch: Any) -> None:
    save(folder / "closed" / "1.dcm", image())
    save(folder / "open" / "2.dcm", image(study="1.2"))
    scandir = os.scandir

    def refusing(path: bytes) -> Any:
        if path.endswith(b"closed/"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    archive = await serve()
    assert archive.unreadable == [("closed/", "a folder that may not be listed")]
    assert await found(archive, "/studies") == ["1.2"]
