"""Part 10 files and multipart bodies of them, as archives send them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from tests.archive.makers import image
from tests.gateway.gate import OK, SERIES

BOUNDARY = "between"
STORED = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
END = f"\r\n--{BOUNDARY}--\r\n".encode()


def written(dataset: Dataset) -> bytes:
    """*dataset* as a file."""
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID") or "1.2"
    out = io.BytesIO()
    pydicom.dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def file(number: int = 1, study: str = OK, series: str = SERIES, *, size: int = 8, **more: Any) -> bytes:
    """An image with *size* bytes of pixels."""
    values = {"InstanceNumber": number, "SeriesNumber": 1, "StudyID": "7"} | more
    dataset = image(study, series, f"{series}.{number}", **values)
    dataset.add_new(0x7FE00010, "OW", bytes(size))
    return written(dataset)


def part(content: bytes, *, announced: int | None = None) -> bytes:
    """*content* with its delimiter and head."""
    length = len(content) if announced is None else announced
    head = f"\r\n--{BOUNDARY}\r\nContent-Type: application/dicom\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + content


def body(*contents: bytes) -> bytes:
    """A whole multipart body."""
    return b"".join(map(part, contents)) + END


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """*data* in pieces of *size*."""
    return (data[at : at + size] for at in range(0, len(data), size))
