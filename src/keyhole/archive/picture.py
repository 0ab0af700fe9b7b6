"""From pixels to a picture: modality and VOI transformations, palettes, size, encoding (PS3.3 C.11, PS3.18 10.4).

Only decoder processes import this: it needs numpy and Pillow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi
from pydicom.uid import ExplicitVRLittleEndian

from keyhole.archive.order import Order, Shape, Viewport, Window

Array = NDArray[Any]

_BRIGHT = 255.0
_MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})
_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF"}
_SHAPES: dict[str, Shape] = {"LINEAR": "linear", "LINEAR_EXACT": "linear-exact", "SIGMOID": "sigmoid"}
_TABLE_MOST = 16
"""Bits up to which every value is looked up in a table rather than computed again for each pixel."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """A decoded frame, the photometric interpretation of its values now, and the dataset that it is from."""

    values: Array
    photometric: str
    dataset: Dataset
    index: int


def picture(pixels: Pixels, order: Order) -> bytes:
    """*pixels* as *order* wants to see them."""
    image = Image.fromarray(_visible(pixels, order.window))
    if order.viewport is not None:
        image = _fitted(image, order.viewport)
    out = BytesIO()
    options = {"quality": order.quality} if order.media_type == "image/jpeg" else {}
    image.save(out, _FORMATS[order.media_type], **options)
    return out.getvalue()


def _visible(pixels: Pixels, window: Window | None) -> NDArray[np.uint8]:
    """Grey or RGB of 8 bits."""
    if pixels.photometric in _MONOCHROME:
        return _grey(pixels, window)
    if pixels.photometric == "PALETTE COLOR":
        coloured = apply_color_lut(pixels.values, pixels.dataset)
        return _bytes(coloured[..., :3], 16 if coloured.dtype == np.uint16 and coloured.max() > _BRIGHT else 8)
    if pixels.photometric == "RGB":
        return _bytes(pixels.values, int(pixels.dataset.BitsStored))
    raise ValueError("a photometric interpretation that is not known")


def _bytes(values: Array, bits: int) -> NDArray[np.uint8]:
    if bits > 8:  # noqa: PLR2004 - a byte
        values = values >> (bits - 8)
    return np.ascontiguousarray(values.astype(np.uint8))


def _grey(pixels: Pixels, window: Window | None) -> NDArray[np.uint8]:
    look = _Look(_described(pixels), pixels.values, window)
    low, high = int(pixels.values.min()), int(pixels.values.max())
    if high - low < 1 << _TABLE_MOST:
        table = look.brightness(np.arange(low, high + 1, dtype=np.int64))
        grey = table[np.subtract(pixels.values, low, dtype=np.int64)]
    else:
        grey = look.brightness(pixels.values)
    if pixels.photometric == "MONOCHROME1":
        grey = 255 - grey
    grey[look.padding] = 0
    return np.ascontiguousarray(grey)


def _described(pixels: Pixels) -> Dataset:
    """How grey values are meant: the dataset's own attributes, or those of its functional groups (C.7.6.16.2)."""
    described = Dataset()
    described.update({tag: pixels.dataset[tag] for tag in pixels.dataset.group_dataset(0x0028).keys()})  # noqa: SIM118
    # pydicom reads tables by it.
    described.file_meta = FileMetaDataset()
    described.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for group in _functional_groups(pixels.dataset, pixels.index):
        for keyword in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in group.get(keyword) or ():
                described.update(item)
    return described


def _functional_groups(dataset: Dataset, index: int) -> Iterator[Dataset]:
    yield from dataset.get("SharedFunctionalGroupsSequence") or ()
    yield from (dataset.get("PerFrameFunctionalGroupsSequence") or ())[index : index + 1]


