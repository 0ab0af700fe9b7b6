"""A folder's study as a package: in order, of a length known before, the same every time; or a failure."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keyhole.archive.folder import FolderArchive
from keyhole.errors import ArchiveFailed
from keyhole.gateway.answer import Answer
from keyhole.gateway.download.head import HEAD_LONGEST, read_head
from keyhole.gateway.fetch import Fetcher, Source
from keyhole.gateway.scoping import Capabilities
from tests.gateway.download.files import file
from tests.gateway.gate import OK, OTHER_SERIES, SERIES
from tests.gateway.test_fetch import order

STUDY = f"/studies/{OK}"


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[FolderArchive]:
    place = tmp_path / "images"
    place.mkdir()
    for name, content in {
        "a": file(10),
        "b": file(2, size=HEAD_LONGEST + 1000),
        "c": file(1, series=OTHER_SERIES),
        "d": file(1),
        "e": file(1, study="9.9", series="9.9.1"),
    }.items():
        (place / name).write_bytes(content)
    archive = FolderArchive("main", place, tmp_path / "index.db")
    await archive.rescan()
    yield archive
    await archive.close()


async def package(archive: FolderArchive, path: str = STUDY) -> tuple[Answer, bytes]:
    fetcher = Fetcher({"main": Source(archive, Capabilities())})
    async with fetcher(order(path, accept="application/zip")) as answer:
        return answer, b"".join([piece async for piece in answer.body])


async def test_the_length_is_told_before_and_is_right(folder: FolderArchive) -> None:
    answer, data = await package(folder)
    assert answer.fields["content-length"] == str(len(data))
    assert answer.images() == 4
    assert (await package(folder))[1] == data


async def test_the_files_come_by_series_number_and_uid(folder: FolderArchive) -> None:
    _, data = await package(folder)
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        instances = [read_head(found.read(name)[:HEAD_LONGEST]).uids[2] for name in found.namelist()[:-1]]
    assert instances == [f"{SERIES}.1", f"{SERIES}.2", f"{SERIES}.10", f"{OTHER_SERIES}.1"]


async def test_a_series_has_a_length_of_its_own(folder: FolderArchive) -> None:
    answer, data = await package(folder, f"{STUDY}/series/{OTHER_SERIES}")
    assert answer.fields["content-length"] == str(len(data))
    assert len(zipfile.ZipFile(io.BytesIO(data)).namelist()) == 2


@pytest.mark.parametrize("change", ["longer", "gone"])
async def test_a_file_that_changed_since_it_was_indexed_ends_it(
    folder: FolderArchive, tmp_path: Path, change: str
) -> None:
    one = tmp_path / "images" / "c"
    if change == "gone":
        one.unlink()
    else:
        one.write_bytes(one.read_bytes() + b"\0\0")
    with pytest.raises(ArchiveFailed):
        await package(folder)


async def test_an_instance_has_its_length_as_well(folder: FolderArchive) -> None:
    fetcher = Fetcher({"main": Source(folder, Capabilities())})
    path = f"{STUDY}/series/{SERIES}/instances/{SERIES}.2"
    async with fetcher(order(path, accept="application/dicom")) as answer:
        data = b"".join([piece async for piece in answer.body])
    assert data == file(2, size=HEAD_LONGEST + 1000)
    assert answer.fields["content-length"] == str(len(data))
