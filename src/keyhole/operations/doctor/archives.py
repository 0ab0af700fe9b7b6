"""The archives: can strangers go around Keyhole, can Keyhole reach them, and what are they able to do."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from keyhole.app import now
from keyhole.archive.folder import FolderArchive
from keyhole.errors import KeyholeError
from keyhole.gateway.capabilities_file import Probed
from keyhole.gateway.probe import probe
from keyhole.gateway.upstream import HttpArchive
from keyhole.operations.doctor import asking
from keyhole.operations.doctor.apart import apart
from keyhole.operations.doctor.asking import Heard, Unheard, Untrusted
from keyhole.settings import ArchiveSettings, Settings
from keyhole.settings.values import is_loopback
from keyhole.wiring.archives import open_archive

_SEARCH = "/studies?limit=1"
_SYSTEM = "/system"
_DICOMWEB = "/dicom-web"
_PATIENCE = 5.0
_PROBING = 10.0
"""Seconds for finding out what an archive is able to do: it is asked a dozen things, one after the other."""
_VERSION = re.compile(r"(?:[0-9]{1,4}(?:\.[0-9]{1,4}){0,3}|mainline)")
_LONGEST = 65536
_NOWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses that nobody has (RFC 5737, RFC 3849): the way to them begins at this machine's own."""


