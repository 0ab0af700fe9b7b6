"""Read a DICOM file up to its pixel data, whatever it holds; large values stay on disk (PS3.10, PS3.5)."""

from __future__ import annotations

import logging
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import BinaryIO

from pydicom import config, dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

# Wrong values are usual and no reason to speak up; what pydicom says about them quotes them, and they are about
# patients: neither its log nor its warnings may reach ours.
config.settings.reading_validation_mode = config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")

DEFER = 64 * 1024
"""Values longer than this many bytes are left on disk until they are asked for."""
INFLATED_MOST = 512 * 1024 * 1024
"""A deflated dataset that grows beyond this many bytes is not read (PS3.5 A.5 sets no bound)."""
UNDEFINED = 0xFFFFFFFF

_PREAMBLE = 128
_LONG_VRS = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN"})
_BITS_ALLOCATED, _PIXELS_ELSEWHERE = 0x00280100, 0x00287FE0
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})


class Unreadable(Exception):
    """The file is not a whole DICOM instance; the text says why, without any of its values."""


@dataclass(frozen=True, slots=True)
class PixelSpan:
    """Where the value of the pixel data lies: ``length`` is None when it is encapsulated (PS3.5 A.4)."""

    offset: int
    length: int | None
    vr: str


@dataclass(frozen=True, slots=True)
class Header:
    """The dataset before the pixel data. ``body`` is what offsets count in: the file, or what it inflated to."""

    dataset: Dataset
    transfer_syntax: str
    body: BinaryIO
    size: int
    implicit: bool
    little: bool
    pixels: PixelSpan | None

    @property
    def inflated(self) -> bool:
        """Whether the body is not the file itself."""
        return isinstance(self.body, BytesIO)

    def loaded(self, raw: RawDataElement) -> RawDataElement:
        """*raw* with its value, when that was left on disk."""
        if raw.value is not None or raw.length in (0, UNDEFINED):
            return raw
        self.body.seek(raw.value_tell)
        return raw._replace(value=self.body.read(raw.length))


