"""A backup of everything but the keys, made while Keyhole runs, and one of the keys alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from keyhole.access.decision import Event
from keyhole.access.subject import Subject
from keyhole.app import database_url, now, prepare, signing
from keyhole.errors import Refused
from keyhole.gateway import keys_file
from keyhole.operations.opened import opened, record
from keyhole.settings import Settings
from keyhole.store import portable, seal
from keyhole.store.chain import Signing
from keyhole.store.database import open_store
from keyhole.store.verify import Broken, Intact

Bar = Callable[[str], Callable[[int, int], None]]
"""A progress bar with this title."""

_HEADS = ("trail.head", "trail.heads")


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made, of ``size`` bytes, and what was found when its trail was verified in it."""

    rows: int
    size: int
    chain: Intact | Broken


def back_up(settings: Settings, subject: Subject, file: Path, bar: Bar, *, overwrite: bool = False) -> Made:
    """Write a backup to *file*, which only its owner can read, and verify it there.

    It has its name when it is whole and durable, not before. That it was made is on the trail, and in the backup.
    """
    with _new(file, overwrite=overwrite) as draft:
        prepare(settings)
        for name in _HEADS:  # read first: the database may be ahead of them, not behind
            if (settings.data / name).exists():
                shutil.copyfile(settings.data / name, draft.with_name(name))
        asyncio.run(_tell(settings, subject, "everything but the keys"))
        portable.export(database_url(settings), draft, bar("writing the backup"))
        draft.chmod(0o600)
        keys = signing(keys_file.load(settings.data))
        chain = asyncio.run(_verified(draft, keys, bar("verifying the backup")))
        made = seal.put(
            draft,
            keys,
            made_at=now().isoformat(timespec="seconds"),
            version=version("keyhole"),
            rows=portable.head_of(draft).seq,
        )
        seal.unpack(draft, keys)
        return Made(made.rows, draft.stat().st_size, chain)


def back_up_keys(settings: Settings, subject: Subject, file: Path, *, overwrite: bool = False) -> None:
    """Write the key ring to *file*, which only its owner can read."""
    with _new(file, overwrite=overwrite) as draft:
        prepare(settings)
        asyncio.run(_tell(settings, subject, "the keys"))
        keys_file.put(draft.parent, keys_file.load(settings.data))
        (draft.parent / keys_file.NAME).rename(draft)


async def _tell(settings: Settings, subject: Subject, what: str) -> None:
    async with opened(settings) as store:
        await store.append([record(Event.BACKUP, subject, of=what)])


async def _verified(draft: Path, keys: Signing, progress: portable.Progress) -> Intact | Broken:
    """Whether the trail in *draft* holds, by the heads that were copied beside it."""
    store = open_store(f"sqlite:///{draft}", keys, draft.parent)
    try:
        return await store.verify(progress)
    finally:
        await store.close()


@contextmanager
def _new(file: Path, *, overwrite: bool) -> Iterator[Path]:
    """Where to write what becomes *file*, durably, when all went well; otherwise nothing is left."""
    file = file.absolute()
    if file.is_dir() or (os.path.lexists(file) and not overwrite):
        raise Refused(f"{file} is there already", "give another name, or --overwrite")
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{file.name}.", dir=file.parent))
    except OSError as error:
        raise Refused(f"{file} cannot be written: {error.strerror}", "give a folder that is there") from None
    try:
        yield folder / "draft"
        (folder / "draft").replace(file)
        _keep_name(file.parent)
    except OSError as error:
        raise Refused(f"{file} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep_name(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
