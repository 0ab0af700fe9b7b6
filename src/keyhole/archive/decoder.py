"""A decoder process: reads orders from its input and writes pictures to its output, one at a time.

It opens files that others wrote and hands them to codecs written in C: whatever those do, they do it here, with
bounded memory and time, and with nothing to read or to reach that the folder does not hold already. Messages are
plain values, so that a process taken over can send its parent nothing but a wrong picture.
"""

from __future__ import annotations

import os
import resource
import struct
import sys
from typing import BinaryIO

import msgspec
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from keyhole.archive.frames import NoSuchFrame, PixelLayout, frame_content, layout_of, stored_syntax
from keyhole.archive.header import Header, opened, raw_element, read_header
from keyhole.archive.order import SECONDS, Order, Rendered, Reply, Unable
from keyhole.archive.picture import Pixels, picture

LENGTH = struct.Struct(">L")
LARGEST = 128 * 1024 * 1024
"""Bytes of one decoded frame."""

_MEMORY = 3 * 1024**3
_REPRESENTATIVE = 0x00286010
_DESCRIBED = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
_KNOWN_BY_OTHERS = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (50, 51, 80, 81, 90, 91))
"""What smaller decoders than GDCM's read: it is for lossless JPEG alone."""
_GROUPS = (0x0028, 0x5200)
"""What tells how pixels look, and the functional groups of enhanced images."""


def reply(order: Order) -> Reply:
    """The picture that *order* asks for, or why there is none. Raises whatever a codec raises."""
    try:
        with opened(order.path) as file:
            status = os.fstat(file.fileno())
            if (status.st_mtime_ns, status.st_size) != (order.mtime_ns, order.size):
                return Unable("changed")
            return Rendered(picture(_pixels(file, order.frame), order))
    except FileNotFoundError:
        return Unable("gone")


def _pixels(file: BinaryIO, frame: int | None) -> Pixels:
    header = read_header(file)
    layout = layout_of(header)
    if layout is None:
        raise ValueError("no pixels")
    _load(header)
    number = _representative(header, layout) if frame is None else frame
    one = _single(header, layout, frame_content(file, layout, number, header).read(file))
    values, described = get_decoder(one.file_meta.TransferSyntaxUID).as_array(one, index=0, raw=False)
    return Pixels(values, str(described["photometric_interpretation"]), header.dataset, number - 1)


def _load(header: Header) -> None:
    """Bring in the tables and sequences that were left on disk for their size."""
    for tag in [tag for tag in header.dataset.keys() if tag.group in _GROUPS]:  # noqa: SIM118 - a dataset, not a dict
        raw = raw_element(header.dataset, tag)
        if isinstance(raw, RawDataElement) and raw.value is None:
            header.dataset[tag] = header.loaded(raw)


def _representative(header: Header, layout: PixelLayout) -> int:
    number = header.dataset[_REPRESENTATIVE].value if _REPRESENTATIVE in header.dataset else 1
    return number if isinstance(number, int) and 1 <= number <= layout.frames else 1


def _single(header: Header, layout: PixelLayout, frame: bytes) -> Dataset:
    """The one frame as an image of its own."""
    one = Dataset()
    for keyword in _DESCRIBED:
        if keyword in header.dataset:
            setattr(one, keyword, header.dataset[keyword].value)
    if one.Rows * one.Columns * one.SamplesPerPixel * max(1, one.BitsAllocated // 8) > LARGEST:
        raise NoSuchFrame
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = UID(stored_syntax(header.transfer_syntax, layout))
    padded = frame if len(frame) % 2 == 0 else frame + b"\0"
    one.PixelData = encapsulate([frame]) if layout.encapsulated else padded
    one["PixelData"].VR = "OB" if layout.encapsulated or one.BitsAllocated <= 8 else "OW"  # noqa: PLR2004 - a byte
    return one


def _confine() -> BinaryIO:
    """Bound what this process may take; returns the output, which no codec's chatter reaches any more."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return output


def _bound_time() -> None:
    """End this process when the next picture takes too long, though its parent may be gone by then."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + SECONDS + 1, most))


def serve(orders: BinaryIO, replies: BinaryIO) -> None:
    """Answer *orders* until there are none any more."""
    while len(head := orders.read(LENGTH.size)) == LENGTH.size:
        order = msgspec.msgpack.decode(orders.read(LENGTH.unpack(head)[0]), type=Order)
        _bound_time()
        try:
            answer = reply(order)
        except Exception:  # noqa: BLE001 - codecs raise anything; none of it is told, as it may quote the file
            answer = Unable("undecodable")
        content = msgspec.msgpack.encode(answer)
        replies.write(LENGTH.pack(len(content)) + content)
        replies.flush()


def main() -> None:
    """Serve the parent process, which has imported numpy here first (see :mod:`.lean`)."""
    for syntax in _KNOWN_BY_OTHERS:
        get_decoder(UID(syntax)).remove_plugin("gdcm")
    serve(sys.stdin.buffer, _confine())
