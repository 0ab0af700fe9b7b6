"""What an archive answers to one DICOMweb request, whichever archive it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ArchiveAnswer:
    """One answer: ``headers`` has lower-case names and only what is worth passing on; ``body`` yields bytes once.

    ``parts`` has the length of each part of a multipart body, where these are known before.
    """

    status: int
    content_type: str
    body: AsyncIterator[bytes]
    length: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[int] | None = None


class Archive(Protocol):
    """A DICOMweb origin server (PS3.18). Anything but an answer raises :class:`keyhole.errors.ArchiveFailed`."""

    @property
    def name(self) -> str:
        """The archive's name in settings, resources and the trail."""

    @property
    def root(self) -> str:
        """The absolute URL that the archive's own links (RetrieveURL, BulkDataURI, Content-Location) start with."""

    def get(self, path: str, query: str, accept: str) -> AbstractAsyncContextManager[ArchiveAnswer]:
        """Ask for *path* below the root (``/studies/…``, rebuilt, never received) with *query* (no ``?``).

        Leaving the context ends the request; nothing more is read from the archive after that.
        """

    def post(
        self, path: str, content_type: str, body: AsyncIterator[bytes], accept: str
    ) -> AbstractAsyncContextManager[ArchiveAnswer]:
        """Store what *body* streams (STOW-RS). Raises ``Refused`` when the archive takes no uploads."""

    async def close(self) -> None:
        """Let go of connections, files and threads."""
