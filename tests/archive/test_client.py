"""The client that others wrote understands what the archive answers."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import uvicorn
from dicomweb_client import DICOMwebClient
from PIL import Image
from pydicom.uid import generate_uid
from requests import HTTPError

from keyhole.archive.answer import ArchiveAnswer
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
        if scope["method"] == "POST":
            await self._store(path, scope, receive, send)
            return
        accept = b", ".join(value for name, value in scope["headers"] if name == b"accept").decode()
        async with self._archive.get(path, scope["query_string"].decode(), accept) as answer:
            await _send(answer, send)

    async def _store(self, path: str, scope: Any, receive: Any, send: Any) -> None:
        assert self._archive is not None
        content_type = dict(scope["headers"])[b"content-type"].decode()
        async with self._archive.post(path, content_type, _received(receive), "application/dicom+json") as answer:
            await _send(answer, send)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        self._archive = FolderArchive("demo", self._folder, self._index, uploads=True)
        await self._archive.rescan()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._archive.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _received(receive: Any) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def _send(answer: ArchiveAnswer, send: Any) -> None:
    headers = [(b"content-type", answer.content_type.encode())]
    headers += [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    async for chunk in answer.body:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body"})


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
    assert b"".join(client.iter_bulkdata(url)) == document


def _chest(client: DICOMwebClient) -> tuple[str, str, str]:
    """The first image of the first CT of the chest."""
    (instance,) = client.search_for_instances(
        search_filters={"StudyDescription": "CT?chest", "Modality": "CT", "InstanceNumber": "1"}, limit=1
    )
    study, series, uid = (instance[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))
    return study, series, uid


def test_it_searches_across_studies_and_series(client: DICOMwebClient) -> None:
    study, series, uid = _chest(client)
    assert client.search_for_series(search_filters={"SeriesInstanceUID": series})[0]["0020000D"]["Value"] == [study]
    assert [one["00080018"]["Value"] for one in client.search_for_instances(study, series, limit=1)] == [[uid]]
    everything = client.search_for_instances(get_remaining=True, limit=50)
    assert len(everything) == len({one["00080018"]["Value"][0] for one in everything}) > 100
    assert len(client.search_for_series()) == len(client.search_for_series(fuzzymatching=True))


def test_it_reads_series_and_single_instances(client: DICOMwebClient, folder: Path) -> None:
    study, series, uid = _chest(client)
    stored = {str(one.SOPInstanceUID): one for one in _files(folder / "files")}
    any_syntax = (("application/dicom", "*"),)
    whole = client.retrieve_series(study, series, media_types=any_syntax)
    assert whole == list(client.iter_series(study, series, media_types=any_syntax))
    assert {str(one.SOPInstanceUID) for one in whole} == {
        one["00080018"]["Value"][0] for one in client.search_for_instances(study, series)
    }
    assert len(list(client.iter_study(study, media_types=any_syntax))) == len(client.search_for_instances(study))
    assert client.retrieve_instance(study, series, uid, media_types=any_syntax) == stored[uid]
    assert client.retrieve_instance_metadata(study, series, uid)["00080018"]["Value"] == [uid]
    assert len(client.retrieve_series_metadata(study, series)) == len(whole)
    frames = list(
        client.iter_instance_frames(study, series, uid, [1], media_types=(("application/octet-stream", "*"),))
    )
    assert frames == [stored[uid].PixelData]


def test_it_renders(client: DICOMwebClient) -> None:
    study, series, uid = _chest(client)
    pictures = [
        client.retrieve_instance_rendered(study, series, uid, media_types=("image/png",)),
        client.retrieve_instance_frames_rendered(study, series, uid, [1], media_types=("image/png",)),
        client.retrieve_instance_rendered(
            study, series, uid, media_types=("image/jpeg",), params={"quality": 95, "viewport": "64,64"}
        ),
    ]
    first, frame, small = (Image.open(io.BytesIO(picture)) for picture in pictures)
    assert (first.format, first.size) == ("PNG", frame.size)
    assert first.tobytes() == frame.tobytes()
    assert (small.format, small.size) == ("JPEG", (64, 64))
    assert client.retrieve_instance_rendered(study, series, uid)[:2] == b"\xff\xd8"
    with pytest.raises(HTTPError, match="406"):
        client.retrieve_series_rendered(study, series, media_types=("image/jpeg",))


def test_it_stores(client: DICOMwebClient, folder: Path) -> None:
    source = _files(folder / "files")[0]
    study = generate_uid()
    for _ in range(3):
        source.StudyInstanceUID, source.SOPInstanceUID = study, generate_uid()
        source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
        receipt = client.store_instances([source])
        assert [item.ReferencedSOPInstanceUID for item in receipt.ReferencedSOPSequence] == [source.SOPInstanceUID]
    assert len(client.search_for_instances(study)) == 3
    assert client.store_instances([source], study).RetrieveURL.endswith(study)
    with pytest.raises(HTTPError, match="409"):
        client.store_instances([source], "1.2.3")
