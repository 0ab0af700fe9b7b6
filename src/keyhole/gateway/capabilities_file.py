"""What each archive was found able to do: written by ``keyhole doctor``, taken into use by whatever runs."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from keyhole.gateway.fetch import Source
from keyhole.gateway.scoping import Capabilities

EVERY = 5.0
"""Seconds after which a new record is in use at the latest."""

NAME = "capabilities.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What one archive did when it was asked. ``root`` tells when the record is about another server by now.

    None is what could not be told: an archive without studies shows neither. ``empty`` is the status of a search that
    finds nothing (200 with ``[]``, or 204); ``parents`` whether a picture under the wrong series or study is refused.
    """

    root: str
    at: str
    uid_lists: bool | None = None
    relational: bool | None = None
    largest_page: int | None = None
    empty: int | None = None
    thumbnails: bool | None = None
    parents: bool | None = None

    @property
    def capabilities(self) -> Capabilities:
        """The part that requests are made by."""
        return Capabilities(
            uid_lists=self.uid_lists,
            relational=self.relational,
            largest_page=self.largest_page,
            thumbnails=self.thumbnails,
            parents=self.parents,
        )


def read(folder: Path) -> dict[str, Probed]:
    """The records in *folder* by archive. Whatever is no record is left out: it is then as if never probed."""
    try:
        content = json.loads((folder / NAME).read_bytes())
        return {name: _probed(record) for name, record in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return {}


def _probed(record: Mapping[str, object]) -> Probed:
    """*record* as it was written; KeyError, TypeError or ValueError for what was not."""
    values = {field.name: record[field.name] for field in fields(Probed)}
    if any(values[name] not in (None, True, False) for name in ("uid_lists", "relational", "thumbnails", "parents")):
        raise ValueError("an archive does a thing, or does not, or it is not known")
    page = values["largest_page"]
    if page is not None and (not isinstance(page, int) or isinstance(page, bool) or page < 1):
        raise ValueError("a page has at least one result")
    return Probed(**values)  # type: ignore[arg-type]


def write(folder: Path, records: Mapping[str, Probed]) -> None:
    """Replace the records in *folder*, at once; OSError when that cannot be."""
    content = json.dumps({name: asdict(record) for name, record in records.items()}, indent=2) + "\n"
    handle, name = tempfile.mkstemp(prefix=f"{NAME}.", dir=folder)
    draft = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(content)
        draft.replace(folder / NAME)
    finally:
        draft.unlink(missing_ok=True)


def of(folder: Path, archive: str, root: str) -> Capabilities:
    """What *archive* is able to do; what most archives are, when it was not probed, or has moved since."""
    record = read(folder).get(archive)
    return Capabilities() if record is None or record.root != root else record.capabilities


async def follow(folder: Path, sources: Mapping[str, Source]) -> None:
    """Take what is written in *folder* into use, for ever: no process has to be started anew."""
    known: object = "not looked yet"
    while True:
        state = _state(folder)
        if state != known:
            for name, source in sources.items():
                source.capabilities = of(folder, name, source.archive.root)
        known = state
        await asyncio.sleep(EVERY)


def _state(folder: Path) -> tuple[int, int] | None:
    try:
        found = (folder / NAME).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
