"""How fast a folder is indexed, and in how much memory: ``python bench/index.py [FILES]``, 100 000 without a number.

The files are small (a header and 2 by 2 pixels), 100 to a series and 5 series to a study. Memory is the growth of the
process's peak after the first hundredth of them has been indexed, as a ratio: 1.0 is none.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from keyhole.archive.folder import FolderArchive

FILES = 100_000
IN_SERIES, IN_STUDY = 100, 500


def _template() -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.1000000000", "1.2.3.2000000000"
    dataset.SOPInstanceUID = "1.2.3.3000000000"
    dataset.PatientID, dataset.PatientName, dataset.Modality = "P", "BENCH^INDEX", "CT"
    dataset.StudyDate, dataset.StudyTime, dataset.InstanceNumber = "20240102", "101500", "1"
    dataset.Rows = dataset.Columns = 2
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.add_new(0x7FE00010, "OW", bytes(8))
    path = Path(tempfile.mkstemp()[1])
    dataset.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    path.unlink()
    return content


def write(folder: Path, count: int, *, in_study: int = IN_STUDY) -> None:
    """*count* files below *folder*, *in_study* to a study, a folder to each series."""
    template = _template()
    for number in range(count):
        study, series = number // in_study, number // min(IN_SERIES, in_study)
        content = template
        for old, new in ((1_000_000_000, study), (2_000_000_000, series), (3_000_000_000, number)):
            content = content.replace(f".{old}".encode(), f".{old + new}".encode())
        path = folder / f"{study:05d}" / f"{series:05d}" / f"{number:06d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(
    files: Path, index: Path, early: int, progress: Callable[[int, int], None] | None = None
) -> dict[str, float]:
    """Index *files*: seconds, peak MB when *early* files were done and at the end, and seconds of a pass after it."""
    peaks: dict[str, float] = {}

    def watch(done: int, of: int) -> None:
        if done >= early:
            peaks.setdefault("early", _peak())
        if progress:
            progress(done, of)

    archive = FolderArchive("bench", files, index)
    begun = time.monotonic()
    await archive.rescan(watch)
    indexed = time.monotonic()
    peaks["late"] = _peak()
    await archive.rescan()
    again = time.monotonic()
    async with archive.get("/instances", "limit=100", "application/dicom+json") as answer:
        _ = [chunk async for chunk in answer.body]
    searched = time.monotonic()
    await archive.close()
    return {**peaks, "seconds": indexed - begun, "again": again - indexed, "search": searched - again}


def main() -> None:
    """Print one line."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
    with tempfile.TemporaryDirectory(prefix="keyhole-bench-") as name:
        files = Path(name) / "files"
        write(files, count)
        found = asyncio.run(measure(files, Path(name) / "index.sqlite", max(500, count // 100)))
        size = (Path(name) / "index.sqlite").stat().st_size
    print(
        f"{count} files: {count / found['seconds']:.0f} a second; peak {found['late']:.0f} MB, "
        f"{found['late'] / found['early']:.2f} of what it was after the first hundredth; nothing new: "
        f"{found['again']:.1f} s; 100 results of a search: {found['search'] * 1000:.0f} ms; index {size / count:.0f} "
        "bytes a file"
    )


if __name__ == "__main__":
    main()
