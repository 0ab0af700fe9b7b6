"""A ZIP file as it is sent: read by others, its length known before, and Zip64 where 32 bits do not reach."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.gateway.download.zip import Zip

GIB = 1 << 30


def packed(files: dict[str, bytes], *, streamed: bool = False, known: bool = True) -> bytes:
    package, out = Zip(), b""
    for name, content in files.items():
        checksum = zlib.crc32(content)
        if streamed:
            out += package.begin(name, len(content) if known else None) + content
            out += package.end(checksum, len(content))
        else:
            out += package.whole(name, checksum, len(content)) + content
        assert package.offset == len(out)
    out += package.close()
    assert package.offset == len(out)
    return out


@given(
    st.dictionaries(st.text("ABC/123", min_size=1, max_size=9), st.binary(max_size=50), max_size=5),
    st.booleans(),
    st.booleans(),
)
def test_whatever_is_packed_is_read_again(files: dict[str, bytes], streamed: bool, known: bool) -> None:
    data = packed(files, streamed=streamed, known=known)
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == files


def test_the_same_files_are_the_same_bytes_and_stored_as_they_are() -> None:
    data = packed({"A": b"x" * 100})
    assert data == packed({"A": b"x" * 100})
    (entry,) = zipfile.ZipFile(io.BytesIO(data)).infolist()
    assert (entry.compress_type, entry.date_time) == (zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0))
    assert entry.external_attr >> 16 == 0o100644


def test_what_is_whole_needs_no_descriptor() -> None:
    (plain,) = zipfile.ZipFile(io.BytesIO(packed({"A": b"x"}))).infolist()
    (streamed,) = zipfile.ZipFile(io.BytesIO(packed({"A": b"x"}, streamed=True))).infolist()
    assert (plain.flag_bits & 8, streamed.flag_bits & 8) == (0, 8)


class Gap:
    """A file of which only what lies outside its gaps is kept: the contents of files, gigabytes of nothing."""

    def __init__(self) -> None:
        self._written: list[tuple[int, bytes]] = []
        self._end = 0
        self._at = 0

    def put(self, data: bytes) -> None:
        self._written.append((self._end, data))
        self._end += len(data)

    def skip(self, size: int) -> None:
        self._end += size

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._end if size < 0 else min(self._end, self._at + size)
        out = bytearray(end - self._at)
        for start, data in self._written:
            for place in range(max(start, self._at), min(start + len(data), end)):
                out[place - self._at] = data[place - start]
        self._at = end
        return bytes(out)


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([5 * GIB], id="a file of 5 GiB"),
        pytest.param([0xFFFFFFFE, 10], id="the largest file without Zip64"),
        pytest.param([0xFFFFFFFF, 10], id="the smallest file with it"),
        pytest.param([3 * GIB, 3 * GIB, 7], id="a file that begins beyond 4 GiB"),
        pytest.param([5 * GIB, 6 * GIB, 1], id="everything beyond 4 GiB"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_zip64_begins_where_32_bits_end(sizes: list[int], known: bool) -> None:
    package, sink = Zip(), Gap()
    for number, size in enumerate(sizes):
        sink.put(package.begin(f"F{number}", size if known else None))
        sink.skip(size)
        sink.put(package.end(number, size))
    sink.put(package.close())
    assert package.offset == sink.seek(0, 2)
    with zipfile.ZipFile(sink) as found:  # type: ignore[call-overload]
        assert [(entry.file_size, entry.CRC) for entry in found.infolist()] == [(s, n) for n, s in enumerate(sizes)]
        for entry in found.infolist():
            sink.seek(entry.header_offset)
            assert sink.read(4) == b"PK\3\4"


def test_more_than_65_535_files_are_counted_in_64_bits() -> None:
    package, out = Zip(), bytearray()
    for number in range(65_536):
        out += package.whole(f"{number:X}", 0, 0)
    out += package.close()
    assert len(zipfile.ZipFile(io.BytesIO(bytes(out))).namelist()) == 65_536
    assert struct.unpack("<H", out[-12:-10]) == (0xFFFF,)


def test_a_file_longer_than_was_said_is_no_file() -> None:
    package = Zip()
    package.begin("A", 10)
    with pytest.raises(ValueError):
        package.end(0, 5 * GIB)
    with pytest.raises(ValueError):
        package.end(0, 1)
