"""The archives: how each is reached, over how many connections, and what it is known to be able to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from keyhole.archive.answer import Archive
from keyhole.archive.folder import FolderArchive
from keyhole.gateway import capabilities_file
from keyhole.gateway.fetch import Source
from keyhole.gateway.lineage import OrthancLineage
from keyhole.gateway.orthanc_rest import OrthancSource
from keyhole.gateway.question import Lineages
from keyhole.gateway.scoping import ALL_OF_IT, Capabilities
from keyhole.gateway.upstream import HttpArchive, Timeouts, basic
from keyhole.settings import ArchiveSettings, Settings

_CONNECTIONS = 40
_REST_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Archives:
    """All of them by name, in the order of the settings."""

    folders: Mapping[str, FolderArchive]
    servers: Mapping[str, HttpArchive]
    sources: Mapping[str, Source]
    orthanc: Mapping[str, OrthancSource]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, the default one first."""
        return tuple(self.sources)

    def lineage(self) -> dict[str, Lineages]:
        """Who knows which study something belongs to, where paths do not say it themselves."""
        return {name: source.lineage for name, source in self.orthanc.items()}

    def probed(self) -> dict[str, Source]:
        """Those of whom a probe finds out what they are able to do."""
        return {name: self.sources[name] for name in self.servers}


@asynccontextmanager
async def open_archives(settings: Settings, measured: Callable[[Archive], Archive]) -> AsyncIterator[Archives]:
    """The archives of *settings*, asked through *measured*. Nothing is read or connected yet."""
    async with AsyncExitStack() as stack:
        folders: dict[str, FolderArchive] = {}
        servers: dict[str, HttpArchive] = {}
        sources: dict[str, Source] = {}
        orthanc: dict[str, OrthancSource] = {}
        for name, each in settings.every_archive().items():
            archive = open_archive(name, each, settings)
            stack.push_async_callback(archive.close)
            if isinstance(archive, FolderArchive):
                folders[name] = archive
            else:
                servers[name] = archive
            sources[name] = Source(measured(archive), _able(archive, settings.data))
            if each.orthanc is not None:
                rest = _server(name, each.orthanc, each, settings, _rest_connections(settings))
                stack.push_async_callback(rest.close)
                orthanc[name] = OrthancSource(rest, OrthancLineage(rest, name))
        yield Archives(folders, servers, sources, orthanc)


def open_archive(name: str, settings: ArchiveSettings, whole: Settings) -> FolderArchive | HttpArchive:
    """The archive *name*, with nothing read or connected yet."""
    if settings.folder is not None:
        return FolderArchive(name, settings.folder, whole.data / f"archive-{name}.db", uploads=settings.uploads)
    return _server(name, settings.root, settings, whole, connections(whole))


def _server(name: str, root: str, settings: ArchiveSettings, whole: Settings, connections: int) -> HttpArchive:
    headers = {field: secret.get_secret_value() for field, secret in settings.headers.items()}
    if settings.user is not None and settings.password is not None:
        headers |= basic(settings.user, settings.password.get_secret_value())
    timeouts = Timeouts(head=whole.archive_timeout, chunk=whole.archive_timeout)
    return HttpArchive(name, root, headers=headers, timeouts=timeouts, connections=connections)


def _able(archive: Archive, data: Path) -> Capabilities:
    return ALL_OF_IT if isinstance(archive, FolderArchive) else capabilities_file.of(data, archive.name, archive.root)


def connections(settings: Settings) -> int:
    """How many one process has to an archive. Orthanc gives each one of its 50 threads; all workers leave it some."""
    return max(4, _CONNECTIONS // settings.workers)


def _rest_connections(settings: Settings) -> int:
    """How many more it has to Orthanc's REST API."""
    return max(2, _REST_CONNECTIONS // settings.workers)


def at_once(settings: Settings) -> int:
    """How many requests one link may have at the archive: never all that a process can make."""
    if all(each.folder is not None for each in settings.every_archive().values()):
        return settings.requests_per_visit
    return min(settings.requests_per_visit, seats(settings) * 3 // 4)


def seats(settings: Settings) -> int:
    """How many of its connections are for readers. What Keyhole asks for itself needs no seat, and finds one free."""
    return connections(settings) - max(1, connections(settings) // 10)