@contextmanager
def opened(path: bytes) -> Iterator[BinaryIO]:
    """The regular file at *path*, for reading; a symbolic link there is not followed."""
    with open(os.fsdecode(path), "rb", opener=_without_following) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise Unreadable("not a regular file")
        yield file


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def read_header(file: BinaryIO) -> Header:
    """Read *file* from its start; raises Unreadable for whatever is not a whole DICOM file."""
    file.seek(0)
    start = file.read(1024)
    if not start:
        raise Unreadable("empty")
    if start[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        raise Unreadable("not a DICOM file")
    try:
        return _read_deflated(file) if DeflatedExplicitVRLittleEndian.encode() in start else _read_plain(file)
    except Unreadable:
        raise
    except (EOFError, struct.error):
        raise Unreadable("truncated") from None
    except zlib.error:
        raise Unreadable("what is deflated in it is damaged") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Unreadable(f"not readable as DICOM ({type(error).__name__})") from None


def raw_element(dataset: Dataset, tag: int) -> RawDataElement | DataElement:
    """The element *tag* of *dataset* as it was read; KeyError when there is none."""
    element: RawDataElement | DataElement = dataset.get_item(tag, keep_deferred=True)
    return element


def raw_elements(dataset: Dataset) -> Iterator[RawDataElement | DataElement]:
    """All elements as they were read: iterating the dataset itself would convert them."""
    tags = list(dataset.keys())
    return (raw_element(dataset, tag) for tag in tags)


def _at_pixels(tag: int, _vr: str | None, _length: int) -> bool:
    return tag in _PIXELS


def _read_plain(file: BinaryIO) -> Header:
    file.seek(0)
    dataset = dcmread(file, stop_before_pixels=True, defer_size=DEFER)
    little = bool(dataset.original_encoding[1])
    implicit = _found_implicit(dataset, bool(dataset.original_encoding[0]))
    syntax = dataset.file_meta.get("TransferSyntaxUID") or (
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    )
    if str(syntax) == DeflatedExplicitVRLittleEndian:
        raise Unreadable("a deflated file with an unusual start")
    end, size = file.tell(), os.fstat(file.fileno()).st_size
    return _whole(Header(dataset, str(syntax), file, size, implicit, little, None), end)


def _found_implicit(dataset: Dataset, declared: bool) -> bool:  # noqa: FBT001
    """How the dataset is written, which is not always what its transfer syntax says."""
    for raw in raw_elements(dataset):
        if isinstance(raw, RawDataElement):
            return bool(raw.is_implicit_VR)
    return declared


def _read_deflated(file: BinaryIO) -> Header:
    file.seek(0)
    if os.fstat(file.fileno()).st_size > INFLATED_MOST:
        raise Unreadable("inflates beyond all bounds")
    packed = file.read()
    group = packed[_PREAMBLE + 4 : _PREAMBLE + 16]
    if len(group) != struct.calcsize("<HHHHL") or group[:8] != b"\x02\x00\x00\x00UL\x04\x00":
        raise Unreadable("a deflated file without the length of its head")
    start = _PREAMBLE + 16 + int.from_bytes(group[8:], "little")
    meta = dcmread(BytesIO(packed[:start])).file_meta
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return _read_plain(file)
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    raw = unpacker.decompress(packed[start:], INFLATED_MOST)
    if not unpacker.eof:
        raise Unreadable("truncated" if not unpacker.unconsumed_tail else "inflates beyond all bounds")
    body = BytesIO(raw)
    dataset = read_dataset(body, is_implicit_VR=False, is_little_endian=True, stop_when=_at_pixels, defer_size=DEFER)
    syntax = str(DeflatedExplicitVRLittleEndian)
    return _whole(Header(dataset, syntax, body, len(raw), implicit=False, little=True, pixels=None), body.tell())


def _whole(header: Header, end: int) -> Header:
    """*header* with its pixel data found at *end*; raises Unreadable when the file ends before its elements do."""
    last = max(map(_end_of, raw_elements(header.dataset)), default=0)
    if max(end, last) > header.size or (end == header.size and _is_cut(header)):
        raise Unreadable("truncated")
    pixels = None
    if end < header.size:
        header.body.seek(end)
        pixels = _pixel_span(header.body.read(12), end, header)
    if pixels is None and _BITS_ALLOCATED in header.dataset and _PIXELS_ELSEWHERE not in header.dataset:
        raise Unreadable("its pixel data is missing")
    return replace(header, pixels=pixels)


def _is_cut(header: Header) -> bool:
    """Whether some bytes follow the last element, too few to be another one."""
    elements = list(raw_elements(header.dataset))
    return not elements or 0 < _end_of(elements[-1]) < header.size


def _end_of(element: RawDataElement | DataElement) -> int:
    if not isinstance(element, RawDataElement) or element.length == UNDEFINED:
        return 0
    return element.value_tell + element.length


def _pixel_span(head: bytes, at: int, header: Header) -> PixelSpan | None:
    order = "<" if header.little else ">"
    if len(head) < 8:  # noqa: PLR2004 - the shortest head of an element (PS3.5 section 7.1.3)
        raise Unreadable("truncated")
    group, element = struct.unpack(f"{order}HH", head[:4])
    if group << 16 | element not in _PIXELS:
        return None
    vr, skip = "OW", 8
    if not header.implicit:
        vr, skip = head[4:6].decode("latin-1"), 12
    length = struct.unpack(f"{order}L", head[skip - 4 : skip])[0] if len(head) >= skip else 0
    if not header.implicit and head[4:6] not in _LONG_VRS:
        raise Unreadable("its pixel data has an unknown representation")
    if length == UNDEFINED:
        return PixelSpan(at + skip, None, vr)
    if at + skip + length > header.size:
        raise Unreadable("truncated")
    return PixelSpan(at + skip, length, vr)
