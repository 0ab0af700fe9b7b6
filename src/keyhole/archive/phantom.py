"""A CT series that never was: a chest made of ellipses, with the number of each slice burned into it.

The pixels are painted by runs of rows, in plain Python, so that drawing 120 slices takes about a second.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi, sqrt

SIZE = 512
SLICES = 120
INTERCEPT = -1024
"""Hounsfield units are the stored values plus this."""

_AIR, _LUNG, _FAT, _TISSUE, _NODULE, _BONE, _MARK = -1000, -850, -90, 40, 90, 700, 1500
_LETTERS = {
    "0": "0E11131519110E", "1": "040C040404040E", "2": "0E11010204081F", "3": "1F02040201110E",
    "4": "02060A121F0202", "5": "1F101E0101110E", "6": "0608101E11110E", "7": "1F010204080808",
    "8": "0E11110E11110E", "9": "0E11110F01020C", "S": "0F10100E01011E", "L": "1010101010101F",
    "I": "0E04040404040E", "C": "0E11101010110E", "E": "1F10101E10101F", "D": "1C12111111121C",
    "M": "111B1515111111", "O": "0E11111111110E", " ": "00000000000000",
}  # fmt: skip
"""A font of 5 by 7 dots: a byte for each row, the leftmost dot its bit 4."""
_DOT = 5


@dataclass(frozen=True, slots=True)
class _Ellipse:
    x: float
    y: float
    wide: float
    high: float
    value: int

    def run(self, row: int) -> tuple[int, int] | None:
        """The columns that it covers in *row*."""
        if self.high <= 0 or self.wide <= 0 or abs(row - self.y) >= self.high:
            return None
        half = self.wide * sqrt(1 - ((row - self.y) / self.high) ** 2)
        return max(0, round(self.x - half)), min(SIZE, round(self.x + half))


def slice_pixels(number: int) -> bytes:
    """Slice *number* (from 1): 512 rows of 512 unsigned 16-bit little-endian values."""
    shapes = list(_shapes((number - 1) / (SLICES - 1)))
    blank = _values(_AIR, SIZE)
    rows = [bytearray(blank) for _ in range(SIZE)]
    for shape in shapes:
        _fill(rows, shape)
    _write(rows, f"DEMO SLICE {number:03d}", 16, 16)
    _bar(rows, number)
    return b"".join(rows)


def _values(hounsfield: int, count: int) -> bytes:
    return struct.pack("<H", hounsfield - INTERCEPT) * count


def _shapes(along: float) -> Iterator[_Ellipse]:
    """From back to front, at *along* (0 to 1) from the top of the lungs to their bottom."""
    breath = 0.45 + 0.55 * sqrt(max(0.0, 1 - (1.6 * along - 0.9) ** 2 / 1.3))
    yield _Ellipse(256, 270, 215, 160, _FAT)
    yield _Ellipse(256, 270, 203, 148, _TISSUE)
    for side in (-1, 1):
        yield _Ellipse(256 + side * 100, 262, 82 * breath, 118 * breath, _BONE)
        yield _Ellipse(256 + side * 100, 262, 76 * breath, 112 * breath, _LUNG)
    yield _Ellipse(268, 240, 52 * along + 18, 46 * along + 14, _TISSUE)
    yield _Ellipse(256, 372, 34, 30, _BONE)
    yield _Ellipse(256, 376, 12, 11, _TISSUE)
    yield _Ellipse(256, 138, 22, 8 + 2 * cos(2 * pi * along), _BONE)
    radius = sqrt(max(0.0, 1 - ((along - 0.5) / 0.07) ** 2)) * 15
    yield _Ellipse(150, 236, radius, radius, _NODULE)


def _fill(rows: list[bytearray], shape: _Ellipse) -> None:
    for row in range(max(0, int(shape.y - shape.high)), min(SIZE, int(shape.y + shape.high) + 1)):
        if (run := shape.run(row)) is not None and run[0] < run[1]:
            rows[row][2 * run[0] : 2 * run[1]] = _values(shape.value, run[1] - run[0])


def _write(rows: list[bytearray], text: str, x: int, y: int) -> None:
    dot = _values(_MARK, _DOT)
    for place, letter in enumerate(text):
        left = x + place * 6 * _DOT
        for down, bits in enumerate(bytes.fromhex(_LETTERS[letter])):
            for across in (across for across in range(5) if bits >> (4 - across) & 1):
                start = 2 * (left + across * _DOT)
                for row in range(y + down * _DOT, y + (down + 1) * _DOT):
                    rows[row][start : start + len(dot)] = dot


def _bar(rows: list[bytearray], number: int) -> None:
    """A bar at the right that grows with the number: a slice can be told from its neighbours without reading."""
    top = 480 - number * 3
    for row in range(top, 480):
        rows[row][2 * 488 : 2 * 500] = _values(_MARK, 12)
