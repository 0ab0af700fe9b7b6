"""The trail, and the keys that links and trail need."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from keyhole.app import database_url, now, signing
from keyhole.errors import KeyholeError
from keyhole.gateway import keys_file
from keyhole.gateway.ring_file import RingFile
from keyhole.operations.doctor.finding import Finding, error, many, note, ok, warning
from keyhole.operations.ring import SETTLED_AFTER, keys_of
from keyhole.settings import Settings
from keyhole.sharing.link import KeyRing
from keyhole.store.database import open_store
from keyhole.store.heads import Heads
from keyhole.store.verify import Broken, Intact

ROWS = 1000
"""How many rows of the trail are verified: a moment's work."""

_ALL = "verify all of it with: keyhole trail --verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What was found about the ring and the trail. ``heads``: whether a head is known outside the database."""

    ring: KeyRing
    links: Mapping[str, int]
    trail: Intact | Broken
    heads: bool


def ring(settings: Settings) -> tuple[bool, str | None]:
    """Whether there is a key ring, and what is wrong with it; none is made."""
    if not keys_file.exists(settings.data):
        return False, None
    try:
        keys_file.load(settings.data)
    except KeyholeError as problem:
        return True, str(problem)
    return True, None


async def look(settings: Settings) -> Kept:
    """The trail's end and the keys that live links need; there is a good ring, and a database of this version."""
    file = RingFile(settings.data, time.monotonic)
    store = open_store(database_url(settings), lambda: signing(file.ring()), settings.data)
    try:
        links = await store.link_keys(now())
        verified = await store.verify_end(ROWS)
    finally:
        await store.close()
    return Kept(ring=file.ring(), links=links, trail=verified, heads=Heads(settings.data).read().last is not None)


def rings(found: tuple[bool, str | None], *, database: bool) -> Iterator[Finding]:
    """Whether there is a good ring; *database* says whether there is one that needs it."""
    there, problem = found
    if problem is not None:
        yield error(
            "ring",
            problem,
            "Keyhole does not start, and no link opens",
            "put the backup of keys.json back, or copy it from another node",
        )
    elif there:
        yield ok("ring", "the key ring can be read, and its keys are long enough")
    elif database:
        yield error(
            "ring",
            "there is a database, and no key ring",
            "Keyhole does not start: another ring would end every link that was given out",
            "put the backup of keys.json back, or copy it from another node",
        )
    else:
        yield note("ring", "there is no key ring yet", "keyhole serve makes it when it starts")


def keys(kept: Kept) -> Iterator[Finding]:
    """Keys that links need and the ring lacks, and keys that no link needs any more."""
    listed = keys_of(kept.ring, kept.links)
    lacking = sum(key.links for key in listed if key.state == "missing")
    if lacking:
        yield error(
            "ring-lacks",
            f"{many(lacking, 'live link')} cannot be opened here, for want of a key in the ring",
            "whoever has such a link is told that it does not work",
            "copy keys.json from the node that made them, or renew their shares",
        )
    needed = [key for key in listed if key.state == "former" and key.links]
    idle = [key for key in listed if key.state == "former" and not key.links]
    if needed:
        yield ok("ring-former", f"live links need {many(len(needed), 'former key')}, which the ring holds")
    if idle:
        yield note(
            "ring-idle",
            f"no live link needs {many(len(idle), 'former key')} of the ring",
            "a stolen copy of the ring is worth less without them",
            f"keyhole keys prune, {SETTLED_AFTER:g} s after the last change at the earliest",
        )
    if not lacking:
        yield ok("ring-lacks", "every live link can be opened with this ring")


def trail(kept: Kept) -> Iterator[Finding]:
    """Whether the newest part of the trail is as it was written, and known outside the database."""
    match kept.trail:
        case Broken(seq, fault):
            yield error(
                "trail",
                f"the trail is not as it was written: row {seq} ({fault})",
                "somebody has changed or cut the record, or a backup was put back in part",
                f"keep copies of the database and the trail.head files, then {_ALL}",
            )
        case Intact(count):
            yield ok("trail", f"the newest {min(count, ROWS)} of {count} rows of the trail are as written; {_ALL}")
    if not kept.heads and kept.trail != Intact(0, None):
        yield warning(
            "trail-heads",
            "nothing outside the database knows the trail's last row",
            "an end that was cut off cannot be told",
            "trail.head in the data folder was removed, or was on another node: the next row makes it anew",
        )
