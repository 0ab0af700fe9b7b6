"""Frames as they are stored: where each lies in its file, and how its bytes are handed out (PS3.5 section 8, annex A).

Native frames are handed out in little-endian order, whatever the order in the file, and are labelled Explicit VR
Little Endian, which has the same pixel bytes as Implicit VR and Deflated. Frames of one bit per pixel that do not
begin on a byte of the file are shifted to begin on one, with zero bits at the end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pydicom.encaps import parse_basic_offsets
from pydicom.uid import ExplicitVRLittleEndian

from keyhole.archive.content import Content, Span
from keyhole.archive.header import Header, PixelSpan, Unreadable
from keyhole.archive.metadata import little_endian

_ITEM = 0xFFFEE000
_END = 0xFFFEE0DD
_OFFSETS, _LENGTHS = 0x7FE00001, 0x7FE00002
_END_OF_IMAGE = b"\xff\xd9"
_BYTE = 8
_NUMBER_MOST = 2**31 - 1
_FRAME_MOST = 2**40
"""Bits of a frame that can be meant; beyond that its size is a mistake."""


class NoSuchFrame(Exception):
    """The instance has no frame of that number."""


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """What must be known to find a frame: kept in the index, so that a frame is read without its header.

    ``bits`` is the size of one frame, 0 when the pixel data is encapsulated; ``word`` is the width in bytes that has
    to be swapped, 1 when nothing has.
    """

    frames: int
    offset: int
    length: int | None
    bits: int
    word: int
    extended: bool = False

    @property
    def encapsulated(self) -> bool:
        """Whether the pixel data is a sequence of fragments."""
        return self.length is None


def layout_of(header: Header) -> PixelLayout | None:
    """The layout of the pixel data; None when there is none. Raises Unreadable when fragments run past the end."""
    pixels = header.pixels
    if pixels is None:
        return None
    frames = max(1, _whole(header, 0x00280008, 1))
    if pixels.length is None:
        for _ in _fragments(header.body, _after_offsets(header.body, pixels.offset), header.size):
            pass
        return PixelLayout(frames, pixels.offset, None, 0, 1, _OFFSETS in header.dataset and _LENGTHS in header.dataset)
    return PixelLayout(frames, pixels.offset, pixels.length, _frame_bits(header), _word(header, pixels))


def _whole(header: Header, tag: int, default: int) -> int:
    try:
        number = int(str(header.dataset[tag].value))
    except (KeyError, ValueError, TypeError):
        return default
    return number if 0 <= number <= _NUMBER_MOST else default


def _frame_bits(header: Header) -> int:
    samples = _whole(header, 0x00280002, 1)
    pixels = _whole(header, 0x00280010, 0) * _whole(header, 0x00280011, 0)
    if samples == 3 and header.dataset.get("PhotometricInterpretation") == "YBR_FULL_422":  # noqa: PLR2004
        samples = 2
    bits = pixels * samples * _whole(header, 0x00280100, 0)
    return bits if bits <= _FRAME_MOST else 0


def _word(header: Header, pixels: PixelSpan) -> int:
    if header.little:
        return 1
    bits = _whole(header, 0x00280100, 8)
    return bits // _BYTE if bits > _BYTE else {"OW": 2}.get(pixels.vr, 1)


def stored_syntax(transfer_syntax: str, layout: PixelLayout) -> str:
    """The transfer syntax that a frame is labelled with."""
    return transfer_syntax if layout.encapsulated else str(ExplicitVRLittleEndian)


def frame_content(file: BinaryIO, layout: PixelLayout, number: int, header: Header | None = None) -> Content:
    """Frame *number* (from 1); *header* is needed when the layout is ``extended`` or the file is deflated.

    Raises NoSuchFrame. Raises Unreadable when the pixel data is not what the layout says.
    """
    if not 1 <= number <= layout.frames:
        raise NoSuchFrame
    if layout.encapsulated:
        return _encapsulated(file, layout, number, header)
    span = _native_span(layout, number)
    body = header.body if header is not None and header.inflated else None
    if body is None and layout.word == 1 and layout.bits % _BYTE == 0:
        return Content.of_spans((span,))
    length = -(-layout.bits // _BYTE)
    return Content(length, load=lambda file: _read_native(body or file, layout, number, span))


def _encapsulated(file: BinaryIO, layout: PixelLayout, number: int, header: Header | None) -> Content:
    try:
        return Content.of_spans(tuple(_encapsulated_spans(file, layout, number, header)))
    except (ValueError, struct.error) as error:
        raise Unreadable("its fragments are not those of its frames") from error


def _native_span(layout: PixelLayout, number: int) -> Span:
    first = (number - 1) * layout.bits
    end = -(-(first + layout.bits) // _BYTE)
    if not layout.bits or end > (layout.length or 0):
        raise Unreadable("its pixel data is shorter than its frames")
    return layout.offset + first // _BYTE, end - first // _BYTE


def _read_native(body: BinaryIO, layout: PixelLayout, number: int, span: Span) -> bytes:
    """A native frame, in little-endian order and beginning on a byte."""
    offset, length = span
    # Words are swapped where they lie: a frame of an odd number of bytes begins or ends inside one.
    before = (offset - layout.offset) % layout.word
    after = -(before + length) % layout.word
    body.seek(offset - before)
    vr = {1: "OB", 2: "OW", 4: "OL", 8: "OV"}.get(layout.word)
    if vr is None:
        raise Unreadable("its pixels have an unusual width")
    raw = little_endian(body.read(before + length + after), vr, little=layout.word == 1)[before : before + length]
    if layout.bits % _BYTE == 0:
        return raw
    shifted = int.from_bytes(raw, "little") >> ((number - 1) * layout.bits % _BYTE)
    return (shifted & ((1 << layout.bits) - 1)).to_bytes(-(-layout.bits // _BYTE), "little")


def _encapsulated_spans(body: BinaryIO, layout: PixelLayout, number: int, header: Header | None) -> list[Span]:
    body.seek(layout.offset)
    offsets = parse_basic_offsets(body)
    start, size = body.tell(), body.seek(0, 2)
    if layout.extended and header is not None:
        return _by_extended_offsets(header, start, number)
    if len(offsets) >= layout.frames and (spans := _by_offsets(body, offsets, start, number, size)):
        return spans
    return _by_counting(body, list(_fragments(body, start, size)), layout.frames, number)


def _by_extended_offsets(header: Header, start: int, number: int) -> list[Span]:
    """PS3.3 C.7.6.3.1.8: one fragment per frame, offsets and lengths as 64-bit numbers."""
    values = [header.dataset[tag].value for tag in (_OFFSETS, _LENGTHS)]
    if min(map(len, values)) < number * 8:
        raise NoSuchFrame
    offset, length = (struct.unpack_from("<Q", value, (number - 1) * 8)[0] for value in values)
    return [(start + offset + 8, length)]


def _by_offsets(body: BinaryIO, offsets: list[int], start: int, number: int, size: int) -> list[Span]:
    """The fragments between this frame's offset and the next one's; none when the table is wrong, as some are."""
    until = start + offsets[number] if number < len(offsets) else size
    try:
        return list(_fragments(body, start + offsets[number - 1], min(until, size)))
    except Unreadable:
        return []


def _by_counting(body: BinaryIO, fragments: list[Span], frames: int, number: int) -> list[Span]:
    """PS3.5 A.4 without offsets: a fragment per frame, or frames that end where their image does."""
    if frames == 1:
        return fragments
    if len(fragments) == frames:
        return [fragments[number - 1]]
    ends = [at for at, span in enumerate(fragments, 1) if _ends_image(body, span)]
    if len(ends) < frames:
        raise NoSuchFrame if len(fragments) <= 1 and number > 1 else ValueError
    return fragments[ends[number - 2] if number > 1 else 0 : ends[number - 1]]


def _ends_image(body: BinaryIO, span: Span) -> bool:
    offset, length = span
    tail = min(length, 10)
    body.seek(offset + length - tail)
    return _END_OF_IMAGE in body.read(tail)


def _after_offsets(body: BinaryIO, offset: int) -> int:
    body.seek(offset)
    head = body.read(8)
    if len(head) != 8 or head[:4] != b"\xfe\xff\x00\xe0":  # noqa: PLR2004 - tag and length
        raise Unreadable("truncated")
    return offset + 8 + int.from_bytes(head[4:], "little")


def _fragments(body: BinaryIO, at: int, until: int) -> Iterator[Span]:
    """The values of the items from *at* on, up to *until* or the end of the sequence; Unreadable when cut off."""
    while at < until:
        body.seek(at)
        head = body.read(8)
        if len(head) < 8:  # noqa: PLR2004 - tag and length
            raise Unreadable("truncated")
        group, element, length = struct.unpack("<HHL", head)
        if group << 16 | element == _END:
            return
        if group << 16 | element != _ITEM or at + 8 + length > until:
            raise Unreadable("truncated")
        yield at + 8, length
        at += 8 + length
    if at > until:
        raise Unreadable("truncated")
