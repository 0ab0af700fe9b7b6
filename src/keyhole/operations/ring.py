"""The keys of links: rotated, listed and pruned, while links go on to open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keyhole.access.decision import Event
from keyhole.access.subject import Subject
from keyhole.app import now, prepare
from keyhole.errors import Refused
from keyhole.gateway import keys_file
from keyhole.operations.opened import opened, record
from keyhole.settings import Settings
from keyhole.sharing.link import KeyRing

SETTLED_AFTER = 5.0
"""Seconds after a change of the ring within which some process may still make links with the key from before."""


@dataclass(frozen=True, slots=True)
class RingKey:
    """A key of the ring, or one that live links need and the ring lacks.

    ``state`` is one of ``current``, ``former``, ``prepared``, ``retired`` (it verifies the trail and makes no links)
    and ``missing``. ``links`` counts the shares that are not over and have a link of this key.
    """

    id: str
    state: str
    links: int


def keys_of(ring: KeyRing, links: Mapping[str, int]) -> list[RingKey]:
    """The keys of *ring*, oldest first, with how many live *links* each has; what is missing comes last."""
    states = {
        **dict.fromkeys(ring.retired, "retired"),
        **dict.fromkeys(ring.former, "former"),
        ring.current: "current",
        **dict.fromkeys(ring.prepared, "prepared"),
    }
    missing = dict.fromkeys(sorted(links.keys() - ring.keys.keys()), "missing")
    return [RingKey(name, state, links.get(name, 0)) for name, state in {**states, **missing}.items()]


async def listed(settings: Settings) -> list[RingKey]:
    """All keys."""
    prepare(settings)
    async with opened(settings) as store:
        return keys_of(keys_file.load(settings.data), await store.link_keys(now()))


async def lacking(settings: Settings) -> int:
    """How many live links cannot be opened with this ring."""
    async with opened(settings) as store:
        needed = await store.link_keys(now())
    ring = keys_file.load(settings.data)
    return sum(links for name, links in needed.items() if name not in ring.keys)


async def rotate(settings: Settings, subject: Subject) -> KeyRing:
    """Make new links with another key from now on: the oldest prepared one, or a new one."""
    return await _changed(settings, subject, "rotated", KeyRing.rotated)


async def add(settings: Settings, subject: Subject) -> KeyRing:
    """Prepare a key, to be given to every node before links are made with it."""
    return await _changed(settings, subject, "prepared", KeyRing.with_new_key)


async def prunable(settings: Settings) -> tuple[str, ...]:
    """The former keys that no live link needs."""
    return tuple(key.id for key in await listed(settings) if key.state == "former" and not key.links)


async def prune(settings: Settings, subject: Subject) -> tuple[str, ...]:
    """Drop the former keys that no live link needs, and say which; what verifies the trail stays.

    Refused right after the ring has changed, while some process may still make a link with a former key.
    """
    prepare(settings)
    age = now().timestamp() - (settings.data / keys_file.NAME).stat().st_mtime
    if 0 <= age < SETTLED_AFTER:
        raise Refused("the key ring has only just changed", f"prune it {SETTLED_AFTER:g} seconds later")
    dropped = await prunable(settings)
    if dropped:
        await _changed(settings, subject, "pruned", lambda ring: ring.without(set(dropped)))
    return dropped


async def _changed(settings: Settings, subject: Subject, what: str, how: Callable[[KeyRing], KeyRing]) -> KeyRing:
    """Write down what is about to be done, then do it."""
    prepare(settings)
    before = keys_file.load(settings.data)
    after = how(before)
    keys = " ".join(sorted((before.keys.keys() ^ after.keys.keys()) or {after.current}))
    async with opened(settings) as store:
        await store.append([record(Event.RING_CHANGED, subject, change=what, keys=keys, current=after.current)])

    def replaced(found: KeyRing) -> KeyRing:
        if found != before:
            raise Refused("the key ring was changed by somebody else at the same time", "try again")
        return after

    return keys_file.change(settings.data, replaced)
