"""A study of more than 2 GB through a real Keyhole: flat memory, exact length, and a ZIP file that others read."""

from __future__ import annotations

import http.client
import io
import shutil
import socket
import sqlite3
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pydicom
import pytest

from tests.archive.makers import image
from tests.gateway.download.files import written
from tests.servers.keyhole import Keyhole, Opened, keyhole
from tests.servers.process import wait_until

STUDY = "1.2.826.0.1.3680043.8.498.4096"
SLICES, SLICE = 1500, 512 * 512 * 2
CINES, CINE = 2, 700 * 1000 * 1000
"""Two of them are longer than what is held back to be looked at."""
GROWS_AT_MOST = 40 << 20

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def _sparse(path: Path, series: str, number: int, pixels: int) -> None:
    """An image whose pixels take no room on the disk."""
    values = {"InstanceNumber": number, "StudyID": "1", "SeriesNumber": 1, "PatientName": "Large^Study"}
    dataset = image(STUDY, series, f"{series}.{number}", **values)
    dataset.Rows, dataset.Columns = 512, 512
    dataset.add_new(0x7FE00010, "OW", b"")
    head = written(dataset)
    with path.open("wb") as file:
        file.write(head[:-4] + pixels.to_bytes(4, "little"))
        file.truncate(len(head) + pixels)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyhole]:
    """A Keyhole in front of a folder with the study."""
    place = tmp_path_factory.mktemp("large")
    folder = place / "study"
    folder.mkdir()
    for number in range(1, SLICES + 1):
        _sparse(folder / f"slice-{number}", f"{STUDY}.1", number, SLICE)
    for number in range(1, CINES + 1):
        _sparse(folder / f"cine-{number}", f"{STUDY}.2", number, CINE)
    with keyhole(place / "keyhole", {"KEYHOLE_ARCHIVE": str(folder)}) as running:
        wait_until(lambda: _indexed(running), 60, "the folder is not indexed")
        yield running
    shutil.rmtree(folder)


def _indexed(running: Keyhole) -> bool:
    with closing(sqlite3.connect(running.data / "archive-archive.db")) as index:
        return bool(index.execute("SELECT count(*) = ? FROM instances", (SLICES + CINES,)).fetchone()[0])


def _download(running: Keyhole, visit: Opened, to: Path) -> int:
    """Save the study; the length that was announced."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    connection.request("GET", f"{visit.below}dicom-web/studies/{STUDY}?accept=application/zip", headers=visit.as_cookie)
    answer = connection.getresponse()
    assert answer.status == 200
    with to.open("wb") as file:
        while piece := answer.read(1 << 20):
            file.write(piece)
    connection.close()
    return int(answer.headers["Content-Length"])


def _memory(running: Keyhole, name: str) -> int:
    lines = Path(f"/proc/{running.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def test_a_study_of_two_gigabytes_comes_whole_in_flat_memory(large: Keyhole, tmp_path: Path) -> None:
    visit = large.open(large.share(STUDY, download=True))
    assert large.get(visit.below, visit.as_cookie).status == 200
    before = _memory(large, "VmRSS")
    Path(f"/proc/{large.process.pid}/clear_refs").write_text("5")  # the peak begins anew (proc(5))

    package = tmp_path / "study.zip"
    announced = _download(large, visit, package)

    assert package.stat().st_size == announced > 2 << 30
    grown = _memory(large, "VmHWM") - before
    assert grown < GROWS_AT_MOST, f"{grown >> 20} MB"
    assert subprocess.run(["unzip", "-tqq", package], check=False).returncode == 0
    assert subprocess.run(["7zz", "t", "-bd", package], check=False, capture_output=True).returncode == 0
    _is_a_file_set(package, tmp_path)
    package.unlink()


def _is_a_file_set(package: Path, folder: Path) -> None:
    with zipfile.ZipFile(package) as files:
        names = set(files.namelist()) - {"DICOMDIR"}
        directory = Path(files.extract("DICOMDIR", folder))
        listed = pydicom.dcmread(io.BytesIO(directory.read_bytes())).DirectoryRecordSequence
        records = {"/".join(one.ReferencedFileID): one for one in listed if "ReferencedFileID" in one}
        assert records.keys() == names
        for name, record in records.items():
            with files.open(name) as file:
                instance = pydicom.dcmread(io.BytesIO(file.read(8192)), stop_before_pixels=True)
            assert instance.SOPInstanceUID == record.ReferencedSOPInstanceUIDInFile
            assert instance.StudyInstanceUID == STUDY
    assert len(names) == SLICES + CINES
    dump = subprocess.run(["dcmdump", directory], check=True, capture_output=True, text=True)
    assert dump.stdout.count("ReferencedFileID") == SLICES + CINES
    assert not dump.stderr


def test_slow_readers_hold_little_memory_and_a_withdrawal_ends_them(large: Keyhole) -> None:
    link = large.share(STUDY, download=True)
    visits = [large.open(link) for _ in range(2)]
    assert large.get(visits[0].below, visits[0].as_cookie).status == 200
    before = _memory(large, "VmRSS")
    with ExitStack() as stack:
        readers = [stack.enter_context(closing(_begun(large, visit))) for visit in visits]
        looked = large.get(f"{visits[0].below}dicom-web/studies/{STUDY}/series", visits[0].as_cookie)
        assert looked.status == 200
        assert _memory(large, "VmRSS") - before < GROWS_AT_MOST
        large.revoke(link)
        # What lies in the sockets' buffers still comes, and nothing that would end a ZIP file.
        for reader in readers:
            assert not _read_to_its_end(reader).endswith(b"PK\5\6")
    wait_until(lambda: _withdrawn(large) == len(visits), 15, "the withdrawal is not on the trail")


def _begun(running: Keyhole, visit: Opened) -> socket.socket:
    """A download of which the beginning was read, and nothing more for now."""
    reader = socket.create_connection(("127.0.0.1", running.port), timeout=30)
    target = f"{visit.below}dicom-web/studies/{STUDY}?accept=application/zip"
    reader.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nCookie: keyhole_visit={visit.cookie}\r\n\r\n".encode())
    assert reader.recv(4096).startswith(b"HTTP/1.1 200")
    return reader


def _read_to_its_end(reader: socket.socket) -> bytes:
    """Read until the connection ends, which it must before all of the study has come; the last bytes."""
    received, last = 0, b""
    while data := _received(reader):
        received += len(data)
        last = (last + data)[-22:]
    assert received < 1 << 30
    return last[:4]


def _received(reader: socket.socket) -> bytes:
    try:
        return reader.recv(1 << 16)
    except ConnectionResetError:
        return b""


def _withdrawn(running: Keyhole) -> int:
    rows = running.trail("--refusals")
    return sum(row["times"] for row in rows if row["reason"] == "withdrawn" and row["action"] == "download")
