"""A ZIP file written as it is sent (PKWARE APPNOTE 6.3.10): stored, dated 1980, its length known before.

What is whole before it is sent gets a head that says all; what is longer gets a data descriptor after it, and Zip64
where 32 bits do not reach. The same files give the same bytes, everywhere and always.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_LOCAL = struct.Struct("<4s5H3L2H")
_DESCRIPTOR = struct.Struct("<4s3L")
_DESCRIPTOR64 = struct.Struct("<4sL2Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_END = struct.Struct("<4s4H2LH")

_32_BITS = 0xFFFFFFFF
_16_BITS = 0xFFFF
_PLAIN, _ZIP64 = 20, 45
_UNIX = 3 << 8
_READABLE = 0o100644 << 16
_STORED = 0
_STREAMED = 1 << 3
"""The flag that says: sizes and checksum follow the file (APPNOTE 4.4.4)."""
_TIME, _DATE = 0, 1 << 5 | 1
"""Midnight of 1 January 1980, the first that there is."""


@dataclass(frozen=True, slots=True)
class _Entry:
    name: bytes
    at: int
    large: bool


class Zip:
    """One ZIP file. Each method returns what to send; the bytes of each file are sent besides, and counted here."""

    def __init__(self) -> None:
        """Nothing is sent yet."""
        self.offset = 0
        """How many bytes have been sent, those of the files included."""
        self._central = bytearray()
        self._count = 0
        self._open: _Entry | None = None

    def whole(self, name: str, checksum: int, size: int) -> bytes:
        """What precedes a file whose CRC-32 is known and whose *size* bytes come next; at most 4 GiB less 2."""
        entry = _Entry(name.encode("ascii"), self.offset, large=False)
        head = _LOCAL.pack(
            b"PK\3\4", _PLAIN, 0, _STORED, _TIME, _DATE, checksum, size, size, len(entry.name), 0
        )  # fmt: skip
        self.offset += len(head) + len(entry.name) + size
        self._list(entry, 0, checksum, size)
        return head + entry.name

    def begin(self, name: str, size: int | None) -> bytes:
        """What precedes a file of which only the *size* is known, or not even that; :meth:`end` must follow it."""
        entry = self._open = _Entry(name.encode("ascii"), self.offset, size is None or size >= _32_BITS)
        extra = struct.pack("<2H2Q", 1, 16, 0, 0) if entry.large else b""
        version, unknown = (_ZIP64, _32_BITS) if entry.large else (_PLAIN, 0)
        lengths = (len(entry.name), len(extra))
        head = _LOCAL.pack(
            b"PK\3\4", version, _STREAMED, _STORED, _TIME, _DATE, 0, unknown, unknown, *lengths
        )  # fmt: skip
        self.offset += len(head) + sum(lengths)
        return head + entry.name + extra

    def end(self, checksum: int, size: int) -> bytes:
        """What follows a file that was begun and had *size* bytes.

        ValueError when it is longer than it was said to be.
        """
        entry, self._open = self._open, None
        if entry is None:
            raise ValueError("no file was begun")
        if size >= _32_BITS and not entry.large:
            raise ValueError("the file is longer than was said")
        descriptor = (_DESCRIPTOR64 if entry.large else _DESCRIPTOR).pack(b"PK\7\10", checksum, size, size)
        self.offset += size + len(descriptor)
        self._list(entry, _STREAMED, checksum, size)
        return descriptor

    def _list(self, entry: _Entry, flags: int, checksum: int, size: int) -> None:
        wide = [size, size] if size >= _32_BITS else []
        if entry.at >= _32_BITS:
            wide.append(entry.at)
        extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        version = _ZIP64 if wide or entry.large else _PLAIN
        self._central += _CENTRAL.pack(
            b"PK\1\2", _UNIX | version, version, flags, _STORED, _TIME, _DATE,
            checksum, min(size, _32_BITS), min(size, _32_BITS),
            len(entry.name), len(extra), 0, 0, 0, _READABLE, min(entry.at, _32_BITS),
        )  # fmt: skip
        self._central += entry.name + extra
        self._count += 1

    def close(self) -> bytes:
        """What follows the last file: the directory, without which none of it is a ZIP file."""
        at, size, count = self.offset, len(self._central), self._count
        end = b""
        if at >= _32_BITS or count >= _16_BITS:
            end += _END64.pack(b"PK\6\6", 44, _UNIX | _ZIP64, _ZIP64, 0, 0, count, count, size, at)
            end += _LOCATOR.pack(b"PK\6\7", 0, at + size, 1)
        counts = min(count, _16_BITS)
        end += _END.pack(b"PK\5\6", 0, 0, counts, counts, size, min(at, _32_BITS), 0)
        self.offset += size + len(end)
        return bytes(self._central) + end
