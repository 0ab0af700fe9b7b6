"""A study or a series as one ZIP file: its instances as files of a File-set (PS3.10 section 8), and a DICOMDIR."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Sequence

from keyhole.errors import ArchiveFailed
from keyhole.gateway.download.directory import Directory, reserved
from keyhole.gateway.download.head import HEAD_LONGEST
from keyhole.gateway.download.instances import Begun, Instances, Piece, checked
from keyhole.gateway.download.zip import Zip

MOST = 200_000
"""Instances in one package: what an archive that never ends may cost in memory, some hundred megabytes."""


def _path(series: int, instance: int) -> tuple[str, str, str]:
    """A File ID (PS3.10 section 8.2): capitals and digits, eight at most, no extension; always of one length."""
    return "DICOM", f"SE{series:06}", f"IM{instance:06}"


def package_length(sizes: Sequence[int]) -> int:
    """The length of the package of instances of these *sizes*."""
    package = Zip()
    name = "/".join(_path(1, 1))
    for size in sizes:
        if size < HEAD_LONGEST:
            package.whole(name, 0, size)
        else:
            package.begin(name, size)
            package.end(0, size)
    package.whole("DICOMDIR", 0, reserved(len(sizes)))
    package.close()
    return package.offset


class Package:
    """Makes the package from pieces of instances. ``count`` is how many have been begun.

    With *sizes* the instances must be of these sizes, and the length is what :func:`package_length` says.
    """

    def __init__(self, sizes: Sequence[int] | None = None) -> None:
        """Nothing has come yet."""
        self.count = 0
        self._sizes = sizes
        self._zip = Zip()
        self._directory = Directory()
        self._in_series: dict[str, tuple[int, int]] = {}
        self._open = False
        self._checksum = 0
        self._size = 0

    def feed(self, piece: Piece) -> list[bytes]:
        """What to send once *piece* has come."""
        if isinstance(piece, Begun):
            return [*self._ended(), *self._begin(piece)]
        self._checksum = zlib.crc32(piece, self._checksum)
        self._size += len(piece)
        return [piece]

    def end(self) -> list[bytes]:
        """What to send at the end, without which it is no ZIP file."""
        sent = self._ended()
        if not self.count or (self._sizes is not None and self.count != len(self._sizes)):
            raise ArchiveFailed("the archive answered with fewer instances than it has")
        directory = self._directory.encode(None if self._sizes is None else reserved(self.count))
        head = self._zip.whole("DICOMDIR", zlib.crc32(directory), len(directory))
        return [*sent, head, directory, self._zip.close()]

    def _begin(self, begun: Begun) -> list[bytes]:
        if self.count >= (MOST if self._sizes is None else len(self._sizes)):
            raise ArchiveFailed("the archive answered with more instances than can be packed")
        path = self._named(begun.head.uids[1])
        self.count += 1
        self._directory.add(begun.head, path)
        self._checksum, self._size = zlib.crc32(begun.start), len(begun.start)
        name = "/".join(path)
        if begun.whole:
            self._check_size()
            return [self._zip.whole(name, self._checksum, self._size), begun.start]
        self._open = True
        return [self._zip.begin(name, self._expected(begun)), begun.start]

    def _expected(self, begun: Begun) -> int | None:
        return begun.announced if self._sizes is None else self._sizes[self.count - 1]

    def _named(self, series: str) -> tuple[str, str, str]:
        number, before = self._in_series.get(series, (len(self._in_series) + 1, 0))
        self._in_series[series] = number, before + 1
        return _path(number, before + 1)

    def _ended(self) -> list[bytes]:
        if not self._open:
            return []
        self._open = False
        self._check_size()
        try:
            return [self._zip.end(self._checksum, self._size)]
        except ValueError as error:
            raise ArchiveFailed("the archive answered with a longer instance than it said") from error

    def _check_size(self) -> None:
        if self._sizes is not None and self._size != self._sizes[self.count - 1]:
            raise ArchiveFailed("the archive answered with an instance of another length than it said")


async def packed(body: AsyncIterator[bytes], instances: Instances, package: Package) -> AsyncIterator[bytes]:
    """The package of the *instances* in *body*, as it can be sent. Nothing of it is complete before its end."""
    async for pieces in checked(body, instances):
        for piece in pieces:
            for sent in package.feed(piece):
                yield sent
    for sent in package.end():
        yield sent