class _Look:
    """How the values of one frame become brightness."""

    def __init__(self, described: Dataset, values: Array, window: Window | None) -> None:
        self._described = described
        self.padding = _padding(described, values)
        self._window = window or (None if described.get("VOILUTSequence") else _stored_window(described))
        self._range = (0.0, 1.0)
        if self._window is None and not described.get("VOILUTSequence"):
            self._range = self._full(values)

    def brightness(self, values: Array) -> NDArray[np.uint8]:
        """0 to 255 for each of the stored *values*."""
        meant = apply_modality_lut(values, self._described)
        if self._window is not None:
            bright = _windowed(meant, self._window)
        elif self._described.get("VOILUTSequence"):
            bright = self._looked_up(meant)
        else:
            low, high = self._range
            bright = (meant - low) * (_BRIGHT / max(high - low, 1e-9))
        return np.clip(np.rint(bright), 0, _BRIGHT).astype(np.uint8)

    def _looked_up(self, meant: Array) -> Array:
        bits = int(self._described.VOILUTSequence[0].LUTDescriptor[2])
        return apply_voi(np.rint(meant).astype(np.int64), self._described, 0) * (_BRIGHT / ((1 << bits) - 1))

    def _full(self, values: Array) -> tuple[float, float]:
        """All that 8 bits can hold, or else all that is there."""
        bits = int(self._described.BitsStored)
        seen = values[~self.padding]
        if bits <= 8:  # noqa: PLR2004 - a byte
            low = -(1 << (bits - 1)) if self._described.PixelRepresentation else 0
            seen = np.array([low, low + (1 << bits) - 1])
        meant = apply_modality_lut(seen if seen.size else np.zeros(1), self._described)
        return float(meant.min()), float(meant.max())


def _padding(described: Dataset, values: Array) -> NDArray[np.bool_]:
    """Where there is no image (PS3.3 section C.7.5.1.1.2)."""
    first = described.get("PixelPaddingValue")
    last = described.get("PixelPaddingRangeLimit", first)
    if not isinstance(first, int) or not isinstance(last, int):
        return np.zeros(values.shape, dtype=np.bool_)
    return (values >= min(first, last)) & (values <= max(first, last))


def _stored_window(described: Dataset) -> Window | None:
    """The first window that the dataset names, when it is one."""
    try:
        center, width = (float(_first(described.get(name))) for name in ("WindowCenter", "WindowWidth"))
    except (TypeError, ValueError, IndexError):
        return None
    shape = _SHAPES.get(str(described.get("VOILUTFunction") or "LINEAR"), "linear")
    return Window(center, width, shape) if width > 0 and math.isfinite(center + width) else None


def _first(value: object) -> str | float:
    first = value[0] if isinstance(value, MultiValue) else value
    if not isinstance(first, str | float | int):
        raise TypeError
    return first


def _windowed(values: Array, window: Window) -> Array:
    """PS3.3 section C.11.2.1.2."""
    center, width = window.center, window.width
    if window.shape == "sigmoid":
        with np.errstate(over="ignore"):
            return _BRIGHT / (1 + np.exp(-4 * (values - center) / width))
    if window.shape == "linear":
        # A width of 1 is a threshold.
        center, width = center - 0.5, max(width - 1, 1e-9)
    return ((values - center) / width + 0.5) * _BRIGHT


def _fitted(image: Image.Image, viewport: Viewport) -> Image.Image:
    """The region of *image* as large as it fits into the viewport, in its own proportions."""
    if viewport.region is not None:
        image = _cropped(image, viewport.region)
    scale = min(viewport.width / image.width, viewport.height / image.height)
    if scale >= 1 and not viewport.enlarge:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BILINEAR if scale > 1 else Image.Resampling.BOX)


def _cropped(image: Image.Image, region: tuple[float, float, float, float]) -> Image.Image:
    x, y, width, height = region
    across, down = abs(width) or image.width - x, abs(height) or image.height - y
    left, top = max(0, min(round(x), image.width - 1)), max(0, min(round(y), image.height - 1))
    right, bottom = min(image.width, max(left + 1, round(x + across))), min(image.height, max(top + 1, round(y + down)))
    image = image.crop((left, top, right, bottom))
    if width < 0:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if height < 0 else image
