"""Frames come out as pydicom reads them, in every transfer syntax, with the part heads of PS3.18."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from shutil import copy

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from keyhole.archive.folder import FolderArchive
from tests.archive.makers import ANY_SYNTAX, BUNDLED, ask, image, later, save

pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")
Serve = Callable[[], Awaitable[FolderArchive]]
FRAMES = "/studies/1.1/series/1.1.1/instances/1.1.1.1/frames"
EXPLICIT = "1.2.840.10008.1.2.1"

COMPRESSED = {
    "JPEG-lossy.dcm": "image/jpeg",
    "JPEG2000.dcm": "image/jp2",
    "693_J2KI.dcm": "image/jp2",
    "MR_small_RLE.dcm": "image/dicom-rle",
    "MR_small_jp2klossless.dcm": "image/jp2",
    "MR_small_jpeg_ls_lossless.dcm": "image/jls",
    "SC_rgb_rle_2frame.dcm": "image/dicom-rle",
    "SC_rgb_rle_32bit_2frame.dcm": "image/dicom-rle",
    "SC_rgb_jpeg_gdcm.dcm": "image/jpeg",
    "SC_rgb_jpeg.dcm": "image/jpeg",
    "examples_jpeg2k.dcm": "image/jp2",
    "examples_ybr_color.dcm": "image/jpeg",
    "rtdose_rle.dcm": "image/dicom-rle",
}
NATIVE = [
    "CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_expb.dcm",
    "MR_small_padded.dcm", "ExplVR_BigEnd.dcm", "SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm",
    "SC_ybr_full_422_uncompressed.dcm", "examples_palette.dcm", "examples_overlay.dcm", "examples_rgb_color.dcm",
    "image_dfl.dcm", "rtdose.dcm", "rtdose_1frame.dcm", "rtdose_expb.dcm",
]  # fmt: skip


def _place(dataset: Dataset) -> str:
    return f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"


@pytest.mark.parametrize("name", COMPRESSED)
async def test_compressed_frames_are_as_stored(folder: Path, serve: Serve, name: str) -> None:
    dataset = pydicom.dcmread(copy(BUNDLED / name, folder / name))
    count = int(dataset.get("NumberOfFrames", None) or 1)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=count))
    archive = await serve()
    numbers = ",".join(str(number) for number in range(1, count + 1))
    answer = await ask(archive, f"{_place(dataset)}/frames/{numbers}", accept="*/*")
    syntax = dataset.file_meta.TransferSyntaxUID
    assert answer.status == 200
    assert answer.content_type.startswith(f'multipart/related; type="{COMPRESSED[name]}"; boundary=')
    assert [content for _, content in answer.parts] == frames
    for number, (head, content) in enumerate(answer.parts, 1):
        assert head == {
            "content-type": f"{COMPRESSED[name]}; transfer-syntax={syntax}",
            "content-length": str(len(content)),
            "content-location": f"{archive.root}{_place(dataset)}/frames/{number}",
        }


def _native_frames(dataset: Dataset, name: str) -> list[bytes]:
    """The frames in little-endian order, by numpy."""
    bits, count = dataset.BitsAllocated, int(dataset.get("NumberOfFrames", None) or 1)
    data = dataset.PixelData
    if name.endswith(("bigendian.dcm", "big_endian.dcm", "expb.dcm", "BigEnd.dcm")):
        width = bits // 8 if bits > 8 else (2 if dataset["PixelData"].VR == "OW" else 1)
        data = np.frombuffer(data, f"V{width}").view(np.uint8).reshape(-1, width)[:, ::-1].tobytes()
    samples = 2 if dataset.PhotometricInterpretation == "YBR_FULL_422" else dataset.SamplesPerPixel
    length = dataset.Rows * dataset.Columns * samples * bits // 8
    return [data[at * length : (at + 1) * length] for at in range(count)]


@pytest.mark.parametrize("name", NATIVE)
async def test_native_frames_are_little_endian(folder: Path, serve: Serve, name: str) -> None:
    dataset = pydicom.dcmread(copy(BUNDLED / name, folder / name))
    frames = _native_frames(dataset, name)
    archive = await serve()
    numbers = ",".join(str(number) for number in range(1, len(frames) + 1))
    answer = await ask(archive, f"{_place(dataset)}/frames/{numbers}", accept=ANY_SYNTAX)
    assert answer.status == 200
    assert [content for _, content in answer.parts] == frames
    assert {head["content-type"] for head, _ in answer.parts} == {
        f"application/octet-stream; transfer-syntax={EXPLICIT}"
    }


def test_both_orders_of_the_same_image_are_the_same_values() -> None:
    little = pydicom.dcmread(BUNDLED / "MR_small.dcm")
    big = pydicom.dcmread(BUNDLED / "MR_small_bigendian.dcm")
    assert _native_frames(little, "") == _native_frames(big, "bigendian.dcm")


@pytest.mark.parametrize("big", [False, True])
async def test_frames_of_single_bits_begin_on_a_byte(folder: Path, serve: Serve, big: bool) -> None:
    bits = np.random.default_rng(1).integers(0, 2, size=(5, 3, 7), dtype=np.uint8)
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    packed += b"\0" * (len(packed) % 2)
    dataset = image(NumberOfFrames="5", Rows=3, Columns=7, BitsAllocated=1, BitsStored=1, HighBit=0)
    if big:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
        packed = b"".join(packed[at : at + 2][::-1] for at in range(0, len(packed), 2))
    dataset.PixelData = packed
    save(folder / "a.dcm", dataset)
    answer = await ask(await serve(), f"{FRAMES}/5,1,2,3,4", accept=ANY_SYNTAX)
    got = [np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little") for _, content in answer.parts]
    for order, frame in zip((4, 0, 1, 2, 3), got, strict=True):
        assert frame[:21].tolist() == bits[order].ravel().tolist()
        assert not frame[21:].any()


def _encapsulated(frames: list[bytes], how: str) -> Dataset:
    dataset = image(NumberOfFrames=str(len(frames)), BitsAllocated=8, BitsStored=8, HighBit=7)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    if how == "extended offsets":
        data, offsets, lengths = encapsulate_extended(frames)
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = offsets, lengths
    elif how == "fragments without offsets":
        data = encapsulate(frames, fragments_per_frame=3, has_bot=False)
    elif how == "fragments with offsets":
        data = encapsulate(frames, fragments_per_frame=3)
    elif how == "wrong offsets":
        data = encapsulate(frames)
        data = data[:8] + struct.pack("<L", 4) * len(frames) + data[8 + 4 * len(frames) :]
    else:
        data = encapsulate(frames, has_bot=how == "offsets")
    del dataset.PixelData
    dataset.add_new(0x7FE00010, "OB", data)
    dataset["PixelData"].is_undefined_length = True
    return dataset


@pytest.mark.parametrize(
    "how",
    [
        "offsets",
        "no offsets",
        "extended offsets",
        "fragments with offsets",
        "fragments without offsets",
        "wrong offsets",
    ],
)
async def test_frames_are_found_however_their_offsets_are_written(folder: Path, serve: Serve, how: str) -> None:
    frames = [bytes([number]) * (100 + 2 * number) + b"\xff\xd9" for number in range(6)]
    save(folder / "a.dcm", _encapsulated(frames, how))
    archive = await serve()
    for number, frame in enumerate(frames, 1):
        (part,) = (await ask(archive, f"{FRAMES}/{number}")).parts
        assert part[1] == frame
    assert (await ask(archive, f"{FRAMES}/7")).status == 404


@pytest.mark.parametrize(
    ("accept", "native", "compressed"),
    [
        ("", "application/octet-stream", "image/jpeg"),
        ("*/*", "application/octet-stream", "image/jpeg"),
        ("multipart/related", "application/octet-stream", "image/jpeg"),
        (ANY_SYNTAX, "application/octet-stream", "application/octet-stream"),
        ('multipart/related; type="application/octet-stream"', "application/octet-stream", None),
        (
            f"multipart/related; type=application/octet-stream; transfer-syntax={EXPLICIT}",
            "application/octet-stream",
            None,
        ),
        ("multipart/related; type=image/jpeg", None, "image/jpeg"),
        ("multipart/related; type=IMAGE/JPEG; transfer-syntax=1.2.840.10008.1.2.4.50", None, "image/jpeg"),
        ("multipart/related; type=image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.70", None, None),
        ('multipart/related; type="image/jls", multipart/related; type="image/jpeg"', None, "image/jpeg"),
        ('multipart/related; type="image/*"', None, "image/jpeg"),
        ("image/jpeg", None, None),
        ("multipart/related; type=image/png", None, None),
        ("text/html, */*;q=0.1", "application/octet-stream", "image/jpeg"),
        ("*/*;q=0", None, None),
        ("nonsense", None, None),
    ],
)
async def test_the_media_type_is_one_that_is_accepted(
    folder: Path, serve: Serve, accept: str, native: str | None, compressed: str | None
) -> None:
    save(folder / "native.dcm", image())
    other = _encapsulated([b"\xff\xd8\xff\xd9"], "offsets")
    other.StudyInstanceUID, other.SeriesInstanceUID, other.SOPInstanceUID = "1.2", "1.2.1", "1.2.1.1"
    save(folder / "compressed.dcm", other)
    archive = await serve()
    for path, expected in (
        (FRAMES, native),
        (FRAMES.replace("1.1", "1.2", 1).replace("1.1.1/", "1.2.1/", 1).replace("1.1.1.1", "1.2.1.1"), compressed),
    ):
        answer = await ask(archive, f"{path}/1", accept=accept)
        assert answer.status == (406 if expected is None else 200), path
        if expected is not None:
            assert answer.parts[0][0]["content-type"].startswith(f"{expected}; transfer-syntax=")


@pytest.mark.parametrize("frames", ["2", "1,2", "0", "01", "1,,1", "1-2", "999999999", "", "1,"])
async def test_what_is_no_frame_is_not_found(folder: Path, serve: Serve, frames: str) -> None:
    save(folder / "a.dcm", image())
    assert (await ask(await serve(), f"{FRAMES}/{frames}")).status == 404


async def test_an_instance_without_pixels_has_no_frames(folder: Path, serve: Serve) -> None:
    dataset = pydicom.dcmread(copy(BUNDLED / "test-SR.dcm", folder / "sr.dcm"))
    assert (await ask(await serve(), f"{_place(dataset)}/frames/1")).status == 404


async def test_frames_come_in_the_order_asked_for_and_as_often(folder: Path, serve: Serve) -> None:
    save(folder / "a.dcm", image(NumberOfFrames="3", Rows=1, Columns=1, PixelData=b"aabbcc\0\0"))
    answer = await ask(await serve(), f"{FRAMES}/3,1,3", accept=ANY_SYNTAX)
    assert [content for _, content in answer.parts] == [b"cc", b"aa", b"cc"]


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
async def test_pixels_that_are_less_than_their_frames_fail(folder: Path, serve: Serve, syntax: str) -> None:
    dataset = _encapsulated([b"\1\2", b"\3\4"], "no offsets")
    dataset.NumberOfFrames = "9"
    dataset.file_meta.TransferSyntaxUID = syntax
    save(folder / "a.dcm", dataset)
    archive = await serve()
    with pytest.raises(Exception, match="cannot be read"):
        await ask(archive, f"{FRAMES}/5")


async def test_a_frame_of_a_large_file_is_read_alone(folder: Path, serve: Serve) -> None:
    path = save(folder / "a.dcm", image(NumberOfFrames="2000", Rows=1024, Columns=1024, PixelData=b"\0" * 8))
    raw = path.read_bytes()
    length = 2000 * 1024 * 1024 * 2
    with path.open("r+b") as file:  # sparse: nothing of it is on the disk
        file.seek(len(raw) - 12)
        file.write(struct.pack("<L", length))
        file.seek(len(raw) - 8 + 1999 * 1024 * 1024 * 2)
        file.write(b"\x2a" * 16)
        file.truncate(len(raw) - 8 + length)
    later(path)
    archive = await serve()
    tracemalloc.start()
    (part,) = (await ask(archive, f"{FRAMES}/2000", accept=ANY_SYNTAX)).parts
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(part[1]), part[1][:16]) == (1024 * 1024 * 2, b"\x2a" * 16)
    assert most < 40 * 1024 * 1024
