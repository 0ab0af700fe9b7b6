"""Pictures that can be told apart on a screen: which study, and which slice of it.

A grey field, so that the picture's edge shows on a black viewport; in its middle an 8 x 8 board of dark and bright
fields drawn from a random generator that is seeded with both names. Two boards correlate hardly at all.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

FIELDS = 8
GREY, DARK, BRIGHT = 400, 100, 900
WINDOW = (500, 1000)
"""Centre and width of the window under which GREY is grey, DARK dark and BRIGHT bright."""

_SEARCHED = 0.25, 0.75


def board(study: str, slice_number: int) -> npt.NDArray[np.bool_]:
    """The fields of one slice; True is bright."""
    seed = [ord(letter) for letter in study] + [slice_number]
    return np.random.default_rng(seed).permutation(np.arange(FIELDS * FIELDS) % 2 == 0).reshape(FIELDS, FIELDS)


def pixels(study: str, slice_number: int, size: int) -> npt.NDArray[np.uint16]:
    """The picture of one slice: the board fills the middle half of *size* x *size* stored values."""
    picture = np.full((size, size), GREY, np.uint16)
    fields = np.where(board(study, slice_number), BRIGHT, DARK).astype(np.uint16)
    cell = size // 2 // FIELDS
    start = (size - cell * FIELDS) // 2
    picture[start : start + cell * FIELDS, start : start + cell * FIELDS] = np.kron(
        fields, np.ones((cell, cell), np.uint16)
    )
    return picture


def likeness(screenshot: bytes, study: str, slice_number: int) -> float:
    """How much *screenshot* (PNG of a viewport that fits the picture to its height or width) looks like the slice.

    The correlation of its middle with the board: 1 is the same picture, 0 has nothing to do with it.
    """
    shown = Image.open(io.BytesIO(screenshot)).convert("L")
    side = min(shown.size)
    left, top = (shown.width - side) // 2, (shown.height - side) // 2
    square = shown.crop((left, top, left + side, top + side)).resize((64, 64), Image.Resampling.BOX)
    start, stop = (int(edge * 64) for edge in _SEARCHED)
    middle = np.asarray(square, float)[start:stop, start:stop]
    wanted = np.kron(board(study, slice_number), np.ones((32 // FIELDS, 32 // FIELDS)))
    if middle.std() < 1:
        return 0.0
    return float(np.corrcoef(middle.ravel(), wanted.ravel())[0, 1])
