"""Everything looked over at once, each part with an end, and what fails told as a finding."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from keyhole.app import now
from keyhole.errors import KeyholeError, Misconfigured
from keyhole.gateway import capabilities_file
from keyhole.operations.doctor import (
    archives,
    certificate,
    clock,
    database,
    deployment,
    exposure,
    folders,
    keeping,
    live,
    mail,
    mounts,
    names,
    plugin,
    running,
    viewer,
    ways_in,
    weak,
)
from keyhole.operations.doctor.apart import apart
from keyhole.operations.doctor.archives import ArchiveFacts
from keyhole.operations.doctor.asking import Unheard
from keyhole.operations.doctor.finding import Chapter, Finding, error, note, warning
from keyhole.operations.doctor.live import Deployment
from keyhole.operations.doctor.postgres import PostgresFacts
from keyhole.settings import Settings
from keyhole.settings.values import host_of, is_loopback
from keyhole.store.migrations import Schema

LIMIT = 30.0
"""Seconds for each part; all run at once."""

Findings = Iterable[Finding]
Progress = Callable[[int, int], None]


def misconfigured(problem: Misconfigured, environment: Mapping[str, str]) -> list[Chapter]:
    """What can be told while the settings cannot be read."""
    return [Chapter("settings", (*names.problems(problem.problems), *names.variables(environment)))]


async def examine(
    settings: Settings,
    environment: Mapping[str, str],
    config: Path | None,
    progress: Progress,
    orthanc: Deployment | None = None,
) -> list[Chapter]:
    """Look everything over; *progress* is told how many parts are done, of how many. Takes :data:`LIMIT` at most.

    *orthanc* is tried out as well, if there is one.
    """
    parts = _Examination(settings, environment, config).parts()
    if orthanc is not None:
        parts[f"Orthanc at {orthanc.outside}"] = _tried(orthanc)
    done = 0

    async def told(title: str, part: Awaitable[Findings]) -> Chapter:
        nonlocal done
        chapter = Chapter(title, tuple(await _bounded(title, part)))
        done += 1
        progress(done, len(parts))
        return chapter

    progress(0, len(parts))
    found = await asyncio.gather(*(told(title, part) for title, part in parts.items()))
    return [chapter for chapter in found if chapter.findings]


async def _tried(orthanc: Deployment) -> Findings:
    try:
        return deployment.deployment(await live.look(orthanc))
    except Unheard as why:
        meaning = "nothing is known about what links open there"
        return [error("orthanc-answers", f"Orthanc cannot be tried out: {why}", meaning, "is this its address?")]


async def _bounded(title: str, part: Awaitable[Findings]) -> list[Finding]:
    meaning = "nothing is known about the rest of this part"
    try:
        async with asyncio.timeout(LIMIT):
            return list(await part)
    except TimeoutError:
        told = f"looking at this part took longer than {LIMIT:g} s: {title}"
        return [warning("unfinished", told, meaning, "find what hangs: a disk, a name server or a network")]
    except KeyholeError as problem:
        return [error("broken", str(problem), meaning, "put that right, then run keyhole doctor again")]
    except OSError as problem:
        return [error("broken", f"a file cannot be looked at: {problem.strerror}", meaning, "may this user read it?")]
    except Exception as problem:  # noqa: BLE001 - the rest is told all the same; the text may hold anything
        told = f"looking at this part failed ({type(problem).__name__}): {title}"
        return [error("broken", told, meaning, "this is a fault of keyhole doctor itself: please report it")]


@dataclass(frozen=True, slots=True)
class _Looks:
    """What several parts need, looked at once."""

    database: asyncio.Future[database.Facts]
    archives: Mapping[str, asyncio.Future[ArchiveFacts]]


class _Examination:
    """One run. What cannot be interrupted runs apart, for a hung disk or name server must not hang the rest."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], config: Path | None) -> None:
        self._settings, self._environment, self._config = settings, environment, config
        servers = {name: each for name, each in settings.every_archive().items() if each.folder is None}
        self._looks = _Looks(
            asyncio.ensure_future(apart(lambda: database.look(settings))),
            {name: asyncio.ensure_future(archives.look(name, each, settings)) for name, each in servers.items()},
        )

    def parts(self) -> dict[str, Awaitable[Findings]]:
        """What is looked at, in the order in which it is told."""
        return {
            "settings": apart(self._set),
            **{f"archive {name}": self._archive(name) for name in self._settings.every_archive()},
            "abilities of archives": self._abilities(),
            "database": self._database(),
            "keys and trail": self._kept(),
            "mail": self._mail(),
            "data folder": apart(self._folder),
            "clock": self._clock(),
            "viewer": self._viewer(),
            "server": self._server(),
        }

    def _set(self) -> list[Finding]:
        found = [*names.variables(self._environment), *names.files(self._environment, self._config)]
        for check in (exposure.plain_http, exposure.hosts, exposure.proxies, weak.secrets):
            found += check(self._settings)
        found += plugin.plugin(self._settings, now())
        return found + list(exposure.credentials_in_the_clear(self._settings))

    async def _archive(self, name: str) -> Findings:
        each = self._settings.every_archive()[name]
        if name not in self._looks.archives:
            return ways_in.folder(await archives.holds(name, each, self._settings))
        facts = await asyncio.shield(self._looks.archives[name])
        return [*ways_in.reachable(facts), *ways_in.orthanc(facts), *ways_in.strangers(facts)]

    async def _abilities(self) -> Findings:
        facts = [await asyncio.shield(look) for look in self._looks.archives.values()]
        found = [finding for each in facts for finding in ways_in.able(each)]
        return [*found, *await apart(lambda: list(_keep(self._settings, facts)))]

    async def _database(self) -> Findings:
        try:
            facts = await asyncio.shield(self._looks.database)
        except KeyholeError as problem:
            return [
                error(
                    "database-answers",
                    str(problem),
                    "nothing is put on the trail, so nothing is released",
                    "is it running, and may this user use it? See KEYHOLE_DATABASE and KEYHOLE_DATA",
                )
            ]
        return database.database(facts, self._settings.workers)

    async def _kept(self) -> Findings:
        ring = await apart(lambda: keeping.ring(self._settings))
        try:
            facts = await asyncio.shield(self._looks.database)
        except (KeyholeError, OSError):
            return keeping.rings(ring, database=False)
        found = list(keeping.rings(ring, database=facts.schema in (Schema.CURRENT, Schema.AHEAD)))
        if facts.schema is Schema.CURRENT and ring == (True, None):
            kept = await keeping.look(self._settings)
            found += [*keeping.keys(kept), *keeping.trail(kept)]
        return found

    async def _mail(self) -> Findings:
        ring = await apart(lambda: keeping.ring(self._settings))
        try:
            facts = await asyncio.shield(self._looks.database)
        except (KeyholeError, OSError):
            return ()
        if facts.schema is not Schema.CURRENT or ring != (True, None):
            return ()
        return mail.mail(await mail.look(self._settings))

    def _folder(self) -> list[Finding]:
        facts = folders.look(self._settings.data, local_database=self._settings.database is None)
        found = [*folders.data(facts), *folders.keys(facts), *folders.open_files(facts)]
        found += folders.space("the data folder", mounts.room(self._settings.data))
        for name, each in self._settings.every_archive().items():
            if each.folder is not None and each.uploads:
                found += folders.space(f"archive {name}", mounts.room(each.folder))
        return found

    async def _clock(self) -> Findings:
        ahead = {}
        for name, look in self._looks.archives.items():
            for door in (await asyncio.shield(look)).doors:
                seconds = None if door.heard is None else clock.of_answer(door.heard)
                if seconds is not None:
                    ahead[f"archive {name}"] = seconds
        facts = (await asyncio.gather(asyncio.shield(self._looks.database), return_exceptions=True))[0]
        if isinstance(facts, PostgresFacts):
            before, theirs, after = facts.clock
            ahead["the database"] = clock.behind(theirs, before, after)
        return clock.clocks(ahead)

    async def _viewer(self) -> Findings:
        if self._settings.bind is None:
            return ()
        return viewer.viewer(await apart(lambda: viewer.look(self._settings.viewer)))

    async def _server(self) -> Findings:
        here, internal, outside = await asyncio.gather(
            running.here(self._settings), running.internal(self._settings), running.outside(self._settings)
        )
        found = [*running.listens(here), *running.ready(internal), *running.public(outside, here)]
        found += await apart(lambda: list(_certificates(self._settings)))
        servers = len(self._looks.archives)
        return [*found, *running.open_files(running.file_limit(), servers)]


