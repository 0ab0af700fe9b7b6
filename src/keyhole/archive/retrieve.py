"""Retrieve from the folder (PS3.18 section 10.4): metadata, instances, frames and bulk data, in pieces from disk.

Everything here runs in threads. A file that is not the one that was indexed any more is never read from: it may hold
another patient's images by now.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from keyhole.archive import media
from keyhole.archive.answers import not_acceptable, not_found
from keyhole.archive.bulk import NoSuchBulk, find_bulk
from keyhole.archive.content import Chunks, Content, span_chunks
from keyhole.archive.frames import NoSuchFrame, frame_content, stored_syntax
from keyhole.archive.header import Unreadable, opened, read_header
from keyhole.archive.index import CHUNK, Index, InstanceRow
from keyhole.archive.multipart import Multipart
from keyhole.errors import ArchiveFailed

_DEFLATED = "1.2.840.10008.1.2.1.99"


@dataclass(frozen=True, slots=True)
class Body:
    """What to answer: a media type, the chunks, how many bytes they are, and each part is, when that is known."""

    content_type: str
    chunks: Chunks
    length: int | None = None
    parts: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Retriever:
    """Reads what the index says is there."""

    index: Index
    folder: bytes
    root: str

    def metadata(self, uids: tuple[str, ...], accept: str) -> Body:
        """The datasets of all instances below *uids*, as a JSON list."""
        if not media.accepts_json(accept):
            raise not_acceptable("Metadata")
        return Body(media.DICOM_JSON, self._metadata(self._found(uids), uids))

    def _metadata(self, rows: list[InstanceRow], uids: tuple[str, ...]) -> Chunks:
        before = b"["
        # A URI is written as a path; outside of strings this key occurs nowhere else, and inside them quotes are
        # escaped.
        path, url = b'"BulkDataURI":"/', f'"BulkDataURI":"{self.root}/'.encode()
        for page in self._pages(rows, uids):
            datasets = self.index.datasets([row.id for row in page])
            texts = [datasets[row.id].replace(path, url) for row in page if row.id in datasets]
            if texts:
                yield before + b",".join(texts)
                before = b","
        yield b"[]" if before == b"[" else b"]"

    def _found(self, uids: tuple[str, ...]) -> list[InstanceRow]:
        """The first instances below *uids*, which name a study, series or instance by its whole path."""
        rows = self.index.instances(*uids)
        if not rows:
            raise not_found()
        return rows

    def _pages(self, rows: list[InstanceRow], uids: tuple[str, ...]) -> Iterator[list[InstanceRow]]:
        while rows:
            yield rows
            rows = self.index.instances(*uids, after=rows[-1].position) if len(rows) == CHUNK else []

    def instances(self, uids: tuple[str, ...], accept: str) -> Body:
        """The files of all instances below *uids*, as stored."""
        rows = self._found(uids)
        choice = media.choose(accept, (media.DICOM,), syntaxes=self._syntaxes(uids), alone=len(uids) == 3)  # noqa: PLR2004
        if choice is None:
            raise not_acceptable("The DICOM files, as they are stored,")
        if not choice.multipart:
            return Body(f"{media.DICOM}; transfer-syntax={rows[0].transfer_syntax}", self._file(rows[0]), rows[0].size)
        multipart = Multipart(media.DICOM)
        with self._open(rows[0]):
            pass  # told now, with a status, when it has gone
        return Body(multipart.content_type, self._files(multipart, rows, uids), parts=self._sizes(uids))

    def _sizes(self, uids: tuple[str, ...]) -> Sequence[int]:
        """The sizes of all files below *uids*, in the order in which they are answered."""
        statement = f"SELECT size FROM instances WHERE {_where(uids)} ORDER BY series, number, uid"  # noqa: S608 - our own names
        return self.index.ids(statement, uids)

    def _syntaxes(self, uids: tuple[str, ...]) -> tuple[str, ...]:
        statement = f"SELECT DISTINCT transfer_syntax FROM instances WHERE {_where(uids)}"  # noqa: S608 - our own names
        return tuple(syntax for (syntax,) in self.index.rows(statement, uids))

    def _files(self, multipart: Multipart, rows: list[InstanceRow], uids: tuple[str, ...]) -> Chunks:
        first = True
        for page in self._pages(rows, uids):
            for row in page:
                content_type = f"{media.DICOM}; transfer-syntax={row.transfer_syntax}"
                yield multipart.head(content_type, f"{self.root}{row.place}", row.size, first=first)
                yield from self._file(row)
                first = False
        yield multipart.tail

    def _file(self, row: InstanceRow) -> Chunks:
        with self._open(row) as file:
            yield from span_chunks(file, 0, row.size)

    def frames(self, uids: tuple[str, ...], numbers: list[int], accept: str) -> Body:
        """The frames *numbers* (from 1), as stored."""
        (row,) = self._found(uids)
        layout = row.layout
        if layout is None or max(numbers) > layout.frames:
            raise not_found()
        syntax = stored_syntax(row.transfer_syntax, layout)
        chosen = media.choose_frame_type(accept, syntax, compressed=layout.encapsulated)
        if chosen is None:
            raise not_acceptable("A frame, as it is stored,")
        with self._open(row) as file:
            header = read_header(file) if layout.extended or row.transfer_syntax == _DEFLATED else None
            contents = [(f"frames/{number}", frame_content(file, layout, number, header)) for number in numbers]
        return self._parts(row, Multipart(chosen), f"{chosen}; transfer-syntax={syntax}", contents)

    def bulk(self, uids: tuple[str, ...], path: str, accept: str) -> Body:
        """The binary value that the tag path *path* names."""
        (row,) = self._found(uids)
        with self._open(row) as file:
            found = find_bulk(read_header(file), path)
        choice = media.choose(accept, tuple(dict.fromkeys((found.media_type, media.OCTETS))))
        if choice is None:
            raise not_acceptable("This value")
        if not choice.multipart:
            return Body(choice.media_type, self._content(row, found.content), found.content.length)
        return self._parts(row, Multipart(choice.media_type), choice.media_type, [(f"bulk/{path}", found.content)])

    def _parts(
        self, row: InstanceRow, multipart: Multipart, part_type: str, contents: list[tuple[str, Content]]
    ) -> Body:
        """*contents* of one file, each as a part with its own address."""
        heads = [
            multipart.head(part_type, f"{self.root}{row.place}/{name}", content.length, first=at == 0)
            for at, (name, content) in enumerate(contents)
        ]
        length = sum(map(len, heads)) + sum(content.length for _, content in contents) + len(multipart.tail)

        def chunks() -> Chunks:
            with self._open(row) as file:
                for head, (_, content) in zip(heads, contents, strict=True):
                    yield head
                    yield from content.chunks(file)
                yield multipart.tail

        return Body(multipart.content_type, chunks(), length)

    def _content(self, row: InstanceRow, content: Content) -> Chunks:
        with self._open(row) as file:
            yield from content.chunks(file)

    @contextmanager
    def _open(self, row: InstanceRow) -> Iterator[BinaryIO]:
        """The file of *row*. One that has gone is not found; raises ArchiveFailed when it is another one by now."""
        try:
            with opened(os.path.join(self.folder, row.path)) as file:  # noqa: PTH118 - bytes
                status = os.fstat(file.fileno())
                if (status.st_mtime_ns, status.st_size) != (row.mtime_ns, row.size):
                    raise ArchiveFailed("a file of the folder has changed and is not indexed again yet")
                yield file
        except (FileNotFoundError, NoSuchFrame, NoSuchBulk):
            raise not_found() from None
        except (OSError, Unreadable, EOFError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ArchiveFailed(f"a file of the folder cannot be read: {reason}") from error


def _where(uids: tuple[str, ...]) -> str:
    """The condition on instances that *uids*, a place in the tree, are."""
    return " AND ".join(f"{name} = ?" for name in ("study", "series", "uid")[: len(uids)])