@dataclass(frozen=True, slots=True)
class Door:
    """An address of an archive, and what a stranger is answered there; ``why`` says why there was no answer."""

    what: str
    url: str
    heard: Heard | None = None
    why: str = ""
    untrusted: bool = False

    @property
    def open(self) -> bool:
        """Whether it gives strangers what only Keyhole should have."""
        return self.heard is not None and self.heard.status in (200, 204)

    @property
    def orthanc(self) -> bool:
        """Whether what answers says that it is an Orthanc."""
        if self.heard is None:
            return False
        return "orthanc" in self.heard.headers.get("www-authenticate", "").lower() or "DicomAet" in _system(
            self.heard.body
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFacts:
    """What was found out about an archive that is a server.

    ``doors`` are asked at the address that Keyhole uses, ``beyond`` at this machine's other addresses, when the first
    is on its loopback. ``ours`` says why Keyhole itself was not answered. ``version`` is that of an Orthanc.
    """

    name: str
    root: str
    local: bool
    doors: tuple[Door, ...] = ()
    beyond: tuple[Door, ...] = ()
    ours: str | None = None
    orthanc: bool = False
    version: str | None = None
    probed: Probed | None = None
    unprobed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderHolds:
    """What a folder holds. ``studies`` None: it is not indexed yet."""

    name: str
    path: str
    studies: int | None
    unreadable: int = 0
    mixed: int = 0


async def holds(name: str, each: ArchiveSettings, settings: Settings) -> FolderHolds:
    """What the folder *each* holds, by its index; KeyholeError when that cannot be read."""
    archive = open_archive(name, each, settings)
    if not isinstance(archive, FolderArchive):
        raise TypeError("not a folder")
    try:
        return await apart(lambda: _counted(archive, str(each.folder), settings.data / f"archive-{name}.db"))
    finally:
        await archive.close()


def _counted(archive: FolderArchive, path: str, index: Path) -> FolderHolds:
    if not index.exists():
        return FolderHolds(name=archive.name, path=path, studies=None)
    counts = {"unreadable": len(archive.unreadable), "mixed": len(archive.warnings)}
    return FolderHolds(name=archive.name, path=path, studies=archive.studies, **counts)


async def silent(settings: Settings) -> dict[str, str]:
    """The archives that do not answer a search of Keyhole's now, and why. Has an end."""
    servers = {name: each for name, each in settings.every_archive().items() if each.folder is None}
    why = await asyncio.gather(*(_ours(name, each, settings, there=True) for name, each in servers.items()))
    return {name: reason for name, reason in zip(servers, why, strict=True) if reason is not None}


async def held(settings: Settings) -> list[FolderHolds]:
    """What the folders among the archives hold."""
    folders = {name: each for name, each in settings.every_archive().items() if each.folder is not None}
    return [await holds(name, each, settings) for name, each in folders.items()]


async def look(name: str, each: ArchiveSettings, settings: Settings) -> ArchiveFacts:
    """Ask the archive *each*, as a stranger and as Keyhole. Never fails, and has an end."""
    host, port = asking.place(each.root)
    addresses = await asking.addresses(host, port)
    local = is_loopback(host) or (bool(addresses) and all(map(is_loopback, addresses)))
    answers = [_door(what, url) for what, url in _urls(each)]
    ours, doors = await asyncio.gather(_ours(name, each, settings, there=bool(addresses)), asyncio.gather(*answers))
    beyond = await asyncio.gather(*_beyond(doors, local=local))
    rest = _rest(each, doors)
    version, (probed, unprobed) = (
        (None, (None, None))
        if ours
        else await asyncio.gather(_version(name, each, settings, rest), _probed(name, each, settings))
    )
    return ArchiveFacts(
        name=name,
        root=each.root,
        local=local,
        doors=tuple(doors),
        beyond=tuple(door for door in beyond if door.heard is not None),
        ours=ours,
        orthanc=rest is not None,
        version=version,
        probed=probed,
        unprobed=unprobed,
    )


def _urls(each: ArchiveSettings) -> Iterator[tuple[str, str]]:
    yield "DICOMweb", each.root + _SEARCH
    root = each.orthanc or (each.root.removesuffix(_DICOMWEB) if each.root.endswith(_DICOMWEB) else None)
    if root is not None:
        yield "the Orthanc REST API", root + _SYSTEM


async def _door(what: str, url: str, at: str | None = None) -> Door:
    """What a stranger is answered. Whoever's certificate it is: whether it is trusted is told apart."""
    untrusted = ""
    try:
        return Door(what, url, await asking.ask(url, at=at))
    except Untrusted as error:
        untrusted = str(error)
    except Unheard as error:
        return Door(what, url, why=str(error))
    try:
        return Door(what, url, await asking.ask(url, at=at, tls=asking.unverified()), untrusted, untrusted=True)
    except Unheard:
        return Door(what, url, why=untrusted, untrusted=True)


def _beyond(doors: Iterable[Door], *, local: bool) -> Iterator[asyncio.Future[Door]]:
    """The same doors at the addresses that other machines know this one by."""
    if not local:
        return
    for address in own_addresses():
        for door in doors:
            if door.heard is not None:
                parts = urlsplit(door.url)
                host = f"[{address}]" if ":" in address else address
                url = parts._replace(netloc=f"{host}:{asking.place(door.url)[1]}").geturl()
                yield asyncio.ensure_future(_door(door.what, url, address))


def own_addresses() -> tuple[str, ...]:
    """The addresses from which this machine would reach others. Nothing is sent."""
    found = []
    for family, nowhere in _NOWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probing:
            probing.connect((nowhere, 9))
            found.append(str(probing.getsockname()[0]))
    return tuple(address for address in dict.fromkeys(found) if not is_loopback(address))


def _rest(each: ArchiveSettings, doors: Iterable[Door]) -> str | None:
    """The root of Orthanc's own REST API, when the archive is one."""
    if each.orthanc is not None:
        return each.orthanc
    doors = [door for door in doors if door.url.endswith(_SYSTEM)]
    return next((door.url.removesuffix(_SYSTEM) for door in doors if door.orthanc), None)


def _archive(name: str, each: ArchiveSettings, settings: Settings) -> HttpArchive:
    quick = settings.model_copy(update={"archive_timeout": min(settings.archive_timeout, _PATIENCE)})
    archive = open_archive(name, each, quick)
    if not isinstance(archive, HttpArchive):
        raise TypeError("not a server")
    return archive


async def _ours(name: str, each: ArchiveSettings, settings: Settings, *, there: bool) -> str | None:
    """Why Keyhole's own search is not answered; None when it is. *there*: the archive's name has an address."""
    if not there:
        return "its name has no address"
    try:
        status, _ = await _got(name, each, settings, "/studies", "limit=1", "application/dicom+json")
    except (KeyholeError, TimeoutError) as error:
        return str(error) or f"it took longer than {_PATIENCE:g} s"
    return None if status in (200, 204) else f"it answers a search with status {status}"


async def _got(
    name: str, each: ArchiveSettings, settings: Settings, path: str, query: str, accept: str
) -> tuple[int, bytes]:
    """Status and the beginning of what Keyhole is answered."""
    archive = _archive(name, each, settings)
    try:
        async with asyncio.timeout(_PATIENCE), archive.get(path, query, accept) as answer:
            body = b""
            async for piece in answer.body:
                body += piece
                if len(body) > _LONGEST:
                    break
            return answer.status, body
    finally:
        await archive.close()


async def _version(name: str, each: ArchiveSettings, settings: Settings, rest: str | None) -> str | None:
    """Which Orthanc it is, as it tells Keyhole; None when it is none, or tells nothing that looks like a version."""
    if rest is None:
        return None
    try:
        _, body = await _got(name, each.model_copy(update={"root": rest}), settings, _SYSTEM, "", "application/json")
    except (KeyholeError, TimeoutError):
        return None
    version = str(_system(body).get("Version", ""))
    return version if _VERSION.fullmatch(version) else None


def _system(body: bytes) -> dict[str, object]:
    """What Orthanc tells of itself; nothing when *body* is something else."""
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


async def _probed(name: str, each: ArchiveSettings, settings: Settings) -> tuple[Probed | None, str | None]:
    """What the archive is able to do, or why that is not known."""
    archive = _archive(name, each, settings)
    try:
        async with asyncio.timeout(_PROBING):
            return await probe(archive, archive.root, now()), None
    except TimeoutError:
        return None, f"it took longer than {_PROBING:g} s"
    except KeyholeError as error:
        return None, str(error)
    finally:
        await archive.close()