def _keep(settings: Settings, facts: Iterable[ArchiveFacts]) -> Iterator[Finding]:
    """Keep what archives were found able to do, for the processes that start next."""
    fresh = {each.name: each.probed for each in facts if each.probed is not None}
    if not fresh or not settings.data.is_dir():
        return
    before = capabilities_file.read(settings.data)
    kept = {name: record for name, record in before.items() if name in settings.every_archive()}
    try:
        capabilities_file.write(settings.data, {**kept, **fresh})
    except OSError:
        yield warning(
            "abilities-kept",
            f"what archives are able to do cannot be kept in {settings.data}",
            "searches are made as most archives take them",
            "run keyhole doctor as the user that keyhole serve runs as",
        )
        return
    changed = [
        name for name, record in fresh.items() if name not in before or before[name].capabilities != record.capabilities
    ]
    if changed:
        yield note(
            "abilities-kept",
            f"what {', '.join(changed)} is able to do was not known before, or has changed, and is kept now",
            "a running server takes it up within seconds",
        )


def _certificates(settings: Settings) -> Iterator[Finding]:
    """The certificate that Keyhole itself shows, for each name it is shown for."""
    if settings.tls_cert is None or settings.tls_key is None:
        return
    staff = host_of(settings.staff_url or "")
    for host in (host_of(settings.public_url), *([] if not staff or is_loopback(staff) else [staff])):
        yield from certificate.certificate(
            certificate.look(settings.tls_cert, settings.tls_key, host), host, time.time()
        )
