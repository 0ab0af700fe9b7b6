"""Small DICOM files, and a folder archive to ask about them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import msgspec
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from keyhole.archive.folder import FolderArchive

CT = "1.2.840.10008.5.1.4.1.1.2"
BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"
ANY_SYNTAX = "multipart/related; type=application/octet-stream; transfer-syntax=*"


def image(study: str = "1.1", series: str = "1.1.1", uid: str = "1.1.1.1", **attributes: Any) -> Dataset:
    """A dataset of 2 by 2 pixels; *attributes* by keyword, None takes one away."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.PatientID, dataset.PatientName, dataset.Modality = "P1", "DOE^JANE", "CT"
    dataset.StudyDate, dataset.StudyTime = "20240102", "101500"
    dataset.Rows = dataset.Columns = 2
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.add_new(0x7FE00010, "OW", bytes(range(8)))
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def large() -> Dataset:
    """Large values of every kind, at the top and inside sequences."""
    item, inner = Dataset(), Dataset()
    inner.add_new(0x00091002, "OB", b"inner" * 1000)
    item.add_new(0x54001010, "OW", b"wave" * 1000)
    item.ContentSequence = [Dataset(), inner]
    dataset = image(WaveformSequence=[item])
    dataset.add_new(0x00091001, "OB", b"small")
    dataset.add_new(0x00091002, "OB", bytes(range(256)) * 8)
    dataset.add_new(0x00091003, "UN", b"x" * 300_000)
    for number in (1, 2, 3):
        dataset.add_new(0x00281200 + number, "OW", bytes([number, 0]))
    return dataset


def save(path: Path, dataset: Dataset) -> Path:
    """Write *dataset* as a file, whatever its values are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = dataset.file_meta
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CT)
    meta.MediaStorageSOPInstanceUID = UID(str(dataset.get("SOPInstanceUID", "1.2")))
    dataset.save_as(path, enforce_file_format=True)
    return path


INSTANCE = "/studies/1.1/series/1.1.1/instances/1.1.1.1"


async def metadata(archive: FolderArchive) -> dict[str, dict[str, Any]]:
    """The metadata of the one instance."""
    answer = await ask(archive, f"{INSTANCE}/metadata", accept="application/dicom+json")
    assert answer.content_type == "application/dicom+json"
    (dataset,) = answer.json
    return dict(dataset)


@dataclass
class Answered:
    """An answer, read to its end."""

    status: int
    content_type: str
    headers: dict[str, str]
    length: int | None
    content: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.content)

    @property
    def parts(self) -> list[tuple[dict[str, str], bytes]]:
        """Heads and contents of the parts, as Python's own MIME parser reads them."""
        head = f"Content-Type: {self.content_type}\r\n\r\n".encode()
        message = BytesParser(policy=HTTP).parsebytes(head + self.content)
        assert message.is_multipart()
        assert not message.defects
        boundary = f"\r\n--{message.get_boundary()}".encode()
        parts = (b"\r\n" + self.content).split(boundary)[1:-1]
        assert len(parts) == len(list(message.iter_parts()))
        return [_part(part) for part in parts]


def _part(raw: bytes) -> tuple[dict[str, str], bytes]:
    head, _, content = raw.partition(b"\r\n\r\n")
    lines = (line.partition(": ") for line in head.decode().splitlines() if line)
    return {name.lower(): value for name, _, value in lines}, content


async def ask(archive: FolderArchive, path: str, query: str = "", accept: str = "*/*") -> Answered:
    async with archive.get(path, query, accept) as answer:
        content = b"".join([chunk async for chunk in answer.body])
    assert answer.length in (None, len(content))
    return Answered(answer.status, answer.content_type, dict(answer.headers), answer.length, content)


async def found(archive: FolderArchive, path: str, query: str = "") -> list[str]:
    """The UIDs that a search finds, of the level that it lists."""
    answer = await ask(archive, path, query, "application/dicom+json")
    assert answer.status == 200, answer.content
    tag = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}[path.rpartition("/")[2]]
    return [result[tag]["Value"][0] for result in answer.json]


def later(path: Path) -> None:
    """Let *path* look changed, however coarse the clock of the file system is."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))
