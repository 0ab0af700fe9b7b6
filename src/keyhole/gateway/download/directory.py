"""The DICOMDIR of one study (PS3.10 section 8, PS3.3 annex F): a record for every file, in the order of arrival."""

from __future__ import annotations

import hashlib
import re
import struct
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from keyhole.gateway.download import records
from keyhole.gateway.download.head import Head
from keyhole.gateway.download.records import Key

_AT_MOST = 512
"""Bytes of a record; one that would be longer goes without its keys, whose values no standard knows then."""
_FIXED: Final = 4096
"""Bytes that everything takes but what is said about series and instances."""

_CHARSET = re.compile(rb"\\?(?:ISO_IR [0-9]+|ISO 2022 IR [0-9]+|GB18030|GBK)(?:\\ISO 2022 IR [0-9]+)*")
_ITEM = struct.Struct("<4sL")
_LINKS = struct.Struct("<2H2sHL 2H2sHH 2H2sHL")
_LONG = frozenset({"OB", "SQ"})
_IMPLEMENTATION = f"2.25.{uuid.uuid5(uuid.NAMESPACE_DNS, 'keyhole.invalid').int}"


def reserved(instances: int) -> int:
    """The bytes that suffice for a DICOMDIR of so many *instances*, whatever they are."""
    return _FIXED + instances * 2 * (_AT_MOST + _ITEM.size)


@dataclass(slots=True)
class _Series:
    record: bytes
    files: list[bytes] = field(default_factory=list)


class Directory:
    """Takes instances and becomes a DICOMDIR. It holds some 300 bytes for each."""

    def __init__(self) -> None:
        """Nothing is listed yet."""
        self._above: list[bytes] = []
        self._series: dict[str, _Series] = {}
        self._digest = hashlib.sha256()

    def add(self, head: Head, path: tuple[str, ...]) -> None:
        """List the instance that lies at *path* (a File ID, PS3.10 section 8.2)."""
        if not self._above:
            self._above = [_record("PATIENT", records.PATIENT, head), _record("STUDY", records.STUDY, head)]
        series = self._series.get(head.uids[1])
        if series is None:
            series = self._series[head.uids[1]] = _Series(_record("SERIES", records.SERIES, head))
        kind = records.record_type(head.sop_class)
        series.files.append(_record(kind, records.LEAVES[kind], head, _reference(head, path)))
        self._digest.update(head.uids[2].encode("ascii") + b" ")

    def encode(self, size: int | None = None) -> bytes:
        """The file; padded (PS3.10 section 7.2) until it has *size* bytes, which :func:`reserved` knows."""
        uid = f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, self._digest.hexdigest()).int}"
        start = _meta(uid)
        first, last, listed = self._listed(len(start) + _before_records())
        data = start + _element(0x00041130, "CS", b"KEYHOLE")
        data += _element(0x00041200, "UL", struct.pack("<L", first))
        data += _element(0x00041202, "UL", struct.pack("<L", last))
        data += _element(0x00041212, "US", b"\0\0")
        data += _element(0x00041220, "SQ", listed)
        return data if size is None else data + _padding(size - len(data))

    def _listed(self, at: int) -> tuple[int, int, bytes]:
        """Where the first and the last record of the root stand, and all records, which begin at *at*."""
        if not self._above:
            return 0, 0, b""
        patient, study = self._above
        below = at + len(patient) + len(study)
        parts = [_linked(patient, 0, at + len(patient)), _linked(study, 0, below)]
        series = list(self._series.values())
        for number, one in enumerate(series, 1):
            files = below + len(one.record)
            end = files + sum(map(len, one.files))
            parts.append(_linked(one.record, end if number < len(series) else 0, files))
            parts += _chained(one.files, files)
            below = end
        return at, at, b"".join(parts)


def _chained(files: list[bytes], at: int) -> Iterator[bytes]:
    for number, record in enumerate(files, 1):
        at += len(record)
        yield _linked(record, at if number < len(files) else 0, 0)


