"""The client that others wrote understands what the archive answers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import uvicorn
from dicomweb_client import DICOMwebClient

from keyhole.archive.folder import FolderArchive
from keyhole.archive.sample import write_sample

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore:::pydicom"),
    pytest.mark.filterwarnings("ignore:::dicomweb_client"),
]


class _Adapter:
    """An archive as an ASGI application, at the path of its own root."""

    def __init__(self, folder: Path, index: Path) -> None:
        self._folder, self._index = folder, index
        self._archive: FolderArchive | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        assert self._archive is not None
        path = scope["path"].removeprefix("/dicom-web")
        accept = b", ".join(value for name, value in scope["headers"] if name == b"accept").decode()
        async with self._archive.get(path, scope["query_string"].decode(), accept) as answer:
            headers = [(b"content-type", answer.content_type.encode())]
            headers += [(name.encode(), value.encode()) for name, value in answer.headers.items()]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            async for chunk in answer.body:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body"})

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        self._archive = FolderArchive("demo", self._folder, self._index)
        await self._archive.rescan()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._archive.close()
        await send({"type": "lifespan.shutdown.complete"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("client")
    write_sample(path / "files")
    return path


@pytest.fixture
def client(folder: Path) -> Iterator[DICOMwebClient]:
    config = uvicorn.Config(_Adapter(folder / "files", folder / "index.sqlite"), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield DICOMwebClient(f"http://127.0.0.1:{port}/dicom-web")
    server.should_exit = True
    thread.join()


def _files(folder: Path) -> list[pydicom.FileDataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]


def test_it_searches(client: DICOMwebClient, folder: Path) -> None:
    studies = client.search_for_studies(search_filters={"PatientName": "demo^a*"}, fields=["StudyDescription"])
    assert [study["00081030"]["Value"] for study in studies] == [["CT chest"], ["CT chest (prior)"]]
    uid = studies[0]["0020000D"]["Value"][0]
    assert len(client.search_for_series(uid)) == 2
    assert len(client.search_for_instances(uid)) == 121
    assert len(client.search_for_instances(uid, limit=7, offset=118)) == 3
    assert client.search_for_studies(search_filters={"StudyDate": "19000101-19001231"}) == []


def test_it_reads_metadata_and_instances(client: DICOMwebClient, folder: Path) -> None:
    files = {str(one.SOPInstanceUID): one for one in _files(folder / "files")}
    for study in client.search_for_studies():
        uid = study["0020000D"]["Value"][0]
        metadata = [pydicom.Dataset.from_json(one) for one in client.retrieve_study_metadata(uid)]
        instances = client.retrieve_study(uid, media_types=(("application/dicom", "*"),))
        assert len(metadata) == len(instances)
        for told, instance in zip(metadata, instances, strict=True):
            stored = files[str(told.SOPInstanceUID)]
            assert (told.PatientName, told.StudyDate) == (stored.PatientName, stored.StudyDate)
            assert instance == stored


def test_it_reads_frames(client: DICOMwebClient, folder: Path) -> None:
    for stored in _files(folder / "files"):
        if "PixelData" not in stored or stored.InstanceNumber not in (1, 60):
            continue
        uids = (stored.StudyInstanceUID, stored.SeriesInstanceUID, stored.SOPInstanceUID)
        count = int(stored.get("NumberOfFrames", 1))
        frames = client.retrieve_instance_frames(*uids, [1, count], media_types=(("application/octet-stream", "*"),))
        if stored.file_meta.TransferSyntaxUID.is_encapsulated:
            expected = list(pydicom.encaps.generate_frames(stored.PixelData, number_of_frames=count))
            assert frames == [expected[0], expected[-1]]
        else:
            pixels = np.frombuffer(frames[0], f"<u{stored.BitsAllocated // 8}")
            assert pixels.tobytes() == stored.PixelData[: pixels.nbytes]


def test_it_reads_bulk_data(client: DICOMwebClient, folder: Path) -> None:
    (report,) = client.search_for_series(search_filters={"Modality": "DOC"})
    study, series = (report[tag]["Value"][0] for tag in ("0020000D", "0020000E"))
    (dataset,) = client.retrieve_series_metadata(study, series)
    own = client.base_url
    url = dataset["00420011"]["BulkDataURI"].replace("http://demo.keyhole.invalid/dicom-web", own)
    (document,) = client.retrieve_bulkdata(url)
    assert document.startswith(b"%PDF-1.4")
