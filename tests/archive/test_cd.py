"""A folder as it comes on a CD: images among a DICOMDIR, a viewer, and whatever else the burner adds."""

from __future__ import annotations

import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from shutil import copytree

import pytest

from keyhole.archive.folder import FolderArchive
from tests.archive.makers import BUNDLED, found

pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")

JUNK = {
    "AUTORUN.INF": b"[autorun]\r\nopen=VIEWER\\START.EXE\r\n",
    "README.TXT": b"Insert the disc and wait.\n",
    "VIEWER/START.EXE": b"MZ" + b"\x90" * 4000,
    "VIEWER/SKIN/LOGO.JPG": b"\xff\xd8\xff\xe0" + b"\0" * 300,
    "VIEWER/EMPTY.CFG": b"",
    "HTML/INDEX.HTM": b"<html>" + b" " * 2000,
    "IMAGES/THUMBS.DB": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 100,
}


def _cd(folder: Path) -> list[str]:
    copytree(BUNDLED / "dicomdirtests", folder, dirs_exist_ok=True)
    images = [
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and "DICOMDIR" not in path.name
    ]
    for name, content in JUNK.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with (folder / "VIEWER/DATA.CAB").open("wb") as huge:
        huge.truncate(20 * 1024**3)
    with (folder / "VIEWER/FAKE.BIN").open("wb") as fake:
        fake.write(bytes(128) + b"DICM" + b"1.2.840.10008.1.2.1.99")
        fake.truncate(20 * 1024**3)
    return images


async def test_images_are_found_and_the_rest_is_named(
    folder: Path, serve: Callable[[], Awaitable[FolderArchive]]
) -> None:
    images = _cd(folder)
    archive = await serve()
    passed_over = dict(archive.unreadable)
    assert {name: passed_over[name] for name in JUNK} == {
        name: "not a DICOM file" if content else "empty" for name, content in JUNK.items()
    }
    assert passed_over["DICOMDIR"] == "a DICOMDIR, which holds no images"
    assert passed_over["VIEWER/DATA.CAB"] == "not a DICOM file"
    assert passed_over["VIEWER/FAKE.BIN"] == "inflates beyond all bounds"
    kept = {*images} - passed_over.keys() - dict(archive.duplicates).keys()
    assert len(await found(archive, "/instances")) == len(kept) > 20


async def test_what_is_no_image_costs_its_first_bytes(
    folder: Path, serve: Callable[[], Awaitable[FolderArchive]]
) -> None:
    with (folder / "HUGE.CAB").open("wb") as huge:
        huge.truncate(20 * 1024**3)
    tracemalloc.start()
    await serve()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 1024**2
