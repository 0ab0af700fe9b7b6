"""Pictures show what the standard says: windows, tables, palettes, colours, sizes, in every syntax with a decoder."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom.uid import JPEGExtended12Bit, RLELossless

from keyhole.archive.decoders import COMMAND, Decoders
from keyhole.archive.folder import FolderArchive
from keyhole.archive.order import Order, Rendered, Unable
from keyhole.errors import ArchiveFailed, ArchiveTimeout
from tests.archive.makers import BUNDLED, INSTANCE, ask, image, later, save

pytestmark = [pytest.mark.filterwarnings("ignore:::pydicom"), pytest.mark.slow]
Serve = Callable[[], Awaitable[FolderArchive]]


def grey(values: list[list[int]], **attributes: Any) -> Dataset:
    """An image of signed 16-bit values."""
    pixels = np.array(values, dtype="<i2")
    dataset = image(PixelRepresentation=1, Rows=pixels.shape[-2], Columns=pixels.shape[-1], **attributes)
    dataset.PixelData = pixels.tobytes()
    return dataset


async def shown(serve: Serve, query: str = "", path: str = f"{INSTANCE}/rendered", kind: str = "png") -> np.ndarray:
    answer = await ask(await serve(), path, query, f"image/{kind}")
    assert (answer.status, answer.content_type) == (200, f"image/{kind}"), answer.content
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.format == kind.upper()
    return np.asarray(picture)


RAMP = [[-1000, -100, 0, 40], [50, 100, 500, 1000]]

WINDOWS = [
    ({"WindowCenter": "50", "WindowWidth": "101"}, "", [[0, 0, 1, 103], [129, 255, 255, 255]], "linear"),
    ({"WindowCenter": "50", "WindowWidth": "100", "VOILUTFunction": "LINEAR_EXACT"}, "",
     [[0, 0, 0, 102], [128, 255, 255, 255]], "linear exact"),
    ({"WindowCenter": "0", "WindowWidth": "100", "VOILUTFunction": "SIGMOID"}, "",
     [[0, 5, 128, 212], [225, 250, 255, 255]], "sigmoid"),
    ({"WindowCenter": ["50", "0"], "WindowWidth": ["101", "1"]}, "",
     [[0, 0, 1, 103], [129, 255, 255, 255]], "the first of several"),
    ({"WindowCenter": "50", "WindowWidth": "101"}, "window=0,1,linear", [[0, 0, 255, 255], [255] * 4],
     "as the query says"),
    ({"WindowCenter": "1050", "WindowWidth": "101", "RescaleSlope": "2", "RescaleIntercept": "1000"}, "",
     [[0, 0, 1, 205], [255] * 4], "of rescaled values"),
    ({"WindowCenter": "0", "WindowWidth": "0"}, "", [[0, 115, 128, 133], [134, 140, 191, 255]], "none that is valid"),
    ({}, "", [[0, 115, 128, 133], [134, 140, 191, 255]], "none"),
    ({"PhotometricInterpretation": "MONOCHROME1"}, "", [[255, 140, 127, 122], [121, 115, 64, 0]], "inverted"),
    ({"PixelPaddingValue": -1000}, "", [[0, 0, 23, 32], [35, 46, 139, 255]], "without padding"),
    ({"PixelPaddingValue": -1000, "PixelPaddingRangeLimit": 0, "PhotometricInterpretation": "MONOCHROME1"}, "",
     [[0, 0, 0, 255], [252, 239, 133, 0]], "inverted, padding black"),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "query", "expected"), [pytest.param(*w[:3], id=w[3]) for w in WINDOWS])
async def test_grey_values_are_windowed(
    folder: Path, serve: Serve, attributes: dict[str, Any], query: str, expected: list[list[int]]
) -> None:
    save(folder / "a.dcm", grey(RAMP, **attributes))
    np.testing.assert_allclose(await shown(serve, query), expected, atol=1)


async def test_a_voi_table_goes_before_a_window(folder: Path, serve: Serve) -> None:
    table = Dataset()
    table.add_new(0x00283002, "US", [4, 0, 8])
    table.add_new(0x00283006, "US", [0, 80, 160, 255])
    save(folder / "a.dcm", grey([[-5, 0, 1], [2, 3, 9]], VOILUTSequence=[table], WindowCenter="0", WindowWidth="2"))
    assert (await shown(serve)).tolist() == [[0, 0, 80], [160, 255, 255]]


async def test_a_modality_table_makes_other_values_of_those_stored(folder: Path, serve: Serve) -> None:
    table = Dataset()
    table.add_new(0x00283002, "US", [3, 0, 16])
    table.add_new(0x00283006, "US", [100, 300, 200])
    save(folder / "a.dcm", grey([[0, 1, 2]], ModalityLUTSequence=[table]))
    np.testing.assert_allclose(await shown(serve), [[0, 255, 128]], atol=1)


async def test_functional_groups_say_how_each_frame_is_seen(folder: Path, serve: Serve) -> None:
    def group(center: int) -> Dataset:
        window, frame = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = str(center), "1"
        frame.FrameVOILUTSequence = [window]
        return frame

    dataset = grey([[0, 10], [20, 30]], NumberOfFrames=2, PerFrameFunctionalGroupsSequence=[group(10), group(30)])
    dataset.PixelData *= 2
    save(folder / "a.dcm", dataset)
    assert (await shown(serve)).tolist() == [[0, 255], [255, 255]]
    assert (await shown(serve, path=f"{INSTANCE}/frames/2/rendered")).tolist() == [[0, 0], [0, 255]]


async def test_a_multi_frame_instance_shows_its_representative_frame(folder: Path, serve: Serve) -> None:
    dataset = image(NumberOfFrames=3, BitsAllocated=8, BitsStored=8, HighBit=7, RepresentativeFrameNumber=2)
    dataset.add_new(0x7FE00010, "OB", bytes([1] * 4 + [2] * 4 + [3] * 4))
    save(folder / "a.dcm", dataset)
    assert (await shown(serve)).tolist() == [[2, 2], [2, 2]]
    assert (await shown(serve, path=f"{INSTANCE}/frames/3/rendered")).tolist() == [[3, 3], [3, 3]]
    assert (await ask(await serve(), f"{INSTANCE}/frames/4/rendered")).status == 404


async def test_one_bit_is_black_or_white(folder: Path, serve: Serve) -> None:
    dataset = image(NumberOfFrames=2, BitsAllocated=1, BitsStored=1, HighBit=0)
    dataset.add_new(0x7FE00010, "OB", bytes([0b1001_0110, 0]))
    save(folder / "a.dcm", dataset)
    assert (await shown(serve)).tolist() == [[0, 255], [255, 0]]
    assert (await shown(serve, path=f"{INSTANCE}/frames/2/rendered")).tolist() == [[255, 0], [0, 255]]


@pytest.mark.parametrize("planar", [0, 1])
async def test_colours_lie_as_the_planar_configuration_says(folder: Path, serve: Serve, planar: int) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    attributes = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": planar}
    dataset = image(BitsAllocated=8, BitsStored=8, HighBit=7, **attributes)
    dataset.add_new(0x7FE00010, "OB", (pixels.transpose(2, 0, 1) if planar else pixels).tobytes())
    save(folder / "a.dcm", dataset)
    assert (await shown(serve)).tolist() == pixels.tolist()


COLOURED = [
    "SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm", "SC_rgb_rle_2frame.dcm", "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_gdcm_KY.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_ybr_full_422_uncompressed.dcm", "SC_rgb_dcmtk_+eb+cy+s4.dcm",
    "examples_rgb_color.dcm", "examples_ybr_color.dcm", "GDCMJ2K_TextGBR.dcm", "ExplVR_BigEnd.dcm",
]  # fmt: skip


def _place(dataset: Dataset) -> str:
    return f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"


@pytest.mark.parametrize("name", COLOURED)
async def test_colours_are_as_pydicom_decodes_them(folder: Path, serve: Serve, name: str) -> None:
    dataset = pydicom.dcmread(copy(BUNDLED / name, folder / name))
    np.testing.assert_allclose(
        await shown(serve, path=f"{_place(dataset)}/rendered"), pixel_array(dataset, index=0), atol=2
    )


async def test_a_palette_gives_its_colours(folder: Path, serve: Serve) -> None:
    dataset = pydicom.dcmread(copy(BUNDLED / "examples_palette.dcm", folder / "a.dcm"))
    coloured = apply_color_lut(pixel_array(dataset, index=0), dataset)
    if coloured.dtype == np.uint16:
        coloured = coloured >> 8
    assert np.array_equal(await shown(serve, path=f"{_place(dataset)}/rendered"), coloured)


GREY = [
    "CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "JPEG2000.dcm", "image_dfl.dcm", "rtdose.dcm",
    "rtdose_rle.dcm", "693_J2KI.dcm", "liver_1frame.dcm",
]  # fmt: skip


@pytest.mark.parametrize("name", GREY)
async def test_every_syntax_with_a_decoder_is_rendered(folder: Path, serve: Serve, name: str) -> None:
    dataset = pydicom.dcmread(copy(BUNDLED / name, folder / name))
    picture = await shown(serve, path=f"{_place(dataset)}/rendered")
    assert picture.shape == (dataset.Rows, dataset.Columns)
    assert picture.min() < picture.max()
    brightness = pixel_array(dataset, index=0).astype(float).ravel()
    assert np.corrcoef(brightness, picture.ravel())[0, 1] > 0.3


async def test_the_same_image_looks_the_same_in_every_lossless_syntax(folder: Path, serve: Serve) -> None:
    names = ["MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm"]
    pictures = []
    for name in names:
        dataset = pydicom.dcmread(copy(BUNDLED / name, folder / "one.dcm"))
        later(folder / "one.dcm")
        pictures.append(await shown(serve, path=f"{_place(dataset)}/rendered"))
        (folder / "one.dcm").unlink()
    assert all(np.array_equal(pictures[0], other) for other in pictures[1:])


async def test_a_viewport_fits_the_image_or_a_part_of_it(folder: Path, serve: Serve) -> None:
    pixels = np.arange(8 * 4, dtype=np.uint8).reshape(4, 8)
    dataset = image(Rows=4, Columns=8, BitsAllocated=8, BitsStored=8, HighBit=7)
    dataset.add_new(0x7FE00010, "OB", pixels.tobytes())
    save(folder / "a.dcm", dataset)
    assert (await shown(serve, "viewport=16,16")).shape == (8, 16)
    assert (await shown(serve, "viewport=4,4")).shape == (2, 4)
    assert (await shown(serve, "viewport=2,2,4,2,2,2")).tolist() == pixels[2:4, 4:6].tolist()
    assert (await shown(serve, "viewport=2,2,4,2,-2,2")).tolist() == pixels[2:4, 5:3:-1].tolist()
    assert (await shown(serve, "viewport=2,2,4,2,2,-2")).tolist() == pixels[3:1:-1, 4:6].tolist()
    assert (await shown(serve, "viewport=8,8,100,100,9,9")).shape == (8, 8)
    thumbnail = await shown(serve, path=f"{INSTANCE}/thumbnail")
    assert thumbnail.tolist() == pixels.tolist()
    assert (await shown(serve, "viewport=4,4", path=f"{INSTANCE}/thumbnail")).shape == (2, 4)


async def test_quality_and_media_type_are_those_asked_for(folder: Path, serve: Serve) -> None:
    dataset = pydicom.dcmread(copy(BUNDLED / "examples_rgb_color.dcm", folder / "a.dcm"))
    path = f"{_place(dataset)}/rendered"
    archive = await serve()
    rough, fine = [len((await ask(archive, path, f"quality={q}", "image/jpeg")).content) for q in (10, 95)]
    assert rough < fine / 2
    assert (await shown(serve, path=path, kind="gif")).shape[:2] == (dataset.Rows, dataset.Columns)
    assert (await ask(archive, path, accept="*/*")).content_type == "image/jpeg"
    assert (await ask(archive, path, accept="image/*;q=0.5, image/png")).content_type == "image/png"
    assert (await ask(archive, path, accept="image/webp")).status == 406


@pytest.mark.parametrize(
    "query",
    ["quality=0", "quality=x", "window=1,0,linear", "window=1,1,cubic", "window=nan,1,linear", "viewport=0,1",
     "viewport=1", "viewport=1,1,1", "viewport=a,b"],
)  # fmt: skip
async def test_what_is_malformed_is_a_bad_request(folder: Path, serve: Serve, query: str) -> None:
    save(folder / "a.dcm", image())
    assert (await ask(await serve(), f"{INSTANCE}/rendered", query)).status == 400


async def test_a_thumbnail_of_a_series_or_study_is_its_middle_image(folder: Path, serve: Serve) -> None:
    for number in range(1, 6):
        dataset = image(uid=f"1.1.1.{number}", InstanceNumber=number, BitsAllocated=8, BitsStored=8, HighBit=7)
        dataset.add_new(0x7FE00010, "OB", bytes([number] * 4))
        save(folder / f"{number}.dcm", dataset)
    save(folder / "sr.dcm", image(series="1.1.0", uid="1.1.0.1", BitsAllocated=None, PixelData=None))
    for path in ("/studies/1.1/thumbnail", "/studies/1.1/series/1.1.1/thumbnail"):
        assert (await shown(serve, path=path)).tolist() == [[3, 3], [3, 3]]
    archive = await serve()
    for path in ("/studies/9/thumbnail", "/studies/1.1/series/1.1.0/thumbnail", "/studies/1.2/series/1/thumbnail"):
        assert (await ask(archive, path)).status == 404


async def test_what_is_left_out_is_not_acceptable(folder: Path, serve: Serve) -> None:
    save(folder / "a.dcm", image(NumberOfFrames=2, Rows=1))
    save(folder / "sr.dcm", image(uid="1.1.1.2", BitsAllocated=None, PixelData=None))
    archive = await serve()
    report = INSTANCE.replace("1.1.1.1", "1.1.1.2")
    for path in ("/studies/1.1", "/studies/1.1/series/1.1.1", f"{INSTANCE}/frames/1,2", report):
        assert (await ask(archive, f"{path}/rendered")).status == 406
    assert (await ask(archive, f"{INSTANCE}/frames/1,2/thumbnail")).status == 406
    assert (await ask(archive, f"{INSTANCE.replace('1.1.1.1', '1.1.1.9')}/rendered")).status == 404


async def test_a_syntax_without_a_decoder_is_not_acceptable_and_its_frames_go_out(folder: Path, serve: Serve) -> None:
    dataset = image()
    dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    dataset.PixelData = encapsulate([b"\xff\xd8 no image \xff\xd9 "])
    dataset["PixelData"].is_undefined_length = True
    save(folder / "a.dcm", dataset)
    archive = await serve()
    answer = await ask(archive, f"{INSTANCE}/rendered")
    assert (answer.status, b"frames" in answer.content) == (406, True)
    assert (await ask(archive, f"{INSTANCE}/frames/1")).status == 200


async def test_a_frame_beyond_all_bounds_is_not_decoded(folder: Path, serve: Serve) -> None:
    dataset = image(Rows=65535, Columns=65535)
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.PixelData = encapsulate([b"\0" * 64])
    dataset["PixelData"].is_undefined_length = True
    save(folder / "a.dcm", dataset)
    assert (await ask(await serve(), f"{INSTANCE}/rendered")).status == 406


async def test_a_file_that_changed_or_went_is_not_rendered(folder: Path, serve: Serve) -> None:
    path = save(folder / "a.dcm", image())
    archive = await serve()
    later(path)
    with pytest.raises(ArchiveFailed, match="changed"):
        await ask(archive, f"{INSTANCE}/rendered")
    path.unlink()
    assert (await ask(archive, f"{INSTANCE}/rendered")).status == 404


def _order(path: Path) -> Order:
    status = path.stat()
    return Order(bytes(path), status.st_mtime_ns, status.st_size, None, "image/png")


_BAD = "import sys, os, time\nsys.stdin.buffer.read(4)\n"


async def test_a_decoder_that_crashes_costs_its_own_picture_only(tmp_path: Path) -> None:
    crash = tmp_path / "crash"
    program = (
        f"import os, numpy\nfrom keyhole.archive import decoder\nreply = decoder.reply\n"
        f"decoder.reply = lambda order: os.abort() if order.path == {bytes(crash)!r} else reply(order)\ndecoder.main()"
    )
    good = save(tmp_path / "a.dcm", image())
    decoders = Decoders(2, command=(sys.executable, "-P", "-c", program))
    try:
        bad = Order(bytes(crash), 0, 0, None, "image/png")
        answers = await asyncio.gather(
            *(decoders.render(_order(good)), decoders.render(bad), decoders.render(_order(good))),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [Rendered, ArchiveFailed, Rendered]
        assert isinstance(await decoders.render(_order(good)), Rendered)
    finally:
        await decoders.close()


@pytest.mark.parametrize(
    ("program", "error"),
    [
        (f"{_BAD}time.sleep(600)", ArchiveTimeout),
        (f"{_BAD}os.write(1, b'\\xff\\xff\\xff\\xff')", ArchiveFailed),
        (f"{_BAD}os.write(1, b'\\0\\0\\0\\1?')", ArchiveFailed),
        ("raise SystemExit", ArchiveFailed),
    ],
    ids=["hangs", "answers endlessly", "answers nonsense", "does not start"],
)
async def test_a_decoder_that_misbehaves_is_replaced(tmp_path: Path, program: str, error: type[Exception]) -> None:
    decoders = Decoders(1, seconds=1.0, command=(sys.executable, "-c", program))
    try:
        for _ in range(2):
            with pytest.raises(error):
                await decoders.render(_order(save(tmp_path / "a.dcm", image())))
        assert not decoders._free
    finally:
        await decoders.close()


async def test_decoders_are_kept_and_ended_when_idle(tmp_path: Path) -> None:
    decoders = Decoders(1, idle=0.2, command=COMMAND)
    order = _order(save(tmp_path / "a.dcm", image()))
    try:
        await decoders.render(order)
        (process,) = decoders._all
        await decoders.render(order)
        assert decoders._all == {process}
        await asyncio.wait_for(process.wait(), 20)
        assert isinstance(await decoders.render(order), Rendered)
        gone = Order(bytes(tmp_path / "gone"), 0, 0, None, "image/png")
        assert await decoders.render(gone) == Unable("gone")
    finally:
        await decoders.close()


async def test_the_serving_process_loads_no_decoder(tmp_path: Path) -> None:
    program = (
        "import sys, keyhole.archive.folder, pydicom\n"
        "print(sorted({'numpy', 'PIL', 'gdcm', 'openjpeg', 'jpeg_ls'} & sys.modules.keys()))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert output == b"[]\n"
