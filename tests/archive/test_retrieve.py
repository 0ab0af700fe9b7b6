"""Metadata, bulk data and instances: what is answered, and what never is."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from shutil import copy

import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from keyhole.archive.folder import FolderArchive
from keyhole.errors import ArchiveFailed, Refused
from tests.archive.makers import BUNDLED, INSTANCE, ask, image, large, later, metadata, save

pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")
Serve = Callable[[], Awaitable[FolderArchive]]


@pytest.mark.parametrize("path", ["", "/series/1.1.1", "/series/1.1.1/instances/1.1.1.1"])
async def test_metadata_is_all_of_the_datasets_without_their_pixels(folder: Path, serve: Serve, path: str) -> None:
    save(folder / "1.dcm", image())
    (dataset,) = (await ask(await serve(), f"/studies/1.1{path}/metadata")).json
    assert dataset["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "DOE^JANE"}]}
    assert dataset["00280010"] == {"vr": "US", "Value": [2]}
    assert not {tag for tag in dataset if tag.startswith(("7FE0", "0002"))}


async def test_metadata_of_a_level_is_that_of_all_below(folder: Path, serve: Serve) -> None:
    for series, uid, number in (("1.1.1", "5", "2"), ("1.1.1", "6", "1"), ("1.1.2", "1", "1")):
        save(folder / uid, image(series=series, uid=f"{series}.{uid}", InstanceNumber=number))
    archive = await serve()

    async def uids(path: str) -> list[str]:
        return [one["00080018"]["Value"][0] for one in (await ask(archive, path)).json]

    assert await uids("/studies/1.1/metadata") == ["1.1.1.6", "1.1.1.5", "1.1.2.1"]
    assert await uids("/studies/1.1/series/1.1.1/metadata") == ["1.1.1.6", "1.1.1.5"]
    assert await uids("/studies/1.1/series/1.1.1/instances/1.1.1.5/metadata") == ["1.1.1.5"]


@pytest.mark.parametrize(
    "path",
    [
        "/studies/1.2/series/1.1.1/metadata",
        "/studies/1.2/series/1.1.1",
        "/studies/1.2/series/1.1.1/instances/1.1.1.1",
        "/studies/1.2/series/1.2.1/instances/1.1.1.1",
        "/studies/1.1/series/1.2.1/instances/1.1.1.1/metadata",
        "/studies/1.1/series/1.2.1/instances/1.1.1.1/frames/1",
        "/studies/1.2/series/1.1.1/instances/1.1.1.1/bulk/00420011",
        "/studies/9.9",
        "/studies/9.9/metadata",
        "/studies/1.1/series/1.1.1/instances/1.1.1.1/frames/1/metadata",
        "/studies/1.1/",
        "/studies/../studies/1.1/metadata",
        "/studies/1.1/series/1.1.1/instances/1.1.1.1/bulk/../metadata",
        "/studies/1.1/bulkdata",
        "/studies/1.1\n",
        "/",
        "",
        "/app",
    ],
)
async def test_what_does_not_lie_where_the_path_says_is_not_found(folder: Path, serve: Serve, path: str) -> None:
    save(folder / "1.dcm", image())
    save(folder / "2.dcm", image("1.2", "1.2.1", "1.2.1.1"))
    answer = await ask(await serve(), path)
    assert (answer.status, answer.content_type) == (404, "application/problem+json")


async def test_values_are_written_as_json_has_them(folder: Path, serve: Serve) -> None:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = "1", "Ünïcode"
    dataset = image(
        SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürgen", ImageType=["DERIVED", "", "AXIAL"],
        PixelSpacing=["0.5", "0.25"], ProcedureCodeSequence=[item], FrameIncrementPointer=0x00181063,
        ExposureTime="12", WindowCenter="-600.5",
    )  # fmt: skip
    dataset.add_new(0x00091001, "UN", b"\1\2\3\4")
    dataset.add_new(0x00280106, "US", 7)
    save(folder / "1.dcm", dataset)
    found = await metadata(await serve())
    assert found["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}
    assert found["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jürgen"}]}
    assert found["00080008"] == {"vr": "CS", "Value": ["DERIVED", None, "AXIAL"]}
    assert found["00280030"] == {"vr": "DS", "Value": [0.5, 0.25]}
    assert found["00081032"]["Value"] == [
        {"00080100": {"vr": "SH", "Value": ["1"]}, "00080104": {"vr": "LO", "Value": ["Ünïcode"]}}
    ]
    assert found["00280009"] == {"vr": "AT", "Value": ["00181063"]}
    assert found["00181150"] == {"vr": "IS", "Value": [12]}
    assert found["00091001"] == {"vr": "UN", "InlineBinary": base64.b64encode(b"\1\2\3\4").decode()}


async def test_names_have_their_groups(folder: Path, serve: Serve) -> None:
    dataset = image(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう")
    save(folder / "1.dcm", dataset)
    assert (await metadata(await serve()))["00100010"]["Value"] == [
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]


def _raw(tag: int, vr: bytes, value: bytes) -> bytes:
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    if vr in (b"OB", b"OW", b"UN", b"UT", b"OF", b"SQ"):
        return head + struct.pack("<HL", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


@pytest.mark.parametrize(
    ("raw", "tag", "expected"),
    [
        pytest.param(_raw(0x00186028, b"FD", struct.pack("<d", float("nan"))), "00186028", [None], id="not a number"),
        pytest.param(
            _raw(0x00186028, b"FD", struct.pack("<2d", float("inf"), 1.5)), "00186028", [None, 1.5], id="infinite"
        ),
        pytest.param(_raw(0x00180050, b"DS", b"1e9999"), "00180050", [None], id="too large a number"),
        pytest.param(_raw(0x00180050, b"DS", b"abc "), "00180050", None, id="letters for a number"),
        pytest.param(_raw(0x00180050, b"DS", b"1\\\\2 "), "00180050", [1.0, None, 2.0], id="an empty one of several"),
        pytest.param(_raw(0x00181150, b"IS", b"1.5 "), "00181150", None, id="a fraction for a whole number"),
        pytest.param(_raw(0x00186028, b"FD", b"\0" * 6), "00186028", None, id="half a number"),
        pytest.param(_raw(0x00181400, b"LO", b"\xff\xfe\x80\x81"), "00181400", ..., id="bytes of no character set"),
        pytest.param(_raw(0x00181400, b"ZZ", b"what"), "00181400", ..., id="an unknown representation"),
        pytest.param(_raw(0x00181400, b"LO", b"a\0\0\0"), "00181400", ["a"], id="padded with zeros"),
        pytest.param(_raw(0x00181201, b"TM", b"25:99 "), "00181201", ["25:99"], id="no time of day"),
        pytest.param(_raw(0x00181030, b"LO", b""), "00181030", None, id="empty"),
        pytest.param(_raw(0x00191001, b"SQ", b"rubbish!"), "00191001", ..., id="a sequence of rubbish"),
    ],
)
async def test_a_bad_value_costs_only_itself(
    folder: Path, serve: Serve, raw: bytes, tag: str, expected: object
) -> None:
    whole = save(folder / "1.dcm", image()).read_bytes()
    at = whole.index(b"\x20\x00\x0d\x00UI")
    (folder / "1.dcm").write_bytes(whole[:at] + raw + whole[at:])
    archive = await serve()
    assert archive.unreadable == []
    found = await metadata(archive)
    assert found["0020000D"]["Value"] == ["1.1"]
    if expected is not ...:
        assert found.get(tag, {}).get("Value") == expected
    assert (await ask(archive, f"{INSTANCE}/frames/1")).status == 200


@pytest.mark.parametrize("charset", ["ISO_IR 999", "nonsense", "ISO 2022 IR 87", "ISO_IR 192"])
async def test_a_wrong_character_set_loses_no_instance(folder: Path, serve: Serve, charset: str) -> None:
    whole = save(folder / "1.dcm", image(SpecificCharacterSet="ISO_IR 100", PatientName="Jürgen")).read_bytes()
    text = charset.ljust(len(charset) + len(charset) % 2).encode()
    old = _raw(0x00080005, b"CS", b"ISO_IR 100")
    assert old in whole
    (folder / "1.dcm").write_bytes(whole.replace(old, _raw(0x00080005, b"CS", text)))
    found = await metadata(await serve())
    assert "rgen" in str(found["00100010"])


async def test_instances_are_the_files_as_they_are(folder: Path, serve: Serve) -> None:
    files = {
        uid: save(folder / uid, image(series=series, uid=uid)).read_bytes()
        for series, uid in (("1.1.1", "1.1.1.1"), ("1.1.1", "1.1.1.2"), ("1.1.2", "1.1.2.1"))
    }
    archive = await serve()
    for path, uids in (
        ("/studies/1.1", list(files)),
        ("/studies/1.1/series/1.1.1", ["1.1.1.1", "1.1.1.2"]),
        (INSTANCE, ["1.1.1.1"]),
    ):
        answer = await ask(archive, path, accept='multipart/related; type="application/dicom"; transfer-syntax=*')
        assert answer.content_type.startswith('multipart/related; type="application/dicom"; boundary=')
        assert [content for _, content in answer.parts] == [files[uid] for uid in uids]
        assert {head["content-type"] for head, _ in answer.parts} == {
            "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
        }
        assert [head["content-location"].rpartition("/")[2] for head, _ in answer.parts] == uids
    alone = await ask(archive, INSTANCE, accept="application/dicom")
    assert (alone.content, alone.length) == (files["1.1.1.1"], len(files["1.1.1.1"]))


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        (INSTANCE, "multipart/related; type=application/dicom", 200),
        (INSTANCE, "multipart/related; type=application/dicom; transfer-syntax=1.2.840.10008.1.2.1", 200),
        (INSTANCE, "multipart/related; type=application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50", 406),
        (INSTANCE, "application/dicom+json", 406),
        (INSTANCE, "*/*", 200),
        ("/studies/1.1", "application/dicom", 406),
        ("/studies/1.1", "", 200),
    ],
)
async def test_instances_are_not_transcoded(folder: Path, serve: Serve, path: str, accept: str, status: int) -> None:
    save(folder / "1.dcm", image())
    assert (await ask(await serve(), path, accept=accept)).status == status


TARGETS = [INSTANCE, f"{INSTANCE}/frames/1", f"{INSTANCE}/bulk/00091002", "/studies/1.1"]


@pytest.mark.parametrize("path", TARGETS)
async def test_a_file_that_has_gone_is_not_found(folder: Path, serve: Serve, path: str) -> None:
    save(folder / "1.dcm", large())
    archive = await serve()
    (folder / "1.dcm").unlink()
    assert (await ask(archive, path)).status == 404


@pytest.mark.parametrize("path", TARGETS)
async def test_a_file_that_is_another_by_now_is_not_read(folder: Path, serve: Serve, path: str) -> None:
    file = save(folder / "1.dcm", large())
    archive = await serve()
    save(file, image(study="1.66", PatientName="SOMEONE^ELSE"))
    later(file)
    with pytest.raises(ArchiveFailed):
        await ask(archive, path)


@pytest.mark.parametrize("path", TARGETS)
async def test_a_file_that_became_a_link_is_not_followed(folder: Path, serve: Serve, tmp_path: Path, path: str) -> None:
    file = save(folder / "1.dcm", large())
    status = file.stat()
    archive = await serve()
    other = copy(file, tmp_path / "other.dcm")
    os.utime(other, ns=(status.st_mtime_ns, status.st_mtime_ns))
    file.unlink()
    file.symlink_to(other)
    with pytest.raises(ArchiveFailed):
        await ask(archive, path)


def _open_files(folder: Path) -> list[str]:
    links = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    return [link for link in links if link.startswith(str(folder))]


async def _closed(folder: Path) -> None:
    """Return when no file of *folder* is open."""
    for _ in range(1000):
        if not _open_files(folder):
            return
        await asyncio.sleep(0.01)
    pytest.fail("a file stays open")


async def test_a_reader_that_leaves_ends_the_reading(folder: Path, serve: Serve) -> None:
    for number in range(20):
        save(folder / f"{number}", image(uid=f"1.1.1.{number}", PixelData=b"\0" * 1_000_000))
    archive = await serve()
    for _ in range(10):
        async with archive.get("/studies/1.1", "", "*/*") as answer:
            await anext(answer.body)
            await anext(answer.body)
    await _closed(folder)


async def test_a_reader_that_is_cancelled_leaves_nothing_open(folder: Path, serve: Serve) -> None:
    save(folder / "1", image(PixelData=b"\0" * 10_000_000))
    archive = await serve()

    async def read() -> None:
        async with archive.get(INSTANCE, "", "application/dicom") as answer:
            async for _ in answer.body:
                await asyncio.sleep(0.01)

    for _ in range(20):
        task = asyncio.create_task(read())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await _closed(folder)


async def test_nothing_is_uploaded(folder: Path, serve: Serve) -> None:
    async def nothing():  # type: ignore[no-untyped-def]  # noqa: ANN202
        yield b""

    archive = await serve()
    with pytest.raises(Refused) as refusal:
        archive.post("/studies", "multipart/related", nothing(), "*/*")
    assert refusal.value.hint


async def test_everything_pydicom_ships_is_answered_or_named(folder: Path, serve: Serve) -> None:
    names = [path.name for path in BUNDLED.glob("*") if path.is_file()]
    for name in names:
        copy(BUNDLED / name, folder / name)
    archive = await serve()
    served = 0
    for study in (await ask(archive, "/studies")).json:
        place = f"/studies/{study['0020000D']['Value'][0]}"
        served += len((await ask(archive, f"{place}/metadata")).json)
        assert (await ask(archive, place)).status == 200
    assert served + len(archive.unreadable) + len(archive.duplicates) == len(names)


def test_elements_are_left_as_they_were_read() -> None:
    """The promise of pydicom that reading values lazily rests on."""
    dataset = pydicom.dcmread(BUNDLED / "CT_small.dcm", defer_size=100, stop_before_pixels=True)
    raw = dataset.get_item(0x00431029, keep_deferred=True)
    assert not isinstance(raw, DataElement)
    assert (raw.value, raw.length) == (None, 2068)