def _linked(record: bytes, next_: int, below: int) -> bytes:
    """*record* with the offsets of the record that follows it and of the first one below it; 0 for none."""
    links = _LINKS.pack(
        0x0004, 0x1400, b"UL", 4, next_, 0x0004, 0x1410, b"US", 2, 0xFFFF, 0x0004, 0x1420, b"UL", 4, below
    )  # fmt: skip
    return record[: _ITEM.size] + links + record[_ITEM.size + _LINKS.size :]


def _record(kind: str, keys: Iterable[Key], head: Head, reference: bytes = b"") -> bytes:
    """A record with room for its links."""
    start = bytes(_LINKS.size) + _element(0x00041430, "CS", kind.encode("ascii")) + reference
    charset = head.values.get(records.CHARSET, b"").strip()
    known = _element(records.CHARSET, "CS", charset) if _CHARSET.fullmatch(charset) else b""
    body = start + known + _keys(keys, head)
    if len(body) > _AT_MOST:
        body = start
    return _ITEM.pack(b"\xfe\xff\x00\xe0", len(body)) + body


def _reference(head: Head, path: tuple[str, ...]) -> bytes:
    said = (
        (0x00041500, "CS", "\\".join(path)),
        (0x00041510, "UI", head.sop_class),
        (0x00041511, "UI", head.uids[2]),
        (0x00041512, "UI", head.transfer_syntax),
    )
    return b"".join(_element(tag, vr, text.encode("ascii")) for tag, vr, text in said)


def _keys(keys: Iterable[Key], head: Head) -> bytes:
    return b"".join(_element(tag, vr, _code(head.code) if vr == "SQ" else _value(tag, head)) for tag, vr in keys)


def _value(tag: int, head: Head) -> bytes:
    value = head.values.get(tag, b"")
    return value or (records.DOCUMENTS.get(head.sop_class, b"") if tag == 0x00420012 else b"")  # noqa: PLR2004 - its media type


def _code(values: Mapping[int, bytes]) -> bytes:
    """The items of a code sequence: one, or none."""
    body = b"".join(_element(tag, vr, values[tag]) for tag, vr in records.OF_CODE if tag in values)
    return _ITEM.pack(b"\xfe\xff\x00\xe0", len(body)) + body if body else b""


def _element(tag: int, vr: str, value: bytes) -> bytes:
    """One element in Explicit VR Little Endian (PS3.5 section 7.1.2)."""
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB") else b" "
    form, unused = ("<2H2sHL", (0,)) if vr in _LONG else ("<2H2sH", ())
    return struct.pack(form, tag >> 16, tag & 0xFFFF, vr.encode("ascii"), *unused, len(value)) + value


def _meta(uid: str) -> bytes:
    body = b"".join(
        (
            _element(0x00020001, "OB", b"\0\1"),
            _element(0x00020002, "UI", b"1.2.840.10008.1.3.10"),
            _element(0x00020003, "UI", uid.encode("ascii")),
            _element(0x00020010, "UI", b"1.2.840.10008.1.2.1"),
            _element(0x00020012, "UI", _IMPLEMENTATION.encode("ascii")),
            _element(0x00020013, "SH", b"KEYHOLE"),
        )
    )
    return bytes(128) + b"DICM" + _element(0x00020000, "UL", struct.pack("<L", len(body))) + body


def _before_records() -> int:
    """Bytes between the meta information and the first record."""
    return (
        len(_element(0, "CS", b"KEYHOLE"))
        + 2 * len(_element(0, "UL", bytes(4)))
        + len(_element(0, "US", b"\0\0"))
        + len(_element(0, "SQ", b""))
    )


def _padding(room: int) -> bytes:
    """Data Set Trailing Padding that fills *room* bytes, head included."""
    return _element(0xFFFCFFFC, "OB", bytes(room - len(_element(0xFFFCFFFC, "OB", b""))))
