"""Bulk data: large values by URI, and what they come as."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from keyhole.archive.folder import FolderArchive
from tests.archive.makers import INSTANCE, ask, image, large, metadata, save

pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")
Serve = Callable[[], Awaitable[FolderArchive]]


async def _bulk(archive: FolderArchive, uri: str, accept: str = "*/*") -> tuple[str, bytes]:
    assert uri.startswith(f"{archive.root}/")
    answer = await ask(archive, uri.removeprefix(archive.root), accept=accept)
    assert answer.status == 200
    ((head, content),) = answer.parts
    assert head["content-location"] == uri
    return head["content-type"], content


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"])
async def test_large_values_are_answered_by_uri(folder: Path, serve: Serve, syntax: str) -> None:
    dataset = large()
    dataset.file_meta.TransferSyntaxUID = syntax
    save(folder / "1.dcm", dataset)
    archive = await serve()
    found = await metadata(archive)
    assert "InlineBinary" in found["00091001"]
    base = f"{archive.root}{INSTANCE}/bulk"
    for tag, value in (
        ("00091002", bytes(range(256)) * 8), ("00091003", b"x" * 300_000),
        ("00281201", b"\1\0"), ("00281202", b"\2\0"), ("00281203", b"\3\0"),
    ):  # fmt: skip
        assert found[tag]["BulkDataURI"] == f"{base}/{tag}"
        assert await _bulk(archive, f"{base}/{tag}") == ("application/octet-stream", value)
    wave = found["54000100"]["Value"][0]
    assert wave["54001010"]["BulkDataURI"] == f"{base}/54000100/1/54001010"
    assert await _bulk(archive, wave["54001010"]["BulkDataURI"]) == ("application/octet-stream", b"wave" * 1000)
    inner = wave["0040A730"]["Value"][1]["00091002"]["BulkDataURI"]
    assert inner == f"{base}/54000100/1/0040A730/2/00091002"
    assert await _bulk(archive, inner) == ("application/octet-stream", b"inner" * 1000)


async def test_bulk_data_of_big_endian_files_is_little_endian(folder: Path, serve: Serve) -> None:
    dataset = image()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    dataset.add_new(0x60003000, "OW", b"\1\2" * 1000)
    dataset.add_new(0x00091001, "OW", b"\1\2")
    save(folder / "1.dcm", dataset)
    archive = await serve()
    found = await metadata(archive)
    assert found["00091001"]["InlineBinary"] == base64.b64encode(b"\2\1").decode()
    assert (await _bulk(archive, str(found["60003000"]["BulkDataURI"])))[1] == b"\2\1" * 1000


@pytest.mark.parametrize(
    "tags",
    [
        "7FE00010", "00100010", "00091009", "54000100", "54000100/1", "54000100/2/54001010", "54000100/0/54001010",
        "54000100/01/54001010", "00091002/1/00091002", "0009100a", "9", "00091002/", "../00091002", "00020010",
        "54000100/999999999999/54001010",
    ],
)  # fmt: skip
async def test_what_is_no_bulk_data_is_not_found(folder: Path, serve: Serve, tags: str) -> None:
    save(folder / "1.dcm", large())
    assert (await ask(await serve(), f"{INSTANCE}/bulk/{tags}")).status == 404


def _document(mime: str | None) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = image().file_meta
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.1.1.1", "1.1", "1.1.1"
    dataset.EncapsulatedDocument = b"%PDF-1.4 tiny\0"
    dataset.EncapsulatedDocumentLength = 13
    if mime is not None:
        dataset.MIMETypeOfEncapsulatedDocument = mime
    return dataset


OHIF = 'multipart/related; type="application/pdf", multipart/related; type="application/octet-stream"'


@pytest.mark.parametrize(
    ("mime", "accept", "expected"),
    [
        ("application/pdf", OHIF, "application/pdf"),
        ("application/pdf", "*/*", "application/pdf"),
        ("application/pdf", 'multipart/related; type="application/octet-stream"', "application/octet-stream"),
        ("APPLICATION/PDF ", OHIF, "application/pdf"),
        ("text/html", OHIF, "application/octet-stream"),
        ("text/html", "*/*", "application/octet-stream"),
        (None, "*/*", "application/octet-stream"),
    ],
)
async def test_a_document_comes_as_what_it_is_when_that_is_safe(
    folder: Path, serve: Serve, mime: str | None, accept: str, expected: str
) -> None:
    save(folder / "1.dcm", _document(mime))
    archive = await serve()
    uri = str((await metadata(archive))["00420011"]["BulkDataURI"])
    assert await _bulk(archive, uri, accept) == (expected, b"%PDF-1.4 tiny")


async def test_bulk_data_comes_alone_when_asked_for_alone(folder: Path, serve: Serve) -> None:
    save(folder / "1.dcm", _document("application/pdf"))
    answer = await ask(await serve(), f"{INSTANCE}/bulk/00420011", accept="application/pdf")
    assert (answer.content_type, answer.content) == ("application/pdf", b"%PDF-1.4 tiny")
    assert (await ask(await serve(), f"{INSTANCE}/bulk/00420011", accept="image/png")).status == 406
