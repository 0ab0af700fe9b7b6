"""The beginning of a Part 10 file (PS3.10 section 7.1): which instance it is, and the keys of its directory record."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from keyhole.access.resource import is_uid
from keyhole.archive.header import raw_element
from keyhole.errors import ArchiveFailed
from keyhole.gateway.download import records

HEAD_LONGEST: Final = 1 << 20
"""Bytes of an instance in which everything must stand that names it."""

READS_MOST: Final = 60_000
"""Reads of a head at most. Seven thousand references take as many; empty items by the hundred thousand, which a file
of 2 KB can hold, would take seconds.
"""

_PREAMBLE = 132
_CLASS, _INSTANCE, _STUDY, _SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
_NAMING = (_STUDY, _SERIES, _INSTANCE)
_CLASS_OF_FILE, _SYNTAX = 0x00020002, 0x00020010
_VALUE_LONGEST = 256
"""Bytes of one key; what is longer is no value that the standard knows."""
_CODE_LONGEST = 16 * 1024
"""Bytes of a code sequence of known length; what is longer is no code."""

Values = dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Head:
    """What an instance says about itself. ``values`` are as they are stored, by tag; ``code`` those of its code."""

    uids: tuple[str, str, str]
    sop_class: str
    transfer_syntax: str
    values: Mapping[int, bytes] = field(default_factory=dict)
    code: Mapping[int, bytes] = field(default_factory=dict)


def read_head(start: bytes) -> Head:
    """Read *start*, the first :data:`HEAD_LONGEST` bytes of a file or all of it.

    Raises ArchiveFailed for what does not say which instance it is: exactly once, in words that are UIDs.
    """
    if start[_PREAMBLE - 4 : _PREAMBLE] != b"DICM":
        raise ArchiveFailed("the archive answered with something that is no DICOM file")
    body = _Bounded(start)
    body.seek(_PREAMBLE)
    meta, _ = _read(body, (_CLASS_OF_FILE, _SYNTAX), implicit=False, little=True, until=0x00030000)
    syntax = _text(meta.get(_SYNTAX, b""))
    if syntax == DeflatedExplicitVRLittleEndian:
        body = _Bounded(_inflated(start[body.tell() :]))
    kind = records.record_type(_text(meta.get(_CLASS_OF_FILE, b"")))
    implicit, little = _is_implicit(body), syntax != ExplicitVRBigEndian
    values, code = _read(body, _wanted(kind), implicit=implicit, little=little, until=records.read_until(kind))
    study, series, instance, sop_class = (_text(values.get(tag, b"")) for tag in (*_NAMING, _CLASS))
    if not all(map(is_uid, (study, series, instance))):
        raise ArchiveFailed("the archive answered with a file that does not say which instance it is")
    stored = syntax or (ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian)
    return Head((study, series, instance), sop_class, stored, values, code)


class _Bounded(BytesIO):
    """Bytes that can be read so often, and no more: :data:`READS_MOST`."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._left = READS_MOST

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise ArchiveFailed("the archive answered with a file whose beginning takes too long to read")
        return super().read(size)


def _is_implicit(body: BytesIO) -> bool:
    """Whether the dataset is written without VRs (PS3.5 §7.1.3), which its transfer syntax does not always say."""
    start = body.read(6)
    body.seek(-len(start), os.SEEK_CUR)
    return not (start[4:].isalpha() and start[4:].isupper())


@cache
def _wanted(kind: str) -> tuple[int, ...]:
    """The tags of everything that is to be known of an instance whose record is of this type."""
    keys = (*records.PATIENT, *records.STUDY, *records.SERIES, *records.LEAVES[kind])
    return (records.CHARSET, _CLASS, *_NAMING, *(tag for tag, _ in keys))


def _read(body: BytesIO, wanted: tuple[int, ...], *, implicit: bool, little: bool, until: int) -> tuple[Values, Values]:
    """The short values in *body* before the tag *until*, and those of the first item of its code, as far as it goes."""
    values: Values = {}
    code: Values = {}
    try:
        for tag, value in _elements(body, wanted, implicit=implicit, little=little, until=until):
            if isinstance(value, Dataset):
                code = dict(_of_code(value))
            elif len(value) <= _VALUE_LONGEST:
                # What names the instance a second time makes it nobody's: programs differ in which one they believe.
                values[tag] = b"" if tag in _NAMING and tag in values else value
    except ArchiveFailed:
        raise
    except Exception:  # noqa: BLE001, S110 - whatever pydicom stumbles over: what came before it counts
        pass
    return values, code


def _elements(
    body: BytesIO, wanted: tuple[int, ...], *, implicit: bool, little: bool, until: int
) -> Iterator[tuple[int, bytes | Dataset]]:
    for raw in data_element_generator(
        body, implicit, little, stop_when=lambda tag, _vr, _length: int.__ge__(tag, until), specific_tags=list(wanted)
    ):
        tag = int(raw.tag)
        if isinstance(raw.value, bytes) and len(raw.value) > _CODE_LONGEST:
            continue
        if tag == records.CODE:
            items = Dataset({raw.tag: raw})[raw.tag].value
            if items:
                yield tag, items[0]
        elif isinstance(raw.value, bytes):
            yield tag, raw.value


def _of_code(item: Dataset) -> Iterator[tuple[int, bytes]]:
    for tag, _ in records.OF_CODE:
        raw = raw_element(item, tag) if tag in item else None
        if raw is not None and isinstance(raw.value, bytes):
            yield tag, raw.value


def _inflated(packed: bytes) -> bytes:
    """The beginning of a deflated dataset (PS3.5 A.5), no longer than a head may be."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, HEAD_LONGEST)
    except zlib.error:
        raise ArchiveFailed("the archive answered with a file that is damaged") from None


def _text(value: bytes) -> str:
    return value.rstrip(b"\0 ").decode("latin-1")
